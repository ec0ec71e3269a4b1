//! Unique and foreign keys.

use std::sync::Arc;

use super::rows::{Locked, Target, lock, serialization_failure};
use super::statement::Running;
use crate::aws::aurora::catalog::{ForeignKey, IndexDef, KeyPart, Oid, RefAction, Table};
use crate::aws::aurora::error::{Error, Result, code};
use crate::aws::aurora::session::Session;
use crate::aws::aurora::session::transaction::Isolation;
use crate::aws::aurora::sql::plan::{Plan, WaitPolicy};
use crate::aws::aurora::state::{State, index_key};
use crate::aws::aurora::storage::{Row, RowLock, Tid};
use crate::aws::aurora::txn::ssi::SxId;
use crate::aws::aurora::txn::{Outcome, View, Xid};
use crate::aws::aurora::types::{Value, compare, to_text};

/// A change that foreign keys care about.
#[derive(Clone, Debug)]
pub(crate) enum Event {
    /// A row came.
    Inserted { table: Oid, row: Row },
    /// A row changed.
    Updated { table: Oid, old: Row, new: Row },
    /// A row went.
    Deleted { table: Oid, row: Row },
}

/// A check put off to the end of the transaction.
#[derive(Clone, Debug)]
pub(crate) struct Deferred {
    event: Event,
    constraint: String,
}

/// Whether a key can be taken.
pub(super) enum Unique {
    /// Yes.
    Free,
    /// A live row has it.
    Taken(Tid),
    /// That depends on how a running transaction ends.
    Wait(Xid),
}

/// Looks a key up in a unique index, dirty: what running transactions did counts as maybe.
pub(super) fn unique_conflict(
    state: &State,
    table: &Table,
    def: &IndexDef,
    key: &[Value],
    except: Tid,
    own: &[Xid],
) -> Unique {
    if !def.nulls_equal && key.iter().any(Value::is_null) {
        return Unique::Free;
    }
    let Some(heap) = state.heaps.get(&table.heap) else {
        return Unique::Free;
    };
    let Some(index) = heap.indexes.get(&def.oid) else {
        return Unique::Free;
    };
    for tid in index.equal(key) {
        if tid == except {
            continue;
        }
        let Some(tuple) = heap.get(tid) else { continue };
        match state.clog.outcome(tuple.xmin) {
            Outcome::Aborted => continue,
            Outcome::InProgress if !own.contains(&tuple.xmin) => return Unique::Wait(tuple.xmin),
            _ => {}
        }
        if tuple.xmax == 0 {
            return Unique::Taken(tid);
        }
        match state.clog.outcome(tuple.xmax) {
            Outcome::Aborted => return Unique::Taken(tid),
            Outcome::Committed(_) => {}
            Outcome::InProgress if own.contains(&tuple.xmax) => {}
            Outcome::InProgress => return Unique::Wait(tuple.xmax),
        }
    }
    Unique::Free
}

fn key_names(table: &Table, def: &IndexDef) -> String {
    let names: Vec<String> = def
        .parts
        .iter()
        .map(|p| match p {
            KeyPart::Column(c) => table.columns[*c].name.clone(),
            KeyPart::Expr(..) => "expression".into(),
        })
        .collect();
    names.join(", ")
}

fn shown(values: &[Value]) -> String {
    let parts: Vec<String> = values
        .iter()
        .map(|v| {
            if v.is_null() {
                "null".to_string()
            } else {
                to_text(v)
            }
        })
        .collect();
    parts.join(", ")
}

/// 23505.
pub(super) fn unique_violation(table: &Table, def: &IndexDef, key: &[Value]) -> Box<Error> {
    Error::new(
        code::UNIQUE_VIOLATION,
        format!("duplicate key value violates unique constraint \"{}\"", def.name),
    )
    .detail(format!(
        "Key ({})=({}) already exists.",
        key_names(table, def),
        shown(key)
    ))
    .table(&table.schema, &table.name)
    .constraint(&def.name)
}

/// Tells SERIALIZABLE that a version was ended.
pub(super) fn note_write(
    state: &mut State,
    sx: Option<SxId>,
    table: &Table,
    tid: Tid,
    row: &Row,
) -> Result<()> {
    let mut keys = Vec::new();
    for def in &table.indexes {
        if let Some(key) = index_key(&def.parts, def.predicate.as_ref().map(|p| &p.0), row)? {
            keys.push((def.oid, key));
        }
    }
    let ssi = state.ssi.get_mut();
    ssi.wrote_heap(sx, table.heap)?;
    ssi.wrote_tuple(sx, table.heap, tid)?;
    for (oid, key) in keys {
        ssi.wrote_key(sx, table.heap, oid, &key)?;
    }
    Ok(())
}

fn pick(row: &Row, columns: &[usize]) -> Vec<Value> {
    columns
        .iter()
        .map(|c| row.get(*c).cloned().unwrap_or(Value::Null))
        .collect()
}

/// Makes the checks of one statement's changes, or puts them off.
pub(super) async fn after_statement(session: &mut Session, events: Vec<Event>) -> Result<()> {
    let mut queue: std::collections::VecDeque<Event> = events.into();
    while let Some(event) = queue.pop_front() {
        let more = check(session, &event, None).await?;
        queue.extend(more);
    }
    Ok(())
}

/// Makes the checks put off to the end.
pub(in crate::aws::aurora) async fn check_deferred(session: &mut Session) -> Result<()> {
    while !session.txn().deferred.is_empty() {
        let deferred = std::mem::take(&mut session.txn().deferred);
        for item in deferred {
            let more = check(session, &item.event, Some(&item.constraint)).await?;
            after_boxed(session, more).await?;
        }
    }
    Ok(())
}

fn after_boxed(
    session: &mut Session,
    events: Vec<Event>,
) -> std::pin::Pin<Box<dyn Future<Output = Result<()>> + Send + '_>> {
    Box::pin(after_statement(session, events))
}

/// One event against every foreign key it concerns. Answers the events of cascades.
async fn check(session: &mut Session, event: &Event, only: Option<&str>) -> Result<Vec<Event>> {
    let catalog = session.catalog();
    let mut more = Vec::new();
    let (oid, old, new) = match event {
        Event::Inserted { table, row } => (*table, None, Some(row)),
        Event::Updated { table, old, new } => (*table, Some(old), Some(new)),
        Event::Deleted { table, row } => (*table, Some(row), None),
    };
    let Some(table) = catalog.table(oid).cloned() else {
        return Ok(more);
    };
    if table.foreign_keys.is_empty() && table.referenced_by.is_empty() {
        return Ok(more);
    }
    let by_name = session.txn().deferred_by_name.clone();
    let for_all = session.txn().constraints_deferred;
    let put_off = |fk: &ForeignKey| {
        let chosen = by_name.get(&fk.name).copied().or(for_all);
        fk.deferrable && chosen.unwrap_or(fk.deferred) && only.is_none()
    };
    if let Some(new) = new {
        for fk in &table.foreign_keys {
            if only.is_some_and(|name| name != fk.name) {
                continue;
            }
            let key = pick(new, &fk.columns);
            if key.iter().any(Value::is_null) {
                continue;
            }
            let same = old.is_some_and(|old| {
                pick(old, &fk.columns)
                    .iter()
                    .zip(&key)
                    .all(|(a, b)| compare(a, b).is_eq())
            });
            if same && only.is_none() {
                continue;
            }
            if put_off(fk) {
                let deferred = Deferred {
                    event: event.clone(),
                    constraint: fk.name.clone(),
                };
                session.txn().deferred.push(deferred);
                continue;
            }
            if only.is_some() && !still_there(session, &table, new) {
                continue;
            }
            let Some(target) = catalog.table(fk.target).cloned() else {
                continue;
            };
            check_target(session, &table, fk, &target, &key).await?;
        }
    }
    if let Some(old) = old {
        for from in &table.referenced_by {
            let Some(child) = catalog.table(*from).cloned() else {
                continue;
            };
            for fk in child.foreign_keys.iter().filter(|fk| fk.target == table.oid) {
                if only.is_some_and(|name| name != fk.name) {
                    continue;
                }
                let key = pick(old, &fk.target_columns);
                if key.iter().any(Value::is_null) {
                    continue;
                }
                let new_key = new.map(|new| pick(new, &fk.target_columns));
                if new_key
                    .as_ref()
                    .is_some_and(|n| n.iter().zip(&key).all(|(a, b)| compare(a, b).is_eq()))
                {
                    continue;
                }
                let action = if new.is_some() { fk.on_update } else { fk.on_delete };
                if put_off(fk) && action == RefAction::NoAction {
                    let deferred = Deferred {
                        event: event.clone(),
                        constraint: fk.name.clone(),
                    };
                    session.txn().deferred.push(deferred);
                    continue;
                }
                more.extend(check_children(session, &table, &child, fk, &key, new_key, action).await?);
            }
        }
    }
    Ok(more)
}

/// Whether a row still exists when its deferred check comes.
fn still_there(session: &mut Session, table: &Table, row: &Row) -> bool {
    let engine = session.engine.clone();
    let state = engine.state();
    let own = session.txn().xids.clone();
    let view = View {
        csn: state.clog.csn,
        xids: own,
        cid: u32::MAX,
    };
    state.heaps.get(&table.heap).is_some_and(|h| {
        h.iter()
            .any(|(_, t)| Arc::ptr_eq(&t.row, row) && view.sees(t, &state.clog))
    })
}

fn current_view(session: &mut Session, state: &State, latest: bool) -> View {
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

async fn check_target(
    session: &mut Session,
    table: &Table,
    fk: &ForeignKey,
    target: &Arc<Table>,
    key: &[Value],
) -> Result<()> {
    let engine = session.engine.clone();
    loop {
        let (view, found) = {
            let state = engine.state();
            let view = current_view(session, &state, false);
            let heap = state.heaps.get(&target.heap);
            // The index may list its columns in another order than the constraint.
            let def = target.indexes.iter().find(|i| i.oid == fk.target_index);
            let ordered: Vec<Value> = def
                .and_then(IndexDef::columns)
                .unwrap_or_default()
                .iter()
                .filter_map(|c| {
                    fk.target_columns
                        .iter()
                        .position(|t| t == c)
                        .map(|at| key[at].clone())
                })
                .collect();
            let found = heap.and_then(|h| {
                let index = h.indexes.get(&fk.target_index)?;
                index
                    .equal(&ordered)
                    .find(|tid| h.get(*tid).is_some_and(|t| view.sees(t, &state.clog)))
            });
            (view, found)
        };
        let Some(tid) = found else {
            let names: Vec<&str> = fk
                .columns
                .iter()
                .map(|c| table.columns[*c].name.as_str())
                .collect();
            return Err(Error::new(
                code::FOREIGN_KEY_VIOLATION,
                format!(
                    "insert or update on table \"{}\" violates foreign key constraint \"{}\"",
                    table.name, fk.name
                ),
            )
            .detail(format!(
                "Key ({})=({}) is not present in table \"{}\".",
                names.join(", "),
                shown(key),
                target.name
            ))
            .table(&table.schema, &table.name)
            .constraint(&fk.name));
        };
        let row = Target {
            heap: target.heap,
            tid,
            lock: RowLock::KeyShare,
            name: &target.name,
        };
        match lock(session, &view, row, WaitPolicy::Block, true).await? {
            Locked::Held { tid: held } if held == tid => return Ok(()),
            // The row moved or went: look again with fresh eyes.
            _ if session.txn().isolation == Isolation::ReadCommitted => {}
            _ => return serialization_failure("update"),
        }
    }
}

async fn check_children(
    session: &mut Session,
    table: &Table,
    child: &Arc<Table>,
    fk: &ForeignKey,
    key: &[Value],
    new_key: Option<Vec<Value>>,
    action: RefAction,
) -> Result<Vec<Event>> {
    let engine = session.engine.clone();
    let plan = Plan::empty();
    let view = {
        let state = engine.state();
        current_view(session, &state, true)
    };
    // NO ACTION is satisfied when another row has the key by now.
    if action == RefAction::NoAction {
        let state = engine.state();
        let again = state.heaps.get(&table.heap).is_some_and(|h| {
            h.indexes.get(&fk.target_index).is_some_and(|index| {
                let def = table.indexes.iter().find(|i| i.oid == fk.target_index);
                let ordered: Vec<Value> = def
                    .and_then(IndexDef::columns)
                    .unwrap_or_default()
                    .iter()
                    .filter_map(|c| {
                        fk.target_columns
                            .iter()
                            .position(|t| t == c)
                            .map(|at| key[at].clone())
                    })
                    .collect();
                index
                    .equal(&ordered)
                    .any(|tid| h.get(tid).is_some_and(|t| view.sees(t, &state.clog)))
            })
        });
        if again {
            return Ok(Vec::new());
        }
    }
    let rows = children(&engine.state(), child, fk, key, &view);
    if rows.is_empty() {
        return Ok(Vec::new());
    }
    if matches!(action, RefAction::NoAction | RefAction::Restrict) {
        let names: Vec<&str> = fk
            .target_columns
            .iter()
            .map(|c| table.columns[*c].name.as_str())
            .collect();
        return Err(Error::new(
            code::FOREIGN_KEY_VIOLATION,
            format!(
                "update or delete on table \"{}\" violates foreign key constraint \"{}\" on table \"{}\"",
                table.name, fk.name, child.name
            ),
        )
        .detail(format!(
            "Key ({})=({}) is still referenced from table \"{}\".",
            names.join(", "),
            shown(key),
            child.name
        ))
        .table(&child.schema, &child.name)
        .constraint(&fk.name));
    }
    session.txn().cid += 1;
    let view = View {
        cid: session.txn().cid,
        ..view
    };
    let mut running = Running::new(session, &plan, &[], view);
    for tid in rows {
        let target = Target {
            heap: child.heap,
            tid,
            lock: RowLock::Update,
            name: &child.name,
        };
        let Locked::Held { tid } = running.claim_row(target).await? else {
            continue;
        };
        let Some(old) = running.tuple_row(child, tid)? else {
            continue;
        };
        if action == RefAction::Cascade && new_key.is_none() {
            running.end_version(child, tid, 0, RowLock::Update)?;
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

/// Visible rows that refer to a key.
fn children(state: &State, child: &Table, fk: &ForeignKey, key: &[Value], view: &View) -> Vec<Tid> {
    let Some(heap) = state.heaps.get(&child.heap) else {
        return Vec::new();
    };
    let refers = |tid: &Tid| {
        heap.get(*tid).is_some_and(|t| {
            view.sees(t, &state.clog)
                && pick(&t.row, &fk.columns)
                    .iter()
                    .zip(key)
                    .all(|(a, b)| !a.is_null() && compare(a, b).is_eq())
        })
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
