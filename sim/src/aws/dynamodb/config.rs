//! What one Region's DynamoDB is told when it is created: who it is, whom it replicates with, and every knob.
//!
//! Defaults are AWS's documented behaviour. Where AWS documents none, the default is on the strict side and the seed is
//! meant to choose.

pub use crate::units::{Lag, Span};
use crate::{Seed, Stream, units};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

/// Which of two changes with the same private timestamp wins (undocumented).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TieBreak {
    /// The Region whose name sorts last. Replicas converge.
    HighestRegion,
    /// The Region whose name sorts first. Replicas converge.
    LowestRegion,
    /// The change already there, in each Region for itself: a tie makes replicas differ until the next write. This is
    /// what a literal reading of "incoming > existing" gives.
    Existing,
}

/// Multi-Region eventual consistency.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Mrec {
    /// The lag to each destination Region that has one of its own.
    pub lag_to: BTreeMap<String, Lag>,
    /// The lag to every other Region.
    pub lag: Lag,
    /// The probability, 0 to 1, that a change replaces an unsent change of the same item instead of following it.
    pub coalesce: f64,
    /// Who wins a tie.
    pub tie_break: TieBreak,
    /// The resolution of the private timestamp (undocumented). Coarser makes ties likelier.
    #[serde(with = "units::duration")]
    pub stamp_resolution: Duration,
}

impl Default for Mrec {
    fn default() -> Self {
        Self {
            lag_to: BTreeMap::new(),
            lag: Lag::default(),
            coalesce: 0.5,
            tie_break: TieBreak::HighestRegion,
            stamp_resolution: Duration::from_millis(1),
        }
    }
}

/// Multi-Region strong consistency.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Mrsc {
    /// The sets within which a strongly consistent table's three Regions must lie.
    pub region_sets: Vec<Vec<String>>,
    /// How long one step waits for a second Region before the request fails with a 500 (undocumented). Finding out what
    /// became of a write that met others may take as long again.
    #[serde(with = "units::duration")]
    pub quorum_timeout: Duration,
    /// How long a read waits for the first Region that it asks before it asks the other as well (undocumented).
    #[serde(with = "units::duration")]
    pub read_patience: Duration,
    /// How often a write that meets another Region's is tried again before the caller is told (undocumented).
    pub attempts: u32,
    /// The pause before the first such try; its longest doubles from try to try, up to 16 times.
    pub backoff: Span,
}

impl Default for Mrsc {
    fn default() -> Self {
        let set = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        Self {
            region_sets: vec![
                set(&["us-east-1", "us-east-2", "us-west-2"]),
                set(&["eu-west-1", "eu-west-2", "eu-west-3", "eu-central-1"]),
                set(&["ap-northeast-1", "ap-northeast-2", "ap-northeast-3"]),
            ],
            quorum_timeout: Duration::from_secs(3),
            read_patience: Duration::from_millis(100),
            attempts: 3,
            backoff: Span::millis(5, 50),
        }
    }
}

/// Deletion of expired items.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Ttl {
    /// The time between two sweeps of the Region's tables.
    #[serde(with = "units::duration")]
    pub sweep_every: Duration,
    /// How long an item must have been expired to fall to a sweep; drawn anew for each sweep. AWS: typically up to two
    /// days.
    pub linger: Span,
}

impl Default for Ttl {
    fn default() -> Self {
        let hours = |hours: u64| Duration::from_secs(hours * 3600);
        Self {
            sweep_every: Duration::from_secs(60),
            linger: Span {
                min: Duration::ZERO,
                max: hours(48),
            },
        }
    }
}

/// One Region's DynamoDB.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// The Region's name: `us-east-1`.
    pub region: String,
    /// The account in every ARN.
    pub account: String,
    /// Seeds every draw. Regions of one world share it; their draws differ by purpose.
    pub seed: u64,
    /// Where the other Regions listen for replication.
    pub peers: BTreeMap<String, SocketAddr>,
    /// How far a signature's date may lie from this server's clock. AWS: 5 minutes.
    pub skew_limit: Duration,
    /// Whether unsigned requests are refused. AWS: yes.
    pub signatures_required: bool,
    /// Whether faults can be set over HTTP, unsigned, by `POST /_sumzero/faults` with a JSON list of them. Off by
    /// default: AWS has no such path.
    pub admin: bool,
    /// The time from a request's arrival to its effect.
    pub latency: Span,
    /// How long a transaction holds its items before it takes effect; others that touch them meanwhile conflict.
    pub transaction_hold: Span,
    /// Deletion of expired items.
    pub ttl: Ttl,
    /// Eventually consistent global tables.
    pub mrec: Mrec,
    /// Strongly consistent global tables.
    pub mrsc: Mrsc,
}

impl Config {
    /// AWS's behaviour for a Region without peers.
    pub fn new(region: impl Into<String>, seed: u64) -> Self {
        Self {
            region: region.into(),
            account: "123456789012".to_owned(),
            seed,
            peers: BTreeMap::new(),
            skew_limit: Duration::from_secs(300),
            signatures_required: true,
            admin: false,
            latency: Span::millis(1, 3),
            transaction_hold: Span::millis(4, 12),
            ttl: Ttl::default(),
            mrec: Mrec::default(),
            mrsc: Mrsc::default(),
        }
    }

    /// The stream of draws for one purpose of this Region.
    pub(super) fn stream(&self, purpose: &str) -> Stream {
        Seed(self.seed).stream(&format!("dynamodb/{}/{purpose}", self.region))
    }
}
