//! UPDATE and DELETE.

use std::sync::Arc;

use super::Rows;
use super::constraint::Event;
use super::eval::{Env, all_hold};
use super::node::{self, Flat};
use super::query::targets;
use super::rows::{Locked, Target};
use super::statement::{Running, find_scan};
use crate::aws::aurora::catalog::Table;
use crate::aws::aurora::error::Result;
use crate::aws::aurora::sql::plan::{Delete, Select, Update};
use crate::aws::aurora::state::State;
use crate::aws::aurora::storage::log::Change;
use crate::aws::aurora::storage::{Row, RowLock, Tid};
use crate::aws::aurora::types::compare;

impl Running<'_> {
    pub(super) async fn update(&mut self, u: &Update) -> Result<(Rows, usize)> {
        let flats = self.with_waits(|ctx| targets(ctx, &u.select)).await?;
        let keys = u.table.key_columns();
        let mut returned = Vec::new();
        let mut touched = 0;
        for flat in flats {
            // What the row would become is computed and checked before anyone is waited for, and again if it has changed
            // by then.
            let asked = flat.tids.first().copied();
            let (mut old, mut new) = self.proposed(u, &flat)?;
            let lock = if keys.iter().any(|k| compare(&old[*k], &new[*k]).is_ne()) {
                RowLock::Update
            } else {
                RowLock::NoKeyUpdate
            };
            let Some((mut flat, tid)) = self.claim(&u.table, &u.select, flat, lock).await? else {
                continue;
            };
            if asked != Some(tid) {
                (old, new) = self.proposed(u, &flat)?;
            }
            self.replace(&u.table, tid, old, new.clone()).await?;
            touched += 1;
            if let Some(returning) = &u.returning {
                flat.row[..new.len()].clone_from_slice(&new);
                returned.push(self.returned(returning, &flat.row)?);
            }
        }
        Ok((returned, touched))
    }

    /// The row as it is and as it would become, which is found in order.
    fn proposed(&mut self, u: &Update, flat: &Flat) -> Result<(Row, Row)> {
        let old: Row = flat.row[..u.table.columns.len()].into();
        let new = self.assigned(&u.table, &u.set, &old, &flat.row)?;
        self.check_row(&u.table, &new, &u.check)?;
        Ok((old, new))
    }

    pub(super) async fn delete(&mut self, d: &Delete) -> Result<(Rows, usize)> {
        let flats = self.with_waits(|ctx| targets(ctx, &d.select)).await?;
        let mut returned = Vec::new();
        let mut touched = 0;
        for flat in flats {
            let Some((flat, tid)) = self.claim(&d.table, &d.select, flat, RowLock::Update).await? else {
                continue;
            };
            let old: Row = flat.row[..d.table.columns.len()].into();
            self.end_version(&d.table, tid, RowLock::Update)?;
            self.events.push(Event::Deleted {
                table: d.table.oid,
                row: old,
            });
            touched += 1;
            if let Some(returning) = &d.returning {
                returned.push(self.returned(returning, &flat.row)?);
            }
        }
        Ok((returned, touched))
    }

    /// Waits for the right to change the target row of a flat row. If the row changed meanwhile, the conditions are
    /// checked again on its newest version; None when they no longer hold.
    async fn claim(
        &mut self,
        table: &Table,
        select: &Select,
        flat: Flat,
        lock: RowLock,
    ) -> Result<Option<(Flat, Tid)>> {
        let mut flat = flat;
        let Some(scan) = find_scan(&select.from, 0) else {
            return Ok(None);
        };
        let asked = flat.tids.first().copied().unwrap_or(0);
        let target = Target {
            heap: table.heap,
            tid: asked,
            lock,
            name: &table.name,
        };
        let Locked::Held { tid } = self.claim_row(target).await? else {
            return Ok(None);
        };
        if tid == asked {
            return Ok(Some((flat, tid)));
        }
        let Some(row) = self.tuple_row(table, tid)? else {
            return Ok(None);
        };
        node::fill(&mut flat, scan, tid, &row);
        let holds = self.with(|ctx| {
            Ok(node::recheck(ctx, &select.from, &mut flat)?
                && all_hold(ctx, &select.filter, &Env::of(&flat.row))?)
        })?;
        Ok(holds.then_some((flat, tid)))
    }

    /// Marks a version as ended by this command, so far without a successor.
    pub(super) fn end_version(&mut self, table: &Table, tid: Tid, lock: RowLock) -> Result<()> {
        let engine = self.session.engine.clone();
        let mut state = engine.state();
        let xid = self.session.write_xid(&mut state);
        let cid = self.view.cid;
        let serializable = self.session.txn().serializable;
        let State { clog, heaps, .. } = &mut *state;
        if let Some(tuple) = heaps.get_mut(&table.heap).and_then(|h| h.get_mut(tid)) {
            let own = &self.session.txn().xids;
            let held = tuple
                .lockers
                .iter()
                .filter(|(x, _)| own.contains(x) && clog.running(*x));
            tuple.xmax = xid;
            tuple.cmax = cid;
            // A stronger lock of the same transaction makes its update as strong.
            tuple.xmax_lock = held.map(|(_, held)| *held).fold(lock, RowLock::max);
            tuple.next = 0;
        }
        let row = state
            .heaps
            .get(&table.heap)
            .and_then(|h| h.get(tid))
            .map(|t| t.row.clone());
        if let Some(row) = row {
            super::constraint::note_write(&mut state, serializable, table, tid, &row)?;
        }
        self.session.txn().changes.push((
            xid,
            Change::Delete {
                heap: table.heap,
                tid,
                next: 0,
            },
        ));
        Ok(())
    }

    /// Replaces a claimed version by a new one.
    pub(super) async fn replace(&mut self, table: &Arc<Table>, tid: Tid, old: Row, new: Row) -> Result<()> {
        let keys = table.key_columns();
        let changed = keys.iter().any(|k| compare(&old[*k], &new[*k]).is_ne());
        let lock = if changed {
            RowLock::Update
        } else {
            RowLock::NoKeyUpdate
        };
        // The old version ends before the new one enters the indexes, so that the row does not conflict with itself.
        self.end_version(table, tid, lock)?;
        let next = self.write_new(table, new, Some((tid, old))).await?;
        let engine = self.session.engine.clone();
        let mut state = engine.state();
        let State { clog, heaps, .. } = &mut *state;
        if let Some(heap) = heaps.get_mut(&table.heap) {
            let mut carried = Vec::new();
            if let Some(tuple) = heap.get_mut(tid) {
                tuple.next = next;
                carried.clone_from(&tuple.lockers);
                tuple.lockers.retain(|(xid, _)| clog.running(*xid));
            }
            // Locks that do not conflict with the update, KEY SHARE that is, hold on the new version too.
            if let Some(tuple) = heap.get_mut(next) {
                tuple.lockers.extend(carried);
            }
        }
        for (_, change) in self.session.txn().changes.iter_mut().rev() {
            if let Change::Delete {
                heap,
                tid: ended,
                next: n,
            } = change
                && *heap == table.heap
                && *ended == tid
            {
                *n = next;
                break;
            }
        }
        Ok(())
    }
}
