//! An event as a subscriber gets it.

use serde::Deserialize;
use time::OffsetDateTime;

use crate::{
    id::{AccountId, PaymentId, TenantId},
    money::Currency,
};

/// What happened to a payment. Members that this version does not know are let through: an older subscriber goes on while a
/// newer ledger says more.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Event {
    /// What happened, as in `payment.captured`.
    pub r#type: String,
    /// Whose payment.
    pub tenant_id: TenantId,
    /// Its place among the payment's events, from 1 on.
    pub sequence: i32,
    /// What was moved, in minor units.
    pub moved: i64,
    /// The payment after it.
    pub payment: PaymentPart,
}

/// What subscribers need of the payment.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct PaymentPart {
    /// Its id.
    pub payment_id: PaymentId,
    /// Its state.
    pub state: String,
    /// Of all its amounts.
    pub currency: Currency,
    /// Who is credited.
    pub payee: AccountId,
    /// When it was changed so.
    #[serde(with = "time::serde::rfc3339")]
    pub updated_at: OffsetDateTime,
}

/// Not an event of ours.
#[derive(Debug, thiserror::Error)]
#[error("this message is no event of the ledger: {0}")]
pub struct Malformed(String);

/// EventBridge's envelope.
#[derive(Deserialize)]
struct Envelope {
    detail: Event,
}

impl Event {
    /// The event in the body of a message.
    ///
    /// # Errors
    /// When it is none.
    pub fn parse(body: &str) -> Result<Self, Malformed> {
        let envelope: Envelope = serde_json::from_str(body).map_err(|error| Malformed(error.to_string()))?;
        let event = envelope.detail;
        if event.sequence < 1 || event.moved < 0 {
            return Err(Malformed("`sequence` or `moved` is out of range".to_owned()));
        }
        Ok(event)
    }

    /// Where it belongs: a payment's events follow each other here.
    pub(super) fn place(&self) -> (TenantId, PaymentId, i32) {
        (self.tenant_id, self.payment.payment_id, self.sequence)
    }

    /// A message that holds the event, as EventBridge would have sent it.
    pub(crate) fn message(event_type: &str, detail: &str) -> String {
        let kind = serde_json::Value::from(event_type);
        format!(
            r#"{{"source":"{}","detail-type":{kind},"detail":{detail}}}"#,
            super::relay::SOURCE
        )
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(crate) fn body(sequence: i32, moved: i64) -> String {
        let id = "00000000-0000-0000-0000-000000000001";
        let detail = format!(
            r#"{{"event_id":"e","type":"payment.captured","tenant_id":"{id}","sequence":{sequence},"moved":{moved},"new":[],
               "payment":{{"payment_id":"{id}","state":"captured","currency":"EUR","payee":"{id}",
               "updated_at":"2026-01-01T00:00:00Z"}}}}"#
        );
        Event::message("payment.captured", &detail)
    }

    #[test]
    fn what_is_new_is_let_through_and_what_is_wrong_is_not() {
        assert_eq!(Event::parse(&body(2, 5)).unwrap().moved, 5);
        for wrong in [
            "",
            "{}",
            &body(0, 5),
            &body(1, -5),
            &body(1, 5).replace("EUR", "E"),
        ] {
            assert!(Event::parse(wrong).is_err(), "{wrong}");
        }
    }
}
