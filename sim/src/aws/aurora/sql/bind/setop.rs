//! VALUES, UNION, EXCEPT, INTERSECT, and ORDER BY over them.

use sqlparser::ast::{self, SetExpr};

use super::super::expr::Expr;
use super::super::plan::{Body, Distinct, Output, Query, SetOp, SortKey};
use super::select::direction;
use super::target::ordinal;
use super::{Binder, Scope, Typed, fold};
use crate::aws::aurora::error::{Result, code, fail, unsupported};
use crate::aws::aurora::types::{CastContext, Type, Value};

impl Binder<'_> {
    pub(super) fn values(
        &mut self,
        values: &ast::Values,
        order: &[ast::OrderByExpr],
        expected: Option<&[(Type, i32)]>,
    ) -> Result<Query> {
        let width = values.rows.first().map_or(0, |r| r.content.len());
        let mut columns: Vec<Vec<Typed>> = vec![Vec::new(); width];
        self.scopes.push(Scope::new("VALUES"));
        for row in &values.rows {
            if row.content.len() != width {
                return fail(code::SYNTAX_ERROR, "VALUES lists must all be the same length");
            }
            for (i, e) in row.content.iter().enumerate() {
                let typed = match (e, expected.and_then(|x| x.get(i))) {
                    (ast::Expr::Identifier(word), Some((ty, typmod)))
                        if word.quote_style.is_none() && word.value.eq_ignore_ascii_case("default") =>
                    {
                        // Marked by an Outer place that no query can produce; INSERT replaces it.
                        Typed {
                            expr: Expr::Outer(usize::MAX, i),
                            ty: *ty,
                            typmod: *typmod,
                        }
                    }
                    (e, Some((ty, _))) => {
                        let typed = self.expr(e)?;
                        let unknown = matches!(typed.ty, Type::Unknown | Type::UnknownArray);
                        if unknown {
                            self.coerce(typed, *ty, -1, CastContext::Assignment)?
                        } else {
                            typed
                        }
                    }
                    (e, None) => self.expr(e)?,
                };
                columns[i].push(typed);
            }
        }
        let mut outputs = Vec::new();
        let mut rows: Vec<Vec<Expr>> = vec![Vec::with_capacity(width); values.rows.len()];
        for (i, column) in columns.into_iter().enumerate() {
            let expected_ty = expected.and_then(|x| x.get(i)).map(|x| x.0);
            let (exprs, ty) = match expected_ty {
                // Each row converts on its own; a mix of types is no error as long as each can be assigned.
                Some(ty) => {
                    let exprs = column
                        .into_iter()
                        .map(|t| self.assign(t, ty, &format!("column{}", i + 1)))
                        .collect::<Result<Vec<_>>>()?;
                    (exprs, ty)
                }
                None => self.unify(column, "VALUES")?,
            };
            for (row, e) in rows.iter_mut().zip(exprs) {
                row.push(e);
            }
            outputs.push(Output {
                name: format!("column{}", i + 1),
                ty,
                typmod: -1,
                origin: (0, 0),
            });
        }
        self.scopes.pop();
        let order = self.order_by_output(order, &outputs)?;
        Ok(Query {
            body: Body::Values(rows),
            order,
            limit: None,
            offset: None,
            columns: outputs,
        })
    }

    pub(super) fn set_operation(
        &mut self,
        op: ast::SetOperator,
        quantifier: ast::SetQuantifier,
        left: &SetExpr,
        right: &SetExpr,
        order: &[ast::OrderByExpr],
        expected: Option<&[(Type, i32)]>,
    ) -> Result<Query> {
        let op = match op {
            ast::SetOperator::Union => SetOp::Union,
            ast::SetOperator::Except => SetOp::Except,
            ast::SetOperator::Intersect => SetOp::Intersect,
            other @ ast::SetOperator::Minus => return unsupported(other),
        };
        let all = match quantifier {
            ast::SetQuantifier::All => true,
            ast::SetQuantifier::None | ast::SetQuantifier::Distinct => false,
            other => return unsupported(other),
        };
        let outermost = !std::mem::take(&mut self.keep_unknown);
        self.keep_unknown = true;
        let l = self.body(left, &[], &[], false, expected);
        self.keep_unknown = true;
        let r = self.body(right, &[], &[], false, expected);
        self.keep_unknown = false;
        let (mut l, mut r) = (l?, r?);
        if l.columns.len() != r.columns.len() {
            return fail(
                code::SYNTAX_ERROR,
                format!("each {} query must have the same number of columns", set_name(op)),
            );
        }
        let mut casts = Vec::new();
        for i in 0..l.columns.len() {
            let probe = |c: &Output| Typed::new(Expr::Const(Value::Null), c.ty);
            let ty = self.common_type(&[probe(&l.columns[i]), probe(&r.columns[i])], set_name(op))?;
            // A bare literal takes the type of the other side; two of them wait for the enclosing operation.
            let both = l.columns[i].ty == Type::Unknown && r.columns[i].ty == Type::Unknown;
            let ty = if both && !outermost { Type::Unknown } else { ty };
            for side in [&mut l, &mut r] {
                if side.columns[i].ty == Type::Unknown && ty != Type::Unknown {
                    self.retype(side, i, ty)?;
                }
            }
            casts.push(ty);
        }
        l.cast_columns(&casts);
        r.cast_columns(&casts);
        let columns = l.columns.clone();
        let order = self.order_by_output(order, &columns)?;
        let body = Body::SetOp {
            op,
            all,
            left: Box::new(l),
            right: Box::new(r),
        };
        Ok(Query {
            body,
            order,
            limit: None,
            offset: None,
            columns,
        })
    }

    /// Gives a column of bare literals a type.
    fn retype(&mut self, query: &mut Query, at: usize, ty: Type) -> Result<()> {
        query.columns[at].ty = ty;
        match &mut query.body {
            Body::Select(s) => {
                let bare = Typed::new(s.output[at].clone(), Type::Unknown);
                s.output[at] = self.coerce(bare, ty, -1, CastContext::Implicit)?.expr;
            }
            Body::Values(rows) => {
                for row in rows {
                    let bare = Typed::new(row[at].clone(), Type::Unknown);
                    row[at] = self.coerce(bare, ty, -1, CastContext::Implicit)?.expr;
                }
            }
            Body::SetOp { left, right, .. } => {
                self.retype(left, at, ty)?;
                self.retype(right, at, ty)?;
            }
            Body::Slot(_) => {}
        }
        Ok(())
    }

    /// ORDER BY that can only name output columns.
    pub(super) fn order_by_output(
        &mut self,
        order: &[ast::OrderByExpr],
        columns: &[Output],
    ) -> Result<Vec<SortKey>> {
        let mut keys = Vec::new();
        for item in order {
            let (desc, nulls_first) = direction(&item.options)?;
            let at = match &item.expr {
                ast::Expr::Identifier(name) => columns.iter().position(|c| c.name == fold(name)),
                e => ordinal(e, columns.len())?,
            };
            match at {
                Some(at) => keys.push(SortKey {
                    at,
                    desc,
                    nulls_first,
                }),
                None => {
                    return fail(
                        code::FEATURE_NOT_SUPPORTED,
                        "invalid UNION/INTERSECT/EXCEPT ORDER BY clause",
                    );
                }
            }
        }
        Ok(keys)
    }
}

impl Query {
    /// Casts the visible columns to these types.
    fn cast_columns(&mut self, types: &[Type]) {
        let changed = self.columns.iter().zip(types).any(|(c, t)| c.ty != *t);
        if !changed {
            return;
        }
        let cast = |e: Expr, from: Type, to: Type| {
            if from == to {
                e
            } else {
                Expr::Cast(Box::new(e), from, to, -1, CastContext::Implicit)
            }
        };
        match &mut self.body {
            Body::Select(s) if matches!(s.distinct, Distinct::No) => {
                for (i, (c, to)) in self.columns.iter_mut().zip(types).enumerate() {
                    let e = std::mem::replace(&mut s.output[i], Expr::Const(Value::Null));
                    s.output[i] = cast(e, c.ty, *to);
                    c.ty = *to;
                }
            }
            Body::Values(rows) => {
                for row in rows {
                    for (i, to) in types.iter().enumerate() {
                        let e = std::mem::replace(&mut row[i], Expr::Const(Value::Null));
                        row[i] = cast(e, self.columns[i].ty, *to);
                    }
                }
                self.columns.iter_mut().zip(types).for_each(|(c, t)| c.ty = *t);
            }
            Body::SetOp { left, right, .. } => {
                left.cast_columns(types);
                right.cast_columns(types);
                self.columns.iter_mut().zip(types).for_each(|(c, t)| c.ty = *t);
            }
            _ => {}
        }
    }
}

fn set_name(op: SetOp) -> &'static str {
    match op {
        SetOp::Union => "UNION",
        SetOp::Except => "EXCEPT",
        SetOp::Intersect => "INTERSECT",
    }
}
