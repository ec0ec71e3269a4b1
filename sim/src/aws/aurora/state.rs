//! The state of one instance: storage, outcomes, catalog, locks. One mutex around it, held between waits, never across.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use super::catalog::{Catalog, IndexDef, KeyPart, Oid, Table};
use super::error::Result;
use super::exec::{Ctx, Env, eval};
use super::lock::{Locks, Pid};
use super::session::signal::Signal;
use super::storage::log::Log;
use super::storage::{Heap, HeapId, Index, Row, Tid};
use super::txn::ssi::Ssi;
use super::txn::{Clog, Csn, Xid};
use super::types::Value;

/// A connected session, as others see it.
#[derive(Debug)]
pub(super) struct Backend {
    /// Proof that a cancel request comes from the client.
    pub secret: i32,
    /// Role that logged in.
    pub user: String,
    /// `application_name`.
    pub application: String,
    /// Wakes and interrupts it.
    pub signal: Arc<Signal>,
    /// The oldest commit number it still looks back to.
    pub oldest: Option<Csn>,
    /// State and latest statement, for `pg_stat_activity`.
    pub activity: (&'static str, String),
}

impl Backend {
    /// Whether it may have a transaction under way.
    pub(super) fn in_transaction(&self) -> bool {
        self.activity.0 != "idle"
    }
}

/// Everything shared by the sessions of an instance.
#[derive(Debug)]
pub(super) struct State {
    /// Outcomes of transactions.
    pub clog: Clog,
    /// Storage by heap.
    pub heaps: BTreeMap<HeapId, Heap>,
    /// The committed catalog.
    pub catalog: Arc<Catalog>,
    /// Heavyweight locks.
    pub locks: RefCell<Locks>,
    /// Position of every sequence, and whether `nextval` has been called.
    pub sequences: RefCell<BTreeMap<Oid, (i64, bool)>>,
    /// Sequences advanced since the last commit record.
    pub advanced: RefCell<BTreeMap<Oid, (i64, bool)>>,
    /// SERIALIZABLE's bookkeeping.
    pub ssi: RefCell<Ssi>,
    /// Where committed changes go.
    pub log: Log,
    /// Sessions.
    pub backends: BTreeMap<Pid, Backend>,
    /// Versions that die once no snapshot needs them, in commit order.
    dead: VecDeque<(Csn, HeapId, Tid)>,
    next_oid: Oid,
    next_heap: HeapId,
    next_pid: Pid,
    /// Refuses every write: a replica.
    pub read_only: bool,
    /// The instance crashed: nothing happens here any more.
    pub down: bool,
    /// How often everything was read anew from the volume under its sessions.
    pub generation: u64,
}

/// The key of a row in an index; None when a partial index leaves it out.
pub(super) fn index_key(
    parts: &[KeyPart],
    predicate: Option<&super::sql::expr::Expr>,
    row: &[Value],
) -> Result<Option<Box<[Value]>>> {
    let env = Env::of(row);
    if let Some(predicate) = predicate
        && !eval(&Ctx::pure(), predicate, &env)?.is_true()
    {
        return Ok(None);
    }
    let mut key = Vec::with_capacity(parts.len());
    for part in parts {
        key.push(match part {
            KeyPart::Column(c) => row.get(*c).cloned().unwrap_or(Value::Null),
            KeyPart::Expr(e, _) => eval(&Ctx::pure(), e, &env)?,
        });
    }
    Ok(Some(key.into()))
}

impl State {
    /// Puts a sequence where it shall stand; `None` is where it begins.
    pub(super) fn place_sequence(&mut self, oid: Oid, position: Option<(i64, bool)>) {
        for positions in [self.sequences.get_mut(), self.advanced.get_mut()] {
            match position {
                Some(position) => _ = positions.insert(oid, position),
                None => _ = positions.remove(&oid),
            }
        }
    }

    /// An empty instance.
    pub(super) fn new(catalog: Catalog, log: Log) -> State {
        State {
            clog: Clog::default(),
            heaps: BTreeMap::new(),
            catalog: Arc::new(catalog),
            locks: RefCell::default(),
            sequences: RefCell::default(),
            advanced: RefCell::default(),
            ssi: RefCell::default(),
            log,
            backends: BTreeMap::new(),
            dead: VecDeque::new(),
            next_oid: super::catalog::FIRST_OID,
            next_heap: 1,
            next_pid: 100,
            read_only: false,
            down: false,
            generation: 0,
        }
    }

    /// Gives out oids and heaps from these on.
    pub(super) fn number_from(&mut self, oid: Oid, heap: HeapId) {
        (self.next_oid, self.next_heap) = (oid, heap);
    }

    /// Takes the place of another state, whose sessions go on here outside of any transaction.
    pub(super) fn succeed(&mut self, before: &mut State) {
        self.backends = std::mem::take(&mut before.backends);
        self.locks = std::mem::take(&mut before.locks);
        self.next_pid = before.next_pid;
        self.read_only = before.read_only;
        self.generation = before.generation + 1;
        for backend in self.backends.values_mut() {
            backend.oldest = None;
            if backend.in_transaction() {
                backend.signal.hang_up();
            }
        }
    }

    /// A fresh oid.
    pub(super) fn new_oid(&mut self) -> Oid {
        self.next_oid += 1;
        self.next_oid - 1
    }

    /// A fresh process id.
    pub(super) fn new_pid(&mut self) -> Pid {
        self.next_pid += 1;
        self.next_pid
    }

    /// An empty heap.
    pub(super) fn new_heap(&mut self) -> HeapId {
        self.next_heap += 1;
        self.heaps.insert(self.next_heap - 1, Heap::default());
        self.next_heap - 1
    }

    /// Makes an index's entries from every version in the heap.
    pub(super) fn build_index(&mut self, heap: HeapId, def: &IndexDef) -> Result<()> {
        self.build_index_padded(heap, def, &[])
    }

    /// The same for rows that may be shorter than the table: `missing` has what their later columns read as.
    pub(super) fn build_index_padded(
        &mut self,
        heap: HeapId,
        def: &IndexDef,
        missing: &[Value],
    ) -> Result<()> {
        let Some(heap) = self.heaps.get_mut(&heap) else {
            return Ok(());
        };
        let mut index = Index::new(def.parts.clone(), def.predicate.as_ref().map(|p| p.0.clone()));
        for (tid, tuple) in heap.iter() {
            let mut row = tuple.row.to_vec();
            row.extend(missing.iter().skip(row.len()).cloned());
            if let Some(key) = index_key(&index.parts, index.predicate.as_ref(), &row)? {
                index.insert(key, tid);
            }
        }
        heap.indexes.insert(def.oid, index);
        Ok(())
    }

    /// Appends a version and its index entries.
    pub(super) fn insert_tuple(&mut self, table: &Table, row: Row, xid: Xid, cid: u32) -> Result<Tid> {
        let Some(heap) = self.heaps.get_mut(&table.heap) else {
            return Ctx::pure().bug("a table without a heap");
        };
        // Keys first: an index expression may fail, and then nothing must be there.
        let mut keys = Vec::with_capacity(heap.indexes.len());
        for (oid, index) in &heap.indexes {
            if let Some(key) = index_key(&index.parts, index.predicate.as_ref(), &row)? {
                keys.push((*oid, key));
            }
        }
        let tid = heap.insert(row, xid, cid);
        for (oid, key) in keys {
            if let Some(index) = heap.indexes.get_mut(&oid) {
                index.insert(key, tid);
            }
        }
        Ok(tid)
    }

    /// Removes a version and its index entries.
    pub(super) fn remove_tuple(&mut self, heap: HeapId, tid: Tid) {
        let Some(heap) = self.heaps.get_mut(&heap) else {
            return;
        };
        let Some(tuple) = heap.remove(tid) else { return };
        for index in heap.indexes.values_mut() {
            if let Ok(Some(key)) = index_key(&index.parts, index.predicate.as_ref(), &tuple.row) {
                index.remove(key, tid);
            }
        }
    }

    /// Notes versions that ended with a commit.
    pub(super) fn bury(&mut self, csn: Csn, heap: HeapId, tid: Tid) {
        self.dead.push_back((csn, heap, tid));
    }

    /// Removes versions that no snapshot can see any more.
    pub(super) fn vacuum(&mut self) {
        let oldest = self
            .backends
            .values()
            .filter_map(|b| b.oldest)
            .min()
            .unwrap_or(self.clog.csn);
        while let Some((csn, heap, tid)) = self.dead.front().copied() {
            if csn > oldest {
                break;
            }
            self.dead.pop_front();
            self.remove_tuple(heap, tid);
        }
    }
}
