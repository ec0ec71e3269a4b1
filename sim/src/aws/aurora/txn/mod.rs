//! Transactions: ids, outcomes, snapshots and visibility.
//!
//! A snapshot is one number: how many commits had happened. A version is visible when its writer committed no later
//! and its deleter did not. Savepoints are subtransactions with ids of their own, so that rolling one back is marking
//! its id aborted.

pub(super) mod ssi;

use super::storage::Tuple;

/// Transaction (or subtransaction) id. 0 is none.
pub(super) type Xid = u64;
/// Command number within a transaction.
pub(super) type Cid = u32;
/// Number of a commit, in the order in which they happened.
pub(super) type Csn = u64;

/// What became of a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Still running.
    InProgress,
    /// Undone.
    Aborted,
    /// Committed as the nth.
    Committed(Csn),
}

const IN_PROGRESS: u64 = 0;
const ABORTED: u64 = u64::MAX;

/// Outcomes of all transactions.
#[derive(Debug)]
pub(super) struct Clog {
    /// The id of the first entry; all before it committed before everything.
    first: Xid,
    states: Vec<u64>,
    /// Commits so far.
    pub csn: Csn,
}

impl Default for Clog {
    fn default() -> Self {
        // Ids 0..3 are reserved as in PostgreSQL; 1 is the bootstrap transaction.
        Clog::from(3)
    }
}

impl Clog {
    /// The bootstrap transaction, visible to everyone.
    pub(super) const BOOTSTRAP: Xid = 1;

    /// Outcomes from this id on; what came before it is committed.
    pub(super) fn from(first: Xid) -> Clog {
        Clog {
            first,
            states: Vec::new(),
            csn: 1,
        }
    }

    fn place(&self, xid: Xid) -> Option<usize> {
        xid.checked_sub(self.first).map(|place| place as usize)
    }

    /// Notes that a transaction of another instance committed, and returns its place. Ids that were passed over never
    /// commit, or will be noted later.
    pub(super) fn replay(&mut self, xid: Xid) -> Csn {
        self.csn += 1;
        if let Some(place) = self.place(xid) {
            if self.states.len() <= place {
                self.states.resize(place + 1, ABORTED);
            }
            self.states[place] = self.csn;
        }
        self.csn
    }

    /// A new id, in progress.
    pub(super) fn begin(&mut self) -> Xid {
        self.states.push(IN_PROGRESS);
        self.next_xid() - 1
    }

    /// The id that the next transaction will get.
    pub(super) fn next_xid(&self) -> Xid {
        self.first + self.states.len() as Xid
    }

    /// What became of a transaction.
    pub(super) fn outcome(&self, xid: Xid) -> Outcome {
        let Some(place) = self.place(xid) else {
            return if xid == 0 {
                Outcome::Aborted
            } else {
                Outcome::Committed(1)
            };
        };
        match self.states.get(place) {
            Some(&IN_PROGRESS) => Outcome::InProgress,
            Some(&ABORTED) | None => Outcome::Aborted,
            Some(&csn) => Outcome::Committed(csn),
        }
    }

    /// Commits all ids of one transaction at once and returns its place.
    pub(super) fn commit(&mut self, xids: &[Xid]) -> Csn {
        self.csn += 1;
        for xid in xids {
            if let Some(state) = self.place(*xid).and_then(|place| self.states.get_mut(place))
                && *state == IN_PROGRESS
            {
                *state = self.csn;
            }
        }
        self.csn
    }

    /// Aborts ids.
    pub(super) fn abort(&mut self, xids: &[Xid]) {
        for xid in xids {
            if let Some(state) = self.place(*xid).and_then(|place| self.states.get_mut(place))
                && *state == IN_PROGRESS
            {
                *state = ABORTED;
            }
        }
    }

    /// Whether the id belongs to a running transaction.
    pub(super) fn running(&self, xid: Xid) -> bool {
        self.outcome(xid) == Outcome::InProgress
    }
}

/// What one statement can see: commits up to `csn`, and its own transaction's work of earlier commands.
#[derive(Clone, Debug)]
pub(super) struct View {
    /// Commits up to and including this one.
    pub csn: Csn,
    /// Own ids, oldest first.
    pub xids: Vec<Xid>,
    /// The current command: work of earlier ones is visible.
    pub cid: Cid,
}

impl View {
    /// Whether an id is the transaction's own.
    pub(super) fn mine(&self, xid: Xid) -> bool {
        self.xids.contains(&xid)
    }

    /// Whether a transaction's commit is inside the snapshot.
    pub(super) fn saw(&self, xid: Xid, clog: &Clog) -> bool {
        matches!(clog.outcome(xid), Outcome::Committed(csn) if csn <= self.csn)
    }

    /// Whether a version is visible.
    pub(super) fn sees(&self, tuple: &Tuple, clog: &Clog) -> bool {
        match clog.outcome(tuple.xmin) {
            Outcome::Committed(csn) => {
                if csn > self.csn {
                    return false;
                }
            }
            Outcome::InProgress => {
                if !self.mine(tuple.xmin) || tuple.cmin >= self.cid {
                    return false;
                }
            }
            Outcome::Aborted => return false,
        }
        if tuple.xmax == 0 {
            return true;
        }
        match clog.outcome(tuple.xmax) {
            Outcome::Committed(csn) => csn > self.csn,
            Outcome::InProgress => !self.mine(tuple.xmax) || tuple.cmax >= self.cid,
            Outcome::Aborted => true,
        }
    }
}
