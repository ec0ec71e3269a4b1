//! Clients are seldom told that their own request is under way.
//!
//! Reads the statuses of all attempts. Fails when the part of 409 is above its limit.

use crate::{history::History, script::Limits, verdict::Measures};

use super::{Finding, Property, above};

pub(super) const PROPERTY: Property = Property {
    name: "conflicts",
    meaning: "answers 409 are no more than their limit",
    check,
};

fn check(history: &History, limits: &Limits) -> Vec<Finding> {
    let ppm = Measures::of(history).conflict_ppm;
    above("409", ppm, limits.conflict_ppm, |ppm, limit| {
        format!("{ppm} of a million attempts were answered 409, and the limit is {limit}")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_many_conflicts_are_found() {
        let limits = Limits {
            conflict_ppm: Some(400_000),
            ..Limits::default()
        };
        assert_eq!(check(&History::answered(&[201, 201, 409]), &limits).len(), 0);
        assert_eq!(check(&History::answered(&[201, 409]), &limits).len(), 1);
    }
}
