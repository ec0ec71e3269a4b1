//! Expressions.

use std::sync::Arc;

use sqlparser::ast::{self, BinaryOperator, UnaryOperator};

use super::super::expr::{Compare, Expr};
use super::{Binder, Typed, data_type};
use crate::aws::aurora::error::{Result, code, fail, unsupported};
use crate::aws::aurora::types::{CastContext, Type, Value};

impl Binder<'_> {
    /// Binds an expression in the innermost scope.
    pub(super) fn expr(&mut self, e: &ast::Expr) -> Result<Typed> {
        use ast::Expr as E;
        Ok(match e {
            E::Identifier(ident) => self.column(None, None, ident)?,
            E::CompoundIdentifier(parts) => match parts.as_slice() {
                [table, column] => self.column(None, Some(table), column)?,
                [schema, table, column] => self.column(Some(schema), Some(table), column)?,
                _ => return unsupported(format_args!("name {e}")),
            },
            E::Value(v) => self.value(&v.value)?,
            E::Nested(inner) => self.expr(inner)?,
            E::BinaryOp { left, op, right } => self.binary(left, op, right)?,
            E::UnaryOp { op, expr } => self.unary(*op, expr)?,
            E::IsNull(x) => self.null_test(x, false)?,
            E::IsNotNull(x) => self.null_test(x, true)?,
            E::IsTrue(x) => self.bool_test(x, true, false)?,
            E::IsNotTrue(x) => self.bool_test(x, true, true)?,
            E::IsFalse(x) => self.bool_test(x, false, false)?,
            E::IsNotFalse(x) => self.bool_test(x, false, true)?,
            E::IsUnknown(x) => self.null_test(x, false)?,
            E::IsNotUnknown(x) => self.null_test(x, true)?,
            E::IsDistinctFrom(a, b) => {
                let same = self.same(a, b)?;
                Typed::new(Expr::Not(Box::new(same)), Type::Bool)
            }
            E::IsNotDistinctFrom(a, b) => Typed::new(self.same(a, b)?, Type::Bool),
            E::InList { expr, list, negated } => self.in_list(expr, list, *negated)?,
            E::InSubquery {
                expr,
                subquery,
                negated,
            } => self.in_subquery(expr, subquery, *negated)?,
            E::Between {
                expr,
                negated,
                low,
                high,
            } => {
                let low = self.compare(Compare::GtEq, expr, low)?;
                let high = self.compare(Compare::LtEq, expr, high)?;
                negate(Typed::new(Expr::And(vec![low, high]), Type::Bool), *negated)
            }
            E::Like {
                negated,
                any: false,
                expr,
                pattern,
                escape_char,
            } => self.like(expr, pattern, escape_char.as_deref(), *negated, "~~")?,
            E::ILike {
                negated,
                any: false,
                expr,
                pattern,
                escape_char,
            } => self.like(expr, pattern, escape_char.as_deref(), *negated, "~~*")?,
            E::AnyOp {
                left,
                compare_op,
                right,
                ..
            } => self.quantified(left, compare_op, right, false)?,
            E::AllOp {
                left,
                compare_op,
                right,
            } => self.quantified(left, compare_op, right, true)?,
            E::Cast {
                kind: ast::CastKind::Cast | ast::CastKind::DoubleColon,
                expr,
                data_type: ty,
                format: None,
            } => {
                let (ty, typmod) = data_type(ty)?;
                self.cast_to(expr, ty, typmod)?
            }
            E::TypedString(t) => {
                let (ty, typmod) = match &t.data_type {
                    // `char 'x'` is not cut to one character.
                    ast::DataType::Char(None) => (Type::Bpchar, -1),
                    other => data_type(other)?,
                };
                let text = match &t.value.value {
                    ast::Value::SingleQuotedString(s) => s.clone(),
                    other => return unsupported(format_args!("literal {other}")),
                };
                let unknown = Typed::new(Expr::Const(Value::text(text)), Type::Unknown);
                self.coerce(unknown, ty, typmod, CastContext::Explicit)?
            }
            E::Interval(i) => self.interval(i)?,
            E::Case {
                operand,
                conditions,
                else_result,
                ..
            } => self.case(operand.as_deref(), conditions, else_result.as_deref())?,
            E::Exists { subquery, negated } => negate(self.exists(subquery)?, *negated),
            E::Subquery(query) => self.scalar_subquery(query)?,
            E::Tuple(items) => {
                let parts = items.iter().map(|i| self.expr(i)).collect::<Result<Vec<_>>>()?;
                let parts: Vec<Expr> = parts
                    .into_iter()
                    .map(|p| self.settle(p).map(|p| p.expr))
                    .collect::<Result<_>>()?;
                Typed::new(Expr::Row(parts), Type::Record)
            }
            E::Array(a) => {
                let items = a.elem.iter().map(|i| self.expr(i)).collect::<Result<Vec<_>>>()?;
                if items.is_empty() {
                    return Ok(Typed::new(
                        Expr::Array(Type::Unknown, Vec::new()),
                        Type::UnknownArray,
                    ));
                }
                let (items, ty) = self.unify(items, "ARRAY")?;
                match ty.array() {
                    Some(array) => Typed::new(Expr::Array(ty, items), array),
                    None => return unsupported("a multidimensional array"),
                }
            }
            E::CompoundFieldAccess { root, access_chain } => self.subscript(root, access_chain)?,
            E::Function(f) => self.function(f)?,
            E::AtTimeZone { timestamp, time_zone } => {
                let value = self.expr(timestamp)?;
                let zone = self.expr(time_zone)?;
                self.call("timezone", vec![zone, value])?
            }
            E::Extract { field, expr, .. } => {
                let field = Typed::new(
                    Expr::Const(Value::text(field.to_string().to_lowercase())),
                    Type::Text,
                );
                let value = self.expr(expr)?;
                self.call("extract", vec![field, value])?
            }
            E::Ceil { expr, .. } => {
                let x = self.expr(expr)?;
                self.call("ceil", vec![x])?
            }
            E::Floor { expr, .. } => {
                let x = self.expr(expr)?;
                self.call("floor", vec![x])?
            }
            E::Position { expr, r#in } => {
                let (needle, hay) = (self.expr(expr)?, self.expr(r#in)?);
                self.call("strpos", vec![hay, needle])?
            }
            E::Substring {
                expr,
                substring_from,
                substring_for,
                ..
            } => {
                let mut args = vec![self.expr(expr)?];
                match (substring_from, substring_for) {
                    (Some(from), None) => args.push(self.expr(from)?),
                    (Some(from), Some(count)) => args.extend([self.expr(from)?, self.expr(count)?]),
                    (None, Some(count)) => {
                        args.extend([
                            Typed::new(Expr::Const(Value::Int4(1)), Type::Int4),
                            self.expr(count)?,
                        ]);
                    }
                    (None, None) => return fail(code::SYNTAX_ERROR, "syntax error in substring()"),
                }
                self.call("substring", args)?
            }
            E::Trim {
                trim_where,
                trim_what,
                expr,
                trim_characters,
            } => {
                let name = match trim_where {
                    Some(ast::TrimWhereField::Leading) => "ltrim",
                    Some(ast::TrimWhereField::Trailing) => "rtrim",
                    _ => "btrim",
                };
                let mut args = vec![self.expr(expr)?];
                if let Some(what) = trim_what {
                    args.push(self.expr(what)?);
                } else if let Some([what]) = trim_characters.as_deref() {
                    args.push(self.expr(what)?);
                }
                self.call(name, args)?
            }
            E::Overlay {
                expr,
                overlay_what,
                overlay_from,
                overlay_for,
            } => {
                let mut args = vec![
                    self.expr(expr)?,
                    self.expr(overlay_what)?,
                    self.expr(overlay_from)?,
                ];
                if let Some(count) = overlay_for {
                    args.push(self.expr(count)?);
                }
                self.call("overlay", args)?
            }
            E::Collate { expr, collation } => match collation.to_string().trim_matches('"') {
                "C" | "POSIX" | "default" | "pg_catalog.default" | "ucs_basic" => self.expr(expr)?,
                _ => return unsupported(format_args!("collation {collation}")),
            },
            other => return unsupported(construct_name(other)),
        })
    }

    /// Gives a bare literal or untyped parameter the type text.
    pub(crate) fn settle(&mut self, typed: Typed) -> Result<Typed> {
        match typed.ty {
            Type::Unknown => self.coerce(typed, Type::Text, -1, CastContext::Implicit),
            Type::UnknownArray => fail(
                code::INDETERMINATE_DATATYPE,
                "cannot determine type of empty array",
            ),
            _ => Ok(typed),
        }
    }

    fn unary(&mut self, op: UnaryOperator, expr: &ast::Expr) -> Result<Typed> {
        match op {
            UnaryOperator::Not => {
                let inner = self.boolean(expr, "NOT")?;
                Ok(Typed::new(Expr::Not(Box::new(inner)), Type::Bool))
            }
            UnaryOperator::Plus => self.expr(expr),
            UnaryOperator::BitwiseNot => {
                let inner = self.expr(expr)?;
                self.call("~", vec![inner])
            }
            UnaryOperator::Minus => {
                if let ast::Expr::Value(v) = expr
                    && let ast::Value::Number(n, _) = &v.value
                {
                    // The literal and its sign together: -2147483648 is an integer, 2147483648 is not.
                    return self.value(&ast::Value::Number(format!("-{n}"), false));
                }
                let inner = self.expr(expr)?;
                let inner = if inner.ty == Type::Unknown {
                    self.coerce(inner, Type::Float8, -1, CastContext::Implicit)?
                } else {
                    inner
                };
                if inner.ty.is_number() || inner.ty == Type::Interval {
                    return Ok(Typed::new(Expr::Negate(inner.ty, Box::new(inner.expr)), inner.ty));
                }
                fail(
                    code::UNDEFINED_FUNCTION,
                    format!("operator does not exist: - {}", inner.ty.name()),
                )
            }
            other => unsupported(format_args!("operator {other}")),
        }
    }

    fn null_test(&mut self, x: &ast::Expr, negated: bool) -> Result<Typed> {
        let inner = self.expr(x)?;
        let inner = self.settle(inner)?;
        Ok(negate(
            Typed::new(Expr::IsNull(Box::new(inner.expr)), Type::Bool),
            negated,
        ))
    }

    fn bool_test(&mut self, x: &ast::Expr, wanted: bool, negated: bool) -> Result<Typed> {
        let inner = self.boolean(x, "IS")?;
        Ok(negate(
            Typed::new(Expr::IsBool(Box::new(inner), wanted), Type::Bool),
            negated,
        ))
    }

    fn same(&mut self, a: &ast::Expr, b: &ast::Expr) -> Result<Expr> {
        let (a, b) = (self.expr(a)?, self.expr(b)?);
        let (a, b) = self.comparable(a, b, "IS DISTINCT FROM")?;
        Ok(Expr::Same(Box::new(a), Box::new(b)))
    }

    fn in_list(&mut self, expr: &ast::Expr, list: &[ast::Expr], negated: bool) -> Result<Typed> {
        if let ast::Expr::Tuple(_) = expr {
            let arms = list
                .iter()
                .map(|item| self.compare(Compare::Eq, expr, item))
                .collect::<Result<_>>()?;
            return Ok(negate(Typed::new(Expr::Or(arms), Type::Bool), negated));
        }
        let mut items = vec![self.expr(expr)?];
        for item in list {
            items.push(self.expr(item)?);
        }
        let (mut items, _) = match self.common_type(&items, "IN") {
            Ok(_) => self.unify(items, "IN")?,
            Err(_) => {
                let (left, right) = (items[0].ty.name(), items.last().map_or("", |t| t.ty.name()));
                return fail(
                    code::UNDEFINED_FUNCTION,
                    format!("operator does not exist: {left} = {right}"),
                );
            }
        };
        let left = items.remove(0);
        Ok(negate(
            Typed::new(Expr::InList(Box::new(left), items), Type::Bool),
            negated,
        ))
    }

    fn quantified(
        &mut self,
        left: &ast::Expr,
        op: &BinaryOperator,
        right: &ast::Expr,
        all: bool,
    ) -> Result<Typed> {
        let Some(compare) = super::ops::comparison(op) else {
            return unsupported(format_args!("operator {op} with ANY or ALL"));
        };
        let mut inner = right;
        while let ast::Expr::Nested(n) = inner {
            inner = n;
        }
        if let ast::Expr::Subquery(query) = inner {
            return self.quantified_subquery(left, compare, query, all);
        }
        let (left, array) = (self.expr(left)?, self.expr(right)?);
        let array = match array.ty {
            Type::Unknown | Type::UnknownArray => {
                let elem = if left.ty == Type::Unknown {
                    Type::Text
                } else {
                    left.ty
                };
                let Some(ty) = elem.array() else {
                    return unsupported("ANY over an array of arrays");
                };
                self.coerce(array, ty, -1, CastContext::Explicit)?
            }
            _ => array,
        };
        let Some(elem) = array.ty.elem() else {
            return fail(
                code::WRONG_OBJECT_TYPE,
                "op ANY/ALL (array) requires array on right side",
            );
        };
        let probe = Typed::new(Expr::Const(Value::Null), elem);
        let common = self.common_type(&[left.clone(), probe], "ANY");
        let Ok(common) = common else {
            return fail(
                code::UNDEFINED_FUNCTION,
                format!("operator does not exist: {} {op} {}", left.ty.name(), elem.name()),
            );
        };
        let left = self.coerce(left, common, -1, CastContext::Implicit)?;
        let array = match common.array() {
            Some(ty) if ty != array.ty => self.coerce(array, ty, -1, CastContext::Implicit)?,
            _ => array,
        };
        let expr = Expr::AnyArray(compare, Box::new(left.expr), Box::new(array.expr), all);
        Ok(Typed::new(expr, Type::Bool))
    }

    fn like(
        &mut self,
        expr: &ast::Expr,
        pattern: &ast::Expr,
        escape: Option<&ast::Expr>,
        negated: bool,
        op: &'static str,
    ) -> Result<Typed> {
        let mut args = vec![self.expr(expr)?, self.expr(pattern)?];
        for arg in &mut args {
            // A pattern sees the padding of char(n), which a cast to text would strip.
            if arg.ty == Type::Bpchar {
                arg.ty = Type::Text;
            }
        }
        if let Some(escape) = escape {
            args.push(self.expr(escape)?);
        }
        Ok(negate(self.call(op, args)?, negated))
    }

    pub(super) fn cast_to(&mut self, expr: &ast::Expr, ty: Type, typmod: i32) -> Result<Typed> {
        // Elements of an ARRAY literal take the array's type one by one, which also types an empty one.
        if let (ast::Expr::Array(a), Some(elem)) = (expr, ty.elem()) {
            let mut items = Vec::with_capacity(a.elem.len());
            for item in &a.elem {
                items.push(self.cast_to(item, elem, typmod)?.expr);
            }
            return Ok(Typed::new(Expr::Array(elem, items), ty));
        }
        // A literal on its way to a double does not pass through numeric, which has fewer digits here.
        if matches!(ty, Type::Float4 | Type::Float8)
            && let ast::Expr::Value(v) = expr
            && let ast::Value::Number(n, _) = &v.value
        {
            let literal = Typed::new(Expr::Const(Value::text(n)), Type::Unknown);
            return self.coerce(literal, ty, typmod, CastContext::Explicit);
        }
        let inner = self.expr(expr)?;
        if matches!(inner.expr, Expr::Param(_)) && inner.ty == Type::Unknown {
            return self.coerce(inner, ty, typmod, CastContext::Explicit);
        }
        let typed = self.coerce(inner, ty, typmod, CastContext::Explicit)?;
        Ok(Typed { typmod, ..typed })
    }

    fn case(
        &mut self,
        operand: Option<&ast::Expr>,
        conditions: &[ast::CaseWhen],
        other: Option<&ast::Expr>,
    ) -> Result<Typed> {
        let mut whens = Vec::new();
        let mut results = Vec::new();
        for arm in conditions {
            whens.push(match operand {
                Some(operand) => self.compare(Compare::Eq, operand, &arm.condition)?,
                None => self.boolean(&arm.condition, "CASE/WHEN")?,
            });
            results.push(self.expr(&arm.result)?);
        }
        results.push(match other {
            Some(other) => self.expr(other)?,
            None => Typed::new(Expr::Const(Value::Null), Type::Unknown),
        });
        let (mut results, ty) = self.unify(results, "CASE")?;
        let other = results.pop().unwrap_or(Expr::Const(Value::Null));
        let arms = whens.into_iter().zip(results).collect();
        Ok(Typed::new(Expr::Case(arms, Box::new(other)), ty))
    }

    fn subscript(&mut self, root: &ast::Expr, chain: &[ast::AccessExpr]) -> Result<Typed> {
        let mut base = self.expr(root)?;
        for access in chain {
            if let (ast::AccessExpr::Dot(ast::Expr::Identifier(field)), Some(table)) =
                (access, whole_row(root))
            {
                base = self.column(None, Some(table), field)?;
                continue;
            }
            if let ast::AccessExpr::Subscript(ast::Subscript::Slice {
                lower_bound,
                upper_bound,
                stride: None,
            }) = access
                && base.ty.elem().is_some()
            {
                let null = || Typed::new(Expr::Const(Value::Null), Type::Int4);
                let low = lower_bound
                    .as_ref()
                    .map_or_else(|| Ok(null()), |e| self.expr(e))?;
                let high = upper_bound
                    .as_ref()
                    .map_or_else(|| Ok(null()), |e| self.expr(e))?;
                base = self.call("array slice", vec![base, low, high])?;
                continue;
            }
            let ast::AccessExpr::Subscript(ast::Subscript::Index { index }) = access else {
                return unsupported(format_args!("access {access}"));
            };
            let at = self.expr(index)?;
            if base.ty == Type::Jsonb {
                base = self.call("->", vec![base, at])?;
                continue;
            }
            let Some(elem) = base.ty.elem() else {
                return fail(
                    code::DATATYPE_MISMATCH,
                    format!(
                        "cannot subscript type {} because it does not support subscripting",
                        base.ty.name()
                    ),
                );
            };
            let at = self.coerce(at, Type::Int4, -1, CastContext::Assignment)?;
            base = Typed::new(Expr::Element(Box::new(base.expr), Box::new(at.expr)), elem);
        }
        Ok(base)
    }

    pub(super) fn sub(&mut self, sub: super::super::expr::SubQuery, ty: Type) -> Typed {
        Typed::new(Expr::Sub(Arc::new(sub)), ty)
    }
}

/// The table that `(t).column` names.
fn whole_row(root: &ast::Expr) -> Option<&ast::Ident> {
    match root {
        ast::Expr::Nested(inner) => whole_row(inner),
        ast::Expr::Identifier(table) => Some(table),
        _ => None,
    }
}

pub(super) fn negate(typed: Typed, negated: bool) -> Typed {
    if negated {
        Typed::new(Expr::Not(Box::new(typed.expr)), Type::Bool)
    } else {
        typed
    }
}

/// The variant's name: enough for an engineer to see what was refused.
fn construct_name(e: &ast::Expr) -> String {
    let debug = format!("{e:?}");
    let name: String = debug.chars().take_while(|c| c.is_alphanumeric()).collect();
    format!(
        "expression {name} ({})",
        e.to_string().chars().take(60).collect::<String>()
    )
}
