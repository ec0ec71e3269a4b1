//! The books are right: zero-sum by currency and tenant, projections the fold of their entries, nothing overdrawn, every change
//! with its event.
//!
//! Reads what the ledger's audit found, which trusts the legs alone. Fails with the audit's own sentences.

use crate::{history::History, script::Limits};

use super::{Finding, Property};

pub(super) const PROPERTY: Property = Property {
    name: "books",
    meaning: "the ledger sums to zero, its balances are the fold of its entries, and no account is overdrawn",
    check,
};

fn check(history: &History, _: &Limits) -> Vec<Finding> {
    let faults = history.books.iter().flat_map(|books| &books.faults);
    faults
        .map(|fault| Finding::new("audit", fault.clone(), [] as [&str; 0]))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::Books;

    #[test]
    fn what_the_audit_finds_is_found() {
        let mut history = History::default();
        assert!(check(&history, &Limits::default()).is_empty());
        let faults = vec!["the books in EUR sum to 5".to_owned()];
        history.books = Some(Books {
            faults,
            ..Books::default()
        });
        assert_eq!(check(&history, &Limits::default()).len(), 1);
    }
}
