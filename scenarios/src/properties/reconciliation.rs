//! The system's own reconciler finds nothing that only people could put right.
//!
//! Reads the system's telemetry. Fails on a difference between gate, ledger and providers that was reported and not repaired.
//! Events that are late or parked are not judged here: they can come right later, and `events` says whether they did.

use std::collections::BTreeSet;

use crate::{history::History, script::Limits};

use super::{Finding, Property};

pub(super) const PROPERTY: Property = Property {
    name: "reconciliation",
    meaning: "gate, ledger and providers differ in nothing that the reconciler cannot repair",
    check,
};

fn check(history: &History, _: &Limits) -> Vec<Finding> {
    let mut seen = BTreeSet::new();
    let mut found = Vec::new();
    for told in &history.telemetry {
        let text = |name| {
            told.fields
                .get(name)
                .and_then(serde_json::Value::as_str)
                .unwrap_or_default()
        };
        let place = match text("difference") {
            "answer_differs" => "answer-differs",
            "answer_unfounded" => "answer-unfounded",
            "outcome_differs" => "outcome-differs",
            "outcome_unknown_outside" => "outcome-unknown-outside",
            _ => continue,
        };
        // Every pass finds it again.
        if seen.insert((place, text("subject"))) {
            let evidence = format!("{}: {}", text("subject"), text("detail"));
            found.push(Finding::new(place, evidence, [text("subject")]));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::Telemetry;

    #[test]
    fn what_cannot_be_repaired_is_found_once() {
        let said = |difference: &str| {
            let of = [
                ("difference", difference),
                ("subject", "p-sale-1"),
                ("detail", "d"),
            ];
            Telemetry::sample("a difference", of)
        };
        let history = |differences: &[&str]| History {
            telemetry: differences.iter().map(|difference| said(difference)).collect(),
            ..History::default()
        };
        let found = |differences: &[&str]| check(&history(differences), &Limits::default()).len();
        assert_eq!(found(&["answer_lost", "event_lost", "event_late"]), 0);
        assert_eq!(found(&["outcome_differs", "outcome_differs"]), 1);
        assert_eq!(found(&["outcome_unknown_outside", "answer_unfounded"]), 2);
    }
}
