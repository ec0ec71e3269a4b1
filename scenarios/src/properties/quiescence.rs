//! After the last fault, everything comes to its end.
//!
//! Reads which requests have no answer and which operations are still pending. Fails naming them.

use crate::{
    history::{Books, History, LedgerOperation},
    script::Limits,
};

use super::{Finding, Property};

pub(super) const PROPERTY: Property = Property {
    name: "quiescence",
    meaning: "once the faults are over, every request is answered and every operation settled",
    check,
};

fn check(history: &History, _: &Limits) -> Vec<Finding> {
    let mut found = Vec::new();
    if history.books.is_none() {
        let evidence = "the ledger could not be read".to_owned();
        found.push(Finding::new("ledger-unreadable", evidence, [] as [&str; 0]));
    }
    found.extend(history.unanswered.iter().map(|key| {
        let evidence = format!("{key} was never answered");
        Finding::new("never-answered", evidence, [key])
    }));
    let pending = history.books.iter().flat_map(Books::pending);
    found.extend(pending.map(|LedgerOperation { key, .. }| {
        let evidence = format!("{key} is still pending");
        Finding::new("still-pending", evidence, [key])
    }));
    let limbo = history
        .payments()
        .iter()
        .filter(|payment| payment.state == "limbo");
    found.extend(limbo.map(|payment| {
        let evidence = format!(
            "payment {} is still in limbo, though an operator decided",
            payment.id
        );
        Finding::new("still-in-limbo", evidence, [&payment.id])
    }));
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_hangs_is_named() {
        let quiet = History {
            books: Some(Books::default()),
            ..History::default()
        };
        let evidence = |history: &History| {
            let found = check(history, &Limits::default()).into_iter();
            found.map(|finding| finding.evidence).collect::<Vec<_>>()
        };
        assert!(evidence(&quiet).is_empty());
        assert_eq!(evidence(&History::default()), ["the ledger could not be read"]);
        let pending = LedgerOperation {
            key: "p-sale-1".to_owned(),
            state: "pending".to_owned(),
            fence: 1,
        };
        let hanging = History {
            unanswered: vec!["k".to_owned()],
            books: Some(Books {
                operations: vec![pending],
                ..Books::default()
            }),
            ..History::default()
        };
        assert_eq!(
            evidence(&hanging),
            ["k was never answered", "p-sale-1 is still pending"]
        );
    }
}
