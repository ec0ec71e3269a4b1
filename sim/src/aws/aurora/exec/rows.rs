//! Row locks: who may change or lock a row now, who must wait, and which version counts afterwards.

use super::statement::{Running, would_block};
use crate::aws::aurora::error::{Result, code, fail};
use crate::aws::aurora::lock::{Mode, Tag};
use crate::aws::aurora::session::Session;
use crate::aws::aurora::session::transaction::Isolation;
use crate::aws::aurora::sql::plan::WaitPolicy;
use crate::aws::aurora::state::State;
use crate::aws::aurora::storage::{HeapId, RowLock, Tid};
use crate::aws::aurora::txn::{Outcome, View, Xid};

/// A row to lock.
#[derive(Clone, Copy)]
pub(super) struct Target<'t> {
    pub(super) heap: HeapId,
    pub(super) tid: Tid,
    pub(super) lock: RowLock,
    pub(super) name: &'t str,
}

/// The outcome of locking a row.
#[derive(Debug)]
pub(super) enum Locked {
    /// This version is held. Another tid than asked for means that the row changed during the wait.
    Held { tid: Tid },
    /// The row was deleted meanwhile.
    Gone,
    /// This very command has already changed it.
    Own,
    /// Someone holds it and the statement said SKIP LOCKED.
    Skipped,
}

/// What stands between a transaction and a version.
enum Standing {
    Free,
    Wait(Xid),
    Moved(Tid),
    Gone,
    Own,
}

/// How a version stands towards a wanted lock.
fn standing(state: &mut State, view: &View, own: &[Xid], target: Target<'_>) -> Standing {
    let mine = |xid: Xid| own.contains(&xid);
    let State { clog, heaps, .. } = state;
    let Some(tuple) = heaps.get_mut(&target.heap).and_then(|h| h.get_mut(target.tid)) else {
        return Standing::Gone;
    };
    if tuple.xmax != 0 {
        match clog.outcome(tuple.xmax) {
            Outcome::Aborted => tuple.xmax = 0,
            Outcome::Committed(_) => {
                return if tuple.next == 0 {
                    Standing::Gone
                } else {
                    Standing::Moved(tuple.next)
                };
            }
            Outcome::InProgress if mine(tuple.xmax) => {
                return if tuple.cmax >= view.cid {
                    Standing::Own
                } else if tuple.next == 0 {
                    Standing::Gone
                } else {
                    Standing::Moved(tuple.next)
                };
            }
            Outcome::InProgress => {
                if tuple.xmax_lock.conflicts(target.lock) {
                    return Standing::Wait(tuple.xmax);
                }
            }
        }
    }
    tuple.lockers.retain(|(xid, _)| clog.running(*xid));
    match tuple
        .lockers
        .iter()
        .find(|(xid, held)| !mine(*xid) && held.conflicts(target.lock))
    {
        Some((xid, _)) => Standing::Wait(*xid),
        None => Standing::Free,
    }
}

/// The heavyweight mode in which waiters for a row queue.
fn queue_mode(lock: RowLock) -> Mode {
    match lock {
        RowLock::KeyShare => Mode::AccessShare,
        RowLock::Share => Mode::RowShare,
        RowLock::NoKeyUpdate => Mode::Exclusive,
        RowLock::Update => Mode::AccessExclusive,
    }
}

pub(super) fn serialization_failure<T>(what: &str) -> Result<T> {
    fail(
        code::SERIALIZATION_FAILURE,
        format!("could not serialize access due to concurrent {what}"),
    )
}

/// Locks a row for lock's sake: follows it to its newest version in READ COMMITTED, fails above.
pub(super) async fn lock(
    session: &mut Session,
    view: &View,
    target: Target<'_>,
    policy: WaitPolicy,
    record: bool,
) -> Result<Locked> {
    let mut target = target;
    let strict = session.txn().isolation != Isolation::ReadCommitted;
    let mut queued: Option<(Tag, Mode)> = None;
    let result = loop {
        let engine = session.engine.clone();
        let own = session.txn().xids.clone();
        let found = {
            let mut state = engine.state();
            let found = standing(&mut state, view, &own, target);
            if record && matches!(found, Standing::Free) {
                let xid = session.write_xid(&mut state);
                if let Some(tuple) = state
                    .heaps
                    .get_mut(&target.heap)
                    .and_then(|h| h.get_mut(target.tid))
                    && !tuple
                        .lockers
                        .iter()
                        .any(|(x, held)| *x == xid && *held >= target.lock)
                {
                    tuple.lockers.push((xid, target.lock));
                }
            }
            found
        };
        match found {
            Standing::Free => break Ok(Locked::Held { tid: target.tid }),
            Standing::Own => break Ok(Locked::Own),
            Standing::Gone if strict => break serialization_failure("delete"),
            Standing::Gone => break Ok(Locked::Gone),
            Standing::Moved(_) if strict => break serialization_failure("update"),
            Standing::Moved(next) => {
                if let Some((tag, mode)) = queued.take() {
                    session.release(tag, mode);
                }
                target.tid = next;
            }
            Standing::Wait(xid) => {
                if policy != WaitPolicy::Block {
                    match would_block::<()>(policy, target.name) {
                        Err(e) => break Err(e),
                        Ok(_) => break Ok(Locked::Skipped),
                    }
                }
                if queued.is_none() {
                    let place = (Tag::Tuple(target.heap, target.tid), queue_mode(target.lock));
                    if let Err(e) = session.wait_for(place.0, place.1).await {
                        break Err(e);
                    }
                    queued = Some(place);
                    // The one ahead may have finished while this one queued.
                    continue;
                }
                if let Err(e) = session.wait_for_xid(xid).await {
                    break Err(e);
                }
            }
        }
    };
    if let Some((tag, mode)) = queued {
        session.release(tag, mode);
    }
    result
}

impl Running<'_> {
    /// Locks a row and notes the lock in it.
    pub(super) async fn lock_row(&mut self, target: Target<'_>, policy: WaitPolicy) -> Result<Locked> {
        let view = self.view.clone();
        lock(self.session, &view, target, policy, true).await
    }

    /// Waits until a row can be changed; the change itself, which must follow at once, is the lock.
    pub(super) async fn claim_row(&mut self, target: Target<'_>) -> Result<Locked> {
        let view = self.view.clone();
        lock(self.session, &view, target, WaitPolicy::Block, false).await
    }
}
