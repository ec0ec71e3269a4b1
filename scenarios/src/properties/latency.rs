//! Answers come soon enough.
//!
//! Reads how long attempts took that were confirmed. Fails when the 99th percentile is above its limit.

use std::time::Duration;

use crate::{history::History, script::Limits, verdict::Measures};

use super::{Finding, Property, above};

pub(super) const PROPERTY: Property = Property {
    name: "latency",
    meaning: "the 99th percentile of confirmed attempts is within its limit",
    check,
};

fn check(history: &History, limits: &Limits) -> Vec<Finding> {
    let p99 = Duration::from_nanos(Measures::of(history).p99_nanos);
    above("p99", p99, limits.p99, |p99, limit| {
        format!("the 99th percentile is {p99:.1?}, and its limit {limit:.1?}")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slow_answers_are_found() {
        let limits = |seconds| Limits {
            p99: Some(Duration::from_secs(seconds)),
            ..Limits::default()
        };
        assert_eq!(check(&History::answered(&[201]), &limits(1)).len(), 0);
        assert_eq!(check(&History::answered(&[201]), &limits(0)).len(), 1);
    }
}
