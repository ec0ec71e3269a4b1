//! Bound expressions: names are places, types are settled, functions are found.

use std::sync::Arc;

use super::plan::Query;
use crate::aws::aurora::func::Builtin;
use crate::aws::aurora::types::{CastContext, Type, Value};

/// Comparison operators.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub(crate) enum Compare {
    Eq,
    NotEq,
    Lt,
    LtEq,
    Gt,
    GtEq,
}

impl Compare {
    /// Whether an order satisfies the operator.
    pub(crate) fn holds(self, order: std::cmp::Ordering) -> bool {
        match self {
            Compare::Eq => order.is_eq(),
            Compare::NotEq => order.is_ne(),
            Compare::Lt => order.is_lt(),
            Compare::LtEq => order.is_le(),
            Compare::Gt => order.is_gt(),
            Compare::GtEq => order.is_ge(),
        }
    }

    /// The operator with its sides exchanged.
    pub(crate) fn flipped(self) -> Compare {
        match self {
            Compare::Lt => Compare::Gt,
            Compare::LtEq => Compare::GtEq,
            Compare::Gt => Compare::Lt,
            Compare::GtEq => Compare::LtEq,
            same => same,
        }
    }
}

/// Arithmetic on numbers of one type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub(crate) enum Arith {
    Add,
    Sub,
    Mul,
    Div,
    Rem,
}

/// What a subquery is asked.
#[derive(Clone, Debug)]
pub(crate) enum Ask {
    /// EXISTS.
    Exists,
    /// Its only value.
    Scalar,
    /// ARRAY(...).
    Array(Type),
    /// left op ANY (all = false) or ALL.
    Quantified {
        /// The left side, one expression per column.
        left: Vec<Expr>,
        /// The comparison.
        op: Compare,
        /// ALL instead of ANY.
        all: bool,
    },
}

/// A subquery in an expression.
#[derive(Clone, Debug)]
pub(crate) struct SubQuery {
    /// The query; columns of the enclosing row are `Outer`.
    pub query: Query,
    /// The question.
    pub ask: Ask,
    /// Reads the enclosing row; otherwise it is run once per statement.
    pub correlated: bool,
    /// Where an uncorrelated result is kept during a statement.
    pub slot: usize,
}

/// A bound expression.
#[derive(Clone, Debug)]
pub(crate) enum Expr {
    /// A constant.
    Const(Value),
    /// Place in the current row.
    Column(usize),
    /// Place in the row of an enclosing query, so many levels up.
    Outer(usize, usize),
    /// A parameter, from 0.
    Param(usize),
    /// The nth aggregate of the query; gone after grouping is resolved.
    Aggregate(usize),
    /// The nth window function; gone likewise.
    Window(usize),
    /// A function from the registry.
    Call(&'static Builtin, Vec<Expr>),
    /// A type conversion.
    Cast(Box<Expr>, Type, Type, i32, CastContext),
    /// AND.
    And(Vec<Expr>),
    /// OR.
    Or(Vec<Expr>),
    /// NOT.
    Not(Box<Expr>),
    /// IS NULL.
    IsNull(Box<Expr>),
    /// IS TRUE, IS FALSE.
    IsBool(Box<Expr>, bool),
    /// A comparison of two values of one type.
    Compare(Compare, Box<Expr>, Box<Expr>),
    /// IS NOT DISTINCT FROM.
    Same(Box<Expr>, Box<Expr>),
    /// Arithmetic in a type.
    Arith(Arith, Type, Box<Expr>, Box<Expr>),
    /// Negation in a type.
    Negate(Type, Box<Expr>),
    /// CASE WHEN a THEN b ... ELSE c.
    Case(Vec<(Expr, Expr)>, Box<Expr>),
    /// left = ANY list.
    InList(Box<Expr>, Vec<Expr>),
    /// left op ANY/ALL (array).
    AnyArray(Compare, Box<Expr>, Box<Expr>, bool),
    /// COALESCE.
    Coalesce(Vec<Expr>),
    /// GREATEST (true) or LEAST.
    Extreme(bool, Vec<Expr>),
    /// NULLIF.
    NullIf(Box<Expr>, Box<Expr>),
    /// ARRAY[...].
    Array(Type, Vec<Expr>),
    /// `array[index]`.
    Element(Box<Expr>, Box<Expr>),
    /// ROW(...).
    Row(Vec<Expr>),
    /// A subquery.
    Sub(Arc<SubQuery>),
}

impl Expr {
    /// A boolean constant.
    pub(crate) fn bool(b: bool) -> Expr {
        Expr::Const(Value::Bool(b))
    }

    /// Calls `f` on every direct part.
    pub(crate) fn each<'a>(&'a self, f: &mut dyn FnMut(&'a Expr)) {
        match self {
            Expr::Const(_)
            | Expr::Column(_)
            | Expr::Outer(..)
            | Expr::Param(_)
            | Expr::Aggregate(_)
            | Expr::Window(_) => {}
            Expr::Call(_, v)
            | Expr::And(v)
            | Expr::Or(v)
            | Expr::Coalesce(v)
            | Expr::Extreme(_, v)
            | Expr::Array(_, v)
            | Expr::Row(v) => v.iter().for_each(f),
            Expr::Cast(a, ..) | Expr::Not(a) | Expr::IsNull(a) | Expr::IsBool(a, _) | Expr::Negate(_, a) => {
                f(a)
            }
            Expr::Compare(_, a, b)
            | Expr::Same(a, b)
            | Expr::Arith(_, _, a, b)
            | Expr::AnyArray(_, a, b, _)
            | Expr::NullIf(a, b)
            | Expr::Element(a, b) => {
                f(a);
                f(b);
            }
            Expr::Case(arms, other) => {
                for (when, then) in arms {
                    f(when);
                    f(then);
                }
                f(other);
            }
            Expr::InList(a, v) => {
                f(a);
                v.iter().for_each(f);
            }
            Expr::Sub(s) => {
                if let Ask::Quantified { left, .. } = &s.ask {
                    left.iter().for_each(f);
                }
            }
        }
    }

    /// Rebuilds the expression with every direct part passed through `f`.
    pub(crate) fn map<E>(self, f: &mut dyn FnMut(Expr) -> Result<Expr, E>) -> Result<Expr, E> {
        let mut boxed = |e: Box<Expr>| f(*e).map(Box::new);
        Ok(match self {
            Expr::Cast(a, from, to, m, c) => Expr::Cast(boxed(a)?, from, to, m, c),
            Expr::Not(a) => Expr::Not(boxed(a)?),
            Expr::IsNull(a) => Expr::IsNull(boxed(a)?),
            Expr::IsBool(a, b) => Expr::IsBool(boxed(a)?, b),
            Expr::Negate(t, a) => Expr::Negate(t, boxed(a)?),
            Expr::Compare(op, a, b) => Expr::Compare(op, boxed(a)?, boxed(b)?),
            Expr::Same(a, b) => Expr::Same(boxed(a)?, boxed(b)?),
            Expr::Arith(op, t, a, b) => Expr::Arith(op, t, boxed(a)?, boxed(b)?),
            Expr::AnyArray(op, a, b, all) => Expr::AnyArray(op, boxed(a)?, boxed(b)?, all),
            Expr::NullIf(a, b) => Expr::NullIf(boxed(a)?, boxed(b)?),
            Expr::Element(a, b) => Expr::Element(boxed(a)?, boxed(b)?),
            Expr::Case(arms, other) => {
                let arms: Result<Vec<_>, E> = arms.into_iter().map(|(w, t)| Ok((f(w)?, f(t)?))).collect();
                Expr::Case(arms?, Box::new(f(*other)?))
            }
            Expr::InList(a, v) => {
                let a = boxed(a)?;
                Expr::InList(a, v.into_iter().map(f).collect::<Result<_, E>>()?)
            }
            Expr::Call(b, v) => Expr::Call(b, v.into_iter().map(f).collect::<Result<_, E>>()?),
            Expr::And(v) => Expr::And(v.into_iter().map(f).collect::<Result<_, E>>()?),
            Expr::Or(v) => Expr::Or(v.into_iter().map(f).collect::<Result<_, E>>()?),
            Expr::Coalesce(v) => Expr::Coalesce(v.into_iter().map(f).collect::<Result<_, E>>()?),
            Expr::Extreme(g, v) => Expr::Extreme(g, v.into_iter().map(f).collect::<Result<_, E>>()?),
            Expr::Array(t, v) => Expr::Array(t, v.into_iter().map(f).collect::<Result<_, E>>()?),
            Expr::Row(v) => Expr::Row(v.into_iter().map(f).collect::<Result<_, E>>()?),
            Expr::Sub(s) => {
                let mut sub = (*s).clone();
                if let Ask::Quantified { left, op, all } = sub.ask {
                    let left = left.into_iter().map(f).collect::<Result<_, E>>()?;
                    sub.ask = Ask::Quantified { left, op, all };
                }
                Expr::Sub(Arc::new(sub))
            }
            leaf => leaf,
        })
    }

    /// Whether any part satisfies `test`.
    pub(crate) fn any(&self, test: &dyn Fn(&Expr) -> bool) -> bool {
        if test(self) {
            return true;
        }
        let mut hit = false;
        self.each(&mut |e| hit = hit || e.any(test));
        hit
    }

    /// Lowest and one past the highest place of the current row that it reads; None when it reads none. A subquery
    /// that reads the row counts as reading all of it.
    pub(crate) fn places(&self, out: &mut Vec<usize>) {
        match self {
            Expr::Column(c) => out.push(*c),
            Expr::Sub(s) if s.correlated => out.push(usize::MAX),
            _ => {}
        }
        self.each(&mut |e| e.places(out));
    }

    /// Whether two expressions are the same, structurally.
    pub(crate) fn same_as(&self, other: &Expr) -> bool {
        match (self, other) {
            (Expr::Column(a), Expr::Column(b)) => a == b,
            (Expr::Column(_), _) | (_, Expr::Column(_)) => false,
            _ => format!("{self:?}") == format!("{other:?}"),
        }
    }
}
