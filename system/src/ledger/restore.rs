//! Requests that a ledger may have lost: after a promotion that left the tail of the log behind.
//!
//! The gate kept the request and, if its client was told, the answer. Both together say what happened: the request what was to
//! be done, the answer what the payment was like afterwards. Restoring does it again as a fact and keeps the answer to the
//! byte. It does so only if the payment then is as the answer says; if not, something that came before it is still missing.

use serde::Deserialize;
use time::OffsetDateTime;

use crate::id::{AccountId, PaymentId};

use super::{
    account::Cause,
    book::Book,
    command::{Answer, Mutation, Reply, Request},
    payment::{Operation, Outcome},
};

/// What a confirmed answer says about its payment or its account.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Confirmed {
    authorized: i64,
    captured: i64,
    refunded: i64,
    version: i64,
    #[serde(with = "time::serde::rfc3339::option")]
    created_at: Option<OffsetDateTime>,
    #[serde(with = "time::serde::rfc3339::option")]
    updated_at: Option<OffsetDateTime>,
    #[serde(with = "time::serde::rfc3339::option")]
    opened_at: Option<OffsetDateTime>,
}

impl Confirmed {
    fn read(answer: &Answer) -> Self {
        let mut body: serde_json::Value = serde_json::from_str(&answer.body).unwrap_or_default();
        // A decline is a problem that shows the payment as a member.
        let view = body
            .get_mut("payment")
            .map(serde_json::Value::take)
            .unwrap_or(body);
        serde_json::from_value(view).unwrap_or_default()
    }
}

impl Book {
    /// Makes the books as if they had never lost the request; leaves them as they were if that cannot be.
    pub(super) fn restore(
        &mut self,
        request: &Request,
        mutation: &Mutation,
        answer: Option<&Answer>,
    ) -> Reply {
        let mut trial = self.clone();
        let reply = match answer {
            Some(answer) => trial.restore_answered(request, mutation, answer),
            None => trial.restore_begun(request, mutation),
        };
        if !matches!(reply, Reply::Unfounded(_) | Reply::Mismatch | Reply::Stale) {
            *self = trial;
        }
        reply
    }

    fn restore_answered(&mut self, request: &Request, mutation: &Mutation, answer: &Answer) -> Reply {
        let confirmed = Confirmed::read(answer);
        let begun = match self.known(request) {
            Some(Reply::InFlight(operation)) => Some(operation),
            Some(known) => return known,
            None => {
                let at = confirmed.created_at.filter(|_| mutation.payment().is_none());
                let request = Request {
                    at: at.or(confirmed.opened_at).unwrap_or(request.at),
                    ..request.clone()
                };
                match self.mutate(&request, mutation, Cause::Fact) {
                    Ok(Reply::Started(operation, _)) => Some(operation),
                    Ok(_) => None,
                    Err(refusal) => return Reply::Unfounded(refusal.to_string()),
                }
            }
        };
        if let Some(operation) = begun {
            let at = confirmed.updated_at.unwrap_or(request.at);
            let outcome = outcome(&operation, answer);
            if let Reply::Refused(refusal) = self.resolve(&operation, &outcome, at, request.lease_until) {
                return Reply::Unfounded(refusal.to_string());
            }
            if let Some(difference) = self.differs(&operation, &confirmed) {
                return Reply::Unfounded(difference);
            }
        }
        self.answer(request.tenant, &request.key, answer.clone());
        Reply::Answered(answer.clone())
    }

    fn restore_begun(&mut self, request: &Request, mutation: &Mutation) -> Reply {
        if let Some(known) = self.known(request) {
            return known;
        }
        match self.mutate(request, mutation, Cause::Fact) {
            Ok(Reply::Started(operation, payment)) => {
                // Somebody has had the fence before.
                let fence = operation.fence + 1;
                Reply::Started(self.fence_off(operation, fence), payment)
            }
            Ok(reply) => reply,
            Err(refusal) => Reply::Unfounded(refusal.to_string()),
        }
    }

    /// Has people find out about a request of which nobody else can. What it asks for outside becomes an operation in limbo; where
    /// that cannot be, because the payment is in another state, its accounts are frozen and an event says so.
    pub(super) fn suspect(
        &mut self,
        request: &Request,
        mutation: &Mutation,
        reason: &str,
        at: OffsetDateTime,
    ) -> Reply {
        let mut trial = self.clone();
        let begun = match trial.restore_begun(request, mutation) {
            Reply::Started(operation, _) => Some(operation),
            Reply::Resolved { next, .. } => next,
            // It is there, and is seen to like everything else.
            Reply::InFlight(_) | Reply::Stale => return Reply::Stale,
            _ => None,
        };
        if let Some(operation) = begun {
            let given_up = trial.give_up(operation.id, reason, at);
            if matches!(given_up, Reply::Resolved { .. }) {
                *self = trial;
            }
            return given_up;
        }
        let own = PaymentId::of_request(request.tenant, &request.key);
        let Ok(payment) = self.payment(request.tenant, mutation.payment().unwrap_or(own)) else {
            return Reply::Unfounded(reason.to_owned());
        };
        let payment = payment.clone();
        let accounts: Vec<_> = [Some(payment.payee), payment.payer]
            .into_iter()
            .flatten()
            .collect();
        let frozen = |id: &AccountId| {
            let account = self.account(request.tenant, *id);
            account.is_ok_and(|account| account.frozen)
        };
        if accounts.iter().all(frozen) {
            return Reply::Stale;
        }
        for account in accounts {
            self.set_frozen(request.tenant, account, true);
        }
        self.put(payment, "suspect", at);
        Reply::Resolved {
            answer: None,
            next: None,
        }
    }

    /// How the payment differs from what its client was told, if it does.
    fn differs(&self, operation: &Operation, told: &Confirmed) -> Option<String> {
        let payment = self.payment(operation.id.tenant, operation.id.payment).ok()?;
        // "All that is left" depends on what came before.
        if payment.version < told.version {
            return Some(format!(
                "the payment is at version {}, not {}",
                payment.version, told.version
            ));
        }
        let here = (payment.authorized, payment.captured, payment.refunded);
        let there = (told.authorized, told.captured, told.refunded);
        (here != there)
            .then(|| format!("the payment has {here:?} authorized, captured, refunded; told was {there:?}"))
    }
}

/// What the outside did, as its confirmed answer tells. The dependency's own name for it is not in the answer; it can be asked
/// for by the call's key.
fn outcome(operation: &Operation, answer: &Answer) -> Outcome {
    if answer.status < 300 {
        Outcome::Succeeded {
            reference: operation.key(),
        }
    } else {
        Outcome::Declined {
            reason: "declined before the ledger lost it".to_owned(),
        }
    }
}
