//! What the ledger can be asked to do, and what it answers.

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use crate::{
    id::{AccountId, Fingerprint, IdempotencyKey, PaymentId, TenantId},
    money::{Amount, Currency},
};

use super::{
    payment::{Operation, OperationId, OperationKind, Outcome, Payment},
    refusal::Refusal,
};

/// A mutation that a client asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Who asks.
    pub tenant: TenantId,
    /// The client's name for it.
    pub key: IdempotencyKey,
    /// What is asked for.
    pub fingerprint: Fingerprint,
    /// When it was asked, by the clock of the gateway.
    pub at: OffsetDateTime,
    /// Until when the gateway sees to what the request starts outside the ledger.
    pub lease_until: OffsetDateTime,
}

/// What a client asks for. Its JSON is kept at the gate: it names accounts, payments, amounts and the vault's tokens, never a
/// person or a card.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "mutation", rename_all = "snake_case", deny_unknown_fields)]
pub enum Mutation {
    /// Opens a wallet.
    OpenAccount {
        /// Of what.
        currency: Currency,
        /// How far below zero it may go, in minor units.
        overdraft_limit: i64,
    },
    /// Stops an account's movements, or lets them go on.
    SetFrozen {
        /// Which account.
        account: AccountId,
        /// Whether it is to be frozen.
        frozen: bool,
    },
    /// Starts a charge.
    Charge {
        /// Who is credited.
        payee: AccountId,
        /// How much.
        amount: Amount,
        /// Of what.
        currency: Currency,
        /// The vault's token of what is charged.
        instrument: String,
        /// Takes the amount at once, instead of holding it.
        capture: bool,
    },
    /// Takes what a charge holds, or a part.
    Capture {
        /// Which charge.
        payment: PaymentId,
        /// How much; all that is left if none.
        amount: Option<Amount>,
    },
    /// Gives up what a charge still holds.
    Void {
        /// Which charge.
        payment: PaymentId,
    },
    /// Gives back what a charge took, or a part.
    Refund {
        /// Which charge.
        payment: PaymentId,
        /// How much; all that is left if none.
        amount: Option<Amount>,
    },
    /// Starts a settlement.
    Settle {
        /// Who pays.
        payer: AccountId,
        /// Who is paid.
        payee: AccountId,
        /// How much.
        amount: Amount,
        /// Of what.
        currency: Currency,
        /// What the platform keeps of it, in minor units.
        fee: i64,
    },
    /// An operator's decision about an operation in limbo.
    Decide {
        /// Which payment.
        payment: PaymentId,
        /// What the outside turned out to have done.
        outcome: Outcome,
    },
}

impl Mutation {
    /// The payment that it names, if it is about one that is there.
    pub fn payment(&self) -> Option<PaymentId> {
        match self {
            Self::Capture { payment, .. }
            | Self::Void { payment }
            | Self::Refund { payment, .. }
            | Self::Decide { payment, .. } => Some(*payment),
            Self::OpenAccount { .. } | Self::SetFrozen { .. } | Self::Charge { .. } | Self::Settle { .. } => {
                None
            }
        }
    }

    /// The kind of operation that it begins with and whose outcome its client waits for.
    pub fn operation(&self) -> Option<OperationKind> {
        match self {
            Self::Charge { capture: true, .. } => Some(OperationKind::Sale),
            Self::Charge { capture: false, .. } => Some(OperationKind::Authorize),
            Self::Capture { .. } => Some(OperationKind::Capture),
            Self::Void { .. } => Some(OperationKind::Void),
            Self::Refund { .. } => Some(OperationKind::Refund),
            // A settlement is answered before its payee is verified; what is parked goes on later.
            Self::OpenAccount { .. } | Self::SetFrozen { .. } | Self::Settle { .. } | Self::Decide { .. } => {
                None
            }
        }
    }
}

/// One thing for the ledger to do, all or nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// What a client asks for.
    Mutate(Request, Mutation),
    /// A request that a ledger may have lost with the tail of its log: it has it again afterwards, with the answer that the
    /// gate kept. Freezes and limits do not bind: it has happened. Without an answer it has not been confirmed, but begun:
    /// its operation is then to be asked about before it is asked for.
    Restore(Request, Mutation, Option<Answer>),
    /// A request that a ledger may have lost, and of which it cannot be found out whether it had its effect: what it asks for
    /// goes to limbo and its accounts are frozen, as far as these books have what it is about.
    Suspect {
        /// The request.
        request: Request,
        /// What it asks for.
        mutation: Mutation,
        /// What stands against restoring it.
        reason: String,
        /// When it was given up.
        at: OffsetDateTime,
    },
    /// The outcome of an operation.
    Resolve {
        /// Which operation.
        operation: OperationId,
        /// The fence under which it was done.
        fence: i64,
        /// What came of it.
        outcome: Outcome,
        /// When it became known.
        at: OffsetDateTime,
        /// Until when whoever asks sees to what follows.
        lease_until: OffsetDateTime,
    },
    /// An operation whose outcome cannot be found out any more.
    GiveUp {
        /// Which operation.
        operation: OperationId,
        /// The fence under which it was tried.
        fence: i64,
        /// Why.
        reason: String,
        /// When.
        at: OffsetDateTime,
    },
}

impl Command {
    /// Whose books it is about.
    pub fn tenant(&self) -> TenantId {
        match self {
            Self::Mutate(request, _) | Self::Restore(request, ..) | Self::Suspect { request, .. } => {
                request.tenant
            }
            Self::Resolve { operation, .. } | Self::GiveUp { operation, .. } => operation.tenant,
        }
    }

    /// The request that it is about, and what that asks for.
    pub(super) fn asked(&self) -> Option<(&Request, &Mutation)> {
        match self {
            Self::Mutate(request, mutation)
            | Self::Restore(request, mutation, _)
            | Self::Suspect {
                request, mutation, ..
            } => Some((request, mutation)),
            Self::Resolve { .. } | Self::GiveUp { .. } => None,
        }
    }
}

/// The answer to a request: what every retry of it gets as well, byte for byte.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// JSON.
    pub body: String,
}

impl Reply {
    /// The answer to the request that the command was about, if there is one.
    pub fn answer(&self) -> Option<&Answer> {
        match self {
            Self::Answered(answer) | Self::Replayed(answer) => Some(answer),
            Self::Resolved { answer, .. } => answer.as_ref(),
            _ => None,
        }
    }
}

/// What came of a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// Done; to be answered with this.
    Answered(Answer),
    /// Done in an earlier attempt of the same request, and answered with this.
    Replayed(Answer),
    /// Intended, durably: this operation is now to be carried out, on the payment as it is now.
    Started(Operation, Box<Payment>),
    /// An earlier attempt of the same request started this, and it is not finished.
    InFlight(Operation),
    /// The key was used for another request.
    Mismatch,
    /// A rule stands against it; nothing was written.
    Refused(Refusal),
    /// The outcome is booked. The answer is for the request that waits for it, the operation is what follows.
    Resolved {
        /// For the request that waits, if one does.
        answer: Option<Answer>,
        /// What is to be carried out next.
        next: Option<Operation>,
    },
    /// It cannot have happened in these books: what it builds on is missing. Nothing was written.
    Unfounded(String),
    /// Somebody else has taken the operation over, or it is finished; nothing was written.
    Stale,
}
