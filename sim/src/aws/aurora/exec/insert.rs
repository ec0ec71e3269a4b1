//! INSERT and ON CONFLICT.

use std::sync::Arc;

use super::constraint::{Event, Unique, note_takeover, unique_conflict};
use super::eval::{Env, holds};
use super::rows::{Locked, Target, serialization_failure};
use super::statement::Running;
use super::{Rows, eval_row, run};
use crate::aws::aurora::catalog::Table;
use crate::aws::aurora::error::{Error, Result, code, fail};
use crate::aws::aurora::session::transaction::Isolation;
use crate::aws::aurora::sql::expr::Expr;
use crate::aws::aurora::sql::plan::{Body, Conflict, ConflictUpdate, Insert, Returning, WithCheck};
use crate::aws::aurora::state::index_key;
use crate::aws::aurora::storage::log::Change;
use crate::aws::aurora::storage::{Row, RowLock, Tid};
use crate::aws::aurora::txn::Outcome;
use crate::aws::aurora::types::{CastContext, Value, cast};

impl Running<'_> {
    pub(super) async fn insert(&mut self, i: &Insert) -> Result<(Rows, usize)> {
        // The rows of VALUES are computed one by one as they are written, so that a row that fails stops the
        // sequences where it failed; those of a query are computed before the first is written.
        let lists = match &i.source.body {
            Body::Values(lists) if i.source.limit.is_none() && i.source.order.is_empty() => lists.as_slice(),
            _ => &[],
        };
        let rows = if lists.is_empty() {
            self.with_waits(|ctx| run(ctx, &i.source, None, None)).await?
        } else {
            Vec::new()
        };
        let mut returned = Vec::new();
        let mut touched = 0;
        let lazy = lists.iter().map(Given::List);
        for given in lazy.chain(rows.iter().map(Given::Row)) {
            // What one row waited for is no other row's wait.
            self.waits.take();
            let values = self
                .with_waits(|ctx| match given {
                    Given::List(list) => {
                        let row = eval_row(ctx, list, &Env::of(&[]))?;
                        eval_row(ctx, &i.values, &Env::of(&row))
                    }
                    Given::Row(row) => eval_row(ctx, &i.values, &Env::of(row)),
                })
                .await?;
            let row = self.complete(&i.table, values)?;
            self.check_row(&i.table, &row, &i.check)?;
            let written = match &i.conflict {
                None => {
                    self.write_new(&i.table, row.clone(), None).await?;
                    Some(row)
                }
                Some(conflict) => self.upsert(i, conflict, row).await?,
            };
            if let Some(row) = written {
                touched += 1;
                if let Some(returning) = &i.returning {
                    returned.push(self.returned(returning, &row)?);
                }
            }
        }
        Ok((returned, touched))
    }

    pub(super) fn returned(&mut self, returning: &Returning, row: &[Value]) -> Result<Vec<Value>> {
        self.with(|ctx| eval_row(ctx, &returning.exprs, &Env::of(row)))
    }

    /// Fills generated columns in.
    pub(super) fn complete(&mut self, table: &Table, mut values: Vec<Value>) -> Result<Row> {
        for (at, column) in table.columns.iter().enumerate() {
            if let Some(expr) = &column.generated {
                let value = self.with(|ctx| super::eval(ctx, expr, &Env::of(&values)))?;
                values[at] = cast(
                    value,
                    column.ty,
                    column.ty,
                    column.typmod,
                    CastContext::Assignment,
                    0,
                )?;
            }
        }
        Ok(values.into())
    }

    /// NOT NULL, CHECK and row security of a new row.
    pub(super) fn check_row(&mut self, table: &Table, row: &Row, security: &[WithCheck]) -> Result<()> {
        let shown = |row: &Row| {
            let parts: Vec<String> = table
                .live()
                .map(|(i, _)| match row.get(i) {
                    None | Some(Value::Null) => "null".to_string(),
                    Some(v) => crate::aws::aurora::types::to_text(v),
                })
                .collect();
            format!("Failing row contains ({}).", parts.join(", "))
        };
        self.with(|ctx| {
            let env = Env::of(row);
            for check in security {
                if !holds(ctx, &check.expr, &env)? {
                    return fail(
                        code::INSUFFICIENT_PRIVILEGE,
                        format!(
                            "new row violates row-level security policy for table \"{}\"",
                            table.name
                        ),
                    );
                }
            }
            for (at, column) in table.live() {
                if column.not_null && row[at].is_null() {
                    return Err(Error::new(
                        code::NOT_NULL_VIOLATION,
                        format!(
                            "null value in column \"{}\" of relation \"{}\" violates not-null constraint",
                            column.name, table.name
                        ),
                    )
                    .detail(shown(row))
                    .table(&table.schema, &table.name)
                    .column(&column.name));
                }
            }
            for check in &table.checks {
                if matches!(super::eval(ctx, &check.expr, &env)?, Value::Bool(false)) {
                    return Err(Error::new(
                        code::CHECK_VIOLATION,
                        format!(
                            "new row for relation \"{}\" violates check constraint \"{}\"",
                            table.name, check.name
                        ),
                    )
                    .detail(shown(row))
                    .table(&table.schema, &table.name)
                    .constraint(&check.name));
                }
            }
            Ok(())
        })
    }

    /// Appends a version, entering it into one index after the other and waiting where a unique one must.
    pub(super) async fn write_new(
        &mut self,
        table: &Arc<Table>,
        row: Row,
        replaces: Option<(Tid, Row)>,
    ) -> Result<Tid> {
        let engine = self.session.engine.clone();
        let tid = {
            let mut state = engine.state();
            let xid = self.session.write_xid(&mut state);
            let cid = self.view.cid;
            let Some(heap) = state.heaps.get_mut(&table.heap) else {
                return super::Ctx::pure().bug("a table without a heap");
            };
            let tid = heap.insert(row.clone(), xid, cid);
            let sx = self.session.txn().serializable;
            state.ssi.get_mut().wrote_heap(sx, table.heap)?;
            let txn = self.session.txn();
            txn.changes.push((
                xid,
                Change::Insert {
                    heap: table.heap,
                    tid,
                    row: row.clone(),
                },
            ));
            tid
        };
        for def in &table.indexes {
            let Some(key) = index_key(&def.parts, def.predicate.as_ref().map(|p| &p.0), &row)? else {
                continue;
            };
            loop {
                let own = self.session.txn().xids.clone();
                let wait = {
                    let mut state = engine.state();
                    let verdict = if def.unique {
                        unique_conflict(&state, table, def, &key, tid, &own)
                    } else {
                        Unique::Free
                    };
                    if !matches!(verdict, Unique::Wait(_)) {
                        // A key that is taken counts too: a conflict would otherwise hide behind its violation.
                        let sx = self.session.txn().serializable;
                        state.ssi.get_mut().wrote_key(sx, table.heap, def.oid, &key)?;
                        if def.unique {
                            note_takeover(&mut state, sx, table, def, &key)?;
                        }
                    }
                    match verdict {
                        Unique::Free => {
                            if let Some(index) = state
                                .heaps
                                .get_mut(&table.heap)
                                .and_then(|h| h.indexes.get_mut(&def.oid))
                            {
                                index.insert(key, tid);
                            }
                            break;
                        }
                        Unique::Taken(_) => {
                            return Err(super::constraint::unique_violation(table, def, &key));
                        }
                        Unique::Wait(xid) => xid,
                    }
                };
                self.session.wait_for_xid(wait).await?;
            }
        }
        let event = match replaces {
            None => Event::Inserted {
                table: table.oid,
                row,
            },
            Some((replaced, old)) => Event::Updated {
                table: table.oid,
                old,
                new: row,
                own: self.wrote(table, replaced),
            },
        };
        self.events.push(event);
        Ok(tid)
    }

    /// Whether this transaction wrote a version.
    fn wrote(&mut self, table: &Table, tid: Tid) -> bool {
        let engine = self.session.engine.clone();
        let state = engine.state();
        let tuple = state.heaps.get(&table.heap).and_then(|h| h.get(tid));
        tuple.is_some_and(|tuple| self.session.txn().xids.contains(&tuple.xmin))
    }

    /// INSERT ... ON CONFLICT: the row that ended up written, if any.
    async fn upsert(&mut self, i: &Insert, conflict: &Conflict, row: Row) -> Result<Option<Row>> {
        let engine = self.session.engine.clone();
        'again: loop {
            let own = self.session.txn().xids.clone();
            let mut found = None;
            for def in i.table.indexes.iter().filter(|d| d.unique) {
                if !conflict.arbiters.is_empty() && !conflict.arbiters.contains(&def.oid) {
                    continue;
                }
                let Some(key) = index_key(&def.parts, def.predicate.as_ref().map(|p| &p.0), &row)? else {
                    continue;
                };
                let verdict = unique_conflict(&engine.state(), &i.table, def, &key, 0, &own);
                match verdict {
                    Unique::Free => {}
                    Unique::Taken(tid) => {
                        found = Some(tid);
                        break;
                    }
                    Unique::Wait(xid) => {
                        self.session.wait_for_xid(xid).await?;
                        continue 'again;
                    }
                }
            }
            let Some(tid) = found else {
                self.write_new(&i.table, row.clone(), None).await?;
                return Ok(Some(row));
            };
            let Some(update) = &conflict.update else {
                if !self.may_meet(&i.table, tid) {
                    return serialization_failure("update");
                }
                return Ok(None);
            };
            let own_command = {
                let state = engine.state();
                let tuple = state.heaps.get(&i.table.heap).and_then(|h| h.get(tid));
                tuple.is_some_and(|t| own.contains(&t.xmin) && t.cmin >= self.view.cid)
            };
            if own_command {
                return Err(Error::new(
                    code::CARDINALITY_VIOLATION,
                    "ON CONFLICT DO UPDATE command cannot affect row a second time",
                )
                .hint("Ensure that no rows proposed for insertion within the same command have duplicate constrained values."));
            }
            let target = Target {
                heap: i.table.heap,
                tid,
                lock: RowLock::NoKeyUpdate,
                name: &i.table.name,
            };
            match self.claim_row(target).await? {
                Locked::Held { tid: held } if held == tid => {}
                _ => continue 'again,
            }
            // Only now: PostgreSQL locks the row before it looks whether the snapshot has it.
            if !self.may_meet(&i.table, tid) {
                return serialization_failure("update");
            }
            match self.conflict_update(i, update, tid, &row).await? {
                Upserted::Again => {}
                Upserted::Done(row) => return Ok(row),
            }
        }
    }

    /// Whether an insert may run into a version: above READ COMMITTED only if its snapshot has it.
    fn may_meet(&mut self, table: &Table, tid: Tid) -> bool {
        if self.session.txn().isolation == Isolation::ReadCommitted {
            return true;
        }
        let engine = self.session.engine.clone();
        let state = engine.state();
        let tuple = state.heaps.get(&table.heap).and_then(|h| h.get(tid));
        tuple.is_some_and(|t| {
            state.clog.outcome(t.xmin) == Outcome::InProgress || self.view.saw(t.xmin, &state.clog)
        })
    }

    async fn conflict_update(
        &mut self,
        i: &Insert,
        update: &ConflictUpdate,
        tid: Tid,
        excluded: &Row,
    ) -> Result<Upserted> {
        let Some(old) = self.tuple_row(&i.table, tid)? else {
            return Ok(Upserted::Again);
        };
        let mut both = old.to_vec();
        both.extend(excluded.iter().cloned());
        let passes = self.with(|ctx| {
            let env = Env::of(&both);
            if let Some(filter) = &update.filter
                && !holds(ctx, filter, &env)?
            {
                return Ok(false);
            }
            for using in &update.using {
                if !holds(ctx, using, &env)? {
                    return fail(
                        code::INSUFFICIENT_PRIVILEGE,
                        format!(
                            "new row violates row-level security policy (USING expression) for table \"{}\"",
                            i.table.name
                        ),
                    );
                }
            }
            Ok(true)
        })?;
        if !passes {
            // The row stays as it is, but PostgreSQL has locked it.
            let target = Target {
                heap: i.table.heap,
                tid,
                lock: RowLock::NoKeyUpdate,
                name: &i.table.name,
            };
            self.lock_row(target, crate::aws::aurora::sql::plan::WaitPolicy::Block)
                .await?;
            return Ok(Upserted::Done(None));
        }
        let new = self.assigned(&i.table, &update.set, &old, &both)?;
        self.check_row(&i.table, &new, &update.check)?;
        self.replace(&i.table, tid, old, new.clone()).await?;
        Ok(Upserted::Done(Some(new)))
    }

    /// The row of a version, padded with the missing values of later columns.
    pub(super) fn tuple_row(&mut self, table: &Table, tid: Tid) -> Result<Option<Row>> {
        self.with(|ctx| {
            let tuple = ctx.db()?.state.heaps.get(&table.heap).and_then(|h| h.get(tid));
            Ok(tuple.map(|t| {
                if t.row.len() == table.columns.len() {
                    return t.row.clone();
                }
                table
                    .columns
                    .iter()
                    .enumerate()
                    .map(|(i, c)| t.row.get(i).unwrap_or(&c.missing).clone())
                    .collect()
            }))
        })
    }

    /// A row with assignments applied, evaluated over `env`.
    pub(super) fn assigned(
        &mut self,
        table: &Table,
        set: &[(usize, Expr)],
        old: &Row,
        env: &[Value],
    ) -> Result<Row> {
        let mut new = old.to_vec();
        new.resize(table.columns.len(), Value::Null);
        self.with(|ctx| {
            for (at, e) in set {
                new[*at] = super::eval(ctx, e, &Env::of(env))?;
            }
            Ok(())
        })?;
        self.complete(table, new)
    }
}

/// A row to insert: expressions of VALUES, or values that a query yielded.
#[derive(Clone, Copy)]
enum Given<'a> {
    List(&'a Vec<Expr>),
    Row(&'a Vec<Value>),
}

/// What became of one ON CONFLICT DO UPDATE.
enum Upserted {
    /// The existing row changed in between.
    Again,
    /// Done, with the row if one was written.
    Done(Option<Row>),
}
