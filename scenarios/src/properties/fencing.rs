//! Who has lost a right changes nothing any more: mutual exclusion, judged by the tokens that are to enforce it.
//!
//! Reads the ledger's rows and the telemetry. Fails when an operation was settled under another fence than its last, by
//! somebody from whom it had been taken; when two processes asked outside under one fence; when an account's statement has an
//! entry of an older epoch behind one of a newer, by a writer that had been given up; and when two Regions committed under the
//! same epoch.

use std::collections::BTreeMap;

use crate::{
    history::{Books, History},
    script::Limits,
};

use super::{Finding, Property};

pub(super) const PROPERTY: Property = Property {
    name: "fencing",
    meaning: "operations are settled by whoever took them up last, and the ledger has one writer at a time, epoch by epoch",
    check,
};

fn check(history: &History, _: &Limits) -> Vec<Finding> {
    let mut found = two_writers(history);
    found.extend(shared_fences(history));
    if let Some(books) = &history.books {
        found.extend(stale_holders(history, books));
        found.extend(epochs_that_went_back(books));
    }
    found
}

fn stale_holders(history: &History, books: &Books) -> Vec<Finding> {
    let rows = books
        .operations
        .iter()
        .map(|operation| (&*operation.key, operation.fence));
    let rows: BTreeMap<&str, i64> = rows.collect();
    // What was settled in an earlier epoch may be lost with its end, and be settled anew by whoever restores it.
    let newest = history
        .said("payment committed")
        .filter_map(|said| said.number("epoch"))
        .max();
    let mut settled: BTreeMap<String, (i64, &str, &str)> = BTreeMap::new();
    for said in history.said("settled") {
        let (Some(payment), Some(kind), Some(seq), Some(fence)) = (
            said.text("payment_id"),
            said.text("operation"),
            said.number("seq"),
            said.number("fence"),
        ) else {
            continue;
        };
        if said.number("epoch") >= newest {
            let key = format!("{payment}-{kind}-{seq}");
            settled.insert(key, (fence, &said.host, payment));
        }
    }
    let stale = settled.iter().filter_map(|(key, (by, host, payment))| {
        let last = rows.get(&**key).filter(|last| *last != by)?;
        let evidence = format!(
            "{key} was settled by {host} under fence {by}, but had been taken up by another under fence {last}"
        );
        Some(Finding::new("stale-holder", evidence, [&**key, host, payment]))
    });
    stale.collect()
}

fn shared_fences(history: &History) -> Vec<Finding> {
    // What a Region took with it when it was lost begins anew, with an epoch of its own.
    let mut holders: BTreeMap<(&str, i64, i64), &str> = BTreeMap::new();
    let mut found = BTreeMap::new();
    for said in &history.telemetry {
        let (Some(_), Some(key), Some(epoch), Some(fence)) = (
            said.text("dependency"),
            said.text("key"),
            said.number("epoch"),
            said.number("fence"),
        ) else {
            continue;
        };
        let first = *holders.entry((key, epoch, fence)).or_insert(&said.host);
        if first != said.host {
            found.entry(key).or_insert((first, &*said.host, fence));
        }
    }
    let found = found.into_iter().map(|(key, (first, other, fence))| {
        let evidence = format!("{first} and {other} both asked outside for {key} under fence {fence}");
        Finding::new("shared-fence", evidence, [key, first, other])
    });
    found.collect()
}

fn epochs_that_went_back(books: &Books) -> Vec<Finding> {
    let mut statements: BTreeMap<&str, BTreeMap<i64, (i64, &str)>> = BTreeMap::new();
    for transfer in &books.transfers {
        for leg in &transfer.legs {
            for (account, place) in [(&leg.debit, leg.debit_place), (&leg.credit, leg.credit_place)] {
                let statement = statements.entry(account).or_default();
                statement.insert(place, (transfer.epoch, &transfer.payment));
            }
        }
    }
    let back = statements.iter().filter_map(|(account, statement)| {
        let entries = || statement.iter();
        let (before, after) = entries()
            .zip(entries().skip(1))
            .find(|((_, (before, _)), (_, (after, _)))| after < before)?;
        let (place, (epoch, payment)) = after;
        let evidence = format!(
            "entry {place} of account {account} is of epoch {epoch}, and the one before it of epoch {}",
            before.1.0
        );
        Some(Finding::new("epoch-went-back", evidence, [*payment, account]))
    });
    back.collect()
}

fn two_writers(history: &History) -> Vec<Finding> {
    let mut writers: BTreeMap<i64, &str> = BTreeMap::new();
    let mut found = BTreeMap::new();
    for said in history.said("payment committed") {
        let (Some(epoch), Some(region)) = (said.number("epoch"), said.text("region")) else {
            continue;
        };
        let first = *writers.entry(epoch).or_insert(region);
        if first != region {
            found.entry(epoch).or_insert((first, region, &said.host));
        }
    }
    let found = found.into_iter().map(|(epoch, (first, region, host))| {
        let evidence = format!("{first} and {region} both committed under epoch {epoch}");
        Finding::new("two-writers", evidence, [host])
    });
    found.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    use crate::history::{LedgerOperation, Telemetry, Transfer, TransferLeg};

    fn places(history: &History) -> Vec<&'static str> {
        let found = check(history, &Limits::default()).into_iter();
        found.map(|finding| finding.place).collect()
    }

    #[test]
    fn who_settles_what_was_taken_from_them_is_found() {
        let settled = |fence: i64| {
            let fields = [
                ("payment_id", json!("p")),
                ("operation", json!("sale")),
                ("seq", json!(1)),
                ("epoch", json!(1)),
                ("fence", json!(fence)),
            ];
            let operation = LedgerOperation {
                key: "p-sale-1".to_owned(),
                state: "succeeded".to_owned(),
                fence: 2,
            };
            History {
                telemetry: vec![Telemetry::sample("settled", fields)],
                books: Some(Books {
                    operations: vec![operation],
                    ..Books::default()
                }),
                ..History::default()
            }
        };
        assert!(places(&settled(2)).is_empty());
        assert_eq!(places(&settled(1)), ["stale-holder"]);
    }

    #[test]
    fn two_that_ask_under_one_fence_are_found() {
        let asks = |host: &str, fence: i64| Telemetry {
            host: host.to_owned(),
            ..Telemetry::sample(
                "asks for it",
                [
                    ("dependency", json!("psp")),
                    ("key", "p-sale-1".into()),
                    ("epoch", json!(1)),
                    ("fence", json!(fence)),
                ],
            )
        };
        let history = |telemetry| History {
            telemetry,
            ..History::default()
        };
        let good = vec![asks("a", 1), asks("a", 1), asks("b", 2)];
        assert!(places(&history(good)).is_empty());
        assert_eq!(
            places(&history(vec![asks("a", 1), asks("b", 1)])),
            ["shared-fence"]
        );
    }

    #[test]
    fn an_entry_of_a_writer_that_was_given_up_is_found() {
        let transfer = |epoch, place| Transfer {
            payment: "p".to_owned(),
            step: "capture".to_owned(),
            epoch,
            posted_at_nanos: 0,
            legs: vec![TransferLeg {
                phase: "posted".to_owned(),
                debit: "a".to_owned(),
                credit: "b".to_owned(),
                currency: "EUR".to_owned(),
                amount: 1,
                debit_place: place,
                credit_place: 1,
            }],
        };
        let history = |transfers: Vec<Transfer>| History {
            books: Some(Books {
                transfers,
                ..Books::default()
            }),
            ..History::default()
        };
        assert!(places(&history(vec![transfer(1, 1), transfer(2, 2), transfer(2, 3)])).is_empty());
        assert_eq!(
            places(&history(vec![transfer(2, 1), transfer(1, 2)])),
            ["epoch-went-back"]
        );
    }

    #[test]
    fn two_writers_of_one_epoch_are_found() {
        let committed = |epoch: i64, region: &str| {
            Telemetry::sample(
                "payment committed",
                [("epoch", json!(epoch)), ("region", json!(region))],
            )
        };
        let history = |telemetry| History {
            telemetry,
            ..History::default()
        };
        let good = vec![committed(1, "a"), committed(1, "a"), committed(2, "b")];
        assert!(places(&history(good)).is_empty());
        let bad = vec![committed(1, "a"), committed(1, "b")];
        assert_eq!(places(&history(bad)), ["two-writers"]);
    }
}
