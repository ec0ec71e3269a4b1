//! What a failover left behind: the transactions that only the old writer has, readable row by row.

use std::collections::BTreeMap;
use std::time::SystemTime;

use serde::Serialize;

use crate::aws::aurora::catalog::{Catalog, Table};
use crate::aws::aurora::storage::log::{Change, Log, Lsn};
use crate::aws::aurora::storage::{HeapId, Row, Tid, Volume};
use crate::aws::aurora::types::{encode_text, instant};

/// What became of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum RowChange {
    /// Inserted, or what an update made of it.
    Inserted,
    /// Deleted, or what it was before an update.
    Deleted,
}

/// One row of a lost transaction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LostRow {
    /// `SCHEMA.TABLE`.
    pub table: String,
    /// What became of it.
    pub change: RowChange,
    /// Its values by column, as text; none is NULL.
    pub values: BTreeMap<String, Option<String>>,
}

/// A transaction that was committed and is not part of the database any more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LostTransaction {
    /// The Region that committed it.
    pub region: String,
    /// Its position in the old writer's log.
    pub lsn: u64,
    /// When it committed, by that Region's clock.
    pub committed_at: SystemTime,
    /// What it changed, in order.
    pub rows: Vec<LostRow>,
}

/// The lost tail of an old writer, kept aside when it was reached again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Snapshot {
    /// Its name, as AWS gives it: `rds:unplanned-global-failover-CLUSTER-NUMBER`.
    pub identifier: String,
    /// The Region of the old writer.
    pub region: String,
    /// What it holds beyond the fork.
    pub transactions: Vec<LostTransaction>,
}

/// The transactions of a volume after a position.
pub(super) fn tail(region: &str, volume: &Volume, after: Lsn) -> Vec<LostTransaction> {
    let mut catalog = volume.catalog_at(after);
    let mut written: BTreeMap<(HeapId, Tid), Row> = BTreeMap::new();
    let mut lost = Vec::new();
    for record in volume.after(Log::START) {
        if record.lsn <= after {
            let inserted = record.changes.iter().filter_map(Change::inserted);
            written.extend(inserted.map(|(heap, tid, row)| ((heap, tid), row.clone())));
            continue;
        }
        if let Some(changed) = &record.catalog {
            catalog = changed.clone();
        }
        let mut rows = Vec::new();
        for change in &record.changes {
            let (heap, change, row) = match change {
                Change::Insert { heap, tid, row } => {
                    written.insert((*heap, *tid), row.clone());
                    (heap, RowChange::Inserted, Some(row.clone()))
                }
                Change::Delete { heap, tid, .. } => {
                    let place = (*heap, *tid);
                    let row = written.get(&place).cloned();
                    (heap, RowChange::Deleted, row.or_else(|| volume.stored(place)))
                }
            };
            if let Some(table) = table_of(&catalog, *heap) {
                rows.push(LostRow {
                    table: format!("{}.{}", table.schema, table.name),
                    change,
                    values: row.map(|row| values(table, &row)).unwrap_or_default(),
                });
            }
        }
        lost.push(LostTransaction {
            region: region.to_owned(),
            lsn: record.lsn,
            committed_at: instant(record.at),
            rows,
        });
    }
    lost
}

fn table_of(catalog: &Catalog, heap: HeapId) -> Option<&Table> {
    catalog
        .tables()
        .find(|table| table.heap == heap)
        .map(|table| &**table)
}

fn values(table: &Table, row: &Row) -> BTreeMap<String, Option<String>> {
    let padded = table.padded(row);
    let columns = table.live().map(|(at, column)| {
        let value = padded.get(at).filter(|value| !value.is_null()).map(|value| {
            let mut text = String::new();
            encode_text(value, &mut text);
            text
        });
        (column.name.clone(), value)
    });
    columns.collect()
}
