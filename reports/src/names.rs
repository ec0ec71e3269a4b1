//! Names that a person can say, instead of ids.

use std::collections::BTreeMap;

use scenarios::history::History;

use crate::money::account_names;

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
    accounts: BTreeMap<String, String>,
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
        let accounts = history.books.iter().flat_map(account_names);
        let mut names = Names {
            accounts: accounts.map(|(id, name)| (id.to_owned(), name)).collect(),
            ..Names::default()
        };
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

    /// The payment that a sentence speaks of.
    pub(crate) fn payment_in(&self, sentence: &str) -> Option<usize> {
        self.payments.iter().position(|id| sentence.contains(id))
    }

    /// The id of the account that a sentence speaks of.
    pub(crate) fn account_in(&self, sentence: &str) -> Option<&str> {
        let mut ids = self.accounts.keys().map(String::as_str);
        ids.find(|id| sentence.contains(id))
    }

    /// What a payment is called.
    pub(crate) fn name(place: usize) -> String {
        format!("payment {}", place + 1)
    }

    /// A sentence with names in place of the ids of payments and accounts that stand in it, whole or, as in keys, without their
    /// hyphens.
    pub(crate) fn say(&self, sentence: &str) -> String {
        let mut said = String::new();
        let mut rest = sentence;
        while let Some(letter) = rest.chars().next() {
            let id = [WITH_HYPHENS, DIGITS].into_iter().find_map(|length| {
                let id = rest.get(..length)?;
                let payment = self.by_id.get(id).map(|place| Self::name(*place));
                Some((length, payment.or_else(|| self.accounts.get(id).cloned())?))
            });
            let Some((length, name)) = id else {
                said.push(letter);
                rest = &rest[letter.len_utf8()..];
                continue;
            };
            // The word before an id that its name begins with, or says itself, is not said twice.
            let words = ["payment ", "account "].into_iter();
            let before = words
                .filter_map(|word| said.strip_suffix(word))
                .map(str::len)
                .min();
            said.truncate(before.unwrap_or(said.len()));
            said += &name;
            rest = &rest[length..];
        }
        said
    }
}

#[cfg(test)]
mod tests {
    use scenarios::history::{Books, LedgerAccount, Telemetry};

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
        let wallet = LedgerAccount {
            id: "9ebc5fdf-483a-8799-a881-c373b19bf1f9".to_owned(),
            role: "wallet".to_owned(),
            currency: "EUR".to_owned(),
            balance: 0,
            pending: 0,
        };
        let fold = format!("account {} is not the fold of its legs", wallet.id);
        let history = History {
            telemetry: vec![said(9, ids[0]), said(5, ids[1])],
            books: Some(Books {
                accounts: vec![wallet.clone()],
                ..Books::default()
            }),
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
        assert_eq!(names.payment_in(&sentence), Some(1));
        assert_eq!(names.say(&fold), "wallet 1 (EUR) is not the fold of its legs");
        assert_eq!(names.account_in(&fold), Some(&*wallet.id));
        assert_eq!(
            (names.payment_in(&fold), names.account_in("payment 1")),
            (None, None)
        );
    }
}
