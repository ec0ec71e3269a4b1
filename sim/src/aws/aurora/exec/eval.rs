//! Expression evaluation, with SQL's three-valued logic.

use std::cmp::Ordering;
use std::sync::Arc;

use super::{Ctx, run};
use crate::aws::aurora::catalog::system;
use crate::aws::aurora::error::{Error, Result, code, fail};
use crate::aws::aurora::sql::expr::{Arith, Ask, Compare, Expr, SubQuery};
use crate::aws::aurora::types::{Array, Numeric, Type, Value, cast, compare};

/// The current row, and those of the enclosing queries.
#[derive(Clone, Copy)]
pub(crate) struct Env<'a> {
    /// The row.
    pub row: &'a [Value],
    /// The enclosing query's.
    pub outer: Option<&'a Env<'a>>,
}

impl<'a> Env<'a> {
    /// A row with nothing around it.
    pub(crate) fn of(row: &'a [Value]) -> Env<'a> {
        Env { row, outer: None }
    }

    fn up(&self, level: usize) -> Option<&Env<'a>> {
        let mut at = self;
        for _ in 0..level {
            at = at.outer?;
        }
        Some(at)
    }
}

/// Whether a condition is true.
pub(crate) fn holds(ctx: &Ctx<'_>, e: &Expr, env: &Env<'_>) -> Result<bool> {
    Ok(eval(ctx, e, env)?.is_true())
}

/// Whether all conditions are true.
pub(super) fn all_hold(ctx: &Ctx<'_>, list: &[Expr], env: &Env<'_>) -> Result<bool> {
    for e in list {
        if !holds(ctx, e, env)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Evaluates a list of expressions.
pub(crate) fn eval_row(ctx: &Ctx<'_>, list: &[Expr], env: &Env<'_>) -> Result<Vec<Value>> {
    list.iter().map(|e| eval(ctx, e, env)).collect()
}

/// Evaluates an expression.
pub(crate) fn eval(ctx: &Ctx<'_>, e: &Expr, env: &Env<'_>) -> Result<Value> {
    Ok(match e {
        Expr::Const(v) => v.clone(),
        Expr::Column(at) => env.row.get(*at).cloned().unwrap_or(Value::Null),
        Expr::Outer(level, at) => env
            .up(*level)
            .and_then(|o| o.row.get(*at))
            .cloned()
            .unwrap_or(Value::Null),
        Expr::Param(n) => match ctx.params.get(*n) {
            Some(v) => v.clone(),
            None => {
                return fail(
                    code::UNDEFINED_PARAMETER,
                    format!("there is no parameter ${}", n + 1),
                );
            }
        },
        Expr::Aggregate(_) | Expr::Window(_) => return ctx.bug("an unresolved aggregate"),
        Expr::Call(builtin, args) => {
            let mut values = Vec::with_capacity(args.len());
            for arg in args {
                let value = eval(ctx, arg, env)?;
                if value.is_null() && builtin.strict {
                    return Ok(Value::Null);
                }
                values.push(value);
            }
            (builtin.run)(ctx, &values)?
        }
        Expr::Cast(inner, from, to, typmod, context) => {
            let value = eval(ctx, inner, env)?;
            if to.is_reg()
                && let Value::Text(name) = &value
            {
                return named_oid(ctx, name, *to);
            }
            if to.is_string() && from.is_reg() {
                let db = ctx.db()?;
                return Ok(
                    system::reg_name(db.catalog, &db.local.search_path(), &value, *from)
                        .map_or(Value::Null, Value::text),
                );
            }
            cast(value, *from, *to, *typmod, *context, ctx.now)?
        }
        Expr::And(parts) => {
            let mut unknown = false;
            for part in parts {
                match eval(ctx, part, env)? {
                    Value::Bool(false) => return Ok(Value::Bool(false)),
                    Value::Null => unknown = true,
                    _ => {}
                }
            }
            if unknown { Value::Null } else { Value::Bool(true) }
        }
        Expr::Or(parts) => {
            let mut unknown = false;
            for part in parts {
                match eval(ctx, part, env)? {
                    Value::Bool(true) => return Ok(Value::Bool(true)),
                    Value::Null => unknown = true,
                    _ => {}
                }
            }
            if unknown { Value::Null } else { Value::Bool(false) }
        }
        Expr::Not(inner) => match eval(ctx, inner, env)? {
            Value::Bool(b) => Value::Bool(!b),
            other => other,
        },
        Expr::IsNull(inner) => Value::Bool(match eval(ctx, inner, env)? {
            Value::Record(fields) => fields.iter().all(Value::is_null),
            other => other.is_null(),
        }),
        Expr::IsBool(inner, wanted) => Value::Bool(match eval(ctx, inner, env)? {
            Value::Bool(b) => b == *wanted,
            _ => false,
        }),
        Expr::Compare(op, a, b) => {
            let (a, b) = (eval(ctx, a, env)?, eval(ctx, b, env)?);
            compared(*op, &a, &b)
        }
        Expr::Same(a, b) => {
            let (a, b) = (eval(ctx, a, env)?, eval(ctx, b, env)?);
            Value::Bool(compare(&a, &b).is_eq())
        }
        Expr::Arith(op, ty, a, b) => {
            let (a, b) = (eval(ctx, a, env)?, eval(ctx, b, env)?);
            if a.is_null() || b.is_null() {
                Value::Null
            } else {
                arith(*op, *ty, &a, &b)?
            }
        }
        Expr::Negate(ty, inner) => {
            let v = eval(ctx, inner, env)?;
            match (&v, ty) {
                (Value::Null, _) => Value::Null,
                (Value::Interval(i), _) => Value::Interval(i.neg()),
                (Value::Numeric(n), _) => Value::Numeric(n.neg()),
                (Value::Float8(f), _) => Value::Float8(-f),
                (Value::Float4(f), _) => Value::Float4(-f),
                (Value::Int2(_), _) => arith(Arith::Sub, Type::Int2, &Value::Int2(0), &v)?,
                (Value::Int4(_), _) => arith(Arith::Sub, Type::Int4, &Value::Int4(0), &v)?,
                _ => arith(Arith::Sub, Type::Int8, &Value::Int8(0), &v)?,
            }
        }
        Expr::Case(arms, other) => {
            for (when, then) in arms {
                if holds(ctx, when, env)? {
                    return eval(ctx, then, env);
                }
            }
            eval(ctx, other, env)?
        }
        Expr::InList(left, list) => {
            let left = eval(ctx, left, env)?;
            let mut unknown = left.is_null();
            for item in list {
                let item = eval(ctx, item, env)?;
                if item.is_null() {
                    unknown = true;
                } else if !left.is_null() && compare(&left, &item).is_eq() {
                    return Ok(Value::Bool(true));
                }
            }
            if unknown { Value::Null } else { Value::Bool(false) }
        }
        Expr::AnyArray(op, left, array, all) => {
            let (left, array) = (eval(ctx, left, env)?, eval(ctx, array, env)?);
            match &array {
                Value::Array(a) => quantified(*op, &left, a.items.iter(), *all),
                _ => Value::Null,
            }
        }
        Expr::Coalesce(list) => {
            for item in list {
                let v = eval(ctx, item, env)?;
                if !v.is_null() {
                    return Ok(v);
                }
            }
            Value::Null
        }
        Expr::Extreme(greatest, list) => {
            let mut best = Value::Null;
            for item in list {
                let v = eval(ctx, item, env)?;
                let better = if *greatest {
                    Ordering::Greater
                } else {
                    Ordering::Less
                };
                if !v.is_null() && (best.is_null() || compare(&v, &best) == better) {
                    best = v;
                }
            }
            best
        }
        Expr::NullIf(a, b) => {
            let (a, b) = (eval(ctx, a, env)?, eval(ctx, b, env)?);
            if !a.is_null() && !b.is_null() && compare(&a, &b).is_eq() {
                Value::Null
            } else {
                a
            }
        }
        Expr::Array(elem, list) => {
            let items = eval_row(ctx, list, env)?;
            Value::Array(Arc::new(Array { elem: *elem, items }))
        }
        Expr::Element(array, at) => {
            let (array, at) = (eval(ctx, array, env)?, eval(ctx, at, env)?);
            match (&array, &at) {
                (Value::Array(a), Value::Int4(n)) => {
                    let place = usize::try_from(*n).ok().and_then(|n| n.checked_sub(1));
                    place.and_then(|p| a.items.get(p)).cloned().unwrap_or(Value::Null)
                }
                _ => Value::Null,
            }
        }
        Expr::Row(list) => Value::Record(eval_row(ctx, list, env)?.into()),
        Expr::Sub(sub) => subquery(ctx, sub, env)?,
    })
}

fn named_oid(ctx: &Ctx<'_>, name: &str, ty: Type) -> Result<Value> {
    let db = ctx.db()?;
    if let Ok(oid) = name.parse() {
        return Ok(Value::Oid(oid));
    }
    if ty == Type::Regtype {
        return Ok(Value::Oid(system::regtype(name)?));
    }
    if ty == Type::Regnamespace || ty == Type::Regrole {
        return system::reg_oid(db.catalog, name, ty).map(Value::Oid);
    }
    match system::regclass(db.catalog, &db.local.search_path(), name) {
        Some(oid) => Ok(Value::Oid(oid)),
        None => fail(
            code::UNDEFINED_TABLE,
            format!("relation \"{name}\" does not exist"),
        ),
    }
}

fn compared(op: Compare, a: &Value, b: &Value) -> Value {
    if a.is_null() || b.is_null() {
        Value::Null
    } else {
        Value::Bool(op.holds(compare(a, b)))
    }
}

fn quantified<'a>(op: Compare, left: &Value, items: impl Iterator<Item = &'a Value>, all: bool) -> Value {
    let mut unknown = false;
    for item in items {
        match compared(op, left, item) {
            Value::Bool(b) if b != all => return Value::Bool(!all),
            Value::Null => unknown = true,
            _ => {}
        }
    }
    if unknown { Value::Null } else { Value::Bool(all) }
}

fn subquery(ctx: &Ctx<'_>, sub: &SubQuery, env: &Env<'_>) -> Result<Value> {
    let rows = if sub.correlated {
        let cap = matches!(sub.ask, Ask::Exists).then_some(1);
        Arc::new(run(ctx, &sub.query, Some(env), cap)?)
    } else {
        let db = ctx.db()?;
        let kept = db.slots.borrow().get(sub.slot).cloned().flatten();
        match kept {
            Some(rows) => rows,
            None => {
                let cap = matches!(sub.ask, Ask::Exists).then_some(1);
                let rows = Arc::new(run(ctx, &sub.query, Some(env), cap)?);
                if let Some(slot) = db.slots.borrow_mut().get_mut(sub.slot) {
                    *slot = Some(rows.clone());
                }
                rows
            }
        }
    };
    let one = |row: &Vec<Value>| row.first().cloned().unwrap_or(Value::Null);
    Ok(match &sub.ask {
        Ask::Exists => Value::Bool(!rows.is_empty()),
        Ask::Scalar => match rows.as_slice() {
            [] => Value::Null,
            [row] => one(row),
            _ => {
                return fail(
                    code::CARDINALITY_VIOLATION,
                    "more than one row returned by a subquery used as an expression",
                );
            }
        },
        Ask::Array(elem) => Value::Array(Arc::new(Array {
            elem: *elem,
            items: rows.iter().map(one).collect(),
        })),
        Ask::Quantified { left, op, all } => {
            let left = eval_row(ctx, left, env)?;
            if let [left] = left.as_slice() {
                return Ok(quantified(*op, left, rows.iter().filter_map(|r| r.first()), *all));
            }
            let mut unknown = false;
            for row in rows.iter() {
                let mut verdict = Value::Bool(true);
                for (l, r) in left.iter().zip(row) {
                    match compared(Compare::Eq, l, r) {
                        Value::Bool(true) => {}
                        Value::Bool(false) => {
                            verdict = Value::Bool(false);
                            break;
                        }
                        other => verdict = other,
                    }
                }
                match verdict {
                    Value::Bool(b) if b != *all => return Ok(Value::Bool(!all)),
                    Value::Null => unknown = true,
                    _ => {}
                }
            }
            if unknown { Value::Null } else { Value::Bool(*all) }
        }
    })
}

fn out_of_range(ty: Type) -> Box<Error> {
    Error::new(
        code::NUMERIC_VALUE_OUT_OF_RANGE,
        format!("{} out of range", ty.name()),
    )
}

fn integers(op: Arith, a: i64, b: i64) -> Result<Option<i64>> {
    Ok(match op {
        Arith::Add => a.checked_add(b),
        Arith::Sub => a.checked_sub(b),
        Arith::Mul => a.checked_mul(b),
        Arith::Div | Arith::Rem if b == 0 => return fail(code::DIVISION_BY_ZERO, "division by zero"),
        Arith::Div => a.checked_div(b),
        Arith::Rem => Some(a.wrapping_rem(b)),
    })
}

fn floats(op: Arith, a: f64, b: f64) -> Result<f64> {
    let out = match op {
        Arith::Add => a + b,
        Arith::Sub => a - b,
        Arith::Mul => a * b,
        Arith::Div if b == 0.0 => return fail(code::DIVISION_BY_ZERO, "division by zero"),
        Arith::Div => a / b,
        Arith::Rem => a % b,
    };
    if out.is_infinite() && a.is_finite() && b.is_finite() {
        return fail(code::NUMERIC_VALUE_OUT_OF_RANGE, "value out of range: overflow");
    }
    Ok(out)
}

pub(super) fn arith(op: Arith, ty: Type, a: &Value, b: &Value) -> Result<Value> {
    Ok(match ty {
        Type::Int8 => Value::Int8(integers(op, a.as_i64(), b.as_i64())?.ok_or_else(|| out_of_range(ty))?),
        Type::Int4 => {
            let wide = integers(op, a.as_i64(), b.as_i64())?;
            Value::Int4(
                wide.and_then(|v| i32::try_from(v).ok())
                    .ok_or_else(|| out_of_range(ty))?,
            )
        }
        Type::Int2 => {
            let wide = integers(op, a.as_i64(), b.as_i64())?;
            Value::Int2(
                wide.and_then(|v| i16::try_from(v).ok())
                    .ok_or_else(|| out_of_range(ty))?,
            )
        }
        Type::Float8 => Value::Float8(floats(op, a.as_f64(), b.as_f64())?),
        Type::Float4 => {
            let out = floats(op, a.as_f64(), b.as_f64())? as f32;
            if out.is_infinite() && a.as_f64().is_finite() && b.as_f64().is_finite() {
                return fail(code::NUMERIC_VALUE_OUT_OF_RANGE, "value out of range: overflow");
            }
            Value::Float4(out)
        }
        _ => {
            let zero = || Numeric::ZERO;
            let x = Numeric::try_from_value(a).unwrap_or_else(zero);
            let y = Numeric::try_from_value(b).unwrap_or_else(zero);
            Value::Numeric(match op {
                Arith::Add => x.add(y)?,
                Arith::Sub => x.sub(y)?,
                Arith::Mul => x.mul(y)?,
                Arith::Div => x.div(y)?,
                Arith::Rem => x.rem(y)?,
            })
        }
    })
}
