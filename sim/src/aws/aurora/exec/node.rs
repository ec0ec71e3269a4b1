//! FROM: rows flow from the leaves of the tree into a sink, one at a time, through one flat row.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use super::eval::{Env, all_hold, eval, eval_row};
use super::{Ctx, source};
use crate::aws::aurora::error::Result;
use crate::aws::aurora::sql::plan::{Access, Join, JoinKind, Keys, Node, Scan};
use crate::aws::aurora::storage::{Heap, Row, Tid};
use crate::aws::aurora::txn::ssi::Read;
use crate::aws::aurora::types::{Key, Value};

/// The flat row and where its table rows came from.
#[derive(Clone, Debug)]
pub(super) struct Flat {
    /// The values.
    pub row: Vec<Value>,
    /// Tuple of every scan, 0 when null-extended.
    pub tids: Vec<Tid>,
}

impl Flat {
    /// A row of so many NULLs.
    pub(super) fn new(width: usize) -> Flat {
        Flat {
            row: vec![Value::Null; width],
            tids: Vec::new(),
        }
    }
}

/// Whether to go on.
pub(super) type Flow = Result<ControlFlow<()>>;
/// Receives rows.
pub(super) type Sink<'s> = &'s mut dyn FnMut(&mut Flat) -> Flow;

/// Copies a table row into the flat row; columns added after it was written have their missing value.
pub(super) fn fill(flat: &mut Flat, scan: &Scan, tid: Tid, row: &Row) {
    for (i, column) in scan.table.columns.iter().enumerate() {
        flat.row[scan.offset + i] = row.get(i).unwrap_or(&column.missing).clone();
    }
    if flat.tids.len() <= scan.number {
        flat.tids.resize(scan.number + 1, 0);
    }
    flat.tids[scan.number] = tid;
}

fn clear(flat: &mut Flat, node: &Node) {
    match node {
        Node::One => {}
        Node::Scan(s) => {
            flat.row[s.offset..s.offset + s.table.columns.len()].fill(Value::Null);
            if let Some(tid) = flat.tids.get_mut(s.number) {
                *tid = 0;
            }
        }
        Node::Rows(s) => flat.row[s.offset..s.offset + s.width].fill(Value::Null),
        Node::Join(j) => {
            clear(flat, &j.left);
            clear(flat, &j.right);
        }
    }
}

/// Runs a tree.
pub(super) fn produce(
    ctx: &Ctx<'_>,
    node: &Node,
    flat: &mut Flat,
    outer: Option<&Env<'_>>,
    sink: Sink<'_>,
) -> Flow {
    match node {
        Node::One => sink(flat),
        Node::Scan(scan) => produce_scan(ctx, scan, flat, outer, sink),
        Node::Rows(rows) => source::produce(ctx, rows, flat, outer, sink),
        Node::Join(join) => produce_join(ctx, join, flat, outer, sink),
    }
}

fn offer(
    ctx: &Ctx<'_>,
    scan: &Scan,
    heap: &Heap,
    tid: Tid,
    flat: &mut Flat,
    outer: Option<&Env<'_>>,
    sink: Sink<'_>,
) -> Flow {
    let db = ctx.db()?;
    let Some(tuple) = heap.get(tid) else {
        return Ok(ControlFlow::Continue(()));
    };
    if let Some(sx) = db.serializable {
        db.state
            .ssi
            .borrow_mut()
            .saw(sx, tuple, db.view, &db.state.clog)?;
    }
    if !db.view.sees(tuple, &db.state.clog) {
        return Ok(ControlFlow::Continue(()));
    }
    fill(flat, scan, tid, &tuple.row);
    let env = Env {
        row: &flat.row,
        outer,
    };
    if !all_hold(ctx, &scan.security, &env)? || !all_hold(ctx, &scan.filter, &env)? {
        return Ok(ControlFlow::Continue(()));
    }
    sink(flat)
}

fn track(ctx: &Ctx<'_>, read: Read) -> Result<()> {
    let db = ctx.db()?;
    if let Some(sx) = db.serializable {
        db.state.ssi.borrow_mut().read(sx, read);
    }
    Ok(())
}

fn produce_scan(
    ctx: &Ctx<'_>,
    scan: &Scan,
    flat: &mut Flat,
    outer: Option<&Env<'_>>,
    sink: Sink<'_>,
) -> Flow {
    let db = ctx.db()?;
    let Some(heap) = db.state.heaps.get(&scan.table.heap) else {
        return ctx.bug("a table without a heap");
    };
    let number = scan.table.heap;
    match &scan.access {
        Access::Full => {
            track(ctx, Read::Heap(number))?;
            for (tid, _) in heap.iter() {
                if offer(ctx, scan, heap, tid, flat, outer, sink)?.is_break() {
                    return Ok(ControlFlow::Break(()));
                }
            }
        }
        Access::Index {
            index,
            equal,
            low,
            high,
            reverse,
        } => {
            let env = Env {
                row: &flat.row,
                outer,
            };
            let prefix = eval_row(ctx, equal, &env)?;
            if prefix.iter().any(Value::is_null) {
                return Ok(ControlFlow::Continue(()));
            }
            let end = |side: &Option<(crate::aws::aurora::sql::expr::Expr, bool)>| -> Result<Option<(Vec<Value>, bool)>> {
                let Some((e, inclusive)) = side else { return Ok(None) };
                let mut values = prefix.clone();
                values.push(eval(ctx, e, &env)?);
                Ok(Some((values, *inclusive)))
            };
            let (low, high) = (end(low)?, end(high)?);
            if low
                .iter()
                .chain(&high)
                .any(|(v, _)| v.last().is_some_and(Value::is_null))
            {
                return Ok(ControlFlow::Continue(()));
            }
            let Some(entries) = heap.indexes.get(index) else {
                return ctx.bug("an index without entries");
            };
            // An open end of the range is the end of the equal prefix; NULLs sort last, so an open high end stops
            // before them only through the filter.
            let tids: Vec<Tid> = match (&low, &high) {
                (None, None) => entries.equal(&prefix).collect(),
                _ => {
                    let low = low
                        .as_ref()
                        .map_or((prefix.as_slice(), true), |(v, i)| (v.as_slice(), *i));
                    let high = high
                        .as_ref()
                        .map_or((prefix.as_slice(), true), |(v, i)| (v.as_slice(), *i));
                    entries.range(Some(low), Some(high)).collect()
                }
            };
            if db.serializable.is_some() {
                let from = low.unwrap_or_else(|| (prefix.clone(), true));
                let upto = high.unwrap_or_else(|| (prefix.clone(), true));
                track(ctx, Read::Range(number, *index, from, upto))?;
            }
            let mut visit = |tid: Tid| offer(ctx, scan, heap, tid, flat, outer, sink);
            let mut forward;
            let mut backward;
            let order: &mut dyn Iterator<Item = Tid> = if *reverse {
                backward = tids.into_iter().rev();
                &mut backward
            } else {
                forward = tids.into_iter();
                &mut forward
            };
            for tid in order {
                if visit(tid)?.is_break() {
                    return Ok(ControlFlow::Break(()));
                }
            }
        }
        Access::AnyOf { index, keys } => {
            let env = Env {
                row: &flat.row,
                outer,
            };
            let mut values = match keys {
                Keys::Array(e) => match eval(ctx, e, &env)? {
                    Value::Array(a) => a.items.clone(),
                    _ => Vec::new(),
                },
                Keys::List(list) => eval_row(ctx, list, &env)?,
            };
            values.retain(|v| !v.is_null());
            values.sort_by(crate::aws::aurora::types::compare);
            values.dedup_by(|a, b| crate::aws::aurora::types::compare(a, b).is_eq());
            let Some(entries) = heap.indexes.get(index) else {
                return ctx.bug("an index without entries");
            };
            for value in values {
                let key = [value];
                track(
                    ctx,
                    Read::Range(number, *index, (key.to_vec(), true), (key.to_vec(), true)),
                )?;
                let tids: Vec<Tid> = entries.equal(&key).collect();
                for tid in tids {
                    if offer(ctx, scan, heap, tid, flat, outer, sink)?.is_break() {
                        return Ok(ControlFlow::Break(()));
                    }
                }
            }
        }
    }
    Ok(ControlFlow::Continue(()))
}

/// The right side's rows by join key, built once for the left's many.
type Table = BTreeMap<Key, Vec<(Vec<Value>, Vec<Tid>)>>;

fn build(ctx: &Ctx<'_>, join: &Join, width: usize, outer: Option<&Env<'_>>) -> Result<Table> {
    let mut table = Table::new();
    let mut right = join.right.clone();
    // The equalities themselves need the left row; they are what the table looks up.
    let needs_left = |e: &crate::aws::aurora::sql::expr::Expr| {
        let mut used = Vec::new();
        e.places(&mut used);
        used.iter().any(|p| !join.right_places.contains(p))
    };
    match &mut right {
        Node::Scan(s) => s.filter.retain(|e| !needs_left(e)),
        Node::Rows(s) => s.filter.retain(|e| !needs_left(e)),
        _ => {}
    }
    let mut scratch = Flat::new(width);
    let mut sink = |flat: &mut Flat| -> Flow {
        let env = Env {
            row: &flat.row,
            outer,
        };
        let mut key = Vec::with_capacity(join.equal.len());
        for (_, r) in &join.equal {
            key.push(eval(ctx, r, &env)?);
        }
        if !key.iter().any(Value::is_null) {
            let entry = table.entry(Key(key.into())).or_default();
            entry.push((flat.row[join.right_places.clone()].to_vec(), flat.tids.clone()));
        }
        Ok(ControlFlow::Continue(()))
    };
    _ = produce(ctx, &right, &mut scratch, outer, &mut sink)?;
    Ok(table)
}

fn right_filter(join: &Join) -> &[crate::aws::aurora::sql::expr::Expr] {
    match &join.right {
        Node::Scan(s) => &s.filter,
        Node::Rows(s) => &s.filter,
        _ => &[],
    }
}

fn scans(node: &Node, out: &mut Vec<usize>) {
    match node {
        Node::Scan(s) => out.push(s.number),
        Node::Join(j) => {
            scans(&j.left, out);
            scans(&j.right, out);
        }
        _ => {}
    }
}

fn produce_join(
    ctx: &Ctx<'_>,
    join: &Join,
    flat: &mut Flat,
    outer: Option<&Env<'_>>,
    sink: Sink<'_>,
) -> Flow {
    if join.kind == JoinKind::Full {
        return full_join(ctx, join, flat, outer, sink);
    }
    let width = flat.row.len();
    let mut table: Option<Table> = None;
    let mut right_scans = Vec::new();
    scans(&join.right, &mut right_scans);
    let mut on_left = |flat: &mut Flat| -> Flow {
        let mut matched = false;
        let mut on_right = |flat: &mut Flat| -> Flow {
            let env = Env {
                row: &flat.row,
                outer,
            };
            if !all_hold(ctx, &join.on, &env)? {
                return Ok(ControlFlow::Continue(()));
            }
            matched = true;
            if !all_hold(ctx, &join.filter_after, &env)? {
                return Ok(ControlFlow::Continue(()));
            }
            sink(flat)
        };
        if join.equal.is_empty() {
            if produce(ctx, &join.right, flat, outer, &mut on_right)?.is_break() {
                return Ok(ControlFlow::Break(()));
            }
        } else {
            if table.is_none() {
                table = Some(build(ctx, join, width, outer)?);
            }
            let env = Env {
                row: &flat.row,
                outer,
            };
            let mut key = Vec::with_capacity(join.equal.len());
            for (l, _) in &join.equal {
                key.push(eval(ctx, l, &env)?);
            }
            let hits = table.as_ref().and_then(|t| t.get(&Key(key.into())));
            for (values, tids) in hits.into_iter().flatten() {
                flat.row[join.right_places.clone()].clone_from_slice(values);
                for number in &right_scans {
                    if flat.tids.len() <= *number {
                        flat.tids.resize(number + 1, 0);
                    }
                    flat.tids[*number] = tids.get(*number).copied().unwrap_or(0);
                }
                let env = Env {
                    row: &flat.row,
                    outer,
                };
                if all_hold(ctx, right_filter(join), &env)? && on_right(flat)?.is_break() {
                    return Ok(ControlFlow::Break(()));
                }
            }
        }
        if join.kind == JoinKind::Left && !matched {
            clear(flat, &join.right);
            let env = Env {
                row: &flat.row,
                outer,
            };
            if all_hold(ctx, &join.filter_after, &env)? {
                return sink(flat);
            }
        }
        Ok(ControlFlow::Continue(()))
    };
    produce(ctx, &join.left, flat, outer, &mut on_left)
}

fn full_join(ctx: &Ctx<'_>, join: &Join, flat: &mut Flat, outer: Option<&Env<'_>>, sink: Sink<'_>) -> Flow {
    let mut rights: Vec<(Flat, bool)> = Vec::new();
    let mut scratch = Flat::new(flat.row.len());
    _ = produce(ctx, &join.right, &mut scratch, outer, &mut |f| {
        rights.push((f.clone(), false));
        Ok(ControlFlow::Continue(()))
    })?;
    let mut on_left = |flat: &mut Flat| -> Flow {
        let mut matched = false;
        for (right, used) in &mut rights {
            flat.row[join.right_places.clone()].clone_from_slice(&right.row[join.right_places.clone()]);
            let env = Env {
                row: &flat.row,
                outer,
            };
            if all_hold(ctx, &join.on, &env)? {
                matched = true;
                *used = true;
                if all_hold(ctx, &join.filter_after, &env)? && sink(flat)?.is_break() {
                    return Ok(ControlFlow::Break(()));
                }
            }
        }
        if !matched {
            clear(flat, &join.right);
            let env = Env {
                row: &flat.row,
                outer,
            };
            if all_hold(ctx, &join.filter_after, &env)? {
                return sink(flat);
            }
        }
        Ok(ControlFlow::Continue(()))
    };
    if produce(ctx, &join.left, flat, outer, &mut on_left)?.is_break() {
        return Ok(ControlFlow::Break(()));
    }
    for (right, used) in &rights {
        if *used {
            continue;
        }
        clear(flat, &join.left);
        flat.row[join.right_places.clone()].clone_from_slice(&right.row[join.right_places.clone()]);
        let env = Env {
            row: &flat.row,
            outer,
        };
        if all_hold(ctx, &join.filter_after, &env)? && sink(flat)?.is_break() {
            return Ok(ControlFlow::Break(()));
        }
    }
    Ok(ControlFlow::Continue(()))
}

/// Whether a row, parts of which have changed, still satisfies the tree's conditions. The nullable side of an outer
/// join that no longer matches is null-extended.
pub(super) fn recheck(ctx: &Ctx<'_>, node: &Node, flat: &mut Flat) -> Result<bool> {
    match node {
        Node::One => Ok(true),
        Node::Scan(s) => {
            let env = Env::of(&flat.row);
            Ok(all_hold(ctx, &s.security, &env)? && all_hold(ctx, &s.filter, &env)?)
        }
        Node::Rows(s) => all_hold(ctx, &s.filter, &Env::of(&flat.row)),
        Node::Join(j) if j.kind == JoinKind::Inner => Ok(recheck(ctx, &j.left, flat)?
            && recheck(ctx, &j.right, flat)?
            && all_hold(ctx, &j.on, &Env::of(&flat.row))?),
        Node::Join(j) => {
            if !recheck(ctx, &j.left, flat)? {
                return Ok(false);
            }
            let matches = recheck(ctx, &j.right, flat)? && all_hold(ctx, &j.on, &Env::of(&flat.row))?;
            if !matches {
                clear(flat, &j.right);
            }
            all_hold(ctx, &j.filter_after, &Env::of(&flat.row))
        }
    }
}
