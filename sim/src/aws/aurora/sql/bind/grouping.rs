//! Grouped queries: expressions over the flat row become expressions over the keys and aggregates.

use super::super::expr::Expr;
use super::super::plan::{Window, WindowKind};
use super::Scope;
use crate::aws::aurora::error::{Result, code, fail, unsupported};
use crate::aws::aurora::types::Value;

/// What the expressions of a grouped query may refer to.
pub(super) struct Grouping {
    pub keys: Vec<Expr>,
    /// Places of tables whose primary key is grouped by: functionally dependent, so allowed.
    dependent: Vec<usize>,
    names: Vec<(usize, String)>,
}

impl Grouping {
    pub(super) fn new(keys: Vec<Expr>, scope: &Scope) -> Grouping {
        let mut dependent = Vec::new();
        let mut names = Vec::new();
        for rel in &scope.rels {
            for c in &rel.columns {
                names.push((c.place, format!("{}.{}", rel.alias, c.name)));
            }
            let Some(table) = &rel.table else { continue };
            let Some(pk) = table.primary_key().and_then(|i| i.columns()) else {
                continue;
            };
            let grouped = |col: &usize| {
                let place = rel
                    .columns
                    .iter()
                    .find(|c| c.origin.1 == *col as i16 + 1)
                    .map(|c| c.place);
                keys.iter()
                    .any(|k| matches!(k, Expr::Column(p) if Some(*p) == place))
            };
            if pk.iter().all(grouped) {
                dependent.extend(rel.columns.iter().map(|c| c.place));
            }
        }
        Grouping {
            keys,
            dependent,
            names,
        }
    }

    /// Rewrites an expression over the flat row to one over the keys; aggregates stay as they are.
    pub(super) fn resolve(&mut self, e: Expr) -> Result<Expr> {
        if let Some(at) = self.keys.iter().position(|k| k.same_as(&e)) {
            return Ok(Expr::Column(at));
        }
        match e {
            Expr::Column(place) if self.dependent.contains(&place) => {
                self.keys.push(Expr::Column(place));
                Ok(Expr::Column(self.keys.len() - 1))
            }
            Expr::Column(place) => {
                let name = self
                    .names
                    .iter()
                    .find(|(p, _)| *p == place)
                    .map_or("?", |(_, n)| n.as_str());
                fail(
                    code::GROUPING_ERROR,
                    format!(
                        "column \"{name}\" must appear in the GROUP BY clause or be used in an aggregate function"
                    ),
                )
            }
            Expr::Aggregate(_) | Expr::Window(_) => Ok(e),
            Expr::Sub(ref s) if s.correlated && super::output::reach(&s.query) == 1 => {
                unsupported("a subquery that refers to the rows of a grouped query")
            }
            other => other.map(&mut |part| self.resolve(part)),
        }
    }

    pub(super) fn resolve_window(&mut self, w: &mut Window) -> Result<()> {
        let mut first_error = None;
        map_window(w, &mut |e| {
            self.resolve(e).unwrap_or_else(|e| {
                first_error.get_or_insert(e);
                Expr::Const(Value::Null)
            })
        });
        first_error.map_or(Ok(()), Err)
    }
}

pub(super) fn map_window(w: &mut Window, f: &mut dyn FnMut(Expr) -> Expr) {
    let mut each = |list: &mut Vec<Expr>| {
        for e in list {
            *e = f(std::mem::replace(e, Expr::Const(Value::Null)));
        }
    };
    each(&mut w.args);
    each(&mut w.partition);
    if let WindowKind::Aggregate(a) = &mut w.kind {
        each(&mut a.args);
        if let Some(filter) = &mut a.filter {
            *filter = f(std::mem::replace(filter, Expr::Const(Value::Null)));
        }
    }
    for (e, ..) in &mut w.order {
        *e = f(std::mem::replace(e, Expr::Const(Value::Null)));
    }
}

fn infallible(e: Expr, f: &mut dyn FnMut(Expr) -> Expr) -> Expr {
    e.map(&mut |part| Ok::<Expr, std::convert::Infallible>(f(part)))
        .unwrap_or_else(|never| match never {})
}

pub(super) fn place_aggregates(e: Expr, first: usize) -> Expr {
    match e {
        Expr::Aggregate(n) => Expr::Column(first + n),
        other => infallible(other, &mut |part| place_aggregates(part, first)),
    }
}

pub(super) fn place_windows(e: Expr, first: usize) -> Expr {
    match e {
        Expr::Window(n) => Expr::Column(first + n),
        other => infallible(other, &mut |part| place_windows(part, first)),
    }
}
