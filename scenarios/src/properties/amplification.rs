//! Failures do not make clients and gateways ask ever more.
//!
//! Reads all attempts and the keys they were for. Fails when there are more attempts a key, on average, than the limit.

use crate::{history::History, script::Limits, verdict::Measures};

use super::{Finding, Property};

pub(super) const PROPERTY: Property = Property {
    name: "amplification",
    meaning: "retries do not multiply requests beyond the limit",
    check,
};

fn check(history: &History, limits: &Limits) -> Vec<Finding> {
    let Some(limit) = limits.attempts else {
        return Vec::new();
    };
    let keys: std::collections::BTreeSet<_> = history.attempts.iter().map(|attempt| &attempt.key).collect();
    let attempts = Measures::of(history).attempts as f64 / keys.len().max(1) as f64;
    if attempts <= limit {
        return Vec::new();
    }
    let evidence = format!("{attempts:.1} attempts a request, and the limit is {limit}");
    vec![Finding::new("attempts", evidence, [] as [&str; 0])]
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
    fn too_many_attempts_are_found() {
        let limits = Limits {
            attempts: Some(2.0),
            ..Limits::default()
        };
        assert_eq!(check(&history(&[503, 201]), &limits).len(), 0);
        assert_eq!(check(&history(&[503, 503, 201]), &limits).len(), 1);
    }
}
