//! Subqueries in expressions, and WITH.

use std::collections::BTreeMap;

use sqlparser::ast;

use super::super::expr::{Ask, Compare, Expr, SubQuery};
use super::super::plan::{Body, Output, Query, SourceKind, Unit};
use super::expr::negate;
use super::{Binder, CteRef, Scope, Typed, fold};
use crate::aws::aurora::error::{Result, code, fail, unsupported};
use crate::aws::aurora::types::{CastContext, Type};

impl Binder<'_> {
    fn subquery(&mut self, query: &ast::Query) -> Result<(Query, bool)> {
        let before = self.scopes.len();
        let (bound, reach) = self.nested(query)?;
        debug_assert_eq!(before, self.scopes.len());
        Ok((bound, reach > 0))
    }

    /// Binds a query one level down and says how far out it reaches: 0 for not at all.
    pub(super) fn nested(&mut self, query: &ast::Query) -> Result<(Query, usize)> {
        let saved = self.scopes.last().map_or(0, |s| s.reach);
        if let Some(scope) = self.scopes.last_mut() {
            scope.reach = 0;
        }
        // `query` pushes its own scope; what it reaches beyond that is noted in this one, one level less.
        let mut probe = Scope::new("SELECT");
        probe.barrier = false;
        let bound = self.query(query, None)?;
        let reach = bound_reach(&bound);
        if let Some(scope) = self.scopes.last_mut() {
            scope.reach = saved.max(reach.saturating_sub(1));
        }
        Ok((bound, reach))
    }

    pub(super) fn exists(&mut self, query: &ast::Query) -> Result<Typed> {
        self.ask(query, Type::Bool, |_, _, _| Ok(Ask::Exists))
    }

    pub(super) fn scalar_subquery(&mut self, query: &ast::Query) -> Result<Typed> {
        self.ask(query, Type::Unknown, |_, columns, ty| {
            if columns.len() != 1 {
                return fail(code::SYNTAX_ERROR, "subquery must return only one column");
            }
            *ty = columns[0].ty;
            Ok(Ask::Scalar)
        })
    }

    pub(super) fn array_subquery(&mut self, query: &ast::Query) -> Result<Typed> {
        self.ask(query, Type::Unknown, |_, columns, ty| {
            let [column] = columns else {
                return fail(code::SYNTAX_ERROR, "subquery must return only one column");
            };
            match column.ty.array() {
                Some(array) => *ty = array,
                None => return unsupported("ARRAY of a subquery of arrays"),
            }
            Ok(Ask::Array(column.ty))
        })
    }

    pub(super) fn in_subquery(
        &mut self,
        left: &ast::Expr,
        query: &ast::Query,
        negated: bool,
    ) -> Result<Typed> {
        Ok(negate(
            self.quantified_subquery(left, Compare::Eq, query, false)?,
            negated,
        ))
    }

    pub(super) fn quantified_subquery(
        &mut self,
        left: &ast::Expr,
        op: Compare,
        query: &ast::Query,
        all: bool,
    ) -> Result<Typed> {
        let lefts: Vec<&ast::Expr> = match left {
            ast::Expr::Tuple(items) => items.iter().collect(),
            other => vec![other],
        };
        if lefts.len() > 1 && op != Compare::Eq {
            return unsupported("an ordering comparison of rows with a subquery");
        }
        let lefts = lefts
            .into_iter()
            .map(|l| self.expr(l))
            .collect::<Result<Vec<_>>>()?;
        self.ask(query, Type::Bool, |binder, columns, _| {
            if columns.len() != lefts.len() {
                let few = if columns.len() < lefts.len() {
                    "few"
                } else {
                    "many"
                };
                return fail(code::SYNTAX_ERROR, format!("subquery has too {few} columns"));
            }
            let mut bound = Vec::new();
            for (l, column) in lefts.into_iter().zip(columns) {
                if l.ty == Type::Unknown {
                    bound.push(binder.coerce(l, column.ty, -1, CastContext::Implicit)?.expr);
                    continue;
                }
                let probe = Typed::new(Expr::Const(crate::aws::aurora::types::Value::Null), column.ty);
                if binder.common_type(&[l.clone(), probe], "IN").is_err() {
                    return fail(
                        code::UNDEFINED_FUNCTION,
                        format!("operator does not exist: {} = {}", l.ty.name(), column.ty.name()),
                    );
                }
                bound.push(l.expr);
            }
            Ok(Ask::Quantified { left: bound, op, all })
        })
    }

    fn ask(
        &mut self,
        query: &ast::Query,
        mut ty: Type,
        ask: impl FnOnce(&mut Self, &[Output], &mut Type) -> Result<Ask>,
    ) -> Result<Typed> {
        let (mut bound, correlated) = self.subquery(query)?;
        let columns = bound.columns.clone();
        let ask = ask(self, &columns, &mut ty)?;
        let slot = self.new_slot();
        if bound.locks_rows() {
            if correlated {
                return unsupported("FOR UPDATE in a correlated subquery");
            }
            let rows = self.new_slot();
            let columns = bound.columns.clone();
            self.units.push(Unit::Query {
                slot: rows,
                query: bound,
                eager: true,
            });
            bound = Query {
                body: Body::Slot(rows),
                order: Vec::new(),
                limit: None,
                offset: None,
                columns,
            };
        }
        let sub = SubQuery {
            query: bound,
            ask,
            correlated,
            slot,
        };
        Ok(self.sub(sub, ty))
    }

    /// Brings the CTEs of a WITH into scope. The answer goes to [`Binder::pop_ctes`].
    pub(super) fn push_ctes(&mut self, with: Option<&ast::With>) -> Result<bool> {
        let Some(with) = with else { return Ok(false) };
        self.ctes.push(BTreeMap::new());
        for cte in &with.cte_tables {
            let name = fold(&cte.alias.name);
            let duplicate = self.ctes.last().is_some_and(|level| level.contains_key(&name));
            if duplicate {
                return fail(
                    code::DUPLICATE_ALIAS,
                    format!("WITH query name \"{name}\" specified more than once"),
                );
            }
            let names: Vec<String> = cte.alias.columns.iter().map(|c| fold(&c.name)).collect();
            // The body sees no enclosing row: its rows are computed once per statement.
            let mut wall = Scope::new("WITH");
            wall.barrier = true;
            self.scopes.push(wall);
            let bound = self.cte(&name, &cte.query, &names, with.recursive);
            self.scopes.pop();
            let reference = bound?;
            if let Some(level) = self.ctes.last_mut() {
                level.insert(name, reference);
            }
        }
        Ok(true)
    }

    pub(super) fn pop_ctes(&mut self, pushed: bool) {
        if pushed {
            self.ctes.pop();
        }
    }

    fn cte(&mut self, name: &str, query: &ast::Query, names: &[String], recursive: bool) -> Result<CteRef> {
        use ast::SetExpr;
        if let SetExpr::Insert(s) | SetExpr::Update(s) | SetExpr::Delete(s) = &*query.body {
            if self.ctes.len() > 1 {
                return fail(
                    code::FEATURE_NOT_SUPPORTED,
                    "WITH clause containing a data-modifying statement must be at the top level",
                );
            }
            let modify = match s {
                ast::Statement::Insert(insert) => self.insert(insert)?,
                ast::Statement::Update(update) => self.update(update)?,
                ast::Statement::Delete(delete) => self.delete(delete)?,
                other => return unsupported(super::statement_name(other)),
            };
            let columns = modify.returning().map(|r| r.columns.clone()).unwrap_or_default();
            let slot = self.new_slot();
            self.units.push(Unit::Modify {
                slot,
                modify,
                used: false,
            });
            let unit = self.units.len() - 1;
            return Ok(CteRef {
                slot,
                columns: renamed(columns, names)?,
                modify: Some(unit),
            });
        }
        if recursive
            && let SetExpr::SetOperation {
                op: ast::SetOperator::Union,
                set_quantifier,
                left,
                right,
            } = &*query.body
            && right.to_string().to_lowercase().contains(name)
        {
            return self.recursive_cte(name, query, *set_quantifier, left, right, names);
        }
        let bound = self.query(query, None)?;
        let columns = renamed(bound.columns.clone(), names)?;
        let slot = self.new_slot();
        let eager = bound.locks_rows();
        self.units.push(Unit::Query {
            slot,
            query: bound,
            eager,
        });
        Ok(CteRef {
            slot,
            columns,
            modify: None,
        })
    }

    fn recursive_cte(
        &mut self,
        name: &str,
        query: &ast::Query,
        quantifier: ast::SetQuantifier,
        left: &ast::SetExpr,
        right: &ast::SetExpr,
        names: &[String],
    ) -> Result<CteRef> {
        if query.order_by.is_some() || query.limit_clause.is_some() || query.with.is_some() {
            return unsupported("ORDER BY, LIMIT or WITH in a recursive query");
        }
        let wrap = |body: &ast::SetExpr| ast::Query {
            body: Box::new(body.clone()),
            ..query.clone()
        };
        let base = self.query(&wrap(left), None)?;
        let columns = renamed(base.columns.clone(), names)?;
        let working = self.new_slot();
        let reference = CteRef {
            slot: working,
            columns: columns.clone(),
            modify: None,
        };
        if let Some(level) = self.ctes.last_mut() {
            level.insert(name.to_string(), reference);
        }
        let types: Vec<(Type, i32)> = columns.iter().map(|c| (c.ty, c.typmod)).collect();
        let step = self.query(&wrap(right), Some(&types))?;
        if step.columns.len() != columns.len() {
            return fail(
                code::SYNTAX_ERROR,
                "each UNION query must have the same number of columns",
            );
        }
        for (have, want) in step.columns.iter().zip(&columns) {
            if have.ty != want.ty {
                return fail(
                    code::DATATYPE_MISMATCH,
                    format!(
                        "recursive query \"{name}\" column \"{}\" has type {} in non-recursive term but type {} \
                         overall",
                        want.name,
                        want.ty.name(),
                        have.ty.name()
                    ),
                );
            }
        }
        let slot = self.new_slot();
        let distinct = quantifier != ast::SetQuantifier::All;
        self.units.push(Unit::Recursive {
            slot,
            working,
            base,
            step,
            distinct,
        });
        Ok(CteRef {
            slot,
            columns,
            modify: None,
        })
    }

    /// A CTE by name, as a source of rows.
    pub(super) fn cte_source(&mut self, name: &str) -> Result<Option<(SourceKind, Vec<Output>)>> {
        let found = self.ctes.iter().rev().find_map(|level| level.get(name)).cloned();
        let Some(cte) = found else { return Ok(None) };
        if let Some(unit) = cte.modify {
            if cte.columns.is_empty() {
                return fail(
                    code::FEATURE_NOT_SUPPORTED,
                    format!("WITH query \"{name}\" does not have a RETURNING clause"),
                );
            }
            if let Some(Unit::Modify { used, .. }) = self.units.get_mut(unit) {
                *used = true;
            }
        }
        Ok(Some((SourceKind::Slot(cte.slot), cte.columns)))
    }
}

/// Columns under the names of an alias list.
pub(super) fn renamed(mut columns: Vec<Output>, names: &[String]) -> Result<Vec<Output>> {
    if names.len() > columns.len() {
        return fail(
            code::INVALID_COLUMN_REFERENCE,
            format!(
                "WITH query has {} columns available but {} columns specified",
                columns.len(),
                names.len()
            ),
        );
    }
    for (column, name) in columns.iter_mut().zip(names) {
        column.name.clone_from(name);
    }
    Ok(columns)
}

/// How many levels out of itself a bound query reads.
fn bound_reach(query: &Query) -> usize {
    super::output::reach(query)
}
