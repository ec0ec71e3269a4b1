//! The log of committed changes: what a volume stores, and a replica, a restart or a failover is fed from.
//!
//! One record per committed transaction, in commit order, physical down to heap and tuple id so that a replica's
//! storage equals the writer's. An LSN is a byte position: it grows by the record's approximate size, which is what
//! replication lag in bytes is measured in. Sequences are logged when they advance, ahead of the commit that used them.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Volume;
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
    /// The version it appended, if it did.
    pub(crate) fn inserted(&self) -> Option<(HeapId, Tid, &Row)> {
        match self {
            Change::Insert { heap, tid, row } => Some((*heap, *tid, row)),
            Change::Delete { .. } => None,
        }
    }

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
    /// Position just before this record.
    pub from: Lsn,
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

impl Record {
    /// Bytes in the log.
    fn size(&self) -> u64 {
        let changes: u64 = self.changes.iter().map(Change::size).sum();
        34 + changes + 24 * self.sequences.len() as u64 + if self.catalog.is_some() { 512 } else { 0 }
    }
}

/// The end of the log that an instance writes or follows.
#[derive(Debug)]
pub(crate) struct Log {
    end: Lsn,
    /// Where the records go. Without it they are only counted: a lone instance must not grow with its history.
    volume: Option<Volume>,
}

impl Log {
    /// The first position.
    pub(crate) const START: Lsn = 0x0100_0000;

    /// A log from this position on.
    pub(crate) fn new(end: Lsn, volume: Option<Volume>) -> Log {
        Log { end, volume }
    }

    /// The position after the last record.
    pub(crate) fn end(&self) -> Lsn {
        self.end
    }

    /// Appends a committed transaction.
    pub(crate) fn append(&mut self, mut record: Record) {
        record.from = self.end;
        record.lsn = self.end + record.size();
        self.end = record.lsn;
        if let Some(volume) = &self.volume {
            record.catalog = record.catalog.map(Catalog::without_temporary);
            volume.append(record);
        }
    }

    /// Notes a record of another instance that was applied here.
    pub(crate) fn follow(&mut self, record: &Record) {
        self.end = record.lsn;
    }
}
