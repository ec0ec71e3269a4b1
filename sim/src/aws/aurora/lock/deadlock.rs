//! Deadlocks: a walk over who waits for whom, made by a backend that has waited for `deadlock_timeout`.
//!
//! Both hard edges (a waiter and a holder in its way) and soft ones (a waiter and an earlier waiter in its way) count.
//! PostgreSQL may dissolve a circle of soft edges by reordering a queue; here the checking backend fails instead.

use std::collections::BTreeSet;

use super::manager::{Locks, Mode, Pid, Tag};

/// One edge of a circle: who waits, for what, in which mode, and who is in the way.
pub(super) type Edge = (Pid, Tag, Mode, Pid);

impl Locks {
    /// The circle of waits through `start`, if there is one.
    pub(crate) fn deadlock(&self, start: Pid) -> Option<Vec<Edge>> {
        let mut seen = BTreeSet::new();
        let mut path = Vec::new();
        self.walk(start, start, &mut seen, &mut path).then_some(path)
    }

    /// Backends in the way of a waiting one, holders first, in a fixed order.
    pub(crate) fn blockers(&self, pid: Pid) -> Vec<Pid> {
        let Some((tag, mode)) = self.waiting.get(&pid) else {
            return Vec::new();
        };
        let Some(entry) = self.table.get(tag) else {
            return Vec::new();
        };
        let mut out: Vec<Pid> = entry
            .held
            .iter()
            .filter(|h| h.pid != pid && h.mode.conflicts(*mode))
            .map(|h| h.pid)
            .collect();
        let ahead = entry.queue.iter().take_while(|w| w.pid != pid);
        out.extend(ahead.filter(|w| w.mode.conflicts(*mode)).map(|w| w.pid));
        out
    }

    fn walk(&self, at: Pid, start: Pid, seen: &mut BTreeSet<Pid>, path: &mut Vec<Edge>) -> bool {
        if !seen.insert(at) {
            return false;
        }
        let Some((tag, mode)) = self.waiting.get(&at).copied() else {
            return false;
        };
        for blocker in self.blockers(at) {
            path.push((at, tag, mode, blocker));
            if blocker == start || self.walk(blocker, start, seen, path) {
                return true;
            }
            path.pop();
        }
        false
    }
}
