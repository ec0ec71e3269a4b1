//! Definitions: tables, indexes, sequences, views, schemas, roles, rights and policies.
//!
//! Every change works on a copy of the catalog that becomes the transaction's own; see `catalog`. Not modelled:
//! inheritance and partitions, and CREATE INDEX CONCURRENTLY's freedom from locks (it locks as CREATE INDEX does).

mod alter;
mod column;
mod constraint;
mod depend;
mod drop;
mod index;
mod policy;
mod rewrite;
mod rights;
mod role;
mod schema;
mod sequence;
mod table;
mod view;

use std::sync::Arc;

use sqlparser::ast;

use super::Session;
use crate::aws::aurora::catalog::{Catalog, Object, Privilege, Table, Touched};
use crate::aws::aurora::error::{Error, Result, code, fail};
use crate::aws::aurora::lock::{Mode, Tag};
use crate::aws::aurora::sql::bind::{qualified, resolve};
use crate::aws::aurora::txn::View;
use crate::aws::aurora::types::Value;

impl Session {
    /// The relation with this name.
    fn relation(&mut self, name: &ast::ObjectName) -> Result<Object> {
        let (schema, name) = qualified(name)?;
        let catalog = self.catalog();
        resolve(&catalog, &self.local.search_path(), schema.as_deref(), &name).cloned()
    }

    fn table_named(&mut self, name: &ast::ObjectName) -> Result<Arc<Table>> {
        match self.relation(name)? {
            Object::Table(t) => Ok(t),
            _ => fail(
                code::WRONG_OBJECT_TYPE,
                format!("\"{}\" is not a table", qualified(name)?.1),
            ),
        }
    }

    fn must_own(&mut self, owner: &str, kind: &str, name: &str) -> Result<()> {
        let catalog = self.catalog();
        let role = self.local.role();
        if catalog.is_superuser(&role) || catalog.is_member(&role, owner) {
            return Ok(());
        }
        fail(
            code::INSUFFICIENT_PRIVILEGE,
            format!("must be owner of {kind} {name}"),
        )
    }

    /// The schema a new relation goes to, which must let the role create there.
    fn target_schema(&mut self, given: Option<String>) -> Result<String> {
        let catalog = self.catalog();
        let role = self.local.role();
        let schema = match given {
            Some(schema) if schema == "pg_temp" => self.temp_schema(),
            Some(schema) => schema,
            None => {
                let path = self.local.search_path();
                let found = path.iter().find(|s| {
                    *s != "pg_catalog" && !s.starts_with("pg_temp_") && catalog.schemas.contains_key(*s)
                });
                match found {
                    Some(schema) => schema.clone(),
                    None => {
                        return fail(
                            code::INVALID_SCHEMA_NAME,
                            "no schema has been selected to create in",
                        );
                    }
                }
            }
        };
        if schema == self.temp_schema() {
            return Ok(schema);
        }
        let Some(found) = catalog.schemas.get(&schema) else {
            return fail(
                code::INVALID_SCHEMA_NAME,
                format!("schema \"{schema}\" does not exist"),
            );
        };
        let roles = catalog.member_of(&role);
        let may = roles.contains(&found.owner) || found.acl.allows(&roles, Privilege::CREATE);
        if !catalog.is_superuser(&role) && (!may || schema == "pg_catalog") {
            return fail(
                code::INSUFFICIENT_PRIVILEGE,
                format!("permission denied for schema {schema}"),
            );
        }
        Ok(schema)
    }

    /// Queues for the name of a relation about to be made. If another session has made it meanwhile, PostgreSQL finds
    /// out by a unique index of its catalog, and so the error is that index's.
    async fn claim_name(&mut self, schema: &str, name: &str, catalog_index: (&str, &str)) -> Result<()> {
        let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
        for byte in schema.bytes().chain([0]).chain(name.bytes()) {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
        }
        self.lock(Tag::Name(hash), Mode::Exclusive).await?;
        if self.catalog().lookup(schema, name).is_none() {
            return Ok(());
        }
        let (table, index) = catalog_index;
        Err(Error::new(
            code::UNIQUE_VIOLATION,
            format!("duplicate key value violates unique constraint \"{index}\""),
        )
        .table("pg_catalog", table)
        .constraint(index))
    }

    /// Applies a change to a copy of the catalog and makes it this transaction's.
    fn change<T>(
        &mut self,
        touched: impl IntoIterator<Item = Touched>,
        f: impl FnOnce(&mut Catalog) -> T,
    ) -> T {
        let mut next = (*self.catalog()).clone();
        let out = f(&mut next);
        self.install(next, touched);
        out
    }

    /// Makes a changed catalog this transaction's.
    fn install(&mut self, next: Catalog, touched: impl IntoIterator<Item = Touched>) {
        let engine = self.engine.clone();
        let mut state = engine.state();
        self.write_xid(&mut state);
        self.txn().set_catalog(&state, next, touched);
    }

    fn put_table(&mut self, table: Table) {
        self.change([Touched::Relation(table.oid)], |k| k.put_table(table));
    }

    /// What is visible to this transaction right now, its own latest work included.
    fn latest_view(&mut self) -> View {
        let engine = self.engine.clone();
        let state = engine.state();
        View {
            csn: state.clog.csn,
            xids: self.txn().xids.clone(),
            cid: u32::MAX,
        }
    }

    /// The rows there are now, with the columns that were added after they were written.
    fn rows_now(&mut self, table: &Table) -> Vec<Vec<Value>> {
        let view = self.latest_view();
        let engine = self.engine.clone();
        let state = engine.state();
        let heap = state.heaps.get(&table.heap);
        heap.into_iter()
            .flat_map(|h| h.iter())
            .filter(|(_, tuple)| view.sees(tuple, &state.clog))
            .map(|(_, tuple)| table.padded(&tuple.row))
            .collect()
    }
}

/// The catalog's index over the names of row types, which tables and views have.
const TYPE_NAMES: (&str, &str) = ("pg_type", "pg_type_typname_nsp_index");
/// The catalog's index over the names of relations.
const RELATION_NAMES: (&str, &str) = ("pg_class", "pg_class_relname_nsp_index");

/// 42P07.
fn exists(name: &str) -> Box<Error> {
    Error::new(
        code::DUPLICATE_TABLE,
        format!("relation \"{name}\" already exists"),
    )
}

/// 42703.
fn no_column(table: &Table, name: &str) -> Box<Error> {
    Error::new(
        code::UNDEFINED_COLUMN,
        format!("column \"{name}\" of relation \"{}\" does not exist", table.name),
    )
}

/// 23502 for a column that rows already there leave empty.
fn holds_nulls(table: &Table, column: &str) -> Box<Error> {
    Error::new(
        code::NOT_NULL_VIOLATION,
        format!(
            "column \"{column}\" of relation \"{}\" contains null values",
            table.name
        ),
    )
    .table(&table.schema, &table.name)
    .column(column)
}

/// A name of at most 63 bytes made from a table's, a column's and a label, not yet taken.
fn choose_name(table: &str, column: Option<&str>, label: &str, taken: impl Fn(&str) -> bool) -> String {
    const BYTES_MAX: usize = 63;
    for n in 0.. {
        let label = if n == 0 {
            label.to_string()
        } else {
            format!("{label}{n}")
        };
        let (mut first, mut second) = (table.len(), column.map_or(0, str::len));
        let overhead = label.len() + 1 + usize::from(column.is_some());
        while first + second + overhead > BYTES_MAX {
            if first > second {
                first -= 1;
            } else {
                second -= 1;
            }
        }
        let cut = |s: &str, mut at: usize| {
            while !s.is_char_boundary(at) {
                at -= 1;
            }
            s[..at].to_string()
        };
        let name = match column {
            Some(column) => format!("{}_{}_{label}", cut(table, first), cut(column, second)),
            None => format!("{}_{label}", cut(table, first)),
        };
        if !taken(&name) {
            return name;
        }
    }
    table.to_string()
}
