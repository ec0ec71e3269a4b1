//! GROUP BY and aggregates. Groups come out in key order.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::Ctx;
use super::eval::{Env, arith, eval, eval_row, holds};
use super::query::directed;
use crate::aws::aurora::error::Result;
use crate::aws::aurora::func::to_json;
use crate::aws::aurora::sql::expr::Arith;
use crate::aws::aurora::sql::plan::{Aggregate, AggregateKind, Group};
use crate::aws::aurora::types::{
    Array, CastContext, Json, Key, Numeric, Type, Value, cast, compare, to_text,
};

/// State of one aggregate in one group.
#[derive(Debug, Default)]
pub(super) struct Accumulator {
    count: i64,
    value: Value0,
    squares: f64,
    /// The same where sums are exact.
    exact_squares: Numeric,
    seen: BTreeSet<Key>,
    rows: Vec<(Vec<Value>, Vec<Value>)>,
}

/// A value that starts as NULL.
#[derive(Debug)]
struct Value0(Value);

impl Default for Value0 {
    fn default() -> Self {
        Value0(Value::Null)
    }
}

fn collects(kind: AggregateKind) -> bool {
    matches!(
        kind,
        AggregateKind::ArrayAgg
            | AggregateKind::StringAgg
            | AggregateKind::JsonAgg
            | AggregateKind::JsonObjectAgg
    )
}

impl Accumulator {
    /// Takes a row in.
    pub(super) fn add(&mut self, ctx: &Ctx<'_>, a: &Aggregate, env: &Env<'_>) -> Result<()> {
        if let Some(filter) = &a.filter
            && !holds(ctx, filter, env)?
        {
            return Ok(());
        }
        let args = eval_row(ctx, &a.args, env)?;
        let keeps_nulls = matches!(
            a.kind,
            AggregateKind::ArrayAgg | AggregateKind::JsonAgg | AggregateKind::JsonObjectAgg
        );
        if !keeps_nulls && args.first().is_some_and(Value::is_null) {
            return Ok(());
        }
        if a.distinct && !self.seen.insert(Key(args.clone().into())) {
            return Ok(());
        }
        self.count += 1;
        if collects(a.kind) {
            let mut order = Vec::with_capacity(a.order.len());
            for (e, ..) in &a.order {
                order.push(eval(ctx, e, env)?);
            }
            self.rows.push((order, args));
            return Ok(());
        }
        let Some(v) = args.into_iter().next() else {
            return Ok(());
        };
        let have = std::mem::replace(&mut self.value.0, Value::Null);
        self.value.0 = match a.kind {
            AggregateKind::Count => Value::Null,
            AggregateKind::Sum => {
                let v = cast(v, a.input, a.ty, -1, CastContext::Implicit, 0)?;
                sum(have, v, a.ty)?
            }
            AggregateKind::Avg => {
                let v = cast(v, a.input, a.ty, -1, CastContext::Implicit, 0)?;
                sum(have, v, a.ty)?
            }
            AggregateKind::Variance { .. } if a.ty == Type::Numeric => {
                let number = |v: &Value| Numeric::try_from_value(v).unwrap_or(Numeric::ZERO);
                let n = number(&v);
                self.exact_squares = self.exact_squares.add(n.mul(n)?)?;
                Value::Numeric(number(&have).add(n)?)
            }
            AggregateKind::Variance { .. } => {
                self.squares += v.as_f64() * v.as_f64();
                Value::Float8(if have.is_null() {
                    v.as_f64()
                } else {
                    have.as_f64() + v.as_f64()
                })
            }
            AggregateKind::Min => {
                if have.is_null() || compare(&v, &have).is_le() {
                    v
                } else {
                    have
                }
            }
            AggregateKind::Max => {
                if have.is_null() || compare(&v, &have).is_ge() {
                    v
                } else {
                    have
                }
            }
            AggregateKind::BoolAnd => Value::Bool(v.is_true() && (have.is_null() || have.is_true())),
            AggregateKind::BoolOr => Value::Bool(v.is_true() || have.is_true()),
            AggregateKind::BitAnd | AggregateKind::BitOr => {
                let bits = match (have.is_null(), a.kind) {
                    (true, _) => v.as_i64(),
                    (_, AggregateKind::BitAnd) => have.as_i64() & v.as_i64(),
                    _ => have.as_i64() | v.as_i64(),
                };
                cast(Value::Int8(bits), Type::Int8, a.ty, -1, CastContext::Explicit, 0)?
            }
            _ => Value::Null,
        };
        Ok(())
    }

    /// The result.
    pub(super) fn finish(&self, a: &Aggregate) -> Result<Value> {
        let mut rows: Vec<&(Vec<Value>, Vec<Value>)> = self.rows.iter().collect();
        if !a.order.is_empty() {
            rows.sort_by(|x, y| {
                for (i, (_, desc, nulls_first)) in a.order.iter().enumerate() {
                    let order = directed(&x.0[i], &y.0[i], *desc, *nulls_first);
                    if order.is_ne() {
                        return order;
                    }
                }
                std::cmp::Ordering::Equal
            });
        } else if a.distinct {
            rows.sort_by(|x, y| crate::aws::aurora::types::compare_all(&x.1, &y.1));
        }
        Ok(match a.kind {
            AggregateKind::Count => Value::Int8(self.count),
            _ if self.count == 0 => Value::Null,
            AggregateKind::Avg => match &self.value.0 {
                Value::Numeric(n) => Value::Numeric(n.div(Numeric::from_i64(self.count))?),
                Value::Interval(i) => Value::Interval(i.mul(1.0 / self.count as f64)),
                other => Value::Float8(other.as_f64() / self.count as f64),
            },
            AggregateKind::Variance { sample, root } if a.ty == Type::Numeric => {
                let n = Numeric::from_i64(self.count);
                let divisor = if sample {
                    n.mul(Numeric::from_i64(self.count - 1))?
                } else {
                    n.mul(n)?
                };
                if divisor.signum() <= 0 {
                    return Ok(Value::Null);
                }
                let total = Numeric::try_from_value(&self.value.0).unwrap_or(Numeric::ZERO);
                let spread = n.mul(self.exact_squares)?.sub(total.mul(total)?)?;
                if spread.signum() <= 0 {
                    return Ok(Value::Numeric(Numeric::ZERO));
                }
                let variance = spread.div(divisor)?;
                Value::Numeric(if root {
                    variance.sqrt_to(variance.scale())?
                } else {
                    variance
                })
            }
            AggregateKind::Variance { sample, root } => {
                let n = self.count as f64;
                let divisor = if sample { n - 1.0 } else { n };
                if divisor <= 0.0 {
                    return Ok(Value::Null);
                }
                let total = self.value.0.as_f64();
                let variance = ((self.squares - total * total / n) / divisor).max(0.0);
                Value::Float8(if root { variance.sqrt() } else { variance })
            }
            AggregateKind::ArrayAgg => {
                let items = rows.iter().map(|(_, args)| args[0].clone()).collect();
                Value::Array(Arc::new(Array { elem: a.input, items }))
            }
            AggregateKind::StringAgg => {
                let mut out = String::new();
                for (i, (_, args)) in rows.iter().enumerate() {
                    if i > 0 {
                        out.push_str(args[1].as_str());
                    }
                    out.push_str(&to_text(&args[0]));
                }
                Value::text(out)
            }
            AggregateKind::JsonAgg => json(
                a.ty,
                Json::Array(rows.iter().map(|(_, args)| to_json(&args[0])).collect()),
            ),
            AggregateKind::JsonObjectAgg => {
                let pairs = rows
                    .iter()
                    .map(|(_, args)| (to_text(&args[0]), to_json(&args[1])));
                json(a.ty, Json::object(pairs.collect()))
            }
            _ => self.value.0.clone(),
        })
    }
}

fn json(ty: Type, j: Json) -> Value {
    if ty == Type::Json {
        Value::Json(j.to_string().into())
    } else {
        Value::Jsonb(Arc::new(j))
    }
}

fn sum(have: Value, v: Value, ty: Type) -> Result<Value> {
    match (&have, &v) {
        (Value::Null, _) => Ok(v),
        (Value::Interval(a), Value::Interval(b)) => Ok(a.add(*b).map_or(Value::Null, Value::Interval)),
        _ => arith(Arith::Add, ty, &have, &v),
    }
}

/// All groups of a query.
pub(super) struct Grouping<'g> {
    group: &'g Group,
    groups: BTreeMap<Key, Vec<Accumulator>>,
}

impl<'g> Grouping<'g> {
    pub(super) fn new(group: &'g Group) -> Grouping<'g> {
        Grouping {
            group,
            groups: BTreeMap::new(),
        }
    }

    fn fresh(&self) -> Vec<Accumulator> {
        self.group
            .aggregates
            .iter()
            .map(|_| Accumulator::default())
            .collect()
    }

    pub(super) fn add(&mut self, ctx: &Ctx<'_>, env: &Env<'_>) -> Result<()> {
        let key = Key(eval_row(ctx, &self.group.keys, env)?.into());
        let fresh = if self.groups.contains_key(&key) {
            Vec::new()
        } else {
            self.fresh()
        };
        let states = self.groups.entry(key).or_insert(fresh);
        for (state, aggregate) in states.iter_mut().zip(&self.group.aggregates) {
            state.add(ctx, aggregate, env)?;
        }
        Ok(())
    }

    /// Keys and results of every group. Without GROUP BY there is always one.
    pub(super) fn finish(mut self, _: &Ctx<'_>) -> Result<Vec<Vec<Value>>> {
        if self.groups.is_empty() && self.group.keys.is_empty() {
            let fresh = self.fresh();
            self.groups.insert(Key(Box::new([])), fresh);
        }
        let mut out = Vec::with_capacity(self.groups.len());
        for (key, states) in &self.groups {
            let mut row = key.0.to_vec();
            for (state, aggregate) in states.iter().zip(&self.group.aggregates) {
                row.push(state.finish(aggregate)?);
            }
            out.push(row);
        }
        Ok(out)
    }
}
