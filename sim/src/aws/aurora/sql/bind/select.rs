//! SELECT, VALUES, set operations, ORDER BY, LIMIT.

use sqlparser::ast::{self, SetExpr};

use super::super::expr::Expr;
use super::super::plan::{
    Body, Distinct, Group, JoinKind, Node, Output, Query, RowMark, Select, SetOp, SortKey, WaitPolicy,
};
use super::super::rewrite::lock_clause;
use super::{Binder, Scope, Typed, access, conjuncts, fold, output_name};
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

/// A target list being built: outputs, their exprs, hidden ones last.
struct Targets {
    exprs: Vec<Typed>,
    columns: Vec<Output>,
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

    fn body(
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

    fn values(
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

    fn set_operation(
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
    fn order_by_output(&mut self, order: &[ast::OrderByExpr], columns: &[Output]) -> Result<Vec<SortKey>> {
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
            let mut grouping = super::super::bind::select::Grouping::new(keys.unwrap_or_default(), &scope);
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

    fn top(&mut self) -> &mut Scope {
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

    fn targets(
        &mut self,
        items: &[ast::SelectItem],
        expected: Option<&[(Type, i32)]>,
        keep_unknown: bool,
    ) -> Result<Targets> {
        let mut out = Targets {
            exprs: Vec::new(),
            columns: Vec::new(),
        };
        for item in items {
            match item {
                ast::SelectItem::UnnamedExpr(e) => {
                    let name = output_name(e);
                    let at = out.exprs.len();
                    let typed = self.target(e, expected.and_then(|x| x.get(at)), keep_unknown)?;
                    self.push_target(&mut out, typed, name);
                }
                ast::SelectItem::ExprWithAlias { expr, alias } => {
                    let at = out.exprs.len();
                    let typed = self.target(expr, expected.and_then(|x| x.get(at)), keep_unknown)?;
                    self.push_target(&mut out, typed, fold(alias));
                }
                ast::SelectItem::Wildcard(options) => {
                    refuse_options(options)?;
                    let columns: Vec<_> = self
                        .top()
                        .rels
                        .iter()
                        .filter(|r| !r.hidden && !r.qualified_only)
                        .flat_map(|r| r.columns.iter().filter(|c| !c.merged).cloned())
                        .collect();
                    columns.iter().for_each(|c| self.read_column(c));
                    if columns.is_empty() && self.top().rels.is_empty() {
                        return fail(
                            code::SYNTAX_ERROR,
                            "SELECT * with no tables specified is not valid",
                        );
                    }
                    out.extend(columns);
                }
                ast::SelectItem::QualifiedWildcard(
                    ast::SelectItemQualifiedWildcardKind::ObjectName(name),
                    o,
                ) => {
                    refuse_options(o)?;
                    let (schema, table) = super::qualified(name)?;
                    let columns = match self.top().rel(schema.as_deref(), &table) {
                        Some(rel) => rel.columns.clone(),
                        None => {
                            return fail(
                                code::UNDEFINED_TABLE,
                                format!("missing FROM-clause entry for table \"{table}\""),
                            );
                        }
                    };
                    out.extend(columns);
                }
                other => return unsupported(format_args!("select item {other}")),
            }
        }
        Ok(out)
    }

    fn target(&mut self, e: &ast::Expr, expected: Option<&(Type, i32)>, keep_unknown: bool) -> Result<Typed> {
        let typed = self.expr(e)?;
        let typed = Typed {
            expr: super::fold::constants(typed.expr)?,
            ..typed
        };
        match expected {
            Some((ty, _)) if matches!(typed.ty, Type::Unknown | Type::UnknownArray) => {
                self.coerce(typed, *ty, -1, CastContext::Assignment)
            }
            _ if keep_unknown && typed.ty == Type::Unknown => Ok(typed),
            _ => self.settle(typed),
        }
    }

    fn push_target(&mut self, out: &mut Targets, typed: Typed, name: String) {
        let origin = match &typed.expr {
            Expr::Column(place) => self
                .top()
                .rels
                .iter()
                .flat_map(|r| &r.columns)
                .find(|c| c.place == *place)
                .map_or((0, 0), |c| c.origin),
            _ => (0, 0),
        };
        out.columns.push(Output {
            name,
            ty: typed.ty,
            typmod: typed.typmod,
            origin,
        });
        out.exprs.push(typed);
    }

    /// RETURNING: a target list over the current scope.
    pub(super) fn returning(&mut self, items: &[ast::SelectItem]) -> Result<super::super::plan::Returning> {
        self.clause("RETURNING", false, false);
        let targets = self.targets(items, None, false)?;
        let exprs = targets.exprs.into_iter().map(|t| t.expr).collect();
        Ok(super::super::plan::Returning {
            exprs,
            columns: targets.columns,
        })
    }

    fn group_keys(&mut self, group_by: &ast::GroupByExpr, targets: &Targets) -> Result<Option<Vec<Expr>>> {
        let ast::GroupByExpr::Expressions(items, modifiers) = group_by else {
            return unsupported("GROUP BY ALL");
        };
        if !modifiers.is_empty() {
            return unsupported("GROUP BY with a modifier");
        }
        if items.is_empty() {
            return Ok(None);
        }
        self.clause("GROUP BY", false, false);
        let mut keys = Vec::new();
        for item in items {
            if let ast::Expr::Tuple(parts) = item
                && parts.is_empty()
            {
                continue;
            }
            let by_alias = match item {
                ast::Expr::Identifier(name) => {
                    let name = fold(name);
                    match self.top().find(&name) {
                        Ok(None) => targets.columns.iter().position(|c| c.name == name),
                        _ => None,
                    }
                }
                e => ordinal(e, targets.columns.len())?,
            };
            let key = match by_alias {
                Some(at) => targets.exprs[at].expr.clone(),
                None => {
                    let typed = self.expr(item)?;
                    self.settle(typed)?.expr
                }
            };
            if key.any(&|e| matches!(e, Expr::Aggregate(_))) {
                return fail(
                    code::GROUPING_ERROR,
                    "aggregate functions are not allowed in GROUP BY",
                );
            }
            keys.push(key);
        }
        Ok(Some(keys))
    }

    fn order_by(
        &mut self,
        order: &[ast::OrderByExpr],
        targets: &mut Targets,
        visible: usize,
    ) -> Result<Vec<SortKey>> {
        let mut keys = Vec::new();
        for item in order {
            if item.with_fill.is_some() {
                return unsupported("WITH FILL");
            }
            let (desc, nulls_first) = direction(&item.options)?;
            let named = match &item.expr {
                ast::Expr::Identifier(name) => {
                    let name = fold(name);
                    let mut hits = targets
                        .columns
                        .iter()
                        .enumerate()
                        .filter(|(_, c)| c.name == name)
                        .map(|(i, _)| i);
                    let first = hits.next();
                    if let Some(first) = first
                        && hits.any(|other| !targets.exprs[other].expr.same_as(&targets.exprs[first].expr))
                    {
                        return fail(
                            code::AMBIGUOUS_COLUMN,
                            format!("ORDER BY \"{name}\" is ambiguous"),
                        );
                    }
                    first
                }
                e => ordinal(e, visible)?,
            };
            let at = match named {
                Some(at) => at,
                None => {
                    let typed = self.expr(&item.expr)?;
                    let typed = self.settle(typed)?;
                    if typed.ty == Type::Json {
                        return fail(
                            code::UNDEFINED_FUNCTION,
                            "could not identify an ordering operator for type json",
                        );
                    }
                    match targets.exprs.iter().position(|t| t.expr.same_as(&typed.expr)) {
                        Some(at) => at,
                        None => {
                            targets.exprs.push(typed);
                            targets.exprs.len() - 1
                        }
                    }
                }
            };
            keys.push(SortKey {
                at,
                desc,
                nulls_first,
            });
        }
        Ok(keys)
    }

    fn distinct(
        &mut self,
        distinct: Option<&ast::Distinct>,
        targets: &mut Targets,
        visible: usize,
        sort: &[SortKey],
    ) -> Result<Distinct> {
        match distinct {
            None | Some(ast::Distinct::All) => Ok(Distinct::No),
            Some(ast::Distinct::Distinct) => {
                if sort.iter().any(|k| k.at >= visible) {
                    return fail(
                        code::INVALID_COLUMN_REFERENCE,
                        "for SELECT DISTINCT, ORDER BY expressions must appear in select list",
                    );
                }
                Ok(Distinct::All)
            }
            Some(ast::Distinct::On(items)) => {
                let mut places = Vec::new();
                for item in items {
                    let at = match ordinal(item, visible)? {
                        Some(at) => at,
                        None => {
                            let typed = self.expr(item)?;
                            let typed = self.settle(typed)?;
                            match targets.exprs.iter().position(|t| t.expr.same_as(&typed.expr)) {
                                Some(at) => at,
                                None => {
                                    targets.exprs.push(typed);
                                    targets.exprs.len() - 1
                                }
                            }
                        }
                    };
                    places.push(at);
                }
                let leading = sort.iter().take(places.len());
                if leading.into_iter().any(|k| !places.contains(&k.at)) {
                    return fail(
                        code::INVALID_COLUMN_REFERENCE,
                        "SELECT DISTINCT ON expressions must match initial ORDER BY expressions",
                    );
                }
                Ok(Distinct::On(places))
            }
        }
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

impl Targets {
    fn extend(&mut self, columns: Vec<super::ScopeColumn>) {
        for c in columns {
            self.columns.push(Output {
                name: c.name,
                ty: c.ty,
                typmod: c.typmod,
                origin: c.origin,
            });
            self.exprs.push(Typed {
                expr: Expr::Column(c.place),
                ty: c.ty,
                typmod: c.typmod,
            });
        }
    }
}

/// What the expressions of a grouped query may refer to.
pub(super) struct Grouping {
    keys: Vec<Expr>,
    /// Places of tables whose primary key is grouped by: functionally dependent, so allowed.
    dependent: Vec<usize>,
    names: Vec<(usize, String)>,
}

impl Grouping {
    fn new(keys: Vec<Expr>, scope: &Scope) -> Grouping {
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
    fn resolve(&mut self, e: Expr) -> Result<Expr> {
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

    fn resolve_window(&mut self, w: &mut super::super::plan::Window) -> Result<()> {
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

fn map_window(w: &mut super::super::plan::Window, f: &mut dyn FnMut(Expr) -> Expr) {
    let mut each = |list: &mut Vec<Expr>| {
        for e in list {
            *e = f(std::mem::replace(e, Expr::Const(Value::Null)));
        }
    };
    each(&mut w.args);
    each(&mut w.partition);
    if let super::super::plan::WindowKind::Aggregate(a) = &mut w.kind {
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

fn place_aggregates(e: Expr, first: usize) -> Expr {
    match e {
        Expr::Aggregate(n) => Expr::Column(first + n),
        other => infallible(other, &mut |part| place_aggregates(part, first)),
    }
}

fn place_windows(e: Expr, first: usize) -> Expr {
    match e {
        Expr::Window(n) => Expr::Column(first + n),
        other => infallible(other, &mut |part| place_windows(part, first)),
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

/// The place an integer in ORDER BY or GROUP BY means.
fn ordinal(e: &ast::Expr, count: usize) -> Result<Option<usize>> {
    let ast::Expr::Value(v) = e else { return Ok(None) };
    let ast::Value::Number(n, _) = &v.value else {
        return Ok(None);
    };
    match n.parse::<usize>() {
        Ok(n) if (1..=count).contains(&n) => Ok(Some(n - 1)),
        _ => fail(
            code::INVALID_COLUMN_REFERENCE,
            format!("ORDER BY position {n} is not in select list"),
        ),
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

fn refuse_options(o: &ast::WildcardAdditionalOptions) -> Result<()> {
    let plain = o.opt_ilike.is_none()
        && o.opt_exclude.is_none()
        && o.opt_except.is_none()
        && o.opt_replace.is_none()
        && o.opt_rename.is_none();
    if plain {
        Ok(())
    } else {
        unsupported("a wildcard with options")
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

/// An empty FROM.
pub(super) fn no_from() -> Node {
    Node::One
}
