//! The binary format: what sqlx sends and asks for.

use std::sync::Arc;

use bytes::{Buf, BufMut, BytesMut};

use super::{Array, Interval, Json, Numeric, Type, Value};
use crate::aws::aurora::error::{Error, Result, code, fail, unsupported};

/// PostgreSQL's limit on an array's elements.
const ITEMS_MAX: usize = 0x3fff_ffff / 8;

fn short(ty: Type) -> Box<Error> {
    Error::new(
        code::INVALID_BINARY_REPRESENTATION,
        format!("incorrect binary data format for a value of type {}", ty.name()),
    )
}

fn exact<const N: usize>(bytes: &[u8], ty: Type) -> Result<[u8; N]> {
    if bytes.len() < N {
        return fail(code::PROTOCOL_VIOLATION, "insufficient data left in message");
    }
    bytes.try_into().map_err(|_| short(ty))
}

fn utf8(bytes: &[u8]) -> Result<Arc<str>> {
    match std::str::from_utf8(bytes) {
        Ok(s) if !s.contains('\0') => Ok(Arc::from(s)),
        Ok(_) => fail(
            code::CHARACTER_NOT_IN_REPERTOIRE,
            "invalid byte sequence for encoding \"UTF8\": 0x00",
        ),
        Err(_) => fail(
            code::CHARACTER_NOT_IN_REPERTOIRE,
            "invalid byte sequence for encoding \"UTF8\"",
        ),
    }
}

/// Reads a value of a type from its binary form.
pub(crate) fn decode(bytes: &[u8], ty: Type) -> Result<Value> {
    if let Some(elem) = ty.elem() {
        return decode_array(bytes, ty, elem);
    }
    Ok(match ty {
        Type::Bool => Value::Bool(exact::<1>(bytes, ty)?[0] != 0),
        Type::Int2 => Value::Int2(i16::from_be_bytes(exact(bytes, ty)?)),
        Type::Int4 => Value::Int4(i32::from_be_bytes(exact(bytes, ty)?)),
        Type::Int8 => Value::Int8(i64::from_be_bytes(exact(bytes, ty)?)),
        Type::Oid | Type::Regclass | Type::Regtype | Type::Regnamespace | Type::Regrole => {
            Value::Oid(u32::from_be_bytes(exact(bytes, ty)?))
        }
        Type::Float4 => Value::Float4(f32::from_be_bytes(exact(bytes, ty)?)),
        Type::Float8 => Value::Float8(f64::from_be_bytes(exact(bytes, ty)?)),
        Type::Numeric => decode_numeric(bytes)?,
        Type::Text | Type::Varchar | Type::Bpchar | Type::Name | Type::Unknown | Type::Char => {
            Value::Text(utf8(bytes)?)
        }
        Type::Uuid => Value::Uuid(exact(bytes, ty)?),
        Type::Timestamptz => Value::Timestamptz(i64::from_be_bytes(exact(bytes, ty)?)),
        Type::Timestamp => Value::Timestamp(i64::from_be_bytes(exact(bytes, ty)?)),
        Type::Date => Value::Date(i32::from_be_bytes(exact(bytes, ty)?)),
        Type::Time => Value::Time(i64::from_be_bytes(exact(bytes, ty)?)),
        Type::Interval => {
            let mut b: &[u8] = &exact::<16>(bytes, ty)?;
            let micros = b.get_i64();
            let days = b.get_i32();
            Value::Interval(Interval {
                micros,
                days,
                months: b.get_i32(),
            })
        }
        Type::Bytea => Value::Bytea(bytes.into()),
        Type::Json => {
            let text = utf8(bytes)?;
            Json::parse(&text)?;
            Value::Json(text)
        }
        Type::Jsonb => match bytes.split_first() {
            Some((1, text)) => Value::Jsonb(Arc::new(Json::parse(&utf8(text)?)?)),
            _ => {
                return fail(code::INTERNAL_ERROR, "unsupported jsonb version number");
            }
        },
        _ => return unsupported(format_args!("binary input of type {}", ty.name())),
    })
}

fn decode_numeric(bytes: &[u8]) -> Result<Value> {
    let ty = Type::Numeric;
    let mut b = bytes;
    if b.len() < 8 {
        return Err(short(ty));
    }
    let count = b.get_u16() as usize;
    let (weight, sign, scale) = (b.get_i16(), b.get_u16(), b.get_u16());
    if b.len() != count * 2 {
        return Err(short(ty));
    }
    let digits: Vec<i16> = (0..count).map(|_| b.get_i16()).collect();
    match sign {
        0 | 0x4000 => Ok(Value::Numeric(Numeric::from_wire(
            &digits,
            weight,
            sign != 0,
            scale,
        )?)),
        other => match Numeric::from_special_sign(other) {
            Some(n) => Ok(Value::Numeric(n)),
            None => fail(
                code::INVALID_BINARY_REPRESENTATION,
                "invalid sign in external \"numeric\" value",
            ),
        },
    }
}

fn decode_array(bytes: &[u8], ty: Type, elem: Type) -> Result<Value> {
    let mut b = bytes;
    if b.len() < 12 {
        return Err(short(ty));
    }
    let (dimensions, _has_nulls, oid) = (b.get_i32(), b.get_i32(), b.get_u32());
    // A driver may name a compatible element type (text for varchar); anything else would be misread.
    let stated = Type::from_oid(oid).unwrap_or(elem);
    if stated != elem && !(stated.is_string() && elem.is_string()) {
        return fail(
            code::DATATYPE_MISMATCH,
            format!("wrong element type in array of {}", elem.name()),
        );
    }
    if dimensions == 0 {
        return Ok(Value::Array(Arc::new(Array {
            elem,
            items: Vec::new(),
        })));
    }
    if dimensions != 1 {
        return unsupported("a multidimensional array");
    }
    if b.len() < 8 {
        return Err(short(ty));
    }
    let (count, _lower) = (b.get_i32(), b.get_i32());
    let count = usize::try_from(count).map_err(|_| short(ty))?;
    if count > ITEMS_MAX {
        return fail(
            code::PROGRAM_LIMIT_EXCEEDED,
            format!("array size exceeds the maximum allowed ({ITEMS_MAX})"),
        );
    }
    if count > b.len() / 4 {
        return Err(short(ty));
    }
    let mut items = Vec::with_capacity(count);
    for _ in 0..count {
        if b.len() < 4 {
            return Err(short(ty));
        }
        match usize::try_from(b.get_i32()) {
            Err(_) => items.push(Value::Null),
            Ok(len) => {
                let item = b.get(..len).ok_or_else(|| short(ty))?;
                items.push(decode(item, elem)?);
                b.advance(len);
            }
        }
    }
    Ok(Value::Array(Arc::new(Array { elem, items })))
}

/// Appends a value's binary form. NULL appends nothing: its length is written by the caller.
pub(crate) fn encode(value: &Value, ty: Type, out: &mut BytesMut) -> Result<()> {
    match value {
        Value::Null => {}
        Value::Bool(b) => out.put_u8(u8::from(*b)),
        Value::Int2(v) => out.put_i16(*v),
        Value::Int4(v) => out.put_i32(*v),
        Value::Int8(v) => out.put_i64(*v),
        Value::Oid(v) => out.put_u32(*v),
        Value::Float4(v) => out.put_f32(*v),
        Value::Float8(v) => out.put_f64(*v),
        Value::Numeric(n) => {
            if let Some(sign) = n.special_sign() {
                out.put_u32(0);
                out.put_u16(sign);
                // PostgreSQL states 32 digits for an infinity, none for NaN.
                out.put_u16(if sign == 0xc000 { 0 } else { 32 });
                return Ok(());
            }
            let (digits, weight, negative) = n.to_wire();
            out.put_u16(digits.len() as u16);
            out.put_i16(weight);
            out.put_u16(if negative { 0x4000 } else { 0 });
            out.put_u16(n.scale());
            digits.iter().for_each(|d| out.put_i16(*d));
        }
        Value::Text(s) | Value::Json(s) => out.put_slice(s.as_bytes()),
        Value::Uuid(u) => out.put_slice(u),
        Value::Timestamptz(v) | Value::Timestamp(v) | Value::Time(v) => out.put_i64(*v),
        Value::Date(v) => out.put_i32(*v),
        Value::Interval(v) => {
            out.put_i64(v.micros);
            out.put_i32(v.days);
            out.put_i32(v.months);
        }
        Value::Bytea(b) => out.put_slice(b),
        Value::Jsonb(j) => {
            out.put_u8(1);
            out.put_slice(j.to_string().as_bytes());
        }
        Value::Array(a) => {
            let elem = ty.elem().unwrap_or(a.elem);
            out.put_i32(i32::from(!a.items.is_empty()));
            out.put_i32(i32::from(a.items.iter().any(Value::is_null)));
            out.put_u32(elem.oid());
            if !a.items.is_empty() {
                out.put_i32(a.items.len() as i32);
                out.put_i32(1);
            }
            for item in &a.items {
                put_sized(item, elem, out)?;
            }
        }
        Value::Record(_) => return unsupported("binary output of type record"),
    }
    Ok(())
}

/// Appends length and value; -1 for NULL.
fn put_sized(value: &Value, ty: Type, out: &mut BytesMut) -> Result<()> {
    if value.is_null() {
        out.put_i32(-1);
        return Ok(());
    }
    let at = out.len();
    out.put_i32(0);
    encode(value, ty, out)?;
    let len = (out.len() - at - 4) as i32;
    out[at..at + 4].copy_from_slice(&len.to_be_bytes());
    Ok(())
}
