//! A payment and the operations on it, as their rows show them.

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use crate::{
    id::{AccountId, IdempotencyKey, PaymentId, TenantId},
    money::{Amount, Currency},
    variant::{Variant, as_written},
};

macro_rules! named {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $text:tt,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, utoipa::ToSchema)]
        pub enum $name {
            $($(#[$variant_doc])* #[serde(rename = $text)] $variant,)*
        }

        impl $name {
            /// Its name in the database and in answers.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }

            pub(crate) fn parse(name: &str) -> Option<Self> {
                match name { $($text => Some(Self::$variant),)* _ => None }
            }
        }
    };
}

named! {
    /// What a payment is.
    Kind {
        /// Paid through the payment service provider into an account.
        Charge = "charge",
        /// Paid from one account to another, when the payee has been verified.
        Settlement = "settlement",
    }
}

named! {
    /// How far a payment has come.
    State {
        /// The provider has been asked and has not answered.
        Pending = "pending",
        /// The provider holds an amount that is not all captured.
        Authorized = "authorized",
        /// All that will be captured has been.
        Captured = "captured",
        /// Given back before anything was captured.
        Voided = "voided",
        /// The provider said no.
        Declined = "declined",
        /// The payer's money is in escrow, the payee is being verified.
        Verifying = "verifying",
        /// The payee has the money, and it is being paid out.
        PayingOut = "paying_out",
        /// Paid out.
        Settled = "settled",
        /// The payer has the money back.
        Reversed = "reversed",
        /// What the outside did cannot be found out; an operator decides.
        Limbo = "limbo",
    }
}

named! {
    /// Work that is done outside the ledger.
    OperationKind {
        /// The provider holds an amount.
        Authorize = "authorize",
        /// The provider takes an amount in one step.
        Sale = "sale",
        /// The provider takes what it held.
        Capture = "capture",
        /// The provider gives up what it held.
        Void = "void",
        /// The provider gives back what it took.
        Refund = "refund",
        /// The payee is checked against the KYC provider.
        Verify = "verify",
        /// The provider pays the payee out.
        Payout = "payout",
    }
}

named! {
    /// How far an operation has come.
    Progress {
        /// Intended; the outcome is not known.
        Pending = "pending",
        /// Done.
        Succeeded = "succeeded",
        /// Not done, and will not be.
        Declined = "declined",
        /// The outcome cannot be found out.
        Limbo = "limbo",
    }
}

/// Names an operation. Its call's key at the dependency follows from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OperationId {
    /// Whose.
    pub tenant: TenantId,
    /// On which payment.
    pub payment: PaymentId,
    /// What is done.
    pub kind: OperationKind,
    /// Which one of its kind, from 1.
    pub seq: i32,
}

/// The key that the dependency knows a call by: the same in every attempt, in every process, in every Region. Of what a request
/// asks for it follows from the request and not from its place among others, so that a ledger that lost its tail, and books
/// the requests anew in another order, still names the same call. What the system does by itself it does once a payment.
pub fn call_key(payment: PaymentId, kind: OperationKind, request: Option<&IdempotencyKey>) -> String {
    let request = request.filter(|_| !as_written(Variant::KeyWithoutNumber));
    let request = request.map_or_else(|| "1".to_owned(), IdempotencyKey::digest);
    format!("{}-{}-{request}", payment.0.simple(), kind.name())
}

/// What the outside says that it did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Done, under this name of the dependency's own.
    Succeeded {
        /// The dependency's name for it.
        reference: String,
    },
    /// Not done, and never will be under this key.
    Declined {
        /// The dependency's reason.
        reason: String,
    },
}

/// A row of `operation`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operation {
    /// Its name.
    pub id: OperationId,
    /// How much.
    pub amount: Amount,
    /// How far it has come.
    pub state: Progress,
    /// What the dependency called it, or why it declined.
    pub reference: Option<String>,
    /// The request that is answered with the outcome.
    pub request: Option<IdempotencyKey>,
    /// Who may settle the outcome.
    pub fence: i64,
    /// How often it has been taken up.
    pub attempts: i32,
    /// Until when whoever has the fence works on it.
    pub lease_until: OffsetDateTime,
    /// When it was intended.
    pub created_at: OffsetDateTime,
}

impl Operation {
    /// The key that the dependency knows the call by.
    pub fn key(&self) -> String {
        call_key(self.id.payment, self.id.kind, self.request.as_ref())
    }
}

/// A row of `payment`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Payment {
    /// Whose.
    pub tenant: TenantId,
    /// Its id.
    pub id: PaymentId,
    /// What it is.
    pub kind: Kind,
    /// How far it has come.
    pub state: State,
    /// Of all its amounts.
    pub currency: Currency,
    /// What was asked for.
    pub amount: Amount,
    /// What the platform keeps of a settlement, in minor units.
    pub fee: i64,
    /// Who is credited.
    pub payee: AccountId,
    /// Who pays, if it is an account of the ledger.
    pub payer: Option<AccountId>,
    /// The vault's token of what is charged.
    pub instrument: String,
    /// What the provider has held, less what it gave up, in minor units.
    pub authorized: i64,
    /// What it has taken.
    pub captured: i64,
    /// What it has given back.
    pub refunded: i64,
    /// Changes so far.
    pub version: i64,
    /// Events so far.
    pub events: i32,
    /// When it was asked for.
    pub created_at: OffsetDateTime,
    /// When it last changed.
    pub updated_at: OffsetDateTime,
}

impl Payment {
    /// What of the authorised amount is not captured.
    pub(super) fn open(&self) -> i64 {
        self.authorized - self.captured
    }

    /// What of the captured amount is not given back.
    pub(super) fn refundable(&self) -> i64 {
        self.captured - self.refunded
    }

    /// What the payee gets of a settlement.
    pub(super) fn net(&self) -> i64 {
        self.amount.get() - self.fee
    }

    /// The state of a charge that follows from what was authorised and captured.
    pub(super) fn standing(&self) -> State {
        match (self.open(), self.captured) {
            (0, 0) => State::Voided,
            (0, _) => State::Captured,
            _ => State::Authorized,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    #[test]
    fn a_calls_key_tells_it_from_every_other_and_stays_the_same() {
        let key = |payment, kind, request: Option<&str>| {
            let request = request.map(|request| IdempotencyKey::new(request).unwrap());
            call_key(PaymentId(Uuid::from_u128(payment)), kind, request.as_ref())
        };
        let keys = [
            key(1, OperationKind::Capture, Some("a")),
            key(1, OperationKind::Capture, Some("b")),
            key(1, OperationKind::Refund, Some("a")),
            key(2, OperationKind::Capture, Some("a")),
            key(1, OperationKind::Payout, None),
        ];
        assert_eq!(
            keys.iter().collect::<std::collections::BTreeSet<_>>().len(),
            keys.len()
        );
        assert_eq!(
            keys[0],
            "00000000000000000000000000000001-capture-ca978112ca1bbdca"
        );
        assert_eq!(keys[4], "00000000000000000000000000000001-payout-1");
    }
}
