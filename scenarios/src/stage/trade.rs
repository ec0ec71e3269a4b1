//! What a client asks for: drawn from the workload, and from what earlier answers allow.

use serde_json::{Value, json};

use crate::{history::Told, script::Workload};

use super::TradingAccount;

/// A request.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub key: String,
    pub path: String,
    pub body: Value,
    pub meanwhile: Meanwhile,
}

/// What is asked for at the same time.
#[derive(Clone, Debug)]
pub(super) enum Meanwhile {
    Nothing,
    /// The same, on another connection.
    Same,
    /// Something else on the same payment, by somebody else.
    Rival(Box<Asked>),
}

impl Asked {
    /// With nothing meanwhile.
    pub(super) fn alone(key: String, path: String, body: Value) -> Self {
        Self {
            key,
            path,
            body,
            meanwhile: Meanwhile::Nothing,
        }
    }
}

/// A captured charge, as far as its client knows.
#[derive(Clone, Debug)]
struct Captured {
    payment: String,
    amount: i64,
    payee: TradingAccount,
}

/// A client's mind.
pub(super) struct Trader {
    name: String,
    workload: Workload,
    accounts: Vec<TradingAccount>,
    /// Charges that hold an amount.
    held: Vec<(String, i64)>,
    captured: Vec<Captured>,
    frozen: Option<String>,
    /// A request that was confirmed.
    before: Option<Asked>,
}

impl Trader {
    pub(super) fn new(name: &str, workload: Workload, accounts: Vec<TradingAccount>) -> Self {
        Self {
            name: name.to_owned(),
            workload,
            accounts,
            held: Vec::new(),
            captured: Vec::new(),
            frozen: None,
            before: None,
        }
    }

    /// The next request.
    pub(super) fn next(&mut self, number: u32) -> Asked {
        // Somebody's mistake: another request under a key that was used.
        if let Some(mut before) = self.before.take()
            && happens(self.workload.reuse_ppm)
            && let Some(amount) = before.body["amount"].as_i64()
        {
            before.body["amount"] = json!(amount + 1);
            return before;
        }
        let (path, body) = self.draw();
        let key = format!("{}-{number}", self.name);
        let meanwhile = if happens(self.workload.duplicate_ppm) {
            Meanwhile::Same
        } else if let Some(path) = rival(&path)
            && happens(self.workload.rival_ppm)
        {
            let rival = Asked::alone(format!("{key}-rival"), path, json!({}));
            Meanwhile::Rival(Box::new(rival))
        } else {
            Meanwhile::Nothing
        };
        Asked {
            meanwhile,
            ..Asked::alone(key, path, body)
        }
    }

    fn draw(&mut self) -> (String, Value) {
        if let Some(account) = self.frozen.take() {
            return (format!("/v1/accounts/{account}/unfreeze"), json!({}));
        }
        if let Some((payment, amount)) = self.held.pop() {
            // Now and then it is too much.
            let part = fastrand::i64(1..=amount + amount / 3);
            return match fastrand::u8(0..3) {
                0 => (format!("/v1/charges/{payment}/void"), json!({})),
                1 => (format!("/v1/charges/{payment}/capture"), json!({"amount": part})),
                _ => (format!("/v1/charges/{payment}/capture"), json!({})),
            };
        }
        let mix = self.workload.mix;
        let mut choice =
            fastrand::u32(0..(mix.charge + mix.authorize + mix.refund + mix.settlement + mix.freeze).max(1));
        let mut is = |weight: u32| {
            let this = choice < weight;
            choice = choice.wrapping_sub(weight);
            this
        };
        if is(mix.charge) {
            return self.charge(true);
        }
        if is(mix.authorize) {
            return self.charge(false);
        }
        if is(mix.refund) {
            return self.refund();
        }
        if is(mix.settlement) {
            return self.settlement();
        }
        let account = self.account().id;
        self.frozen = Some(account.clone());
        (format!("/v1/accounts/{account}/freeze"), json!({}))
    }

    fn charge(&self, capture: bool) -> (String, Value) {
        let payee = self.account();
        // Now and then it is somebody else's currency.
        let currency = match fastrand::u8(0..12) {
            0 => self.account().currency,
            _ => payee.currency,
        };
        let body = json!({
            "payee": payee.id, "amount": fastrand::i64(1..500), "currency": currency, "instrument": "tok_visa",
            "capture": capture
        });
        ("/v1/charges".to_owned(), body)
    }

    fn refund(&mut self) -> (String, Value) {
        let Some(captured) = self.captured.pop() else {
            return self.charge(true);
        };
        let part = if fastrand::bool() {
            json!({"amount": fastrand::i64(1..=captured.amount + captured.amount / 3)})
        } else {
            json!({})
        };
        (format!("/v1/charges/{}/refund", captured.payment), part)
    }

    fn settlement(&mut self) -> (String, Value) {
        let (payer, amount) = match self.captured.last() {
            Some(captured) if happens(self.workload.collide_ppm) => (captured.payee.clone(), captured.amount),
            // Of what is there, so that most have something to pay with.
            Some(captured) if fastrand::bool() => {
                let amount = fastrand::i64(2..=captured.amount.max(2));
                (captured.payee.clone(), amount)
            }
            _ => (self.account(), fastrand::i64(2..300)),
        };
        let mut payee = self.account();
        if payee.id == payer.id
            && let Some(other) = self
                .accounts
                .iter()
                .find(|other| other.id != payer.id && other.currency == payer.currency)
        {
            payee = other.clone();
        }
        let fee = i64::from(amount > 1);
        let body = json!({
            "payer": payer.id, "payee": payee.id, "amount": amount, "currency": payer.currency, "fee": fee
        });
        ("/v1/settlements".to_owned(), body)
    }

    /// One of the accounts, by Zipf's law.
    fn account(&self) -> TradingAccount {
        let weight = |place: usize| 1.0 / ((place + 1) as f64).powf(self.workload.zipf);
        let total: f64 = (0..self.accounts.len()).map(weight).sum();
        let mut point = fastrand::f64() * total;
        for (place, account) in self.accounts.iter().enumerate() {
            point -= weight(place);
            if point <= 0.0 {
                return account.clone();
            }
        }
        self.accounts.last().cloned().unwrap_or_default()
    }

    /// What an answer says that can be done next.
    pub(super) fn learn(&mut self, asked: &Asked, told: &Told) {
        if told.status >= 300 {
            return;
        }
        let mut before = asked.clone();
        if let Meanwhile::Rival(_) = before.meanwhile {
            before.meanwhile = Meanwhile::Nothing;
        }
        self.before = Some(before);
        let answer: Value = serde_json::from_str(&told.body).unwrap_or_default();
        let Some(payment) = answer["payment_id"].as_str() else {
            return;
        };
        let Some(payee) = answer["payee"].as_str() else {
            return;
        };
        let payee = self.accounts.iter().find(|account| account.id == payee).cloned();
        let units = |name: &str| answer[name].as_i64().unwrap_or_default();
        match (answer["state"].as_str(), payee) {
            (Some("authorized"), _) => {
                let open = units("authorized") - units("captured");
                self.held.push((payment.to_owned(), open));
            }
            (Some("captured"), Some(payee)) if units("captured") > units("refunded") => {
                self.captured.push(Captured {
                    payment: payment.to_owned(),
                    amount: units("captured") - units("refunded"),
                    payee,
                });
            }
            _ => {}
        }
    }
}

/// What a second member of the staff would ask for who does not know of the first.
fn rival(path: &str) -> Option<String> {
    let (payment, step) = path.strip_prefix("/v1/charges/")?.split_once('/')?;
    let step = match step {
        "void" => "capture",
        "capture" => "void",
        same => same,
    };
    Some(format!("/v1/charges/{payment}/{step}"))
}

fn happens(ppm: u32) -> bool {
    ppm > 0 && fastrand::u32(0..1_000_000) < ppm
}
