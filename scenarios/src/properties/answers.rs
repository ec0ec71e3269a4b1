//! A key has one answer, and what was confirmed is there.
//!
//! Reads what clients were told, what they were told when they asked again in the end, half of it by a gate that had forgotten
//! the answer and had to ask the ledger, and the ledger. Fails when the two answers differ in a byte, when the second never
//! comes, when a confirmed payment is missing, or when two different requests under one key were both confirmed.

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
    let mut meanings = BTreeMap::new();
    for told in history.told.iter().filter(|told| told.is_final()) {
        let asked = (&told.path, &told.asked);
        let first = *meanings.entry(&told.key).or_insert(asked);
        if first != asked {
            let (stands_for, other) = differing(&first.1.to_string(), &told.asked.to_string());
            let evidence = format!(
                "{} stands for {} {stands_for}, and was answered {} for {} {other} as well",
                told.key, first.0, told.status, told.path
            );
            found.push(Finding::new("another-request", evidence, [&told.key]));
            continue;
        }
        if let Some(later) = again.get(&told.key)
            && (later.status, &later.body) != (told.status, &told.body)
        {
            let (before, after) = differing(&told.body, &later.body);
            let evidence = format!(
                "{} was told {} {before}, and later {} {after}",
                told.key, told.status, later.status
            );
            found.push(Finding::new("another-answer", evidence, [&told.key]));
        }
        if history.unanswered_again.contains(&told.key) {
            let evidence = format!(
                "{} was answered {}, and has no answer any more",
                told.key, told.status
            );
            found.push(Finding::new("answer-gone", evidence, [&told.key]));
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

/// The members in which two bodies differ; the whole bodies where that does not show.
fn differing(before: &str, after: &str) -> (String, String) {
    let members = |body| serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(body);
    let (Ok(mut one), Ok(mut other)) = (members(before), members(after)) else {
        return (before.to_owned(), after.to_owned());
    };
    one.retain(|name, value| match other.get(name) {
        Some(same) if same == value => {
            other.remove(name);
            false
        }
        _ => true,
    });
    if one.is_empty() && other.is_empty() {
        return (before.to_owned(), after.to_owned());
    }
    let shown = |members| serde_json::Value::Object(members).to_string();
    (shown(one), shown(other))
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
    fn what_differs_is_shown_and_no_more() {
        let shown = differing(
            r#"{"id":1,"refunded":0}"#,
            r#"{"id":1,"refunded":5,"closed":true}"#,
        );
        assert_eq!(shown.0, r#"{"refunded":0}"#);
        assert!(shown.1.contains("\"refunded\":5") && shown.1.contains("\"closed\":true"));
        let spaces = (r#"{"id":1}"#, r#"{"id": 1}"#);
        assert_eq!(
            differing(spaces.0, spaces.1),
            (spaces.0.to_owned(), spaces.1.to_owned())
        );
        assert_eq!(differing("[1]", "gone"), ("[1]".to_owned(), "gone".to_owned()));
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
        let gone = History {
            told_again: Vec::new(),
            unanswered_again: vec!["k".to_owned()],
            ..good.clone()
        };
        assert_eq!(check(&gone, &Limits::default()).len(), 1);
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
