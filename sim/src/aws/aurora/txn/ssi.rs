//! Serializable snapshot isolation: reads leave marks, a write over someone's mark (or a read past someone's write)
//! is an rw-antidependency, and a transaction with one in and one out, whose out committed first, is dangerous.
//!
//! Marks are heaps, index key ranges and tuples, precise where PostgreSQL rounds to pages, so there are fewer false
//! positives. Not modelled: the safe snapshots of DEFERRABLE read-only transactions, and summarising old
//! transactions; their marks are kept for as long as anyone concurrent runs.

use std::collections::{BTreeMap, BTreeSet};

use super::{Clog, Csn, Outcome, View, Xid};
use crate::aws::aurora::catalog::Oid;
use crate::aws::aurora::error::{Error, Result, code};
use crate::aws::aurora::storage::{HeapId, Tid, Tuple};
use crate::aws::aurora::types::{Value, compare};

/// A serializable transaction's handle.
pub(crate) type SxId = u64;
/// One end of a key range: values, a prefix of the key, and whether they belong to it.
pub(crate) type Edge = (Vec<Value>, bool);

/// What was read.
#[derive(Clone, Debug)]
pub(crate) enum Read {
    /// A whole heap.
    Heap(HeapId),
    /// A key range of an index.
    Range(HeapId, Oid, Edge, Edge),
    /// One tuple.
    Tuple(HeapId, Tid),
}

#[derive(Debug, Default)]
struct Sx {
    snapshot: Csn,
    committed: Option<Csn>,
    doomed: bool,
    wrote: bool,
    /// Who wrote what this one read as it was before.
    out: BTreeSet<SxId>,
    /// Who read as it was before what this one wrote.
    within: BTreeSet<SxId>,
    heaps: BTreeSet<HeapId>,
    tuples: BTreeSet<(HeapId, Tid)>,
    ranges: Vec<(HeapId, Oid, Edge, Edge)>,
}

/// Bookkeeping of all serializable transactions that still matter.
#[derive(Debug, Default)]
pub(crate) struct Ssi {
    all: BTreeMap<SxId, Sx>,
    writers: BTreeMap<Xid, SxId>,
    next: SxId,
}

fn failure(reason: &str) -> Box<Error> {
    Error::new(
        code::SERIALIZATION_FAILURE,
        "could not serialize access due to read/write dependencies among transactions",
    )
    .detail(format!("Reason code: Canceled on {reason}."))
    .hint("The transaction might succeed if retried.")
}

fn within(key: &[Value], low: &Edge, high: &Edge) -> bool {
    let side = |edge: &Edge, below: bool| {
        for (k, e) in key.iter().zip(&edge.0) {
            let order = compare(k, e);
            if order.is_ne() {
                return if below { order.is_gt() } else { order.is_lt() };
            }
        }
        edge.1
    };
    side(low, true) && side(high, false)
}

impl Ssi {
    /// Starts a transaction with this snapshot.
    pub(crate) fn begin(&mut self, snapshot: Csn) -> SxId {
        self.next += 1;
        self.all.insert(
            self.next,
            Sx {
                snapshot,
                ..Sx::default()
            },
        );
        self.next
    }

    /// Ties an id to its transaction, so that readers of its versions can tell whose they are.
    pub(crate) fn owns(&mut self, sx: SxId, xid: Xid) {
        self.writers.insert(xid, sx);
    }

    /// Marks something as read.
    pub(crate) fn read(&mut self, sx: SxId, read: Read) {
        let Some(me) = self.all.get_mut(&sx) else { return };
        match read {
            Read::Heap(heap) => _ = me.heaps.insert(heap),
            Read::Tuple(heap, tid) => _ = me.tuples.insert((heap, tid)),
            Read::Range(heap, ..) if me.heaps.contains(&heap) => {}
            Read::Range(heap, index, low, high) => me.ranges.push((heap, index, low, high)),
        }
    }

    /// A version met while reading: if a concurrent transaction made or ended it, this one reads the past.
    pub(crate) fn saw(&mut self, sx: SxId, t: &Tuple, view: &View, clog: &Clog) -> Result<()> {
        for xid in [t.xmin, t.xmax] {
            if xid == 0 || view.mine(xid) {
                continue;
            }
            let concurrent = match clog.outcome(xid) {
                Outcome::InProgress => true,
                Outcome::Committed(csn) => csn > view.csn,
                Outcome::Aborted => false,
            };
            if concurrent && let Some(writer) = self.writers.get(&xid).copied() {
                self.edge(sx, writer, sx)?;
            }
        }
        Ok(())
    }

    /// A write into a heap meets those who read all of it.
    pub(crate) fn wrote_heap(&mut self, sx: Option<SxId>, heap: HeapId) -> Result<()> {
        self.wrote(sx, |reader| reader.heaps.contains(&heap))
    }

    /// A write of a tuple meets those who read it.
    pub(crate) fn wrote_tuple(&mut self, sx: Option<SxId>, heap: HeapId, tid: Tid) -> Result<()> {
        self.wrote(sx, |reader| reader.tuples.contains(&(heap, tid)))
    }

    /// A key entering or leaving an index meets those who read a range around it.
    pub(crate) fn wrote_key(
        &mut self,
        sx: Option<SxId>,
        heap: HeapId,
        index: Oid,
        key: &[Value],
    ) -> Result<()> {
        self.wrote(sx, |reader| {
            reader
                .ranges
                .iter()
                .any(|(h, i, low, high)| *h == heap && *i == index && within(key, low, high))
        })
    }

    /// A unique key is taken that `from` gave up. If that was concurrent, `from` comes before: in the snapshot of this one
    /// the key is still held, and whoever read it there comes before `from`.
    pub(crate) fn took_key(&mut self, sx: Option<SxId>, from: Xid) -> Result<()> {
        let (Some(sx), Some(before)) = (sx, self.writers.get(&from).copied()) else {
            return Ok(());
        };
        let snapshot = self.all.get(&sx).map_or(0, |me| me.snapshot);
        let committed = self.all.get(&before).and_then(|other| other.committed);
        if committed.is_none_or(|at| at <= snapshot) {
            return Ok(());
        }
        self.edge(before, sx, sx)
    }

    fn wrote(&mut self, sx: Option<SxId>, reads: impl Fn(&Sx) -> bool) -> Result<()> {
        let Some(sx) = sx else { return Ok(()) };
        let Some(me) = self.all.get_mut(&sx) else {
            return Ok(());
        };
        me.wrote = true;
        let snapshot = me.snapshot;
        let readers: Vec<SxId> = self
            .all
            .iter()
            .filter(|(id, r)| **id != sx && r.committed.is_none_or(|c| c > snapshot) && reads(r))
            .map(|(id, _)| *id)
            .collect();
        for reader in readers {
            self.edge(reader, sx, sx)?;
        }
        Ok(())
    }

    /// Adds reader -> writer, and fails or dooms someone if that makes a dangerous structure. `actor` is who runs.
    fn edge(&mut self, reader: SxId, writer: SxId, actor: SxId) -> Result<()> {
        let alive = |s: Option<&Sx>| s.is_some_and(|s| !s.doomed);
        if reader == writer || !alive(self.all.get(&reader)) || !alive(self.all.get(&writer)) {
            return self.check_doomed(actor);
        }
        if let Some(r) = self.all.get_mut(&reader) {
            r.out.insert(writer);
        }
        if let Some(w) = self.all.get_mut(&writer) {
            w.within.insert(reader);
        }
        // The writer as pivot: reader -> writer -> third, third committed first.
        if let Some(w) = self.all.get(&writer) {
            let third = w.out.iter().any(|t| self.first(*t, writer, reader));
            if third {
                return self.kill(writer, reader, actor);
            }
        }
        // The reader as pivot: third -> reader -> writer, writer committed first.
        if let Some(w) = self.all.get(&writer).and_then(|w| w.committed) {
            let thirds: Vec<SxId> = self
                .all
                .get(&reader)
                .map(|r| r.within.iter().copied().collect())
                .unwrap_or_default();
            for third in thirds {
                let later = self.all.get(&third).is_some_and(|t| {
                    !t.doomed
                        // Equal when the third is the writer itself: two transactions in a circle.
                        && t.committed.is_none_or(|c| c >= w)
                        && (t.wrote || t.snapshot >= w || t.committed.is_none())
                });
                if later {
                    return self.kill(reader, third, actor);
                }
            }
        }
        Ok(())
    }

    /// Whether `third` committed before both others.
    fn first(&self, third: SxId, pivot: SxId, reader: SxId) -> bool {
        let Some(c) = self.all.get(&third).and_then(|t| t.committed) else {
            return false;
        };
        let after = |id: SxId| {
            self.all
                .get(&id)
                .is_some_and(|s| s.committed.is_none_or(|o| o >= c))
        };
        after(pivot) && after(reader)
    }

    /// Picks the victim: the pivot unless it has committed, then the reader.
    fn kill(&mut self, pivot: SxId, reader: SxId, actor: SxId) -> Result<()> {
        let victim = match self.all.get(&pivot) {
            Some(p) if p.committed.is_none() => pivot,
            _ => reader,
        };
        if let Some(v) = self.all.get_mut(&victim)
            && v.committed.is_none()
        {
            v.doomed = true;
        }
        self.check_doomed(actor)
    }

    fn check_doomed(&self, actor: SxId) -> Result<()> {
        if self.all.get(&actor).is_some_and(|s| s.doomed) {
            return Err(failure("identification as a pivot, during conflict out checking"));
        }
        Ok(())
    }

    /// Before a commit: fails if this one is doomed; dooms a pivot that this commit makes dangerous.
    pub(crate) fn precommit(&mut self, sx: SxId) -> Result<()> {
        let Some(me) = self.all.get(&sx) else {
            return Ok(());
        };
        if me.doomed {
            return Err(failure("identification as a pivot, during commit attempt"));
        }
        // far -> near -> me, and I am about to commit first: near must not commit.
        let nears: Vec<SxId> = me.within.iter().copied().collect();
        for near in nears {
            let Some(n) = self.all.get(&near) else { continue };
            if n.committed.is_some() || n.doomed {
                continue;
            }
            let far = n.within.iter().any(|f| {
                *f == sx
                    || self
                        .all
                        .get(f)
                        .is_some_and(|f| f.committed.is_none() && !f.doomed)
            });
            if far && let Some(n) = self.all.get_mut(&near) {
                n.doomed = true;
            }
        }
        Ok(())
    }

    /// After a commit.
    pub(crate) fn committed(&mut self, sx: SxId, csn: Csn) {
        if let Some(me) = self.all.get_mut(&sx) {
            me.committed = Some(csn);
        }
        self.forget();
    }

    /// After an abort: its edges never were.
    pub(crate) fn aborted(&mut self, sx: SxId) {
        self.all.remove(&sx);
        self.writers.retain(|_, owner| *owner != sx);
        for other in self.all.values_mut() {
            other.out.remove(&sx);
            other.within.remove(&sx);
        }
        self.forget();
    }

    /// Drops committed transactions that nobody running is concurrent with.
    fn forget(&mut self) {
        let oldest = self
            .all
            .values()
            .filter(|s| s.committed.is_none())
            .map(|s| s.snapshot)
            .min();
        let gone: Vec<SxId> = self
            .all
            .iter()
            .filter(|(_, s)| s.committed.is_some_and(|c| oldest.is_none_or(|o| c <= o)))
            .map(|(id, _)| *id)
            .collect();
        for id in &gone {
            self.all.remove(id);
        }
        if !gone.is_empty() {
            self.writers.retain(|_, owner| !gone.contains(owner));
        }
    }
}
