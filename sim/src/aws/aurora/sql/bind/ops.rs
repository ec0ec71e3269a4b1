//! Operators.

use sqlparser::ast::{self, BinaryOperator};

use super::super::expr::{Arith, Compare, Expr};
use super::{Binder, Typed};
use crate::aws::aurora::error::{Result, code, fail, unsupported};
use crate::aws::aurora::types::{CastContext, Type};

/// The comparison that an operator is.
pub(super) fn comparison(op: &BinaryOperator) -> Option<Compare> {
    Some(match op {
        BinaryOperator::Eq => Compare::Eq,
        BinaryOperator::NotEq => Compare::NotEq,
        BinaryOperator::Lt => Compare::Lt,
        BinaryOperator::LtEq => Compare::LtEq,
        BinaryOperator::Gt => Compare::Gt,
        BinaryOperator::GtEq => Compare::GtEq,
        _ => return None,
    })
}

impl Binder<'_> {
    pub(super) fn binary(
        &mut self,
        left: &ast::Expr,
        op: &BinaryOperator,
        right: &ast::Expr,
    ) -> Result<Typed> {
        if let Some(compare) = comparison(op) {
            return Ok(Typed::new(self.compare(compare, left, right)?, Type::Bool));
        }
        match op {
            BinaryOperator::And => {
                let parts = vec![self.boolean(left, "AND")?, self.boolean(right, "AND")?];
                return Ok(Typed::new(flatten(parts, true), Type::Bool));
            }
            BinaryOperator::Or => {
                let parts = vec![self.boolean(left, "OR")?, self.boolean(right, "OR")?];
                return Ok(Typed::new(flatten(parts, false), Type::Bool));
            }
            _ => {}
        }
        let (l, r) = (self.expr(left)?, self.expr(right)?);
        let arith = match op {
            BinaryOperator::Plus => Some(Arith::Add),
            BinaryOperator::Minus => Some(Arith::Sub),
            BinaryOperator::Multiply => Some(Arith::Mul),
            BinaryOperator::Divide => Some(Arith::Div),
            BinaryOperator::Modulo => Some(Arith::Rem),
            _ => None,
        };
        if let Some(arith) = arith
            && let Some(typed) = self.arith(arith, &l, &r)?
        {
            return Ok(typed);
        }
        let (name, negated) = operator_name(op)?;
        Ok(super::expr::negate(self.call(name, vec![l, r])?, negated))
    }

    /// Number arithmetic; None when it is not about numbers.
    fn arith(&mut self, op: Arith, l: &Typed, r: &Typed) -> Result<Option<Typed>> {
        let ty = match (l.ty.number_rank(), r.ty.number_rank()) {
            (Some(a), Some(b)) => {
                if a >= b {
                    l.ty
                } else {
                    r.ty
                }
            }
            (Some(_), None) if r.ty == Type::Unknown => l.ty,
            (None, Some(_)) if l.ty == Type::Unknown => r.ty,
            _ => return Ok(None),
        };
        // real and an exact number meet in double precision.
        let exact = |t: Type| !matches!(t, Type::Float4 | Type::Float8 | Type::Unknown);
        let ty = if ty == Type::Float4 && (exact(l.ty) || exact(r.ty)) {
            Type::Float8
        } else {
            ty
        };
        if op == Arith::Rem && matches!(ty, Type::Float4 | Type::Float8) {
            return fail(
                code::UNDEFINED_FUNCTION,
                format!("operator does not exist: {} % {}", l.ty.name(), r.ty.name()),
            );
        }
        let l = self.coerce(l.clone(), ty, -1, CastContext::Implicit)?;
        let r = self.coerce(r.clone(), ty, -1, CastContext::Implicit)?;
        Ok(Some(Typed::new(
            Expr::Arith(op, ty, Box::new(l.expr), Box::new(r.expr)),
            ty,
        )))
    }

    pub(super) fn compare(&mut self, op: Compare, left: &ast::Expr, right: &ast::Expr) -> Result<Expr> {
        let (lhs, rhs) = (unnest(left), unnest(right));
        if let (ast::Expr::Tuple(a), ast::Expr::Tuple(b)) = (lhs, rhs) {
            return self.compare_rows(op, a, b);
        }
        if let (ast::Expr::Tuple(_), ast::Expr::Subquery(_)) = (lhs, rhs) {
            return unsupported("a row compared with a subquery");
        }
        let (l, r) = (self.expr(left)?, self.expr(right)?);
        let symbol = match op {
            Compare::Eq => "=",
            Compare::NotEq => "<>",
            Compare::Lt => "<",
            Compare::LtEq => "<=",
            Compare::Gt => ">",
            Compare::GtEq => ">=",
        };
        if l.ty == Type::Json || r.ty == Type::Json {
            return fail(
                code::UNDEFINED_FUNCTION,
                format!(
                    "operator does not exist: {} {symbol} {}",
                    l.ty.name(),
                    r.ty.name()
                ),
            );
        }
        let (a, b) = self.comparable(l, r, symbol)?;
        Ok(Expr::Compare(op, Box::new(a), Box::new(b)))
    }

    /// (a, b) < (c, d), column by column.
    fn compare_rows(&mut self, op: Compare, a: &[ast::Expr], b: &[ast::Expr]) -> Result<Expr> {
        if a.len() != b.len() {
            return fail(code::SYNTAX_ERROR, "unequal number of entries in row expressions");
        }
        let mut pairs = Vec::new();
        for (x, y) in a.iter().zip(b) {
            let (x, y) = (self.expr(x)?, self.expr(y)?);
            pairs.push(self.comparable(x, y, "row comparison")?);
        }
        let equal =
            |(x, y): &(Expr, Expr)| Expr::Compare(Compare::Eq, Box::new(x.clone()), Box::new(y.clone()));
        match op {
            Compare::Eq => Ok(Expr::And(pairs.iter().map(equal).collect())),
            Compare::NotEq => Ok(Expr::Not(Box::new(Expr::And(pairs.iter().map(equal).collect())))),
            _ => {
                let strict = if matches!(op, Compare::Lt | Compare::LtEq) {
                    Compare::Lt
                } else {
                    Compare::Gt
                };
                let mut arms = Vec::new();
                for i in 0..pairs.len() {
                    let mut all: Vec<Expr> = pairs[..i].iter().map(equal).collect();
                    let last = if i + 1 == pairs.len() { op } else { strict };
                    let (x, y) = pairs[i].clone();
                    all.push(Expr::Compare(last, Box::new(x), Box::new(y)));
                    arms.push(flatten(all, true));
                }
                Ok(flatten(arms, false))
            }
        }
    }

    /// Brings two expressions to one type.
    pub(super) fn comparable(&mut self, l: Typed, r: Typed, symbol: &str) -> Result<(Expr, Expr)> {
        let (left, right) = (l.ty, r.ty);
        let Ok(ty) = self.common_type(&[l.clone(), r.clone()], symbol) else {
            return fail(
                code::UNDEFINED_FUNCTION,
                format!("operator does not exist: {} {symbol} {}", left.name(), right.name()),
            )
            .map_err(|e| {
                e.hint(
                    "No operator matches the given name and argument types. You might need to add explicit type casts.",
                )
            });
        };
        let exact = |t: Type| !matches!(t, Type::Float4 | Type::Float8 | Type::Unknown);
        let ty = if ty == Type::Float4 && (exact(left) || exact(right)) {
            Type::Float8
        } else {
            ty
        };
        // Trailing blanks of char(n) do not count, so it is compared as text.
        let ty = if ty == Type::Bpchar && (left == Type::Bpchar || right == Type::Bpchar) {
            Type::Text
        } else {
            ty
        };
        // varchar has no operators of its own: an untyped parameter beside it is text.
        let ty = if ty == Type::Varchar && (left == Type::Unknown || right == Type::Unknown) {
            Type::Text
        } else {
            ty
        };
        let trimmed = |b: &mut Self, t: Typed, was: Type| -> Result<Expr> {
            if was == Type::Unknown && (left == Type::Bpchar || right == Type::Bpchar) {
                let text = b.coerce(t, Type::Text, -1, CastContext::Implicit)?;
                return Ok(Expr::Cast(
                    Box::new(text.expr),
                    Type::Bpchar,
                    Type::Text,
                    -1,
                    CastContext::Implicit,
                ));
            }
            Ok(b.coerce(t, ty, -1, CastContext::Implicit)?.expr)
        };
        Ok((trimmed(self, l, left)?, trimmed(self, r, right)?))
    }
}

fn unnest(e: &ast::Expr) -> &ast::Expr {
    match e {
        ast::Expr::Nested(inner) => unnest(inner),
        other => other,
    }
}

fn flatten(parts: Vec<Expr>, and: bool) -> Expr {
    let mut out = Vec::new();
    for part in parts {
        match part {
            Expr::And(inner) if and => out.extend(inner),
            Expr::Or(inner) if !and => out.extend(inner),
            other => out.push(other),
        }
    }
    if out.len() == 1 {
        return out.remove(0);
    }
    if and { Expr::And(out) } else { Expr::Or(out) }
}

/// The registry's name of an operator, and whether the result is negated.
fn operator_name(op: &BinaryOperator) -> Result<(&'static str, bool)> {
    Ok(match op {
        BinaryOperator::Plus => ("+", false),
        BinaryOperator::Minus => ("-", false),
        BinaryOperator::Multiply => ("*", false),
        BinaryOperator::Divide => ("/", false),
        BinaryOperator::Modulo => ("%", false),
        BinaryOperator::PGExp | BinaryOperator::BitwiseXor => ("^", false),
        BinaryOperator::StringConcat => ("||", false),
        BinaryOperator::BitwiseAnd => ("&", false),
        BinaryOperator::BitwiseOr => ("|", false),
        BinaryOperator::PGBitwiseXor => ("#", false),
        BinaryOperator::PGBitwiseShiftLeft => ("<<", false),
        BinaryOperator::PGBitwiseShiftRight => (">>", false),
        BinaryOperator::Arrow => ("->", false),
        BinaryOperator::LongArrow => ("->>", false),
        BinaryOperator::HashArrow => ("#>", false),
        BinaryOperator::HashLongArrow => ("#>>", false),
        BinaryOperator::HashMinus => ("#-", false),
        BinaryOperator::AtArrow => ("@>", false),
        BinaryOperator::ArrowAt => ("<@", false),
        BinaryOperator::Question => ("?", false),
        BinaryOperator::QuestionPipe => ("?|", false),
        BinaryOperator::QuestionAnd => ("?&", false),
        BinaryOperator::PGOverlap => ("&&", false),
        BinaryOperator::PGRegexMatch => ("~", false),
        BinaryOperator::PGRegexNotMatch => ("~", true),
        BinaryOperator::PGRegexIMatch => ("~*", false),
        BinaryOperator::PGRegexNotIMatch => ("~*", true),
        BinaryOperator::PGLikeMatch => ("~~", false),
        BinaryOperator::PGNotLikeMatch => ("~~", true),
        BinaryOperator::PGILikeMatch => ("~~*", false),
        BinaryOperator::PGNotILikeMatch => ("~~*", true),
        BinaryOperator::PGStartsWith => ("starts_with", false),
        BinaryOperator::PGCustomBinaryOperator(parts) => {
            return match parts.last().map(String::as_str) {
                Some("~") => Ok(("~", false)),
                Some("!~") => Ok(("~", true)),
                Some("~~") => Ok(("~~", false)),
                _ => unsupported(format_args!("operator {op}")),
            };
        }
        other => return unsupported(format_args!("operator {other}")),
    })
}
