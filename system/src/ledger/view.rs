//! Accounts and payments as answers and events show them.

use serde::Serialize;
use time::OffsetDateTime;

use crate::{
    id::{AccountId, PaymentId},
    money::{Amount, Currency},
};

use super::{
    account::{Account, Role},
    payment::{Kind, Payment, State},
};

/// An account as a client sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct AccountView {
    /// Its id.
    pub account_id: AccountId,
    /// What it is for.
    pub role: Role,
    /// Of all its amounts.
    pub currency: Currency,
    /// Decimal digits of the minor unit.
    pub exponent: u8,
    /// Whether its movements are stopped.
    pub frozen: bool,
    /// Credits less debits, in minor units.
    pub balance: i64,
    /// What can still be taken from it; none when there is no limit.
    pub available: Option<i64>,
    /// What is set aside to leave it.
    pub pending_debits: i64,
    /// What is set aside to reach it.
    pub pending_credits: i64,
    /// How far below zero it may go.
    pub overdraft_limit: i64,
    /// Legs booked so far.
    pub version: i64,
    /// When it was opened.
    #[serde(with = "time::serde::rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    pub opened_at: OffsetDateTime,
}

impl From<&Account> for AccountView {
    fn from(account: &Account) -> Self {
        Self {
            account_id: account.id,
            role: account.role,
            currency: account.currency,
            exponent: account.currency.exponent(),
            frozen: account.frozen,
            balance: account.balance(),
            available: account.available(),
            pending_debits: account.pending.debits,
            pending_credits: account.pending.credits,
            overdraft_limit: account.overdraft_limit,
            version: account.version,
            opened_at: account.opened_at,
        }
    }
}

/// A payment as a client sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct PaymentView {
    /// Its id.
    pub payment_id: PaymentId,
    /// What it is.
    pub kind: Kind,
    /// How far it has come.
    pub state: State,
    /// Of all its amounts.
    pub currency: Currency,
    /// Decimal digits of the minor unit.
    pub exponent: u8,
    /// What was asked for, in minor units.
    pub amount: Amount,
    /// What the provider holds or has taken.
    pub authorized: i64,
    /// What it has taken.
    pub captured: i64,
    /// What it has given back.
    pub refunded: i64,
    /// What the platform keeps.
    pub fee: i64,
    /// Who is credited.
    pub payee: AccountId,
    /// Who pays, if it is an account of the ledger.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub payer: Option<AccountId>,
    /// Changes so far.
    pub version: i64,
    /// When it was asked for.
    #[serde(with = "time::serde::rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    pub created_at: OffsetDateTime,
    /// When it last changed.
    #[serde(with = "time::serde::rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    pub updated_at: OffsetDateTime,
}

impl From<&Payment> for PaymentView {
    fn from(payment: &Payment) -> Self {
        Self {
            payment_id: payment.id,
            kind: payment.kind,
            state: payment.state,
            currency: payment.currency,
            exponent: payment.currency.exponent(),
            amount: payment.amount,
            authorized: payment.authorized,
            captured: payment.captured,
            refunded: payment.refunded,
            fee: payment.fee,
            payee: payment.payee,
            payer: payment.payer,
            version: payment.version,
            created_at: payment.created_at,
            updated_at: payment.updated_at,
        }
    }
}

/// JSON of a view. The views hold nothing that JSON cannot.
pub(super) fn json(view: &impl Serialize) -> String {
    serde_json::to_string(view).expect("views are plain data with string keys")
}

/// The body of a payment's event. It names accounts and amounts, never a person or a card.
pub(super) fn event(payment: &Payment, kind: &str, moved: i64) -> String {
    #[derive(Serialize)]
    struct Body<'a> {
        /// The same in every delivery of the event.
        event_id: String,
        r#type: String,
        tenant_id: crate::id::TenantId,
        /// Its place among the payment's events, from 1 on without a gap.
        sequence: i32,
        /// What this step moved, in minor units.
        moved: i64,
        payment: &'a PaymentView,
    }
    json(&Body {
        event_id: format!("{}-{}", payment.id.0.simple(), payment.events),
        r#type: format!("payment.{kind}"),
        tenant_id: payment.tenant,
        sequence: payment.events,
        moved,
        payment: &payment.into(),
    })
}

/// A problem (RFC 9457) that is the answer to a request.
pub(super) fn declined(payment: &Payment, kind: &str, reason: &str) -> String {
    #[derive(Serialize)]
    struct Problem<'a> {
        r#type: &'static str,
        title: &'static str,
        status: u16,
        detail: String,
        payment: &'a PaymentView,
    }
    json(&Problem {
        r#type: "/problems/declined",
        title: "Declined",
        status: 402,
        detail: format!("the {kind} was declined: {reason}"),
        payment: &payment.into(),
    })
}
