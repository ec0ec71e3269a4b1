//! The catalog: schemas, tables, indexes, sequences, views and roles, as one immutable value.
//!
//! A transaction that runs DDL works on a copy of its own and commits the objects it touched. Objects are shared
//! (`Arc`), so a copy costs a few pointers per object. Whoever keeps the `Arc<Catalog>` a plan was made from can tell
//! by pointer whether the plan is still good.

pub(super) mod acl;
pub(super) mod role;
pub(super) mod system;
pub(super) mod table;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

pub(super) use acl::{Acl, Privilege};
pub(super) use role::Role;
pub(super) use table::{
    Check, Column, ForeignKey, Identity, IndexDef, KeyPart, Policy, PolicyCommand, RefAction, Table,
};

use super::error::{Result, code, fail};

/// Object identifier.
pub(super) type Oid = u32;

/// The first oid of user objects.
pub(super) const FIRST_OID: Oid = 16_384;

/// A schema.
#[derive(Clone, Debug)]
pub(super) struct Schema {
    /// Oid.
    pub oid: Oid,
    /// Owner's name.
    pub owner: String,
    /// USAGE and CREATE.
    pub acl: Acl,
}

/// A sequence's definition; its position lives in the engine's state, outside transactions.
#[derive(Clone, Debug)]
pub(super) struct Sequence {
    /// Oid.
    pub oid: Oid,
    /// Schema.
    pub schema: String,
    /// Name.
    pub name: String,
    /// Owner's name.
    pub owner: String,
    /// Step.
    pub increment: i64,
    /// Smallest value.
    pub min: i64,
    /// Largest value.
    pub max: i64,
    /// First value.
    pub start: i64,
    /// The integer type whose values it stays in.
    pub ty: super::types::Type,
    /// Starts over at the end.
    pub cycle: bool,
    /// The table column it belongs to; dropped with it.
    pub owned_by: Option<(Oid, usize)>,
    /// USAGE, SELECT and UPDATE.
    pub acl: Acl,
}

/// A view: a stored query.
#[derive(Clone, Debug)]
pub(super) struct View {
    /// Oid.
    pub oid: Oid,
    /// Schema.
    pub schema: String,
    /// Name.
    pub name: String,
    /// Owner, with whose rights the query runs.
    pub owner: String,
    /// Column names given, if any.
    pub columns: Vec<String>,
    /// Its columns as they were when it was created.
    pub outputs: Vec<super::sql::plan::Output>,
    /// Relations that the query reads.
    pub depends: Vec<Oid>,
    /// The query.
    pub query: Arc<sqlparser::ast::Query>,
    /// SELECT.
    pub acl: Acl,
}

/// One object by kind.
#[derive(Clone, Debug)]
pub(super) enum Object {
    /// A table.
    Table(Arc<Table>),
    /// A sequence.
    Sequence(Arc<Sequence>),
    /// A view.
    View(Arc<View>),
    /// An index; the oid is its table's.
    Index(Oid),
}

/// What a transaction's DDL touched.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Touched {
    /// A relation of any kind.
    Relation(Oid),
    /// A schema.
    Schema(String),
    /// A role.
    Role(String),
}

/// Everything that has a name.
#[derive(Clone, Debug)]
pub(super) struct Catalog {
    /// Schemas by name.
    pub schemas: BTreeMap<String, Arc<Schema>>,
    /// Relations by oid.
    pub objects: BTreeMap<Oid, Object>,
    /// Relations by schema and name.
    pub names: BTreeMap<(String, String), Oid>,
    /// Roles by name.
    pub roles: BTreeMap<String, Arc<Role>>,
    /// Rights on the database.
    pub database_acl: Acl,
}

impl Catalog {
    /// A fresh cluster's catalog with one superuser.
    pub(super) fn new(superuser: &str) -> Catalog {
        let mut public = Acl::default();
        public.grant("", Privilege::USAGE);
        let mut schemas = BTreeMap::new();
        let mut system = Acl::default();
        system.grant("", Privilege::USAGE);
        for (oid, name, acl) in [
            (11, "pg_catalog", &system),
            (2200, "public", &public),
            (13_000, "information_schema", &system),
        ] {
            let schema = Schema {
                oid,
                owner: superuser.into(),
                acl: acl.clone(),
            };
            schemas.insert(name.to_string(), Arc::new(schema));
        }
        let mut roles = BTreeMap::new();
        roles.insert(superuser.to_string(), Arc::new(Role::superuser(10, superuser)));
        let mut database_acl = Acl::default();
        database_acl.grant("", Privilege::CONNECT | Privilege::TEMPORARY);
        Catalog {
            schemas,
            objects: BTreeMap::new(),
            names: BTreeMap::new(),
            roles,
            database_acl,
        }
    }

    /// The relation with this name in this schema.
    pub(super) fn lookup(&self, schema: &str, name: &str) -> Option<&Object> {
        self.names
            .get(&(schema.to_string(), name.to_string()))
            .and_then(|oid| self.objects.get(oid))
    }

    /// A table by oid.
    pub(super) fn table(&self, oid: Oid) -> Option<&Arc<Table>> {
        match self.objects.get(&oid) {
            Some(Object::Table(t)) => Some(t),
            _ => None,
        }
    }

    /// A sequence by oid.
    pub(super) fn sequence(&self, oid: Oid) -> Option<&Arc<Sequence>> {
        match self.objects.get(&oid) {
            Some(Object::Sequence(s)) => Some(s),
            _ => None,
        }
    }

    /// Sequences that belong to columns of a table.
    pub(super) fn sequences_of(&self, table: Oid) -> Vec<Arc<Sequence>> {
        self.objects
            .values()
            .filter_map(|o| match o {
                Object::Sequence(s) if s.owned_by.is_some_and(|(t, _)| t == table) => Some(s.clone()),
                _ => None,
            })
            .collect()
    }

    /// The name of a relation of any kind.
    pub(super) fn relation_name(&self, oid: Oid) -> String {
        self.relation_place(oid)
            .map_or_else(|| oid.to_string(), |(_, name)| name)
    }

    /// Schema and name of a relation of any kind.
    pub(super) fn relation_place(&self, oid: Oid) -> Option<(String, String)> {
        match self.objects.get(&oid)? {
            Object::Table(t) => Some((t.schema.clone(), t.name.clone())),
            Object::Sequence(s) => Some((s.schema.clone(), s.name.clone())),
            Object::View(v) => Some((v.schema.clone(), v.name.clone())),
            Object::Index(table) => {
                let table = self.table(*table)?;
                let index = table.indexes.iter().find(|i| i.oid == oid)?;
                Some((table.schema.clone(), index.name.clone()))
            }
        }
    }

    /// All tables in oid order.
    pub(super) fn tables(&self) -> impl Iterator<Item = &Arc<Table>> {
        self.objects.values().filter_map(|o| match o {
            Object::Table(t) => Some(t),
            _ => None,
        })
    }

    /// The catalog as storage knows it: temporary tables end with the instance.
    pub(super) fn without_temporary(self: Arc<Catalog>) -> Arc<Catalog> {
        let temporary: Vec<Oid> = self.tables().filter(|t| t.temporary).map(|t| t.oid).collect();
        if temporary.is_empty() {
            return self;
        }
        let mut catalog = (*self).clone();
        temporary.into_iter().for_each(|oid| catalog.remove(oid));
        Arc::new(catalog)
    }

    /// Puts or replaces a table, its name and its indexes' names.
    pub(super) fn put_table(&mut self, table: Table) {
        let oid = table.oid;
        self.forget_names(oid);
        self.names.insert((table.schema.clone(), table.name.clone()), oid);
        for index in &table.indexes {
            self.names
                .insert((table.schema.clone(), index.name.clone()), index.oid);
            self.objects.insert(index.oid, Object::Index(oid));
        }
        self.objects.insert(oid, Object::Table(Arc::new(table)));
    }

    /// Puts or replaces a sequence.
    pub(super) fn put_sequence(&mut self, sequence: Sequence) {
        self.forget_names(sequence.oid);
        self.names
            .insert((sequence.schema.clone(), sequence.name.clone()), sequence.oid);
        self.objects
            .insert(sequence.oid, Object::Sequence(Arc::new(sequence)));
    }

    /// Puts or replaces a view.
    pub(super) fn put_view(&mut self, view: View) {
        self.forget_names(view.oid);
        self.names
            .insert((view.schema.clone(), view.name.clone()), view.oid);
        self.objects.insert(view.oid, Object::View(Arc::new(view)));
    }

    /// Removes a relation and, for a table, its indexes.
    pub(super) fn remove(&mut self, oid: Oid) {
        self.forget_names(oid);
        self.objects.remove(&oid);
    }

    fn forget_names(&mut self, oid: Oid) {
        let mut gone: BTreeSet<Oid> = BTreeSet::from([oid]);
        for (index, object) in &self.objects {
            if matches!(object, Object::Index(table) if *table == oid) {
                gone.insert(*index);
            }
        }
        self.names.retain(|_, named| !gone.contains(named));
        self.objects.retain(|id, _| *id == oid || !gone.contains(id));
    }

    /// Carries the objects a transaction touched over from its copy.
    pub(super) fn merge(&mut self, from: &Catalog, touched: &BTreeSet<Touched>) {
        for item in touched {
            match item {
                Touched::Relation(oid) => match from.objects.get(oid) {
                    Some(Object::Table(t)) => self.put_table((**t).clone()),
                    Some(Object::Sequence(s)) => self.put_sequence((**s).clone()),
                    Some(Object::View(v)) => self.put_view((**v).clone()),
                    Some(Object::Index(_)) => {}
                    None => self.remove(*oid),
                },
                Touched::Schema(name) => match from.schemas.get(name) {
                    Some(schema) => _ = self.schemas.insert(name.clone(), schema.clone()),
                    None => _ = self.schemas.remove(name),
                },
                Touched::Role(name) => match from.roles.get(name) {
                    Some(role) => _ = self.roles.insert(name.clone(), role.clone()),
                    None => _ = self.roles.remove(name),
                },
            }
        }
    }

    /// Whether a role is, or is a member of, another.
    pub(super) fn is_member(&self, role: &str, of: &str) -> bool {
        self.member_of(role).contains(of)
    }

    /// A role and every role it inherits from.
    pub(super) fn member_of(&self, role: &str) -> BTreeSet<String> {
        let mut seen = BTreeSet::new();
        let mut open = vec![role.to_string()];
        while let Some(name) = open.pop() {
            if seen.insert(name.clone())
                && let Some(role) = self.roles.get(&name)
            {
                open.extend(role.member_of.iter().cloned());
            }
        }
        seen
    }

    /// Whether a role passes every permission check.
    pub(super) fn is_superuser(&self, role: &str) -> bool {
        self.roles.get(role).is_some_and(|r| r.superuser)
    }

    /// The role, or 42704.
    pub(super) fn role(&self, name: &str) -> Result<&Arc<Role>> {
        match self.roles.get(name) {
            Some(role) => Ok(role),
            None => fail(code::UNDEFINED_OBJECT, format!("role \"{name}\" does not exist")),
        }
    }
}
