//! Failures do not make clients and gateways ask ever more.
//!
//! Reads all attempts and the keys they were for, and the telemetry for how often a dependency was asked about one operation.
//! Fails when there are more attempts a key, on average, than the limit; and when a process asked about one operation more
//! often than [`CALLS_MAX`] times within a second, which is no retry any more.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use crate::{history::History, script::Limits, verdict::Measures};

use super::{Finding, Property, above};

pub(super) const PROPERTY: Property = Property {
    name: "amplification",
    meaning: "retries do not multiply requests beyond the limit",
    check,
};

/// With pauses that double from 50 ms it is a fraction of this.
const CALLS_MAX: usize = 25;

fn check(history: &History, limits: &Limits) -> Vec<Finding> {
    let mut found = hammered(history);
    found.extend(too_many(history, limits));
    found
}

/// Operations that a dependency was asked about again and again at once.
fn hammered(history: &History) -> Vec<Finding> {
    let mut asked: BTreeMap<(&str, &str), Vec<u64>> = BTreeMap::new();
    for said in &history.telemetry {
        if let (Some(_), Some(key)) = (said.text("dependency"), said.text("key")) {
            asked.entry((key, &said.host)).or_default().push(said.at_nanos);
        }
    }
    let second = Duration::from_secs(1).as_nanos() as u64;
    let too_often = |times: &[u64]| {
        let mut windows = times.windows(CALLS_MAX + 1);
        windows.any(|window| window[CALLS_MAX] - window[0] < second)
    };
    let hammered: BTreeSet<_> = asked.iter().filter(|(_, times)| too_often(times)).collect();
    let found = hammered.into_iter().map(|((key, host), _)| {
        let evidence = format!("{host} asked about {key} more than {CALLS_MAX} times within a second");
        Finding::new("hammered", evidence, [*key, *host])
    });
    found.collect()
}

fn too_many(history: &History, limits: &Limits) -> Vec<Finding> {
    let keys: BTreeSet<_> = history.attempts.iter().map(|attempt| &attempt.key).collect();
    let attempts = Measures::of(history).attempts as f64 / keys.len().max(1) as f64;
    above("attempts", attempts, limits.attempts, |attempts, limit| {
        format!("{attempts:.1} attempts a request, and the limit is {limit}")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::Telemetry;

    #[test]
    fn an_operation_asked_about_without_a_pause_is_found() {
        let asked = |pause_ms: u64| {
            let said = |number: u64| Telemetry {
                at_nanos: number * pause_ms * 1_000_000,
                ..Telemetry::sample(
                    "asks what became of it",
                    [("dependency", "psp"), ("key", "p-sale-1")],
                )
            };
            let history = History {
                telemetry: (0..30).map(said).collect(),
                ..History::default()
            };
            check(&history, &Limits::default()).len()
        };
        assert_eq!(asked(50), 0);
        assert_eq!(asked(30), 1);
    }

    #[test]
    fn too_many_attempts_are_found() {
        let limits = Limits {
            attempts: Some(2.0),
            ..Limits::default()
        };
        assert_eq!(check(&History::answered(&[503, 201]), &limits).len(), 0);
        assert_eq!(check(&History::answered(&[503, 503, 201]), &limits).len(), 1);
    }
}
