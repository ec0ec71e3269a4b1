//! Answers come soon enough.
//!
//! Reads how long attempts took that were confirmed. Fails when the 99th percentile is above its limit.

use crate::{history::History, script::Limits, verdict::Measures};

use super::{Finding, Property};

pub(super) const PROPERTY: Property = Property {
    name: "latency",
    meaning: "the 99th percentile of confirmed attempts is within its limit",
    check,
};

fn check(history: &History, limits: &Limits) -> Vec<Finding> {
    let Some(limit) = limits.p99 else {
        return Vec::new();
    };
    let p99 = std::time::Duration::from_nanos(Measures::of(history).p99_nanos);
    if p99 <= limit {
        return Vec::new();
    }
    let evidence = format!("the 99th percentile is {p99:.1?}, and its limit {limit:.1?}");
    vec![Finding::new("p99", evidence, [] as [&str; 0])]
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::history::Attempt;

    fn history(statuses: &[u16]) -> History {
        let attempts = statuses.iter().map(|status| Attempt {
            key: "k".to_owned(),
            client: "c".to_owned(),
            gateway: "g".to_owned(),
            at_nanos: 0,
            took: Duration::from_secs(1),
            status: Some(*status),
        });
        History {
            attempts: attempts.collect(),
            ..History::default()
        }
    }

    #[test]
    fn slow_answers_are_found() {
        let limits = |seconds| Limits {
            p99: Some(Duration::from_secs(seconds)),
            ..Limits::default()
        };
        assert_eq!(check(&history(&[201]), &limits(1)).len(), 0);
        assert_eq!(check(&history(&[201]), &limits(0)).len(), 1);
    }
}
