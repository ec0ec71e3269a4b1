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
    let unread = history
        .books
        .is_none()
        .then(|| "the ledger could not be read".to_owned());
    let pending = history.books.iter().flat_map(|books| &books.pending);
    let pending = pending.map(|key| format!("{key} is still pending"));
    unread.into_iter().chain(unanswered).chain(pending).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::Books;

    #[test]
    fn what_hangs_is_named() {
        let quiet = History {
            books: Some(Books::default()),
            ..History::default()
        };
        assert!(check(&quiet).is_empty());
        assert_eq!(check(&History::default()), ["the ledger could not be read"]);
        let pending = vec!["p-sale-1".to_owned()];
        let hanging = History {
            unanswered: vec!["k".to_owned()],
            books: Some(Books {
                pending,
                ..Books::default()
            }),
            ..History::default()
        };
        assert_eq!(
            check(&hanging),
            ["k was never answered", "p-sale-1 is still pending"]
        );
    }
}
