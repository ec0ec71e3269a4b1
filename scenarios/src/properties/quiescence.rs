//! After the last fault, everything comes to its end.
//!
//! Reads which requests have no answer and which operations are still pending. Fails naming them; and where nothing of that
//! hangs in the end, and no event (`events` names those), but something did when the time for coming to rest was over.

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

fn check(history: &History, limits: &Limits) -> Vec<Finding> {
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
    let missing = history.books.iter().flat_map(|books| books.deliveries.missing());
    if found.is_empty() && missing.count() == 0 && !history.restless.is_empty() {
        let (limit, what) = (limits.rest, history.restless.join(", "));
        let evidence = format!("not at rest {limit:?} after the last fault and the last request: {what}");
        found.push(Finding::new("not-at-rest", evidence, [] as [&str; 0]));
    }
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
        let late = History {
            restless: vec![
                "operations pending: 1".to_owned(),
                "clients still asking".to_owned(),
            ],
            ..quiet
        };
        assert_eq!(
            evidence(&late),
            [
                "not at rest 600s after the last fault and the last request: operations pending: 1, clients still asking"
            ]
        );
        let mut told = late.clone();
        let books = told.books.as_mut().unwrap();
        let event = ("p".to_owned(), 3);
        books.deliveries.unpublished.push((event, "parked".to_owned()));
        assert!(evidence(&told).is_empty(), "`events` names it");

        let pending = LedgerOperation {
            key: "p-sale-1".to_owned(),
            state: "pending".to_owned(),
            fence: 1,
        };
        // What is named is not said again.
        let hanging = History {
            unanswered: vec!["k".to_owned()],
            books: Some(Books {
                operations: vec![pending],
                ..Books::default()
            }),
            ..late
        };
        assert_eq!(
            evidence(&hanging),
            ["k was never answered", "p-sale-1 is still pending"]
        );
    }
}
