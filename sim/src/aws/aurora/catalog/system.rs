//! The system catalog as queries see it.

use super::{Catalog, Object, Oid};
use crate::aws::aurora::error::Result;
use crate::aws::aurora::exec::{Db, Rows};
use crate::aws::aurora::sql::bind::named;
use crate::aws::aurora::sql::plan::Output;
use crate::aws::aurora::types::{Type, Value};

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
            typmod: -1,
            origin: (0, 0),
        };
        self.columns.iter().map(one).collect()
    }
}

static TABLES: &[SystemTable] = &[SystemTable {
    schema: "information_schema",
    name: "tables",
    columns: &[("table_schema", Type::Name), ("table_name", Type::Name)],
    rows: |db| {
        Ok(db
            .catalog
            .tables()
            .map(|t| vec![Value::text(&t.schema), Value::text(&t.name)])
            .collect())
    },
}];

/// A system table by name.
pub(crate) fn find(schema: Option<&str>, name: &str) -> Option<&'static SystemTable> {
    TABLES
        .iter()
        .find(|t| t.name == name && schema.unwrap_or("pg_catalog") == t.schema)
}

/// The oid of a relation by its written name.
pub(crate) fn regclass(catalog: &Catalog, search_path: &[String], name: &str) -> Option<Oid> {
    let clean = |s: &str| match s.strip_prefix('"').and_then(|s| s.strip_suffix('"')) {
        Some(quoted) => quoted.to_string(),
        None => s.to_lowercase(),
    };
    match name.split_once('.') {
        Some((schema, name)) => catalog.names.get(&(clean(schema), clean(name))).copied(),
        None => search_path
            .iter()
            .find_map(|s| catalog.names.get(&(s.clone(), clean(name))).copied()),
    }
}

/// The oid of a type by name.
pub(crate) fn regtype(name: &str) -> Result<Oid> {
    Ok(named(name)?.oid())
}

/// The text of a regclass or regtype value.
pub(crate) fn reg_name(catalog: &Catalog, value: &Value, ty: Type) -> Option<String> {
    let Value::Oid(oid) = value else { return None };
    if ty == Type::Regtype {
        return Some(Type::from_oid(*oid).map_or_else(|| oid.to_string(), |t| t.name().to_string()));
    }
    Some(match catalog.objects.get(oid) {
        Some(Object::Table(t)) => t.name.clone(),
        Some(Object::Sequence(s)) => s.name.clone(),
        Some(Object::View(v)) => v.name.clone(),
        _ => oid.to_string(),
    })
}
