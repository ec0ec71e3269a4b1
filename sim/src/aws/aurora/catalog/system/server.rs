//! Schemas, roles, databases, settings, sessions and locks.

use super::{SystemTable, nothing, role_oid};
use crate::aws::aurora::lock::Tag;
use crate::aws::aurora::types::{Type, Value};

const BOOL: Type = Type::Bool;
const NAME: Type = Type::Name;
const OID: Type = Type::Oid;
const TEXT: Type = Type::Text;

/// The oid of the only database.
pub(super) const DATABASE: u32 = 16_384;

const ROLE: &[(&str, Type)] = &[
    ("oid", OID),
    ("rolname", NAME),
    ("rolsuper", BOOL),
    ("rolinherit", BOOL),
    ("rolcreaterole", BOOL),
    ("rolcreatedb", BOOL),
    ("rolcanlogin", BOOL),
    ("rolreplication", BOOL),
    ("rolconnlimit", Type::Int4),
    ("rolpassword", TEXT),
    ("rolvaliduntil", Type::Timestamptz),
    ("rolbypassrls", BOOL),
    ("rolconfig", Type::TextArray),
];

fn roles(
    db: &crate::aws::aurora::exec::Db<'_>,
) -> crate::aws::aurora::error::Result<crate::aws::aurora::exec::Rows> {
    let row = |r: &std::sync::Arc<crate::aws::aurora::catalog::Role>| {
        vec![
            Value::Oid(r.oid),
            Value::text(&r.name),
            Value::Bool(r.superuser),
            Value::Bool(r.inherit),
            Value::Bool(r.create_role),
            Value::Bool(r.create_db),
            Value::Bool(r.login),
            Value::Bool(false),
            Value::Int4(-1),
            Value::text("********"),
            Value::Null,
            Value::Bool(r.bypass_rls),
            Value::Null,
        ]
    };
    Ok(db.catalog.roles.values().map(row).collect())
}

pub(super) static TABLES: &[SystemTable] = &[
    SystemTable {
        schema: "pg_catalog",
        name: "pg_namespace",
        columns: &[
            ("oid", OID),
            ("nspname", NAME),
            ("nspowner", OID),
            ("nspacl", Type::TextArray),
        ],
        rows: |db| {
            let row = |(name, schema): (&String, &std::sync::Arc<crate::aws::aurora::catalog::Schema>)| {
                vec![
                    Value::Oid(schema.oid),
                    Value::text(name),
                    role_oid(db.catalog, &schema.owner),
                    Value::Null,
                ]
            };
            Ok(db.catalog.schemas.iter().map(row).collect())
        },
    },
    SystemTable {
        schema: "pg_catalog",
        name: "pg_roles",
        columns: ROLE,
        rows: roles,
    },
    SystemTable {
        schema: "pg_catalog",
        name: "pg_authid",
        columns: ROLE,
        rows: roles,
    },
    SystemTable {
        schema: "pg_catalog",
        name: "pg_user",
        columns: &[
            ("usename", NAME),
            ("usesysid", OID),
            ("usecreatedb", BOOL),
            ("usesuper", BOOL),
            ("usebypassrls", BOOL),
        ],
        rows: |db| {
            Ok(db
                .catalog
                .roles
                .values()
                .filter(|r| r.login)
                .map(|r| {
                    vec![
                        Value::text(&r.name),
                        Value::Oid(r.oid),
                        Value::Bool(r.create_db),
                        Value::Bool(r.superuser),
                        Value::Bool(r.bypass_rls),
                    ]
                })
                .collect())
        },
    },
    SystemTable {
        schema: "pg_catalog",
        name: "pg_auth_members",
        columns: &[
            ("roleid", OID),
            ("member", OID),
            ("grantor", OID),
            ("admin_option", BOOL),
        ],
        rows: |db| {
            let mut rows = Vec::new();
            for role in db.catalog.roles.values() {
                for group in &role.member_of {
                    rows.push(vec![
                        role_oid(db.catalog, group),
                        Value::Oid(role.oid),
                        Value::Oid(10),
                        Value::Bool(false),
                    ]);
                }
            }
            Ok(rows)
        },
    },
    SystemTable {
        schema: "pg_catalog",
        name: "pg_database",
        columns: &[
            ("oid", OID),
            ("datname", NAME),
            ("datdba", OID),
            ("encoding", Type::Int4),
            ("datcollate", TEXT),
            ("datctype", TEXT),
            ("datistemplate", BOOL),
            ("datallowconn", BOOL),
            ("datconnlimit", Type::Int4),
            ("datacl", Type::TextArray),
        ],
        rows: |db| {
            Ok(vec![vec![
                Value::Oid(DATABASE),
                Value::text(&db.local.database),
                Value::Oid(10),
                Value::Int4(6),
                Value::text("C"),
                Value::text("C"),
                Value::Bool(false),
                Value::Bool(true),
                Value::Int4(-1),
                Value::Null,
            ]])
        },
    },
    SystemTable {
        schema: "pg_catalog",
        name: "pg_settings",
        columns: &[
            ("name", TEXT),
            ("setting", TEXT),
            ("unit", TEXT),
            ("context", TEXT),
            ("source", TEXT),
        ],
        rows: |db| {
            let settings = db.local.settings.borrow();
            Ok(settings
                .all()
                .into_iter()
                .map(|(name, value)| {
                    vec![
                        Value::text(name),
                        Value::text(value),
                        Value::Null,
                        Value::text("user"),
                        Value::text("session"),
                    ]
                })
                .collect())
        },
    },
    SystemTable {
        schema: "pg_catalog",
        name: "pg_stat_activity",
        columns: &[
            ("datid", OID),
            ("datname", NAME),
            ("pid", Type::Int4),
            ("usesysid", OID),
            ("usename", NAME),
            ("application_name", TEXT),
            ("state", TEXT),
            ("query", TEXT),
            ("wait_event_type", TEXT),
            ("backend_type", TEXT),
        ],
        rows: |db| {
            let locks = db.state.locks.borrow();
            let waits = |pid: i32| !locks.blockers(pid).is_empty();
            Ok(db
                .state
                .backends
                .iter()
                .map(|(pid, b)| {
                    vec![
                        Value::Oid(DATABASE),
                        Value::text(&db.local.database),
                        Value::Int4(*pid),
                        role_oid(db.catalog, &b.user),
                        Value::text(&b.user),
                        Value::text(&b.application),
                        Value::text(b.activity.0),
                        Value::text(&b.activity.1),
                        if waits(*pid) {
                            Value::text("Lock")
                        } else {
                            Value::Null
                        },
                        Value::text("client backend"),
                    ]
                })
                .collect())
        },
    },
    SystemTable {
        schema: "pg_catalog",
        name: "pg_locks",
        columns: &[
            ("locktype", TEXT),
            ("database", OID),
            ("relation", OID),
            ("transactionid", OID),
            ("classid", OID),
            ("objid", OID),
            ("objsubid", Type::Int2),
            ("pid", Type::Int4),
            ("mode", TEXT),
            ("granted", BOOL),
        ],
        rows: |db| {
            let locks = db.state.locks.borrow();
            Ok(locks
                .list()
                .map(|(tag, pid, mode, granted)| {
                    let null = || Value::Null;
                    let (kind, relation, xid, class, object, sub) = match tag {
                        Tag::Relation(oid) => ("relation", Value::Oid(oid), null(), null(), null(), null()),
                        Tag::Tuple(..) => ("tuple", null(), null(), null(), null(), null()),
                        Tag::Transaction(xid) => (
                            "transactionid",
                            null(),
                            Value::Oid(xid as u32),
                            null(),
                            null(),
                            null(),
                        ),
                        Tag::Advisory(a, b, one) => (
                            "advisory",
                            null(),
                            null(),
                            Value::Oid(a as u32),
                            Value::Oid(b as u32),
                            Value::Int2(if one { 1 } else { 2 }),
                        ),
                        Tag::Name(_) => ("object", null(), null(), null(), null(), null()),
                    };
                    vec![
                        Value::text(kind),
                        Value::Oid(DATABASE),
                        relation,
                        xid,
                        class,
                        object,
                        sub,
                        Value::Int4(pid),
                        Value::text(mode.name()),
                        Value::Bool(granted),
                    ]
                })
                .collect())
        },
    },
    SystemTable {
        schema: "pg_catalog",
        name: "pg_timezone_names",
        columns: &[("name", TEXT), ("abbrev", TEXT), ("is_dst", BOOL)],
        rows: |_| {
            Ok(vec![vec![
                Value::text("UTC"),
                Value::text("UTC"),
                Value::Bool(false),
            ]])
        },
    },
    SystemTable {
        schema: "pg_catalog",
        name: "pg_extension",
        columns: &[
            ("oid", OID),
            ("extname", NAME),
            ("extowner", OID),
            ("extversion", TEXT),
        ],
        rows: nothing,
    },
    SystemTable {
        schema: "pg_catalog",
        name: "pg_tablespace",
        columns: &[("oid", OID), ("spcname", NAME), ("spcowner", OID)],
        rows: |_| {
            let row = |oid, name| vec![Value::Oid(oid), Value::text(name), Value::Oid(10)];
            Ok(vec![row(1663, "pg_default"), row(1664, "pg_global")])
        },
    },
];
