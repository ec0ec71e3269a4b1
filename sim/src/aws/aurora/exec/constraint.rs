//! Unique keys, and which foreign keys a change concerns and when; what one foreign key then demands is `reference`'s.

use std::sync::Arc;

use super::reference::{check_children, check_target};
use crate::aws::aurora::catalog::{ForeignKey, IndexDef, KeyPart, Oid, RefAction, Table};
use crate::aws::aurora::error::{Error, Result, code};
use crate::aws::aurora::session::Session;
use crate::aws::aurora::state::{State, index_key};
use crate::aws::aurora::storage::{Row, Tid};
use crate::aws::aurora::txn::ssi::SxId;
use crate::aws::aurora::txn::{Outcome, View, Xid};
use crate::aws::aurora::types::{Value, compare, to_text};

/// A change that foreign keys care about.
#[derive(Clone, Debug)]
pub(crate) enum Event {
    /// A row came.
    Inserted { table: Oid, row: Row },
    /// A row changed.
    Updated {
        table: Oid,
        old: Row,
        new: Row,
        /// The same transaction had written the old version.
        own: bool,
    },
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

pub(super) fn shown(values: &[Value]) -> String {
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

/// Tells SERIALIZABLE whose end of a row made a unique key free.
pub(super) fn note_takeover(
    state: &mut State,
    sx: Option<SxId>,
    table: &Table,
    def: &IndexDef,
    key: &[Value],
) -> Result<()> {
    let State { heaps, ssi, .. } = state;
    let Some(heap) = heaps.get(&table.heap) else {
        return Ok(());
    };
    let Some(index) = heap.indexes.get(&def.oid) else {
        return Ok(());
    };
    for tuple in index.equal(key).filter_map(|tid| heap.get(tid)) {
        ssi.get_mut().took_key(sx, tuple.xmax)?;
    }
    Ok(())
}

pub(super) fn pick(row: &Row, columns: &[usize]) -> Vec<Value> {
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
        Event::Updated { table, old, new, .. } => (*table, Some(old), Some(new)),
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
            // The check of a version that this transaction wrote passes to the one that replaces it.
            if same && only.is_none() && !matches!(event, Event::Updated { own: true, .. }) {
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
