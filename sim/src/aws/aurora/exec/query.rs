//! SELECT and above: grouping, windows, DISTINCT, ORDER BY, LIMIT, set operations.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use super::eval::{Env, all_hold, eval, eval_row};
use super::node::{Flat, produce};
use super::{Ctx, Rows, aggregate, source, window};
use crate::aws::aurora::error::{Result, code, fail};
use crate::aws::aurora::sql::expr::Expr;
use crate::aws::aurora::sql::plan::{Body, Distinct, Query, Select, SetOp, SortKey};
use crate::aws::aurora::types::{Key, Value, compare};

/// One sort item: place, DESC, NULLS FIRST.
fn by(keys: &[SortKey]) -> impl Fn(&Vec<Value>, &Vec<Value>) -> std::cmp::Ordering + '_ {
    move |a, b| {
        for k in keys {
            let order = directed(&a[k.at], &b[k.at], k.desc, k.nulls_first);
            if order.is_ne() {
                return order;
            }
        }
        std::cmp::Ordering::Equal
    }
}

/// Order of two values under DESC and NULLS FIRST.
pub(super) fn directed(a: &Value, b: &Value, desc: bool, nulls_first: bool) -> std::cmp::Ordering {
    match (a.is_null(), b.is_null()) {
        (true, true) => std::cmp::Ordering::Equal,
        (true, false) if nulls_first => std::cmp::Ordering::Less,
        (true, false) => std::cmp::Ordering::Greater,
        (false, true) if nulls_first => std::cmp::Ordering::Greater,
        (false, true) => std::cmp::Ordering::Less,
        _ if desc => compare(b, a),
        _ => compare(a, b),
    }
}

/// LIMIT or OFFSET as a number of rows.
pub(super) fn count(
    ctx: &Ctx<'_>,
    e: Option<&Expr>,
    outer: Option<&Env<'_>>,
    offset: bool,
) -> Result<Option<usize>> {
    let Some(e) = e else { return Ok(None) };
    let empty: [Value; 0] = [];
    match eval(ctx, e, &Env { row: &empty, outer })? {
        Value::Null => Ok(None),
        v if v.as_i64() < 0 && offset => {
            fail(code::INVALID_ROW_COUNT_IN_OFFSET, "OFFSET must not be negative")
        }
        v if v.as_i64() < 0 => fail(code::INVALID_ROW_COUNT_IN_LIMIT, "LIMIT must not be negative"),
        v => Ok(Some(v.as_i64() as usize)),
    }
}

/// Runs a query and returns its visible columns. `cap` is how many rows the caller will look at.
pub(crate) fn run(ctx: &Ctx<'_>, query: &Query, outer: Option<&Env<'_>>, cap: Option<usize>) -> Result<Rows> {
    let limit = count(ctx, query.limit.as_ref(), outer, false)?;
    let offset = count(ctx, query.offset.as_ref(), outer, true)?.unwrap_or(0);
    let wanted = match (limit, cap) {
        (Some(l), Some(c)) => Some(l.min(c)),
        (l, c) => l.or(c),
    };
    let enough = wanted.map(|w| w.saturating_add(offset));
    let (mut rows, sorted) = match &query.body {
        Body::Select(s) => {
            let sorted = s.presorted || query.order.is_empty();
            let stop = if sorted { enough } else { None };
            (select(ctx, s, outer, stop, &query.order)?, s.presorted)
        }
        Body::Values(list) => {
            let empty: [Value; 0] = [];
            let env = Env { row: &empty, outer };
            (
                list.iter()
                    .map(|row| eval_row(ctx, row, &env))
                    .collect::<Result<_>>()?,
                false,
            )
        }
        Body::SetOp { op, all, left, right } => {
            let l = run(ctx, left, outer, None)?;
            let r = run(ctx, right, outer, None)?;
            (set_operation(*op, *all, l, r), false)
        }
        Body::Slot(number) => (source::slot(ctx, *number)?.as_ref().clone(), false),
    };
    if !query.order.is_empty() && !sorted {
        rows.sort_by(by(&query.order));
    }
    if let Body::Select(s) = &query.body
        && let Distinct::On(places) = &s.distinct
    {
        let mut seen = BTreeSet::new();
        rows.retain(|row| seen.insert(Key(places.iter().map(|p| row[*p].clone()).collect())));
    }
    if offset > 0 {
        rows.drain(..offset.min(rows.len()));
    }
    if let Some(w) = wanted {
        rows.truncate(w);
    }
    if query.hidden() {
        let visible = query.visible();
        rows.iter_mut().for_each(|r| r.truncate(visible));
    }
    Ok(rows)
}

fn set_operation(op: SetOp, all: bool, left: Rows, right: Rows) -> Rows {
    let key = |row: &Vec<Value>| Key(row.clone().into());
    match (op, all) {
        (SetOp::Union, true) => left.into_iter().chain(right).collect(),
        (SetOp::Union, false) => {
            let mut seen = BTreeSet::new();
            left.into_iter()
                .chain(right)
                .filter(|r| seen.insert(key(r)))
                .collect()
        }
        (SetOp::Except | SetOp::Intersect, all) => {
            let mut counts: BTreeMap<Key, usize> = BTreeMap::new();
            for row in &right {
                *counts.entry(key(row)).or_default() += 1;
            }
            let keep_found = op == SetOp::Intersect;
            let mut seen = BTreeSet::new();
            left.into_iter()
                .filter(|row| {
                    let k = key(row);
                    if all {
                        let found = match counts.get_mut(&k) {
                            Some(n) if *n > 0 => {
                                *n -= 1;
                                true
                            }
                            _ => false,
                        };
                        found == keep_found
                    } else {
                        counts.contains_key(&k) == keep_found && seen.insert(k)
                    }
                })
                .collect()
        }
    }
}

/// Output rows of a SELECT, hidden columns included, in the order produced. Stops after `stop` rows if it may.
fn select(
    ctx: &Ctx<'_>,
    s: &Select,
    outer: Option<&Env<'_>>,
    stop: Option<usize>,
    _order: &[SortKey],
) -> Result<Rows> {
    if let Some(group) = &s.group {
        let mut grouping = aggregate::Grouping::new(group);
        let mut flat = Flat::new(s.width);
        _ = produce(ctx, &s.from, &mut flat, outer, &mut |flat| {
            let env = Env {
                row: &flat.row,
                outer,
            };
            if all_hold(ctx, &s.filter, &env)? {
                grouping.add(ctx, &env)?;
            }
            Ok(ControlFlow::Continue(()))
        })?;
        let mut grouped = Vec::new();
        for row in grouping.finish(ctx)? {
            let env = Env { row: &row, outer };
            let keep = match &group.having {
                Some(having) => super::eval::holds(ctx, having, &env)?,
                None => true,
            };
            if keep {
                grouped.push(row);
            }
        }
        return project(ctx, s, grouped, outer);
    }
    if !s.windows.is_empty() {
        let mut flats = Vec::new();
        let mut flat = Flat::new(s.width);
        _ = produce(ctx, &s.from, &mut flat, outer, &mut |flat| {
            if all_hold(
                ctx,
                &s.filter,
                &Env {
                    row: &flat.row,
                    outer,
                },
            )? {
                flats.push(flat.row.clone());
            }
            Ok(ControlFlow::Continue(()))
        })?;
        return project(ctx, s, flats, outer);
    }
    let mut rows: Rows = Vec::new();
    let mut seen = BTreeSet::new();
    let distinct = matches!(s.distinct, Distinct::All);
    let stop = if matches!(s.distinct, Distinct::On(_)) {
        None
    } else {
        stop
    };
    if stop == Some(0) {
        return Ok(rows);
    }
    let mut flat = Flat::new(s.width);
    _ = produce(ctx, &s.from, &mut flat, outer, &mut |flat| {
        let env = Env {
            row: &flat.row,
            outer,
        };
        if !all_hold(ctx, &s.filter, &env)? {
            return Ok(ControlFlow::Continue(()));
        }
        let row = eval_row(ctx, &s.output, &env)?;
        if !distinct || seen.insert(Key(row.clone().into())) {
            rows.push(row);
        }
        if stop.is_some_and(|n| rows.len() >= n) {
            return Ok(ControlFlow::Break(()));
        }
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(rows)
}

fn project(ctx: &Ctx<'_>, s: &Select, mut input: Rows, outer: Option<&Env<'_>>) -> Result<Rows> {
    if !s.windows.is_empty() {
        window::extend(ctx, &s.windows, &mut input, outer)?;
    }
    let mut out = Vec::with_capacity(input.len());
    let mut seen = BTreeSet::new();
    for row in &input {
        let values = eval_row(ctx, &s.output, &Env { row, outer })?;
        if !matches!(s.distinct, Distinct::All) || seen.insert(Key(values.clone().into())) {
            out.push(values);
        }
    }
    Ok(out)
}

/// A row that FOR UPDATE is about to lock.
pub(super) struct Candidate {
    /// The flat row and its tuples.
    pub flat: Flat,
    /// Its output.
    pub output: Vec<Value>,
}

/// The rows of a locking SELECT in their order, before any lock is taken.
pub(super) fn candidates(
    ctx: &Ctx<'_>,
    query: &Query,
    s: &Select,
    stop: Option<usize>,
) -> Result<Vec<Candidate>> {
    let mut out: Vec<Candidate> = Vec::new();
    let sorted = s.presorted || query.order.is_empty();
    let stop = if sorted { stop } else { None };
    let mut flat = Flat::new(s.width);
    _ = produce(ctx, &s.from, &mut flat, None, &mut |flat| {
        let env = Env::of(&flat.row);
        if !all_hold(ctx, &s.filter, &env)? {
            return Ok(ControlFlow::Continue(()));
        }
        let output = eval_row(ctx, &s.output, &env)?;
        out.push(Candidate {
            flat: flat.clone(),
            output,
        });
        Ok(if stop.is_some_and(|n| out.len() >= n) {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        })
    })?;
    if !sorted {
        let order = by(&query.order);
        out.sort_by(|a, b| order(&a.output, &b.output));
    }
    Ok(out)
}

/// The flat rows that satisfy an UPDATE's or DELETE's conditions.
pub(super) fn targets(ctx: &Ctx<'_>, s: &Select) -> Result<Vec<Flat>> {
    let mut out = Vec::new();
    let mut flat = Flat::new(s.width);
    _ = produce(ctx, &s.from, &mut flat, None, &mut |flat| {
        if all_hold(ctx, &s.filter, &Env::of(&flat.row))? {
            out.push(flat.clone());
        }
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(out)
}
