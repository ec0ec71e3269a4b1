//! A heap: every version of every row of one table, in the order in which they were written.
//!
//! An update appends a version and links the old one to it, as PostgreSQL does; an in-place reuse of space does not
//! exist, so a sequential scan sees updated rows last. Versions that no snapshot can see are removed by
//! `State::vacuum`.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::index::Index;
use crate::aws::aurora::catalog::Oid;
use crate::aws::aurora::txn::{Cid, Xid};
use crate::aws::aurora::types::Value;

/// Names a heap; a table gets a new one when it is truncated or rewritten.
pub(crate) type HeapId = u64;
/// Names a tuple version within its heap. 0 is none.
pub(crate) type Tid = u64;
/// The values of one version, shared by whoever reads them.
pub(crate) type Row = Arc<[Value]>;

/// Strength of a row lock, weakest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum RowLock {
    /// FOR KEY SHARE: foreign-key checks.
    KeyShare,
    /// FOR SHARE.
    Share,
    /// FOR NO KEY UPDATE, and an UPDATE that leaves keys alone.
    NoKeyUpdate,
    /// FOR UPDATE, DELETE, and an UPDATE of a key.
    Update,
}

impl RowLock {
    /// Whether two transactions cannot hold these at once.
    pub(crate) fn conflicts(self, other: RowLock) -> bool {
        use RowLock::{KeyShare, NoKeyUpdate, Share, Update};
        match (self, other) {
            (Update, _) | (_, Update) => true,
            (KeyShare, _) | (_, KeyShare) => false,
            (Share, Share) => false,
            (Share | NoKeyUpdate, Share | NoKeyUpdate) => true,
        }
    }
}

/// One version of a row.
#[derive(Debug)]
pub(crate) struct Tuple {
    /// Who wrote it.
    pub xmin: Xid,
    /// In which command of that transaction.
    pub cmin: Cid,
    /// Who updated or deleted it; 0 is nobody.
    pub xmax: Xid,
    /// In which command.
    pub cmax: Cid,
    /// Strength of what `xmax` did.
    pub xmax_lock: RowLock,
    /// The version that replaced it; 0 when deleted.
    pub next: Tid,
    /// Lock-only holders. Those of finished transactions stay while another still runs, until someone else joins.
    pub lockers: Vec<(Xid, RowLock)>,
    /// The values.
    pub row: Row,
}

/// All versions of one table's rows, and its indexes.
#[derive(Debug, Default)]
pub(crate) struct Heap {
    tuples: BTreeMap<Tid, Tuple>,
    last: Tid,
    /// Indexes by oid.
    pub indexes: BTreeMap<Oid, Index>,
}

impl Heap {
    /// An empty heap whose next version comes after this one.
    pub(crate) fn after(last: Tid) -> Heap {
        Heap {
            last,
            ..Heap::default()
        }
    }

    /// Appends a version.
    pub(crate) fn insert(&mut self, row: Row, xmin: Xid, cmin: Cid) -> Tid {
        let tid = self.last + 1;
        self.place(tid, row, xmin, cmin);
        tid
    }

    /// Puts a version where another instance put it.
    pub(crate) fn place(&mut self, tid: Tid, row: Row, xmin: Xid, cmin: Cid) {
        self.last = self.last.max(tid);
        let tuple = Tuple {
            xmin,
            cmin,
            xmax: 0,
            cmax: 0,
            xmax_lock: RowLock::Update,
            next: 0,
            lockers: Vec::new(),
            row,
        };
        self.tuples.insert(tid, tuple);
    }

    /// A version, unless vacuum took it.
    pub(crate) fn get(&self, tid: Tid) -> Option<&Tuple> {
        self.tuples.get(&tid)
    }

    /// The same, to change.
    pub(crate) fn get_mut(&mut self, tid: Tid) -> Option<&mut Tuple> {
        self.tuples.get_mut(&tid)
    }

    /// Removes a version; its index entries go first.
    pub(crate) fn remove(&mut self, tid: Tid) -> Option<Tuple> {
        self.tuples.remove(&tid)
    }

    /// All versions in the order written.
    pub(crate) fn iter(&self) -> impl DoubleEndedIterator<Item = (Tid, &Tuple)> {
        self.tuples.iter().map(|(tid, t)| (*tid, t))
    }
}
