//! SELECT, VALUES, set operations, ORDER BY, LIMIT.

use sqlparser::ast::{self, SetExpr};

use super::super::expr::Expr;
use super::super::plan::{Body, Distinct, Group, JoinKind, Node, Query, RowMark, Select, WaitPolicy};
use super::super::rewrite::lock_clause;
use super::grouping::{Grouping, map_window, place_aggregates, place_windows};
use super::{Binder, Scope, Typed, access, conjuncts, fold};
use crate::aws::aurora::catalog::Privilege;
use crate::aws::aurora::error::{Result, code, fail, unsupported};
use crate::aws::aurora::lock::Mode;
use crate::aws::aurora::types::{CastContext, Type, Value};

/// DESC and NULLS FIRST of a sort item.
pub(super) fn direction(options: &ast::OrderByOptions) -> Result<(bool, bool)> {
    let desc = match &options.sort {
        Some(ast::OrderBySort::Desc) => true,
        Some(ast::OrderBySort::Using(op)) => return unsupported(format_args!("ORDER BY USING {op}")),
        _ => false,
    };
    Ok((desc, options.nulls_first.unwrap_or(desc)))
}

impl Binder<'_> {
    /// Binds a query. `expected` gives the types that bare literals take: the target columns of an INSERT.
    pub(super) fn query(&mut self, q: &ast::Query, expected: Option<&[(Type, i32)]>) -> Result<Query> {
        if q.for_clause.is_some()
            || q.settings.is_some()
            || q.format_clause.is_some()
            || !q.pipe_operators.is_empty()
        {
            return unsupported("a query clause of another dialect");
        }
        let pushed = self.push_ctes(q.with.as_ref())?;
        let order: &[ast::OrderByExpr] = match &q.order_by {
            None => &[],
            Some(ast::OrderBy {
                kind: ast::OrderByKind::Expressions(items),
                interpolate: None,
            }) => items,
            Some(other) => return unsupported(format_args!("{other}")),
        };
        let limited = q.limit_clause.is_some() || q.fetch.is_some();
        let mut query = self.body(&q.body, order, &q.locks, limited, expected)?;
        self.limit(q, &mut query)?;
        self.pop_ctes(pushed);
        Ok(query)
    }

    fn limit(&mut self, q: &ast::Query, query: &mut Query) -> Result<()> {
        let mut scope = Scope::new("LIMIT");
        scope.barrier = false;
        self.scopes.push(scope);
        let mut bind = |e: &ast::Expr| -> Result<Option<Expr>> {
            let typed = self.expr(e)?;
            Ok(Some(
                self.coerce(typed, Type::Int8, -1, CastContext::Assignment)?.expr,
            ))
        };
        match &q.limit_clause {
            None => {}
            Some(ast::LimitClause::LimitOffset {
                limit,
                offset,
                limit_by,
            }) if limit_by.is_empty() => {
                if let Some(limit) = limit {
                    query.limit = bind(limit)?;
                }
                if let Some(offset) = offset {
                    query.offset = bind(&offset.value)?;
                }
            }
            Some(other) => return unsupported(format_args!("{other}")),
        }
        if let Some(fetch) = &q.fetch {
            if fetch.with_ties || fetch.percent {
                return unsupported("FETCH WITH TIES or PERCENT");
            }
            query.limit = match &fetch.quantity {
                Some(n) => bind(n)?,
                None => Some(Expr::Const(Value::Int8(1))),
            };
        }
        self.scopes.pop();
        Ok(())
    }

    pub(super) fn body(
        &mut self,
        body: &SetExpr,
        order: &[ast::OrderByExpr],
        locks: &[ast::LockClause],
        limited: bool,
        expected: Option<&[(Type, i32)]>,
    ) -> Result<Query> {
        match body {
            SetExpr::Select(select) => self.select(select, order, locks, limited, expected),
            SetExpr::Query(inner) => {
                let mut query = self.query(inner, expected)?;
                if !order.is_empty() || limited {
                    // (SELECT ... LIMIT 3) ORDER BY x: the parenthesised query becomes a derived table.
                    if query.limit.is_some() || query.offset.is_some() || query.hidden() {
                        return unsupported(
                            "ORDER BY or LIMIT around a parenthesised query that has its own",
                        );
                    }
                    query.order = self.order_by_output(order, &query.columns)?;
                }
                Ok(query)
            }
            SetExpr::Values(values) => self.values(values, order, expected),
            SetExpr::SetOperation {
                op,
                set_quantifier,
                left,
                right,
            } => {
                if !locks.is_empty() {
                    return fail(
                        code::FEATURE_NOT_SUPPORTED,
                        "FOR UPDATE is not allowed with UNION/INTERSECT/EXCEPT",
                    );
                }
                self.set_operation(*op, *set_quantifier, left, right, order, expected)
            }
            SetExpr::Table(t) => {
                let name = t.table_name.clone().unwrap_or_default();
                unsupported(format_args!("TABLE {name}"))
            }
            other => unsupported(format_args!("{other} as a query")),
        }
    }

    /// A value on its way into a column of type `ty`.
    pub(super) fn assign(&mut self, typed: Typed, ty: Type, column: &str) -> Result<Expr> {
        let from = typed.ty;
        match self.coerce(typed, ty, -1, CastContext::Assignment) {
            Ok(t) => Ok(t.expr),
            Err(e) if e.code == code::CANNOT_COERCE => Err(crate::aws::aurora::error::Error::new(
                code::DATATYPE_MISMATCH,
                format!(
                    "column \"{column}\" is of type {} but expression is of type {}",
                    ty.name(),
                    from.name()
                ),
            )
            .hint("You will need to rewrite or cast the expression.")),
            Err(e) => Err(e),
        }
    }

    fn select(
        &mut self,
        s: &ast::Select,
        order: &[ast::OrderByExpr],
        locks: &[ast::LockClause],
        limited: bool,
        expected: Option<&[(Type, i32)]>,
    ) -> Result<Query> {
        refuse_dialects(s)?;
        let keep_unknown = std::mem::take(&mut self.keep_unknown);
        self.scopes.push(Scope::new("FROM"));
        let mut node = self.from(&s.from)?;
        let marks = self.row_marks(locks)?;
        if marks.iter().any(|m| nullable(&node, m.scan)) {
            return fail(
                code::FEATURE_NOT_SUPPORTED,
                "FOR UPDATE cannot be applied to the nullable side of an outer join",
            );
        }
        let filter = match &s.selection {
            Some(e) => {
                self.clause("WHERE", false, false);
                let mut parts = Vec::new();
                conjuncts(self.boolean(e, "WHERE")?, &mut parts);
                parts
            }
            None => Vec::new(),
        };
        for window in &s.named_window {
            let ast::NamedWindowExpr::WindowSpec(spec) = &window.1 else {
                return unsupported("a window that names another");
            };
            let entry = (fold(&window.0), spec.clone());
            self.top().named_windows.push(entry);
        }
        self.clause("SELECT", true, true);
        let mut targets = self.targets(&s.projection, expected, keep_unknown)?;
        let visible = targets.columns.len();
        let keys = self.group_keys(&s.group_by, &targets)?;
        self.clause("HAVING", true, false);
        let having = match &s.having {
            Some(e) => Some(self.boolean(e, "HAVING")?),
            None => None,
        };
        self.clause("ORDER BY", true, true);
        let sort = self.order_by(order, &mut targets, visible)?;
        let distinct = self.distinct(s.distinct.as_ref(), &mut targets, visible, &sort)?;
        let Some(mut scope) = self.scopes.pop() else {
            return unsupported("this query");
        };
        let mut output: Vec<Expr> = targets.exprs.into_iter().map(|t| t.expr).collect();
        let mut windows = std::mem::take(&mut scope.windows);
        let aggregates = std::mem::take(&mut scope.aggregates);
        let grouped = !aggregates.is_empty() || keys.is_some() || having.is_some();
        let sets = std::mem::take(&mut scope.sets);
        if grouped && !sets.is_empty() {
            return unsupported("a set-returning function in the select list of a grouped query");
        }
        if !sets.is_empty() {
            node = self.join_sets(node, sets, scope.width)?;
        }
        let mut width = scope.width;
        let group = if grouped {
            if !marks.is_empty() {
                return fail(
                    code::FEATURE_NOT_SUPPORTED,
                    "FOR UPDATE is not allowed with GROUP BY or aggregate functions",
                );
            }
            let mut grouping = Grouping::new(keys.unwrap_or_default(), &scope);
            output = output
                .into_iter()
                .map(|e| grouping.resolve(e))
                .collect::<Result<_>>()?;
            for window in &mut windows {
                grouping.resolve_window(window)?;
            }
            let having = having.map(|e| grouping.resolve(e)).transpose()?;
            let first_aggregate = grouping.keys.len();
            // Aggregates follow the keys; only now is it known how many keys there are.
            let place = |e: Expr| place_aggregates(e, first_aggregate);
            output = output.into_iter().map(place).collect();
            for window in &mut windows {
                map_window(window, &mut |e| place_aggregates(e, first_aggregate));
            }
            width = first_aggregate + aggregates.len();
            Some(Group {
                keys: grouping.keys,
                aggregates,
                having: having.map(place),
            })
        } else {
            None
        };
        output = output.into_iter().map(|e| place_windows(e, width)).collect();
        if !marks.is_empty() && (!windows.is_empty() || !matches!(distinct, Distinct::No)) {
            return fail(
                code::FEATURE_NOT_SUPPORTED,
                "FOR UPDATE is not allowed with DISTINCT clause or window functions",
            );
        }
        let plain = group.is_none() && windows.is_empty() && matches!(distinct, Distinct::No);
        let wanted: Vec<(Expr, bool, bool)> = sort
            .iter()
            .map(|k| (output[k.at].clone(), k.desc, k.nulls_first))
            .collect();
        let (from, filter, presorted) =
            access::optimise(node, filter, if plain { &wanted } else { &[] }, limited);
        let select = Select {
            from,
            width: scope.width,
            filter,
            group,
            windows,
            output,
            distinct,
            marks,
            presorted: presorted && plain && !sort.is_empty(),
        };
        Ok(Query {
            body: Body::Select(Box::new(select)),
            order: sort,
            limit: None,
            offset: None,
            columns: targets.columns,
        })
    }

    pub(super) fn top(&mut self) -> &mut Scope {
        if self.scopes.is_empty() {
            self.scopes.push(Scope::new("SELECT"));
        }
        let last = self.scopes.len() - 1;
        &mut self.scopes[last]
    }

    pub(super) fn clause(&mut self, clause: &'static str, aggregates: bool, windows: bool) {
        let scope = self.top();
        scope.clause = clause;
        scope.aggregates_allowed = aggregates;
        scope.windows_allowed = windows;
    }

    fn row_marks(&mut self, locks: &[ast::LockClause]) -> Result<Vec<RowMark>> {
        let mut marks: Vec<RowMark> = Vec::new();
        for clause in locks {
            let (lock, names) = lock_clause(clause);
            let wait = match clause.nonblock {
                None => WaitPolicy::Block,
                Some(ast::NonBlock::Nowait) => WaitPolicy::NoWait,
                Some(ast::NonBlock::SkipLocked) => WaitPolicy::Skip,
            };
            for name in &names {
                if self.top().rel(None, name).is_none() {
                    return fail(
                        code::UNDEFINED_TABLE,
                        format!("relation \"{name}\" in FOR UPDATE clause not found in FROM clause"),
                    );
                }
            }
            let chosen: Vec<(usize, u32, String)> = self
                .top()
                .rels
                .iter()
                .filter(|r| names.is_empty() || names.contains(&r.alias))
                .filter_map(|r| Some((r.scan?, r.table.as_ref()?.oid, r.alias.clone())))
                .collect();
            if chosen.is_empty() && !names.is_empty() {
                return unsupported("FOR UPDATE of a subquery or function");
            }
            for (scan, oid, _) in chosen {
                self.need(oid, Privilege::UPDATE, Vec::new());
                self.lock_relation(oid, Mode::RowShare);
                match marks.iter_mut().find(|m| m.scan == scan) {
                    Some(mark) => mark.lock = mark.lock.max(lock),
                    None => marks.push(RowMark { scan, lock, wait }),
                }
            }
            self.writes.get_or_insert("SELECT FOR UPDATE");
        }
        Ok(marks)
    }
}

impl Query {
    /// Whether the rows carry sort columns that are not shown.
    pub(crate) fn hidden(&self) -> bool {
        match &self.body {
            Body::Select(s) => s.output.len() > self.columns.len(),
            _ => false,
        }
    }
}

/// Whether an outer join can make the rows of a scan NULL.
fn nullable(node: &Node, scan: usize) -> bool {
    let has = |n: &Node| holds(n, scan);
    match node {
        Node::Join(j) => {
            (has(&j.right) && j.kind != JoinKind::Inner)
                || (has(&j.left) && j.kind == JoinKind::Full)
                || nullable(&j.left, scan)
                || nullable(&j.right, scan)
        }
        _ => false,
    }
}

fn holds(node: &Node, scan: usize) -> bool {
    match node {
        Node::Scan(s) => s.number == scan,
        Node::Join(j) => holds(&j.left, scan) || holds(&j.right, scan),
        _ => false,
    }
}

fn refuse_dialects(s: &ast::Select) -> Result<()> {
    let foreign = s.top.is_some()
        || s.exclude.is_some()
        || !s.lateral_views.is_empty()
        || s.prewhere.is_some()
        || !s.connect_by.is_empty()
        || !s.cluster_by.is_empty()
        || !s.distribute_by.is_empty()
        || !s.sort_by.is_empty()
        || s.qualify.is_some()
        || s.value_table_mode.is_some();
    if foreign {
        return unsupported("a SELECT clause of another dialect");
    }
    if s.into.is_some() {
        return unsupported("SELECT INTO");
    }
    Ok(())
}
