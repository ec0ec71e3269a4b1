//! CREATE TABLE, CREATE TABLE AS, TRUNCATE, LOCK TABLE, COMMENT.

use std::collections::BTreeMap;
use std::sync::Arc;

use sqlparser::ast::{self, TableConstraint, helpers::stmt_create_table::CreateTableBuilder};

use super::exists;
use crate::aws::aurora::catalog::{Acl, Catalog, Column, Object, Privilege, Table, Touched};
use crate::aws::aurora::error::{Result, code, fail, unsupported};
use crate::aws::aurora::exec::statement;
use crate::aws::aurora::lock::{Mode, Tag};
use crate::aws::aurora::session::prepared::Prepared;
use crate::aws::aurora::session::{Answer, Block, Session};
use crate::aws::aurora::sql::bind::{fold, qualified};
use crate::aws::aurora::sql::command::{LockTable, Truncate};
use crate::aws::aurora::sql::parse::Statement;
use crate::aws::aurora::types::Value;

/// Refuses every option of CREATE TABLE that is not implemented, by comparing with a statement that has only the others.
fn refuse_options(c: &ast::CreateTable) -> Result<()> {
    if c.temporary && matches!(c.on_commit, Some(ast::OnCommit::DeleteRows | ast::OnCommit::Drop)) {
        return unsupported("ON COMMIT DELETE ROWS or DROP");
    }
    let plain = CreateTableBuilder::new(c.name.clone())
        .columns(c.columns.clone())
        .constraints(c.constraints.clone())
        .if_not_exists(c.if_not_exists)
        .temporary(c.temporary)
        .on_commit(c.on_commit)
        .query(c.query.clone())
        .hive_formats(c.hive_formats.clone())
        .build();
    if plain == *c {
        return Ok(());
    }
    for (given, construct) in [
        (c.like.is_some(), "CREATE TABLE LIKE"),
        (c.inherits.is_some(), "INHERITS"),
        (
            c.partition_by.is_some() || c.partition_of.is_some(),
            "PARTITION BY",
        ),
        (c.unlogged, "CREATE UNLOGGED TABLE"),
    ] {
        if given {
            return unsupported(construct);
        }
    }
    unsupported("an option of CREATE TABLE")
}

impl Session {
    /// An empty table, its heap included; it is not in the catalog yet.
    fn new_table(&mut self, schema: &str, name: &str) -> Table {
        let engine = self.engine.clone();
        let mut state = engine.state();
        let xid = self.write_xid(&mut state);
        let (oid, heap) = (state.new_oid(), state.new_heap());
        self.txn().heaps.push((xid, heap));
        Table {
            oid,
            schema: schema.to_string(),
            name: name.to_string(),
            owner: self.local.role(),
            heap,
            columns: Vec::new(),
            indexes: Vec::new(),
            checks: Vec::new(),
            foreign_keys: Vec::new(),
            referenced_by: Vec::new(),
            acl: Acl::default(),
            row_security: false,
            force_row_security: false,
            policies: Vec::new(),
            temporary: schema == self.temp_schema(),
            comments: BTreeMap::new(),
        }
    }

    pub(in crate::aws::aurora::session) async fn create_table(
        &mut self,
        c: &ast::CreateTable,
    ) -> Result<Answer> {
        self.check_writable("CREATE TABLE")?;
        refuse_options(c)?;
        let (schema, name) = qualified(&c.name)?;
        let schema = if c.temporary {
            Some(self.temp_schema())
        } else {
            schema
        };
        let schema = self.target_schema(schema)?;
        let catalog = self.catalog();
        if catalog.lookup(&schema, &name).is_some() {
            if c.if_not_exists {
                self.note(format!("relation \"{name}\" already exists, skipping"));
                return Ok(Answer::tag("CREATE TABLE"));
            }
            return Err(exists(&name));
        }
        self.claim_name(&schema, &name, super::TYPE_NAMES).await?;
        let mut next = (*self.catalog()).clone();
        let mut table = self.new_table(&schema, &name);
        if let Some(query) = &c.query {
            return self.create_table_as(next, table, &c.columns, query).await;
        }
        let mut touched = vec![Touched::Relation(table.oid)];
        let mut constraints: Vec<(TableConstraint, Vec<String>)> = Vec::new();
        for def in &c.columns {
            let added = self.define_column(&mut next, &table, def)?;
            touched.extend(added.sequence.map(Touched::Relation));
            constraints.extend(added.constraints.into_iter().map(|k| (k, vec![fold(&def.name)])));
            table.columns.push(added.column);
        }
        self.define_generated(&next, &mut table, &c.columns)?;
        constraints.extend(c.constraints.iter().map(|k| (k.clone(), Vec::new())));
        // Keys first: a foreign key may refer to the table itself.
        constraints.sort_by_key(|(k, _)| matches!(k, TableConstraint::ForeignKey(_)));
        for (constraint, own) in constraints {
            self.add_constraint(&mut next, &mut table, &constraint, &own, &mut touched)?;
        }
        let mut state = self.engine.state();
        for index in &table.indexes {
            state.build_index(table.heap, index)?;
        }
        drop(state);
        next.put_table(table);
        self.install(next, touched);
        Ok(Answer::tag("CREATE TABLE"))
    }

    async fn create_table_as(
        &mut self,
        mut next: Catalog,
        mut table: Table,
        names: &[ast::ColumnDef],
        query: &ast::Query,
    ) -> Result<Answer> {
        let statement = ast::Statement::Query(Box::new(query.clone()));
        let statement = Arc::new(Statement::Sql(Box::new(statement)));
        let mut prepared = Prepared::new("", Some(statement), Vec::new());
        let plan = self.plan(&mut prepared)?;
        let answer = statement::execute(self, &plan, &[]).await?;
        let outputs = answer.columns.unwrap_or_default();
        if names.len() > outputs.len() {
            return fail(code::SYNTAX_ERROR, "too many column names were specified");
        }
        for (at, output) in outputs.iter().enumerate() {
            let name = names
                .get(at)
                .map_or_else(|| output.name.clone(), |d| fold(&d.name));
            if table.column(&name).is_some() {
                return fail(
                    code::DUPLICATE_COLUMN,
                    format!("column \"{name}\" specified more than once"),
                );
            }
            table.columns.push(Column::new(name, output.ty, output.typmod));
        }
        let count = answer.rows.len();
        self.fill_heap(&table, answer.rows)?;
        let oid = table.oid;
        next.put_table(table);
        self.install(next, [Touched::Relation(oid)]);
        Ok(Answer::tag(format!("SELECT {count}")))
    }

    pub(in crate::aws::aurora::session) async fn truncate(&mut self, t: &Truncate) -> Result<Answer> {
        self.check_writable("TRUNCATE TABLE")?;
        let mut chosen = Vec::new();
        for name in &t.tables {
            let oid = self.table_named(name)?.oid;
            if !chosen.contains(&oid) {
                chosen.push(oid);
            }
        }
        for at in 0.. {
            let catalog = self.catalog();
            let Some(table) = chosen.get(at).and_then(|oid| catalog.table(*oid)).cloned() else {
                break;
            };
            self.must_have(&table, Privilege::TRUNCATE)?;
            self.lock(Tag::Relation(table.oid), Mode::AccessExclusive).await?;
            for other in &table.referenced_by {
                let refers = catalog
                    .table(*other)
                    .is_some_and(|o| o.foreign_keys.iter().any(|fk| fk.target == table.oid));
                if !refers || t.tables.is_empty() || chosen.contains(other) {
                    continue;
                }
                if t.cascade {
                    chosen.push(*other);
                    continue;
                }
                // A table named later in the list is truncated with it.
                let mut named = false;
                for name in &t.tables {
                    named |= self.table_named(name)?.oid == *other;
                }
                if !named {
                    return fail(
                        code::FEATURE_NOT_SUPPORTED,
                        "cannot truncate a table referenced in a foreign key constraint",
                    );
                }
            }
        }
        for oid in chosen {
            let catalog = self.catalog();
            let Some(table) = catalog.table(oid) else { continue };
            let mut emptied = (**table).clone();
            self.rewrite(&mut emptied, Vec::new())?;
            self.put_table(emptied);
            if t.restart {
                for sequence in catalog.sequences_of(oid) {
                    self.restart_sequence(sequence.oid, sequence.start);
                }
            }
        }
        Ok(Answer::tag("TRUNCATE TABLE"))
    }

    /// 42501 unless the role has a right on the whole table.
    fn must_have(&mut self, table: &Table, right: Privilege) -> Result<()> {
        let catalog = self.catalog();
        let role = self.local.role();
        let roles = catalog.member_of(&role);
        if catalog.is_superuser(&role) || roles.contains(&table.owner) || table.acl.allows(&roles, right) {
            return Ok(());
        }
        fail(
            code::INSUFFICIENT_PRIVILEGE,
            format!("permission denied for table {}", table.name),
        )
    }

    pub(in crate::aws::aurora::session) async fn lock_tables(&mut self, l: &LockTable) -> Result<Answer> {
        if self.block == Block::Idle {
            return fail(
                code::NO_ACTIVE_SQL_TRANSACTION,
                "LOCK TABLE can only be used in transaction blocks",
            );
        }
        for name in &l.tables {
            let (oid, name) = match self.relation(name)? {
                Object::Table(table) => {
                    let wanted = match l.mode {
                        Mode::AccessShare => vec![Privilege::SELECT],
                        Mode::RowShare | Mode::RowExclusive => vec![Privilege::INSERT],
                        _ => Vec::new(),
                    };
                    let strong = [Privilege::UPDATE, Privilege::DELETE, Privilege::TRUNCATE];
                    let any = wanted
                        .iter()
                        .chain(&strong)
                        .any(|r| self.must_have(&table, *r).is_ok());
                    if !any {
                        self.must_have(&table, Privilege::UPDATE)?;
                    }
                    (table.oid, table.name.clone())
                }
                _ => {
                    return fail(
                        code::WRONG_OBJECT_TYPE,
                        format!("\"{}\" is not a table", qualified(name)?.1),
                    );
                }
            };
            if !l.nowait {
                self.lock(Tag::Relation(oid), l.mode).await?;
            } else if !self.try_lock(Tag::Relation(oid), l.mode) {
                return fail(
                    code::LOCK_NOT_AVAILABLE,
                    format!("could not obtain lock on relation \"{name}\""),
                );
            }
        }
        Ok(Answer::tag("LOCK TABLE"))
    }

    pub(in crate::aws::aurora::session) fn comment(
        &mut self,
        table: &ast::ObjectName,
        column: Option<&str>,
        text: Option<&str>,
    ) -> Result<Answer> {
        self.check_writable("COMMENT")?;
        let mut table = (*self.table_named(table)?).clone();
        self.must_own(&table.owner.clone(), "table", &table.name.clone())?;
        let at = match column {
            None => 0,
            Some(name) => match table.column(name) {
                Some(at) => at as i16 + 1,
                None => return Err(super::no_column(&table, name)),
            },
        };
        match text.filter(|t| !t.is_empty()) {
            Some(text) => _ = table.comments.insert(at, text.to_string()),
            None => _ = table.comments.remove(&at),
        }
        self.put_table(table);
        Ok(Answer::tag("COMMENT"))
    }

    pub(in crate::aws::aurora::session) fn maintain(
        &mut self,
        vacuum: bool,
        tables: &[ast::ObjectName],
    ) -> Result<Answer> {
        if vacuum && (self.block != Block::Idle || self.txn().begun) {
            return fail(
                code::ACTIVE_SQL_TRANSACTION,
                "VACUUM cannot run inside a transaction block",
            );
        }
        for table in tables {
            self.table_named(table)?;
        }
        Ok(Answer::tag(if vacuum { "VACUUM" } else { "ANALYZE" }))
    }

    /// Whether the table has a row now.
    pub(super) fn has_rows(&mut self, table: &Table) -> bool {
        !self.rows_now(table).is_empty()
    }

    /// Whether any row passes a test.
    pub(super) fn any_row(&mut self, table: &Table, test: impl Fn(&[Value]) -> bool) -> bool {
        self.rows_now(table).iter().any(|row| test(row))
    }
}
