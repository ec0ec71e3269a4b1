//! Names that a person can say, instead of ids.

use std::collections::BTreeMap;

use scenarios::history::History;

/// What payments are called, and which keys belong to them.
#[derive(Debug, Default)]
pub(crate) struct Names {
    /// Ids in the order in which payments were first heard of; `payment 1` is the first.
    pub(crate) payments: Vec<String>,
    by_id: BTreeMap<String, usize>,
    by_key: BTreeMap<String, usize>,
}

impl Names {
    pub(crate) fn new(history: &History) -> Names {
        let mut heard: Vec<(u64, String)> = Vec::new();
        let mut keys: Vec<(String, String)> = Vec::new();
        for told in &history.told {
            let body: serde_json::Value = serde_json::from_str(&told.body).unwrap_or_default();
            // An operation on a payment names it in its path.
            let in_path = told
                .path
                .strip_prefix("/v1/charges/")
                .and_then(|rest| rest.split('/').next());
            let payment = body["payment_id"]
                .as_str()
                .or(body["payment"]["payment_id"].as_str())
                .or(in_path);
            if let Some(payment) = payment {
                let began = told.at_nanos.saturating_sub(told.took.as_nanos() as u64);
                heard.push((began, payment.to_owned()));
                keys.push((told.key.clone(), payment.to_owned()));
            }
        }
        for effect in &history.effects {
            heard.push((effect.at_nanos, effect.payment.clone()));
            keys.push((effect.key.clone(), effect.payment.clone()));
        }
        for said in &history.telemetry {
            if let Some(payment) = said.fields.get("payment_id").and_then(|id| id.as_str()) {
                heard.push((said.at_nanos, payment.to_owned()));
            }
        }
        heard.sort();
        let in_ledger = history
            .payments()
            .iter()
            .map(|payment| (u64::MAX, payment.id.clone()));
        heard.extend(in_ledger);
        let mut names = Names::default();
        for (_, id) in heard {
            let next = names.payments.len();
            names.by_id.entry(id).or_insert_with_key(|id| {
                names.payments.push(id.clone());
                next
            });
        }
        for (key, payment) in keys {
            if let Some(place) = names.by_id.get(&payment) {
                names.by_key.insert(key, *place);
            }
        }
        names
    }

    /// The payment with this id, or that a key belongs to.
    pub(crate) fn payment(&self, id_or_key: &str) -> Option<usize> {
        self.by_id.get(id_or_key).or(self.by_key.get(id_or_key)).copied()
    }

    /// What a payment is called.
    pub(crate) fn name(place: usize) -> String {
        format!("payment {}", place + 1)
    }

    /// A sentence with names in place of the ids that stand in it.
    pub(crate) fn say(&self, sentence: &str) -> String {
        let mut said = sentence.to_owned();
        for (place, id) in self.payments.iter().enumerate() {
            let (name, digits) = (Self::name(place), id.replace('-', ""));
            // A payment's own word before its id is not said twice; keys hold its digits alone.
            for id in [format!("payment {id}"), id.clone(), digits] {
                if said.contains(&id) {
                    said = said.replace(&id, &name);
                }
            }
        }
        said
    }
}
