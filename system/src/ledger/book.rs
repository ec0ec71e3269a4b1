//! The rows that a batch of commands has locked, and what the commands make of them. No input or output, no clock, no
//! randomness: the same rows and commands make the same changes.
//!
//! A command is all or nothing: what can fail comes before the first change.

use std::collections::{BTreeMap, BTreeSet};

use time::OffsetDateTime;

use crate::{
    id::{AccountId, Fingerprint, IdempotencyKey, PaymentId, TenantId, TransferId},
    money::{Amount, Currency},
    variant::{Variant, as_written},
};

use super::{
    account::{Account, Cause, Phase, Role, Side},
    command::{Answer, Request},
    payment::{Operation, OperationId, OperationKind, Payment, Progress},
    refusal::Refusal,
    view,
};

/// A row of `request`.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub fingerprint: Fingerprint,
    pub subject: uuid::Uuid,
    pub answer: Option<Answer>,
    pub at: OffsetDateTime,
}

/// A leg of a transfer: an amount from one account to another.
#[derive(Clone, Copy, Debug)]
pub(super) struct Leg {
    pub phase: Phase,
    pub debit: AccountId,
    pub credit: AccountId,
    pub amount: Amount,
}

/// A leg as it is booked: with its places in both accounts' statements.
#[derive(Clone, Copy, Debug)]
pub(super) struct BookedLeg {
    pub leg: Leg,
    pub currency: Currency,
    pub debit_version: i64,
    pub credit_version: i64,
}

/// A row of `transfer` and its legs.
#[derive(Clone, Debug)]
pub(super) struct Transfer {
    pub id: TransferId,
    pub tenant: TenantId,
    pub payment: PaymentId,
    pub step: &'static str,
    pub seq: i32,
    pub legs: Vec<BookedLeg>,
    pub at: OffsetDateTime,
}

/// A row of `outbox`.
#[derive(Clone, Debug)]
pub(super) struct Event {
    pub tenant: TenantId,
    pub payment: PaymentId,
    pub seq: i32,
    pub kind: String,
    pub body: String,
    pub at: OffsetDateTime,
}

/// What is to be done with a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    Insert,
    Update,
}

/// The rows, and what is to be written.
#[derive(Clone, Debug, Default)]
pub(super) struct Book {
    pub requests: BTreeMap<(TenantId, IdempotencyKey), Asked>,
    pub payments: BTreeMap<(TenantId, PaymentId), Payment>,
    pub operations: BTreeMap<OperationId, Operation>,
    pub accounts: BTreeMap<(TenantId, AccountId), Account>,
    pub changes: Changes,
}

/// What is to be written.
#[derive(Clone, Debug, Default)]
pub(super) struct Changes {
    /// Requests that are made.
    pub requests: BTreeSet<(TenantId, IdempotencyKey)>,
    /// Answers to requests that were made before.
    pub answers: BTreeMap<(TenantId, IdempotencyKey), Answer>,
    pub payments: BTreeMap<(TenantId, PaymentId), Change>,
    pub operations: BTreeMap<OperationId, Change>,
    /// When operations got their outcome.
    pub settled: BTreeMap<OperationId, OffsetDateTime>,
    pub accounts: BTreeMap<(TenantId, AccountId), Change>,
    pub transfers: Vec<Transfer>,
    pub events: Vec<Event>,
}

impl Changes {
    /// Whether nothing is to be written.
    pub(super) fn is_empty(&self) -> bool {
        let rows = self.requests.len()
            + self.answers.len()
            + self.payments.len()
            + self.operations.len()
            + self.accounts.len();
        rows + self.transfers.len() + self.events.len() == 0
    }
}

/// Notes a change of a row; one that is to be inserted stays so.
fn note<K: Ord>(changes: &mut BTreeMap<K, Change>, key: K, change: Change) {
    changes.entry(key).or_insert(change);
}

impl Book {
    pub(super) fn account(&self, tenant: TenantId, id: AccountId) -> Result<&Account, Refusal> {
        self.accounts
            .get(&(tenant, id))
            .ok_or(Refusal::UnknownAccount(id))
    }

    pub(super) fn payment(&self, tenant: TenantId, id: PaymentId) -> Result<&Payment, Refusal> {
        self.payments
            .get(&(tenant, id))
            .ok_or(Refusal::UnknownPayment(id))
    }

    /// The operation of a payment that is not finished, if there is one.
    pub(super) fn unfinished(&self, tenant: TenantId, payment: PaymentId) -> Option<&Operation> {
        self.operations_of(tenant, payment)
            .find(|operation| matches!(operation.state, Progress::Pending | Progress::Limbo))
    }

    pub(super) fn operations_of(
        &self,
        tenant: TenantId,
        payment: PaymentId,
    ) -> impl Iterator<Item = &Operation> {
        let id = |kind, seq| OperationId {
            tenant,
            payment,
            kind,
            seq,
        };
        let all = id(OperationKind::Authorize, i32::MIN)..=id(OperationKind::Payout, i32::MAX);
        self.operations.range(all).map(|(_, operation)| operation)
    }

    /// The account that the system keeps for itself in a currency.
    pub(super) fn system(tenant: TenantId, role: Role, currency: Currency) -> AccountId {
        AccountId::of_system(tenant, role.name(), currency.code())
    }

    /// Opens an account. It must not be there.
    pub(super) fn open(&mut self, account: Account) {
        let key = (account.tenant, account.id);
        note(&mut self.changes.accounts, key, Change::Insert);
        self.accounts.insert(key, account);
    }

    pub(super) fn set_frozen(&mut self, tenant: TenantId, id: AccountId, frozen: bool) {
        if let Some(account) = self.accounts.get_mut(&(tenant, id)) {
            account.frozen = frozen;
            note(&mut self.changes.accounts, (tenant, id), Change::Update);
        }
    }

    /// Books a step of a payment: all its legs, or none and why.
    pub(super) fn post(
        &mut self,
        payment: &Payment,
        step: &'static str,
        seq: i32,
        legs: &[Leg],
        cause: Cause,
        at: OffsetDateTime,
    ) -> Result<(), Refusal> {
        let tenant = payment.tenant;
        let mut touched: BTreeMap<AccountId, Account> = BTreeMap::new();
        let mut booked = Vec::with_capacity(legs.len());
        for leg in legs {
            let mut version = [0; 2];
            for (place, (id, side)) in [(leg.debit, Side::Debit), (leg.credit, Side::Credit)]
                .into_iter()
                .enumerate()
            {
                let account = match touched.entry(id) {
                    std::collections::btree_map::Entry::Occupied(entry) => entry.into_mut(),
                    std::collections::btree_map::Entry::Vacant(entry) => {
                        entry.insert(self.account(tenant, id)?.clone())
                    }
                };
                if account.currency != payment.currency && !as_written(Variant::OneSumForAll) {
                    return Err(Refusal::WrongCurrency {
                        account: id,
                        kept: account.currency,
                        asked: payment.currency,
                    });
                }
                account.book(side, leg.phase, leg.amount, cause)?;
                version[place] = account.version;
            }
            booked.push(BookedLeg {
                leg: *leg,
                currency: payment.currency,
                debit_version: version[0],
                credit_version: version[1],
            });
        }
        for (id, account) in touched {
            self.accounts.insert((tenant, id), account);
            note(&mut self.changes.accounts, (tenant, id), Change::Update);
        }
        self.changes.transfers.push(Transfer {
            id: TransferId::of_step(payment.id, step, seq),
            tenant,
            payment: payment.id,
            step,
            seq,
            legs: booked,
            at,
        });
        Ok(())
    }

    /// Puts a payment in its new state and tells the world: its version and its event follow.
    pub(super) fn put(&mut self, mut payment: Payment, event: &str, at: OffsetDateTime) {
        let key = (payment.tenant, payment.id);
        let change = if payment.version == 0 {
            Change::Insert
        } else {
            Change::Update
        };
        note(&mut self.changes.payments, key, change);
        let before = self.payments.get(&key);
        let moved = match event {
            "captured" => payment.captured - before.map_or(0, |before| before.captured),
            "refunded" => payment.refunded - before.map_or(0, |before| before.refunded),
            "settled" => payment.net(),
            _ => 0,
        };
        payment.version += 1;
        payment.events += 1;
        // A clock that went back does not make a payment younger.
        payment.updated_at = payment.updated_at.max(at);
        self.changes.events.push(Event {
            tenant: payment.tenant,
            payment: payment.id,
            seq: payment.events,
            kind: format!("payment.{event}"),
            body: view::event(&payment, event, moved),
            at,
        });
        self.payments.insert(key, payment);
    }

    /// Intends an operation on a payment.
    pub(super) fn intend(
        &mut self,
        payment: &Payment,
        kind: OperationKind,
        amount: Amount,
        request: Option<IdempotencyKey>,
        at: OffsetDateTime,
        lease_until: OffsetDateTime,
    ) -> Operation {
        let id = OperationId {
            tenant: payment.tenant,
            payment: payment.id,
            kind,
            seq: self.next_seq(payment, kind),
        };
        let operation = Operation {
            id,
            amount,
            state: Progress::Pending,
            reference: None,
            request,
            fence: 1,
            attempts: 1,
            lease_until,
            created_at: at,
        };
        note(&mut self.changes.operations, id, Change::Insert);
        self.operations.insert(id, operation.clone());
        operation
    }

    /// Has an operation begin with a later fence: somebody may have asked for it before.
    pub(super) fn fence_off(&mut self, operation: Operation, fence: i64) -> Operation {
        if let Some(held) = self.operations.get_mut(&operation.id) {
            held.fence = fence;
        }
        Operation { fence, ..operation }
    }

    /// The place that the next operation of a kind takes on a payment.
    pub(super) fn next_seq(&self, payment: &Payment, kind: OperationKind) -> i32 {
        let same = |operation: &&Operation| operation.id.kind == kind;
        let before = self.operations_of(payment.tenant, payment.id).filter(same);
        before.map(|operation| operation.id.seq).max().unwrap_or(0) + 1
    }

    pub(super) fn finish(&mut self, id: OperationId, state: Progress, reference: String) {
        if let Some(operation) = self.operations.get_mut(&id) {
            operation.state = state;
            operation.reference = Some(reference);
            note(&mut self.changes.operations, id, Change::Update);
        }
    }

    /// Notes that a request was made, and its answer if there is one already.
    pub(super) fn ask(&mut self, request: &Request, subject: uuid::Uuid, answer: Option<Answer>) {
        let key = (request.tenant, request.key.clone());
        self.changes.requests.insert(key.clone());
        let asked = Asked {
            fingerprint: request.fingerprint,
            subject,
            answer,
            at: request.at,
        };
        self.requests.insert(key, asked);
    }

    /// Notes the answer to a request that waited for it.
    pub(super) fn answer(&mut self, tenant: TenantId, key: &IdempotencyKey, answer: Answer) {
        if as_written(Variant::AnswerInTheGateOnly) {
            return;
        }
        let key = (tenant, key.clone());
        match self.requests.get_mut(&key) {
            Some(asked) => {
                asked.answer = Some(answer.clone());
                if !self.changes.requests.contains(&key) {
                    self.changes.answers.insert(key, answer);
                }
            }
            None => {
                self.changes.answers.insert(key, answer);
            }
        }
    }

    /// The accounts that a payment's steps can touch.
    pub(super) fn accounts_of(payment: &Payment) -> BTreeSet<(TenantId, AccountId)> {
        let system = Role::SYSTEM.map(|role| Self::system(payment.tenant, role, payment.currency));
        let own = [Some(payment.payee), payment.payer].into_iter().flatten();
        own.chain(system)
            .map(|account| (payment.tenant, account))
            .collect()
    }
}
