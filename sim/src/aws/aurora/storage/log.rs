//! The log of committed changes: what a replica, a restart or a failover is fed from.
//!
//! One record per committed transaction, in commit order, physical down to heap and tuple id so that a replica's
//! storage equals the writer's. An LSN is a byte position: it grows by the record's approximate size, which is what
//! replication lag in bytes is measured in. Sequences are logged when they advance, ahead of the commit that used them.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use super::heap::{HeapId, Row, Tid};
use crate::aws::aurora::catalog::{Catalog, Oid};
use crate::aws::aurora::txn::Xid;

/// Byte position in the log.
pub(crate) type Lsn = u64;

/// One change inside a transaction.
#[derive(Clone, Debug)]
pub(crate) enum Change {
    /// A version was appended.
    Insert {
        /// Heap.
        heap: HeapId,
        /// Place in it.
        tid: Tid,
        /// Its values.
        row: Row,
    },
    /// A version was deleted, or replaced by `next`.
    Delete {
        /// Heap.
        heap: HeapId,
        /// The version that ended.
        tid: Tid,
        /// Its successor, 0 when none.
        next: Tid,
    },
}

impl Change {
    fn size(&self) -> u64 {
        match self {
            Change::Insert { row, .. } => 48 + row.iter().map(|v| v.size() as u64).sum::<u64>(),
            Change::Delete { .. } => 54,
        }
    }
}

/// What one committed transaction did.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    /// Position just after this record.
    pub lsn: Lsn,
    /// The transaction.
    pub xid: Xid,
    /// When it committed, by the writer's clock, in microseconds since 2000.
    pub at: i64,
    /// Its changes, in order.
    pub changes: Vec<Change>,
    /// The whole catalog after it, when it changed the catalog.
    pub catalog: Option<Arc<Catalog>>,
    /// Sequence positions at commit, for those the writer advanced since the last record.
    pub sequences: BTreeMap<Oid, (i64, bool)>,
}

/// Committed records, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Log {
    records: VecDeque<Arc<Record>>,
    end: Lsn,
    /// Nothing is kept while nobody reads: a lone writer must not grow with its history.
    kept: bool,
}

impl Log {
    /// A log that keeps its records for readers, or only counts bytes.
    pub(crate) fn new(kept: bool) -> Log {
        Log {
            records: VecDeque::new(),
            end: 0x0100_0000,
            kept,
        }
    }

    /// The position after the last record.
    pub(crate) fn end(&self) -> Lsn {
        self.end
    }

    /// Appends a committed transaction and returns its LSN.
    pub(crate) fn append(&mut self, mut record: Record) -> Lsn {
        self.end += 34 + record.changes.iter().map(Change::size).sum::<u64>();
        self.end += 24 * record.sequences.len() as u64 + if record.catalog.is_some() { 512 } else { 0 };
        record.lsn = self.end;
        if self.kept {
            self.records.push_back(Arc::new(record));
        }
        self.end
    }

    /// Records after a position.
    pub(crate) fn after(&self, lsn: Lsn) -> impl Iterator<Item = &Arc<Record>> {
        let from = self.records.partition_point(|r| r.lsn <= lsn);
        self.records.range(from..)
    }

    /// Forgets what every reader has.
    pub(crate) fn truncate(&mut self, upto: Lsn) {
        while self.records.front().is_some_and(|r| r.lsn <= upto) {
            self.records.pop_front();
        }
    }
}
