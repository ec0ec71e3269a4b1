//! The faults of simulated services, as data.
//!
//! | fault | what the client sees | was it applied |
//! |---|---|---|
//! | throttle | the service's throttling error; of a batch only the items that are struck | no |
//! | fail before | 500 or 503 | no |
//! | fail after | 500 or 503 | yes |
//! | lose answer | the connection closes with no answer | yes |
//! | slow | a late answer | yes, late |
//! | unavailable | a refusal, a closed connection, or no answer ever | no |
//! | pause or delay replication | nothing, here | elsewhere later |
//! | messages, events | duplicates, disorder, delay, partial failure | as told |
//! | Aurora: failover, crash during commit | closed connections, then a new writer | a commit under way: both can be |
//! | Aurora: storm, kill, slow disk, disk full | 53300, 57014 or 57P01, late commits, 53100 | no; late |
//!
//! Every service takes the faults of requests; the others say which service they belong to.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::units;

/// A kind of simulated service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Service {
    /// DynamoDB. Its resources are tables, its keys the values of key attributes.
    Dynamodb,
    /// SQS. Its resources are queues.
    Sqs,
    /// EventBridge. Its resources are event buses.
    Eventbridge,
    /// The Aurora PostgreSQL cluster of one Region. Its operations are the command words of statements (`COMMIT`, also for
    /// the commit that ends a statement outside a transaction block) and the actions of the RDS API
    /// (`FailoverGlobalCluster`). Throttling and failures strike the API alone.
    Aurora,
    /// One endpoint of a routing-control cluster. Its resources are the ARNs of routing controls.
    RoutingControl,
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Service::Dynamodb => "DynamoDB",
            Service::Sqs => "SQS",
            Service::Eventbridge => "EventBridge",
            Service::Aurora => "Aurora",
            Service::RoutingControl => "routing control",
        })
    }
}

/// Which requests a fault strikes. Every member that is given must match.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Target {
    /// Only requests that touch this table, queue, bus or routing control.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resource: Option<String>,
    /// DynamoDB: only requests that touch an item with this text as one of its key values.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// Only these operations (`PutItem`). Empty: all; for DynamoDB, all operations on items.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub operations: Vec<String>,
    /// The probability, 0 to 1, that a matching request is struck. Default 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub probability: Option<f64>,
    /// How many requests are struck before the fault is spent. Default: no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub times: Option<u64>,
}

impl Target {
    /// Only this operation.
    pub fn operation(name: impl Into<String>) -> Target {
        Target {
            operations: vec![name.into()],
            ..Target::default()
        }
    }

    /// Only requests that touch this resource.
    pub fn resource(name: impl Into<String>) -> Target {
        Target {
            resource: Some(name.into()),
            ..Target::default()
        }
    }

    /// Only requests that touch an item with this key value.
    pub fn key(value: impl Into<String>) -> Target {
        Target {
            key: Some(value.into()),
            ..Target::default()
        }
    }

    /// The same, with this probability for each request.
    pub fn probability(self, probability: f64) -> Target {
        Target {
            probability: Some(probability),
            ..self
        }
    }

    /// The same, spent after so many requests.
    pub fn times(self, times: u64) -> Target {
        Target {
            times: Some(times),
            ..self
        }
    }
}

/// The status of a failed request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Failure {
    /// 500, the service's internal error.
    #[default]
    Internal,
    /// 503.
    Unavailable,
}

/// How a service that is out shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outage {
    /// The service's own error at once.
    #[default]
    Refuse,
    /// The connection closes at once.
    Hangup,
    /// No answer, ever: the client's own time-out decides.
    Silence,
}

/// A fault of one service in one Region.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
#[non_exhaustive]
pub enum ServiceFault {
    /// Refused by throttling: a table, a hot key, a queue.
    Throttle {
        /// Whom it strikes.
        #[serde(default)]
        target: Target,
    },
    /// An error before anything is applied.
    FailBefore {
        /// Whom it strikes.
        #[serde(default)]
        target: Target,
        /// Which error.
        #[serde(default)]
        failure: Failure,
    },
    /// An error although the request was applied.
    FailAfter {
        /// Whom it strikes.
        #[serde(default)]
        target: Target,
        /// Which error.
        #[serde(default)]
        failure: Failure,
    },
    /// The request is applied and the connection closes without an answer.
    LoseAnswer {
        /// Whom it strikes.
        #[serde(default)]
        target: Target,
    },
    /// The request takes this much longer to take effect, evenly between the two: 0s to 10m.
    Slow {
        /// Whom it strikes.
        #[serde(default)]
        target: Target,
        /// The least.
        #[serde(with = "units::duration")]
        min: Duration,
        /// The most.
        #[serde(with = "units::duration")]
        max: Duration,
    },
    /// No request is taken at all. What the service does by itself, replication for one, goes on.
    Unavailable {
        /// How that shows.
        #[serde(default)]
        outage: Outage,
    },
    /// DynamoDB: changes stay here, and changes of others are not let in. What FIS calls pausing a global table's
    /// replication. Aurora: the writer's log stays here.
    PauseReplication {
        /// Only with this Region. Default: with all.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        region: Option<String>,
        /// DynamoDB: only this table. Default: all.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        table: Option<String>,
    },
    /// DynamoDB: each change becomes due this much later, evenly between the two: 0s to 1h. Aurora: each batch of the
    /// writer's log.
    DelayReplication {
        /// Only to this Region. Default: to all.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        region: Option<String>,
        /// The least.
        #[serde(with = "units::duration")]
        min: Duration,
        /// The most.
        #[serde(with = "units::duration")]
        max: Duration,
    },
    /// SQS, standard queues: a delivered message comes a second time, even if it is deleted.
    DuplicateMessages {
        /// The chance, 0 to 0.5, for each delivery.
        probability: f64,
        /// The longest until that second delivery, drawn evenly from nothing: 0s to 15m.
        #[serde(with = "units::duration")]
        within: Duration,
    },
    /// SQS, standard queues: a delivery takes any visible message rather than the oldest.
    ReorderMessages {
        /// The chance, 0 to 1, for each delivery.
        probability: f64,
    },
    /// SQS: a short poll finds nothing although there are messages, since it asks only some of the servers that hold a
    /// queue. A long poll asks them all.
    MissMessages {
        /// The chance, 0 to 0.9, for each short poll.
        probability: f64,
    },
    /// EventBridge: a good entry of a `PutEvents` fails alone, with `InternalFailure`.
    FailEntries {
        /// The chance, 0 to 1, for each entry.
        probability: f64,
    },
    /// EventBridge: an event is delivered to a target a second time.
    DuplicateEvents {
        /// The chance, 0 to 1, for each delivery.
        probability: f64,
    },
    /// EventBridge: the first delivery of an event waits, evenly between the two, so that events overtake each other: 0s to
    /// 10m.
    DelayEvents {
        /// The least.
        #[serde(with = "units::duration")]
        min: Duration,
        /// The most.
        #[serde(with = "units::duration")]
        max: Duration,
    },
    /// EventBridge: no delivery to a queue succeeds; deliveries are retried.
    LoseTarget {
        /// The queue's name.
        queue: String,
    },
    /// Aurora, once: the writer instance fails and another of the Region takes over. What FIS calls `failover-db-cluster`.
    FailOverCluster {},
    /// Aurora, once: the secondary in this Region becomes the writer of the Global Database.
    FailOverGlobalCluster {
        /// Without waiting for what the writer has not shipped yet. Otherwise a switchover, which needs both Regions.
        allow_data_loss: bool,
    },
    /// Aurora: the writer instance crashes while it commits, and an in-Region failover follows. The client hears nothing.
    CrashDuringCommit {
        /// The chance, 0 to 1, that a commit is struck.
        probability: f64,
        /// The chance, 0 to 1, that a struck commit is durable.
        applied: f64,
        /// How many commits are struck before the fault is spent. Default: no limit.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        times: Option<u64>,
    },
    /// Aurora: other clients hold so many connections to each instance.
    ConnectionStorm {
        /// How many.
        connections: u32,
    },
    /// Aurora: each commit takes this much longer to become durable, evenly between the two: 0s to 10m.
    SlowDisk {
        /// The least.
        #[serde(with = "units::duration")]
        min: Duration,
        /// The most.
        #[serde(with = "units::duration")]
        max: Duration,
    },
    /// Aurora: nothing can be written, 53100.
    DiskFull {},
    /// Aurora: a statement is killed before it does anything.
    KillStatement {
        /// Whom it strikes.
        #[serde(default)]
        target: Target,
        /// The session is killed with it, 57P01; otherwise the statement alone, 57014.
        #[serde(default)]
        session: bool,
    },
}

impl ServiceFault {
    /// The services that can suffer it.
    pub fn services(&self) -> &'static [Service] {
        match self {
            Self::Throttle { .. }
            | Self::FailBefore { .. }
            | Self::FailAfter { .. }
            | Self::LoseAnswer { .. }
            | Self::Slow { .. }
            | Self::Unavailable { .. } => &[
                Service::Dynamodb,
                Service::Sqs,
                Service::Eventbridge,
                Service::Aurora,
                Service::RoutingControl,
            ],
            Self::PauseReplication { .. } | Self::DelayReplication { .. } => {
                &[Service::Dynamodb, Service::Aurora]
            }
            Self::DuplicateMessages { .. } | Self::ReorderMessages { .. } | Self::MissMessages { .. } => {
                &[Service::Sqs]
            }
            Self::FailEntries { .. }
            | Self::DuplicateEvents { .. }
            | Self::DelayEvents { .. }
            | Self::LoseTarget { .. } => &[Service::Eventbridge],
            Self::FailOverCluster {}
            | Self::FailOverGlobalCluster { .. }
            | Self::CrashDuringCommit { .. }
            | Self::ConnectionStorm { .. }
            | Self::SlowDisk { .. }
            | Self::DiskFull {}
            | Self::KillStatement { .. } => &[Service::Aurora],
        }
    }

    /// The name, as plans write it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Throttle { .. } => "throttle",
            Self::FailBefore { .. } => "fail-before",
            Self::FailAfter { .. } => "fail-after",
            Self::LoseAnswer { .. } => "lose-answer",
            Self::Slow { .. } => "slow",
            Self::Unavailable { .. } => "unavailable",
            Self::PauseReplication { .. } => "pause-replication",
            Self::DelayReplication { .. } => "delay-replication",
            Self::DuplicateMessages { .. } => "duplicate-messages",
            Self::ReorderMessages { .. } => "reorder-messages",
            Self::MissMessages { .. } => "miss-messages",
            Self::FailEntries { .. } => "fail-entries",
            Self::DuplicateEvents { .. } => "duplicate-events",
            Self::DelayEvents { .. } => "delay-events",
            Self::LoseTarget { .. } => "lose-target",
            Self::FailOverCluster {} => "fail-over-cluster",
            Self::FailOverGlobalCluster { .. } => "fail-over-global-cluster",
            Self::CrashDuringCommit { .. } => "crash-during-commit",
            Self::ConnectionStorm { .. } => "connection-storm",
            Self::SlowDisk { .. } => "slow-disk",
            Self::DiskFull {} => "disk-full",
            Self::KillStatement { .. } => "kill-statement",
        }
    }

    fn target(&self) -> Option<&Target> {
        match self {
            Self::Throttle { target }
            | Self::FailBefore { target, .. }
            | Self::FailAfter { target, .. }
            | Self::LoseAnswer { target }
            | Self::KillStatement { target, .. }
            | Self::Slow { target, .. } => Some(target),
            _ => None,
        }
    }

    /// Checks that this service can suffer it and that every number is in its range.
    ///
    /// # Errors
    /// What is wrong, by name.
    pub fn check(&self, service: Service) -> Result<(), Invalid> {
        let wrong = |field, value: String, range| {
            Err(Invalid {
                fault: self.name(),
                field,
                value,
                range,
            })
        };
        let seconds = Duration::from_secs;
        if !self.services().contains(&service) {
            return wrong("service", service.to_string(), "the one that has such a fault");
        }
        if let Some(target) = self.target() {
            if target.key.is_some() && service != Service::Dynamodb {
                return wrong("key", service.to_string(), "absent: only DynamoDB has keys");
            }
            if let Some(probability) = target.probability
                && !(0.0..=1.0).contains(&probability)
            {
                return wrong("probability", probability.to_string(), "0 to 1");
            }
        }
        let (chance, highest, range) = match self {
            Self::DuplicateMessages { probability, .. } => (*probability, 0.5, "0 to 0.5"),
            Self::MissMessages { probability } => (*probability, 0.9, "0 to 0.9"),
            Self::ReorderMessages { probability }
            | Self::FailEntries { probability }
            | Self::DuplicateEvents { probability }
            | Self::CrashDuringCommit { probability, .. } => (*probability, 1.0, "0 to 1"),
            _ => (0.0, 1.0, ""),
        };
        if !(0.0..=highest).contains(&chance) {
            return wrong("probability", chance.to_string(), range);
        }
        if let Self::CrashDuringCommit { applied, .. } = self
            && !(0.0..=1.0).contains(applied)
        {
            return wrong("applied", applied.to_string(), "0 to 1");
        }
        let (min, max, longest, range) = match self {
            Self::Slow { min, max, .. } | Self::SlowDisk { min, max } => {
                (*min, *max, seconds(600), "min to 10m")
            }
            Self::DelayEvents { min, max } => (*min, *max, seconds(600), "min to 10m"),
            Self::DelayReplication { min, max, .. } => (*min, *max, seconds(3_600), "min to 1h"),
            Self::DuplicateMessages { within, .. } => (*within, *within, seconds(900), "0s to 15m"),
            _ => return Ok(()),
        };
        if min > max || max > longest {
            return wrong("max", humantime::format_duration(max).to_string(), range);
        }
        Ok(())
    }
}

impl fmt::Display for ServiceFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())?;
        if let Some(target) = self.target() {
            if !target.operations.is_empty() {
                write!(f, " {}", target.operations.join(", "))?;
            }
            for (what, name) in [("on", &target.resource), ("key", &target.key)] {
                if let Some(name) = name {
                    write!(f, " {what} {name}")?;
                }
            }
            if let Some(probability) = target.probability {
                write!(f, " with probability {}", (probability * 1e6).round() / 1e6)?;
            }
            if let Some(times) = target.times {
                write!(f, ", {times} times")?;
            }
        }
        Ok(())
    }
}

/// What a service fault cannot be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{fault}: {field} is {value}, but must be {range}")]
pub struct Invalid {
    /// The fault's name.
    pub fault: &'static str,
    /// Which of its values.
    pub field: &'static str,
    /// The value given.
    pub value: String,
    /// What it may be.
    pub range: &'static str,
}
