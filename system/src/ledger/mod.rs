//! The ledger: accounts, payments and what was booked, in PostgreSQL.
//!
//! Money moves in transfers. A transfer has legs, and a leg takes an amount from one account and gives it to another of the
//! same currency and tenant: books that do not sum to zero cannot be written down. Transfers, legs and requests are never
//! changed or removed: the service's role has no right to. Balances are projections, kept under the account's row lock in
//! the transaction that books the leg; a freeze and a limit are checked under the same lock.
//!
//! What happens outside the ledger is an [`Operation`]: durable before the call, named by a key that follows from its own,
//! settled once by whoever holds its fence. The answer to a request and the event of a change commit with the change.
//!
//! **Round trips.** All commands go through groups ([`Grouping`]): a transaction of 2 to 6 reads (begin, tenants and epoch,
//! requests, payments, operations, accounts), one write (two where accounts are opened or a payment's next operation is intended)
//! and the commit, whatever the number of commands. The intent of a charge alone in its group takes 6, its outcome 7.
//!
//! **Locks**, in this order: the writer epoch's row (key share), payments by tenant and id, their operations, accounts by tenant
//! and id (all no key update). Requests are not locked: that a key is used once is their primary key's, and a group that meets a rival's
//! fresh row starts over, one command at a time.
//!
//! **Epoch.** Every writing transaction holds the row of `writer_epoch` and compares it: once a new epoch is committed,
//! nobody of an old one commits.

mod account;
mod apply;
mod audit;
mod batch;
mod book;
mod command;
mod epoch;
mod error;
mod legs;
mod load;
mod outcome;
mod payment;
mod poster;
mod read;
mod refusal;
mod restore;
mod schema;
mod store;
mod view;
mod within;
mod work;
mod writes;

use std::ops::Deref;

use crate::id::{AccountId, PaymentId, TenantId};
use sqlx::PgPool;

pub use account::{Account, Role, Totals};
pub(crate) use apply::intent_of;
pub use audit::audit;
pub use command::{Answer, Command, Mutation, Reply, Request};
pub use epoch::{Authority, Grant, beat, last_beat, raise_epoch};
pub use error::LedgerError;
pub(crate) use load::operation as load_operation;
pub use payment::{Kind, Operation, OperationId, OperationKind, Outcome, Payment, Progress, State, call_key};
pub use poster::Grouping;
pub use read::{Caller, PAGE_MAX, StatementEntry, TraceStep};
pub use refusal::Refusal;
pub use schema::{Schema, SchemaError, Target, contracts_to, migrate};
pub use view::{AccountView, PaymentView};
pub(crate) use within::within;
pub use work::{due_operations, hasten, put_off};

/// A process's way to the ledger. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Ledger {
    reader: Reader,
    authority: Authority,
    poster: poster::Poster,
}

impl Ledger {
    /// The ledger behind a pool of connections of the role `payments_service`, for a process in `region`. Each group is
    /// written under the authority that is current when it starts, or not at all.
    /// It writes this version of the schema.
    pub fn new(pool: PgPool, region: &str, schema: Schema, authority: Authority, grouping: Grouping) -> Self {
        let writer = poster::Writer {
            pool: pool.clone(),
            region: region.into(),
            schema,
            authority: authority.clone(),
        };
        let poster = poster::Poster::start(&writer, grouping);
        Self {
            reader: Reader::new(pool),
            authority,
            poster,
        }
    }

    /// Carries a command out, in a group with others.
    ///
    /// # Errors
    /// See [`LedgerError`]: it says what is known of the books afterwards.
    pub async fn submit(&self, command: Command) -> Result<Reply, LedgerError> {
        self.poster.submit(command).await
    }

    /// Under which epoch this process may write, if it may.
    ///
    /// # Errors
    /// When it may not.
    pub fn epoch(&self) -> Result<i64, LedgerError> {
        self.authority.epoch()
    }

    /// Whether the database takes writes, and under this process's epoch.
    ///
    /// # Errors
    /// When it does not.
    pub async fn ping(&self) -> Result<(), LedgerError> {
        read::ping(&self.reader.pool, self.epoch()?).await
    }
}

impl Deref for Ledger {
    type Target = Reader;

    fn deref(&self) -> &Reader {
        &self.reader
    }
}

/// The books to be looked at, at the writer or at a replica. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Reader {
    pool: PgPool,
}

impl Reader {
    /// The books behind a pool of connections of the role `payments_service`.
    pub fn new(pool: PgPool) -> Self {
        Self { pool }
    }

    /// When the writer last took a write that these books have.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn last_beat(&self) -> Result<time::OffsetDateTime, LedgerError> {
        last_beat(&self.pool).await
    }

    /// An account, if the tenant has it.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn account(&self, tenant: TenantId, id: AccountId) -> Result<Option<Account>, LedgerError> {
        read::account(&self.pool, tenant, id).await
    }

    /// A payment and its operations, if the tenant has it.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn payment(
        &self,
        tenant: TenantId,
        id: PaymentId,
    ) -> Result<Option<(Payment, Vec<Operation>)>, LedgerError> {
        read::payment(&self.pool, tenant, id).await
    }

    /// A payment's steps, if the tenant has it: empty otherwise.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn trace(&self, tenant: TenantId, id: PaymentId) -> Result<Vec<TraceStep>, LedgerError> {
        read::trace(&self.pool, tenant, id).await
    }

    /// A page of the tenant's operations in limbo, the oldest first.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn limbo(&self, tenant: TenantId, count: i64) -> Result<Vec<Operation>, LedgerError> {
        read::limbo(&self.pool, tenant, count).await
    }

    /// Whose API key hashes to this, if it is known and has not expired at `now`.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn caller(
        &self,
        key_hash: &[u8],
        now: time::OffsetDateTime,
    ) -> Result<Option<Caller>, LedgerError> {
        read::caller(&self.pool, key_hash, now).await
    }

    /// A page of an account's statement: at most `count` entries (up to [`PAGE_MAX`]) with a smaller place than `before`, the
    /// latest first.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn statement(
        &self,
        tenant: TenantId,
        id: AccountId,
        before: i64,
        count: i64,
    ) -> Result<Vec<StatementEntry>, LedgerError> {
        read::statement(&self.pool, tenant, id, before, count).await
    }
}
