//! Nobody is charged twice, and the ledger says what was taken.
//!
//! Reads what the provider really did and the ledger's payments; counts captures at the provider, not rows. Fails when a key
//! moved money twice, when an amount differs on the two sides, when one side has a payment that the other has not.

use std::collections::{BTreeMap, BTreeSet};

use crate::{externals::Kind, history::History, script::Limits};

use super::{Finding, Property};

pub(super) const PROPERTY: Property = Property {
    name: "captures",
    meaning: "each operation moves money at the provider at most once, and exactly what the ledger says",
    check,
};

fn check(history: &History, _: &Limits) -> Vec<Finding> {
    let mut found = Vec::new();
    let mut seen = BTreeSet::new();
    let mut did: BTreeMap<(&str, Kind), i64> = BTreeMap::new();
    for effect in &history.effects {
        if !seen.insert(&effect.key) {
            let evidence = format!("the provider did {} twice", effect.key);
            found.push(Finding::new(
                "done-twice",
                evidence,
                [&effect.payment, &effect.key],
            ));
        }
        *did.entry((&effect.payment, effect.kind)).or_default() += effect.amount;
    }
    let done = |payment, kind| did.get(&(payment, kind)).copied().unwrap_or_default();
    // What is in limbo is not known, and frozen: an operator's, not a difference.
    let decided = |payment: &&crate::history::LedgerPayment| payment.state != "limbo";
    for payment in history.payments().iter().filter(decided) {
        let id = payment.id.as_str();
        let settled = payment.kind == "settlement" && payment.state == "settled";
        for (place, what, ledger, provider) in [
            (
                "captured-differs",
                "captured",
                payment.captured,
                done(id, Kind::Sale) + done(id, Kind::Capture),
            ),
            (
                "refunded-differs",
                "refunded",
                payment.refunded,
                done(id, Kind::Refund),
            ),
            (
                "paid-out-differs",
                "paid out",
                if settled { payment.net } else { 0 },
                done(id, Kind::Payout),
            ),
        ] {
            if ledger != provider {
                let evidence =
                    format!("payment {id}: the ledger has {ledger} {what}, the provider {provider}");
                found.push(Finding::new(place, evidence, [id]));
            }
        }
    }
    let known: BTreeSet<_> = history
        .payments()
        .iter()
        .map(|payment| payment.id.as_str())
        .collect();
    let strangers: BTreeSet<_> = did
        .keys()
        .map(|(payment, _)| *payment)
        .filter(|payment| !known.contains(payment))
        .collect();
    found.extend(strangers.into_iter().map(|id| {
        let evidence = format!("the provider knows payment {id}, the ledger does not");
        Finding::new("unknown-to-the-ledger", evidence, [id])
    }));
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        externals::Effect,
        history::{Books, LedgerPayment},
    };

    fn history() -> History {
        let payment = LedgerPayment::sample(100);
        let effect = Effect {
            key: "p-sale-1".to_owned(),
            kind: Kind::Sale,
            amount: 100,
            currency: "EUR".to_owned(),
            payment: "p".to_owned(),
            at_nanos: 0,
        };
        let books = Books {
            payments: vec![payment],
            ..Books::default()
        };
        History {
            effects: vec![effect],
            books: Some(books),
            ..History::default()
        }
    }

    #[test]
    fn one_too_many_one_too_few_and_one_unheard_of_are_found() {
        assert_eq!(check(&history(), &Limits::default()), []);
        let mut twice = history();
        twice.effects.push(twice.effects[0].clone());
        assert_eq!(check(&twice, &Limits::default()).len(), 2);
        let mut lost = history();
        lost.effects.clear();
        assert_eq!(check(&lost, &Limits::default()).len(), 1);
        let mut unheard_of = history();
        unheard_of.books = Some(Books::default());
        assert_eq!(check(&unheard_of, &Limits::default()).len(), 1);
    }
}
