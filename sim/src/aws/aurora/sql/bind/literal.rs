//! Literals and parameters.

use sqlparser::ast;

use super::super::expr::Expr;
use super::{Binder, Typed};
use crate::aws::aurora::error::{Result, code, fail, unsupported};
use crate::aws::aurora::types::{CastContext, Numeric, Type, Value};

impl Binder<'_> {
    pub(super) fn value(&mut self, v: &ast::Value) -> Result<Typed> {
        let unknown = |s: &str| Typed::new(Expr::Const(Value::text(s)), Type::Unknown);
        Ok(match v {
            ast::Value::Number(n, _) => {
                if let Ok(i) = n.parse::<i32>() {
                    Typed::new(Expr::Const(Value::Int4(i)), Type::Int4)
                } else if let Ok(i) = n.parse::<i64>() {
                    Typed::new(Expr::Const(Value::Int8(i)), Type::Int8)
                } else {
                    Typed::new(Expr::Const(Value::Numeric(Numeric::parse(n)?)), Type::Numeric)
                }
            }
            ast::Value::SingleQuotedString(s)
            | ast::Value::EscapedStringLiteral(s)
            | ast::Value::UnicodeStringLiteral(s)
            | ast::Value::NationalStringLiteral(s) => unknown(s),
            ast::Value::DollarQuotedString(s) => unknown(&s.value),
            ast::Value::Boolean(b) => Typed::new(Expr::bool(*b), Type::Bool),
            ast::Value::Null => Typed::new(Expr::Const(Value::Null), Type::Unknown),
            ast::Value::Placeholder(p) => {
                let number = p
                    .strip_prefix('$')
                    .and_then(|n| n.parse::<usize>().ok())
                    .filter(|n| *n > 0);
                let Some(n) = number else {
                    return fail(code::SYNTAX_ERROR, format!("syntax error at or near \"{p}\""));
                };
                if n > 65_535 {
                    return fail(code::UNDEFINED_PARAMETER, format!("there is no parameter ${n}"));
                }
                if self.params.len() < n {
                    self.params.resize(n, None);
                }
                Typed::new(Expr::Param(n - 1), self.params[n - 1].unwrap_or(Type::Unknown))
            }
            other => return unsupported(format_args!("literal {other}")),
        })
    }

    pub(super) fn interval(&mut self, i: &ast::Interval) -> Result<Typed> {
        let unit = i.leading_field.as_ref().map(|f| f.to_string().to_lowercase());
        let ast::Expr::Value(v) = &*i.value else {
            return unsupported("INTERVAL of an expression");
        };
        let text = match &v.value {
            ast::Value::SingleQuotedString(s) => s.clone(),
            ast::Value::Number(n, _) => n.clone(),
            other => return unsupported(format_args!("INTERVAL {other}")),
        };
        if i.last_field.is_some() {
            return unsupported("INTERVAL with a range of fields");
        }
        let text = match unit {
            Some(unit) if text.trim().parse::<f64>().is_ok() => format!("{text} {unit}"),
            _ => text,
        };
        let unknown = Typed::new(Expr::Const(Value::text(text)), Type::Unknown);
        self.coerce(unknown, Type::Interval, -1, CastContext::Explicit)
    }
}
