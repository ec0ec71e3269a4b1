//! FROM: tables, subqueries, functions and joins over one flat row.

use std::sync::Arc;

use sqlparser::ast::{self, JoinConstraint, JoinOperator, TableFactor};

use super::super::expr::{Compare, Expr};
use super::super::plan::{Access, Join, JoinKind, Node, Output, Scan, Source, SourceKind};
use super::{Binder, Rel, ScopeColumn, Typed, conjuncts, fold, qualified, resolve};
use crate::aws::aurora::catalog::{Object, Privilege, Table, View, system};
use crate::aws::aurora::error::{Result, code, fail, unsupported};
use crate::aws::aurora::lock::Mode;
use crate::aws::aurora::types::Type;

/// Views inside views inside views.
const VIEW_DEPTH_MAX: usize = 30;

impl Binder<'_> {
    pub(super) fn from(&mut self, items: &[ast::TableWithJoins]) -> Result<Node> {
        let mut node = Node::One;
        for item in items {
            let first = self.width();
            let right = self.table_with_joins(item)?;
            node = self.inner(node, right, first..self.width());
        }
        Ok(node)
    }

    pub(super) fn inner(&mut self, left: Node, right: Node, right_places: std::ops::Range<usize>) -> Node {
        if matches!(left, Node::One) {
            return right;
        }
        let join = Join {
            kind: JoinKind::Inner,
            left,
            right,
            on: Vec::new(),
            filter_after: Vec::new(),
            right_places,
            equal: Vec::new(),
        };
        Node::Join(Box::new(join))
    }

    pub(super) fn width(&self) -> usize {
        self.scopes.last().map_or(0, |s| s.width)
    }

    fn table_with_joins(&mut self, item: &ast::TableWithJoins) -> Result<Node> {
        let first = self.width();
        let mut node = self.factor(&item.relation)?;
        for join in &item.joins {
            let middle = self.width();
            let left_rels = self.scopes.last().map_or(0, |s| s.rels.len());
            let right = self.factor(&join.relation)?;
            let end = self.width();
            let (kind, constraint) = match &join.join_operator {
                JoinOperator::Join(c) | JoinOperator::Inner(c) => (JoinKind::Inner, c),
                JoinOperator::CrossJoin(c) => (JoinKind::Inner, c),
                JoinOperator::Left(c) | JoinOperator::LeftOuter(c) => (JoinKind::Left, c),
                JoinOperator::FullOuter(c) => (JoinKind::Full, c),
                JoinOperator::Right(c) | JoinOperator::RightOuter(c) => {
                    // A right join is a left join with its inputs exchanged; places stay where they are.
                    let on = self.join_condition(c, left_rels)?;
                    node = Node::Join(Box::new(Join {
                        kind: JoinKind::Left,
                        left: right,
                        right: node,
                        on,
                        filter_after: Vec::new(),
                        right_places: first..middle,
                        equal: Vec::new(),
                    }));
                    continue;
                }
                other => {
                    return unsupported(
                        format_args!("join {other:?}")
                            .to_string()
                            .split('(')
                            .next()
                            .unwrap_or(""),
                    );
                }
            };
            let on = self.join_condition(constraint, left_rels)?;
            node = Node::Join(Box::new(Join {
                kind,
                left: node,
                right,
                on,
                filter_after: Vec::new(),
                right_places: middle..end,
                equal: Vec::new(),
            }));
        }
        Ok(node)
    }

    fn join_condition(&mut self, constraint: &JoinConstraint, left_rels: usize) -> Result<Vec<Expr>> {
        let mut out = Vec::new();
        match constraint {
            JoinConstraint::None => {}
            JoinConstraint::On(e) => {
                self.clause("JOIN conditions", false, false);
                conjuncts(self.boolean(e, "JOIN/ON")?, &mut out);
            }
            JoinConstraint::Using(names) => {
                for name in names {
                    let (_, column) = qualified(name)?;
                    out.push(self.using(&column, left_rels)?);
                }
            }
            JoinConstraint::Natural => {
                let Some(scope) = self.scopes.last() else {
                    return Ok(out);
                };
                let (left, right) = scope.rels.split_at(left_rels);
                let common: Vec<String> = left
                    .iter()
                    .flat_map(|r| &r.columns)
                    .filter(|c| !c.merged && right.iter().flat_map(|r| &r.columns).any(|o| o.name == c.name))
                    .map(|c| c.name.clone())
                    .collect();
                for column in common {
                    out.push(self.using(&column, left_rels)?);
                }
            }
        }
        Ok(out)
    }

    fn using(&mut self, column: &str, left_rels: usize) -> Result<Expr> {
        let find = |rels: &mut [Rel], side: &str, merge: bool| -> Result<Typed> {
            let mut hits = rels
                .iter_mut()
                .flat_map(|r| &mut r.columns)
                .filter(|c| c.name == column && !c.merged);
            match (hits.next(), hits.next()) {
                (Some(c), None) => {
                    c.merged = merge;
                    Ok(Typed {
                        expr: Expr::Column(c.place),
                        ty: c.ty,
                        typmod: c.typmod,
                    })
                }
                (None, _) => fail(
                    code::UNDEFINED_COLUMN,
                    format!("column \"{column}\" specified in USING clause does not exist in {side} table"),
                ),
                _ => fail(
                    code::AMBIGUOUS_COLUMN,
                    format!("common column name \"{column}\" appears more than once in {side} table"),
                ),
            }
        };
        let Some(scope) = self.scopes.last_mut() else {
            return unsupported("USING here");
        };
        let (left, right) = scope.rels.split_at_mut(left_rels);
        let l = find(left, "left", false)?;
        let r = find(right, "right", true)?;
        let (a, b) = self.comparable(l, r, "=")?;
        Ok(Expr::Compare(Compare::Eq, Box::new(a), Box::new(b)))
    }

    fn factor(&mut self, factor: &TableFactor) -> Result<Node> {
        match factor {
            TableFactor::Table {
                name,
                alias,
                args,
                with_hints,
                version: None,
                with_ordinality,
                partitions,
                json_path: None,
                sample: None,
                index_hints,
            } if with_hints.is_empty() && partitions.is_empty() && index_hints.is_empty() => match args {
                None => self.named_table(name, alias.as_ref()),
                Some(args) => {
                    let (_, function) = qualified(name)?;
                    self.table_function(&function, &args.args, alias.as_ref(), *with_ordinality)
                }
            },
            TableFactor::Derived {
                lateral,
                subquery,
                alias,
                sample: None,
            } => self.derived(*lateral, subquery, alias.as_ref()),
            TableFactor::NestedJoin {
                table_with_joins,
                alias: None,
            } => self.table_with_joins(table_with_joins),
            TableFactor::UNNEST {
                alias,
                array_exprs,
                with_offset: false,
                with_ordinality,
                ..
            } => {
                let arrays = array_exprs
                    .iter()
                    .map(|e| self.expr(e))
                    .collect::<Result<Vec<_>>>()?;
                self.unnest(arrays, alias.as_ref(), *with_ordinality)
            }
            TableFactor::Function {
                name,
                args,
                with_ordinality,
                alias,
                ..
            } => {
                let (_, function) = qualified(name)?;
                self.table_function(&function, args, alias.as_ref(), *with_ordinality)
            }
            other => unsupported(format_args!("FROM item {other}")),
        }
    }

    fn named_table(&mut self, name: &ast::ObjectName, alias: Option<&ast::TableAlias>) -> Result<Node> {
        let (schema, table) = qualified(name)?;
        if schema.is_none()
            && let Some((kind, columns)) = self.cte_source(&table)?
        {
            return self.source(kind, columns, alias, &table, false);
        }
        let object = match resolve(self.catalog, self.settings.search_path, schema.as_deref(), &table) {
            Ok(object) => object.clone(),
            Err(e) => {
                if schema
                    .as_deref()
                    .is_none_or(|s| s == "pg_catalog" || s == "information_schema")
                    && let Some(system) = system::find(schema.as_deref(), &table)
                {
                    let columns = system.outputs();
                    return self.source(SourceKind::System(system), columns, alias, &table, false);
                }
                let system = schema
                    .as_deref()
                    .is_some_and(|s| s == "pg_catalog" || s == "information_schema");
                if system || (schema.is_none() && table.starts_with("pg_")) {
                    return unsupported(format_args!("system relation \"{table}\""));
                }
                return Err(e);
            }
        };
        match object {
            Object::Table(t) => self.scan(&t, alias, schema),
            Object::View(v) => self.view(&v, alias),
            Object::Sequence(_) => unsupported(format_args!("selecting from sequence \"{table}\"")),
            Object::Index(_) => fail(
                code::WRONG_OBJECT_TYPE,
                format!("cannot open relation \"{table}\""),
            ),
        }
    }

    /// Adds a base table to the scope and returns its scan.
    pub(super) fn scan(
        &mut self,
        table: &Arc<Table>,
        alias: Option<&ast::TableAlias>,
        schema: Option<String>,
    ) -> Result<Node> {
        let offset = self.width();
        let name = alias.map_or_else(|| table.name.clone(), |a| fold(&a.name));
        let mut rel = Rel::of_table(table, &name, offset);
        rel.schema = if alias.is_none() {
            schema.or_else(|| Some(table.schema.clone()))
        } else {
            None
        };
        self.rename(&mut rel, alias)?;
        self.refuse_duplicate(&name)?;
        self.need(table.oid, Privilege::SELECT, Vec::new());
        self.lock_relation(table.oid, Mode::AccessShare);
        let number = self.scopes.last().map_or(0, |s| s.scans);
        rel.scan = Some(number);
        if let Some(scope) = self.scopes.last_mut() {
            scope.scans += 1;
            scope.push(rel);
            scope.width = scope.width.max(offset + table.columns.len());
        }
        let security = self.read_security(table, offset)?;
        Ok(Node::Scan(Box::new(Scan {
            table: table.clone(),
            number,
            offset,
            access: Access::Full,
            filter: Vec::new(),
            security,
        })))
    }

    fn refuse_duplicate(&self, name: &str) -> Result<()> {
        if self
            .scopes
            .last()
            .is_some_and(|s| s.rels.iter().any(|r| r.alias == name && !r.hidden))
        {
            return fail(
                code::DUPLICATE_ALIAS,
                format!("table name \"{name}\" specified more than once"),
            );
        }
        Ok(())
    }

    fn rename(&self, rel: &mut Rel, alias: Option<&ast::TableAlias>) -> Result<()> {
        let Some(alias) = alias else { return Ok(()) };
        if alias.columns.len() > rel.columns.len() {
            return fail(
                code::INVALID_COLUMN_REFERENCE,
                format!(
                    "table \"{}\" has {} columns available but {} columns specified",
                    rel.alias,
                    rel.columns.len(),
                    alias.columns.len()
                ),
            );
        }
        for (column, given) in rel.columns.iter_mut().zip(&alias.columns) {
            column.name = fold(&given.name);
        }
        Ok(())
    }

    fn view(&mut self, view: &Arc<View>, alias: Option<&ast::TableAlias>) -> Result<Node> {
        if self.depth >= VIEW_DEPTH_MAX {
            return fail(code::STATEMENT_TOO_COMPLEX, "stack depth limit exceeded");
        }
        self.need(view.oid, Privilege::SELECT, Vec::new());
        self.depth += 1;
        let acting = self.acting.replace(view.owner.clone());
        // The body was written elsewhere: it sees neither the CTEs nor the rows around it.
        let ctes = std::mem::take(&mut self.ctes);
        let mut wall = super::Scope::new("a view");
        wall.barrier = true;
        self.scopes.push(wall);
        let bound = self.query(&view.query, None);
        self.scopes.pop();
        self.ctes = ctes;
        self.acting = acting;
        self.depth -= 1;
        let query = bound?;
        let columns = super::subquery::renamed(query.columns.clone(), &view.columns)?;
        let slot = self.new_slot();
        let kind = SourceKind::Query {
            query: Box::new(query),
            lateral: false,
            slot,
        };
        self.source(kind, columns, alias, &view.name, false)
    }

    fn derived(
        &mut self,
        lateral: bool,
        query: &ast::Query,
        alias: Option<&ast::TableAlias>,
    ) -> Result<Node> {
        // Without LATERAL the tables to the left are there but cannot be named.
        let mut hidden = Vec::new();
        if !lateral && let Some(scope) = self.scopes.last_mut() {
            for rel in &mut scope.rels {
                hidden.push(rel.hidden);
                rel.hidden = true;
            }
        }
        let bound = self.nested(query);
        if let Some(scope) = self.scopes.last_mut() {
            for (rel, was) in scope.rels.iter_mut().zip(hidden) {
                rel.hidden = was;
            }
        }
        let (query, reach) = bound?;
        let columns = query.columns.clone();
        let slot = self.new_slot();
        let kind = if query.locks_rows() {
            if reach > 0 {
                return unsupported("FOR UPDATE in a LATERAL or correlated subquery");
            }
            self.units.push(super::Unit::Query {
                slot,
                query,
                eager: true,
            });
            SourceKind::Slot(slot)
        } else {
            SourceKind::Query {
                query: Box::new(query),
                lateral: reach > 0,
                slot,
            }
        };
        self.source(kind, columns, alias, "", false)
    }

    pub(super) fn source(
        &mut self,
        kind: SourceKind,
        mut columns: Vec<Output>,
        alias: Option<&ast::TableAlias>,
        name: &str,
        ordinality: bool,
    ) -> Result<Node> {
        if ordinality {
            columns.push(Output {
                name: "ordinality".into(),
                ty: Type::Int8,
                typmod: -1,
                origin: (0, 0),
            });
        }
        let offset = self.width();
        let alias_name = alias.map_or_else(|| name.to_string(), |a| fold(&a.name));
        let columns: Vec<ScopeColumn> = columns
            .into_iter()
            .enumerate()
            .map(|(i, c)| ScopeColumn {
                name: c.name,
                ty: c.ty,
                typmod: c.typmod,
                place: offset + i,
                origin: c.origin,
                merged: false,
            })
            .collect();
        let width = columns.len();
        let mut rel = Rel {
            alias: alias_name.clone(),
            schema: None,
            columns,
            table: None,
            scan: None,
            hidden: false,
            qualified_only: false,
        };
        self.rename(&mut rel, alias)?;
        if !alias_name.is_empty() {
            self.refuse_duplicate(&alias_name)?;
        }
        if let Some(scope) = self.scopes.last_mut() {
            scope.push(rel);
            scope.width = scope.width.max(offset + width);
        }
        Ok(Node::Rows(Box::new(Source {
            kind,
            offset,
            width,
            filter: Vec::new(),
            ordinality,
        })))
    }
}
