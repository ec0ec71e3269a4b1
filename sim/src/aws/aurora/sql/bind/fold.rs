//! Constant folding: what can be computed when a statement is planned is. As in PostgreSQL its errors come before the
//! statement runs, even when no row would ever need the value, but not when it is only parsed.

use super::super::expr::Expr;
use crate::aws::aurora::error::Result;
use crate::aws::aurora::exec::{Ctx, Env, eval};
use crate::aws::aurora::types::Value;

fn is_const(e: &Expr) -> bool {
    matches!(e, Expr::Const(_))
}

impl super::Binder<'_> {
    /// The expression with its constants computed; as it was, and the plan at fault, if one cannot be.
    pub(super) fn folded(&mut self, e: Expr) -> Expr {
        match constants(e.clone()) {
            Ok(folded) => folded,
            Err(error) => {
                self.fault.get_or_insert(error);
                e
            }
        }
    }
}

/// Folds arithmetic and comparisons of constants. What a constant condition rules out is not looked at.
fn constants(e: Expr) -> Result<Expr> {
    match e {
        Expr::Case(arms, other) => {
            let mut kept = Vec::new();
            for (when, then) in arms {
                let when = constants(when)?;
                match when {
                    Expr::Const(Value::Bool(true)) => {
                        let then = constants(then)?;
                        return Ok(if kept.is_empty() {
                            then
                        } else {
                            Expr::Case(kept, Box::new(then))
                        });
                    }
                    Expr::Const(_) => {}
                    when => kept.push((when, constants(then)?)),
                }
            }
            let other = constants(*other)?;
            Ok(if kept.is_empty() {
                other
            } else {
                Expr::Case(kept, Box::new(other))
            })
        }
        Expr::Coalesce(parts) => {
            let mut kept = Vec::new();
            for part in parts {
                let part = constants(part)?;
                let last = is_const(&part) && !matches!(part, Expr::Const(Value::Null));
                kept.push(part);
                if last {
                    break;
                }
            }
            Ok(Expr::Coalesce(kept))
        }
        Expr::And(parts) => logical(parts, false).map(Expr::And),
        Expr::Or(parts) => logical(parts, true).map(Expr::Or),
        other => {
            let folded = other.map(&mut constants)?;
            let ready = match &folded {
                Expr::Arith(_, _, a, b) | Expr::Compare(_, a, b) => is_const(a) && is_const(b),
                Expr::Negate(_, a) => is_const(a),
                _ => false,
            };
            if ready {
                return eval(&Ctx::pure(), &folded, &Env::of(&[])).map(Expr::Const);
            }
            Ok(folded)
        }
    }
}

/// The parts of AND or OR up to the one that decides.
fn logical(parts: Vec<Expr>, decides: bool) -> Result<Vec<Expr>> {
    let mut kept = Vec::new();
    for part in parts {
        let part = constants(part)?;
        let last = matches!(part, Expr::Const(Value::Bool(b)) if b == decides);
        kept.push(part);
        if last {
            break;
        }
    }
    Ok(kept)
}
