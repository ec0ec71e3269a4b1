//! A key has one answer, and what was confirmed is there.
//!
//! Reads what clients were told, what they were told when they asked again in the end, half of it by a gate that had forgotten
//! the answer and had to ask the ledger, and the ledger. Fails when the two answers differ in a byte, when a confirmed payment
//! is missing, or when two different requests under one key were both confirmed.

use std::collections::{BTreeMap, BTreeSet};

use crate::{history::History, script::Limits};

use super::{Finding, Property};

pub(super) const PROPERTY: Property = Property {
    name: "answers",
    meaning: "the same key gives the same answer, byte for byte, and no confirmed payment is lost",
    check,
};

fn check(history: &History, _: &Limits) -> Vec<Finding> {
    let mut found = Vec::new();
    let again: BTreeMap<_, _> = history.told_again.iter().map(|told| (&told.key, told)).collect();
    let known: BTreeSet<_> = history
        .payments()
        .iter()
        .map(|payment| payment.id.as_str())
        .collect();
    let mut first = BTreeMap::new();
    for told in history.told.iter().filter(|told| told.is_final()) {
        let asked = (&told.path, &told.asked);
        if *first.entry(&told.key).or_insert(asked) != asked {
            let evidence = format!(
                "{} was told {} {} for {}, which is not what the key stands for",
                told.key, told.status, told.body, told.asked
            );
            found.push(Finding::new("another-request", evidence, [&told.key]));
            continue;
        }
        if let Some(later) = again.get(&told.key)
            && (later.status, &later.body) != (told.status, &told.body)
        {
            let evidence = format!(
                "{} was told {} {}, and later {} {}",
                told.key, told.status, told.body, later.status, later.body
            );
            found.push(Finding::new("another-answer", evidence, [&told.key]));
        }
        let body: serde_json::Value = serde_json::from_str(&told.body).unwrap_or_default();
        let payment = body["payment_id"]
            .as_str()
            .or(body["payment"]["payment_id"].as_str());
        if let Some(payment) = payment.filter(|payment| !known.contains(payment)) {
            let evidence = format!(
                "{} was told of payment {payment}, which the ledger does not have",
                told.key
            );
            found.push(Finding::new(
                "confirmed-and-lost",
                evidence,
                [&*told.key, payment],
            ));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::{Books, LedgerPayment, Told};

    fn told(body: &str) -> Told {
        Told {
            key: "k".to_owned(),
            path: "/v1/charges".to_owned(),
            asked: serde_json::Value::Null,
            status: 201,
            body: body.to_owned(),
            took: std::time::Duration::ZERO,
            attempts: 1,
            at_nanos: 0,
        }
    }

    #[test]
    fn another_answer_and_a_lost_payment_are_found() {
        let payment = LedgerPayment::sample(1);
        let body = r#"{"payment_id":"p"}"#;
        let good = History {
            told: vec![told(body)],
            told_again: vec![told(body)],
            books: Some(Books {
                payments: vec![payment],
                ..Books::default()
            }),
            ..History::default()
        };
        assert_eq!(check(&good, &Limits::default()), []);
        let other = History {
            told_again: vec![told(r#"{"payment_id": "p"}"#)],
            ..good.clone()
        };
        assert_eq!(check(&other, &Limits::default()).len(), 1);
        let reused = Told {
            asked: serde_json::json!({"amount": 2}),
            ..told(body)
        };
        let reused = History {
            told: vec![told(body), reused],
            ..good.clone()
        };
        assert_eq!(check(&reused, &Limits::default()).len(), 1);
        let lost = History {
            books: Some(Books::default()),
            ..good
        };
        assert_eq!(check(&lost, &Limits::default()).len(), 1);
    }
}
