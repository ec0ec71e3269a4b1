//! Views over the relations' tables, sequences, comments, policies, and the empty tables of features that are missing.

use super::{SystemTable, definition, nothing, oid_of, role_oid, texts};
use crate::aws::aurora::catalog::{Object, PolicyCommand, Table};
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

fn policy_word(c: PolicyCommand) -> (&'static str, &'static str) {
    match c {
        PolicyCommand::All => ("*", "ALL"),
        PolicyCommand::Select => ("r", "SELECT"),
        PolicyCommand::Insert => ("a", "INSERT"),
        PolicyCommand::Update => ("w", "UPDATE"),
        PolicyCommand::Delete => ("d", "DELETE"),
    }
}

pub(super) static TABLES: &[SystemTable] = &[
    SystemTable {
        schema: "pg_catalog",
        name: "pg_indexes",
        columns: &[
            ("schemaname", NAME),
            ("tablename", NAME),
            ("indexname", NAME),
            ("tablespace", NAME),
            ("indexdef", TEXT),
        ],
        rows: |db| {
            let mut rows = Vec::new();
            for table in db.catalog.tables() {
                for index in &table.indexes {
                    rows.push(vec![
                        t(&table.schema),
                        t(&table.name),
                        t(&index.name),
                        Value::Null,
                        t(definition::index(table, index, false)),
                    ]);
                }
            }
            Ok(rows)
        },
    },
    SystemTable {
        schema: "pg_catalog",
        name: "pg_tables",
        columns: &[
            ("schemaname", NAME),
            ("tablename", NAME),
            ("tableowner", NAME),
            ("tablespace", NAME),
            ("hasindexes", BOOL),
            ("hasrules", BOOL),
            ("hastriggers", BOOL),
            ("rowsecurity", BOOL),
        ],
        rows: |db| {
            let row = |table: &std::sync::Arc<Table>| {
                vec![
                    t(&table.schema),
                    t(&table.name),
                    t(&table.owner),
                    Value::Null,
                    b(!table.indexes.is_empty()),
                    b(false),
                    b(false),
                    b(table.row_security),
                ]
            };
            Ok(db.catalog.tables().map(row).collect())
        },
    },
    SystemTable {
        schema: "pg_catalog",
        name: "pg_views",
        columns: &[
            ("schemaname", NAME),
            ("viewname", NAME),
            ("viewowner", NAME),
            ("definition", TEXT),
        ],
        rows: |db| {
            let row = |o: &Object| match o {
                Object::View(v) => Some(vec![
                    t(&v.schema),
                    t(&v.name),
                    t(&v.owner),
                    t(format!("{};", v.query)),
                ]),
                _ => None,
            };
            Ok(db.catalog.objects.values().filter_map(row).collect())
        },
    },
    SystemTable {
        schema: "pg_catalog",
        name: "pg_sequence",
        columns: &[
            ("seqrelid", OID),
            ("seqtypid", OID),
            ("seqstart", Type::Int8),
            ("seqincrement", Type::Int8),
            ("seqmax", Type::Int8),
            ("seqmin", Type::Int8),
            ("seqcache", Type::Int8),
            ("seqcycle", BOOL),
        ],
        rows: |db| {
            let row = |o: &Object| match o {
                Object::Sequence(s) => Some(vec![
                    Value::Oid(s.oid),
                    Value::Oid(s.ty.oid()),
                    Value::Int8(s.start),
                    Value::Int8(s.increment),
                    Value::Int8(s.max),
                    Value::Int8(s.min),
                    Value::Int8(1),
                    b(s.cycle),
                ]),
                _ => None,
            };
            Ok(db.catalog.objects.values().filter_map(row).collect())
        },
    },
    SystemTable {
        schema: "pg_catalog",
        name: "pg_depend",
        columns: &[
            ("classid", OID),
            ("objid", OID),
            ("objsubid", I4),
            ("refclassid", OID),
            ("refobjid", OID),
            ("refobjsubid", I4),
            ("deptype", CHAR),
        ],
        rows: |db| {
            // Only what links a sequence to the column that owns it.
            let row = |o: &Object| match o {
                Object::Sequence(s) => s.owned_by.map(|(table, at)| {
                    vec![
                        Value::Oid(1259),
                        Value::Oid(s.oid),
                        Value::Int4(0),
                        Value::Oid(1259),
                        Value::Oid(table),
                        Value::Int4(at as i32 + 1),
                        t("a"),
                    ]
                }),
                _ => None,
            };
            Ok(db.catalog.objects.values().filter_map(row).collect())
        },
    },
    SystemTable {
        schema: "pg_catalog",
        name: "pg_description",
        columns: &[
            ("objoid", OID),
            ("classoid", OID),
            ("objsubid", I4),
            ("description", TEXT),
        ],
        rows: |db| {
            let mut rows = Vec::new();
            for table in db.catalog.tables() {
                for (at, text) in &table.comments {
                    rows.push(vec![
                        Value::Oid(table.oid),
                        Value::Oid(1259),
                        Value::Int4(i32::from(*at)),
                        t(text),
                    ]);
                }
            }
            Ok(rows)
        },
    },
    SystemTable {
        schema: "pg_catalog",
        name: "pg_policy",
        columns: &[
            ("oid", OID),
            ("polname", NAME),
            ("polrelid", OID),
            ("polcmd", CHAR),
            ("polpermissive", BOOL),
            ("polroles", Type::OidArray),
            ("polqual", TEXT),
            ("polwithcheck", TEXT),
        ],
        rows: |db| {
            let mut rows = Vec::new();
            for table in db.catalog.tables() {
                for policy in &table.policies {
                    let mut roles: Vec<Value> =
                        policy.roles.iter().map(|r| role_oid(db.catalog, r)).collect();
                    if roles.is_empty() {
                        roles.push(Value::Oid(0));
                    }
                    let roles = crate::aws::aurora::types::Array {
                        elem: OID,
                        items: roles,
                    };
                    let text = |e: &Option<sqlparser::ast::Expr>| {
                        e.as_ref().map_or(Value::Null, |e| t(e.to_string()))
                    };
                    rows.push(vec![
                        Value::Oid(oid_of("policy", table.oid, &policy.name)),
                        t(&policy.name),
                        Value::Oid(table.oid),
                        t(policy_word(policy.command).0),
                        b(policy.permissive),
                        Value::Array(roles.into()),
                        text(&policy.using),
                        text(&policy.check),
                    ]);
                }
            }
            Ok(rows)
        },
    },
    SystemTable {
        schema: "pg_catalog",
        name: "pg_policies",
        columns: &[
            ("schemaname", NAME),
            ("tablename", NAME),
            ("policyname", NAME),
            ("permissive", TEXT),
            ("roles", Type::NameArray),
            ("cmd", TEXT),
            ("qual", TEXT),
            ("with_check", TEXT),
        ],
        rows: |db| {
            let mut rows = Vec::new();
            for table in db.catalog.tables() {
                for policy in &table.policies {
                    let roles = if policy.roles.is_empty() {
                        vec!["public".to_string()]
                    } else {
                        policy.roles.clone()
                    };
                    let text = |e: &Option<sqlparser::ast::Expr>| {
                        e.as_ref().map_or(Value::Null, |e| t(format!("({e})")))
                    };
                    rows.push(vec![
                        t(&table.schema),
                        t(&table.name),
                        t(&policy.name),
                        t(if policy.permissive {
                            "PERMISSIVE"
                        } else {
                            "RESTRICTIVE"
                        }),
                        texts(NAME, roles),
                        t(policy_word(policy.command).1),
                        text(&policy.using),
                        text(&policy.check),
                    ]);
                }
            }
            Ok(rows)
        },
    },
    SystemTable {
        schema: "pg_catalog",
        name: "pg_inherits",
        columns: &[
            ("inhrelid", OID),
            ("inhparent", OID),
            ("inhseqno", I4),
            ("inhdetachpending", BOOL),
        ],
        rows: nothing,
    },
    SystemTable {
        schema: "pg_catalog",
        name: "pg_trigger",
        columns: &[
            ("oid", OID),
            ("tgrelid", OID),
            ("tgparentid", OID),
            ("tgname", NAME),
            ("tgfoid", OID),
            ("tgtype", I2),
            ("tgenabled", CHAR),
            ("tgisinternal", BOOL),
            ("tgconstraint", OID),
            ("tgdeferrable", BOOL),
            ("tginitdeferred", BOOL),
        ],
        rows: nothing,
    },
    SystemTable {
        schema: "pg_catalog",
        name: "pg_rewrite",
        columns: &[
            ("oid", OID),
            ("rulename", NAME),
            ("ev_class", OID),
            ("ev_type", CHAR),
            ("ev_enabled", CHAR),
        ],
        rows: nothing,
    },
    SystemTable {
        schema: "pg_catalog",
        name: "pg_statistic_ext",
        columns: &[
            ("oid", OID),
            ("stxrelid", OID),
            ("stxname", NAME),
            ("stxnamespace", OID),
            ("stxkeys", Type::Int2Array),
            ("stxkind", Type::TextArray),
            ("stxstattarget", I4),
        ],
        rows: nothing,
    },
    SystemTable {
        schema: "pg_catalog",
        name: "pg_publication",
        columns: &[("oid", OID), ("pubname", NAME), ("puballtables", BOOL)],
        rows: nothing,
    },
    SystemTable {
        schema: "pg_catalog",
        name: "pg_publication_rel",
        columns: &[
            ("oid", OID),
            ("prpubid", OID),
            ("prrelid", OID),
            ("prqual", TEXT),
            ("prattrs", Type::Int2Array),
        ],
        rows: nothing,
    },
    SystemTable {
        schema: "pg_catalog",
        name: "pg_publication_namespace",
        columns: &[("oid", OID), ("pnpubid", OID), ("pnnspid", OID)],
        rows: nothing,
    },
    SystemTable {
        schema: "pg_catalog",
        name: "pg_foreign_table",
        columns: &[
            ("ftrelid", OID),
            ("ftserver", OID),
            ("ftoptions", Type::TextArray),
        ],
        rows: nothing,
    },
];
