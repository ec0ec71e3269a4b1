//! An instance's state made from its volume, and kept in step with a writer elsewhere.

use super::catalog::{Catalog, FIRST_OID, Oid};
use super::error::Result;
use super::state::{State, index_key};
use super::storage::log::{Change, Log, Record};
use super::storage::volume::Image;
use super::storage::{Heap, HeapId, Row, Tid, Volume};
use super::txn::{Clog, Xid};

/// How far sequences jump when an instance starts: PostgreSQL logs so many values ahead.
const SEQUENCE_VALUES_AHEAD: i64 = 32;

impl State {
    /// The state of an instance that starts on a volume.
    ///
    /// # Errors
    /// An index whose expression fails on a row that the writer let in.
    pub(super) fn recovered(volume: &Volume) -> Result<State> {
        let image = volume.image();
        let mut state = State::new(
            (*image.catalog).clone(),
            Log::new(image.lsn, Some(volume.clone())),
        );
        state.clog = Clog::from(image.xid + 1);
        let oids = image.catalog.objects.keys().copied();
        let schemas = image.catalog.schemas.values().map(|schema| schema.oid);
        let roles = image.catalog.roles.values().map(|role| role.oid);
        let last: Oid = oids.chain(schemas).chain(roles).max().unwrap_or_default();
        let heap = image.heaps.keys().next_back().copied().unwrap_or_default();
        state.number_from((last + 1).max(FIRST_OID), heap + 1);
        for (id, stored) in &image.heaps {
            let mut heap = Heap::after(stored.last);
            for (tid, row) in &stored.rows {
                heap.place(*tid, row.clone(), Clog::BOOTSTRAP, 0);
            }
            state.heaps.insert(*id, heap);
        }
        state.build_missing_indexes()?;
        state.restore_sequences(&image);
        Ok(state)
    }

    fn restore_sequences(&mut self, image: &Image) {
        for (oid, (at, called)) in &image.sequences {
            let Some(def) = image.catalog.sequence(*oid) else {
                continue;
            };
            let ahead = def.increment.saturating_mul(SEQUENCE_VALUES_AHEAD);
            let at = match called {
                true => at.saturating_add(ahead).clamp(def.min, def.max),
                false => *at,
            };
            self.sequences.get_mut().insert(*oid, (at, *called));
        }
    }

    /// Makes one of the writer's transactions visible here.
    ///
    /// # Errors
    /// As [`State::recovered`].
    pub(super) fn apply(&mut self, record: &Record) -> Result<()> {
        if let Some(catalog) = &record.catalog {
            for table in catalog.tables() {
                self.heaps.entry(table.heap).or_default();
            }
            self.catalog = catalog.clone();
        }
        let csn = self.clog.replay(record.xid);
        for change in &record.changes {
            match change {
                Change::Insert { heap, tid, row } => self.place_tuple(*heap, *tid, row, record.xid)?,
                Change::Delete { heap, tid, next } => {
                    let tuple = self.heaps.get_mut(heap).and_then(|heap| heap.get_mut(*tid));
                    if let Some(tuple) = tuple {
                        (tuple.xmax, tuple.next) = (record.xid, *next);
                        self.bury(csn, *heap, *tid);
                    }
                }
            }
        }
        if let Some(catalog) = &record.catalog {
            // New indexes come last: what this transaction inserted before it made them belongs in them too.
            self.drop_unused(catalog);
            self.build_missing_indexes()?;
        }
        self.sequences.get_mut().extend(&record.sequences);
        self.log.follow(record);
        self.vacuum();
        Ok(())
    }

    fn place_tuple(&mut self, heap: HeapId, tid: Tid, row: &Row, xid: Xid) -> Result<()> {
        // Heaps of temporary tables are not here.
        let Some(heap) = self.heaps.get_mut(&heap) else {
            return Ok(());
        };
        heap.place(tid, row.clone(), xid, 0);
        for index in heap.indexes.values_mut() {
            if let Some(key) = index_key(&index.parts, index.predicate.as_ref(), row)? {
                index.insert(key, tid);
            }
        }
        Ok(())
    }

    fn drop_unused(&mut self, catalog: &Catalog) {
        let mut used = std::collections::BTreeMap::new();
        for table in catalog.tables() {
            let indexes: Vec<Oid> = table.indexes.iter().map(|index| index.oid).collect();
            used.insert(table.heap, indexes);
        }
        self.heaps.retain(|heap, _| used.contains_key(heap));
        for (id, heap) in &mut self.heaps {
            heap.indexes
                .retain(|oid, _| used.get(id).is_some_and(|used| used.contains(oid)));
        }
        self.sequences
            .get_mut()
            .retain(|oid, _| catalog.sequence(*oid).is_some());
    }

    fn build_missing_indexes(&mut self) -> Result<()> {
        let catalog = self.catalog.clone();
        for table in catalog.tables() {
            let missing: Vec<_> = table
                .columns
                .iter()
                .map(|column| column.missing.clone())
                .collect();
            for index in &table.indexes {
                let built = self.heaps.get(&table.heap);
                if built.is_some_and(|heap| !heap.indexes.contains_key(&index.oid)) {
                    self.build_index_padded(table.heap, index, &missing)?;
                }
            }
        }
        Ok(())
    }
}
