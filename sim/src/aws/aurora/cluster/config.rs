//! How a Global Database is set up: its Regions and every knob.

use std::net::SocketAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::aws::aurora::engine::Options;
use crate::units::{Lag, Span};
use crate::{Seed, Stream};

/// One Region of a Global Database, and where its cluster listens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RegionConfig {
    /// The Region: `us-east-1`.
    pub region: String,
    /// The cluster endpoint: the writer instance in the writer's Region, a read-only one elsewhere.
    pub endpoint: SocketAddr,
    /// The reader endpoint.
    pub reader_endpoint: SocketAddr,
    /// Where the other Regions reach its storage and its control plane.
    pub replication: SocketAddr,
}

/// A Global Database.
#[derive(Clone, Debug)]
pub struct Config {
    /// Its identifier. Clusters are named after it: `IDENTIFIER-REGION`.
    pub identifier: String,
    /// The account in every ARN. Default 123456789012.
    pub account: String,
    /// Seeds every draw.
    pub seed: u64,
    /// The Regions; the first is the writer.
    pub regions: Vec<RegionConfig>,
    /// How each instance is set up.
    pub instance: Options,
    /// The time that storage takes to make a commit durable. Default 1 to 3 ms.
    pub commit: Span,
    /// Whether each Region has a second instance, behind the reader endpoint. Without one the reader endpoint leads to the
    /// first. Default yes.
    pub reader: bool,
    /// How far the reader instance is behind the writer. Default 10 to 30 ms.
    pub reader_lag: Span,
    /// How long the log waits before it is shipped to another Region, on top of the network's own time.
    pub lag: Lag,
    /// `rds.global_db_rpo`: commits wait while every secondary lags more than this. AWS: off, or 20 s and more. Default off.
    pub rpo: Option<Duration>,
    /// How long an in-Region failover takes. Default 30 to 60 s.
    pub failover: Span,
    /// How long a cluster takes to start after its host was down. Default 5 to 15 s.
    pub restart: Span,
    /// How long a failover to another Region takes. Default 60 to 90 s.
    pub global_failover: Span,
    /// How long nothing can be written in a switchover, besides the time to synchronise. Default 10 to 30 s.
    pub switchover: Span,
    /// After how long a switchover that cannot synchronise is given up. Default 2 min.
    pub switchover_timeout: Duration,
    /// How far a signature's date may lie from the RDS API's clock. AWS: 5 min.
    pub skew_limit: Duration,
}

impl Config {
    /// AWS's behaviour.
    pub fn new(identifier: impl Into<String>, seed: u64, regions: Vec<RegionConfig>) -> Config {
        let seconds = |min: u64, max: u64| Span::millis(min * 1000, max * 1000);
        Config {
            identifier: identifier.into(),
            account: "123456789012".to_owned(),
            seed,
            regions,
            instance: Options::default(),
            commit: Span::millis(1, 3),
            reader: true,
            reader_lag: Span::millis(10, 30),
            lag: Lag::default(),
            rpo: None,
            failover: seconds(30, 60),
            restart: seconds(5, 15),
            global_failover: seconds(60, 90),
            switchover: seconds(10, 30),
            switchover_timeout: Duration::from_secs(120),
            skew_limit: Duration::from_secs(300),
        }
    }

    /// The stream of draws for one purpose of one Region.
    pub(super) fn stream(&self, region: &str, purpose: &str) -> Stream {
        Seed(self.seed).stream(&format!("aurora/{region}/{purpose}"))
    }

    /// The identifier of a Region's cluster.
    pub(super) fn cluster(&self, region: &str) -> String {
        format!("{}-{region}", self.identifier)
    }

    /// The ARN of a Region's cluster.
    pub(super) fn arn(&self, region: &str) -> String {
        format!(
            "arn:aws:rds:{region}:{}:cluster:{}",
            self.account,
            self.cluster(region)
        )
    }
}
