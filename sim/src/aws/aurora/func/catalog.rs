//! Questions about the catalog: names, definitions, rights.

use std::sync::Arc;

use super::Builtin;
use crate::aws::aurora::catalog::system::{definition, regclass, regtype};
use crate::aws::aurora::catalog::{Acl, Object, Oid, Privilege};
use crate::aws::aurora::error::{Result, code, fail};
use crate::aws::aurora::exec::{Ctx, Db};
use crate::aws::aurora::types::{Array, Type, Value, quote_ident};

const T: Type = Type::Text;
const I4: Type = Type::Int4;
const I8: Type = Type::Int8;
const O: Type = Type::Oid;
const R: Type = Type::Regclass;
const BOOL: Type = Type::Bool;

fn oid(v: &Value) -> Oid {
    v.as_i64() as Oid
}

fn maybe(text: Option<String>) -> Result<Value> {
    Ok(text.map_or(Value::Null, Value::text))
}

fn named(db: &Db<'_>, name: &str) -> Result<Oid> {
    match regclass(db.catalog, &db.local.search_path(), name) {
        Some(oid) => Ok(oid),
        None => fail(
            code::UNDEFINED_TABLE,
            format!("relation \"{name}\" does not exist"),
        ),
    }
}

fn schemas(db: &Db<'_>, implicit: bool) -> Vec<String> {
    let path = db
        .local
        .search_path()
        .into_iter()
        .filter(|s| db.catalog.schemas.contains_key(s));
    path.filter(|s| implicit || s != "pg_catalog").collect()
}

fn format_type(a: &[Value]) -> Result<Value> {
    if a[0].is_null() {
        return Ok(Value::Null);
    }
    let typmod = if a[1].is_null() { -1 } else { a[1].as_i64() as i32 };
    maybe(Some(
        Type::from_oid(oid(&a[0])).map_or_else(|| "???".into(), |t| t.name_with(typmod)),
    ))
}

fn serial_sequence(ctx: &Ctx<'_>, a: &[Value]) -> Result<Value> {
    let db = ctx.db()?;
    let table = named(db, a[0].as_str())?;
    let Some(found) = db.catalog.table(table) else {
        return Ok(Value::Null);
    };
    let Some(at) = found.column(a[1].as_str()) else {
        return fail(
            code::UNDEFINED_COLUMN,
            format!(
                "column \"{}\" of relation \"{}\" does not exist",
                a[1].as_str(),
                found.name
            ),
        );
    };
    let owned = db.catalog.sequences_of(table);
    maybe(
        owned
            .iter()
            .find(|s| s.owned_by == Some((table, at)))
            .map(|s| format!("{}.{}", quote_ident(&s.schema), quote_ident(&s.name))),
    )
}

fn description(ctx: &Ctx<'_>, a: &[Value], at: i16) -> Result<Value> {
    let table = ctx.db()?.catalog.table(oid(&a[0]));
    maybe(table.and_then(|t| t.comments.get(&at).cloned()))
}

fn view_definition(ctx: &Ctx<'_>, a: &[Value]) -> Result<Value> {
    maybe(match ctx.db()?.catalog.objects.get(&oid(&a[0])) {
        Some(Object::View(v)) => Some(format!(" {};", v.query)),
        _ => None,
    })
}

/// Rights as `has_..._privilege` spells them: a list of which any suffices.
fn privileges(words: &str) -> Result<Vec<Privilege>> {
    let one = |word: &str| {
        Ok(match word.trim().to_lowercase().as_str() {
            "select" => Privilege::SELECT,
            "insert" => Privilege::INSERT,
            "update" => Privilege::UPDATE,
            "delete" => Privilege::DELETE,
            "truncate" => Privilege::TRUNCATE,
            "references" => Privilege::REFERENCES,
            "trigger" => Privilege::TRIGGER,
            "usage" => Privilege::USAGE,
            "create" => Privilege::CREATE,
            _ => {
                return fail(
                    code::INVALID_PARAMETER_VALUE,
                    format!("unrecognized privilege type: \"{word}\""),
                );
            }
        })
    };
    words.split(',').map(one).collect()
}

fn has(
    db: &Db<'_>,
    role: &str,
    owner: &str,
    rights: &[Privilege],
    allows: impl Fn(Privilege) -> bool,
) -> bool {
    db.catalog.is_superuser(role)
        || db.catalog.member_of(role).contains(owner)
        || rights.iter().any(|r| allows(*r))
}

/// The role asked about: the first of so many arguments, or the current one.
fn who<'a>(db: &Db<'_>, a: &'a [Value], full: usize) -> Result<(String, &'a [Value])> {
    if a.len() < full {
        return Ok((db.local.role(), a));
    }
    let role = a[0].as_str().to_string();
    db.catalog.role(&role)?;
    Ok((role, &a[1..]))
}

fn relation_rights<'d>(db: &Db<'d>, name: &Value) -> Result<(&'d str, &'d Acl)> {
    let found = match name {
        Value::Text(name) => named(db, name)?,
        other => oid(other),
    };
    match db.catalog.objects.get(&found) {
        Some(Object::Table(t)) => Ok((&t.owner, &t.acl)),
        Some(Object::View(v)) => Ok((&v.owner, &v.acl)),
        Some(Object::Sequence(s)) => Ok((&s.owner, &s.acl)),
        _ => fail(
            code::UNDEFINED_TABLE,
            format!("relation with OID {found} does not exist"),
        ),
    }
}

fn table_privilege(ctx: &Ctx<'_>, a: &[Value]) -> Result<Value> {
    let db = ctx.db()?;
    let (role, a) = who(db, a, 3)?;
    let (owner, acl) = relation_rights(db, &a[0])?;
    let rights = privileges(a[1].as_str())?;
    let roles = db.catalog.member_of(&role);
    Ok(Value::Bool(has(db, &role, owner, &rights, |r| {
        acl.allows(&roles, r)
    })))
}

fn column_privilege(ctx: &Ctx<'_>, a: &[Value]) -> Result<Value> {
    let db = ctx.db()?;
    let (role, a) = who(db, a, 4)?;
    let (owner, acl) = relation_rights(db, &a[0])?;
    let rights = privileges(a[2].as_str())?;
    let roles = db.catalog.member_of(&role);
    let column = a[1].as_str();
    Ok(Value::Bool(has(db, &role, owner, &rights, |r| {
        acl.allows_column(&roles, column, r)
    })))
}

fn schema_privilege(ctx: &Ctx<'_>, a: &[Value]) -> Result<Value> {
    let db = ctx.db()?;
    let (role, a) = who(db, a, 3)?;
    let Some(schema) = db.catalog.schemas.get(a[0].as_str()) else {
        return fail(
            code::INVALID_SCHEMA_NAME,
            format!("schema \"{}\" does not exist", a[0].as_str()),
        );
    };
    let rights = privileges(a[1].as_str())?;
    let roles = db.catalog.member_of(&role);
    Ok(Value::Bool(has(db, &role, &schema.owner, &rights, |r| {
        schema.acl.allows(&roles, r)
    })))
}

/// Bytes of a relation: nothing is stored in pages, so the rows' own size stands in.
fn size(ctx: &Ctx<'_>, a: &[Value]) -> Result<Value> {
    let db = ctx.db()?;
    let table = db.catalog.table(oid(&a[0]));
    let heap = table.and_then(|t| db.state.heaps.get(&t.heap));
    let bytes: usize = heap.map_or(0, |h| {
        h.iter()
            .map(|(_, t)| t.row.iter().map(Value::size).sum::<usize>())
            .sum()
    });
    Ok(Value::Int8(bytes as i64))
}

fn visible(ctx: &Ctx<'_>, a: &[Value]) -> Result<Value> {
    let db = ctx.db()?;
    let found = oid(&a[0]);
    let Some((_, name)) = db.catalog.relation_place(found) else {
        return Ok(Value::Null);
    };
    let path = db.local.search_path();
    let first = path
        .iter()
        .find_map(|s| db.catalog.names.get(&(s.clone(), name.clone())));
    Ok(Value::Bool(first == Some(&found)))
}

pub(super) const TABLE: &[Builtin] = &[
    Builtin::new("current_database", &[], Type::Name, |c, _| {
        Ok(Value::text(&c.db()?.local.database))
    }),
    Builtin::new("current_schema", &[], Type::Name, |c, _| {
        maybe(schemas(c.db()?, false).into_iter().next())
    }),
    Builtin::new("current_schemas", &[BOOL], Type::NameArray, |c, a| {
        let items = schemas(c.db()?, a[0].is_true())
            .into_iter()
            .map(Value::text)
            .collect();
        Ok(Value::Array(Arc::new(Array {
            elem: Type::Name,
            items,
        })))
    }),
    Builtin::new("current_user", &[], Type::Name, |c, _| {
        Ok(Value::text(c.db()?.local.role()))
    }),
    Builtin::new("session_user", &[], Type::Name, |c, _| {
        Ok(Value::text(c.db()?.local.session_user()))
    }),
    Builtin::new("to_regclass", &[T], R, |c, a| {
        let db = c.db()?;
        let found = regclass(db.catalog, &db.local.search_path(), a[0].as_str());
        Ok(found.map_or(Value::Null, Value::Oid))
    }),
    Builtin::new("to_regtype", &[T], Type::Regtype, |_, a| {
        Ok(regtype(a[0].as_str()).map_or(Value::Null, Value::Oid))
    }),
    Builtin::new("format_type", &[O, I4], T, |_, a| format_type(a)).lax(),
    Builtin::new("pg_get_serial_sequence", &[T, T], T, serial_sequence),
    Builtin::new("obj_description", &[O], T, |c, a| description(c, a, 0)),
    Builtin::new("obj_description", &[O, Type::Name], T, |c, a| {
        description(c, a, 0)
    }),
    Builtin::new("col_description", &[O, I4], T, |c, a| {
        description(c, a, a[1].as_i64() as i16)
    }),
    Builtin::new("shobj_description", &[O, Type::Name], T, |_, _| Ok(Value::Null)),
    Builtin::new("pg_table_is_visible", &[O], BOOL, visible),
    Builtin::new("pg_type_is_visible", &[O], BOOL, |_, _| Ok(Value::Bool(true))),
    Builtin::new("pg_function_is_visible", &[O], BOOL, |_, _| Ok(Value::Bool(true))),
    Builtin::new("pg_relation_is_publishable", &[R], BOOL, |_, _| {
        Ok(Value::Bool(true))
    }),
    Builtin::new("pg_is_other_temp_schema", &[O], BOOL, |_, _| {
        Ok(Value::Bool(false))
    }),
    Builtin::new("pg_get_userbyid", &[O], Type::Name, |c, a| {
        let wanted = oid(&a[0]);
        let role = c.db()?.catalog.roles.values().find(|r| r.oid == wanted);
        maybe(Some(role.map_or_else(
            || format!("unknown (OID={wanted})"),
            |r| r.name.clone(),
        )))
    }),
    Builtin::new("pg_get_constraintdef", &[O], T, |c, a| {
        maybe(definition::constraint(c.db()?.catalog, oid(&a[0]), false))
    }),
    Builtin::new("pg_get_constraintdef", &[O, BOOL], T, |c, a| {
        maybe(definition::constraint(
            c.db()?.catalog,
            oid(&a[0]),
            a[1].is_true(),
        ))
    }),
    Builtin::new("pg_get_indexdef", &[O], T, |c, a| {
        maybe(definition::index_by_oid(c.db()?.catalog, oid(&a[0]), 0, false))
    }),
    Builtin::new("pg_get_indexdef", &[O, I4, BOOL], T, |c, a| {
        maybe(definition::index_by_oid(
            c.db()?.catalog,
            oid(&a[0]),
            a[1].as_i64() as usize,
            a[2].is_true(),
        ))
    }),
    Builtin::new("pg_get_expr", &[T, O], T, |_, a| Ok(a[0].clone())),
    Builtin::new("pg_get_expr", &[T, O, BOOL], T, |_, a| Ok(a[0].clone())),
    Builtin::new("pg_get_triggerdef", &[O], T, |_, _| Ok(Value::Null)),
    Builtin::new("pg_get_triggerdef", &[O, BOOL], T, |_, _| Ok(Value::Null)),
    Builtin::new("pg_get_viewdef", &[O], T, view_definition),
    Builtin::new("pg_get_viewdef", &[O, BOOL], T, view_definition),
    Builtin::new("pg_get_statisticsobjdef_columns", &[O], T, |_, _| Ok(Value::Null)),
    Builtin::new("pg_encoding_to_char", &[I4], Type::Name, |_, a| {
        maybe(Some(if a[0].as_i64() == 6 {
            "UTF8".into()
        } else {
            String::new()
        }))
    }),
    Builtin::new("pg_table_size", &[R], I8, size),
    Builtin::new("pg_relation_size", &[R], I8, size),
    Builtin::new("pg_total_relation_size", &[R], I8, size),
    Builtin::new("has_table_privilege", &[T, T], BOOL, table_privilege),
    Builtin::new("has_table_privilege", &[T, T, T], BOOL, table_privilege),
    Builtin::new("has_table_privilege", &[O, T], BOOL, table_privilege),
    Builtin::new("has_sequence_privilege", &[T, T], BOOL, table_privilege),
    Builtin::new("has_sequence_privilege", &[T, T, T], BOOL, table_privilege),
    Builtin::new("has_column_privilege", &[T, T, T], BOOL, column_privilege),
    Builtin::new("has_column_privilege", &[T, T, T, T], BOOL, column_privilege),
    Builtin::new("has_schema_privilege", &[T, T], BOOL, schema_privilege),
    Builtin::new("has_schema_privilege", &[T, T, T], BOOL, schema_privilege),
    Builtin::new("pg_has_role", &[T, T], BOOL, |c, a| {
        let db = c.db()?;
        Ok(Value::Bool(db.catalog.is_member(&db.local.role(), a[0].as_str())))
    }),
];
