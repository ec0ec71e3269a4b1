//! The simulated services on real localhost ports, for any AWS SDK, the AWS CLI or psql: the library side of `sumzero
//! local`.
//!
//! Each Region has servers of its own and the environment variables that point a client there. DynamoDB's Regions replicate
//! with each other, and Aurora's are one Global Database; the others do not know of each other. Nothing outlives the
//! process.

use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::aurora::cluster::{GlobalCluster, Listeners, RegionConfig};
use super::dynamodb::DynamoDb;
use super::eventbridge::EventBridge;
use super::routing::{Configuration, Endpoint};
use super::sqs::Sqs;
use super::{aurora, dynamodb, eventbridge, routing, sqs};

/// Where a routing-control cluster has its endpoints.
const ROUTING_REGIONS: [&str; 5] = [
    "us-east-1",
    "us-west-2",
    "eu-west-1",
    "ap-northeast-1",
    "ap-southeast-2",
];

/// What to serve and where.
#[derive(Debug, Clone)]
pub struct Options {
    /// The Regions. Default: us-east-1, us-east-2, us-west-2.
    pub regions: Vec<String>,
    /// The address to listen on. Default 127.0.0.1.
    pub host: IpAddr,
    /// The first of consecutive ports; 0 takes whatever is free. Default 0.
    pub first_port: u16,
    /// Decides ids, lags and the draws of faults. Default 0.
    pub seed: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            regions: ["us-east-1", "us-east-2", "us-west-2"].map(str::to_owned).into(),
            host: Ipv4Addr::LOCALHOST.into(),
            first_port: 0,
            seed: 0,
        }
    }
}

/// Services being served. Dropped, they stop; [`Local::stop`] also waits until their ports are free.
#[derive(Debug)]
pub struct Local {
    host: IpAddr,
    next_port: u16,
    shared: Variables,
    regions: BTreeMap<String, Variables>,
    serving: JoinSet<io::Result<()>>,
}

/// Environment variables with their values.
pub type Variables = BTreeMap<String, String>;

/// Why the services cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The same Region twice.
    #[error("the Region {0} is named twice")]
    RegionTwice(String),
    /// No Region at all.
    #[error("no Region is named")]
    NoRegion,
    /// A port that is taken, or an address that this machine does not have.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// Why not.
        source: io::Error,
    },
    /// More ports than there are.
    #[error("the ports after {0} do not suffice")]
    OutOfPorts(u16),
    /// A service that would not start.
    #[error("cannot start: {0}")]
    Start(String),
}

/// Starts every service, for every Region.
///
/// # Errors
/// See [`Error`]; then nothing is served.
pub async fn serve(options: Options) -> Result<Local, Error> {
    if options.regions.is_empty() {
        return Err(Error::NoRegion);
    }
    let mut regions = BTreeMap::new();
    for region in &options.regions {
        if regions.insert(region.clone(), Variables::new()).is_some() {
            return Err(Error::RegionTwice(region.clone()));
        }
    }
    let mut local = Local {
        host: options.host,
        next_port: options.first_port,
        shared: Variables::new(),
        regions,
        serving: JoinSet::new(),
    };
    // Credentials that mean nothing: whatever signs is let in.
    for name in ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"] {
        local.shared.insert(name.to_owned(), "local".to_owned());
    }
    local.tables(&options).await?;
    for region in &options.regions {
        local.set(region, "AWS_REGION", region);
        local.set(region, "AWS_DEFAULT_REGION", region);
        local.messaging(region, options.seed).await?;
    }
    local.database(&options).await?;
    local.routing(&options).await?;
    Ok(local)
}

impl Local {
    /// The environment variables that hold for clients in every Region.
    pub fn shared(&self) -> &Variables {
        &self.shared
    }

    /// The environment variables for clients in each Region, besides the shared ones.
    pub fn regions(&self) -> &BTreeMap<String, Variables> {
        &self.regions
    }

    /// Runs until a service ends, which none does by itself.
    ///
    /// # Errors
    /// As the service's.
    pub async fn ended(&mut self) -> io::Result<()> {
        match self.serving.join_next().await {
            Some(Ok(ended)) => ended,
            Some(Err(broken)) => Err(io::Error::other(broken)),
            None => Ok(()),
        }
    }

    /// Stops listening, and returns once every port is free again.
    pub async fn stop(mut self) {
        self.serving.shutdown().await;
    }

    fn set(&mut self, region: &str, variable: &str, value: impl Into<String>) {
        let region = self.regions.entry(region.to_owned()).or_default();
        region.insert(variable.to_owned(), value.into());
    }

    async fn listen(&mut self) -> Result<(TcpListener, SocketAddr), Error> {
        let address = SocketAddr::from((self.host, self.next_port));
        let failed = |source| Error::Listen { address, source };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let bound = listener.local_addr().map_err(failed)?;
        if self.next_port != 0 {
            self.next_port = self
                .next_port
                .checked_add(1)
                .ok_or(Error::OutOfPorts(self.next_port))?;
        }
        Ok((listener, bound))
    }

    /// Serves one service to a Region's clients and sets its variable: `AWS_ENDPOINT_URL_SQS`.
    async fn start<F>(
        &mut self,
        region: &str,
        variable: &str,
        serve: impl FnOnce(TcpListener) -> F,
    ) -> Result<SocketAddr, Error>
    where
        F: Future<Output = io::Result<()>> + Send + 'static,
    {
        let (listener, address) = self.listen().await?;
        self.serving.spawn(serve(listener));
        self.set(region, variable, format!("http://{address}"));
        Ok(address)
    }

    /// DynamoDB, each Region on two ports: one for clients, one for the other Regions.
    async fn tables(&mut self, options: &Options) -> Result<(), Error> {
        let mut listeners = Vec::new();
        for region in &options.regions {
            listeners.push((region, self.listen().await?, self.listen().await?));
        }
        let peers: BTreeMap<String, SocketAddr> = listeners
            .iter()
            .map(|(region, _, (_, address))| ((*region).clone(), *address))
            .collect();
        for (region, (clients, address), (regions, _)) in listeners {
            let mut config = dynamodb::Config::new(region, options.seed);
            config.peers = peers.clone();
            config.peers.remove(region);
            let tables = DynamoDb::new(config).map_err(|error| Error::Start(error.to_string()))?;
            self.serving.spawn(tables.run(clients, regions));
            for variable in ["AWS_ENDPOINT_URL_DYNAMODB", "AWS_ENDPOINT_URL_DYNAMODB_STREAMS"] {
                self.set(region, variable, format!("http://{address}"));
            }
        }
        Ok(())
    }

    async fn messaging(&mut self, region: &str, seed: u64) -> Result<(), Error> {
        let queues = Sqs::new(sqs::Options {
            seed,
            ..sqs::Options::new(region)
        });
        let serve = |listener| queues.serve(listener);
        let queues = self.start(region, "AWS_ENDPOINT_URL_SQS", serve).await?;
        let buses = EventBridge::new(eventbridge::Options {
            seed,
            ..eventbridge::Options::new(region, queues)
        });
        let serve = |listener| buses.serve(listener);
        self.start(region, "AWS_ENDPOINT_URL_EVENTBRIDGE", serve).await?;
        Ok(())
    }

    /// One Aurora Global Database, whose writer is the first Region. `DATABASE_URL` is a Region's cluster endpoint, read-only
    /// but in the writer's; `DATABASE_READER_URL` its reader endpoint.
    async fn database(&mut self, options: &Options) -> Result<(), Error> {
        let mut members = Vec::new();
        let mut listeners = Vec::new();
        for region in &options.regions {
            let (cluster, endpoint) = self.listen().await?;
            let (reader, reader_endpoint) = self.listen().await?;
            let (replication, address) = self.listen().await?;
            let (api, api_address) = self.listen().await?;
            let url = |address: SocketAddr| format!("postgres://postgres@{address}/postgres");
            self.set(region, "DATABASE_URL", url(endpoint));
            self.set(region, "DATABASE_READER_URL", url(reader_endpoint));
            self.set(region, "AWS_ENDPOINT_URL_RDS", format!("http://{api_address}"));
            members.push(RegionConfig {
                region: region.clone(),
                endpoint,
                reader_endpoint,
                replication: address,
            });
            listeners.push(Listeners {
                cluster,
                reader,
                replication,
                api,
            });
        }
        let config = aurora::cluster::Config::new("local", options.seed, members);
        let database = GlobalCluster::new(config).map_err(|error| Error::Start(error.to_string()))?;
        for (region, listeners) in options.regions.iter().zip(listeners) {
            let cluster = database
                .cluster(region)
                .map_err(|error| Error::Start(error.to_string()))?;
            self.serving.spawn(cluster.run(listeners));
        }
        Ok(())
    }

    /// One cluster for all Regions: its five endpoints, with a control for each Region served. Every client is pointed at the
    /// first; `SUMZERO_ROUTING_ENDPOINTS` lists them all, as `REGION=URL` with commas between.
    async fn routing(&mut self, options: &Options) -> Result<(), Error> {
        let configuration = Configuration::of_controls(options.regions.iter().map(String::as_str));
        let mut members = Vec::new();
        for _ in ROUTING_REGIONS {
            members.push(self.listen().await?);
        }
        let addresses: Vec<SocketAddr> = members.iter().map(|(_, address)| *address).collect();
        let mut urls = Vec::new();
        for ((member, region), (peers, _)) in (0..).zip(ROUTING_REGIONS).zip(members) {
            let (clients, address) = self.listen().await?;
            let options = routing::Options {
                seed: options.seed,
                ..routing::Options::new(region, member, addresses.clone(), configuration.clone())
            };
            let endpoint = Endpoint::new(options).map_err(|error| Error::Start(error.to_string()))?;
            self.serving.spawn(endpoint.serve(clients, peers));
            let url = format!("http://{address}");
            let first = "AWS_ENDPOINT_URL_ROUTE53_RECOVERY_CLUSTER".to_owned();
            self.shared.entry(first).or_insert_with(|| url.clone());
            urls.push(format!("{region}={url}"));
        }
        self.shared
            .insert("SUMZERO_ROUTING_ENDPOINTS".to_owned(), urls.join(","));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn every_region_has_ports_of_its_own_and_stopping_frees_them() {
        let local = serve(Options::default()).await.expect("free ports");
        let mut urls = Vec::new();
        for (region, variables) in local.regions() {
            assert_eq!(variables["AWS_REGION"], *region);
            for service in ["DYNAMODB", "RDS", "SQS", "EVENTBRIDGE"] {
                urls.push(variables[&format!("AWS_ENDPOINT_URL_{service}")].clone());
            }
            urls.push(variables["DATABASE_URL"].clone());
            urls.push(variables["DATABASE_READER_URL"].clone());
        }
        urls.sort();
        urls.dedup();
        assert_eq!(urls.len(), 18);
        let address = urls[0].strip_prefix("http://").expect("a URL").to_owned();
        assert!(TcpListener::bind(&address).await.is_err(), "taken");
        local.stop().await;
        TcpListener::bind(&address).await.expect("free again");
    }

    #[tokio::test]
    async fn what_cannot_be_served_is_refused_by_name() {
        let of = |regions: &[&str]| Options {
            regions: regions.iter().map(|region| (*region).to_owned()).collect(),
            ..Options::default()
        };
        let twice = serve(of(&["us-east-1", "us-east-1"])).await.expect_err("twice");
        assert!(twice.to_string().contains("us-east-1"), "{twice}");
        assert!(matches!(serve(of(&[])).await, Err(Error::NoRegion)));
        let taken = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = taken.local_addr().expect("address").port();
        let options = Options {
            first_port: port,
            ..Options::default()
        };
        let refused = serve(options).await.expect_err("taken");
        assert!(
            refused.to_string().contains(&format!("127.0.0.1:{port}")),
            "{refused}"
        );
    }
}
