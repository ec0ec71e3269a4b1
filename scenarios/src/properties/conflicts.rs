//! Clients are seldom told that their own request is under way.
//!
//! Reads the statuses of all attempts. Fails when the part of 409 is above its limit.

use crate::{history::History, script::Limits, verdict::Measures};

use super::{Finding, Property};

pub(super) const PROPERTY: Property = Property {
    name: "conflicts",
    meaning: "answers 409 are no more than their limit",
    check,
};

fn check(history: &History, limits: &Limits) -> Vec<Finding> {
    let Some(limit) = limits.conflict_ppm else {
        return Vec::new();
    };
    let ppm = Measures::of(history).conflict_ppm;
    if ppm <= limit {
        return Vec::new();
    }
    let evidence = format!("{ppm} of a million attempts were answered 409, and the limit is {limit}");
    vec![Finding::new("409", evidence, [] as [&str; 0])]
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
    fn too_many_conflicts_are_found() {
        let limits = Limits {
            conflict_ppm: Some(400_000),
            ..Limits::default()
        };
        assert_eq!(check(&history(&[201, 201, 409]), &limits).len(), 0);
        assert_eq!(check(&history(&[201, 409]), &limits).len(), 1);
    }
}
