//! Row locks: who may change or lock a row now, who must wait, and which version counts afterwards.

use super::statement::{Running, would_block};
use crate::aws::aurora::error::{Result, code, fail};
use crate::aws::aurora::lock::{Mode, Tag};
use crate::aws::aurora::session::Session;
use crate::aws::aurora::session::transaction::Isolation;
use crate::aws::aurora::sql::plan::WaitPolicy;
use crate::aws::aurora::state::State;
use crate::aws::aurora::storage::{Heap, HeapId, RowLock, Tid};
use crate::aws::aurora::txn::{Clog, Outcome, View, Xid};

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
    /// Nothing. The lock belongs on this version and on those that replaced it without touching the key.
    Free(Vec<Tid>),
    /// No one, but the way is through the queue for the row.
    Queue,
    /// A running transaction; waiters for it line up for the row first, unless they hold a lock on it already.
    Wait {
        xid: Xid,
        queue: bool,
    },
    Moved(Tid),
    Gone,
    Own,
}

/// How far a request for a lock has come.
#[derive(Clone, Copy)]
struct Progress {
    /// The lock will be noted in the row: no change of it follows that would be the lock.
    record: bool,
    /// It has followed the row here from an older version.
    moved: bool,
    /// It has been through the queue for this version.
    queued: bool,
}

/// How a version stands towards a wanted lock.
///
/// Where several transactions have shared a row and one of them still runs, PostgreSQL keeps the strengths of the finished
/// ones, and whoever would have conflicted with one of these goes through the queue for the row.
fn standing(state: &mut State, view: &View, own: &[Xid], target: Target<'_>, progress: Progress) -> Standing {
    let mine = |xid: Xid| own.contains(&xid);
    let State { clog, heaps, .. } = state;
    let Some(heap) = heaps.get_mut(&target.heap) else {
        return Standing::Gone;
    };
    let Some(tuple) = heap.get_mut(target.tid) else {
        return Standing::Gone;
    };
    if !tuple.lockers.iter().any(|(xid, _)| clog.running(*xid)) {
        tuple.lockers.clear();
    }
    let ended = |next: Tid| {
        if next == 0 {
            Standing::Gone
        } else {
            Standing::Moved(next)
        }
    };
    let outcome = clog.outcome(tuple.xmax);
    if tuple.xmax != 0 && outcome == Outcome::Aborted {
        if !tuple.lockers.is_empty() {
            tuple.lockers.push((tuple.xmax, tuple.xmax_lock));
        }
        tuple.xmax = 0;
    }
    if tuple.xmax != 0 && outcome == Outcome::InProgress && mine(tuple.xmax) {
        return if tuple.cmax >= view.cid {
            Standing::Own
        } else {
            ended(tuple.next)
        };
    }
    if tuple
        .lockers
        .iter()
        .any(|(xid, held)| mine(*xid) && *held >= target.lock)
    {
        return Standing::Free(vec![target.tid]);
    }
    if tuple.xmax != 0 {
        // One that follows a row goes on to its newest version, even where an older one could be locked.
        if progress.moved {
            return match outcome {
                Outcome::InProgress => Standing::Wait {
                    xid: tuple.xmax,
                    queue: false,
                },
                _ => ended(tuple.next),
            };
        }
        if !tuple.xmax_lock.conflicts(target.lock) {
            return successors(heap, clog, own, target);
        }
    }
    // Whoever holds what conflicts is waited for even on a version that has been replaced.
    let updater = (outcome == Outcome::InProgress && tuple.xmax != 0).then_some(tuple.xmax);
    let lockers = tuple
        .lockers
        .iter()
        .filter(|(xid, held)| !mine(*xid) && clog.running(*xid) && held.conflicts(target.lock));
    let sharing = tuple.lockers.iter().any(|(xid, _)| mine(*xid));
    let queues = !sharing && !progress.queued;
    match lockers.map(|(xid, _)| *xid).chain(updater).min() {
        Some(xid) => Standing::Wait { xid, queue: queues },
        None if tuple.xmax != 0 && !tuple.lockers.is_empty() && queues => Standing::Queue,
        None if tuple.xmax != 0 => ended(tuple.next),
        None if progress.record
            && queues
            && queues_for_finished(target.lock)
            && tuple.lockers.iter().any(|(_, held)| held.conflicts(target.lock)) =>
        {
            Standing::Queue
        }
        None => Standing::Free(vec![target.tid]),
    }
}

/// A key share lock on a version whose key still stands in its successors: it must hold on all of them.
fn successors(heap: &Heap, clog: &Clog, own: &[Xid], target: Target<'_>) -> Standing {
    let mut chain = Vec::new();
    let mut at = target.tid;
    while let Some(tuple) = heap.get(at) {
        if clog.outcome(tuple.xmin) == Outcome::Aborted {
            break;
        }
        chain.push(at);
        let held = tuple.lockers.iter().filter(|(xid, _)| clog.running(*xid));
        for (xid, lock) in held {
            if !own.contains(xid) && lock.conflicts(target.lock) {
                return Standing::Wait {
                    xid: *xid,
                    queue: false,
                };
            }
        }
        let ended = tuple.xmax != 0 && !own.contains(&tuple.xmax);
        if ended && tuple.xmax_lock.conflicts(target.lock) {
            match clog.outcome(tuple.xmax) {
                Outcome::Aborted => break,
                Outcome::InProgress => {
                    return Standing::Wait {
                        xid: tuple.xmax,
                        queue: false,
                    };
                }
                Outcome::Committed(_) if tuple.next == 0 => return Standing::Gone,
                Outcome::Committed(_) => return Standing::Moved(tuple.next),
            }
        }
        if tuple.xmax == 0 {
            break;
        }
        at = tuple.next;
    }
    Standing::Free(chain)
}

/// Whether a lock that is to be noted minds finished sharers of a row that nobody has ended. PostgreSQL decides this for the
/// shared strengths by flags of the row, which count them in, and for the others by looking who runs.
fn queues_for_finished(lock: RowLock) -> bool {
    matches!(lock, RowLock::KeyShare | RowLock::Share)
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

/// Waits for a row until the lock is possible: follows it to its newest version in READ COMMITTED, fails above. With
/// `record` the lock is noted in the row; without, the change that follows at once is the lock. A lock that followed a
/// row is noted in any case, for the row may turn out not to be wanted any more and then stays locked.
pub(super) async fn lock(
    session: &mut Session,
    view: &View,
    target: Target<'_>,
    policy: WaitPolicy,
    record: bool,
) -> Result<Locked> {
    let mut target = target;
    let mut moved = false;
    let strict = session.txn().isolation != Isolation::ReadCommitted;
    let mut queued: Option<(Tag, Mode)> = None;
    let result = loop {
        let engine = session.engine.clone();
        let own = session.txn().xids.clone();
        let progress = Progress {
            record,
            moved,
            queued: queued.is_some(),
        };
        let found = standing(&mut engine.state(), view, &own, target, progress);
        let place = (Tag::Tuple(target.heap, target.tid), queue_mode(target.lock));
        match found {
            Standing::Free(versions) => {
                if record || moved {
                    note(session, &mut engine.state(), target, &versions);
                }
                break Ok(Locked::Held { tid: target.tid });
            }
            Standing::Queue => {
                if policy == WaitPolicy::Block {
                    if let Err(e) = session.wait_for(place.0, place.1).await {
                        break Err(e);
                    }
                } else {
                    let pid = session.pid;
                    if !engine.state().locks.get_mut().try_acquire(pid, place.0, place.1) {
                        break would_block::<()>(policy, target.name).map(|_| Locked::Skipped);
                    }
                }
                queued = Some(place);
            }
            Standing::Own => break Ok(Locked::Own),
            Standing::Gone if strict => break serialization_failure("delete"),
            Standing::Gone => break Ok(Locked::Gone),
            Standing::Moved(_) if strict => break serialization_failure("update"),
            Standing::Moved(next) => {
                if let Some((tag, mode)) = queued.take() {
                    session.release(tag, mode);
                }
                target.tid = next;
                moved = true;
            }
            Standing::Wait { xid, queue } => {
                if policy != WaitPolicy::Block {
                    break would_block::<()>(policy, target.name).map(|_| Locked::Skipped);
                }
                if queue {
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

/// Writes a lock into versions of a row, which forgets its finished holders.
fn note(session: &mut Session, state: &mut State, target: Target<'_>, versions: &[Tid]) {
    let xid = session.write_xid(state);
    let State { clog, heaps, .. } = state;
    for tid in versions {
        if let Some(tuple) = heaps.get_mut(&target.heap).and_then(|h| h.get_mut(*tid))
            && !tuple
                .lockers
                .iter()
                .any(|(x, held)| *x == xid && *held >= target.lock)
        {
            tuple.lockers.retain(|(xid, _)| clog.running(*xid));
            tuple.lockers.push((xid, target.lock));
        }
    }
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
