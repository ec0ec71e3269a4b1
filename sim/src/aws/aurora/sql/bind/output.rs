//! Walks over bound queries: how far out they read, whether they lock rows.

use super::super::expr::Expr;
use super::super::plan::{Access, Body, Keys, Node, Query, Select, SourceKind, WindowKind};

impl Query {
    /// Whether it has FOR UPDATE or its kin at any depth that this query's executor handles itself.
    pub(crate) fn locks_rows(&self) -> bool {
        match &self.body {
            Body::Select(s) => !s.marks.is_empty(),
            _ => false,
        }
    }
}

/// How many levels out of itself a query reads: 1 is the query around it.
pub(super) fn reach(query: &Query) -> usize {
    let mut deepest = 0;
    each_expr(query, &mut |e| deepest = deepest.max(expr_reach(e, 0)));
    deepest
}

fn expr_reach(e: &Expr, inside: usize) -> usize {
    let mut deepest = match e {
        Expr::Outer(level, _) => level.saturating_sub(inside),
        Expr::Sub(s) => {
            // The subquery's own reach counts from its level; one level of it is this query.
            reach(&s.query).saturating_sub(1 + inside)
        }
        _ => 0,
    };
    e.each(&mut |part| deepest = deepest.max(expr_reach(part, inside)));
    deepest
}

/// Calls `f` on every expression of a query that is evaluated at its level; subqueries in FROM sit one level deeper
/// and are reported through [`Expr::Outer`] wrappers of their own reach.
fn each_expr(query: &Query, f: &mut dyn FnMut(&Expr)) {
    query.limit.iter().chain(&query.offset).for_each(&mut *f);
    match &query.body {
        Body::Values(rows) => rows.iter().flatten().for_each(f),
        Body::SetOp { left, right, .. } => {
            each_expr(left, f);
            each_expr(right, f);
        }
        Body::Slot(_) => {}
        Body::Select(s) => each_select(s, f),
    }
}

fn each_select(s: &Select, f: &mut dyn FnMut(&Expr)) {
    each_node(&s.from, f);
    s.filter.iter().chain(&s.output).for_each(&mut *f);
    if let Some(group) = &s.group {
        group.keys.iter().chain(&group.having).for_each(&mut *f);
        for a in &group.aggregates {
            a.args.iter().chain(&a.filter).for_each(&mut *f);
            a.order.iter().for_each(|(e, ..)| f(e));
        }
    }
    for w in &s.windows {
        w.args.iter().chain(&w.partition).for_each(&mut *f);
        w.order.iter().for_each(|(e, ..)| f(e));
        if let WindowKind::Aggregate(a) = &w.kind {
            a.args.iter().chain(&a.filter).for_each(&mut *f);
        }
    }
}

fn each_node(node: &Node, f: &mut dyn FnMut(&Expr)) {
    match node {
        Node::One => {}
        Node::Scan(scan) => {
            scan.filter.iter().chain(&scan.security).for_each(&mut *f);
            match &scan.access {
                Access::Full => {}
                Access::Index { equal, low, high, .. } => {
                    equal.iter().for_each(&mut *f);
                    low.iter().chain(high).for_each(|(e, _)| f(e));
                }
                Access::AnyOf {
                    keys: Keys::Array(e), ..
                } => f(e),
                Access::AnyOf {
                    keys: Keys::List(list),
                    ..
                } => list.iter().for_each(f),
            }
        }
        Node::Rows(source) => {
            source.filter.iter().for_each(&mut *f);
            match &source.kind {
                SourceKind::Query { query, .. } => {
                    let deep = reach(query);
                    if deep > 1 {
                        f(&Expr::Outer(deep - 1, 0));
                    }
                }
                SourceKind::Unnest(args) | SourceKind::Function(_, args) => args.iter().for_each(f),
                SourceKind::Scalar(e) => f(e),
                SourceKind::Slot(_) | SourceKind::System(_) => {}
            }
        }
        Node::Join(join) => {
            each_node(&join.left, f);
            each_node(&join.right, f);
            join.on.iter().chain(&join.filter_after).for_each(&mut *f);
            join.equal.iter().for_each(|(l, r)| {
                f(l);
                f(r);
            });
        }
    }
}
