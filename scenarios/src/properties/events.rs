//! Every committed event reaches every subscriber exactly once and in order, and no event comes from nowhere.
//!
//! Reads the outbox, the inboxes, and what the subscribers made of the events: notifications, receipts, sums. Fails when an
//! event is missing, comes twice or out of its payment's order, when one was never committed, and when the read model's
//! sums are not the ledger's.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    deliveries::{EventId, Volume},
    history::{Books, History},
    script::Limits,
};

use super::{Finding, Property};

pub(super) const PROPERTY: Property = Property {
    name: "events",
    meaning: "every committed event has its effect at every subscriber exactly once and in order, and there are no others",
    check,
};

fn check(history: &History, _: &Limits) -> Vec<Finding> {
    let Some(books) = &history.books else {
        return Vec::new();
    };
    let deliveries = &books.deliveries;
    let missing = deliveries.missing();
    let mut found: Vec<Finding> = missing
        .iter()
        .map(|missing| Finding::new("never-delivered", missing.to_string(), [&missing.event.0]))
        .collect();
    let unpublished = deliveries.unpublished.iter().map(|(event, _)| event);
    let committed: BTreeSet<&EventId> = deliveries.published.iter().chain(unpublished).collect();
    for (subscriber, taken_in) in &deliveries.taken_in {
        found.extend(out_of_order(subscriber, taken_in));
        let strange = taken_in.iter().filter(|event| !committed.contains(event));
        found.extend(strange.map(|(payment, seq)| {
            let evidence =
                format!("{subscriber} was told of event {seq} of payment {payment}, which nobody committed");
            Finding::new("never-committed", evidence, [payment])
        }));
    }
    for (what, effects) in [
        ("notification", &deliveries.notifications),
        ("receipt", &deliveries.receipts),
    ] {
        let mut seen = BTreeSet::new();
        let twice = effects.iter().filter(|event| !seen.insert(*event));
        found.extend(twice.map(|(payment, seq)| {
            let evidence = format!("a second {what} for event {seq} of payment {payment}");
            Finding::new("effect-twice", evidence, [payment])
        }));
    }
    let made: BTreeSet<&EventId> = deliveries.notifications.iter().collect();
    let taken_in = deliveries.taken_in.get("notification").into_iter().flatten();
    let taken_in: BTreeSet<&EventId> = taken_in.collect();
    found.extend(taken_in.difference(&made).map(|(payment, seq)| {
        let evidence = format!("event {seq} of payment {payment} was taken in, and nobody was notified");
        Finding::new("effect-missing", evidence, [payment])
    }));
    found.extend(made.difference(&taken_in).map(|(payment, seq)| {
        let evidence =
            format!("somebody was notified of event {seq} of payment {payment}, which was not taken in");
        Finding::new("effect-of-nothing", evidence, [payment])
    }));
    let expected = moved(books);
    // What is still on its way was named above.
    if missing.is_empty() && deliveries.volume != expected {
        let evidence = format!(
            "the read model has {:?}, the ledger {expected:?}",
            deliveries.volume
        );
        found.push(Finding::new("read-model-differs", evidence, [] as [&str; 0]));
    }
    found
}

/// What the ledger's payments say was moved.
fn moved(books: &Books) -> Volume {
    let payments = books.payments.iter();
    payments.fold(Volume::default(), |mut sum, payment| {
        sum.captured += payment.captured;
        sum.refunded += payment.refunded;
        if payment.state == "settled" {
            sum.settled += payment.net;
        }
        sum
    })
}

fn out_of_order(subscriber: &str, taken_in: &[EventId]) -> Vec<Finding> {
    let mut last: BTreeMap<&str, i32> = BTreeMap::new();
    let mut found = Vec::new();
    for (payment, seq) in taken_in {
        let before = last.insert(payment, *seq).unwrap_or(0);
        if *seq != before + 1 {
            let evidence = format!("{subscriber} took event {seq} of payment {payment} in after {before}");
            found.push(Finding::new("out-of-order", evidence, [payment]));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{deliveries::Deliveries, history::LedgerPayment};

    fn told() -> Deliveries {
        let events = vec![("p".to_owned(), 1), ("p".to_owned(), 2)];
        let subscribers = ["notification", "receipts", "volume"];
        Deliveries {
            published: events.clone(),
            taken_in: subscribers.map(|name| (name.to_owned(), events.clone())).into(),
            notifications: events.clone(),
            receipts: events[1..].to_vec(),
            volume: Volume {
                captured: 100,
                ..Volume::default()
            },
            ..Deliveries::default()
        }
    }

    /// The evidence found after a change of a history that is good.
    fn found(change: impl FnOnce(&mut Deliveries)) -> Vec<String> {
        let mut deliveries = told();
        change(&mut deliveries);
        let payment = LedgerPayment::sample(100);
        let books = Books {
            payments: vec![payment],
            deliveries,
            ..Books::default()
        };
        let history = History {
            books: Some(books),
            ..History::default()
        };
        let found = check(&history, &Limits::default()).into_iter();
        found.map(|finding| finding.evidence).collect()
    }

    #[test]
    fn an_event_that_is_missing_doubled_swapped_or_invented_is_found() {
        let inbox = |deliveries: &mut Deliveries, change: fn(&mut Vec<EventId>)| {
            change(deliveries.taken_in.get_mut("volume").unwrap());
        };
        assert_eq!(found(|_| {}), Vec::<String>::new());
        assert_eq!(found(|told| inbox(told, |events| drop(events.pop()))).len(), 1);
        assert_eq!(found(|told| inbox(told, |events| events.swap(0, 1))).len(), 2);
        assert_eq!(
            found(|told| inbox(told, |events| events.push(("p".to_owned(), 2)))).len(),
            1
        );
        assert_eq!(
            found(|told| inbox(told, |events| events.push(("q".to_owned(), 1)))).len(),
            1
        );
        assert_eq!(
            found(|told| told.notifications.push(("p".to_owned(), 2))).len(),
            1
        );
        let invented = found(|told| told.notifications.push(("p".to_owned(), 3)));
        assert_eq!(invented.len(), 1, "{invented:?}");
        let silent = "event 2 of payment p was taken in, and nobody was notified";
        assert_eq!(found(|told| drop(told.notifications.pop())), [silent]);
        assert_eq!(found(|told| told.receipts.push(("p".to_owned(), 2))).len(), 1);
        assert_eq!(found(|told| told.volume.captured += 1).len(), 1);
        let parked =
            |told: &mut Deliveries| told.unpublished.push((("p".to_owned(), 3), "parked".to_owned()));
        assert_eq!(found(parked), ["event 3 of payment p is parked"]);
    }
}
