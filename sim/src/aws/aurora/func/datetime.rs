//! Dates and times.

use super::Builtin;
use crate::aws::aurora::error::{Error, Result, code, fail, unsupported};
use crate::aws::aurora::exec::Ctx;
use crate::aws::aurora::types::{
    Civil, Interval, Numeric, Type, USECS_PER_DAY, Value, civil_from_days, days_from_civil,
};

const TZ: Type = Type::Timestamptz;
const TS: Type = Type::Timestamp;
const DATE: Type = Type::Date;
const IV: Type = Type::Interval;
const T: Type = Type::Text;
const F8: Type = Type::Float8;
const I4: Type = Type::Int4;

fn micros(v: &Value) -> i64 {
    match v {
        Value::Timestamptz(t) | Value::Timestamp(t) | Value::Time(t) => *t,
        Value::Date(d) => i64::from(*d) * USECS_PER_DAY,
        _ => 0,
    }
}

fn interval(v: &Value) -> Interval {
    match v {
        Value::Interval(i) => *i,
        _ => Interval::default(),
    }
}

fn out_of_range() -> Box<Error> {
    Error::new(code::DATETIME_FIELD_OVERFLOW, "timestamp out of range")
}

/// Adds an interval: months by the calendar, then days, then time.
pub(crate) fn add_interval(t: i64, i: Interval) -> Result<i64> {
    if t == i64::MAX || t == i64::MIN {
        return Ok(t);
    }
    let mut t = t;
    if i.months != 0 {
        let (days, clock) = (t.div_euclid(USECS_PER_DAY), t.rem_euclid(USECS_PER_DAY));
        let c = civil_from_days(days);
        let months = c.year * 12 + i64::from(c.month) - 1 + i64::from(i.months);
        let (year, month) = (months.div_euclid(12), months.rem_euclid(12) as u32 + 1);
        let last = (28..=31)
            .rev()
            .find(|d| civil_from_days(days_from_civil(year, month, *d)).month == month);
        let day = c.day.min(last.unwrap_or(28));
        t = days_from_civil(year, month, day)
            .checked_mul(USECS_PER_DAY)
            .and_then(|d| d.checked_add(clock))
            .ok_or_else(out_of_range)?;
    }
    let days = i64::from(i.days)
        .checked_mul(USECS_PER_DAY)
        .ok_or_else(out_of_range)?;
    t.checked_add(days)
        .and_then(|t| t.checked_add(i.micros))
        .ok_or_else(out_of_range)
}

fn between(later: i64, earlier: i64) -> Value {
    let d = later.saturating_sub(earlier);
    Value::Interval(Interval {
        months: 0,
        days: (d / USECS_PER_DAY) as i32,
        micros: d % USECS_PER_DAY,
    })
}

fn like(v: &Value, t: i64) -> Value {
    match v {
        Value::Timestamptz(_) => Value::Timestamptz(t),
        _ => Value::Timestamp(t),
    }
}

fn plus(a: &[Value]) -> Result<Value> {
    Ok(like(&a[0], add_interval(micros(&a[0]), interval(&a[1]))?))
}

fn minus(a: &[Value]) -> Result<Value> {
    Ok(like(&a[0], add_interval(micros(&a[0]), interval(&a[1]).neg())?))
}

fn trunc(a: &[Value]) -> Result<Value> {
    let t = micros(&a[1]);
    let unit = a[0].as_str().to_lowercase();
    let c = civil_from_days(t.div_euclid(USECS_PER_DAY));
    let day = |y, m, d| days_from_civil(y, m, d) * USECS_PER_DAY;
    let floor = |unit: i64| t.div_euclid(unit) * unit;
    let out = match unit.trim_end_matches('s') {
        "microsecond" => t,
        "millisecond" => floor(1000),
        "second" => floor(1_000_000),
        "minute" => floor(60_000_000),
        "hour" => floor(3_600_000_000),
        "day" => floor(USECS_PER_DAY),
        "week" => {
            let days = t.div_euclid(USECS_PER_DAY);
            // 2000-01-03 was a Monday.
            (days - (days - 2).rem_euclid(7)) * USECS_PER_DAY
        }
        "month" => day(c.year, c.month, 1),
        "quarter" => day(c.year, (c.month - 1) / 3 * 3 + 1, 1),
        "year" => day(c.year, 1, 1),
        "decade" => day(c.year.div_euclid(10) * 10, 1, 1),
        "century" => day((c.year - 1).div_euclid(100) * 100 + 1, 1, 1),
        _ => return unknown_unit(&unit),
    };
    Ok(like(&a[1], out))
}

fn unknown_unit<T>(unit: &str) -> Result<T> {
    fail(
        code::INVALID_PARAMETER_VALUE,
        format!("unit \"{unit}\" not recognized for type timestamp with time zone"),
    )
}

fn decimal(micros: i64) -> Value {
    Value::Numeric(Numeric::new(micros.into(), 6))
}

fn extract(a: &[Value]) -> Result<Value> {
    let unit = a[0].as_str().to_lowercase();
    if let Value::Interval(i) = &a[1] {
        return extract_interval(&unit, *i);
    }
    let t = micros(&a[1]);
    let (days, clock) = (t.div_euclid(USECS_PER_DAY), t.rem_euclid(USECS_PER_DAY));
    let Civil { year, month, day } = civil_from_days(days);
    let whole = |n: i64| Value::Numeric(Numeric::from_i64(n));
    Ok(match unit.as_str() {
        "epoch" => {
            let unix = i128::from(t) + 946_684_800_000_000;
            let scale = if matches!(a[1], Value::Date(_)) { 0 } else { 6 };
            if scale == 0 {
                whole((unix / 1_000_000) as i64)
            } else {
                Value::Numeric(Numeric::new(unix, 6))
            }
        }
        "year" | "years" => whole(year),
        "month" | "months" => whole(month.into()),
        "day" | "days" => whole(day.into()),
        "hour" | "hours" => whole(clock / 3_600_000_000),
        "minute" | "minutes" => whole(clock / 60_000_000 % 60),
        "second" | "seconds" => decimal(clock % 60_000_000),
        "millisecond" | "milliseconds" => Value::Numeric(Numeric::new((clock % 60_000_000).into(), 3)),
        "microsecond" | "microseconds" => whole(clock % 60_000_000),
        "dow" => whole((days + 6).rem_euclid(7)),
        "isodow" => whole((days + 5).rem_euclid(7) + 1),
        "doy" => whole(days - days_from_civil(year, 1, 1) + 1),
        "quarter" => whole(((month - 1) / 3 + 1).into()),
        "decade" => whole(year.div_euclid(10)),
        "century" => whole((year - 1).div_euclid(100) + 1),
        "week" => {
            let thursday = days - (days - 2).rem_euclid(7) + 3;
            let iso_year = civil_from_days(thursday).year;
            whole((thursday - days_from_civil(iso_year, 1, 1)) / 7 + 1)
        }
        "timezone" | "timezone_hour" | "timezone_minute" => whole(0),
        _ => return unknown_unit(&unit),
    })
}

fn extract_interval(unit: &str, i: Interval) -> Result<Value> {
    let whole = |n: i64| Value::Numeric(Numeric::from_i64(n));
    Ok(match unit {
        "epoch" => {
            let years = i128::from(i.months / 12) * 31_557_600_000_000;
            let months = i128::from(i.months % 12) * 30 * i128::from(USECS_PER_DAY);
            let rest = i128::from(i.days) * i128::from(USECS_PER_DAY) + i128::from(i.micros);
            Value::Numeric(Numeric::new(years + months + rest, 6))
        }
        "year" | "years" => whole((i.months / 12).into()),
        "month" | "months" => whole((i.months % 12).into()),
        "day" | "days" => whole(i.days.into()),
        "hour" | "hours" => whole(i.micros / 3_600_000_000),
        "minute" | "minutes" => whole(i.micros / 60_000_000 % 60),
        "second" | "seconds" => decimal(i.micros % 60_000_000),
        "millisecond" | "milliseconds" => Value::Numeric(Numeric::new((i.micros % 60_000_000).into(), 3)),
        _ => {
            return fail(
                code::INVALID_PARAMETER_VALUE,
                format!("unit \"{unit}\" not recognized for type interval"),
            );
        }
    })
}

fn zone(a: &[Value]) -> Result<Value> {
    let name = a[0].as_str();
    if !["utc", "gmt", "z", "etc/utc", "zulu"]
        .iter()
        .any(|n| name.eq_ignore_ascii_case(n))
    {
        return unsupported(format_args!("time zone \"{name}\""));
    }
    Ok(match &a[1] {
        Value::Timestamptz(t) => Value::Timestamp(*t),
        Value::Timestamp(t) => Value::Timestamptz(*t),
        other => other.clone(),
    })
}

fn now(ctx: &Ctx<'_>, _: &[Value]) -> Result<Value> {
    Ok(Value::Timestamptz(ctx.now))
}

fn clock(_: &Ctx<'_>, _: &[Value]) -> Result<Value> {
    Ok(Value::Timestamptz(crate::aws::aurora::types::from_unix_micros(
        std::time::SystemTime::now(),
    )))
}

fn from_epoch(a: &[Value]) -> Result<Value> {
    let secs = a[0].as_f64();
    if !secs.is_finite() || secs.abs() > 9e12 {
        return Err(out_of_range());
    }
    Ok(Value::Timestamptz(
        (secs * 1e6).round() as i64 - 946_684_800_000_000,
    ))
}

fn scaled(a: &Value, factor: f64) -> Result<Value> {
    if !factor.is_finite() {
        return fail(code::DIVISION_BY_ZERO, "division by zero");
    }
    Ok(Value::Interval(interval(a).mul(factor)))
}

fn whole_days(d: i64) -> Result<Value> {
    i32::try_from(d)
        .map(Value::Date)
        .map_err(|_| Error::new(code::DATETIME_FIELD_OVERFLOW, "date out of range"))
}

pub(super) const TABLE: &[Builtin] = &[
    Builtin::new("now", &[], TZ, now),
    Builtin::new("current_timestamp", &[], TZ, now),
    Builtin::new("transaction_timestamp", &[], TZ, now),
    Builtin::new("statement_timestamp", &[], TZ, |ctx, _| {
        Ok(Value::Timestamptz(ctx.statement_now))
    }),
    Builtin::new("clock_timestamp", &[], TZ, clock),
    Builtin::new("localtimestamp", &[], TS, |ctx, _| Ok(Value::Timestamp(ctx.now))),
    Builtin::new("current_date", &[], DATE, |ctx, _| {
        whole_days(ctx.now.div_euclid(USECS_PER_DAY))
    }),
    Builtin::new("+", &[TZ, IV], TZ, |_, a| plus(a)),
    Builtin::new("+", &[TS, IV], TS, |_, a| plus(a)),
    Builtin::new("+", &[DATE, IV], TS, |_, a| plus(a)),
    Builtin::new("+", &[IV, TZ], TZ, |_, a| plus(&[a[1].clone(), a[0].clone()])),
    Builtin::new("+", &[IV, TS], TS, |_, a| plus(&[a[1].clone(), a[0].clone()])),
    Builtin::new("+", &[DATE, I4], DATE, |_, a| {
        whole_days(micros(&a[0]) / USECS_PER_DAY + a[1].as_i64())
    }),
    Builtin::new("+", &[IV, IV], IV, |_, a| {
        interval(&a[0])
            .add(interval(&a[1]))
            .map(Value::Interval)
            .ok_or_else(|| Error::new(code::DATETIME_FIELD_OVERFLOW, "interval out of range"))
    }),
    Builtin::new("-", &[TZ, IV], TZ, |_, a| minus(a)),
    Builtin::new("-", &[TS, IV], TS, |_, a| minus(a)),
    Builtin::new("-", &[DATE, IV], TS, |_, a| minus(a)),
    Builtin::new("-", &[DATE, I4], DATE, |_, a| {
        whole_days(micros(&a[0]) / USECS_PER_DAY - a[1].as_i64())
    }),
    Builtin::new("-", &[DATE, DATE], I4, |_, a| {
        Ok(Value::Int4(
            ((micros(&a[0]) - micros(&a[1])) / USECS_PER_DAY) as i32,
        ))
    }),
    Builtin::new("-", &[TZ, TZ], IV, |_, a| {
        Ok(between(micros(&a[0]), micros(&a[1])))
    }),
    Builtin::new("-", &[TS, TS], IV, |_, a| {
        Ok(between(micros(&a[0]), micros(&a[1])))
    }),
    Builtin::new("-", &[IV, IV], IV, |_, a| {
        interval(&a[0])
            .add(interval(&a[1]).neg())
            .map(Value::Interval)
            .ok_or_else(|| Error::new(code::DATETIME_FIELD_OVERFLOW, "interval out of range"))
    }),
    Builtin::new("*", &[IV, F8], IV, |_, a| scaled(&a[0], a[1].as_f64())),
    Builtin::new("*", &[F8, IV], IV, |_, a| scaled(&a[1], a[0].as_f64())),
    Builtin::new("/", &[IV, F8], IV, |_, a| scaled(&a[0], 1.0 / a[1].as_f64())),
    Builtin::new("date_trunc", &[T, TZ], TZ, |_, a| trunc(a)),
    Builtin::new("date_trunc", &[T, TS], TS, |_, a| trunc(a)),
    Builtin::new("extract", &[T, TZ], Type::Numeric, |_, a| extract(a)),
    Builtin::new("extract", &[T, TS], Type::Numeric, |_, a| extract(a)),
    Builtin::new("extract", &[T, DATE], Type::Numeric, |_, a| extract(a)),
    Builtin::new("extract", &[T, IV], Type::Numeric, |_, a| extract(a)),
    Builtin::new("date_part", &[T, TZ], F8, |_, a| {
        Ok(Value::Float8(extract(a)?.as_f64()))
    }),
    Builtin::new("date_part", &[T, TS], F8, |_, a| {
        Ok(Value::Float8(extract(a)?.as_f64()))
    }),
    Builtin::new("date_part", &[T, IV], F8, |_, a| {
        Ok(Value::Float8(extract(a)?.as_f64()))
    }),
    Builtin::new("timezone", &[T, TZ], TS, |_, a| zone(a)),
    Builtin::new("timezone", &[T, TS], TZ, |_, a| zone(a)),
    Builtin::new("to_timestamp", &[F8], TZ, |_, a| from_epoch(a)),
];
