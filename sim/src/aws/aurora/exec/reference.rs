//! One foreign key against one change: is the referred row there, and what becomes of the referring ones?
//!
//! As PostgreSQL's own queries for this do, a check locks first and looks afterwards: a row whose fate is open is waited
//! for, and its fate decides. The referring side looks with the transaction's snapshot, the referred side with the
//! latest, for a child that the snapshot does not show must not be orphaned.

use std::sync::Arc;

use super::constraint::{Event, pick, shown};
use super::rows::{Locked, Target, lock, serialization_failure};
use super::statement::Running;
use crate::aws::aurora::catalog::{ForeignKey, IndexDef, RefAction, Table};
use crate::aws::aurora::error::{Error, Result, code};
use crate::aws::aurora::session::Session;
use crate::aws::aurora::session::transaction::Isolation;
use crate::aws::aurora::sql::plan::{Plan, WaitPolicy};
use crate::aws::aurora::state::State;
use crate::aws::aurora::storage::{Row, RowLock, Tid};
use crate::aws::aurora::txn::ssi::Read;
use crate::aws::aurora::txn::{Outcome, View};
use crate::aws::aurora::types::{Value, compare};

fn view(session: &mut Session, state: &State, latest: bool) -> View {
    let txn = session.txn();
    let csn = if latest || txn.isolation == Isolation::ReadCommitted {
        state.clog.csn
    } else {
        txn.snapshot.unwrap_or(state.clog.csn)
    };
    View {
        csn,
        xids: txn.xids.clone(),
        cid: txn.cid.saturating_add(1),
    }
}

fn equal(a: &[Value], b: &[Value]) -> bool {
    a.iter()
        .zip(b)
        .all(|(a, b)| !a.is_null() && compare(a, b).is_eq())
}

fn column_names(table: &Table, columns: &[usize]) -> String {
    let names: Vec<&str> = columns.iter().map(|c| table.columns[*c].name.as_str()).collect();
    names.join(", ")
}

/// The visible row that a key refers to.
fn referred(
    session: &mut Session,
    state: &State,
    fk: &ForeignKey,
    target: &Table,
    key: &[Value],
    view: &View,
) -> Result<Option<Tid>> {
    let Some(heap) = state.heaps.get(&target.heap) else {
        return Ok(None);
    };
    // The index may list its columns in another order than the constraint.
    let def = target.indexes.iter().find(|i| i.oid == fk.target_index);
    let ordered: Vec<Value> = def
        .and_then(IndexDef::columns)
        .unwrap_or_default()
        .iter()
        .filter_map(|c| fk.target_columns.iter().position(|t| t == c))
        .map(|at| key[at].clone())
        .collect();
    let Some(index) = heap.indexes.get(&fk.target_index) else {
        return Ok(None);
    };
    let sx = session.txn().serializable;
    let mut ssi = state.ssi.borrow_mut();
    if let Some(sx) = sx {
        let edge = (ordered.clone(), true);
        ssi.read(sx, Read::Range(target.heap, fk.target_index, edge.clone(), edge));
    }
    for tid in index.equal(&ordered) {
        let Some(tuple) = heap.get(tid) else { continue };
        if let Some(sx) = sx {
            ssi.saw(sx, tuple, view, &state.clog)?;
        }
        if view.sees(tuple, &state.clog) {
            if let Some(sx) = sx {
                ssi.read(sx, Read::Tuple(target.heap, tid));
            }
            return Ok(Some(tid));
        }
    }
    Ok(None)
}

/// Locks the row that a key refers to, so that it stays. False when there is none.
async fn hold_referred(
    session: &mut Session,
    fk: &ForeignKey,
    target: &Table,
    key: &[Value],
    latest: bool,
) -> Result<bool> {
    let engine = session.engine.clone();
    let (view, found) = {
        let state = engine.state();
        let view = view(session, &state, latest);
        let found = referred(session, &state, fk, target, key, &view)?;
        (view, found)
    };
    let Some(tid) = found else { return Ok(false) };
    hold(session, &view, target, tid, &fk.target_columns, key).await
}

/// Takes a key share lock. False when the row, by the time that it is locked, is gone or has another key.
async fn hold(
    session: &mut Session,
    view: &View,
    table: &Table,
    tid: Tid,
    columns: &[usize],
    key: &[Value],
) -> Result<bool> {
    let target = Target {
        heap: table.heap,
        tid,
        lock: RowLock::KeyShare,
        name: &table.name,
    };
    match lock(session, view, target, WaitPolicy::Block, true).await? {
        Locked::Held { tid: held } if held == tid => Ok(true),
        Locked::Held { tid: held } => {
            let engine = session.engine.clone();
            let state = engine.state();
            let tuple = state.heaps.get(&table.heap).and_then(|h| h.get(held));
            Ok(tuple.is_some_and(|t| equal(&pick(&t.row, columns), key)))
        }
        Locked::Gone | Locked::Own | Locked::Skipped => Ok(false),
    }
}

/// A referring row came or got another key: the row that it refers to must be there, and is held.
pub(super) async fn check_target(
    session: &mut Session,
    table: &Table,
    fk: &ForeignKey,
    target: &Table,
    key: &[Value],
) -> Result<()> {
    if hold_referred(session, fk, target, key, false).await? {
        return Ok(());
    }
    Err(Error::new(
        code::FOREIGN_KEY_VIOLATION,
        format!(
            "insert or update on table \"{}\" violates foreign key constraint \"{}\"",
            table.name, fk.name
        ),
    )
    .detail(format!(
        "Key ({})=({}) is not present in table \"{}\".",
        column_names(table, &fk.columns),
        shown(key),
        target.name
    ))
    .table(&table.schema, &table.name)
    .constraint(&fk.name))
}

/// A referred row went or got another key: nothing may refer to the old one, or the action makes it so.
pub(super) async fn check_children(
    session: &mut Session,
    table: &Table,
    child: &Arc<Table>,
    fk: &ForeignKey,
    key: &[Value],
    new_key: Option<Vec<Value>>,
    action: RefAction,
) -> Result<Vec<Event>> {
    // NO ACTION is satisfied when another row has the key by now.
    if action == RefAction::NoAction && hold_referred(session, fk, table, key, true).await? {
        return Ok(Vec::new());
    }
    let engine = session.engine.clone();
    let (view, rows) = {
        let state = engine.state();
        let view = view(session, &state, true);
        let rows = children(&state, child, fk, key, &view);
        (view, rows)
    };
    if rows.is_empty() {
        return Ok(Vec::new());
    }
    if !matches!(action, RefAction::NoAction | RefAction::Restrict) {
        return act(session, view, child, fk, key, new_key, action, rows).await;
    }
    for tid in rows {
        if hold(session, &view, child, tid, &fk.columns, key).await? {
            return Err(still_referenced(table, child, fk, key));
        }
    }
    Ok(Vec::new())
}

fn still_referenced(table: &Table, child: &Table, fk: &ForeignKey, key: &[Value]) -> Box<Error> {
    Error::new(
        code::FOREIGN_KEY_VIOLATION,
        format!(
            "update or delete on table \"{}\" violates foreign key constraint \"{}\" on table \"{}\"",
            table.name, fk.name, child.name
        ),
    )
    .detail(format!(
        "Key ({})=({}) is still referenced from table \"{}\".",
        column_names(table, &fk.target_columns),
        shown(key),
        child.name
    ))
    .table(&child.schema, &child.name)
    .constraint(&fk.name)
}

/// CASCADE, SET NULL and SET DEFAULT.
#[allow(clippy::too_many_arguments)]
async fn act(
    session: &mut Session,
    view: View,
    child: &Arc<Table>,
    fk: &ForeignKey,
    key: &[Value],
    new_key: Option<Vec<Value>>,
    action: RefAction,
    rows: Vec<Tid>,
) -> Result<Vec<Event>> {
    let plan = Plan::empty();
    session.txn().cid += 1;
    let view = View {
        cid: session.txn().cid,
        ..view
    };
    let strict = session.txn().isolation != Isolation::ReadCommitted;
    let snapshot = session.txn().snapshot;
    let mut running = Running::new(session, &plan, &[], view);
    for asked in rows {
        let target = Target {
            heap: child.heap,
            tid: asked,
            lock: RowLock::Update,
            name: &child.name,
        };
        let Locked::Held { tid } = running.claim_row(target).await? else {
            continue;
        };
        if strict && running.is_later(child, tid, snapshot) {
            return serialization_failure("update");
        }
        let Some(old) = running.tuple_row(child, tid)? else {
            continue;
        };
        if tid != asked && !equal(&pick(&old, &fk.columns), key) {
            continue;
        }
        if action == RefAction::Cascade && new_key.is_none() {
            running.end_version(child, tid, RowLock::Update)?;
            running.events.push(Event::Deleted {
                table: child.oid,
                row: old,
            });
            continue;
        }
        let mut new = old.to_vec();
        for (i, column) in fk.columns.iter().enumerate() {
            new[*column] = match (action, &new_key) {
                (RefAction::Cascade, Some(key)) => key[i].clone(),
                (RefAction::SetDefault, _) => match &child.columns[*column].default {
                    Some((e, _)) => running.with(|ctx| super::eval(ctx, e, &super::Env::of(&[])))?,
                    None => Value::Null,
                },
                _ => Value::Null,
            };
        }
        let new: Row = new.into();
        running.check_row(child, &new, &[])?;
        running.replace(child, tid, old, new).await?;
    }
    let events = std::mem::take(&mut running.events);
    session.txn().cid += 1;
    Ok(events)
}

impl Running<'_> {
    /// Whether a version was committed after the transaction's snapshot.
    fn is_later(&self, table: &Table, tid: Tid, snapshot: Option<u64>) -> bool {
        let engine = self.session.engine.clone();
        let state = engine.state();
        let tuple = state.heaps.get(&table.heap).and_then(|h| h.get(tid));
        tuple.is_some_and(|t| match state.clog.outcome(t.xmin) {
            Outcome::Committed(csn) => snapshot.is_some_and(|s| csn > s),
            _ => false,
        })
    }
}

/// Visible rows that refer to a key.
fn children(state: &State, child: &Table, fk: &ForeignKey, key: &[Value], view: &View) -> Vec<Tid> {
    let Some(heap) = state.heaps.get(&child.heap) else {
        return Vec::new();
    };
    let refers = |tid: &Tid| {
        heap.get(*tid)
            .is_some_and(|t| view.sees(t, &state.clog) && equal(&pick(&t.row, &fk.columns), key))
    };
    // Any index whose first columns are the key's, in any order, finds them without a full scan.
    let usable = child.indexes.iter().find(|i| {
        i.predicate.is_none()
            && i.columns().is_some_and(|c| {
                c.len() >= fk.columns.len() && c[..fk.columns.len()].iter().all(|c| fk.columns.contains(c))
            })
    });
    if let Some(def) = usable
        && let Some(index) = heap.indexes.get(&def.oid)
    {
        let prefix: Vec<Value> = def.columns().unwrap_or_default()[..fk.columns.len()]
            .iter()
            .filter_map(|c| fk.columns.iter().position(|f| f == c).map(|at| key[at].clone()))
            .collect();
        return index.equal(&prefix).filter(refers).collect();
    }
    heap.iter().map(|(tid, _)| tid).filter(refers).collect()
}
