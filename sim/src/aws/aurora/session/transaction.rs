//! One session's transaction: ids, savepoints, locks, and what must be done at its end.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::aws::aurora::catalog::{Catalog, Oid, Touched};
use crate::aws::aurora::exec::constraint::Deferred;
use crate::aws::aurora::lock::{Mode, Pid, Tag};
use crate::aws::aurora::state::State;
use crate::aws::aurora::storage::HeapId;
use crate::aws::aurora::storage::log::{Change, Record};
use crate::aws::aurora::txn::ssi::SxId;
use crate::aws::aurora::txn::{Cid, Csn, Xid};

/// Isolation levels. READ UNCOMMITTED is READ COMMITTED.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs)]
pub(crate) enum Isolation {
    ReadCommitted,
    RepeatableRead,
    Serializable,
}

impl Isolation {
    /// From the words of a setting.
    pub(crate) fn from_words(words: &str) -> Isolation {
        match words {
            "serializable" => Isolation::Serializable,
            "repeatable read" => Isolation::RepeatableRead,
            _ => Isolation::ReadCommitted,
        }
    }

    /// As `SHOW transaction_isolation` says it.
    pub(crate) fn words(self) -> &'static str {
        match self {
            Isolation::ReadCommitted => "read committed",
            Isolation::RepeatableRead => "repeatable read",
            Isolation::Serializable => "serializable",
        }
    }
}

/// A savepoint, or the implicit one of a statement that may be undone alone.
#[derive(Debug)]
pub(crate) struct Savepoint {
    /// Name.
    pub name: String,
    /// Its subtransaction's id, once it wrote.
    pub xid: Option<Xid>,
    locks: usize,
    advisory: usize,
    deferred: usize,
    catalog: Option<Arc<Catalog>>,
    touched: BTreeSet<Touched>,
    heaps: usize,
}

/// A sequence that was put back to where it begins.
#[derive(Debug)]
pub(crate) struct Restarted {
    /// By whom.
    pub xid: Xid,
    /// Which.
    pub sequence: Oid,
    /// Where it stood; `None` if nothing had been drawn from it.
    pub before: Option<(i64, bool)>,
}

/// A running transaction.
#[derive(Debug)]
pub(crate) struct Transaction {
    /// Isolation level.
    pub isolation: Isolation,
    /// READ ONLY.
    pub read_only: bool,
    /// A statement has run: the level can no longer change.
    pub begun: bool,
    /// The one snapshot of REPEATABLE READ and above.
    pub snapshot: Option<Csn>,
    /// Ids, the top one first.
    pub xids: Vec<Xid>,
    /// Current command.
    pub cid: Cid,
    /// Savepoints, innermost last.
    pub savepoints: Vec<Savepoint>,
    /// Heavyweight locks, in the order taken.
    pub locks: Vec<(Tag, Mode)>,
    /// The catalog with this transaction's DDL in it.
    pub catalog: Option<Arc<Catalog>>,
    /// The committed catalog that copy was made from.
    base: Option<Arc<Catalog>>,
    /// What the DDL touched.
    pub touched: BTreeSet<Touched>,
    /// Changes, with the id that made them.
    pub changes: Vec<(Xid, Change)>,
    /// Heaps made by this transaction, to be dropped with it.
    pub heaps: Vec<(Xid, HeapId)>,
    /// Sequences that were restarted.
    pub restarted: Vec<Restarted>,
    /// Checks to make at commit.
    pub deferred: Vec<Deferred>,
    /// SERIALIZABLE's handle.
    pub serializable: Option<SxId>,
    /// SET CONSTRAINTS ALL DEFERRED.
    pub constraints_deferred: Option<bool>,
    /// SET CONSTRAINTS by name.
    pub deferred_by_name: BTreeMap<String, bool>,
}

impl Transaction {
    /// A transaction that has done nothing.
    pub(crate) fn new(isolation: Isolation, read_only: bool) -> Transaction {
        Transaction {
            isolation,
            read_only,
            begun: false,
            snapshot: None,
            xids: Vec::new(),
            cid: 0,
            savepoints: Vec::new(),
            locks: Vec::new(),
            catalog: None,
            base: None,
            touched: BTreeSet::new(),
            changes: Vec::new(),
            heaps: Vec::new(),
            restarted: Vec::new(),
            deferred: Vec::new(),
            serializable: None,
            constraints_deferred: None,
            deferred_by_name: BTreeMap::new(),
        }
    }

    fn assign(state: &mut State, pid: Pid, locks: &mut Vec<(Tag, Mode)>) -> Xid {
        let xid = state.clog.begin();
        let tag = Tag::Transaction(xid);
        state.locks.get_mut().try_acquire(pid, tag, Mode::Exclusive);
        locks.push((tag, Mode::Exclusive));
        xid
    }

    /// The id that the innermost savepoint writes under.
    pub(crate) fn write_xid(&mut self, state: &mut State, pid: Pid) -> Xid {
        if self.xids.is_empty() {
            // The top id outlives every savepoint, so its lock goes below theirs.
            let mut lock = Vec::new();
            let xid = Self::assign(state, pid, &mut lock);
            self.xids.push(xid);
            self.locks.splice(0..0, lock);
            for savepoint in &mut self.savepoints {
                savepoint.locks += 1;
            }
        }
        match self.savepoints.last() {
            None => self.xids[0],
            Some(Savepoint { xid: Some(xid), .. }) => *xid,
            Some(_) => {
                let xid = Self::assign(state, pid, &mut self.locks);
                self.xids.push(xid);
                if let Some(savepoint) = self.savepoints.last_mut() {
                    savepoint.xid = Some(xid);
                }
                xid
            }
        }
    }

    /// The catalog as this transaction sees it.
    pub(crate) fn catalog(&mut self, state: &State) -> Arc<Catalog> {
        match (&self.catalog, &self.base) {
            (Some(own), Some(base)) if Arc::ptr_eq(base, &state.catalog) => own.clone(),
            (Some(own), _) => {
                let mut merged = (*state.catalog).clone();
                merged.merge(own, &self.touched);
                let merged = Arc::new(merged);
                self.base = Some(state.catalog.clone());
                self.catalog = Some(merged.clone());
                merged
            }
            (None, _) => state.catalog.clone(),
        }
    }

    /// Puts a changed catalog in place.
    pub(crate) fn set_catalog(
        &mut self,
        state: &State,
        catalog: Catalog,
        touched: impl IntoIterator<Item = Touched>,
    ) {
        self.base = Some(state.catalog.clone());
        self.catalog = Some(Arc::new(catalog));
        self.touched.extend(touched);
    }

    /// SAVEPOINT.
    pub(crate) fn push_savepoint(&mut self, name: &str, advisory: usize) {
        self.savepoints.push(Savepoint {
            name: name.to_string(),
            xid: None,
            locks: self.locks.len(),
            advisory,
            deferred: self.deferred.len(),
            catalog: self.catalog.clone(),
            touched: self.touched.clone(),
            heaps: self.heaps.len(),
        });
    }

    /// The savepoint with this name, innermost first.
    pub(crate) fn find_savepoint(&self, name: &str) -> Option<usize> {
        self.savepoints.iter().rposition(|s| s.name == name)
    }

    /// RELEASE: the savepoint and all inside it become part of what is around.
    pub(crate) fn release(&mut self, at: usize) {
        self.savepoints.truncate(at);
    }

    /// Undoes everything since a savepoint and forgets it. Answers how many advisory locks stay.
    pub(crate) fn undo(&mut self, state: &mut State, pid: Pid, at: usize) -> usize {
        let first = self.savepoints[at].locks;
        let dead: Vec<Xid> = self.savepoints[at..].iter().filter_map(|s| s.xid).collect();
        // Ids of savepoints released inside this one are dead too: they came after its own first lock.
        let inner: Vec<Xid> = self.locks[first.min(self.locks.len())..]
            .iter()
            .filter_map(|(tag, _)| {
                if let Tag::Transaction(xid) = tag {
                    Some(*xid)
                } else {
                    None
                }
            })
            .collect();
        let dead: BTreeSet<Xid> = dead.into_iter().chain(inner).collect();
        self.discard(state, &dead);
        self.xids.retain(|x| !dead.contains(x));
        for (tag, mode) in self.locks.drain(first..).rev() {
            state.locks.get_mut().release(pid, tag, mode);
        }
        let savepoint = &mut self.savepoints[at];
        self.deferred.truncate(savepoint.deferred);
        self.catalog = savepoint.catalog.take();
        self.base = None;
        self.touched = std::mem::take(&mut savepoint.touched);
        let advisory = savepoint.advisory;
        for (_, heap) in self.heaps.drain(savepoint.heaps..) {
            state.heaps.remove(&heap);
        }
        self.savepoints.truncate(at);
        if self.catalog.is_some() {
            // Forces a merge with what is committed when the catalog is next looked at.
            self.base = Some(Arc::new(Catalog::clone(&state.catalog)));
        }
        advisory
    }

    fn discard(&mut self, state: &mut State, dead: &BTreeSet<Xid>) {
        let ids: Vec<Xid> = dead.iter().copied().collect();
        state.clog.abort(&ids);
        let changes = std::mem::take(&mut self.changes);
        for (xid, change) in changes {
            match change {
                Change::Insert { heap, tid, .. } if dead.contains(&xid) => state.remove_tuple(heap, tid),
                _ if dead.contains(&xid) => {}
                change => self.changes.push((xid, change)),
            }
        }
        while let Some(restarted) = self.restarted.pop_if(|restarted| dead.contains(&restarted.xid)) {
            state.place_sequence(restarted.sequence, restarted.before);
        }
    }

    /// Makes everything permanent and visible, and releases the locks.
    pub(crate) fn commit(mut self, state: &mut State, pid: Pid, at: i64) {
        let wrote = !self.xids.is_empty();
        if wrote {
            let csn = state.clog.commit(&self.xids);
            let mut sequences = std::mem::take(state.advanced.get_mut());
            let catalog = if self.touched.is_empty() {
                None
            } else {
                let own = self.catalog(state);
                self.drop_storage(state, &own);
                sequences.retain(|oid, _| own.sequence(*oid).is_some());
                state.catalog = own.clone();
                Some(own)
            };
            let mut changes = Vec::with_capacity(self.changes.len());
            for (_, change) in self.changes.drain(..) {
                if let Change::Delete { heap, tid, .. } = &change {
                    state.bury(csn, *heap, *tid);
                }
                changes.push(change);
            }
            if let Some(sx) = self.serializable {
                state.ssi.get_mut().committed(sx, csn);
            }
            state.log.append(Record {
                from: 0,
                lsn: 0,
                xid: self.xids[0],
                at,
                changes,
                catalog,
                sequences,
            });
        } else if let Some(sx) = self.serializable {
            let csn = state.clog.csn;
            state.ssi.get_mut().committed(sx, csn);
        }
        self.release_all(state, pid);
        state.vacuum();
    }

    /// Heaps and sequences that no table of the new catalog uses any more.
    fn drop_storage(&self, state: &mut State, new: &Catalog) {
        for item in &self.touched {
            let Touched::Relation(oid) = item else { continue };
            let old: Option<HeapId> = state.catalog.table(*oid).map(|t| t.heap);
            let now = new.table(*oid).map(|t| t.heap);
            if let Some(heap) = old
                && now != Some(heap)
            {
                state.heaps.remove(&heap);
            }
            if let Some(table) = new.table(*oid)
                && let Some(heap) = state.heaps.get_mut(&table.heap)
            {
                let wanted: BTreeSet<Oid> = table.indexes.iter().map(|i| i.oid).collect();
                heap.indexes.retain(|oid, _| wanted.contains(oid));
            }
            if state.catalog.sequence(*oid).is_some() && new.sequence(*oid).is_none() {
                state.sequences.get_mut().remove(oid);
            }
        }
        for (_, heap) in &self.heaps {
            if !new.tables().any(|t| t.heap == *heap) {
                state.heaps.remove(heap);
            }
        }
    }

    /// Undoes everything and releases the locks.
    pub(crate) fn abort(mut self, state: &mut State, pid: Pid) {
        let dead: BTreeSet<Xid> = self.xids.iter().copied().collect();
        self.discard(state, &dead);
        for (_, heap) in self.heaps.drain(..) {
            state.heaps.remove(&heap);
        }
        if let Some(catalog) = &self.catalog {
            for item in &self.touched {
                let Touched::Relation(oid) = item else { continue };
                // Entries of an index that was being added to a table that stays.
                if let (Some(new), Some(old)) = (catalog.table(*oid), state.catalog.table(*oid))
                    && new.heap == old.heap
                    && let Some(heap) = state.heaps.get_mut(&old.heap)
                {
                    let wanted: BTreeSet<Oid> = old.indexes.iter().map(|i| i.oid).collect();
                    heap.indexes.retain(|oid, _| wanted.contains(oid));
                }
                if state.catalog.sequence(*oid).is_none() {
                    state.sequences.get_mut().remove(oid);
                }
            }
        }
        if let Some(sx) = self.serializable {
            state.ssi.get_mut().aborted(sx);
        }
        self.release_all(state, pid);
        state.vacuum();
    }

    /// Forgets a transaction whose work went with the state that it was done in.
    pub(crate) fn abandon(mut self, state: &mut State, pid: Pid) {
        self.release_all(state, pid);
    }

    fn release_all(&mut self, state: &mut State, pid: Pid) {
        if let Some(backend) = state.backends.get_mut(&pid) {
            backend.oldest = None;
        }
        for (tag, mode) in self.locks.drain(..).rev() {
            state.locks.get_mut().release(pid, tag, mode);
        }
    }
}
