//! information_schema.

use super::SystemTable;
use crate::aws::aurora::catalog::{Catalog, Column, Identity, IndexDef, Object, Table};
use crate::aws::aurora::exec::Db;
use crate::aws::aurora::types::{Type, Value};

const NAME: Type = Type::Name;
const WORD: Type = Type::Varchar;
const I4: Type = Type::Int4;

fn t(v: impl AsRef<str>) -> Value {
    Value::text(v)
}

fn yes(v: bool) -> Value {
    t(if v { "YES" } else { "NO" })
}

/// Whether the role may see a relation at all.
fn shown(db: &Db<'_>, catalog: &Catalog, owner: &str, acl: &crate::aws::aurora::catalog::Acl) -> bool {
    let role = db.local.role();
    let roles = catalog.member_of(&role);
    catalog.is_superuser(&role) || roles.contains(owner) || acl.allows_any(&roles)
}

fn relations<'d>(db: &'d Db<'_>) -> Vec<(&'d str, &'d str, &'static str)> {
    let mut out = Vec::new();
    for object in db.catalog.objects.values() {
        match object {
            Object::Table(o) if shown(db, db.catalog, &o.owner, &o.acl) => {
                let kind = if o.temporary {
                    "LOCAL TEMPORARY"
                } else {
                    "BASE TABLE"
                };
                out.push((o.schema.as_str(), o.name.as_str(), kind));
            }
            Object::View(o) if shown(db, db.catalog, &o.owner, &o.acl) => {
                out.push((o.schema.as_str(), o.name.as_str(), "VIEW"));
            }
            _ => {}
        }
    }
    out
}

fn column(db: &Db<'_>, schema: &str, table: &str, at: usize, c: &Column) -> Vec<Value> {
    let length = match c.ty {
        Type::Varchar | Type::Bpchar if c.typmod >= 4 => Value::Int4(c.typmod - 4),
        _ => Value::Null,
    };
    let (precision, scale) = match c.ty {
        Type::Numeric if c.typmod >= 4 => (
            Value::Int4((c.typmod - 4) >> 16),
            Value::Int4((c.typmod - 4) & 0xffff),
        ),
        Type::Int2 => (Value::Int4(16), Value::Int4(0)),
        Type::Int4 => (Value::Int4(32), Value::Int4(0)),
        Type::Int8 => (Value::Int4(64), Value::Int4(0)),
        Type::Float4 => (Value::Int4(24), Value::Null),
        Type::Float8 => (Value::Int4(53), Value::Null),
        _ => (Value::Null, Value::Null),
    };
    let default = match (&c.default, c.identity, &c.generated) {
        (Some((_, text)), None, None) => t(text),
        _ => Value::Null,
    };
    vec![
        t(&db.local.database),
        t(schema),
        t(table),
        t(&c.name),
        Value::Int4(at as i32 + 1),
        default,
        yes(!c.not_null),
        t(if c.ty.elem().is_some() {
            "ARRAY"
        } else {
            c.ty.name()
        }),
        length,
        precision,
        scale,
        t("pg_catalog"),
        t(super::types::type_name(c.ty)),
        yes(c.identity.is_some()),
        c.identity.map_or(Value::Null, |i| {
            t(match i {
                Identity::Always => "ALWAYS",
                Identity::ByDefault => "BY DEFAULT",
            })
        }),
        t(if c.generated.is_some() { "ALWAYS" } else { "NEVER" }),
        yes(c.generated.is_none()),
    ]
}

fn key_rows(
    db: &Db<'_>,
    table: &Table,
    name: &str,
    columns: &[usize],
    target: Option<&IndexDef>,
) -> Vec<Vec<Value>> {
    columns
        .iter()
        .enumerate()
        .map(|(n, c)| {
            vec![
                t(&db.local.database),
                t(&table.schema),
                t(name),
                t(&db.local.database),
                t(&table.schema),
                t(&table.name),
                t(&table.columns[*c].name),
                Value::Int4(n as i32 + 1),
                if target.is_some() {
                    Value::Int4(n as i32 + 1)
                } else {
                    Value::Null
                },
            ]
        })
        .collect()
}

pub(super) static TABLES: &[SystemTable] = &[
    SystemTable {
        schema: "information_schema",
        name: "tables",
        columns: &[
            ("table_catalog", NAME),
            ("table_schema", NAME),
            ("table_name", NAME),
            ("table_type", WORD),
            ("is_insertable_into", WORD),
        ],
        rows: |db| {
            Ok(relations(db)
                .into_iter()
                .map(|(schema, name, kind)| {
                    vec![
                        t(&db.local.database),
                        t(schema),
                        t(name),
                        t(kind),
                        yes(kind != "VIEW"),
                    ]
                })
                .collect())
        },
    },
    SystemTable {
        schema: "information_schema",
        name: "schemata",
        columns: &[
            ("catalog_name", NAME),
            ("schema_name", NAME),
            ("schema_owner", NAME),
        ],
        rows: |db| {
            Ok(db
                .catalog
                .schemas
                .iter()
                .map(|(name, s)| vec![t(&db.local.database), t(name), t(&s.owner)])
                .collect())
        },
    },
    SystemTable {
        schema: "information_schema",
        name: "views",
        columns: &[
            ("table_catalog", NAME),
            ("table_schema", NAME),
            ("table_name", NAME),
            ("view_definition", Type::Varchar),
        ],
        rows: |db| {
            let row = |o: &Object| match o {
                Object::View(v) => Some(vec![
                    t(&db.local.database),
                    t(&v.schema),
                    t(&v.name),
                    t(format!("{};", v.query)),
                ]),
                _ => None,
            };
            Ok(db.catalog.objects.values().filter_map(row).collect())
        },
    },
    SystemTable {
        schema: "information_schema",
        name: "sequences",
        columns: &[
            ("sequence_catalog", NAME),
            ("sequence_schema", NAME),
            ("sequence_name", NAME),
            ("data_type", WORD),
            ("start_value", WORD),
            ("minimum_value", WORD),
            ("maximum_value", WORD),
            ("increment", WORD),
            ("cycle_option", WORD),
        ],
        rows: |db| {
            let row = |o: &Object| match o {
                Object::Sequence(s) => Some(vec![
                    t(&db.local.database),
                    t(&s.schema),
                    t(&s.name),
                    t(s.ty.name()),
                    t(s.start.to_string()),
                    t(s.min.to_string()),
                    t(s.max.to_string()),
                    t(s.increment.to_string()),
                    yes(s.cycle),
                ]),
                _ => None,
            };
            Ok(db.catalog.objects.values().filter_map(row).collect())
        },
    },
    SystemTable {
        schema: "information_schema",
        name: "columns",
        columns: &[
            ("table_catalog", NAME),
            ("table_schema", NAME),
            ("table_name", NAME),
            ("column_name", NAME),
            ("ordinal_position", I4),
            ("column_default", WORD),
            ("is_nullable", WORD),
            ("data_type", WORD),
            ("character_maximum_length", I4),
            ("numeric_precision", I4),
            ("numeric_scale", I4),
            ("udt_schema", NAME),
            ("udt_name", NAME),
            ("is_identity", WORD),
            ("identity_generation", WORD),
            ("is_generated", WORD),
            ("is_updatable", WORD),
        ],
        rows: |db| {
            let mut rows = Vec::new();
            for object in db.catalog.objects.values() {
                match object {
                    Object::Table(o) if shown(db, db.catalog, &o.owner, &o.acl) => {
                        for (at, c) in o.live() {
                            rows.push(column(db, &o.schema, &o.name, at, c));
                        }
                    }
                    Object::View(o) if shown(db, db.catalog, &o.owner, &o.acl) => {
                        for (at, output) in o.outputs.iter().enumerate() {
                            let c = Column::new(output.name.clone(), output.ty, output.typmod);
                            rows.push(column(db, &o.schema, &o.name, at, &c));
                        }
                    }
                    _ => {}
                }
            }
            Ok(rows)
        },
    },
    SystemTable {
        schema: "information_schema",
        name: "table_constraints",
        columns: &[
            ("constraint_catalog", NAME),
            ("constraint_schema", NAME),
            ("constraint_name", NAME),
            ("table_catalog", NAME),
            ("table_schema", NAME),
            ("table_name", NAME),
            ("constraint_type", WORD),
            ("is_deferrable", WORD),
            ("initially_deferred", WORD),
        ],
        rows: |db| {
            let mut rows = Vec::new();
            for table in db.catalog.tables() {
                let mut push = |name: &str, kind: &str, deferrable: bool, deferred: bool| {
                    rows.push(vec![
                        t(&db.local.database),
                        t(&table.schema),
                        t(name),
                        t(&db.local.database),
                        t(&table.schema),
                        t(&table.name),
                        t(kind),
                        yes(deferrable),
                        yes(deferred),
                    ]);
                };
                for check in &table.checks {
                    push(&check.name, "CHECK", false, false);
                }
                for fk in &table.foreign_keys {
                    push(&fk.name, "FOREIGN KEY", fk.deferrable, fk.deferred);
                }
                for key in table.indexes.iter().filter(|i| i.constraint) {
                    push(
                        &key.name,
                        if key.primary { "PRIMARY KEY" } else { "UNIQUE" },
                        false,
                        false,
                    );
                }
            }
            Ok(rows)
        },
    },
    SystemTable {
        schema: "information_schema",
        name: "key_column_usage",
        columns: &[
            ("constraint_catalog", NAME),
            ("constraint_schema", NAME),
            ("constraint_name", NAME),
            ("table_catalog", NAME),
            ("table_schema", NAME),
            ("table_name", NAME),
            ("column_name", NAME),
            ("ordinal_position", I4),
            ("position_in_unique_constraint", I4),
        ],
        rows: |db| {
            let mut rows = Vec::new();
            for table in db.catalog.tables() {
                for key in table.indexes.iter().filter(|i| i.constraint) {
                    rows.extend(key_rows(
                        db,
                        table,
                        &key.name,
                        &key.columns().unwrap_or_default(),
                        None,
                    ));
                }
                for fk in &table.foreign_keys {
                    let target = db
                        .catalog
                        .table(fk.target)
                        .and_then(|t| t.indexes.iter().find(|i| i.oid == fk.target_index));
                    rows.extend(key_rows(db, table, &fk.name, &fk.columns, target));
                }
            }
            Ok(rows)
        },
    },
];
