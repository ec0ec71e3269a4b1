//! SET clauses.

use std::sync::Arc;

use sqlparser::ast;

use super::super::expr::Expr;
use super::super::plan::NULL;
use super::{Binder, Typed, qualified};
use crate::aws::aurora::catalog::{Identity, Table};
use crate::aws::aurora::error::{Result, code, fail, unsupported};
use crate::aws::aurora::types::CastContext;

impl Binder<'_> {
    /// SET clauses, in the current scope.
    pub(super) fn assignments(
        &mut self,
        table: &Arc<Table>,
        items: &[ast::Assignment],
    ) -> Result<Vec<(usize, Expr)>> {
        let mut out: Vec<(usize, Expr)> = Vec::new();
        self.clause("UPDATE", false, false);
        for item in items {
            let pairs: Vec<(String, Assigned<'_>)> = match (&item.target, &item.value) {
                (ast::AssignmentTarget::ColumnName(name), value) => {
                    let (qualifier, column) = qualified(name)?;
                    let column = qualifier.unwrap_or(column);
                    vec![(column, Assigned::Ast(value))]
                }
                (ast::AssignmentTarget::Tuple(names), ast::Expr::Tuple(values)) => {
                    if names.len() != values.len() {
                        return fail(
                            code::SYNTAX_ERROR,
                            "number of columns does not match number of values",
                        );
                    }
                    let mut pairs = Vec::new();
                    for (name, value) in names.iter().zip(values) {
                        pairs.push((qualified(name)?.1, Assigned::Ast(value)));
                    }
                    pairs
                }
                (ast::AssignmentTarget::Tuple(names), ast::Expr::Nested(value)) if names.len() == 1 => {
                    vec![(qualified(&names[0])?.1, Assigned::Ast(value))]
                }
                (ast::AssignmentTarget::Tuple(_), other) => {
                    return unsupported(format_args!("assigning {other} to several columns"));
                }
            };
            for (name, value) in pairs {
                let Some(at) = table.column(&name) else {
                    return Err(Self::undefined_column(table, &name));
                };
                if out.iter().any(|(have, _)| *have == at) {
                    return fail(
                        code::SYNTAX_ERROR,
                        format!("multiple assignments to same column \"{name}\""),
                    );
                }
                let column = &table.columns[at];
                let Assigned::Ast(value) = value;
                let is_default = matches!(value, ast::Expr::Identifier(w) if w.quote_style.is_none() && w.value.eq_ignore_ascii_case("default"));
                if (column.identity == Some(Identity::Always) || column.generated.is_some()) && !is_default {
                    return fail(
                        code::GENERATED_ALWAYS,
                        format!("column \"{name}\" can only be updated to DEFAULT"),
                    );
                }
                let expr = if is_default {
                    column.default.clone().map_or(NULL, |d| d.0)
                } else {
                    let typed = match value {
                        ast::Expr::Array(_) if column.ty.elem().is_some() => {
                            self.cast_to(value, column.ty, -1)?
                        }
                        _ => self.expr(value)?,
                    };
                    let typed = Typed {
                        expr: self.folded(typed.expr),
                        ..typed
                    };
                    let assigned = self.assign(typed.clone(), column.ty, &column.name)?;
                    if column.typmod >= 0 && typed.typmod != column.typmod {
                        let typed = Typed {
                            expr: assigned,
                            ty: column.ty,
                            typmod: -1,
                        };
                        self.coerce(typed, column.ty, column.typmod, CastContext::Assignment)?
                            .expr
                    } else {
                        assigned
                    }
                };
                out.push((at, expr));
            }
        }
        Ok(out)
    }
}

enum Assigned<'a> {
    Ast(&'a ast::Expr),
}
