//! INSERT, UPDATE, DELETE.

use std::collections::BTreeSet;
use std::sync::Arc;

use sqlparser::ast;

use super::super::expr::Expr;
use super::super::plan::{Body, Delete, Distinct, Insert, Modify, NULL, Node, Query, Select, Update};
use super::super::rewrite::overriding;
use super::{Binder, Rel, Scope, Typed, access, conjuncts, fold, qualified, resolve};
use crate::aws::aurora::catalog::{Identity, Object, PolicyCommand, Privilege, Table};
use crate::aws::aurora::error::{Error, Result, code, fail, unsupported};
use crate::aws::aurora::lock::Mode;
use crate::aws::aurora::types::{CastContext, Type};

impl Binder<'_> {
    fn target_table(&mut self, name: &ast::ObjectName) -> Result<Arc<Table>> {
        let (schema, table) = qualified(name)?;
        match resolve(self.catalog, self.settings.search_path, schema.as_deref(), &table) {
            Ok(Object::Table(t)) => Ok(t.clone()),
            Ok(Object::View(_)) => unsupported(format_args!("writing through view \"{table}\"")),
            Ok(_) => fail(
                code::WRONG_OBJECT_TYPE,
                format!("cannot change relation \"{table}\""),
            ),
            Err(e) => Err(e),
        }
    }

    pub(super) fn undefined_column(table: &Table, column: &str) -> Box<Error> {
        Error::new(
            code::UNDEFINED_COLUMN,
            format!(
                "column \"{column}\" of relation \"{}\" does not exist",
                table.name
            ),
        )
    }

    pub(super) fn insert(&mut self, i: &ast::Insert) -> Result<Modify> {
        if i.or.is_some()
            || i.ignore
            || i.overwrite
            || !i.assignments.is_empty()
            || i.partitioned.is_some()
            || i.replace_into
            || i.insert_alias.is_some()
            || i.output.is_some()
        {
            return unsupported("an INSERT clause of another dialect");
        }
        let ast::TableObject::TableName(name) = &i.table else {
            return unsupported("INSERT INTO this target");
        };
        let table = self.target_table(name)?;
        let alias = i
            .table_alias
            .as_ref()
            .map_or_else(|| table.name.clone(), |a| fold(&a.alias));
        let mut columns = i.columns.clone();
        let said = columns
            .last()
            .and_then(|c| c.0.last()?.as_ident())
            .and_then(|c| overriding(&c.value));
        if said.is_some() {
            columns.pop();
        }
        let targets = self.insert_columns(&table, &columns)?;
        self.writes = Some("INSERT");
        self.lock_relation(table.oid, Mode::RowExclusive);
        let named = targets.iter().map(|c| table.columns[*c].name.clone()).collect();
        self.need(table.oid, Privilege::INSERT, named);
        let expected: Vec<(Type, i32)> = targets
            .iter()
            .map(|c| (table.columns[*c].ty, table.columns[*c].typmod))
            .collect();
        let source = match &i.source {
            None => None,
            Some(q) => Some(self.query(q, Some(&expected))?),
        };
        let source = source.unwrap_or(Query {
            body: Body::Values(vec![Vec::new()]),
            order: Vec::new(),
            limit: None,
            offset: None,
            columns: Vec::new(),
        });
        let given = source.columns.len();
        if given > targets.len() {
            return fail(
                code::SYNTAX_ERROR,
                "INSERT has more expressions than target columns",
            );
        }
        if given < targets.len() && !columns.is_empty() {
            return fail(
                code::SYNTAX_ERROR,
                "INSERT has more target columns than expressions",
            );
        }
        let (source, values) = self.insert_values(&table, source, &targets[..given], said)?;
        let conflict = match &i.on {
            None => None,
            Some(ast::OnInsert::OnConflict(c)) => Some(self.conflict(&table, &alias, c)?),
            Some(other) => return unsupported(format_args!("{other}")),
        };
        let mut check = self.write_security(&table, &[PolicyCommand::All, PolicyCommand::Insert])?;
        if i.returning.is_some() {
            check.extend(self.write_security(&table, &[PolicyCommand::All, PolicyCommand::Select])?);
        }
        let returning = match &i.returning {
            None => None,
            Some(items) => {
                let mut scope = Scope::new("RETURNING");
                scope.push(Rel::of_table(&table, &alias, 0));
                self.scopes.push(scope);
                let bound = self.returning(items);
                self.scopes.pop();
                Some(bound?)
            }
        };
        Ok(Modify::Insert(Box::new(Insert {
            table,
            source,
            values,
            conflict,
            check,
            returning,
        })))
    }

    fn insert_columns(&self, table: &Table, names: &[ast::ObjectName]) -> Result<Vec<usize>> {
        if names.is_empty() {
            return Ok(table.live().map(|(i, _)| i).collect());
        }
        let mut out = Vec::new();
        let mut seen = BTreeSet::new();
        for name in names {
            let (_, column) = qualified(name)?;
            let Some(at) = table.column(&column) else {
                return Err(Self::undefined_column(table, &column));
            };
            if !seen.insert(at) {
                return fail(
                    code::DUPLICATE_COLUMN,
                    format!("column \"{column}\" specified more than once"),
                );
            }
            out.push(at);
        }
        Ok(out)
    }

    /// One expression per table column over the source row, and the source with its DEFAULTs filled in.
    fn insert_values(
        &mut self,
        table: &Arc<Table>,
        mut source: Query,
        targets: &[usize],
        overriding: Option<bool>,
    ) -> Result<(Query, Vec<Expr>)> {
        let mut defaulted = vec![false; targets.len()];
        if let Body::Values(rows) = &mut source.body {
            let total = rows.len();
            for (i, target) in targets.iter().enumerate() {
                let is_default = |e: &Expr| e.any(&|e| matches!(e, Expr::Outer(usize::MAX, _)));
                let count = rows.iter().filter(|r| is_default(&r[i])).count();
                defaulted[i] = count > 0 && count == total;
                for row in rows.iter_mut().filter(|r| is_default(&r[i])) {
                    // When all rows say DEFAULT it is computed with the row itself, and must not be twice.
                    row[i] = match &table.columns[*target].default {
                        Some((default, _)) if !defaulted[i] => default.clone(),
                        _ => NULL,
                    };
                }
            }
        }
        let mut values = Vec::with_capacity(table.columns.len());
        for (at, column) in table.columns.iter().enumerate() {
            if column.dropped {
                values.push(NULL);
                continue;
            }
            let place = targets.iter().position(|t| *t == at);
            let ignored = overriding == Some(false) && column.identity.is_some();
            let from_source = place.filter(|p| !defaulted[*p] && !ignored);
            if from_source.is_some() {
                if column.identity == Some(Identity::Always) && overriding.is_none() {
                    return Err(Error::new(
                        code::GENERATED_ALWAYS,
                        format!(
                            "cannot insert a non-DEFAULT value into column \"{}\"",
                            column.name
                        ),
                    )
                    .detail(format!(
                        "Column \"{}\" is an identity column defined as GENERATED ALWAYS.",
                        column.name
                    ))
                    .hint("Use OVERRIDING SYSTEM VALUE to override."));
                }
                if column.generated.is_some() {
                    return Err(Error::new(
                        code::GENERATED_ALWAYS,
                        format!(
                            "cannot insert a non-DEFAULT value into column \"{}\"",
                            column.name
                        ),
                    )
                    .detail(format!("Column \"{}\" is a generated column.", column.name)));
                }
            }
            values.push(match from_source {
                Some(p) => {
                    let output = &source.columns[p];
                    let typed = Typed {
                        expr: Expr::Column(p),
                        ty: output.ty,
                        typmod: output.typmod,
                    };
                    let typed = Typed {
                        expr: self.assign(typed, column.ty, &column.name)?,
                        ty: column.ty,
                        typmod: -1,
                    };
                    if column.typmod >= 0 && !(output.ty == column.ty && output.typmod == column.typmod) {
                        self.coerce(typed, column.ty, column.typmod, CastContext::Assignment)?
                            .expr
                    } else {
                        typed.expr
                    }
                }
                None => column.default.clone().map_or(NULL, |d| d.0),
            });
        }
        Ok((source, values))
    }

    pub(super) fn update(&mut self, u: &ast::Update) -> Result<Modify> {
        if u.or.is_some() || u.limit.is_some() || !u.order_by.is_empty() || u.output.is_some() {
            return unsupported("an UPDATE clause of another dialect");
        }
        let ast::TableFactor::Table { name, alias, .. } = &u.table.relation else {
            return unsupported(format_args!("UPDATE of {}", u.table.relation));
        };
        if !u.table.joins.is_empty() {
            return unsupported("UPDATE of a join");
        }
        let table = self.target_table(name)?;
        self.writes = Some("UPDATE");
        self.scopes.push(Scope::new("FROM"));
        let node = self.target_scan(&table, alias.as_ref(), PolicyCommand::Update)?;
        let from: &[ast::TableWithJoins] = match &u.from {
            None => &[],
            Some(ast::UpdateTableFromKind::AfterSet(items) | ast::UpdateTableFromKind::BeforeSet(items)) => {
                items
            }
        };
        let (select, width) = self.modify_select(node, from, u.selection.as_ref())?;
        let set = self.assignments(&table, &u.assignments)?;
        let names = set
            .iter()
            .map(|(at, _)| table.columns[*at].name.clone())
            .collect();
        self.need(table.oid, Privilege::UPDATE, names);
        let returning = u
            .returning
            .as_ref()
            .map(|items| self.returning(items))
            .transpose()?;
        self.scopes.pop();
        let mut check = self.write_security(&table, &[PolicyCommand::All, PolicyCommand::Update])?;
        // The new row must stay visible to its writer when the statement reads the table at all.
        if u.selection.is_some() || returning.is_some() {
            check.extend(self.write_security(&table, &[PolicyCommand::All, PolicyCommand::Select])?);
        }
        let select = Select { width, ..select };
        Ok(Modify::Update(Box::new(Update {
            table,
            select,
            set,
            check,
            returning,
        })))
    }

    pub(super) fn delete(&mut self, d: &ast::Delete) -> Result<Modify> {
        if !d.tables.is_empty() || d.limit.is_some() || !d.order_by.is_empty() || d.output.is_some() {
            return unsupported("a DELETE clause of another dialect");
        }
        let (ast::FromTable::WithFromKeyword(items) | ast::FromTable::WithoutKeyword(items)) = &d.from;
        let [item] = items.as_slice() else {
            return unsupported("DELETE from several tables");
        };
        let ast::TableFactor::Table { name, alias, .. } = &item.relation else {
            return unsupported(format_args!("DELETE FROM {}", item.relation));
        };
        if !item.joins.is_empty() {
            return unsupported("DELETE from a join");
        }
        let table = self.target_table(name)?;
        self.writes = Some("DELETE");
        self.scopes.push(Scope::new("FROM"));
        let node = self.target_scan(&table, alias.as_ref(), PolicyCommand::Delete)?;
        self.need(table.oid, Privilege::DELETE, Vec::new());
        let using: &[ast::TableWithJoins] = d.using.as_deref().unwrap_or(&[]);
        let (select, width) = self.modify_select(node, using, d.selection.as_ref())?;
        let returning = d
            .returning
            .as_ref()
            .map(|items| self.returning(items))
            .transpose()?;
        self.scopes.pop();
        let select = Select { width, ..select };
        Ok(Modify::Delete(Box::new(Delete {
            table,
            select,
            returning,
        })))
    }

    /// The scan of the target: rows must pass the policies of the command and, as they are read, of SELECT.
    fn target_scan(
        &mut self,
        table: &Arc<Table>,
        alias: Option<&ast::TableAlias>,
        command: PolicyCommand,
    ) -> Result<Node> {
        // Reading rights are asked for only if a column is read; see `modify_select`.
        let before = self.needed.len();
        let node = self.scan(table, alias, None)?;
        self.needed.truncate(before);
        self.lock_relation(table.oid, Mode::RowExclusive);
        let Node::Scan(mut scan) = node else {
            return unsupported("this target");
        };
        scan.security
            .extend(self.using_security(table, scan.offset, &[PolicyCommand::All, command])?);
        Ok(Node::Scan(scan))
    }

    fn modify_select(
        &mut self,
        target: Node,
        from: &[ast::TableWithJoins],
        selection: Option<&ast::Expr>,
    ) -> Result<(Select, usize)> {
        let width = match &target {
            Node::Scan(s) => s.table.columns.len(),
            _ => return unsupported("this target"),
        };
        let mut node = target;
        let mut filter = Vec::new();
        if !from.is_empty() {
            let right = self.from(from)?;
            let end = self.scopes.last().map_or(0, |s| s.width);
            node = Node::Join(Box::new(super::super::plan::Join {
                kind: super::super::plan::JoinKind::Inner,
                left: node,
                right,
                on: Vec::new(),
                filter_after: Vec::new(),
                right_places: width..end,
                equal: Vec::new(),
            }));
        }
        if let Some(e) = selection {
            self.clause("WHERE", false, false);
            conjuncts(self.boolean(e, "WHERE")?, &mut filter);
        }
        let (from, filter, _) = access::optimise(node, filter, &[], false);
        let width = self.scopes.last().map_or(width, |s| s.width);
        let select = Select {
            from,
            width,
            filter,
            group: None,
            windows: Vec::new(),
            output: Vec::new(),
            distinct: Distinct::No,
            marks: Vec::new(),
            presorted: false,
        };
        Ok((select, width))
    }
}
