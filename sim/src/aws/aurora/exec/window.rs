//! Window functions over the default frame.

use super::eval::{Env, eval, eval_row};
use super::query::directed;
use super::{Ctx, Rows, aggregate};
use crate::aws::aurora::error::Result;
use crate::aws::aurora::sql::plan::{Window, WindowKind};
use crate::aws::aurora::types::{Value, compare_all};

/// Appends one value per window function to every row.
pub(super) fn extend(
    ctx: &Ctx<'_>,
    windows: &[Window],
    rows: &mut Rows,
    outer: Option<&Env<'_>>,
) -> Result<()> {
    let mut columns = Vec::with_capacity(windows.len());
    for window in windows {
        columns.push(compute(ctx, window, rows, outer)?);
    }
    for column in columns {
        for (row, value) in rows.iter_mut().zip(column) {
            row.push(value);
        }
    }
    Ok(())
}

fn compute(ctx: &Ctx<'_>, w: &Window, rows: &Rows, outer: Option<&Env<'_>>) -> Result<Vec<Value>> {
    let mut keyed = Vec::with_capacity(rows.len());
    for (i, row) in rows.iter().enumerate() {
        let env = Env { row, outer };
        let partition = eval_row(ctx, &w.partition, &env)?;
        let mut order = Vec::with_capacity(w.order.len());
        for (e, ..) in &w.order {
            order.push(eval(ctx, e, &env)?);
        }
        keyed.push((partition, order, i));
    }
    keyed.sort_by(|a, b| {
        compare_all(&a.0, &b.0).then_with(|| {
            for (i, (_, desc, nulls_first)) in w.order.iter().enumerate() {
                let order = directed(&a.1[i], &b.1[i], *desc, *nulls_first);
                if order.is_ne() {
                    return order;
                }
            }
            std::cmp::Ordering::Equal
        })
    });
    let mut out = vec![Value::Null; rows.len()];
    let mut start = 0;
    while start < keyed.len() {
        let mut end = start;
        while end < keyed.len() && compare_all(&keyed[end].0, &keyed[start].0).is_eq() {
            end += 1;
        }
        partition(ctx, w, rows, &keyed[start..end], &mut out, outer)?;
        start = end;
    }
    Ok(out)
}

type Keyed = (Vec<Value>, Vec<Value>, usize);

fn partition(
    ctx: &Ctx<'_>,
    w: &Window,
    rows: &Rows,
    part: &[Keyed],
    out: &mut [Value],
    outer: Option<&Env<'_>>,
) -> Result<()> {
    let arg = |at: usize, n: usize| -> Result<Value> {
        match w.args.get(n) {
            Some(e) => eval(
                ctx,
                e,
                &Env {
                    row: &rows[part[at].2],
                    outer,
                },
            ),
            None => Ok(Value::Null),
        }
    };
    // Peers: rows with equal ORDER BY values. Without ORDER BY the whole partition is one peer group.
    let mut dense = 0;
    let mut state = aggregate::Accumulator::default();
    let mut at = 0;
    while at < part.len() {
        let mut end = at;
        while end < part.len() && compare_all(&part[end].1, &part[at].1).is_eq() {
            end += 1;
        }
        let rank = at + 1;
        dense += 1;
        if let WindowKind::Aggregate(a) = &w.kind {
            for (_, _, i) in &part[at..end] {
                state.add(
                    ctx,
                    a,
                    &Env {
                        row: &rows[*i],
                        outer,
                    },
                )?;
            }
        }
        for i in at..end {
            out[part[i].2] = match &w.kind {
                WindowKind::RowNumber => Value::Int8(i as i64 + 1),
                WindowKind::Rank => Value::Int8(rank as i64),
                WindowKind::DenseRank => Value::Int8(dense),
                WindowKind::Lag | WindowKind::Lead => {
                    let by = match arg(i, 1)? {
                        Value::Null if w.args.len() > 1 => continue,
                        Value::Null => 1,
                        v => v.as_i64(),
                    };
                    let there = if matches!(w.kind, WindowKind::Lag) {
                        i as i64 - by
                    } else {
                        i as i64 + by
                    };
                    match usize::try_from(there).ok().filter(|t| *t < part.len()) {
                        Some(there) => arg(there, 0)?,
                        None => arg(i, 2)?,
                    }
                }
                WindowKind::FirstValue => arg(0, 0)?,
                WindowKind::LastValue => arg(end - 1, 0)?,
                WindowKind::Aggregate(a) => state.finish(a)?,
            };
        }
        at = end;
    }
    Ok(())
}
