//! Regions of DynamoDB on a stage.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use aws_sdk_dynamodb::Client;
use sumzero_sim::aws::dynamodb::config::{Lag, Span};
use sumzero_sim::aws::dynamodb::{Config, DynamoDb, Summary};
use sumzero_sim::fault::Service;

use crate::clients;
use crate::stage::{Stage, Trouble};

/// The Regions of global tables.
pub(crate) const REGIONS: [&str; 3] = ["us-east-1", "us-east-2", "us-west-2"];

/// Some Regions that replicate with each other.
#[derive(Clone)]
pub(crate) struct Cluster {
    regions: BTreeMap<String, (DynamoDb, SocketAddr)>,
    trouble: Trouble,
}

/// One Region by itself.
pub(crate) fn one_region(stage: &mut Stage) -> Cluster {
    Cluster::on(stage, &REGIONS[..1], |_| {})
}

/// Two Regions.
pub(crate) fn two_regions(stage: &mut Stage) -> Cluster {
    Cluster::on(stage, &REGIONS[..2], |_| {})
}

/// Three Regions of one set.
pub(crate) fn three_regions(stage: &mut Stage) -> Cluster {
    Cluster::on(stage, &REGIONS, |config| {
        config.mrsc.quorum_timeout = Duration::from_secs(1);
        config.mrsc.backoff = Span::millis(1, 20);
    })
}

impl Cluster {
    /// Regions with short latency and lag, so that a test waits for little, and with further knobs turned.
    pub(crate) fn on(stage: &mut Stage, names: &[&str], turn: impl Fn(&mut Config)) -> Cluster {
        let addresses: Vec<_> = names
            .iter()
            .map(|name| stage.reserve(name, &host(name), 2))
            .collect();
        let mut regions = BTreeMap::new();
        for (name, own) in names.iter().zip(&addresses) {
            let mut config = Config::new(*name, 1);
            for (peer, address) in names.iter().zip(&addresses).filter(|(peer, _)| *peer != name) {
                let way = stage.way(&host(name), &host(peer), address[1]);
                config.peers.insert((*peer).to_owned(), way);
            }
            config.latency = Span::ZERO;
            config.transaction_hold = Span::ZERO;
            let millis = Duration::from_millis;
            config.mrec.lag = Lag {
                min: millis(20),
                usual: millis(40),
                max: millis(60),
                tail: 0.1,
            };
            turn(&mut config);
            let handle = DynamoDb::new(config).expect("engine");
            stage.exposes(Service::Dynamodb, name, handle.faults());
            let served = handle.clone();
            stage.serve(&host(name), move |listeners| {
                let served = served.clone();
                let [clients, regions] = listeners.try_into().expect("two");
                served.run(clients, regions)
            });
            regions.insert((*name).to_owned(), (handle, own[0]));
        }
        Cluster {
            regions,
            trouble: stage.trouble(),
        }
    }

    /// The official SDK with its defaults, pointed at one Region.
    pub(crate) fn client(&self, region: &str) -> Client {
        clients::dynamodb(region, self.address(region))
    }

    /// One for each Region.
    pub(crate) fn clients(&self) -> Vec<Client> {
        self.regions.keys().map(|region| self.client(region)).collect()
    }

    /// Where one Region serves clients.
    pub(crate) fn address(&self, region: &str) -> SocketAddr {
        self.regions[region].1
    }

    /// One Region's handle.
    pub(crate) fn handle(&self, region: &str) -> &DynamoDb {
        &self.regions[region].0
    }

    /// Cuts a Region off from the others, though not from its clients.
    pub(crate) async fn cut_off(&self, region: &str, lasting: Duration) {
        let others: Vec<String> = self
            .regions
            .keys()
            .filter(|other| *other != region)
            .map(|other| host(other))
            .collect();
        let others: Vec<&str> = others.iter().map(String::as_str).collect();
        self.trouble.cut(&host(region), &others, lasting).await;
    }

    /// Takes the machine of a Region's server away for a while.
    pub(crate) async fn lose(&self, region: &str, down: Duration) {
        self.trouble.lose(&host(region), down).await;
    }

    /// All Regions' accounts of replication.
    pub(crate) fn summary(&self) -> Summary {
        let accounts: Vec<_> = self
            .regions
            .values()
            .map(|(handle, _)| handle.counters())
            .collect();
        Summary::of(&accounts)
    }

    /// Waits until every change has reached every Region.
    pub(crate) async fn quiescent(&self) {
        for _ in 0..3_000 {
            if self.summary().pending == 0 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!(
            "replication did not become quiescent within 30 s: {:?}",
            self.summary()
        );
    }

    /// The items of a table in one Region, each as one line of JSON, sorted.
    pub(crate) fn items(&self, region: &str, table: &str) -> Vec<String> {
        let items = self.handle(region).items(table).expect("table");
        let mut items: Vec<String> = items.iter().map(ToString::to_string).collect();
        items.sort();
        items
    }

    /// Every Region holds the same items of a table.
    pub(crate) fn agrees_on(&self, table: &str) -> bool {
        let mut regions = self.regions.keys().map(|region| self.items(region, table));
        let first = regions.next();
        regions.all(|items| Some(items) == first)
    }
}

fn host(region: &str) -> String {
    format!("dynamodb-{region}")
}
