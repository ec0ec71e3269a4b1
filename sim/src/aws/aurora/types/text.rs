//! The text format: every type's input and output functions.

use std::fmt::Write as _;
use std::sync::Arc;

use super::datetime::{date_text, parse_clock, parse_date, parse_timestamp, time_text, timestamp_text};
use super::{Array, Interval, Json, Numeric, Type, Value, apply_typmod, array, cast};
use crate::aws::aurora::error::{Error, Result, code, unsupported};

fn invalid(ty: Type, input: &str) -> Box<Error> {
    Error::new(
        code::INVALID_TEXT_REPRESENTATION,
        format!("invalid input syntax for type {}: \"{input}\"", ty.name()),
    )
}

fn integer(input: &str, ty: Type) -> Result<i64> {
    let s = input.trim();
    let digits = s.strip_prefix(['-', '+']).unwrap_or(s);
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(invalid(ty, input));
    }
    let out_of_range = || {
        Error::new(
            code::NUMERIC_VALUE_OUT_OF_RANGE,
            format!("value \"{s}\" is out of range for type {}", ty.name()),
        )
    };
    let value: i64 = s.parse().map_err(|_| out_of_range())?;
    let fits = match ty {
        Type::Int2 => i16::try_from(value).is_ok(),
        Type::Int4 => i32::try_from(value).is_ok(),
        Type::Int8 => true,
        _ => u32::try_from(value).is_ok() || i32::try_from(value).is_ok(),
    };
    if fits { Ok(value) } else { Err(out_of_range()) }
}

fn float(input: &str, ty: Type) -> Result<f64> {
    let s = input.trim();
    let lower = s.to_ascii_lowercase();
    match lower.as_str() {
        "nan" => return Ok(f64::NAN),
        "inf" | "infinity" | "+infinity" => return Ok(f64::INFINITY),
        "-inf" | "-infinity" => return Ok(f64::NEG_INFINITY),
        _ => {}
    }
    if s.is_empty() || !s.bytes().all(|b| b.is_ascii_digit() || b".+-eE".contains(&b)) {
        return Err(invalid(ty, input));
    }
    let value: f64 = s.parse().map_err(|_| invalid(ty, input))?;
    let narrow = ty == Type::Float4 && (value as f32).is_infinite();
    if value.is_infinite() || narrow {
        return Err(Error::new(
            code::NUMERIC_VALUE_OUT_OF_RANGE,
            format!("\"{s}\" is out of range for type {}", ty.name()),
        ));
    }
    Ok(value)
}

fn boolean(input: &str) -> Option<bool> {
    let s = input.trim().to_ascii_lowercase();
    if s.is_empty() {
        return None;
    }
    if "true".starts_with(&s) || "yes".starts_with(&s) || s == "on" || s == "1" {
        return Some(true);
    }
    if "false".starts_with(&s) || "no".starts_with(&s) || (s.len() > 1 && "off".starts_with(&s)) || s == "0" {
        return Some(false);
    }
    None
}

fn uuid(input: &str) -> Option<[u8; 16]> {
    let s = input.trim();
    let s = s.strip_prefix('{').and_then(|s| s.strip_suffix('}')).unwrap_or(s);
    let digits: Vec<u8> = s.bytes().filter(|b| *b != b'-').collect();
    let hyphens_sit_well = s
        .bytes()
        .enumerate()
        .all(|(i, b)| b != b'-' || i % 5 == 3 || i % 5 == 4 || i > 3);
    if digits.len() != 32 || !hyphens_sit_well || s.starts_with('-') || s.ends_with('-') || s.contains("--") {
        return None;
    }
    let mut out = [0; 16];
    for (i, pair) in digits.chunks(2).enumerate() {
        let high = (pair[0] as char).to_digit(16)?;
        let low = (pair[1] as char).to_digit(16)?;
        out[i] = (high * 16 + low) as u8;
    }
    Some(out)
}

fn bytea(input: &str) -> Result<Vec<u8>> {
    if let Some(hex) = input.strip_prefix("\\x") {
        let digits: Vec<u8> = hex.bytes().filter(|b| !b.is_ascii_whitespace()).collect();
        if digits.len() % 2 == 1 {
            return Err(Error::new(
                code::INVALID_PARAMETER_VALUE,
                "invalid hexadecimal data: odd number of digits",
            ));
        }
        let nibble = |b: u8| {
            (b as char).to_digit(16).ok_or_else(|| {
                Error::new(
                    code::INVALID_PARAMETER_VALUE,
                    format!("invalid hexadecimal digit: \"{}\"", b as char),
                )
            })
        };
        return digits
            .chunks(2)
            .map(|p| Ok((nibble(p[0])? * 16 + nibble(p[1])?) as u8))
            .collect();
    }
    let bad = || {
        Error::new(
            code::INVALID_TEXT_REPRESENTATION,
            "invalid input syntax for type bytea",
        )
    };
    let (mut out, bytes) = (Vec::new(), input.as_bytes());
    let mut i = 0;
    while i < bytes.len() {
        if bytes[i] != b'\\' {
            out.push(bytes[i]);
            i += 1;
        } else if bytes.get(i + 1) == Some(&b'\\') {
            out.push(b'\\');
            i += 2;
        } else {
            let octal = input.get(i + 1..i + 4).ok_or_else(bad)?;
            out.push(u8::from_str_radix(octal, 8).map_err(|_| bad())?);
            i += 4;
        }
    }
    Ok(out)
}

/// Reads a value of a type from text. `now` answers the words `now` and `today` of the date types.
pub(crate) fn decode(input: &str, ty: Type, typmod: i32, now: i64) -> Result<Value> {
    if let Some(elem) = ty.elem() {
        return Ok(Value::Array(Arc::new(array::parse(input, elem, typmod, now)?)));
    }
    let value = match ty {
        Type::Unknown | Type::Text | Type::Varchar | Type::Bpchar | Type::Name | Type::Char => {
            Value::text(input)
        }
        Type::Bool => Value::Bool(boolean(input).ok_or_else(|| invalid(ty, input))?),
        Type::Int2 => Value::Int2(integer(input, ty)? as i16),
        Type::Int4 => Value::Int4(integer(input, ty)? as i32),
        Type::Int8 => Value::Int8(integer(input, ty)?),
        Type::Oid => Value::Oid(integer(input, ty)? as u32),
        ty if ty.is_reg() => Value::Oid(integer(input, Type::Oid)? as u32),
        Type::Float4 => Value::Float4(float(input, ty)? as f32),
        Type::Float8 => Value::Float8(float(input, ty)?),
        Type::Numeric => Value::Numeric(Numeric::parse(input)?),
        Type::Uuid => Value::Uuid(uuid(input).ok_or_else(|| invalid(ty, input))?),
        Type::Timestamptz => Value::Timestamptz(parse_timestamp(input, true, now, ty.name())?),
        Type::Timestamp => Value::Timestamp(parse_timestamp(input, false, now, ty.name())?),
        Type::Date => Value::Date(parse_date(input, now)?),
        Type::Time => Value::Time(parse_clock(input.trim(), input, ty.name())?),
        Type::Interval => Value::Interval(Interval::parse(input)?),
        Type::Bytea => Value::Bytea(bytea(input)?.into()),
        Type::Json => {
            Json::parse(input)?;
            Value::Json(Arc::from(input))
        }
        Type::Jsonb => Value::Jsonb(Arc::new(Json::parse(input)?)),
        Type::Void => Value::text(""),
        _ => return unsupported(format_args!("text input of type {}", ty.name())),
    };
    if typmod >= 0 {
        apply_typmod(value, ty, typmod, cast::CastContext::Assignment)
    } else {
        Ok(value)
    }
}

fn write_float(v: f64, shortest: String, out: &mut String) {
    if v.is_nan() {
        out.push_str("NaN");
    } else if v.is_infinite() {
        out.push_str(if v > 0.0 { "Infinity" } else { "-Infinity" });
    } else {
        out.push_str(&shortest);
    }
}

/// Shortest digits that read back the same, with an exponent where PostgreSQL shows one.
fn shortest_float(plain: String, scientific: String) -> String {
    let Some((mantissa, exponent)) = scientific.split_once('e') else {
        return plain;
    };
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if !(-4..15).contains(&exponent) {
        let sign = if exponent < 0 { '-' } else { '+' };
        return format!("{mantissa}e{sign}{:02}", exponent.abs());
    }
    plain
}

/// Writes a value's text form.
pub(crate) fn encode(value: &Value, out: &mut String) {
    match value {
        Value::Null => {}
        Value::Bool(b) => out.push(if *b { 't' } else { 'f' }),
        Value::Int2(v) => _ = write!(out, "{v}"),
        Value::Int4(v) => _ = write!(out, "{v}"),
        Value::Int8(v) => _ = write!(out, "{v}"),
        Value::Oid(v) => _ = write!(out, "{v}"),
        Value::Float4(v) => {
            let text = shortest_float(format!("{v}"), format!("{v:e}"));
            write_float(f64::from(*v), text, out);
        }
        Value::Float8(v) => write_float(*v, shortest_float(format!("{v}"), format!("{v:e}")), out),
        Value::Numeric(v) => _ = write!(out, "{v}"),
        Value::Text(s) | Value::Json(s) => out.push_str(s),
        Value::Uuid(u) => {
            for (i, b) in u.iter().enumerate() {
                if matches!(i, 4 | 6 | 8 | 10) {
                    out.push('-');
                }
                _ = write!(out, "{b:02x}");
            }
        }
        Value::Timestamptz(v) => out.push_str(&timestamp_text(*v, true)),
        Value::Timestamp(v) => out.push_str(&timestamp_text(*v, false)),
        Value::Date(v) => out.push_str(&date_text(*v)),
        Value::Time(v) => out.push_str(&time_text(*v)),
        Value::Interval(v) => _ = write!(out, "{v}"),
        Value::Bytea(b) => {
            out.push_str("\\x");
            for byte in b.iter() {
                _ = write!(out, "{byte:02x}");
            }
        }
        Value::Jsonb(j) => _ = write!(out, "{j}"),
        Value::Array(a) => out.push_str(&a.text()),
        Value::Record(fields) => record(fields, out),
    }
}

fn record(fields: &[Value], out: &mut String) {
    out.push('(');
    for (i, field) in fields.iter().enumerate() {
        if i > 0 {
            out.push(',');
        }
        if field.is_null() {
            continue;
        }
        let text = to_text(field);
        let plain = !text.is_empty()
            && !text.contains(|c: char| c.is_whitespace() || matches!(c, ',' | '(' | ')' | '"' | '\\'));
        if plain {
            out.push_str(&text);
        } else {
            out.push('"');
            for c in text.chars() {
                if matches!(c, '"' | '\\') {
                    out.push(c);
                }
                out.push(c);
            }
            out.push('"');
        }
    }
    out.push(')');
}

/// A value's text form as a new string.
pub(crate) fn to_text(value: &Value) -> String {
    let mut out = String::new();
    encode(value, &mut out);
    out
}

/// Words that are not free to name things: PostgreSQL 15's keywords without the unreserved ones.
const KEYWORDS: &str = "\
    all analyse analyze and any array as asc asymmetric authorization between bigint binary bit \
    boolean both case cast char character check coalesce collate collation column concurrently \
    constraint create cross current_catalog current_date current_role current_schema current_time \
    current_timestamp current_user dec decimal default deferrable desc distinct do else end except \
    exists extract false fetch float for foreign freeze from full grant greatest group grouping \
    having ilike in initially inner inout int integer intersect interval into is isnull join lateral \
    leading least left like limit localtime localtimestamp national natural nchar none normalize not \
    notnull null nullif numeric offset on only or order out outer overlaps overlay placing position \
    precision primary real references returning right row select session_user setof similar smallint \
    some substring symmetric table tablesample then time timestamp to trailing treat trim true union \
    unique user using values varchar variadic verbose when where window with xmlattributes xmlconcat \
    xmlelement xmlexists xmlforest xmlnamespaces xmlparse xmlpi xmlroot xmlserialize xmltable";

/// An identifier, quoted where it must be.
pub(crate) fn quote_ident(name: &str) -> String {
    let plain = name
        .bytes()
        .enumerate()
        .all(|(i, b)| b.is_ascii_lowercase() || b == b'_' || (i > 0 && (b.is_ascii_digit() || b == b'$')));
    let reserved = KEYWORDS.split(' ').any(|k| k == name);
    if plain && !name.is_empty() && !reserved {
        name.to_string()
    } else {
        format!("\"{}\"", name.replace('"', "\"\""))
    }
}

impl std::fmt::Display for Array {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn float_text(v: f64) -> String {
        to_text(&Value::Float8(v))
    }

    #[test]
    fn floats_look_like_postgres() {
        assert_eq!(float_text(1.0), "1");
        assert_eq!(float_text(0.1), "0.1");
        assert_eq!(float_text(1e15), "1e+15");
        assert_eq!(float_text(123_456_789_012_345.0), "123456789012345");
        assert_eq!(float_text(1e-5), "1e-05");
        assert_eq!(float_text(f64::NEG_INFINITY), "-Infinity");
    }
}
