//! The system catalog as queries see it: tables computed from the catalog when they are read.
//!
//! Modelled: what drivers, migration tools and psql's `\\d` ask for. Tables about features that the engine lacks exist
//! and are empty; columns that nobody reads are left out, and reading one is 42703.

pub(crate) mod definition;
mod information;
mod objects;
mod relations;
mod server;
mod types;

pub(crate) use types::type_name;

use std::sync::Arc;

use super::{Catalog, Oid};
use crate::aws::aurora::error::{Result, code, fail};
use crate::aws::aurora::exec::{Db, Rows};
use crate::aws::aurora::sql::bind::named;
use crate::aws::aurora::sql::plan::Output;
use crate::aws::aurora::types::{Array, Type, Value};

/// A table computed from the catalog.
#[derive(Debug)]
pub(crate) struct SystemTable {
    schema: &'static str,
    name: &'static str,
    columns: &'static [(&'static str, Type)],
    /// Its rows.
    pub rows: fn(&Db<'_>) -> Result<Rows>,
}

impl SystemTable {
    /// Its columns.
    pub(crate) fn outputs(&self) -> Vec<Output> {
        let one = |(name, ty): &(&'static str, Type)| Output {
            name: (*name).into(),
            ty: *ty,
            // yes_or_no is varchar(3).
            typmod: if name.starts_with("is_") && *ty == Type::Varchar {
                7
            } else {
                -1
            },
            origin: (0, 0),
        };
        self.columns.iter().map(one).collect()
    }
}

const FAMILIES: [&[SystemTable]; 5] = [
    relations::TABLES,
    objects::TABLES,
    types::TABLES,
    server::TABLES,
    information::TABLES,
];

/// A system table by name.
pub(crate) fn find(schema: Option<&str>, name: &str) -> Option<&'static SystemTable> {
    FAMILIES
        .iter()
        .flat_map(|family| family.iter())
        .find(|t| t.name == name && schema.unwrap_or("pg_catalog") == t.schema)
}

/// The oid of a relation by its written name.
pub(crate) fn regclass(catalog: &Catalog, search_path: &[String], name: &str) -> Option<Oid> {
    let clean = |s: &str| match s.strip_prefix('"').and_then(|s| s.strip_suffix('"')) {
        Some(quoted) => quoted.to_string(),
        None => s.to_lowercase(),
    };
    let found = match name.split_once('.') {
        Some((schema, name)) => catalog.names.get(&(clean(schema), clean(name))).copied(),
        None => search_path
            .iter()
            .find_map(|s| catalog.names.get(&(s.clone(), clean(name))).copied()),
    };
    found.or_else(|| {
        let (schema, name) = name
            .split_once('.')
            .map_or((None, name), |(s, n)| (Some(clean(s)), n));
        find(schema.as_deref(), &clean(name)).map(SystemTable::oid)
    })
}

/// The oid of a schema or role by name.
pub(crate) fn reg_oid(catalog: &Catalog, name: &str, ty: Type) -> Result<Oid> {
    let clean = name.trim_matches('"');
    if ty == Type::Regrole {
        return catalog.role(clean).map(|r| r.oid);
    }
    match catalog.schemas.get(clean) {
        Some(schema) => Ok(schema.oid),
        None => fail(
            code::INVALID_SCHEMA_NAME,
            format!("schema \"{clean}\" does not exist"),
        ),
    }
}

/// The oid of a type by name.
pub(crate) fn regtype(name: &str) -> Result<Oid> {
    Ok(named(name)?.oid())
}

/// The text of a regclass or regtype value: qualified only when the name alone would mean something else.
pub(crate) fn reg_name(catalog: &Catalog, search_path: &[String], value: &Value, ty: Type) -> Option<String> {
    let Value::Oid(oid) = value else { return None };
    if ty == Type::Regtype {
        return Some(Type::from_oid(*oid).map_or_else(|| oid.to_string(), |t| t.name().to_string()));
    }
    let found = match ty {
        Type::Regnamespace => catalog
            .schemas
            .iter()
            .find(|(_, s)| s.oid == *oid)
            .map(|(name, _)| name.clone()),
        Type::Regrole => catalog
            .roles
            .values()
            .find(|r| r.oid == *oid)
            .map(|r| r.name.clone()),
        _ => None,
    };
    if matches!(ty, Type::Regnamespace | Type::Regrole) {
        return Some(found.map_or_else(|| oid.to_string(), |n| crate::aws::aurora::types::quote_ident(&n)));
    }
    let Some((schema, name)) = catalog.relation_place(*oid) else {
        let system = FAMILIES.iter().flat_map(|f| f.iter()).find(|t| t.oid() == *oid);
        return Some(system.map_or_else(|| oid.to_string(), |t| t.name.to_string()));
    };
    let quoted = crate::aws::aurora::types::quote_ident(&name);
    let seen = search_path
        .iter()
        .find_map(|s| catalog.names.get(&(s.clone(), name.clone())));
    Some(if seen == Some(oid) {
        quoted
    } else {
        format!("{}.{quoted}", crate::aws::aurora::types::quote_ident(&schema))
    })
}

impl SystemTable {
    /// A made-up oid below those of user objects.
    fn oid(&self) -> Oid {
        let at = FAMILIES
            .iter()
            .flat_map(|f| f.iter())
            .position(|t| std::ptr::eq(t, self));
        1_000 + at.unwrap_or(0) as Oid
    }
}

fn int2s(items: impl IntoIterator<Item = i16>) -> Value {
    Value::Array(Arc::new(Array {
        elem: Type::Int2,
        items: items.into_iter().map(Value::Int2).collect(),
    }))
}

fn texts(elem: Type, items: impl IntoIterator<Item = String>) -> Value {
    Value::Array(Arc::new(Array {
        elem,
        items: items.into_iter().map(Value::text).collect(),
    }))
}

fn schema_oid(catalog: &Catalog, name: &str) -> Value {
    Value::Oid(catalog.schemas.get(name).map_or(0, |s| s.oid))
}

fn role_oid(catalog: &Catalog, name: &str) -> Value {
    Value::Oid(catalog.roles.get(name).map_or(0, |r| r.oid))
}

/// A made-up, stable oid for an object that has none: a check, a foreign key, a default, a policy.
fn oid_of(kind: &str, table: Oid, name: &str) -> Oid {
    let mut hash: u32 = 0x811c_9dc5;
    for byte in kind.bytes().chain(table.to_be_bytes()).chain(name.bytes()) {
        hash = (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193);
    }
    hash | 0x8000_0000
}

fn nothing(_: &Db<'_>) -> Result<Rows> {
    Ok(Vec::new())
}
