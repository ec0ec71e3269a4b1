//! Functions that return sets: in FROM, and in a select list, where they multiply rows.

use sqlparser::ast;

use super::super::expr::Expr;
use super::super::plan::{Node, Output, SetFunction, Source, SourceKind};
use super::{Binder, Typed, fold};
use crate::aws::aurora::error::{Result, code, fail, unsupported};
use crate::aws::aurora::types::{CastContext, Type};

/// Whether a function returns a set.
pub(super) fn returns_set(name: &str) -> bool {
    matches!(
        name,
        "unnest"
            | "generate_series"
            | "jsonb_array_elements"
            | "json_array_elements"
            | "jsonb_array_elements_text"
            | "json_array_elements_text"
            | "jsonb_each"
            | "jsonb_each_text"
            | "jsonb_object_keys"
            | "string_to_table"
            | "pg_partition_ancestors"
    )
}

impl Binder<'_> {
    pub(super) fn unnest(
        &mut self,
        arrays: Vec<Typed>,
        alias: Option<&ast::TableAlias>,
        ordinality: bool,
    ) -> Result<Node> {
        let mut columns = Vec::new();
        let mut exprs = Vec::new();
        for array in arrays {
            let array = match array.ty {
                Type::Unknown => self.coerce(array, Type::TextArray, -1, CastContext::Implicit)?,
                _ => array,
            };
            let Some(elem) = array.ty.elem() else {
                return fail(
                    code::UNDEFINED_FUNCTION,
                    format!("function unnest({}) does not exist", array.ty.name()),
                );
            };
            let name = match alias {
                Some(a) if columns.is_empty() && a.columns.is_empty() => fold(&a.name),
                _ => "unnest".into(),
            };
            columns.push(Output {
                name,
                ty: elem,
                typmod: -1,
                origin: (0, 0),
            });
            exprs.push(array.expr);
        }
        self.source(SourceKind::Unnest(exprs), columns, alias, "unnest", ordinality)
    }

    pub(super) fn table_function(
        &mut self,
        name: &str,
        args: &[ast::FunctionArg],
        alias: Option<&ast::TableAlias>,
        ordinality: bool,
    ) -> Result<Node> {
        self.clause("functions in FROM", false, false);
        let mut bound = Vec::new();
        for arg in args {
            match arg {
                ast::FunctionArg::Unnamed(ast::FunctionArgExpr::Expr(e)) => bound.push(self.expr(e)?),
                other => return unsupported(format_args!("function argument {other}")),
            }
        }
        if name == "unnest" {
            return self.unnest(bound, alias, ordinality);
        }
        let alias_column = alias
            .filter(|a| a.columns.is_empty())
            .map_or_else(|| name.to_string(), |a| fold(&a.name));
        if !returns_set(name) {
            let typed = self.call(name, bound)?;
            let columns = vec![column(&alias_column, typed.ty)];
            return self.source(SourceKind::Scalar(typed.expr), columns, alias, name, ordinality);
        }
        let (kind, columns) = self.set_function(name, bound, &alias_column)?;
        self.source(kind, columns, alias, name, ordinality)
    }

    /// A set-returning function with its arguments converted, and the columns it yields.
    fn set_function(
        &mut self,
        name: &str,
        mut bound: Vec<Typed>,
        alias_column: &str,
    ) -> Result<(SourceKind, Vec<Output>)> {
        let count = bound.len();
        let mut to = |binder: &mut Self, i: usize, ty: Type| -> Result<()> {
            let arg = bound[i].clone();
            bound[i] = binder.coerce(arg, ty, -1, CastContext::Implicit)?;
            Ok(())
        };
        if name == "pg_partition_ancestors" && count == 1 {
            // No table is a partition, so none has ancestors.
            let none = Expr::Array(Type::Regclass, Vec::new());
            return Ok((
                SourceKind::Unnest(vec![none]),
                vec![column(alias_column, Type::Regclass)],
            ));
        }
        let (kind, columns) = match (name, count) {
            ("generate_series", 2 | 3) => {
                let first = bound[0].ty;
                let other = bound[1].ty;
                let ty = match (first, other) {
                    (Type::Timestamptz | Type::Timestamp | Type::Date, _) => {
                        if first == Type::Timestamp {
                            Type::Timestamp
                        } else {
                            Type::Timestamptz
                        }
                    }
                    (Type::Int8, _) | (_, Type::Int8) => Type::Int8,
                    (Type::Numeric, _) | (_, Type::Numeric) => Type::Numeric,
                    _ => Type::Int4,
                };
                let mut to = |binder: &mut Self, i: usize, ty: Type| -> Result<()> {
                    let arg = bound[i].clone();
                    bound[i] = binder.coerce(arg, ty, -1, CastContext::Implicit)?;
                    Ok(())
                };
                to(self, 0, ty)?;
                to(self, 1, ty)?;
                if count == 3 {
                    let step = if matches!(ty, Type::Timestamptz | Type::Timestamp) {
                        Type::Interval
                    } else {
                        ty
                    };
                    to(self, 2, step)?;
                } else if matches!(ty, Type::Timestamptz | Type::Timestamp) {
                    return fail(
                        code::UNDEFINED_FUNCTION,
                        "function generate_series needs a step of type interval",
                    );
                }
                (SetFunction::GenerateSeries, vec![column(alias_column, ty)])
            }
            ("jsonb_array_elements" | "json_array_elements", 1) => {
                to(self, 0, Type::Jsonb)?;
                (SetFunction::JsonArrayElements, vec![column("value", Type::Jsonb)])
            }
            ("jsonb_array_elements_text" | "json_array_elements_text", 1) => {
                to(self, 0, Type::Jsonb)?;
                (
                    SetFunction::JsonArrayElementsText,
                    vec![column("value", Type::Text)],
                )
            }
            ("jsonb_each", 1) => {
                to(self, 0, Type::Jsonb)?;
                (
                    SetFunction::JsonEach,
                    vec![column("key", Type::Text), column("value", Type::Jsonb)],
                )
            }
            ("jsonb_each_text", 1) => {
                to(self, 0, Type::Jsonb)?;
                (
                    SetFunction::JsonEachText,
                    vec![column("key", Type::Text), column("value", Type::Text)],
                )
            }
            ("jsonb_object_keys", 1) => {
                to(self, 0, Type::Jsonb)?;
                (
                    SetFunction::JsonObjectKeys,
                    vec![column(alias_column, Type::Text)],
                )
            }
            ("string_to_table", 2) => {
                to(self, 0, Type::Text)?;
                to(self, 1, Type::Text)?;
                (SetFunction::StringToTable, vec![column(alias_column, Type::Text)])
            }
            _ => {
                let types: Vec<&str> = bound.iter().map(|a| a.ty.name()).collect();
                return fail(
                    code::UNDEFINED_FUNCTION,
                    format!("function {name}({}) does not exist", types.join(", ")),
                );
            }
        };
        let exprs = bound.into_iter().map(|t| t.expr).collect();
        Ok((SourceKind::Function(kind, exprs), columns))
    }

    /// A set-returning function in a select list: a place that a lateral source will fill.
    pub(super) fn set_in_targets(&mut self, name: &str, args: Vec<Typed>) -> Result<Typed> {
        let clause = self.scopes.last().map_or("this place", |s| s.clause);
        if clause != "SELECT" {
            return fail(
                code::FEATURE_NOT_SUPPORTED,
                format!("set-returning functions are not allowed in {clause}"),
            );
        }
        let (kind, ty) = if name == "unnest" {
            let Some(array) = args.into_iter().next() else {
                return fail(code::UNDEFINED_FUNCTION, "function unnest() does not exist");
            };
            let array = match array.ty {
                Type::Unknown => self.coerce(array, Type::TextArray, -1, CastContext::Implicit)?,
                _ => array,
            };
            let Some(elem) = array.ty.elem() else {
                return fail(
                    code::UNDEFINED_FUNCTION,
                    format!("function unnest({}) does not exist", array.ty.name()),
                );
            };
            (SourceKind::Unnest(vec![array.expr]), elem)
        } else {
            let (kind, columns) = self.set_function(name, args, name)?;
            match columns.as_slice() {
                [one] => (kind, one.ty),
                _ => return unsupported(format_args!("{name} outside FROM, as it yields several columns")),
            }
        };
        let Some(scope) = self.scopes.last_mut() else {
            return unsupported("a set-returning function here");
        };
        let place = scope.width;
        scope.width += 1;
        scope.sets.push(kind);
        Ok(Typed::new(Expr::Column(place), ty))
    }

    /// Joins the sets of the select list to FROM. Several step side by side, which `unnest` can do.
    pub(super) fn join_sets(&mut self, node: Node, sets: Vec<SourceKind>, width: usize) -> Result<Node> {
        let offset = width - sets.len();
        let count = sets.len();
        let mut arrays = Vec::new();
        let mut only = None;
        for set in sets {
            match set {
                SourceKind::Unnest(list) => arrays.extend(list),
                other => only = Some(other),
            }
        }
        let kind = match only {
            None => SourceKind::Unnest(arrays),
            Some(function) if count == 1 => function,
            Some(_) => return unsupported("several set-returning functions in one select list"),
        };
        let source = Node::Rows(Box::new(Source {
            kind,
            offset,
            width: count,
            filter: Vec::new(),
            ordinality: false,
        }));
        Ok(self.inner(node, source, offset..width))
    }
}

fn column(name: &str, ty: Type) -> Output {
    Output {
        name: name.into(),
        ty,
        typmod: -1,
        origin: (0, 0),
    }
}
