//! After the last fault, everything comes to its end.
//!
//! Reads which requests have no answer and which operations are still pending. Fails naming them.

use crate::history::History;

use super::Property;

pub(super) const PROPERTY: Property = Property {
    name: "quiescence",
    meaning: "once the faults are over, every request is answered and every operation settled or in limbo",
    check,
};

fn check(history: &History) -> Vec<String> {
    let unanswered = history
        .unanswered
        .iter()
        .map(|key| format!("{key} was never answered"));
    let pending = history
        .books
        .pending
        .iter()
        .map(|key| format!("{key} is still pending"));
    unanswered.chain(pending).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_hangs_is_named() {
        let mut history = History::default();
        assert!(check(&history).is_empty());
        history.unanswered.push("k".to_owned());
        history.books.pending.push("p-sale-1".to_owned());
        assert_eq!(
            check(&history),
            ["k was never answered", "p-sale-1 is still pending"]
        );
    }
}
