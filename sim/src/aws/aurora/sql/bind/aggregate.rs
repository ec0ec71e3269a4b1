//! Aggregate calls.

use sqlparser::ast::{self, FunctionArg, FunctionArgExpr};

use super::super::expr::Expr;
use super::super::plan::{Aggregate, AggregateKind, WindowKind};
use super::{Binder, Typed};
use crate::aws::aurora::error::{Result, code, fail, unsupported};
use crate::aws::aurora::types::{CastContext, Type};

impl Binder<'_> {
    pub(super) fn aggregate(
        &mut self,
        kind: AggregateKind,
        name: &str,
        f: &ast::Function,
        list: Option<&ast::FunctionArgumentList>,
    ) -> Result<Typed> {
        let windowed = f.over.is_some();
        let (allowed, clause) = match self.scopes.last() {
            Some(s) if windowed => (s.windows_allowed, s.clause),
            Some(s) => (s.aggregates_allowed, s.clause),
            None => (false, "this place"),
        };
        if !allowed {
            let what = if windowed { "window" } else { "aggregate" };
            let state = if windowed {
                code::WINDOWING_ERROR
            } else {
                code::GROUPING_ERROR
            };
            return fail(state, format!("{what} functions are not allowed in {clause}"));
        }
        // Arguments cannot nest aggregates.
        if !windowed {
            self.set_aggregates_allowed(false);
        }
        let bound = self.aggregate_parts(kind, name, f, list);
        if !windowed {
            self.set_aggregates_allowed(true);
        }
        let aggregate = bound?;
        let ty = aggregate.ty;
        if windowed {
            return self.push_window(WindowKind::Aggregate(aggregate), Vec::new(), f, ty);
        }
        let Some(scope) = self.scopes.last_mut() else {
            return unsupported("an aggregate here");
        };
        scope.aggregates.push(aggregate);
        Ok(Typed::new(Expr::Aggregate(scope.aggregates.len() - 1), ty))
    }

    fn set_aggregates_allowed(&mut self, allowed: bool) {
        if let Some(scope) = self.scopes.last_mut() {
            scope.aggregates_allowed = allowed;
            scope.clause = if allowed {
                "SELECT"
            } else {
                "an aggregate's arguments"
            };
        }
    }

    fn aggregate_parts(
        &mut self,
        kind: AggregateKind,
        name: &str,
        f: &ast::Function,
        list: Option<&ast::FunctionArgumentList>,
    ) -> Result<Aggregate> {
        let mut args = Vec::new();
        let mut order = Vec::new();
        let mut distinct = false;
        if let Some(list) = list {
            distinct = matches!(list.duplicate_treatment, Some(ast::DuplicateTreatment::Distinct));
            for clause in &list.clauses {
                match clause {
                    ast::FunctionArgumentClause::OrderBy(items) => {
                        for item in items {
                            let typed = self.expr(&item.expr)?;
                            let typed = self.settle(typed)?;
                            let (desc, nulls_first) = super::select::direction(&item.options)?;
                            order.push((typed.expr, desc, nulls_first));
                        }
                    }
                    other => return unsupported(format_args!("{other} in an aggregate")),
                }
            }
            for arg in &list.args {
                match arg {
                    FunctionArg::Unnamed(FunctionArgExpr::Expr(e)) => args.push(self.expr(e)?),
                    FunctionArg::Unnamed(FunctionArgExpr::Wildcard) if kind == AggregateKind::Count => {}
                    other => return unsupported(format_args!("aggregate argument {other}")),
                }
            }
        }
        let wanted = match kind {
            AggregateKind::Count => args.len(),
            AggregateKind::StringAgg | AggregateKind::JsonObjectAgg => 2,
            _ => 1,
        };
        if args.len() != wanted || args.len() > 2 {
            let types: Vec<&str> = args.iter().map(|a| a.ty.name()).collect();
            return fail(
                code::UNDEFINED_FUNCTION,
                format!("function {name}({}) does not exist", types.join(", ")),
            );
        }
        let mut args: Vec<Typed> = args.into_iter().map(|a| self.settle(a)).collect::<Result<_>>()?;
        let input = args.first().map_or(Type::Int8, |a| a.ty);
        let no_such = || {
            fail::<Type>(
                code::UNDEFINED_FUNCTION,
                format!("function {name}({}) does not exist", input.name()),
            )
        };
        let ty = match kind {
            AggregateKind::Count => Type::Int8,
            AggregateKind::Sum => match input {
                Type::Int2 | Type::Int4 => Type::Int8,
                Type::Int8 | Type::Numeric => Type::Numeric,
                Type::Float4 | Type::Float8 | Type::Interval => input,
                _ => no_such()?,
            },
            AggregateKind::Avg => match input {
                Type::Int2 | Type::Int4 | Type::Int8 | Type::Numeric => Type::Numeric,
                Type::Float4 | Type::Float8 => Type::Float8,
                Type::Interval => input,
                _ => no_such()?,
            },
            AggregateKind::Variance { .. } => match input {
                t if t.is_integer() || t == Type::Numeric => {
                    args[0] = self.coerce(args[0].clone(), Type::Numeric, -1, CastContext::Implicit)?;
                    Type::Numeric
                }
                t if t.is_number() => {
                    args[0] = self.coerce(args[0].clone(), Type::Float8, -1, CastContext::Implicit)?;
                    Type::Float8
                }
                _ => no_such()?,
            },
            AggregateKind::Min | AggregateKind::Max => match input {
                Type::Bool | Type::Uuid | Type::Json | Type::Jsonb | Type::Bytea => no_such()?,
                Type::Varchar | Type::Name => Type::Text,
                other => other,
            },
            AggregateKind::BoolAnd | AggregateKind::BoolOr => match input {
                Type::Bool => Type::Bool,
                _ => no_such()?,
            },
            AggregateKind::BitAnd | AggregateKind::BitOr => match input {
                t if t.is_integer() => t,
                _ => no_such()?,
            },
            AggregateKind::ArrayAgg => match input.array() {
                Some(array) => array,
                None => return unsupported("array_agg of arrays"),
            },
            AggregateKind::StringAgg => {
                for arg in &mut args {
                    *arg = self.coerce(arg.clone(), Type::Text, -1, CastContext::Implicit)?;
                }
                Type::Text
            }
            AggregateKind::JsonAgg | AggregateKind::JsonObjectAgg => {
                if name.starts_with("jsonb") {
                    Type::Jsonb
                } else {
                    Type::Json
                }
            }
        };
        let filter = match &f.filter {
            Some(e) => Some(self.boolean(e, "FILTER")?),
            None => None,
        };
        Ok(Aggregate {
            kind,
            args: args.into_iter().map(|a| a.expr).collect(),
            distinct,
            filter,
            order,
            input,
            ty,
        })
    }
}

/// The aggregate of a name.
pub(super) fn aggregate_kind(name: &str) -> Option<AggregateKind> {
    Some(match name {
        "count" => AggregateKind::Count,
        "sum" => AggregateKind::Sum,
        "avg" => AggregateKind::Avg,
        "min" => AggregateKind::Min,
        "max" => AggregateKind::Max,
        "bool_and" | "every" => AggregateKind::BoolAnd,
        "bool_or" => AggregateKind::BoolOr,
        "bit_and" => AggregateKind::BitAnd,
        "bit_or" => AggregateKind::BitOr,
        "array_agg" => AggregateKind::ArrayAgg,
        "string_agg" => AggregateKind::StringAgg,
        "json_agg" | "jsonb_agg" => AggregateKind::JsonAgg,
        "json_object_agg" | "jsonb_object_agg" => AggregateKind::JsonObjectAgg,
        "stddev" | "stddev_samp" => AggregateKind::Variance {
            sample: true,
            root: true,
        },
        "stddev_pop" => AggregateKind::Variance {
            sample: false,
            root: true,
        },
        "variance" | "var_samp" => AggregateKind::Variance {
            sample: true,
            root: false,
        },
        "var_pop" => AggregateKind::Variance {
            sample: false,
            root: false,
        },
        _ => return None,
    })
}
