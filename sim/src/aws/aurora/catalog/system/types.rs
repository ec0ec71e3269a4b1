//! pg_type and what belongs to it.

use super::{SystemTable, nothing};
use crate::aws::aurora::error::Result;
use crate::aws::aurora::exec::{Db, Rows};
use crate::aws::aurora::types::{Type, Value};

const CHAR: Type = Type::Char;
const NAME: Type = Type::Name;
const OID: Type = Type::Oid;

/// `typname`: the short name, `_` in front of an array's.
pub(crate) fn type_name(ty: Type) -> String {
    if let Some(elem) = ty.elem() {
        return format!("_{}", type_name(elem));
    }
    match ty {
        Type::Bool => "bool",
        Type::Int2 => "int2",
        Type::Int4 => "int4",
        Type::Int8 => "int8",
        Type::Float4 => "float4",
        Type::Float8 => "float8",
        Type::Varchar => "varchar",
        Type::Bpchar => "bpchar",
        Type::Char => "char",
        Type::Timestamptz => "timestamptz",
        Type::Timestamp => "timestamp",
        Type::Time => "time",
        other => other.name(),
    }
    .to_string()
}

fn category(ty: Type) -> &'static str {
    if ty.elem().is_some() {
        return "A";
    }
    match ty {
        Type::Bool => "B",
        Type::Timestamptz | Type::Timestamp | Type::Date | Type::Time => "D",
        Type::Interval => "T",
        Type::Record | Type::Void => "P",
        Type::Unknown => "X",
        Type::Char => "Z",
        t if t.is_number() || t.is_oid() => "N",
        t if t.is_string() => "S",
        _ => "U",
    }
}

fn rows(_: &Db<'_>) -> Result<Rows> {
    let arrays = Type::SCALARS.iter().filter_map(|t| t.array());
    let known = Type::SCALARS
        .iter()
        .copied()
        .chain(arrays)
        .filter(|t| t.oid() < 0x7fff_0000);
    let row = |ty: Type| {
        let pseudo = matches!(ty, Type::Record | Type::Void | Type::Unknown | Type::RecordArray);
        let by_value = matches!(ty.len(), 1 | 2 | 4 | 8) && ty.elem().is_none();
        vec![
            Value::Oid(ty.oid()),
            Value::text(type_name(ty)),
            Value::Oid(11),
            Value::Oid(10),
            Value::Int2(ty.len()),
            Value::Bool(by_value),
            Value::text(if pseudo { "p" } else { "b" }),
            Value::text(category(ty)),
            Value::Bool(matches!(
                ty,
                Type::Bool | Type::Text | Type::Float8 | Type::Timestamptz | Type::Interval | Type::Oid
            )),
            Value::Bool(true),
            Value::text(","),
            Value::Oid(0),
            Value::Oid(match ty {
                Type::Name => Type::Char.oid(),
                ty => ty.elem().map_or(0, Type::oid),
            }),
            Value::Oid(ty.array().filter(|a| a.oid() < 0x7fff_0000).map_or(0, Type::oid)),
            Value::Bool(false),
            Value::Oid(0),
            Value::Int4(-1),
            Value::Int4(0),
            Value::Oid(if ty.is_string() && ty != Type::Char {
                100
            } else {
                0
            }),
            Value::Null,
        ]
    };
    Ok(known.map(row).collect())
}

pub(super) static TABLES: &[SystemTable] = &[
    SystemTable {
        schema: "pg_catalog",
        name: "pg_type",
        columns: &[
            ("oid", OID),
            ("typname", NAME),
            ("typnamespace", OID),
            ("typowner", OID),
            ("typlen", Type::Int2),
            ("typbyval", Type::Bool),
            ("typtype", CHAR),
            ("typcategory", CHAR),
            ("typispreferred", Type::Bool),
            ("typisdefined", Type::Bool),
            ("typdelim", CHAR),
            ("typrelid", OID),
            ("typelem", OID),
            ("typarray", OID),
            ("typnotnull", Type::Bool),
            ("typbasetype", OID),
            ("typtypmod", Type::Int4),
            ("typndims", Type::Int4),
            ("typcollation", OID),
            ("typdefault", Type::Text),
        ],
        rows,
    },
    SystemTable {
        schema: "pg_catalog",
        name: "pg_enum",
        columns: &[
            ("oid", OID),
            ("enumtypid", OID),
            ("enumsortorder", Type::Float4),
            ("enumlabel", NAME),
        ],
        rows: nothing,
    },
    SystemTable {
        schema: "pg_catalog",
        name: "pg_range",
        columns: &[("rngtypid", OID), ("rngsubtype", OID), ("rngmultitypid", OID)],
        rows: nothing,
    },
    SystemTable {
        schema: "pg_catalog",
        name: "pg_proc",
        columns: &[
            ("oid", OID),
            ("proname", NAME),
            ("pronamespace", OID),
            ("prokind", CHAR),
            ("prorettype", OID),
        ],
        rows: nothing,
    },
    SystemTable {
        schema: "pg_catalog",
        name: "pg_collation",
        columns: &[("oid", OID), ("collname", NAME), ("collnamespace", OID)],
        rows: |_| {
            let row = |oid, name| vec![Value::Oid(oid), Value::text(name), Value::Oid(11)];
            Ok(vec![row(100, "default"), row(950, "C"), row(951, "POSIX")])
        },
    },
    SystemTable {
        schema: "pg_catalog",
        name: "pg_am",
        columns: &[("oid", OID), ("amname", NAME), ("amtype", CHAR)],
        rows: |_| {
            let row = |oid, name, kind| vec![Value::Oid(oid), Value::text(name), Value::text(kind)];
            Ok(vec![row(2, "heap", "t"), row(403, "btree", "i")])
        },
    },
];
