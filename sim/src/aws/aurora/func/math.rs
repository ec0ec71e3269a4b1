//! Numbers.

use super::Builtin;
use crate::aws::aurora::error::{Result, code, fail};
use crate::aws::aurora::exec::Ctx;
use crate::aws::aurora::types::{Numeric, Type, Value};

const I4: Type = Type::Int4;
const I8: Type = Type::Int8;
const NUM: Type = Type::Numeric;
const F8: Type = Type::Float8;

fn num(v: &Value) -> Numeric {
    Numeric::try_from_value(v).unwrap_or(Numeric::ZERO)
}

fn overflow<T>(ty: Type) -> Result<T> {
    fail(
        code::NUMERIC_VALUE_OUT_OF_RANGE,
        format!("{} out of range", ty.name()),
    )
}

fn float(v: f64) -> Result<Value> {
    if v.is_infinite() {
        return fail(code::NUMERIC_VALUE_OUT_OF_RANGE, "value out of range: overflow");
    }
    Ok(Value::Float8(v))
}

fn power(_: &Ctx<'_>, a: &[Value]) -> Result<Value> {
    let (base, exponent) = (num(&a[0]), num(&a[1]));
    if base.special().is_some() || exponent.special().is_some() {
        return exact("power");
    }
    let Ok(n) = i32::try_from(exponent.to_i128()) else {
        return overflow(NUM);
    };
    if base.signum() == 0 && exponent.signum() < 0 {
        return fail("2201F", "zero raised to a negative power is undefined");
    }
    if exponent.trunc(0)? != exponent || n < 0 {
        return exact("power");
    }
    let mut out = Numeric::from_i64(1);
    for _ in 0..n {
        out = out.mul(base)?;
    }
    Ok(Value::Numeric(out.round(16)?))
}

fn power_of_doubles(a: &[Value]) -> Result<Value> {
    let (base, exponent) = (a[0].as_f64(), a[1].as_f64());
    if base == 0.0 && exponent < 0.0 {
        return fail("2201F", "zero raised to a negative power is undefined");
    }
    if base < 0.0 && exponent.fract() != 0.0 {
        return fail(
            "2201F",
            "a negative number raised to a non-integer power yields a complex result",
        );
    }
    float(base.powf(exponent))
}

fn random(_: &Ctx<'_>, _: &[Value]) -> Result<Value> {
    let bits = u64::from_be_bytes(super::system::os_random::<8>()?) >> 11;
    Ok(Value::Float8(bits as f64 / (1u64 << 53) as f64))
}

fn gcd(mut a: u64, mut b: u64) -> u64 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

/// PostgreSQL computes these to as many digits as it takes; a double would round the last ones otherwise.
fn exact<T>(name: &str) -> Result<T> {
    crate::aws::aurora::error::unsupported(format_args!("function {name}(numeric)"))
}

fn bucket(a: &[Value]) -> Result<Value> {
    let (v, low, high, count) = (num(&a[0]), num(&a[1]), num(&a[2]), a[3].as_i64());
    if count <= 0 {
        return fail("2201G", "count must be greater than zero");
    }
    if low == high {
        return fail("2201G", "lower bound cannot equal upper bound");
    }
    let (offset, width) = if low < high {
        (v.sub(low)?, high.sub(low)?)
    } else {
        (low.sub(v)?, low.sub(high)?)
    };
    Ok(Value::Int4(if offset.signum() < 0 {
        0
    } else if offset >= width {
        count as i32 + 1
    } else {
        offset
            .mul(Numeric::from_i64(count))?
            .div(width)?
            .floor()
            .to_i128() as i32
            + 1
    }))
}

fn factorial(a: &[Value]) -> Result<Value> {
    let n = a[0].as_i64();
    if n < 0 {
        return fail(
            code::NUMERIC_VALUE_OUT_OF_RANGE,
            "factorial of a negative number is undefined",
        );
    }
    let mut out = Numeric::from_i64(1);
    for k in 2..=n {
        out = out.mul(Numeric::from_i64(k))?;
    }
    Ok(Value::Numeric(out))
}

fn lcm(a: i64, b: i64) -> i64 {
    if a == 0 || b == 0 {
        return 0;
    }
    let (a, b) = (a.unsigned_abs(), b.unsigned_abs());
    (a / gcd(a, b) * b) as i64
}

pub(super) const TABLE: &[Builtin] = &[
    Builtin::new("~", &[I4], I4, |_, a| Ok(Value::Int4(!(a[0].as_i64() as i32)))),
    Builtin::new("~", &[I8], I8, |_, a| Ok(Value::Int8(!a[0].as_i64()))),
    Builtin::new("abs", &[Type::Int2], Type::Int2, |_, a| {
        match a[0].as_i64() as i16 {
            i16::MIN => overflow(Type::Int2),
            v => Ok(Value::Int2(v.abs())),
        }
    }),
    Builtin::new("sqrt", &[NUM], NUM, |_, a| {
        let n = num(&a[0]);
        if n.signum() < 0 {
            return fail("2201F", "cannot take square root of a negative number");
        }
        Ok(Value::Numeric(n.sqrt()?))
    }),
    Builtin::new("exp", &[NUM], NUM, |_, _| exact("exp")),
    Builtin::new("ln", &[NUM], NUM, |_, _| exact("ln")),
    Builtin::new("log", &[NUM], NUM, |_, _| exact("log")),
    Builtin::new("min_scale", &[NUM], I4, |_, a| {
        let n = num(&a[0]);
        Ok(if n.special().is_some() {
            Value::Null
        } else {
            Value::Int4(n.trim().scale().into())
        })
    }),
    Builtin::new("trim_scale", &[NUM], NUM, |_, a| {
        Ok(Value::Numeric(num(&a[0]).trim()))
    }),
    Builtin::new("width_bucket", &[NUM, NUM, NUM, I4], I4, |_, a| bucket(a)),
    Builtin::new("factorial", &[I8], NUM, |_, a| factorial(a)),
    Builtin::new("gcd", &[I4, I4], I4, |_, a| {
        Ok(Value::Int4(
            gcd(a[0].as_i64().unsigned_abs(), a[1].as_i64().unsigned_abs()) as i32,
        ))
    }),
    Builtin::new("lcm", &[I4, I4], I4, |_, a| {
        Ok(Value::Int4(lcm(a[0].as_i64(), a[1].as_i64()) as i32))
    }),
    Builtin::new("lcm", &[I8, I8], I8, |_, a| {
        Ok(Value::Int8(lcm(a[0].as_i64(), a[1].as_i64())))
    }),
    Builtin::new("abs", &[I4], I4, |_, a| match a[0] {
        Value::Int4(v) => v
            .checked_abs()
            .map_or_else(|| overflow(I4), |v| Ok(Value::Int4(v))),
        _ => Ok(Value::Null),
    }),
    Builtin::new("abs", &[I8], I8, |_, a| {
        a[0].as_i64()
            .checked_abs()
            .map_or_else(|| overflow(I8), |v| Ok(Value::Int8(v)))
    }),
    Builtin::new("abs", &[NUM], NUM, |_, a| {
        let n = num(&a[0]);
        Ok(Value::Numeric(if n.signum() < 0 { n.neg() } else { n }))
    }),
    Builtin::new("abs", &[F8], F8, |_, a| Ok(Value::Float8(a[0].as_f64().abs()))),
    Builtin::new("ceil", &[NUM], NUM, |_, a| Ok(Value::Numeric(num(&a[0]).ceil()))),
    Builtin::new("ceil", &[F8], F8, |_, a| Ok(Value::Float8(a[0].as_f64().ceil()))),
    Builtin::new("ceiling", &[NUM], NUM, |_, a| {
        Ok(Value::Numeric(num(&a[0]).ceil()))
    }),
    Builtin::new("ceiling", &[F8], F8, |_, a| {
        Ok(Value::Float8(a[0].as_f64().ceil()))
    }),
    Builtin::new("floor", &[NUM], NUM, |_, a| {
        Ok(Value::Numeric(num(&a[0]).floor()))
    }),
    Builtin::new("floor", &[F8], F8, |_, a| {
        Ok(Value::Float8(a[0].as_f64().floor()))
    }),
    Builtin::new("round", &[NUM], NUM, |_, a| {
        Ok(Value::Numeric(num(&a[0]).round(0)?))
    }),
    Builtin::new("round", &[F8], F8, |_, a| {
        Ok(Value::Float8(a[0].as_f64().round_ties_even()))
    }),
    Builtin::new("round", &[NUM, I4], NUM, |_, a| {
        Ok(Value::Numeric(num(&a[0]).round(a[1].as_i64() as i32)?))
    }),
    Builtin::new("trunc", &[NUM], NUM, |_, a| {
        Ok(Value::Numeric(num(&a[0]).trunc(0)?))
    }),
    Builtin::new("trunc", &[F8], F8, |_, a| {
        Ok(Value::Float8(a[0].as_f64().trunc()))
    }),
    Builtin::new("trunc", &[NUM, I4], NUM, |_, a| {
        Ok(Value::Numeric(num(&a[0]).trunc(a[1].as_i64() as i32)?))
    }),
    Builtin::new("sign", &[NUM], NUM, |_, a| {
        Ok(Value::Numeric(Numeric::from_i64(num(&a[0]).signum().into())))
    }),
    Builtin::new("sign", &[F8], F8, |_, a| {
        let v = a[0].as_f64();
        Ok(Value::Float8(if v == 0.0 { 0.0 } else { v.signum() }))
    }),
    Builtin::new("mod", &[I4, I4], I4, |_, a| {
        let (x, y) = (a[0].as_i64(), a[1].as_i64());
        if y == 0 {
            fail(code::DIVISION_BY_ZERO, "division by zero")
        } else {
            Ok(Value::Int4((x % y) as i32))
        }
    }),
    Builtin::new("mod", &[I8, I8], I8, |_, a| {
        let (x, y) = (a[0].as_i64(), a[1].as_i64());
        if y == 0 {
            fail(code::DIVISION_BY_ZERO, "division by zero")
        } else {
            Ok(Value::Int8(x.wrapping_rem(y)))
        }
    }),
    Builtin::new("mod", &[NUM, NUM], NUM, |_, a| {
        Ok(Value::Numeric(num(&a[0]).rem(num(&a[1]))?))
    }),
    Builtin::new("div", &[NUM, NUM], NUM, |_, a| {
        let (x, y) = (num(&a[0]), num(&a[1]));
        Ok(Value::Numeric(x.sub(x.rem(y)?)?.div(y)?.trunc(0)?))
    }),
    Builtin::new("power", &[NUM, NUM], NUM, power),
    Builtin::new("power", &[F8, F8], F8, |_, a| power_of_doubles(a)),
    Builtin::new("^", &[NUM, NUM], NUM, power),
    Builtin::new("^", &[F8, F8], F8, |_, a| power_of_doubles(a)),
    Builtin::new("sqrt", &[F8], F8, |_, a| {
        let v = a[0].as_f64();
        if v < 0.0 {
            return fail("2201F", "cannot take square root of a negative number");
        }
        Ok(Value::Float8(v.sqrt()))
    }),
    Builtin::new("exp", &[F8], F8, |_, a| float(a[0].as_f64().exp())),
    Builtin::new("ln", &[F8], F8, |_, a| {
        let v = a[0].as_f64();
        if v <= 0.0 {
            return fail("2201E", "cannot take logarithm of a non-positive number");
        }
        Ok(Value::Float8(v.ln()))
    }),
    Builtin::new("log", &[F8], F8, |_, a| {
        let v = a[0].as_f64();
        if v <= 0.0 {
            return fail("2201E", "cannot take logarithm of a non-positive number");
        }
        Ok(Value::Float8(v.log10()))
    }),
    Builtin::new("pi", &[], F8, |_, _| Ok(Value::Float8(std::f64::consts::PI))),
    Builtin::new("random", &[], F8, random),
    Builtin::new("gcd", &[I8, I8], I8, |_, a| {
        Ok(Value::Int8(
            gcd(a[0].as_i64().unsigned_abs(), a[1].as_i64().unsigned_abs()) as i64,
        ))
    }),
    Builtin::new("scale", &[NUM], I4, |_, a| {
        Ok(Value::Int4(num(&a[0]).scale().into()))
    }),
    Builtin::new("&", &[I4, I4], I4, |_, a| {
        Ok(Value::Int4((a[0].as_i64() & a[1].as_i64()) as i32))
    }),
    Builtin::new("&", &[I8, I8], I8, |_, a| {
        Ok(Value::Int8(a[0].as_i64() & a[1].as_i64()))
    }),
    Builtin::new("|", &[I4, I4], I4, |_, a| {
        Ok(Value::Int4((a[0].as_i64() | a[1].as_i64()) as i32))
    }),
    Builtin::new("|", &[I8, I8], I8, |_, a| {
        Ok(Value::Int8(a[0].as_i64() | a[1].as_i64()))
    }),
    Builtin::new("#", &[I4, I4], I4, |_, a| {
        Ok(Value::Int4((a[0].as_i64() ^ a[1].as_i64()) as i32))
    }),
    Builtin::new("#", &[I8, I8], I8, |_, a| {
        Ok(Value::Int8(a[0].as_i64() ^ a[1].as_i64()))
    }),
    Builtin::new("<<", &[I4, I4], I4, |_, a| {
        Ok(Value::Int4(
            (a[0].as_i64() as i32).wrapping_shl(a[1].as_i64() as u32),
        ))
    }),
    Builtin::new("<<", &[I8, I4], I8, |_, a| {
        Ok(Value::Int8(a[0].as_i64().wrapping_shl(a[1].as_i64() as u32)))
    }),
    Builtin::new(">>", &[I4, I4], I4, |_, a| {
        Ok(Value::Int4(
            (a[0].as_i64() as i32).wrapping_shr(a[1].as_i64() as u32),
        ))
    }),
    Builtin::new(">>", &[I8, I4], I8, |_, a| {
        Ok(Value::Int8(a[0].as_i64().wrapping_shr(a[1].as_i64() as u32)))
    }),
];
