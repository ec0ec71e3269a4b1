//! Waiting for a lock: until it is granted, or a time-out, a cancel or a deadlock says otherwise.

use std::future::pending;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::{Instant, sleep_until};

use super::Session;
use crate::aws::aurora::error::{Error, Result, code};
use crate::aws::aurora::exec::Pending;
use crate::aws::aurora::lock::{Mode, Requested, Tag};
use crate::aws::aurora::txn::Xid;

async fn until(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at).await,
        None => pending().await,
    }
}

fn describe(tag: Tag) -> String {
    match tag {
        Tag::Relation(oid) => format!("relation {oid} of database 16384"),
        Tag::Tuple(heap, tid) => format!("tuple (0,{tid}) of relation {heap} of database 16384"),
        Tag::Transaction(xid) => format!("transaction {xid}"),
        Tag::Advisory(a, b, _) => format!("advisory lock [16384,{a},{b}]"),
        Tag::Name(_) => "an object name".into(),
    }
}

impl Session {
    /// Takes a heavyweight lock and keeps it until the transaction ends.
    pub(in crate::aws::aurora) async fn lock(&mut self, tag: Tag, mode: Mode) -> Result<()> {
        if self.txn().locks.iter().any(|(t, m)| *t == tag && *m == mode) {
            return Ok(());
        }
        self.wait_for(tag, mode).await?;
        self.txn().locks.push((tag, mode));
        Ok(())
    }

    /// The same without waiting; false if someone holds it.
    pub(in crate::aws::aurora) fn try_lock(&mut self, tag: Tag, mode: Mode) -> bool {
        let pid = self.pid;
        if !self.engine.state().locks.get_mut().try_acquire(pid, tag, mode) {
            return false;
        }
        self.txn().locks.push((tag, mode));
        true
    }

    /// Takes a lock that the caller will release.
    pub(in crate::aws::aurora) async fn wait_for(&mut self, tag: Tag, mode: Mode) -> Result<()> {
        let pid = self.pid;
        let requested = self.engine.state().locks.get_mut().request(pid, tag, mode);
        match requested {
            Requested::Granted => Ok(()),
            Requested::Wait(granted) => match self.wait(granted).await {
                Ok(()) => Ok(()),
                Err(error) => {
                    let engine = self.engine.clone();
                    let mut state = engine.state();
                    if state.locks.get_mut().give_up(pid) {
                        state.locks.get_mut().release(pid, tag, mode);
                    }
                    Err(error)
                }
            },
        }
    }

    pub(in crate::aws::aurora) fn release(&mut self, tag: Tag, mode: Mode) {
        let pid = self.pid;
        self.engine.state().locks.get_mut().release(pid, tag, mode);
    }

    /// Waits for the end of a transaction or subtransaction.
    pub(in crate::aws::aurora) async fn wait_for_xid(&mut self, xid: Xid) -> Result<()> {
        let tag = Tag::Transaction(xid);
        self.wait_for(tag, Mode::Share).await?;
        self.release(tag, Mode::Share);
        Ok(())
    }

    async fn wait(&mut self, mut granted: oneshot::Receiver<()>) -> Result<()> {
        let (lock_limit, patience) = {
            let settings = self.local.settings.borrow();
            (
                settings
                    .timeout("lock_timeout")
                    .map(|limit| Instant::now() + limit),
                settings
                    .timeout("deadlock_timeout")
                    .unwrap_or(Duration::from_secs(1)),
            )
        };
        let mut look = Some(Instant::now() + patience);
        let signal = self.signal.clone();
        loop {
            tokio::select! {
                biased;
                answer = &mut granted => {
                    return answer.map_err(|_| Error::new(code::INTERNAL_ERROR, "a lock queue vanished"));
                }
                () = signal.asked() => {
                    signal.check()?;
                }
                () = until(lock_limit) => {
                    return Err(Error::new(code::LOCK_NOT_AVAILABLE, "canceling statement due to lock timeout"));
                }
                () = until(self.deadline) => {
                    return Err(Error::new(code::QUERY_CANCELED, "canceling statement due to statement timeout"));
                }
                () = until(look) => {
                    look = None;
                    self.look_for_deadlock()?;
                }
            }
        }
    }

    fn look_for_deadlock(&self) -> Result<()> {
        let mut state = self.engine.state();
        let Some(circle) = state.locks.get_mut().deadlock(self.pid) else {
            return Ok(());
        };
        let lines: Vec<String> = circle
            .iter()
            .map(|(pid, tag, mode, by)| {
                format!(
                    "Process {pid} waits for {} on {}; blocked by process {by}.",
                    mode.name(),
                    describe(*tag)
                )
            })
            .collect();
        Err(Error::new(code::DEADLOCK_DETECTED, "deadlock detected")
            .detail(lines.join("\n"))
            .hint("See server log for query details."))
    }

    /// Does what a function could not do without waiting.
    pub(in crate::aws::aurora) async fn wait_pending(&mut self, pending: Pending) -> Result<()> {
        match pending {
            Pending::Advisory(tag, mode, session) => {
                self.wait_for(tag, mode).await?;
                let held = if session {
                    &self.local.session_locks
                } else {
                    &self.local.transaction_locks
                };
                held.borrow_mut().push((tag, mode));
                Ok(())
            }
            Pending::Xid => {
                let engine = self.engine.clone();
                let mut state = engine.state();
                self.write_xid(&mut state);
                Ok(())
            }
            Pending::Sleep(length) => {
                let end = Instant::now() + length;
                let signal = self.signal.clone();
                loop {
                    tokio::select! {
                        biased;
                        () = sleep_until(end) => return Ok(()),
                        () = signal.asked() => signal.check()?,
                        () = until(self.deadline) => {
                            return Err(Error::new(
                                code::QUERY_CANCELED,
                                "canceling statement due to statement timeout",
                            ));
                        }
                    }
                }
            }
        }
    }
}
