//! Making and comparing dates and intervals: make_date, age, date_bin, justify.

use super::Builtin;
use super::pattern::moment_of;
use crate::aws::aurora::error::{Error, Result, code, fail};
use crate::aws::aurora::exec::Ctx;
use crate::aws::aurora::types::{
    Interval, Type, USECS_PER_DAY, Value, civil_from_days, days_from_civil, to_text,
};

const TZ: Type = Type::Timestamptz;
const TS: Type = Type::Timestamp;
const TIME: Type = Type::Time;
const IV: Type = Type::Interval;
const I4: Type = Type::Int4;
const F8: Type = Type::Float8;

fn moment(v: &Value) -> i64 {
    match v {
        Value::Timestamptz(t) | Value::Timestamp(t) | Value::Time(t) => *t,
        _ => 0,
    }
}

fn interval(v: &Value) -> Interval {
    match v {
        Value::Interval(i) => *i,
        _ => Interval::default(),
    }
}

/// The difference in calendar terms: whole months first, then days, then time.
fn age(later: i64, earlier: i64) -> Value {
    if later < earlier {
        let Value::Interval(i) = age(earlier, later) else {
            return Value::Null;
        };
        return Value::Interval(i.neg());
    }
    let split = |t: i64| {
        let c = civil_from_days(t.div_euclid(USECS_PER_DAY));
        (
            c.year,
            i64::from(c.month),
            i64::from(c.day),
            t.rem_euclid(USECS_PER_DAY),
        )
    };
    let (a, b) = (split(later), split(earlier));
    let mut months = (a.0 - b.0) * 12 + a.1 - b.1;
    let mut days = a.2 - b.2;
    let mut micros = a.3 - b.3;
    if micros < 0 {
        micros += USECS_PER_DAY;
        days -= 1;
    }
    if days < 0 {
        // Borrows the length of the earlier moment's month.
        let (year, month) = if b.1 == 12 { (b.0 + 1, 1) } else { (b.0, b.1 + 1) };
        days += days_from_civil(year, month as u32, 1) - days_from_civil(b.0, b.1 as u32, 1);
        months -= 1;
    }
    Value::Interval(Interval {
        months: months as i32,
        days: days as i32,
        micros,
    })
}

fn today(ctx: &Ctx<'_>) -> i64 {
    ctx.now.div_euclid(USECS_PER_DAY) * USECS_PER_DAY
}

fn bin(a: &[Value]) -> Result<i64> {
    let stride = interval(&a[0]);
    if stride.months != 0 {
        return fail(
            code::FEATURE_NOT_SUPPORTED,
            "timestamps cannot be binned into intervals containing months or years",
        );
    }
    let step = i64::from(stride.days) * USECS_PER_DAY + stride.micros;
    if step <= 0 {
        return fail(code::DATETIME_FIELD_OVERFLOW, "stride must be greater than zero");
    }
    let (t, origin) = (moment(&a[1]), moment(&a[2]));
    Ok(origin + (t - origin).div_euclid(step) * step)
}

fn justify(i: Interval, hours: bool, days: bool) -> Value {
    let mut out = i;
    if hours {
        out.days += (out.micros / USECS_PER_DAY) as i32;
        out.micros %= USECS_PER_DAY;
    }
    if days {
        out.months += out.days / 30;
        out.days %= 30;
    }
    // All parts take the sign of the whole.
    if hours && out.days > 0 && out.micros < 0 {
        out.micros += USECS_PER_DAY;
        out.days -= 1;
    } else if hours && out.days < 0 && out.micros > 0 {
        out.micros -= USECS_PER_DAY;
        out.days += 1;
    }
    Value::Interval(out)
}

fn make_moment(a: &[Value]) -> Result<i64> {
    let date = moment_of(a[0].as_i64(), a[1].as_i64(), a[2].as_i64())?;
    let (hour, minute, seconds) = (a[3].as_i64(), a[4].as_i64(), a[5].as_f64());
    if !(0..=24).contains(&hour) || !(0..60).contains(&minute) || !(0.0..=60.0).contains(&seconds) {
        return Err(Error::new(
            code::DATETIME_FIELD_OVERFLOW,
            "time field value out of range",
        ));
    }
    Ok(date + (hour * 60 + minute) * 60_000_000 + (seconds * 1e6).round() as i64)
}

/// `make_interval(days => 2, hours => 3)`: the binder hands over names and amounts.
fn make_interval(a: &[Value]) -> Result<Value> {
    let mut total = Interval::default();
    for pair in a.chunks(2) {
        let part = Interval::parse(&format!("{} {}", to_text(&pair[1]), pair[0].as_str()))?;
        total = total
            .add(part)
            .ok_or_else(|| Error::new(code::DATETIME_FIELD_OVERFLOW, "interval out of range"))?;
    }
    Ok(Value::Interval(total))
}

fn clock(t: i64) -> Value {
    Value::Time(t.rem_euclid(USECS_PER_DAY))
}

pub(super) const TABLE: &[Builtin] = &[
    Builtin::new("age", &[TS, TS], IV, |_, a| Ok(age(moment(&a[0]), moment(&a[1])))),
    Builtin::new("age", &[TZ, TZ], IV, |_, a| Ok(age(moment(&a[0]), moment(&a[1])))),
    Builtin::new("age", &[TS], IV, |c, a| Ok(age(today(c), moment(&a[0])))),
    Builtin::new("age", &[TZ], IV, |c, a| Ok(age(today(c), moment(&a[0])))),
    Builtin::new("date_bin", &[IV, TS, TS], TS, |_, a| {
        Ok(Value::Timestamp(bin(a)?))
    }),
    Builtin::new("date_bin", &[IV, TZ, TZ], TZ, |_, a| {
        Ok(Value::Timestamptz(bin(a)?))
    }),
    Builtin::new("justify_hours", &[IV], IV, |_, a| {
        Ok(justify(interval(&a[0]), true, false))
    }),
    Builtin::new("justify_days", &[IV], IV, |_, a| {
        Ok(justify(interval(&a[0]), false, true))
    }),
    Builtin::new("justify_interval", &[IV], IV, |_, a| {
        Ok(justify(interval(&a[0]), true, true))
    }),
    Builtin::new("make_date", &[I4, I4, I4], Type::Date, |_, a| {
        let t = moment_of(a[0].as_i64(), a[1].as_i64(), a[2].as_i64())?;
        Ok(Value::Date(t.div_euclid(USECS_PER_DAY) as i32))
    }),
    Builtin::new("make_timestamp", &[I4, I4, I4, I4, I4, F8], TS, |_, a| {
        Ok(Value::Timestamp(make_moment(a)?))
    }),
    Builtin::new("make_timestamptz", &[I4, I4, I4, I4, I4, F8], TZ, |_, a| {
        Ok(Value::Timestamptz(make_moment(a)?))
    }),
    Builtin::new("make_interval", &[super::ANY], IV, |_, a| make_interval(a)).variadic(),
    Builtin::new("+", &[TIME, IV], TIME, |_, a| {
        Ok(clock(moment(&a[0]) + interval(&a[1]).micros))
    }),
    Builtin::new("-", &[TIME, TIME], IV, |_, a| {
        Ok(Value::Interval(Interval {
            micros: moment(&a[0]) - moment(&a[1]),
            ..Interval::default()
        }))
    }),
    Builtin::new("-", &[TIME, IV], TIME, |_, a| {
        Ok(clock(moment(&a[0]) - interval(&a[1]).micros))
    }),
];
