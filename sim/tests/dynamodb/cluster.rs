//! Regions on localhost.

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::{BehaviorVersion, Credentials, Region};
use aws_smithy_http_client::Builder;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;
use sumzero_sim::aws::dynamodb::config::{Lag, Span};
use sumzero_sim::aws::dynamodb::{Config, DynamoDb, Summary};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// Some Regions that replicate with each other, in this process, on free ports.
pub(crate) struct Cluster {
    regions: BTreeMap<String, Server>,
}

struct Server {
    handle: DynamoDb,
    clients: SocketAddr,
    task: JoinHandle<()>,
}

impl Cluster {
    /// Regions with short latency and lag, so that a test waits for little.
    pub(crate) async fn start(names: &[&str]) -> Self {
        Self::start_with(names, |_| {}).await
    }

    /// As [`Cluster::start`], with further knobs turned.
    pub(crate) async fn start_with(names: &[&str], turn: impl Fn(&mut Config)) -> Self {
        let mut listeners = Vec::new();
        for name in names {
            let clients = TcpListener::bind("127.0.0.1:0").await.expect("bind");
            let regions = TcpListener::bind("127.0.0.1:0").await.expect("bind");
            listeners.push(((*name).to_owned(), clients, regions));
        }
        let addresses: BTreeMap<String, SocketAddr> = listeners
            .iter()
            .map(|(name, _, regions)| (name.clone(), regions.local_addr().expect("address")))
            .collect();
        let mut regions = BTreeMap::new();
        for (name, clients, listener) in listeners {
            let mut config = Config::new(&name, 1);
            config.peers = addresses.clone();
            config.peers.remove(&name);
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
            let address = clients.local_addr().expect("address");
            let run = handle.clone().run(clients, listener);
            let task = tokio::spawn(async move { run.await.expect("server") });
            regions.insert(
                name,
                Server {
                    handle,
                    clients: address,
                    task,
                },
            );
        }
        Self { regions }
    }

    /// The official SDK with its defaults, pointed at one Region.
    pub(crate) fn client(&self, region: &str) -> Client {
        client_at(region, self.address(region))
    }

    /// Where one Region serves clients.
    pub(crate) fn address(&self, region: &str) -> SocketAddr {
        self.regions[region].clients
    }

    /// One Region's handle.
    pub(crate) fn handle(&self, region: &str) -> &DynamoDb {
        &self.regions[region].handle
    }

    /// All Regions' accounts of replication.
    pub(crate) fn summary(&self) -> Summary {
        let accounts: Vec<_> = self
            .regions
            .values()
            .map(|server| server.handle.counters())
            .collect();
        Summary::of(&accounts)
    }

    /// Waits until every change has reached every Region.
    pub(crate) async fn quiescent(&self) {
        for _ in 0..1_000 {
            if self.summary().pending == 0 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!(
            "replication did not become quiescent within 10 s: {:?}",
            self.summary()
        );
    }

    /// The items of a table in one Region, each as one line of JSON, sorted.
    pub(crate) fn items(&self, region: &str, table: &str) -> Vec<String> {
        let mut items: Vec<String> = self
            .handle(region)
            .items(table)
            .expect("table")
            .iter()
            .map(ToString::to_string)
            .collect();
        items.sort();
        items
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.regions.values().for_each(|server| server.task.abort());
    }
}

/// The official SDK with its default retries over plain HTTP.
pub(crate) fn client_at(region: &str, address: SocketAddr) -> Client {
    let config = aws_sdk_dynamodb::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new(region.to_owned()))
        .credentials_provider(Credentials::new("AKIDEXAMPLE", "secret", None, None, "test"))
        .endpoint_url(format!("http://{address}"))
        .http_client(Builder::new().build_http())
        .build();
    Client::from_conf(config)
}
