//! The select list, and what is said in its terms: GROUP BY, ORDER BY, DISTINCT, RETURNING.

use sqlparser::ast;

use super::super::expr::Expr;
use super::super::plan::{Distinct, Output, SortKey};
use super::select::direction;
use super::{Binder, Typed, fold, output_name};
use crate::aws::aurora::error::{Result, code, fail, unsupported};
use crate::aws::aurora::types::{CastContext, Type};

/// A target list being built: outputs, their exprs, hidden ones last.
pub(super) struct Targets {
    pub exprs: Vec<Typed>,
    pub columns: Vec<Output>,
}

impl Binder<'_> {
    pub(super) fn targets(
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
            expr: self.folded(typed.expr),
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

    pub(super) fn group_keys(
        &mut self,
        group_by: &ast::GroupByExpr,
        targets: &Targets,
    ) -> Result<Option<Vec<Expr>>> {
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

    pub(super) fn order_by(
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

    pub(super) fn distinct(
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

/// The place an integer in ORDER BY or GROUP BY means.
pub(super) fn ordinal(e: &ast::Expr, count: usize) -> Result<Option<usize>> {
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
