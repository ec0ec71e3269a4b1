//! Why the ledger did not do what a client asked for. Nothing was written.

use crate::{
    id::{AccountId, PaymentId},
    money::{Amount, Currency},
};

/// A rule of the business that stands against a request.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No such account, or another tenant's.
    #[error("there is no account {0}")]
    UnknownAccount(AccountId),
    /// No such payment, or another tenant's.
    #[error("there is no payment {0}")]
    UnknownPayment(PaymentId),
    /// The account is frozen.
    #[error("account {0} is frozen")]
    AccountFrozen(AccountId),
    /// The account would be overdrawn beyond its limit.
    #[error("account {0} does not have the amount available")]
    InsufficientFunds(AccountId),
    /// The request's currency is not the account's.
    #[error("account {account} is kept in {kept}, not in {asked}")]
    WrongCurrency {
        /// The account.
        account: AccountId,
        /// Its currency.
        kept: Currency,
        /// The request's currency.
        asked: Currency,
    },
    /// The same account on both sides.
    #[error("account {0} cannot pay itself")]
    SameAccount(AccountId),
    /// The payment's state does not allow it.
    #[error("payment {payment} is {state}: it cannot be {wanted}")]
    WrongState {
        /// The payment.
        payment: PaymentId,
        /// Its state.
        state: &'static str,
        /// What was asked for, as a participle.
        wanted: &'static str,
    },
    /// More than what is left to capture or to refund.
    #[error("payment {payment} has {left} minor units left, not {asked}")]
    AmountTooLarge {
        /// The payment.
        payment: PaymentId,
        /// What is left.
        left: i64,
        /// What was asked for.
        asked: Amount,
    },
    /// Another operation on the payment is under way.
    #[error("another operation on payment {0} is under way")]
    PaymentBusy(PaymentId),
    /// An account's totals would leave the range of 64 bits.
    #[error("the totals of account {0} would leave their range")]
    TotalsExceeded(AccountId),
}
