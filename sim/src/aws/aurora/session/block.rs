//! BEGIN, COMMIT, ROLLBACK, SAVEPOINT and what they do.

use std::time::Duration;

use super::signal::terminated;
use super::transaction::Isolation;
use super::{Answer, Block, Session, now};
use crate::aws::aurora::cluster::gate::Fate;
use crate::aws::aurora::error::{Error, Result, Severity, code, fail, unsupported};
use crate::aws::aurora::exec::constraint;
use crate::aws::aurora::sql::command::{Command, TransactionCommand, TransactionMode};
use crate::aws::aurora::sql::parse::Statement;

fn warning(code: &'static str, message: &str) -> Box<Error> {
    let mut warning = Error::new(code, message);
    warning.severity = Severity::Warning;
    warning
}

impl Session {
    /// Runs a transaction statement; None for any other.
    pub(super) async fn transaction_statement(&mut self, statement: &Statement) -> Result<Option<Answer>> {
        let Statement::Command(Command::Transaction(command)) = statement else {
            return Ok(None);
        };
        Ok(Some(match command {
            TransactionCommand::Begin(begin, modes) => {
                self.begin(modes)?;
                Answer::tag(if *begin { "BEGIN" } else { "START TRANSACTION" })
            }
            TransactionCommand::Commit(chain) => {
                let failed = self.block == Block::Failed;
                let modes = self.chained(*chain, "COMMIT AND CHAIN")?;
                match self.block {
                    Block::Idle => {
                        self.local
                            .notice(*warning("25P01", "there is no transaction in progress"));
                        self.commit().await?;
                    }
                    Block::Open => {
                        self.block = Block::Idle;
                        self.commit().await?;
                    }
                    Block::Failed => {
                        self.block = Block::Idle;
                        self.abort();
                    }
                }
                self.chain(modes)?;
                Answer::tag(if failed { "ROLLBACK" } else { "COMMIT" })
            }
            TransactionCommand::Rollback(chain) => {
                let modes = self.chained(*chain, "ROLLBACK AND CHAIN")?;
                if self.block == Block::Idle {
                    self.local
                        .notice(*warning("25P01", "there is no transaction in progress"));
                }
                self.block = Block::Idle;
                self.abort();
                self.chain(modes)?;
                Answer::tag("ROLLBACK")
            }
            TransactionCommand::Savepoint(name) => {
                self.need_block("SAVEPOINT")?;
                let advisory = self.local.transaction_locks.borrow().len();
                let txn = self.txn();
                txn.push_savepoint(name, advisory);
                let depth = txn.savepoints.len();
                self.local.settings.borrow_mut().depth = Some(depth);
                Answer::tag("SAVEPOINT")
            }
            TransactionCommand::Release(name) => {
                self.need_block("RELEASE SAVEPOINT")?;
                let at = self.savepoint(name)?;
                self.txn().release(at);
                let mut settings = self.local.settings.borrow_mut();
                settings.release(at + 1);
                settings.depth = Some(at);
                Answer::tag("RELEASE")
            }
            TransactionCommand::RollbackTo(name) => {
                self.need_block("ROLLBACK TO SAVEPOINT")?;
                let at = self.savepoint(name)?;
                self.undo_to(at, true);
                self.block = Block::Open;
                Answer::tag("ROLLBACK")
            }
            TransactionCommand::Set(modes) => {
                if self.block == Block::Idle {
                    self.local.notice(*warning(
                        "25P01",
                        "SET TRANSACTION can only be used in transaction blocks",
                    ));
                } else {
                    self.set_modes(modes)?;
                }
                Answer::tag("SET")
            }
            TransactionCommand::Lacking(construct) => return unsupported(construct),
        }))
    }

    /// The modes that AND CHAIN hands on, None without it.
    fn chained(&mut self, chain: bool, command: &str) -> Result<Option<Vec<TransactionMode>>> {
        if !chain {
            return Ok(None);
        }
        self.need_block(command)?;
        let txn = self.txn();
        Ok(Some(vec![
            TransactionMode::Isolation(txn.isolation, txn.isolation.words()),
            TransactionMode::ReadOnly(txn.read_only),
        ]))
    }

    fn chain(&mut self, modes: Option<Vec<TransactionMode>>) -> Result<()> {
        match modes {
            Some(modes) => self.begin(&modes),
            None => Ok(()),
        }
    }

    fn need_block(&self, command: &str) -> Result<()> {
        if self.block == Block::Idle {
            return fail(
                code::NO_ACTIVE_SQL_TRANSACTION,
                format!("{command} can only be used in transaction blocks"),
            );
        }
        Ok(())
    }

    fn savepoint(&mut self, name: &str) -> Result<usize> {
        match self.txn().find_savepoint(name) {
            Some(at) => Ok(at),
            None => fail(
                code::INVALID_SAVEPOINT,
                format!("savepoint \"{name}\" does not exist"),
            ),
        }
    }

    fn begin(&mut self, modes: &[TransactionMode]) -> Result<()> {
        if self.block != Block::Idle {
            self.local
                .notice(*warning("25001", "there is already a transaction in progress"));
            return self.set_modes(modes);
        }
        self.local.transaction_start = now();
        self.start();
        self.block = Block::Open;
        let set = self.set_modes(modes);
        if set.is_err() {
            self.block = Block::Idle;
        }
        set
    }

    pub(super) fn set_modes(&mut self, modes: &[TransactionMode]) -> Result<()> {
        let replica = self.engine.state().read_only;
        for mode in modes {
            match mode {
                TransactionMode::ReadOnly(read_only) => {
                    let read_only = *read_only;
                    let txn = self.txn();
                    if !read_only && txn.read_only && txn.begun {
                        return fail(
                            code::ACTIVE_SQL_TRANSACTION,
                            "transaction read-write mode must be set before any query",
                        );
                    }
                    if !read_only && replica {
                        return fail(
                            code::FEATURE_NOT_SUPPORTED,
                            "cannot set transaction read-write mode during recovery",
                        );
                    }
                    txn.read_only = read_only;
                }
                TransactionMode::Isolation(level, words) => {
                    let level = *level;
                    if replica && level == Isolation::Serializable {
                        return fail(
                            code::FEATURE_NOT_SUPPORTED,
                            "cannot use serializable mode in a hot standby",
                        );
                    }
                    let txn = self.txn();
                    if txn.begun && txn.isolation != level {
                        return fail(
                            code::ACTIVE_SQL_TRANSACTION,
                            "SET TRANSACTION ISOLATION LEVEL must be called before any query",
                        );
                    }
                    txn.isolation = level;
                    self.local.isolation.set(words);
                }
                // Nobody waits for a safe snapshot here: the mode changes what a transaction costs, not what it sees.
                TransactionMode::Deferrable(_) => {}
            }
        }
        Ok(())
    }

    /// Commits, or aborts and says why it could not.
    pub(super) async fn commit(&mut self) -> Result<()> {
        if self.txn.is_none() {
            return Ok(());
        }
        // Waiting comes first: the checks below must hold at the instant of the commit.
        let checked = match self.pass_gate().await {
            Ok(fate) => constraint::check_deferred(self).await.map(|()| fate),
            Err(error) => Err(error),
        };
        let fate = match checked {
            Ok(fate) => fate,
            Err(error) => {
                self.abort();
                return Err(error);
            }
        };
        self.commit_now()?;
        match fate {
            Fate::Answered(later) if later.is_zero() => Ok(()),
            Fate::Answered(later) => {
                tokio::time::sleep(later).await;
                Ok(())
            }
            Fate::Unanswered => self.vanish().await,
            Fate::Crashed => {
                self.engine.die();
                std::future::pending().await
            }
        }
    }

    /// Waits for what the cluster makes a commit wait for.
    async fn pass_gate(&mut self) -> Result<Fate> {
        let wrote = self.txn.as_ref().is_some_and(|txn| !txn.xids.is_empty());
        match self.engine.gate().cloned() {
            Some(gate) if wrote => gate.pass(&self.engine, &self.signal).await,
            _ => Ok(Fate::Answered(Duration::ZERO)),
        }
    }

    fn commit_now(&mut self) -> Result<()> {
        let Some(txn) = self.txn.take() else { return Ok(()) };
        let engine = self.engine.clone();
        let mut state = engine.state();
        if self.generation != state.generation {
            txn.abandon(&mut state, self.pid);
            self.end_transaction(&mut state, false);
            return Err(terminated());
        }
        if state.read_only && !txn.xids.is_empty() {
            // Fenced since it began.
            txn.abort(&mut state, self.pid);
            self.end_transaction(&mut state, false);
            return Err(terminated());
        }
        if let Some(sx) = txn.serializable
            && let Err(error) = state.ssi.get_mut().precommit(sx)
        {
            txn.abort(&mut state, self.pid);
            self.end_transaction(&mut state, false);
            return Err(error);
        }
        txn.commit(&mut state, self.pid, now());
        self.end_transaction(&mut state, true);
        if let Some(gate) = engine.gate() {
            gate.committed();
        }
        Ok(())
    }

    /// Undoes the transaction.
    pub(super) fn abort(&mut self) {
        let engine = self.engine.clone();
        let mut state = engine.state();
        match self.txn.take() {
            Some(txn) if self.generation == state.generation => txn.abort(&mut state, self.pid),
            Some(txn) => txn.abandon(&mut state, self.pid),
            None => {}
        }
        self.end_transaction(&mut state, false);
    }

    fn end_transaction(&mut self, state: &mut crate::aws::aurora::state::State, committed: bool) {
        self.local.xid.set(None);
        if committed {
            self.local.settings.borrow_mut().commit();
        } else {
            self.local.settings.borrow_mut().abort();
        }
        for (tag, mode) in self.local.transaction_locks.borrow_mut().drain(..) {
            state.locks.get_mut().release(self.pid, tag, mode);
        }
    }

    /// Undoes what happened since a savepoint; it stays in place, empty, if `keep`.
    pub(super) fn undo_to(&mut self, at: usize, keep: bool) {
        let engine = self.engine.clone();
        let mut state = engine.state();
        let pid = self.pid;
        let Some(txn) = &mut self.txn else { return };
        let name = txn.savepoints[at].name.clone();
        let advisory = txn.undo(&mut state, pid, at);
        let released: Vec<_> = self
            .local
            .transaction_locks
            .borrow_mut()
            .drain(advisory..)
            .collect();
        for (tag, mode) in released {
            state.locks.get_mut().release(pid, tag, mode);
        }
        let mut settings = self.local.settings.borrow_mut();
        settings.rollback(at + 1);
        settings.depth = Some(at);
        if keep {
            txn.push_savepoint(&name, advisory);
            settings.depth = Some(at + 1);
        }
    }
}
