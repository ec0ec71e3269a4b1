//! A session: its transaction block, its settings, and the statements it runs one after another.

mod block;
mod ddl;
mod execute;
pub(super) mod local;
pub(super) mod prepared;
mod setting;
pub(super) mod settings;
pub(super) mod signal;
pub(super) mod transaction;
mod utility;
mod wait;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

use tokio::time::Instant;

use self::local::Local;
use self::prepared::Prepared;
use self::signal::Signal;
use self::transaction::{Isolation, Transaction};
use super::catalog::Catalog;
use super::catalog::system::reg_name;
use super::cluster::gate::Strike;
use super::engine::Engine;
use super::error::{Error, Result, code, fail};
use super::exec::{Pending, Rows, statement};
use super::lock::{Pid, Tag};
use super::sql::bind::Settings as BindSettings;
use super::sql::plan::Output;
use super::state::State;
use super::txn::{View, Xid};
use super::types::{Type, Value, from_unix_micros};

/// Where a session stands between statements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Block {
    /// No transaction block.
    Idle,
    /// BEGIN has been said.
    Open,
    /// A statement failed; only ROLLBACK helps.
    Failed,
}

/// What a statement yields.
#[derive(Debug, Default)]
pub(super) struct Answer {
    /// Description of the rows, for a statement that yields some.
    pub columns: Option<Vec<Output>>,
    /// The rows.
    pub rows: Rows,
    /// Command tag.
    pub tag: String,
}

impl Answer {
    /// An answer of only a tag.
    pub(super) fn tag(tag: impl Into<String>) -> Answer {
        Answer {
            columns: None,
            rows: Vec::new(),
            tag: tag.into(),
        }
    }
}

/// A session.
pub(super) struct Session {
    pub(super) engine: Engine,
    /// Process id.
    pub pid: Pid,
    pub(super) local: Local,
    pub(super) signal: Arc<Signal>,
    pub(super) txn: Option<Transaction>,
    /// Transaction block.
    pub block: Block,
    /// The state's generation in which the transaction began.
    generation: u64,
    /// When the running statement times out.
    pub(super) deadline: Option<Instant>,
    /// SQL-level prepared statements and the protocol's share one name space.
    pub prepared: BTreeMap<String, Prepared>,
}

/// Microseconds since 2000, by this host's clock.
pub(super) fn now() -> i64 {
    from_unix_micros(SystemTime::now())
}

impl Session {
    /// A session of a logged-in role.
    pub(super) fn new(engine: Engine, pid: Pid, user: &str, database: &str, signal: Arc<Signal>) -> Session {
        let local = Local {
            pid,
            user: user.to_string(),
            database: database.to_string(),
            settings: Default::default(),
            current_values: Default::default(),
            last_sequence: Default::default(),
            transaction_start: now(),
            statement_start: now(),
            transaction_locks: Default::default(),
            session_locks: Default::default(),
            xid: Default::default(),
            isolation: std::cell::Cell::new(Isolation::ReadCommitted.words()),
            notices: Default::default(),
        };
        Session {
            engine,
            pid,
            local,
            signal,
            txn: None,
            block: Block::Idle,
            generation: 0,
            deadline: None,
            prepared: BTreeMap::new(),
        }
    }

    /// The session's own state.
    pub(super) fn local(&self) -> &Local {
        &self.local
    }

    /// The catalog that names are looked up in now.
    pub(super) fn catalog(&mut self) -> Arc<Catalog> {
        let engine = self.engine.clone();
        let state = engine.state();
        match &mut self.txn {
            Some(txn) => txn.catalog(&state),
            None => state.catalog.clone(),
        }
    }

    /// The running transaction; [`Session::start`] has made one before any statement needs it.
    pub(super) fn txn(&mut self) -> &mut Transaction {
        self.txn
            .get_or_insert_with(|| Transaction::new(Isolation::ReadCommitted, false))
    }

    /// Starts a transaction if none runs.
    pub(super) fn start(&mut self) {
        if self.txn.is_some() {
            return;
        }
        let (isolation, read_only) = {
            let settings = self.local.settings.borrow();
            let level = settings.get("default_transaction_isolation").unwrap_or_default();
            (
                Isolation::from_words(&level),
                settings.on("default_transaction_read_only"),
            )
        };
        self.local.transaction_start = self.local.statement_start;
        self.local.settings.borrow_mut().depth = Some(0);
        let read_only = {
            let state = self.engine.state();
            self.generation = state.generation;
            read_only || state.read_only
        };
        self.local.isolation.set(isolation.words());
        self.txn = Some(Transaction::new(isolation, read_only));
    }

    /// The xid to write under.
    pub(super) fn write_xid(&mut self, state: &mut State) -> Xid {
        let pid = self.pid;
        let txn = self.txn();
        let xid = txn.write_xid(state, pid);
        let top = txn.xids[0];
        if let Some(sx) = txn.serializable {
            state.ssi.get_mut().owns(sx, xid);
        }
        self.local.xid.set(Some(top));
        xid
    }

    /// What the statement that starts now can see.
    pub(super) fn view(&mut self, state: &mut State) -> View {
        let pid = self.pid;
        let txn = self.txn();
        txn.begun = true;
        let csn = match txn.isolation {
            Isolation::ReadCommitted => state.clog.csn,
            level => {
                if txn.snapshot.is_none() {
                    txn.snapshot = Some(state.clog.csn);
                    if level == Isolation::Serializable {
                        txn.serializable = Some(state.ssi.get_mut().begin(state.clog.csn));
                    }
                }
                txn.snapshot.unwrap_or(state.clog.csn)
            }
        };
        let view = View {
            csn,
            xids: txn.xids.clone(),
            cid: txn.cid,
        };
        if let Some(backend) = state.backends.get_mut(&pid) {
            backend.oldest = Some(backend.oldest.map_or(csn, |o| o.min(csn)));
        }
        view
    }

    /// READ COMMITTED looks back no further than its running statement.
    pub(super) fn forget_snapshot(&mut self) {
        let pid = self.pid;
        let keep = self.txn.as_ref().and_then(|t| t.snapshot);
        if let Some(backend) = self.engine.state().backends.get_mut(&pid) {
            backend.oldest = keep;
        }
    }

    /// A row with its regclass and regtype values as names, where they go out as text.
    pub(super) fn spelled<'r>(
        &mut self,
        columns: &[Output],
        row: &'r [Value],
        is_text: impl Fn(usize) -> bool,
    ) -> std::borrow::Cow<'r, [Value]> {
        let named = Type::is_reg;
        if !columns.iter().any(|c| named(c.ty)) {
            return row.into();
        }
        let (catalog, path) = (self.catalog(), self.local.search_path());
        let mut out = row.to_vec();
        for (at, column) in columns.iter().enumerate() {
            if named(column.ty)
                && is_text(at)
                && let Some(value) = out.get_mut(at)
                && let Some(name) = reg_name(&catalog, &path, value, column.ty)
            {
                *value = Value::text(name);
            }
        }
        out.into()
    }

    /// What binding needs to know, handed to `f`.
    pub(super) fn with_settings<T>(&self, f: impl FnOnce(&BindSettings<'_>) -> T) -> T {
        let role = self.local.role();
        let path = self.local.search_path();
        let row_security = self.local.settings.borrow().on("row_security");
        f(&BindSettings {
            role: &role,
            search_path: &path,
            now: self.local.transaction_start,
            row_security,
        })
    }

    /// Notes the start of a statement: clocks and time-out.
    pub(super) fn begin_statement(&mut self, text: &str) {
        self.local.statement_start = now();
        if self.txn.is_none() {
            self.local.transaction_start = self.local.statement_start;
        }
        self.signal.calm();
        self.deadline = self
            .local
            .settings
            .borrow()
            .timeout("statement_timeout")
            .map(|limit| Instant::now() + limit);
        let pid = self.pid;
        if let Some(backend) = self.engine.state().backends.get_mut(&pid) {
            backend.activity.0 = "active";
            backend.activity.1.clear();
            backend.activity.1.push_str(text);
        }
    }

    /// Runs one prepared statement. On failure the transaction, or its innermost savepoint, is undone.
    pub(super) async fn run(&mut self, prepared: &mut Prepared, params: &[Value]) -> Result<Answer> {
        self.begin_statement(&prepared.text);
        let result = match self.strike(&prepared.text).await {
            Ok(lost) => {
                let result = self.run_inner(prepared, params).await;
                if lost {
                    // Without a block this statement is the whole transaction.
                    _ = self.finish_implicit().await;
                    self.vanish::<()>().await;
                }
                result
            }
            Err(error) => Err(error),
        };
        self.deadline = None;
        if let Err(error) = &result {
            self.fail_statement(error.code == code::IN_FAILED_SQL_TRANSACTION);
        } else {
            self.forget_snapshot();
        }
        result
    }

    /// Lets a cluster's faults strike a statement before it runs; answers whether its answer is to be lost.
    async fn strike(&mut self, text: &str) -> Result<bool> {
        let Some(gate) = self.engine.gate().cloned() else {
            return Ok(false);
        };
        match gate.judge(text)? {
            Strike::Runs { delay, lost } => {
                if !delay.is_zero() {
                    self.wait_pending(Pending::Sleep(delay)).await?;
                }
                Ok(lost)
            }
            Strike::Silence => std::future::pending().await,
            Strike::HangUp => self.vanish().await,
        }
    }

    /// Ends the connection without an answer.
    pub(super) async fn vanish<T>(&mut self) -> T {
        self.signal.hang_up();
        std::future::pending().await
    }

    async fn run_inner(&mut self, prepared: &mut Prepared, params: &[Value]) -> Result<Answer> {
        let Some(statement) = prepared.statement.clone() else {
            return Ok(Answer::default());
        };
        self.signal.check()?;
        if self.block == Block::Failed && !prepared.ends_failed_block() {
            return fail(
                code::IN_FAILED_SQL_TRANSACTION,
                "current transaction is aborted, commands ignored until end of transaction block",
            );
        }
        if let Some(answer) = self.transaction_statement(&statement).await? {
            return Ok(answer);
        }
        self.start();
        if prepared.is_utility() {
            let answer = self.utility(&statement).await?;
            self.txn().begun = true;
            self.txn().cid += 1;
            return Ok(answer);
        }
        // What a plan knows may change while its locks are waited for: an index may have come, a column gone.
        let mut plan = self.plan(prepared)?;
        loop {
            for (oid, mode) in &plan.relations {
                self.lock(Tag::Relation(*oid), *mode).await?;
            }
            let current = self.plan(prepared)?;
            if Arc::ptr_eq(&current, &plan) {
                break;
            }
            plan = current;
        }
        statement::execute(self, &plan, params).await
    }

    /// After an error: undo as far as PostgreSQL would.
    pub(super) fn fail_statement(&mut self, already: bool) {
        if already {
            return;
        }
        match self.block {
            Block::Idle => self.abort(),
            Block::Open => {
                let innermost = self.txn.as_ref().map_or(0, |t| t.savepoints.len());
                if innermost > 0 {
                    self.undo_to(innermost - 1, true);
                } else {
                    self.abort();
                }
                self.block = Block::Failed;
            }
            Block::Failed => {}
        }
    }

    /// Commits the transaction that statements outside a block run in. The protocol's Sync comes here.
    pub(super) async fn finish_implicit(&mut self) -> Result<()> {
        if self.block != Block::Idle || self.txn.is_none() {
            return Ok(());
        }
        self.commit().await
    }

    /// The session ends: everything unfinished is undone, every lock released.
    pub(super) fn close(&mut self) {
        self.abort();
        let temporary: Vec<u32> = self
            .engine
            .state()
            .catalog
            .tables()
            .filter(|t| t.temporary && t.schema == self.temp_schema())
            .map(|t| t.oid)
            .collect();
        let engine = self.engine.clone();
        let mut state = engine.state();
        if !temporary.is_empty() {
            let mut catalog = (*state.catalog).clone();
            for oid in temporary {
                if let Some(heap) = catalog.table(oid).map(|t| t.heap) {
                    state.heaps.remove(&heap);
                }
                catalog.remove(oid);
            }
            state.catalog = Arc::new(catalog);
        }
        drop(state);
        self.release_session_locks();
        let mut state = engine.state();
        state.backends.remove(&self.pid);
    }

    fn release_session_locks(&self) {
        let mut state = self.engine.state();
        for (tag, mode) in self.local.session_locks.borrow_mut().drain(..) {
            state.locks.get_mut().release(self.pid, tag, mode);
        }
    }

    /// The schema of this session's temporary tables.
    pub(super) fn temp_schema(&self) -> String {
        format!("pg_temp_{}", self.pid)
    }

    /// The letter of ReadyForQuery.
    pub(super) fn status(&self) -> u8 {
        match self.block {
            Block::Idle => b'I',
            Block::Open => b'T',
            Block::Failed => b'E',
        }
    }

    /// Shows others that it waits for its client.
    pub(super) fn idle(&self) {
        if let Some(backend) = self.engine.state().backends.get_mut(&self.pid) {
            backend.activity.0 = match self.block {
                Block::Idle => "idle",
                Block::Open => "idle in transaction",
                Block::Failed => "idle in transaction (aborted)",
            };
        }
    }

    /// Refuses a write in a read-only transaction, or where there is no room.
    pub(super) fn check_writable(&mut self, command: &str) -> Result<()> {
        if self.txn().read_only {
            return Err(Error::new(
                code::READ_ONLY_SQL_TRANSACTION,
                format!("cannot execute {command} in a read-only transaction"),
            ));
        }
        self.engine.gate().map_or(Ok(()), |gate| gate.room())
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.close();
    }
}

impl Session {
    /// Interrupts from outside.
    pub(super) fn signal(&self) -> Arc<Signal> {
        self.signal.clone()
    }

    /// How long the client may stay silent inside a transaction.
    pub(super) fn idle_limit(&self) -> Option<std::time::Duration> {
        if self.block == Block::Idle {
            return None;
        }
        self.local
            .settings
            .borrow()
            .timeout("idle_in_transaction_session_timeout")
    }

    /// An error outside [`Session::run`]: it fails the block as a statement's would.
    pub(super) fn fail(&mut self, e: &Error) {
        if self.block == Block::Open || self.txn.is_some() {
            self.fail_statement(e.code == code::IN_FAILED_SQL_TRANSACTION);
        }
    }

    /// Refuses, in a failed transaction block, whatever does not end it.
    pub(super) fn admit(&self, prepared: &Prepared) -> Result<()> {
        if self.block == Block::Failed && !prepared.ends_failed_block() {
            return fail(
                code::IN_FAILED_SQL_TRANSACTION,
                "current transaction is aborted, commands ignored until end of transaction block",
            );
        }
        Ok(())
    }

    /// Plans a statement that is about to run; what its constants come to is known from here on.
    pub(super) fn bind(&mut self, prepared: &mut Prepared) -> Result<()> {
        self.prepare(prepared)?;
        if !prepared.is_utility() && prepared.statement.is_some() {
            self.plan(prepared)?.check()?;
        }
        Ok(())
    }

    /// Finds a new statement's parameter types, so that Bind can read its values.
    pub(super) fn prepare(&mut self, prepared: &mut Prepared) -> Result<()> {
        self.admit(prepared)?;
        if !prepared.is_utility() && prepared.statement.is_some() {
            self.plan(prepared)?;
        }
        Ok(())
    }
}
