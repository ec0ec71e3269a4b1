//! Casts between types, and the length and precision of a column applied to a value.

use std::sync::Arc;

use super::{Array, Json, Numeric, Type, USECS_PER_DAY, Value, decode_text, to_text};
use crate::aws::aurora::error::{Error, Result, code, fail};

/// Who asks for a cast; each allows what the one before does, and more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum CastContext {
    /// An operator's or function's argument.
    Implicit,
    /// A value stored in a column.
    Assignment,
    /// `CAST` or `::`.
    Explicit,
}

/// Whether PostgreSQL has a cast between the types in this context.
pub(crate) fn castable(from: Type, to: Type, context: CastContext) -> bool {
    use CastContext::{Assignment, Explicit};
    if from == to || from == Type::Unknown {
        return true;
    }
    if let (Some(f), Some(t)) = (from.elem(), to.elem()) {
        return castable(f, t, context);
    }
    if let (Some(f), Some(t)) = (from.number_rank(), to.number_rank()) {
        return f <= t || context >= Assignment;
    }
    if to == Type::Unknown {
        return false;
    }
    let needs = match (from, to) {
        (f, t) if f.is_string() && t.is_string() => {
            if t == Type::Char || t == Type::Name {
                Assignment
            } else {
                CastContext::Implicit
            }
        }
        (Type::Int2 | Type::Int4 | Type::Int8, t) if t.is_oid() => CastContext::Implicit,
        (f, Type::Int4 | Type::Int8) if f.is_oid() => Assignment,
        (f, t) if f.is_oid() && t.is_oid() => CastContext::Implicit,
        (Type::Date, Type::Timestamp | Type::Timestamptz) | (Type::Timestamp, Type::Timestamptz) => {
            CastContext::Implicit
        }
        (Type::Timestamptz, Type::Timestamp | Type::Date | Type::Time)
        | (Type::Timestamp, Type::Date | Type::Time) => Assignment,
        (Type::Time, Type::Interval) => CastContext::Implicit,
        (Type::Interval, Type::Time) => Assignment,
        (Type::Bool, Type::Int4) | (Type::Int4, Type::Bool) => Explicit,
        (Type::Json, Type::Jsonb) | (Type::Jsonb, Type::Json) => Assignment,
        (Type::Jsonb, t) if t.is_number() || t == Type::Bool => Explicit,
        (_, t) if t.is_string() => Assignment,
        (f, _) if f.is_string() => Explicit,
        _ => return false,
    };
    context >= needs
}

fn out_of_range(ty: Type) -> Box<Error> {
    Error::new(
        code::NUMERIC_VALUE_OUT_OF_RANGE,
        format!("{} out of range", ty.name()),
    )
}

fn integer(v: i128, ty: Type) -> Result<Value> {
    Ok(match ty {
        Type::Int2 => Value::Int2(i16::try_from(v).map_err(|_| out_of_range(ty))?),
        Type::Int4 => Value::Int4(i32::try_from(v).map_err(|_| out_of_range(ty))?),
        Type::Int8 => Value::Int8(i64::try_from(v).map_err(|_| out_of_range(ty))?),
        _ => {
            let wide = u32::try_from(v)
                .ok()
                .or_else(|| i32::try_from(v).ok().map(|n| n as u32));
            Value::Oid(wide.ok_or_else(|| Error::new(code::NUMERIC_VALUE_OUT_OF_RANGE, "OID out of range"))?)
        }
    })
}

fn number(value: &Value, to: Type) -> Result<Value> {
    Ok(match to {
        Type::Int2
        | Type::Int4
        | Type::Int8
        | Type::Oid
        | Type::Regclass
        | Type::Regtype
        | Type::Regnamespace
        | Type::Regrole => match value {
            Value::Numeric(n) if n.special().is_some() => {
                return fail(
                    code::FEATURE_NOT_SUPPORTED,
                    format!("cannot convert {n} to {}", to.name()),
                );
            }
            Value::Numeric(n) => integer(n.to_i128(), to)?,
            Value::Float4(_) | Value::Float8(_) => {
                let v = value.as_f64();
                if !v.is_finite() || v.abs() > 1e19 {
                    return Err(out_of_range(to));
                }
                integer(v.round_ties_even() as i128, to)?
            }
            _ => integer(i128::from(value.as_i64()), to)?,
        },
        Type::Numeric => Value::Numeric(match value {
            Value::Numeric(n) => *n,
            Value::Float4(v) => Numeric::from_f64(f64::from(*v), 6)?,
            Value::Float8(v) => Numeric::from_f64(*v, 15)?,
            _ => Numeric::from_i64(value.as_i64()),
        }),
        Type::Float4 => {
            let v = value.as_f64();
            let narrow = v as f32;
            if narrow.is_infinite() && v.is_finite() {
                return fail(code::NUMERIC_VALUE_OUT_OF_RANGE, "value out of range: overflow");
            }
            Value::Float4(narrow)
        }
        _ => Value::Float8(value.as_f64()),
    })
}

/// Converts a value. The binder has checked that the cast exists.
pub(crate) fn cast(
    value: Value,
    from: Type,
    to: Type,
    typmod: i32,
    context: CastContext,
    now: i64,
) -> Result<Value> {
    if value.is_null() {
        return Ok(value);
    }
    let converted = match (&value, to) {
        (Value::Array(a), t) if t.elem().is_some() => {
            let elem = t.elem().unwrap_or(a.elem);
            let items = a
                .items
                .iter()
                .map(|i| cast(i.clone(), a.elem, elem, typmod, context, now));
            return Ok(Value::Array(Arc::new(Array {
                elem,
                items: items.collect::<Result<_>>()?,
            })));
        }
        (Value::Text(s), t) if t.is_string() => {
            if from == Type::Bpchar && to != Type::Bpchar {
                Value::text(s.trim_end_matches(' '))
            } else {
                value
            }
        }
        (Value::Text(s), _) => {
            return decode_text(s, to, typmod, now).and_then(|v| apply_typmod(v, to, typmod, context));
        }
        (Value::Bool(b), t) if t.is_string() => Value::text(if *b { "true" } else { "false" }),
        (Value::Bool(b), Type::Int4) => Value::Int4(i32::from(*b)),
        (Value::Int4(n), Type::Bool) => Value::Bool(*n != 0),
        (Value::Date(d), Type::Timestamp) => Value::Timestamp(i64::from(*d) * USECS_PER_DAY),
        (Value::Date(d), Type::Timestamptz) => Value::Timestamptz(i64::from(*d) * USECS_PER_DAY),
        (Value::Timestamp(t), Type::Timestamptz) => Value::Timestamptz(*t),
        (Value::Timestamptz(t), Type::Timestamp) => Value::Timestamp(*t),
        (Value::Timestamptz(t) | Value::Timestamp(t), Type::Date) => {
            Value::Date(t.div_euclid(USECS_PER_DAY) as i32)
        }
        (Value::Timestamptz(t) | Value::Timestamp(t), Type::Time) => Value::Time(t.rem_euclid(USECS_PER_DAY)),
        (Value::Time(t), Type::Interval) => Value::Interval(super::Interval {
            micros: *t,
            ..Default::default()
        }),
        (Value::Interval(i), Type::Time) => Value::Time(i.micros.rem_euclid(USECS_PER_DAY)),
        (Value::Json(s), Type::Jsonb) => Value::Jsonb(Arc::new(Json::parse(s)?)),
        (Value::Jsonb(j), Type::Json) => Value::Json(j.to_string().into()),
        (Value::Jsonb(j), t) if t.is_number() || t == Type::Bool => match (&**j, t) {
            (Json::Bool(b), Type::Bool) => Value::Bool(*b),
            (Json::Number(n), t) if t.is_number() => number(&Value::Numeric(*n), t)?,
            (other, t) => {
                return fail(
                    code::INVALID_PARAMETER_VALUE,
                    format!("cannot cast jsonb {} to type {}", other.type_name(), t.name()),
                );
            }
        },
        (_, t) if t.is_string() => Value::text(to_text(&value)),
        (v, t) if t.is_number() || t.is_oid() => number(v, t)?,
        _ => value,
    };
    apply_typmod(converted, to, typmod, context)
}

/// Applies a length, precision or scale. An explicit cast truncates a long string; storing one fails.
pub(crate) fn apply_typmod(value: Value, ty: Type, typmod: i32, context: CastContext) -> Result<Value> {
    if typmod < 0 {
        return Ok(value);
    }
    match (&value, ty) {
        (Value::Numeric(n), _) => {
            let packed = typmod - 4;
            Ok(Value::Numeric(
                n.constrain((packed >> 16) as u32, packed & 0xffff)?,
            ))
        }
        (Value::Text(s), Type::Varchar | Type::Bpchar) => {
            let limit = (typmod - 4).max(0) as usize;
            let count = s.chars().count();
            if count > limit {
                let kept: String = s.chars().take(limit).collect();
                let only_spaces = s.chars().skip(limit).all(|c| c == ' ');
                if context != CastContext::Explicit && !only_spaces {
                    return fail(
                        code::STRING_TOO_LONG,
                        format!("value too long for type {}", ty.name_with(typmod)),
                    );
                }
                return Ok(Value::text(kept));
            }
            if ty == Type::Bpchar && count < limit {
                return Ok(Value::text(format!("{s}{}", " ".repeat(limit - count))));
            }
            Ok(value)
        }
        (Value::Timestamptz(t), _) => Ok(Value::Timestamptz(round_micros(*t, typmod))),
        (Value::Timestamp(t), _) => Ok(Value::Timestamp(round_micros(*t, typmod))),
        (Value::Time(t), _) => Ok(Value::Time(round_micros(*t, typmod))),
        (Value::Array(a), _) => {
            let elem = ty.elem().unwrap_or(a.elem);
            let items = a
                .items
                .iter()
                .map(|i| apply_typmod(i.clone(), elem, typmod, context));
            Ok(Value::Array(Arc::new(Array {
                elem: a.elem,
                items: items.collect::<Result<_>>()?,
            })))
        }
        _ => Ok(value),
    }
}

fn round_micros(t: i64, digits: i32) -> i64 {
    if !(0..6).contains(&digits) || t == i64::MAX || t == i64::MIN {
        return t;
    }
    let unit = 10i64.pow(6 - digits as u32);
    (t + unit / 2).div_euclid(unit) * unit
}
