//! The fault vocabulary as a list for people: each kind by the name that plans and scenario files use.

use super::{Fault, ServiceFault};

/// The kinds of faults of links, processes, machines and clocks, with what each does.
pub const KINDS: &[(&str, &str)] = &[
    ("region-loss", "every machine of a Region is lost, in silence"),
    ("region-isolated", "a Region's links to all others are cut"),
    (
        "partition",
        "packets between two places are lost, both ways or one way",
    ),
    ("network-latency", "packets between two places take longer"),
    (
        "network-packet-loss",
        "packets are lost now and then, which shows as delay",
    ),
    ("network-bandwidth", "the ways between two places are narrow"),
    ("network-blackhole-port", "packets to a port vanish"),
    (
        "connection-reset",
        "every connection between two places is reset, once",
    ),
    (
        "process-kill",
        "a process is killed, and started again when the fault ends",
    ),
    ("process-pause", "a process stops in its tracks while time passes"),
    (
        "machine-loss",
        "power is gone: no FIN, no RST; the disk may be lost",
    ),
    ("clock-offset", "a wall clock is off while the fault lasts"),
    ("clock-drift", "both clocks run fast or slow"),
    ("clock-jump", "a wall clock is stepped, and stays so"),
    ("service", "a simulated service misbehaves: see below"),
];

/// The kinds of faults of simulated services, with what each does.
pub const SERVICE_KINDS: &[(&str, &str)] = &[
    ("throttle", "requests are refused by throttling"),
    ("fail-before", "an error, and nothing was applied"),
    ("fail-after", "an error, although the request was applied"),
    (
        "lose-answer",
        "applied, and the connection closes without an answer",
    ),
    ("slow", "requests take effect late"),
    (
        "unavailable",
        "no request is taken: refused, hung up on, or never answered",
    ),
    (
        "pause-replication",
        "DynamoDB, Aurora: changes stay in their Region",
    ),
    ("delay-replication", "DynamoDB, Aurora: changes reach others late"),
    ("duplicate-messages", "SQS: a message comes a second time"),
    ("reorder-messages", "SQS: messages overtake each other"),
    ("miss-messages", "SQS: a short poll misses messages"),
    (
        "fail-entries",
        "EventBridge: entries of a PutEvents fail one by one",
    ),
    ("duplicate-events", "EventBridge: an event is delivered twice"),
    ("delay-events", "EventBridge: events overtake each other"),
    ("lose-target", "EventBridge: no delivery to a queue succeeds"),
    (
        "fail-over-cluster",
        "Aurora: another instance of the Region takes over",
    ),
    (
        "fail-over-global-cluster",
        "Aurora: this Region becomes the writer, with or without the lost tail",
    ),
    (
        "crash-during-commit",
        "Aurora: the writer crashes while it commits; applied or not",
    ),
    (
        "connection-storm",
        "Aurora: others hold connections to each instance",
    ),
    ("slow-disk", "Aurora: commits become durable late"),
    ("disk-full", "Aurora: nothing can be written, 53100"),
    ("kill-statement", "Aurora: a statement or its session is killed"),
];

/// The tag under which an enum's variant is written.
fn tag(value: &impl serde::Serialize) -> String {
    let written = serde_json::to_value(value).unwrap_or_default();
    let tagged = written.as_object().and_then(|fields| fields.keys().next());
    tagged.cloned().unwrap_or_default()
}

impl Fault {
    /// Which kind it is: a name of [`KINDS`], or of [`SERVICE_KINDS`] for a fault of a service.
    pub fn kind(&self) -> String {
        match self {
            Fault::Service { fault, .. } => fault.kind(),
            _ => tag(self),
        }
    }
}

impl ServiceFault {
    /// Which kind it is: a name of [`SERVICE_KINDS`].
    pub fn kind(&self) -> String {
        tag(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The names that serde knows, from what it says of one that it does not know.
    fn known<T: serde::de::DeserializeOwned>() -> Vec<String> {
        let unknown = serde_json::from_str::<T>(r#"{"no such thing": {}}"#)
            .err()
            .unwrap();
        let unknown = unknown.to_string();
        unknown.split('`').skip(3).step_by(2).map(str::to_owned).collect()
    }

    #[test]
    fn every_kind_is_listed_under_its_own_name() {
        let names = |kinds: &[(&str, &str)]| {
            kinds
                .iter()
                .map(|(name, _)| (*name).to_owned())
                .collect::<Vec<_>>()
        };
        assert_eq!(names(KINDS), known::<Fault>());
        assert_eq!(names(SERVICE_KINDS), known::<ServiceFault>());
    }

    #[test]
    fn a_fault_says_its_kind() {
        assert_eq!(Fault::kill("a").kind(), "process-kill");
        let fault = Fault::service(super::super::Service::Aurora, "r", ServiceFault::DiskFull {});
        assert_eq!(fault.kind(), "disk-full");
    }
}
