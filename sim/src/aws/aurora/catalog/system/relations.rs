//! pg_class and what hangs on it.

use super::{SystemTable, int2s, oid_of, role_oid, schema_oid};
use crate::aws::aurora::catalog::{Catalog, Column, Identity, KeyPart, Object, Oid, RefAction, Table};
use crate::aws::aurora::error::Result;
use crate::aws::aurora::exec::{Db, Rows};
use crate::aws::aurora::types::{Type, Value};

const BOOL: Type = Type::Bool;
const CHAR: Type = Type::Char;
const I2: Type = Type::Int2;
const I4: Type = Type::Int4;
const NAME: Type = Type::Name;
const OID: Type = Type::Oid;
const TEXT: Type = Type::Text;

fn b(v: bool) -> Value {
    Value::Bool(v)
}

fn t(v: impl AsRef<str>) -> Value {
    Value::text(v)
}

struct Class<'a> {
    oid: Oid,
    schema: &'a str,
    name: &'a str,
    owner: &'a str,
    kind: &'static str,
    columns: usize,
    table: Option<&'a Table>,
}

fn class(catalog: &Catalog, c: &Class<'_>) -> Vec<Value> {
    let table = c.table;
    vec![
        Value::Oid(c.oid),
        t(c.name),
        schema_oid(catalog, c.schema),
        Value::Oid(0),
        Value::Oid(0),
        role_oid(catalog, c.owner),
        Value::Oid(match c.kind {
            "r" => 2,
            "i" => 403,
            _ => 0,
        }),
        Value::Oid(c.oid),
        Value::Oid(0),
        Value::Int4(0),
        Value::Float4(-1.0),
        Value::Oid(0),
        b(table.is_some_and(|t| !t.indexes.is_empty())),
        b(false),
        t(if table.is_some_and(|t| t.temporary) {
            "t"
        } else {
            "p"
        }),
        t(c.kind),
        Value::Int2(c.columns as i16),
        Value::Int2(table.map_or(0, |t| t.checks.len()) as i16),
        b(false),
        // Foreign keys are triggers in PostgreSQL, on both sides.
        b(table.is_some_and(|t| !t.foreign_keys.is_empty() || !t.referenced_by.is_empty())),
        b(false),
        b(table.is_some_and(|t| t.row_security)),
        b(table.is_some_and(|t| t.force_row_security)),
        b(true),
        t(if c.kind == "r" { "d" } else { "n" }),
        b(false),
        Value::Null,
        Value::Null,
        Value::Null,
    ]
}

fn classes(db: &Db<'_>) -> Result<Rows> {
    let mut rows = Vec::new();
    for object in db.catalog.objects.values() {
        match object {
            Object::Table(table) => {
                rows.push(class(
                    db.catalog,
                    &Class {
                        oid: table.oid,
                        schema: &table.schema,
                        name: &table.name,
                        owner: &table.owner,
                        kind: "r",
                        columns: table.columns.len(),
                        table: Some(table),
                    },
                ));
                for index in &table.indexes {
                    rows.push(class(
                        db.catalog,
                        &Class {
                            oid: index.oid,
                            schema: &table.schema,
                            name: &index.name,
                            owner: &table.owner,
                            kind: "i",
                            columns: index.parts.len(),
                            table: None,
                        },
                    ));
                }
            }
            Object::Sequence(s) => rows.push(class(
                db.catalog,
                &Class {
                    oid: s.oid,
                    schema: &s.schema,
                    name: &s.name,
                    owner: &s.owner,
                    kind: "S",
                    columns: 3,
                    table: None,
                },
            )),
            Object::View(v) => rows.push(class(
                db.catalog,
                &Class {
                    oid: v.oid,
                    schema: &v.schema,
                    name: &v.name,
                    owner: &v.owner,
                    kind: "v",
                    columns: v.outputs.len(),
                    table: None,
                },
            )),
            Object::Index(_) => {}
        }
    }
    Ok(rows)
}

fn attribute(relation: Oid, number: usize, c: &Column) -> Vec<Value> {
    vec![
        Value::Oid(relation),
        t(&c.name),
        Value::Oid(if c.dropped { 0 } else { c.ty.oid() }),
        Value::Int4(-1),
        Value::Int2(c.ty.len()),
        Value::Int2(number as i16),
        Value::Int4(if c.ty.elem().is_some() { 1 } else { 0 }),
        Value::Int4(c.typmod),
        b(c.not_null),
        b(c.default.is_some()),
        b(false),
        t(match c.identity {
            None => "",
            Some(Identity::Always) => "a",
            Some(Identity::ByDefault) => "d",
        }),
        t(if c.generated.is_some() { "s" } else { "" }),
        b(c.dropped),
        b(true),
        Value::Int4(0),
        Value::Oid(if c.ty.is_string() && c.ty != Type::Char {
            100
        } else {
            0
        }),
        t("p"),
        t(""),
        Value::Int4(-1),
        Value::Null,
        Value::Null,
        Value::Null,
    ]
}

fn attributes(db: &Db<'_>) -> Result<Rows> {
    let mut rows = Vec::new();
    for object in db.catalog.objects.values() {
        match object {
            Object::Table(table) => {
                for (at, column) in table.columns.iter().enumerate() {
                    rows.push(attribute(table.oid, at + 1, column));
                }
                for index in &table.indexes {
                    for (at, part) in index.parts.iter().enumerate() {
                        let column = match part {
                            KeyPart::Column(c) => Column {
                                not_null: false,
                                default: None,
                                ..table.columns[*c].clone()
                            },
                            KeyPart::Expr(_, ty) => Column::new("expr".into(), *ty, -1),
                        };
                        rows.push(attribute(index.oid, at + 1, &column));
                    }
                }
            }
            Object::View(view) => {
                for (at, output) in view.outputs.iter().enumerate() {
                    let column = Column::new(output.name.clone(), output.ty, output.typmod);
                    rows.push(attribute(view.oid, at + 1, &column));
                }
            }
            _ => {}
        }
    }
    Ok(rows)
}

fn index_rows(db: &Db<'_>) -> Result<Rows> {
    let mut rows = Vec::new();
    for table in db.catalog.tables() {
        for index in &table.indexes {
            let keys = index.parts.iter().map(|p| match p {
                KeyPart::Column(c) => *c as i16 + 1,
                KeyPart::Expr(..) => 0,
            });
            let expressions: Vec<&str> = index
                .parts
                .iter()
                .zip(&index.texts)
                .filter(|(p, _)| matches!(p, KeyPart::Expr(..)))
                .map(|(_, text)| text.as_str())
                .collect();
            let count = Value::Int2(index.parts.len() as i16);
            rows.push(vec![
                Value::Oid(index.oid),
                Value::Oid(table.oid),
                count.clone(),
                count,
                b(index.unique),
                b(index.nulls_equal),
                b(index.primary),
                b(false),
                b(true),
                b(false),
                b(true),
                b(false),
                b(true),
                b(true),
                b(false),
                int2s(keys),
                int2s(index.descending.iter().map(|d| i16::from(*d) * 3)),
                if expressions.is_empty() {
                    Value::Null
                } else {
                    t(expressions.join(", "))
                },
                index.predicate.as_ref().map_or(Value::Null, |(_, text)| t(text)),
            ]);
        }
    }
    Ok(rows)
}

fn action(a: RefAction) -> Value {
    t(match a {
        RefAction::NoAction => "a",
        RefAction::Restrict => "r",
        RefAction::Cascade => "c",
        RefAction::SetNull => "n",
        RefAction::SetDefault => "d",
    })
}

/// A constraint's oid is made up from its name; that of a key is its index's.
pub(super) fn constraint_oid(table: &Table, name: &str) -> Oid {
    match table.indexes.iter().find(|i| i.constraint && i.name == name) {
        Some(index) => index.oid,
        None => oid_of("constraint", table.oid, name),
    }
}

fn constraints(db: &Db<'_>) -> Result<Rows> {
    let mut rows = Vec::new();
    let places = |columns: &[usize]| int2s(columns.iter().map(|c| *c as i16 + 1));
    for table in db.catalog.tables() {
        let mut push = |name: &str,
                        kind: &str,
                        flags: (bool, bool, bool),
                        index: Oid,
                        keys: Value,
                        rest: Vec<Value>,
                        bin: Value| {
            let mut row = vec![
                Value::Oid(constraint_oid(table, name)),
                t(name),
                schema_oid(db.catalog, &table.schema),
                t(kind),
                b(flags.0),
                b(flags.1),
                b(flags.2),
                Value::Oid(table.oid),
                Value::Oid(0),
                Value::Oid(index),
                Value::Oid(0),
                keys,
            ];
            row.extend(rest);
            row.extend([b(true), Value::Int4(0), b(false), bin]);
            rows.push(row);
        };
        let none = || vec![Value::Oid(0), t(" "), t(" "), t(" "), Value::Null];
        for check in &table.checks {
            let mut used = Vec::new();
            check.expr.places(&mut used);
            used.sort_unstable();
            used.dedup();
            push(
                &check.name,
                "c",
                (false, false, check.valid),
                0,
                places(&used),
                none(),
                t(&check.text),
            );
        }
        for fk in &table.foreign_keys {
            let rest = vec![
                Value::Oid(fk.target),
                action(fk.on_update),
                action(fk.on_delete),
                t("s"),
                places(&fk.target_columns),
            ];
            push(
                &fk.name,
                "f",
                (fk.deferrable, fk.deferred, fk.valid),
                fk.target_index,
                places(&fk.columns),
                rest,
                Value::Null,
            );
        }
        for index in table.indexes.iter().filter(|i| i.constraint) {
            let kind = if index.primary { "p" } else { "u" };
            let keys = places(&index.columns().unwrap_or_default());
            push(
                &index.name,
                kind,
                (false, false, true),
                index.oid,
                keys,
                none(),
                Value::Null,
            );
        }
    }
    Ok(rows)
}

fn defaults(db: &Db<'_>) -> Result<Rows> {
    let mut rows = Vec::new();
    for table in db.catalog.tables() {
        for (at, column) in table.live() {
            if let Some((_, text)) = &column.default
                && column.identity.is_none()
            {
                rows.push(vec![
                    Value::Oid(oid_of("default", table.oid, &column.name)),
                    Value::Oid(table.oid),
                    Value::Int2(at as i16 + 1),
                    t(text),
                ]);
            }
        }
    }
    Ok(rows)
}

pub(super) static TABLES: &[SystemTable] = &[
    SystemTable {
        schema: "pg_catalog",
        name: "pg_class",
        columns: &[
            ("oid", OID),
            ("relname", NAME),
            ("relnamespace", OID),
            ("reltype", OID),
            ("reloftype", OID),
            ("relowner", OID),
            ("relam", OID),
            ("relfilenode", OID),
            ("reltablespace", OID),
            ("relpages", I4),
            ("reltuples", Type::Float4),
            ("reltoastrelid", OID),
            ("relhasindex", BOOL),
            ("relisshared", BOOL),
            ("relpersistence", CHAR),
            ("relkind", CHAR),
            ("relnatts", I2),
            ("relchecks", I2),
            ("relhasrules", BOOL),
            ("relhastriggers", BOOL),
            ("relhassubclass", BOOL),
            ("relrowsecurity", BOOL),
            ("relforcerowsecurity", BOOL),
            ("relispopulated", BOOL),
            ("relreplident", CHAR),
            ("relispartition", BOOL),
            ("relacl", Type::TextArray),
            ("reloptions", Type::TextArray),
            ("relpartbound", TEXT),
        ],
        rows: classes,
    },
    SystemTable {
        schema: "pg_catalog",
        name: "pg_attribute",
        columns: &[
            ("attrelid", OID),
            ("attname", NAME),
            ("atttypid", OID),
            ("attstattarget", I4),
            ("attlen", I2),
            ("attnum", I2),
            ("attndims", I4),
            ("atttypmod", I4),
            ("attnotnull", BOOL),
            ("atthasdef", BOOL),
            ("atthasmissing", BOOL),
            ("attidentity", CHAR),
            ("attgenerated", CHAR),
            ("attisdropped", BOOL),
            ("attislocal", BOOL),
            ("attinhcount", I4),
            ("attcollation", OID),
            ("attstorage", CHAR),
            ("attcompression", CHAR),
            ("attcacheoff", I4),
            ("attacl", Type::TextArray),
            ("attoptions", Type::TextArray),
            ("attfdwoptions", Type::TextArray),
        ],
        rows: attributes,
    },
    SystemTable {
        schema: "pg_catalog",
        name: "pg_index",
        columns: &[
            ("indexrelid", OID),
            ("indrelid", OID),
            ("indnatts", I2),
            ("indnkeyatts", I2),
            ("indisunique", BOOL),
            ("indnullsnotdistinct", BOOL),
            ("indisprimary", BOOL),
            ("indisexclusion", BOOL),
            ("indimmediate", BOOL),
            ("indisclustered", BOOL),
            ("indisvalid", BOOL),
            ("indcheckxmin", BOOL),
            ("indisready", BOOL),
            ("indislive", BOOL),
            ("indisreplident", BOOL),
            ("indkey", Type::Int2Array),
            ("indoption", Type::Int2Array),
            ("indexprs", TEXT),
            ("indpred", TEXT),
        ],
        rows: index_rows,
    },
    SystemTable {
        schema: "pg_catalog",
        name: "pg_constraint",
        columns: &[
            ("oid", OID),
            ("conname", NAME),
            ("connamespace", OID),
            ("contype", CHAR),
            ("condeferrable", BOOL),
            ("condeferred", BOOL),
            ("convalidated", BOOL),
            ("conrelid", OID),
            ("contypid", OID),
            ("conindid", OID),
            ("conparentid", OID),
            ("conkey", Type::Int2Array),
            ("confrelid", OID),
            ("confupdtype", CHAR),
            ("confdeltype", CHAR),
            ("confmatchtype", CHAR),
            ("confkey", Type::Int2Array),
            ("conislocal", BOOL),
            ("coninhcount", I4),
            ("connoinherit", BOOL),
            ("conbin", TEXT),
        ],
        rows: constraints,
    },
    SystemTable {
        schema: "pg_catalog",
        name: "pg_attrdef",
        columns: &[("oid", OID), ("adrelid", OID), ("adnum", I2), ("adbin", TEXT)],
        rows: defaults,
    },
];
