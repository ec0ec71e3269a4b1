//! The legs that the steps of payments are made of.

use crate::{
    id::AccountId,
    money::Amount,
    variant::{Variant, as_written},
};

use super::{
    account::{Phase, Role},
    book::{Book, Leg},
    payment::Payment,
};

fn system(payment: &Payment, role: Role) -> AccountId {
    Book::system(payment.tenant, role, payment.currency)
}

/// From the provider to the payee.
pub(super) fn inbound(payment: &Payment, phase: Phase, amount: Amount) -> Leg {
    Leg {
        phase,
        debit: system(payment, Role::Clearing),
        credit: payment.payee,
        amount,
    }
}

/// From the payee to the provider.
pub(super) fn outbound(payment: &Payment, phase: Phase, amount: Amount) -> Leg {
    back(inbound(payment, phase, amount))
}

/// The other way round.
pub(super) fn back(leg: Leg) -> Leg {
    Leg {
        debit: leg.credit,
        credit: leg.debit,
        ..leg
    }
}

/// Out of escrow: the net amount to the payee, the fee to the platform.
pub(super) fn out_of_escrow(payment: &Payment) -> Vec<Leg> {
    let shares = [
        (payment.payee, payment.net()),
        (system(payment, Role::Fees), payment.fee),
    ];
    let count = if as_written(Variant::FeeLost) { 1 } else { 2 };
    let legs = shares.into_iter().take(count).filter(|(_, units)| *units > 0);
    legs.map(|(credit, units)| Leg {
        phase: Phase::Posted,
        debit: system(payment, Role::Escrow),
        credit,
        amount: share(units),
    })
    .collect()
}

/// Out of escrow: all of it, back to the payer.
pub(super) fn to_payer(payment: &Payment) -> Leg {
    Leg {
        phase: Phase::Posted,
        debit: system(payment, Role::Escrow),
        // A settlement has one: it is made with it.
        credit: payment.payer.unwrap_or(payment.payee),
        amount: payment.amount,
    }
}

/// A part of a valid amount.
pub(super) fn share(units: i64) -> Amount {
    Amount::new(units).expect("shares of a valid amount are positive and smaller")
}
