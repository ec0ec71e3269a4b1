//! Type names.

use sqlparser::ast::{ArrayElemTypeDef, CharacterLength, DataType, ExactNumberInfo, TimezoneInfo};

use crate::aws::aurora::error::{Result, code, fail, unsupported};
use crate::aws::aurora::types::Type;

/// A type by its catalog name.
pub(crate) fn named(name: &str) -> Result<Type> {
    let name = name.trim();
    if let Some(elem) = name.strip_suffix("[]") {
        return match named(elem)?.array() {
            Some(ty) => Ok(ty),
            None => unsupported(format_args!("type {name}")),
        };
    }
    if let Some(elem) = name.strip_prefix('_')
        && let Some(ty) = named(elem)?.array()
    {
        return Ok(ty);
    }
    Ok(match name.to_ascii_lowercase().as_str() {
        "bool" | "boolean" => Type::Bool,
        "int2" | "smallint" => Type::Int2,
        "int4" | "int" | "integer" => Type::Int4,
        "int8" | "bigint" => Type::Int8,
        "float4" | "real" => Type::Float4,
        "float8" | "double precision" => Type::Float8,
        "numeric" | "decimal" => Type::Numeric,
        "text" => Type::Text,
        "varchar" | "character varying" => Type::Varchar,
        "bpchar" | "character" => Type::Bpchar,
        "name" => Type::Name,
        "char" | "\"char\"" => Type::Char,
        "uuid" => Type::Uuid,
        "timestamptz" | "timestamp with time zone" => Type::Timestamptz,
        "timestamp" | "timestamp without time zone" => Type::Timestamp,
        "date" => Type::Date,
        "time" | "time without time zone" => Type::Time,
        "interval" => Type::Interval,
        "bytea" => Type::Bytea,
        "json" => Type::Json,
        "jsonb" => Type::Jsonb,
        "oid" | "xid" | "cid" => Type::Oid,
        "regclass" => Type::Regclass,
        "regtype" => Type::Regtype,
        "regnamespace" => Type::Regnamespace,
        "regrole" => Type::Regrole,
        "record" => Type::Record,
        "void" => Type::Void,
        "unknown" => Type::Unknown,
        _ => return fail(code::UNDEFINED_OBJECT, format!("type \"{name}\" does not exist")),
    })
}

fn length(n: Option<&CharacterLength>, default: i32) -> Result<i32> {
    match n {
        None => Ok(default),
        Some(CharacterLength::IntegerLength { length, .. }) if (1..=10_485_760).contains(length) => {
            Ok(*length as i32 + 4)
        }
        Some(CharacterLength::IntegerLength { length: 0, .. }) => fail(
            code::INVALID_PARAMETER_VALUE,
            "length for type varchar must be at least 1",
        ),
        Some(_) => fail(
            code::INVALID_PARAMETER_VALUE,
            "length for type varchar cannot exceed 10485760",
        ),
    }
}

fn precision(info: &ExactNumberInfo) -> Result<i32> {
    let (p, s) = match info {
        ExactNumberInfo::None => return Ok(-1),
        ExactNumberInfo::Precision(p) => (*p, 0),
        ExactNumberInfo::PrecisionAndScale(p, s) => (*p, *s),
    };
    if !(1..=1000).contains(&p) {
        return fail(
            code::INVALID_PARAMETER_VALUE,
            format!("NUMERIC precision {p} must be between 1 and 1000"),
        );
    }
    if s < 0 || s > p as i64 {
        return unsupported(format_args!("NUMERIC({p},{s}), a scale outside 0..precision"));
    }
    Ok((((p as i32) << 16) | s as i32) + 4)
}

fn fraction(digits: Option<u64>) -> i32 {
    digits.map_or(-1, |d| d.min(6) as i32)
}

/// Type and type modifier of a written type.
pub(crate) fn data_type(ty: &DataType) -> Result<(Type, i32)> {
    Ok(match ty {
        DataType::Boolean | DataType::Bool => (Type::Bool, -1),
        DataType::SmallInt(None) | DataType::Int2(None) => (Type::Int2, -1),
        DataType::Int(None) | DataType::Integer(None) | DataType::Int4(None) => (Type::Int4, -1),
        DataType::BigInt(None) | DataType::Int8(None) => (Type::Int8, -1),
        DataType::Real | DataType::Float4 => (Type::Float4, -1),
        DataType::DoublePrecision | DataType::Float8 | DataType::Float(ExactNumberInfo::None) => {
            (Type::Float8, -1)
        }
        DataType::Double(_) => (Type::Float8, -1),
        DataType::Numeric(info) | DataType::Decimal(info) | DataType::Dec(info) => {
            (Type::Numeric, precision(info)?)
        }
        DataType::Text => (Type::Text, -1),
        DataType::Varchar(n) | DataType::CharacterVarying(n) | DataType::CharVarying(n) => {
            (Type::Varchar, length(n.as_ref(), -1)?)
        }
        DataType::Char(n) | DataType::Character(n) => (Type::Bpchar, length(n.as_ref(), 5)?),
        DataType::Uuid => (Type::Uuid, -1),
        DataType::Timestamp(p, TimezoneInfo::WithTimeZone | TimezoneInfo::Tz) => {
            (Type::Timestamptz, fraction(*p))
        }
        DataType::Timestamp(p, _) => (Type::Timestamp, fraction(*p)),
        DataType::Date => (Type::Date, -1),
        DataType::Time(p, TimezoneInfo::None | TimezoneInfo::WithoutTimeZone) => (Type::Time, fraction(*p)),
        DataType::Interval { .. } => (Type::Interval, -1),
        DataType::Bytea => (Type::Bytea, -1),
        DataType::JSON => (Type::Json, -1),
        DataType::JSONB => (Type::Jsonb, -1),
        DataType::Regclass => (Type::Regclass, -1),
        DataType::Array(
            ArrayElemTypeDef::SquareBracket(inner, _)
            | ArrayElemTypeDef::AngleBracket(inner)
            | ArrayElemTypeDef::Qualified(inner, _),
        ) => {
            let (elem, typmod) = data_type(inner)?;
            match elem.array() {
                Some(array) => (array, typmod),
                None => return unsupported("a multidimensional array type"),
            }
        }
        DataType::Custom(name, modifiers) if modifiers.is_empty() => {
            let (schema, name) = super::qualified(name)?;
            match name.as_str() {
                "bigserial" | "serial8" => (Type::Int8, -1),
                "serial" | "serial4" => (Type::Int4, -1),
                "smallserial" | "serial2" => (Type::Int2, -1),
                // `"char"`, with the quotes, is not `char`.
                "char" if schema.is_some() || matches!(ty, DataType::Custom(..)) => (Type::Char, -1),
                name => (named(name)?, -1),
            }
        }
        other => return unsupported(format_args!("type {other}")),
    })
}

/// The same for a column, and whether the name asks for a sequence of its own.
pub(crate) fn column_type(ty: &DataType) -> Result<(Type, i32, bool)> {
    let serial = match ty {
        DataType::Custom(name, _) => {
            let name = name.to_string().to_lowercase();
            matches!(
                name.as_str(),
                "bigserial" | "serial" | "smallserial" | "serial2" | "serial4" | "serial8"
            )
        }
        _ => false,
    };
    let (ty, typmod) = data_type(ty)?;
    Ok((ty, typmod, serial))
}
