//! Names that a person can say, instead of ids.

use std::collections::BTreeMap;

use scenarios::history::History;

/// How long an id is, and how long without its hyphens.
const WITH_HYPHENS: usize = 36;
const DIGITS: usize = 32;

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
            if let Some(payment) = said.text("payment_id") {
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
            if !names.by_id.contains_key(&id) {
                let next = names.payments.len();
                names.by_id.insert(id.replace('-', ""), next);
                names.by_id.insert(id.clone(), next);
                names.payments.push(id);
            }
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

    /// A sentence with names in place of the ids that stand in it, whole or, as in keys, without their hyphens.
    pub(crate) fn say(&self, sentence: &str) -> String {
        let mut said = String::new();
        let mut rest = sentence;
        while let Some(letter) = rest.chars().next() {
            let id = [WITH_HYPHENS, DIGITS].into_iter().find_map(|length| {
                let place = self.by_id.get(rest.get(..length)?)?;
                Some((length, *place))
            });
            let Some((length, place)) = id else {
                said.push(letter);
                rest = &rest[letter.len_utf8()..];
                continue;
            };
            // A payment's own word before its id is not said twice.
            let before = said.strip_suffix("payment ").map_or(said.len(), str::len);
            said.truncate(before);
            said += &Self::name(place);
            rest = &rest[length..];
        }
        said
    }
}

#[cfg(test)]
mod tests {
    use scenarios::history::Telemetry;

    use super::*;

    #[test]
    fn ids_are_said_as_names_in_the_order_in_which_they_were_heard_of() {
        let ids = [
            "867b330a-a62f-827d-b05d-6b970c9b4701",
            "267b330a-a62f-827d-b05d-6b970c9b4702",
        ];
        let said = |at_nanos, id: &str| Telemetry {
            at_nanos,
            host: "gateway-0".to_owned(),
            clock_nanos: 0,
            level: "INFO".to_owned(),
            target: "payments".to_owned(),
            message: "payment committed".to_owned(),
            fields: [("payment_id".to_owned(), id.into())].into(),
        };
        let history = History {
            telemetry: vec![said(9, ids[0]), said(5, ids[1])],
            ..History::default()
        };
        let names = Names::new(&history);
        let sentence = format!(
            "payment {}: the provider did {}-sale-1 \u{20ac}",
            ids[0],
            ids[1].replace('-', "")
        );
        assert_eq!(
            names.say(&sentence),
            "payment 2: the provider did payment 1-sale-1 \u{20ac}"
        );
        assert_eq!(names.payment(ids[1]), Some(0));
    }
}
