//! Who holds what, who waits for what, and who is next.

use std::collections::{BTreeMap, VecDeque};

use tokio::sync::oneshot;

use crate::aws::aurora::catalog::Oid;
use crate::aws::aurora::storage::{HeapId, Tid};
use crate::aws::aurora::txn::Xid;

/// A backend's process id.
pub(crate) type Pid = i32;

/// What a lock protects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Tag {
    /// A table, index or sequence.
    Relation(Oid),
    /// The right to be next in line for a row.
    Tuple(HeapId, Tid),
    /// Held by a transaction until its end.
    Transaction(Xid),
    /// `pg_advisory_lock`: class, object and whether the key came as one bigint.
    Advisory(i32, i32, bool),
    /// A name being created, by hash of kind and name, so that two creators of one name queue.
    Name(u64),
}

/// PostgreSQL's eight table lock modes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs)]
pub(crate) enum Mode {
    AccessShare = 1,
    RowShare,
    RowExclusive,
    ShareUpdateExclusive,
    Share,
    ShareRowExclusive,
    Exclusive,
    AccessExclusive,
}

/// `CONFLICTS[m]`: a bit for every mode that `m` conflicts with.
const CONFLICTS: [u16; 9] = [
    0,
    1 << 8,
    1 << 7 | 1 << 8,
    1 << 5 | 1 << 6 | 1 << 7 | 1 << 8,
    1 << 4 | 1 << 5 | 1 << 6 | 1 << 7 | 1 << 8,
    1 << 3 | 1 << 4 | 1 << 6 | 1 << 7 | 1 << 8,
    1 << 3 | 1 << 4 | 1 << 5 | 1 << 6 | 1 << 7 | 1 << 8,
    1 << 2 | 1 << 3 | 1 << 4 | 1 << 5 | 1 << 6 | 1 << 7 | 1 << 8,
    0x1fe,
];

impl Mode {
    /// Whether two backends cannot hold these at once.
    pub(crate) fn conflicts(self, other: Mode) -> bool {
        CONFLICTS[self as usize] & (1 << other as u16) != 0
    }

    /// The name in messages.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Mode::AccessShare => "AccessShareLock",
            Mode::RowShare => "RowShareLock",
            Mode::RowExclusive => "RowExclusiveLock",
            Mode::ShareUpdateExclusive => "ShareUpdateExclusiveLock",
            Mode::Share => "ShareLock",
            Mode::ShareRowExclusive => "ShareRowExclusiveLock",
            Mode::Exclusive => "ExclusiveLock",
            Mode::AccessExclusive => "AccessExclusiveLock",
        }
    }
}

#[derive(Debug)]
pub(super) struct Held {
    pub(super) pid: Pid,
    pub(super) mode: Mode,
    count: u32,
}

#[derive(Debug)]
pub(super) struct Waiter {
    pub(super) pid: Pid,
    pub(super) mode: Mode,
    wake: oneshot::Sender<()>,
}

#[derive(Debug, Default)]
pub(super) struct Entry {
    pub(super) held: Vec<Held>,
    pub(super) queue: VecDeque<Waiter>,
}

impl Entry {
    fn blocked_by_holder(&self, pid: Pid, mode: Mode) -> bool {
        self.held.iter().any(|h| h.pid != pid && h.mode.conflicts(mode))
    }

    fn grant(&mut self, pid: Pid, mode: Mode) {
        match self.held.iter_mut().find(|h| h.pid == pid && h.mode == mode) {
            Some(held) => held.count += 1,
            None => self.held.push(Held { pid, mode, count: 1 }),
        }
    }

    /// Grants from the front of the queue whatever conflicts neither with a holder nor with one still ahead.
    fn wake(&mut self, waiting: &mut BTreeMap<Pid, (Tag, Mode)>) {
        let mut ahead: u16 = 0;
        let mut at = 0;
        while at < self.queue.len() {
            let (pid, mode) = (self.queue[at].pid, self.queue[at].mode);
            if CONFLICTS[mode as usize] & ahead == 0 && !self.blocked_by_holder(pid, mode) {
                self.grant(pid, mode);
                waiting.remove(&pid);
                if let Some(waiter) = self.queue.remove(at) {
                    // A waiter that gave up in this very instant has left the queue already.
                    let _ = waiter.wake.send(());
                }
            } else {
                ahead |= 1 << mode as u16;
                at += 1;
            }
        }
    }
}

/// Answer to a request.
#[derive(Debug)]
pub(crate) enum Requested {
    /// Held now.
    Granted,
    /// Queued; the channel fires when it is held.
    Wait(oneshot::Receiver<()>),
}

/// Every heavyweight lock.
#[derive(Debug, Default)]
pub(crate) struct Locks {
    pub(super) table: BTreeMap<Tag, Entry>,
    pub(super) waiting: BTreeMap<Pid, (Tag, Mode)>,
}

impl Locks {
    /// Takes a lock if nothing stands in the way.
    pub(crate) fn try_acquire(&mut self, pid: Pid, tag: Tag, mode: Mode) -> bool {
        let entry = self.table.entry(tag).or_default();
        let own = entry.held.iter().any(|h| h.pid == pid && h.mode >= mode);
        let queued = entry.queue.iter().any(|w| w.mode.conflicts(mode));
        if !entry.blocked_by_holder(pid, mode) && (own || !queued || Self::goes_first(entry, pid, mode)) {
            entry.grant(pid, mode);
            return true;
        }
        if entry.held.is_empty() && entry.queue.is_empty() {
            self.table.remove(&tag);
        }
        false
    }

    /// Whether this backend must pass every conflicting waiter because it already blocks the first of them.
    fn goes_first(entry: &Entry, pid: Pid, mode: Mode) -> bool {
        entry
            .queue
            .iter()
            .find(|w| w.mode.conflicts(mode))
            .is_some_and(|w| {
                entry
                    .held
                    .iter()
                    .any(|h| h.pid == pid && h.mode.conflicts(w.mode))
            })
    }

    /// Takes a lock or joins its queue.
    pub(crate) fn request(&mut self, pid: Pid, tag: Tag, mode: Mode) -> Requested {
        if self.try_acquire(pid, tag, mode) {
            return Requested::Granted;
        }
        let (wake, woken) = oneshot::channel();
        let entry = self.table.entry(tag).or_default();
        let held = &entry.held;
        let at = entry
            .queue
            .iter()
            .position(|w| held.iter().any(|h| h.pid == pid && h.mode.conflicts(w.mode)))
            .unwrap_or(entry.queue.len());
        entry.queue.insert(at, Waiter { pid, mode, wake });
        self.waiting.insert(pid, (tag, mode));
        Requested::Wait(woken)
    }

    /// Leaves a queue without the lock. True if the lock had been granted in the meantime.
    pub(crate) fn give_up(&mut self, pid: Pid) -> bool {
        let Some((tag, _)) = self.waiting.remove(&pid) else {
            return true;
        };
        if let Some(entry) = self.table.get_mut(&tag) {
            entry.queue.retain(|w| w.pid != pid);
            entry.wake(&mut self.waiting);
        }
        self.sweep(tag);
        false
    }

    /// Releases one hold. False if this backend does not hold it.
    pub(crate) fn release(&mut self, pid: Pid, tag: Tag, mode: Mode) -> bool {
        let Some(entry) = self.table.get_mut(&tag) else {
            return false;
        };
        let Some(at) = entry.held.iter().position(|h| h.pid == pid && h.mode == mode) else {
            return false;
        };
        entry.held[at].count -= 1;
        if entry.held[at].count == 0 {
            entry.held.remove(at);
            entry.wake(&mut self.waiting);
        }
        self.sweep(tag);
        true
    }

    fn sweep(&mut self, tag: Tag) {
        if self
            .table
            .get(&tag)
            .is_some_and(|e| e.held.is_empty() && e.queue.is_empty())
        {
            self.table.remove(&tag);
        }
    }

    /// All holds and waits, for `pg_locks`.
    pub(crate) fn list(&self) -> impl Iterator<Item = (Tag, Pid, Mode, bool)> {
        self.table.iter().flat_map(|(tag, e)| {
            let held = e.held.iter().map(|h| (*tag, h.pid, h.mode, true));
            held.chain(e.queue.iter().map(|w| (*tag, w.pid, w.mode, false)))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: Tag = Tag::Relation(1);

    #[test]
    fn a_reader_does_not_overtake_a_waiting_writer() {
        let mut locks = Locks::default();
        assert!(locks.try_acquire(1, TABLE, Mode::AccessShare));
        let Requested::Wait(mut writer) = locks.request(2, TABLE, Mode::AccessExclusive) else {
            panic!()
        };
        let Requested::Wait(mut reader) = locks.request(3, TABLE, Mode::AccessShare) else {
            panic!()
        };
        locks.release(1, TABLE, Mode::AccessShare);
        assert!(writer.try_recv().is_ok());
        assert!(reader.try_recv().is_err());
        locks.release(2, TABLE, Mode::AccessExclusive);
        assert!(reader.try_recv().is_ok());
    }

    #[test]
    fn waits_in_a_circle_are_found() {
        let mut locks = Locks::default();
        let (a, b) = (Tag::Transaction(1), Tag::Transaction(2));
        assert!(locks.try_acquire(1, a, Mode::Exclusive));
        assert!(locks.try_acquire(2, b, Mode::Exclusive));
        let _one = locks.request(1, b, Mode::Share);
        assert!(locks.deadlock(1).is_none());
        let _two = locks.request(2, a, Mode::Share);
        assert_eq!(locks.deadlock(1).unwrap().len(), 2);
    }
}
