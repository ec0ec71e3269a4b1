//! Execution. Reading is synchronous, against one state of the world; only taking locks, and so writing, may wait.
//!
//! The parts: `eval` (expressions), `node` (FROM), `query` (SELECT and above), `aggregate`, `window`; and, asynchronous,
//! `statement` (the order of things), `rows` (row locks and the re-check after a wait), `insert`, `update`, `constraint`,
//! `reference`.

mod aggregate;
pub(super) mod constraint;
mod eval;
mod insert;
mod node;
mod query;
mod reference;
mod rows;
mod source;
pub(super) mod statement;
mod update;
mod window;

use std::cell::RefCell;
use std::sync::Arc;
use std::time::Duration;

pub(super) use eval::{Env, eval, eval_row};
pub(super) use query::run;

use super::catalog::Catalog;
use super::error::{Error, Result, code, fail};
use super::lock::{Mode, Tag};
use super::session::local::Local;
use super::state::State;
use super::txn::View;
use super::types::Value;

/// Rows of a query: one vector of values each.
pub(super) type Rows = Vec<Vec<Value>>;

/// The code of the error that unwinds evaluation up to the nearest place that can wait. It never leaves the engine.
pub(super) const MUST_WAIT: &str = "WAIT!";

/// Something a function has to wait for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Pending {
    /// An advisory lock, for the session (true) or the transaction.
    Advisory(Tag, Mode, bool),
    /// pg_sleep.
    Sleep(Duration),
    /// An id for the transaction.
    Xid,
}

/// Waits of one statement. A statement that had to wait is evaluated again from its start; what it had already
/// waited for is then passed over, in the same order.
#[derive(Debug, Default)]
pub(super) struct Waits {
    done: usize,
    passed: usize,
    pending: Option<Pending>,
}

impl Waits {
    /// Starts evaluation over.
    pub(super) fn rewind(&mut self) {
        self.passed = 0;
    }

    /// Whether this wait was done in an earlier evaluation.
    pub(super) fn pass(&mut self) -> bool {
        self.passed += 1;
        self.passed <= self.done
    }

    /// This wait needed no waiting.
    pub(super) fn done(&mut self) {
        self.done = self.done.max(self.passed);
    }

    /// Unwinds to where waiting is possible.
    pub(super) fn wait<T>(&mut self, pending: Pending) -> Result<T> {
        self.pending = Some(pending);
        fail(MUST_WAIT, "must wait")
    }

    /// What to wait for; the wait counts as done from here on.
    pub(super) fn take(&mut self) -> Option<Pending> {
        let pending = self.pending.take();
        if pending.is_some() {
            self.done += 1;
        }
        pending
    }
}

/// Materialised CTEs and uncorrelated subqueries of one statement.
pub(super) type Slots = RefCell<Vec<Option<Arc<Rows>>>>;

/// The database as one statement sees it.
#[derive(Clone, Copy)]
pub(super) struct Db<'a> {
    /// Storage and everything shared.
    pub state: &'a State,
    /// The catalog of the statement's transaction.
    pub catalog: &'a Catalog,
    /// The session's own.
    pub local: &'a Local,
    /// What is visible.
    pub view: &'a View,
    /// Materialised rows.
    pub slots: &'a Slots,
    /// Units of the plan, for slots filled on demand.
    pub units: &'a [super::sql::plan::Unit],
    /// Waits.
    pub waits: &'a RefCell<Waits>,
    /// Reads are tracked for SERIALIZABLE.
    pub serializable: Option<super::txn::ssi::SxId>,
}

/// What evaluation needs besides a row.
#[derive(Clone, Copy)]
pub(super) struct Ctx<'a> {
    /// Start of the transaction, microseconds since 2000.
    pub now: i64,
    /// Start of the statement.
    pub statement_now: i64,
    /// Parameters.
    pub params: &'a [Value],
    db: Option<Db<'a>>,
}

impl<'a> Ctx<'a> {
    /// With a database.
    pub(super) fn new(db: Db<'a>, params: &'a [Value]) -> Ctx<'a> {
        Ctx {
            now: db.local.transaction_start,
            statement_now: db.local.statement_start,
            params,
            db: Some(db),
        }
    }

    /// Without one: for index keys and checks, which may depend on the row alone.
    pub(super) fn pure() -> Ctx<'static> {
        Ctx {
            now: 0,
            statement_now: 0,
            params: &[],
            db: None,
        }
    }

    /// The database, or an error where only the row may count.
    pub(super) fn db(&self) -> Result<&Db<'a>> {
        self.db
            .as_ref()
            .ok_or_else(|| Error::new("42P17", "functions in index expression must be marked IMMUTABLE"))
    }

    /// An internal inconsistency: a bug here, not a fault of the client.
    pub(super) fn bug<T>(&self, what: &str) -> Result<T> {
        fail(code::INTERNAL_ERROR, format!("internal inconsistency: {what}"))
    }
}
