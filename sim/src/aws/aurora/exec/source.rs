//! Sources of rows that are not tables: subqueries, CTEs, functions, the system catalog.

use std::ops::ControlFlow;
use std::sync::Arc;

use super::eval::{Env, all_hold, eval, eval_row};
use super::node::{Flat, Flow, Sink};
use super::{Ctx, Rows, run};
use crate::aws::aurora::error::{Result, code, fail};
use crate::aws::aurora::sql::plan::{SetFunction, Source, SourceKind, Unit};
use crate::aws::aurora::types::{Json, Numeric, Type, Value, compare};

/// The rows of a slot, computed now if nobody has yet.
pub(super) fn slot(ctx: &Ctx<'_>, slot: usize) -> Result<Arc<Rows>> {
    let db = ctx.db()?;
    if let Some(rows) = db.slots.borrow().get(slot).cloned().flatten() {
        return Ok(rows);
    }
    let rows = db.units.iter().find_map(|unit| match unit {
        Unit::Query { slot: s, query, .. } if *s == slot => Some(run(ctx, query, None, None)),
        Unit::Recursive {
            slot: s,
            working,
            base,
            step,
            distinct,
        } if *s == slot => Some(recursive(ctx, *working, base, step, *distinct)),
        _ => None,
    });
    let Some(rows) = rows else {
        return ctx.bug("a slot that nothing fills");
    };
    let rows = Arc::new(rows?);
    if let Some(place) = db.slots.borrow_mut().get_mut(slot) {
        *place = Some(rows.clone());
    }
    Ok(rows)
}

fn recursive(
    ctx: &Ctx<'_>,
    working: usize,
    base: &crate::aws::aurora::sql::plan::Query,
    step: &crate::aws::aurora::sql::plan::Query,
    distinct: bool,
) -> Result<Rows> {
    let db = ctx.db()?;
    let mut seen = std::collections::BTreeSet::new();
    let mut fresh = |rows: Rows| -> Rows {
        if !distinct {
            return rows;
        }
        rows.into_iter()
            .filter(|r| seen.insert(crate::aws::aurora::types::Key(r.clone().into())))
            .collect()
    };
    let mut table = fresh(run(ctx, base, None, None)?);
    let mut all = table.clone();
    while !table.is_empty() {
        if all.len() > 1_000_000 {
            return fail(
                code::PROGRAM_LIMIT_EXCEEDED,
                "recursive query produced more than 1,000,000 rows",
            );
        }
        if let Some(place) = db.slots.borrow_mut().get_mut(working) {
            *place = Some(Arc::new(table));
        }
        // Subqueries of the recursive term read the working table, which has changed.
        table = fresh(run(ctx, step, None, None)?);
        all.extend(table.iter().cloned());
    }
    Ok(all)
}

pub(super) fn produce(
    ctx: &Ctx<'_>,
    s: &Source,
    flat: &mut Flat,
    outer: Option<&Env<'_>>,
    sink: Sink<'_>,
) -> Flow {
    let mut count = 0;
    let mut offer = |flat: &mut Flat, values: &[Value]| -> Flow {
        count += 1;
        let data = s.width - usize::from(s.ordinality);
        for i in 0..data {
            flat.row[s.offset + i] = values.get(i).cloned().unwrap_or(Value::Null);
        }
        if s.ordinality {
            flat.row[s.offset + data] = Value::Int8(count);
        }
        if !all_hold(
            ctx,
            &s.filter,
            &Env {
                row: &flat.row,
                outer,
            },
        )? {
            return Ok(ControlFlow::Continue(()));
        }
        sink(flat)
    };
    let rows: Arc<Rows> = match &s.kind {
        SourceKind::Query {
            query, lateral: true, ..
        } => {
            let env = Env {
                row: &flat.row,
                outer,
            };
            Arc::new(run(ctx, query, Some(&env), None)?)
        }
        SourceKind::Query {
            query,
            lateral: false,
            slot,
        } => {
            let db = ctx.db()?;
            let kept = db.slots.borrow().get(*slot).cloned().flatten();
            match kept {
                Some(rows) => rows,
                None => {
                    let env = Env {
                        row: &flat.row,
                        outer,
                    };
                    let rows = Arc::new(run(ctx, query, Some(&env), None)?);
                    if let Some(place) = db.slots.borrow_mut().get_mut(*slot) {
                        *place = Some(rows.clone());
                    }
                    rows
                }
            }
        }
        SourceKind::Slot(number) => slot(ctx, *number)?,
        SourceKind::Scalar(e) => Arc::new(vec![vec![eval(
            ctx,
            e,
            &Env {
                row: &flat.row,
                outer,
            },
        )?]]),
        SourceKind::Unnest(arrays) => {
            let values = eval_row(
                ctx,
                arrays,
                &Env {
                    row: &flat.row,
                    outer,
                },
            )?;
            let lists: Vec<&[Value]> = values
                .iter()
                .map(|v| {
                    if let Value::Array(a) = v {
                        a.items.as_slice()
                    } else {
                        &[]
                    }
                })
                .collect();
            let longest = lists.iter().map(|l| l.len()).max().unwrap_or(0);
            let row = |i: usize| {
                lists
                    .iter()
                    .map(|l| l.get(i).cloned().unwrap_or(Value::Null))
                    .collect()
            };
            Arc::new((0..longest).map(row).collect())
        }
        SourceKind::Function(function, args) => {
            let values = eval_row(
                ctx,
                args,
                &Env {
                    row: &flat.row,
                    outer,
                },
            )?;
            Arc::new(call(*function, &values)?)
        }
        SourceKind::System(table) => Arc::new((table.rows)(ctx.db()?)?),
    };
    for values in rows.iter() {
        if offer(flat, values)?.is_break() {
            return Ok(ControlFlow::Break(()));
        }
    }
    Ok(ControlFlow::Continue(()))
}

fn call(function: SetFunction, args: &[Value]) -> Result<Rows> {
    if args.iter().any(Value::is_null) {
        return Ok(Vec::new());
    }
    let json = |v: &Value| match v {
        Value::Jsonb(j) => (**j).clone(),
        _ => Json::Null,
    };
    let wrap = |j: &Json| Value::Jsonb(Arc::new(j.clone()));
    let bare = |j: &Json| j.unquoted().map_or(Value::Null, Value::text);
    match function {
        SetFunction::GenerateSeries => series(args),
        SetFunction::JsonArrayElements | SetFunction::JsonArrayElementsText => match json(&args[0]) {
            Json::Array(items) => Ok(items
                .iter()
                .map(|i| {
                    vec![if function == SetFunction::JsonArrayElements {
                        wrap(i)
                    } else {
                        bare(i)
                    }]
                })
                .collect()),
            Json::Object(_) => fail(
                code::INVALID_PARAMETER_VALUE,
                "cannot extract elements from an object",
            ),
            _ => fail(
                code::INVALID_PARAMETER_VALUE,
                "cannot extract elements from a scalar",
            ),
        },
        SetFunction::JsonEach | SetFunction::JsonEachText | SetFunction::JsonObjectKeys => {
            match json(&args[0]) {
                Json::Object(pairs) => Ok(pairs
                    .iter()
                    .map(|(k, v)| match function {
                        SetFunction::JsonEach => vec![Value::text(k), wrap(v)],
                        SetFunction::JsonEachText => vec![Value::text(k), bare(v)],
                        _ => vec![Value::text(k)],
                    })
                    .collect()),
                _ => fail(
                    code::INVALID_PARAMETER_VALUE,
                    "cannot call this function on a non-object",
                ),
            }
        }
        SetFunction::StringToTable => Ok(args[0]
            .as_str()
            .split(args[1].as_str())
            .map(|p| vec![Value::text(p)])
            .collect()),
    }
}

fn series(args: &[Value]) -> Result<Rows> {
    let zero_step = || fail(code::INVALID_PARAMETER_VALUE, "step size cannot equal zero");
    let (mut at, stop) = (args[0].clone(), &args[1]);
    let mut out = Vec::new();
    let limit = 10_000_000;
    match &at {
        Value::Int4(_) | Value::Int8(_) => {
            let wide = matches!(at, Value::Int8(_));
            let (mut n, stop) = (at.as_i64(), stop.as_i64());
            let step = args.get(2).map_or(1, Value::as_i64);
            if step == 0 {
                return zero_step();
            }
            while (step > 0 && n <= stop || step < 0 && n >= stop) && out.len() < limit {
                out.push(vec![if wide {
                    Value::Int8(n)
                } else {
                    Value::Int4(n as i32)
                }]);
                match n.checked_add(step) {
                    Some(next) => n = next,
                    None => break,
                }
            }
        }
        Value::Numeric(_) => {
            let step = args
                .get(2)
                .and_then(Numeric::try_from_value)
                .unwrap_or(Numeric::from_i64(1));
            if step.signum() == 0 {
                return zero_step();
            }
            while out.len() < limit {
                let order = compare(&at, stop);
                if step.signum() > 0 && order.is_gt() || step.signum() < 0 && order.is_lt() {
                    break;
                }
                out.push(vec![at.clone()]);
                let Value::Numeric(n) = at else { break };
                at = Value::Numeric(n.add(step)?);
            }
        }
        Value::Timestamptz(_) | Value::Timestamp(_) => {
            let Some(Value::Interval(step)) = args.get(2) else {
                return zero_step();
            };
            if step.estimate() == 0 {
                return zero_step();
            }
            while out.len() < limit {
                let order = compare(&at, stop);
                if step.estimate() > 0 && order.is_gt() || step.estimate() < 0 && order.is_lt() {
                    break;
                }
                out.push(vec![at.clone()]);
                at = match at {
                    Value::Timestamptz(t) => {
                        Value::Timestamptz(crate::aws::aurora::func::add_interval(t, *step)?)
                    }
                    Value::Timestamp(t) => {
                        Value::Timestamp(crate::aws::aurora::func::add_interval(t, *step)?)
                    }
                    other => other,
                };
            }
        }
        _ => {
            return fail(
                code::UNDEFINED_FUNCTION,
                format!("generate_series over {}", Type::Text.name()),
            );
        }
    }
    Ok(out)
}
