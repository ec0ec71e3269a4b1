//! Service comes back in time.
//!
//! Reads when clients asked and when anybody was answered. Fails when they asked for longer than the RTO before anybody was.

use std::time::Duration;

use crate::{history::History, script::Limits, verdict::Measures};

use super::{Finding, Property, above};

pub(super) const PROPERTY: Property = Property {
    name: "outage",
    meaning: "some request is confirmed again within the recovery time objective (RTO)",
    check,
};

fn check(history: &History, limits: &Limits) -> Vec<Finding> {
    let outage = Duration::from_nanos(Measures::of(history).longest_outage_nanos);
    above("too-long", outage, limits.rto, |outage, rto| {
        format!("nobody was answered for {outage:.1?}, and the RTO is {rto:.1?}")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::Attempt;

    #[test]
    fn an_attempt_that_came_to_nothing_for_too_long_is_found() {
        let attempt = Attempt {
            took: Duration::from_secs(15),
            ..Attempt::sample(None)
        };
        let history = History {
            attempts: vec![attempt],
            ..History::default()
        };
        let within = |seconds| Limits {
            rto: Some(Duration::from_secs(seconds)),
            ..Limits::default()
        };
        assert_eq!(check(&history, &within(15)).len(), 0);
        assert_eq!(check(&history, &within(14)).len(), 1);
        assert_eq!(check(&history, &Limits::default()).len(), 0);
    }
}
