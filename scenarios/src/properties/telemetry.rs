//! A payment's story can be told from what the system says of itself.
//!
//! Reads the telemetry, the ledger's payments and what the provider did. Fails when a payment of the ledger is in no event of any
//! process, or the provider did something that no process had announced: for that a person would search in vain.

use std::collections::BTreeSet;

use crate::{history::History, script::Limits};

use super::{Finding, Property};

pub(super) const PROPERTY: Property = Property {
    name: "telemetry",
    meaning: "every payment of the ledger and every effect at a provider can be found in the system's own telemetry",
    check,
};

fn check(history: &History, _: &Limits) -> Vec<Finding> {
    let field = |name: &'static str| {
        let said = history.telemetry.iter().filter_map(move |said| said.text(name));
        said.collect::<BTreeSet<_>>()
    };
    let (payments, keys) = (field("payment_id"), field("key"));
    let untold = history
        .payments()
        .iter()
        .filter(|payment| !payments.contains(&*payment.id));
    let unannounced = history
        .effects
        .iter()
        .filter(|effect| !keys.contains(&*effect.key));
    let untold = untold.map(|payment| {
        let evidence = format!("payment {} is in no event of the telemetry", payment.id);
        Finding::new("payment-untold", evidence, [&payment.id])
    });
    let unannounced = unannounced.map(|effect| {
        let evidence = format!(
            "the provider did {}, which no process said it would ask for",
            effect.key
        );
        Finding::new("effect-unannounced", evidence, [&effect.payment, &effect.key])
    });
    untold.chain(unannounced).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        externals::{Effect, Kind},
        history::{Books, LedgerPayment, Telemetry},
    };

    #[test]
    fn silence_is_found() {
        let payment = LedgerPayment::sample(1);
        let effect = Effect {
            key: "p-sale-1".to_owned(),
            kind: Kind::Sale,
            amount: 1,
            currency: "EUR".to_owned(),
            payment: "p".to_owned(),
            at_nanos: 0,
        };
        let said = Telemetry::sample("asks for it", [("payment_id", "p"), ("key", "p-sale-1")]);
        let mut history = History {
            effects: vec![effect],
            books: Some(Books {
                payments: vec![payment],
                ..Books::default()
            }),
            telemetry: vec![said],
            ..History::default()
        };
        assert_eq!(check(&history, &Limits::default()), []);
        history.telemetry.clear();
        assert_eq!(check(&history, &Limits::default()).len(), 2);
    }
}
