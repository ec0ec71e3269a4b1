//! Rewriting a table into a new heap, as TRUNCATE, ALTER TYPE and computed defaults of new columns do.

use std::collections::BTreeSet;

use crate::aws::aurora::catalog::{IndexDef, Table};
use crate::aws::aurora::error::{Error, Result, code};
use crate::aws::aurora::session::Session;
use crate::aws::aurora::state::index_key;
use crate::aws::aurora::storage::Row;
use crate::aws::aurora::storage::log::Change;
use crate::aws::aurora::types::{Key, Value};

impl Session {
    /// Gives a table a new heap with these rows. Snapshots taken before see the table empty, as in PostgreSQL.
    pub(super) fn rewrite(&mut self, table: &mut Table, rows: Vec<Vec<Value>>) -> Result<()> {
        {
            let engine = self.engine.clone();
            let mut state = engine.state();
            let xid = self.write_xid(&mut state);
            table.heap = state.new_heap();
            self.txn().heaps.push((xid, table.heap));
            for index in &table.indexes {
                state.build_index(table.heap, index)?;
            }
        }
        self.fill_heap(table, rows)?;
        for index in &table.indexes {
            self.refuse_duplicates(table, index)?;
        }
        Ok(())
    }

    /// Writes rows without the checks of INSERT.
    pub(super) fn fill_heap(&mut self, table: &Table, rows: Vec<Vec<Value>>) -> Result<()> {
        let engine = self.engine.clone();
        let mut state = engine.state();
        let xid = self.write_xid(&mut state);
        let cid = self.txn().cid;
        for row in rows {
            let row: Row = row.into();
            let tid = state.insert_tuple(table, row.clone(), xid, cid)?;
            let heap = table.heap;
            self.txn().changes.push((xid, Change::Insert { heap, tid, row }));
        }
        Ok(())
    }

    /// 23505 when two rows there now have one key of a unique index.
    pub(super) fn refuse_duplicates(&mut self, table: &Table, def: &IndexDef) -> Result<()> {
        if !def.unique {
            return Ok(());
        }
        let mut seen = BTreeSet::new();
        for row in self.rows_now(table) {
            let Some(key) = index_key(&def.parts, def.predicate.as_ref().map(|p| &p.0), &row)? else {
                continue;
            };
            let distinct = !def.nulls_equal && key.iter().any(Value::is_null);
            if !distinct && !seen.insert(Key(key)) {
                return Err(Error::new(
                    code::UNIQUE_VIOLATION,
                    format!("could not create unique index \"{}\"", def.name),
                )
                .table(&table.schema, &table.name)
                .constraint(&def.name));
            }
        }
        Ok(())
    }
}
