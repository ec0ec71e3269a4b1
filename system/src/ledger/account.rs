//! An account as its row shows it, and what may be booked on it.

use serde::Serialize;
use time::OffsetDateTime;

use crate::{
    id::{AccountId, TenantId},
    money::{Amount, Currency},
    variant::{Variant, as_written},
};

use super::refusal::Refusal;

/// What an account is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// A buyer's or a merchant's: money that the tenant owes to somebody.
    Wallet,
    /// What the payment service provider has taken in for the tenant and not yet handed over.
    Clearing,
    /// What settlements under way hold.
    Escrow,
    /// What the platform has earned.
    Fees,
}

impl Role {
    /// The accounts that the system keeps for itself, one for each currency of a tenant.
    pub(crate) const SYSTEM: [Self; 3] = [Self::Clearing, Self::Escrow, Self::Fees];

    /// Its name in the database.
    pub fn name(self) -> &'static str {
        match self {
            Self::Wallet => "wallet",
            Self::Clearing => "clearing",
            Self::Escrow => "escrow",
            Self::Fees => "fees",
        }
    }

    pub(super) fn parse(name: &str) -> Option<Self> {
        [Self::Wallet]
            .into_iter()
            .chain(Self::SYSTEM)
            .find(|role| role.name() == name)
    }

    /// Whether debits may exceed credits without bound: the account stands for somebody else's money.
    fn unlimited(self) -> bool {
        self == Self::Clearing
    }
}

/// What has been booked on one side of an account, in minor units.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Debits.
    pub debits: i64,
    /// Credits.
    pub credits: i64,
}

/// A row of `account`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// Whose books it is in.
    pub tenant: TenantId,
    /// Its id.
    pub id: AccountId,
    /// What it is for.
    pub role: Role,
    /// Of all its amounts.
    pub currency: Currency,
    /// How far below zero its balance may go, in minor units.
    pub overdraft_limit: i64,
    /// Takes part in no movement that a client asks for.
    pub frozen: bool,
    /// Money that moved.
    pub posted: Totals,
    /// Money that is set aside.
    pub pending: Totals,
    /// Legs booked so far.
    pub version: i64,
    /// When it was opened.
    pub opened_at: OffsetDateTime,
}

/// How a movement came about, and so what can stop it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    /// Somebody asks for it: freezes and limits bind.
    Request,
    /// It has happened outside, or undoes what this system did: the books follow.
    Fact,
}

/// A side of a movement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Debit,
    Credit,
}

/// What a leg does with its amount.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// It moves.
    Posted,
    /// It is set aside.
    Pending,
    /// It is set aside no longer.
    Released,
}

impl Phase {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Posted => "posted",
            Self::Pending => "pending",
            Self::Released => "released",
        }
    }
}

impl Account {
    /// A new account with nothing on it.
    pub(super) fn open(
        tenant: TenantId,
        id: AccountId,
        role: Role,
        currency: Currency,
        overdraft_limit: i64,
        at: OffsetDateTime,
    ) -> Self {
        Self {
            tenant,
            id,
            role,
            currency,
            overdraft_limit,
            frozen: false,
            posted: Totals::default(),
            pending: Totals::default(),
            version: 0,
            opened_at: at,
        }
    }

    /// Credits less debits, of the money that moved.
    pub fn balance(&self) -> i64 {
        self.posted.credits - self.posted.debits
    }

    /// What can still be taken from it: the balance and the overdraft, less what is set aside. None when there is no limit.
    pub fn available(&self) -> Option<i64> {
        let own = self.balance().saturating_sub(self.pending.debits);
        (!self.role.unlimited()).then(|| own.saturating_add(self.overdraft_limit))
    }

    /// Books one side of a leg, or says why not and stays as it was.
    pub(super) fn book(
        &mut self,
        side: Side,
        phase: Phase,
        amount: Amount,
        cause: Cause,
    ) -> Result<(), Refusal> {
        if cause == Cause::Request && phase != Phase::Released {
            if self.frozen && !as_written(Variant::FreezeUnchecked) {
                return Err(Refusal::AccountFrozen(self.id));
            }
            let short = self.available().is_some_and(|available| available < amount.get());
            if side == Side::Debit && short {
                return Err(Refusal::InsufficientFunds(self.id));
            }
        }
        let totals = match phase {
            Phase::Posted => &mut self.posted,
            Phase::Pending | Phase::Released => &mut self.pending,
        };
        let total = match side {
            Side::Debit => &mut totals.debits,
            Side::Credit => &mut totals.credits,
        };
        let booked = match phase {
            Phase::Posted | Phase::Pending => total.checked_add(amount.get()),
            Phase::Released => total.checked_sub(amount.get()).filter(|left| *left >= 0),
        };
        *total = booked.ok_or(Refusal::TotalsExceeded(self.id))?;
        self.version += 1;
        Ok(())
    }
}
