//! Binding: names become places, literals get types, conditions move to where they can use an index.

mod access;
mod aggregate;
mod assign;
mod call;
mod column;
mod conflict;
mod expr;
mod fold;
mod from;
mod grouping;
mod literal;
mod modify;
mod name;
mod ops;
mod output;
mod scope;
mod security;
mod select;
mod set;
mod setop;
mod subquery;
mod target;
mod types;
mod window;

use std::collections::BTreeMap;
use std::sync::Arc;

use sqlparser::ast;

pub(crate) use name::output_name;
pub(crate) use scope::{Rel, Scope, ScopeColumn, Typed};
pub(crate) use types::{column_type, data_type, named};

use super::expr::Expr;
use super::plan::{Main, Needed, Output, Plan, Query, Unit};
use crate::aws::aurora::catalog::{Catalog, Object, Oid, Privilege, Table};
use crate::aws::aurora::error::{Error, Result, code, fail, unsupported};
use crate::aws::aurora::lock::Mode;
use crate::aws::aurora::types::{CastContext, Type, Value};

/// What binding needs to know of the session.
pub(crate) struct Settings<'a> {
    /// Current role.
    pub role: &'a str,
    /// Schemas searched, in order.
    pub search_path: &'a [String],
    /// Microseconds since 2000, for literals such as `'now'`.
    pub now: i64,
    /// `row_security` is on.
    pub row_security: bool,
}

/// A CTE in scope.
#[derive(Clone)]
struct CteRef {
    slot: usize,
    columns: Vec<Output>,
    /// Index of a data-modifying unit, to be told that it is read.
    modify: Option<usize>,
}

/// Binds one statement.
pub(crate) struct Binder<'a> {
    catalog: &'a Catalog,
    settings: &'a Settings<'a>,
    params: Vec<Option<Type>>,
    /// Innermost last.
    scopes: Vec<Scope>,
    ctes: Vec<BTreeMap<String, CteRef>>,
    units: Vec<Unit>,
    slots: usize,
    needed: Vec<Needed>,
    relations: Vec<(Oid, Mode)>,
    writes: Option<&'static str>,
    /// Bare literals of the next select list keep their unknown type, for a set operation to decide.
    keep_unknown: bool,
    /// Columns are read without needing rights, inside a policy.
    unchecked: bool,
    /// With whose rights relations are read, inside a view.
    acting: Option<String>,
    /// Views and policies being expanded, against endless recursion.
    depth: usize,
    /// The first constant that cannot be computed.
    fault: Option<Box<Error>>,
}

/// An identifier as PostgreSQL folds it.
pub(crate) fn fold(ident: &ast::Ident) -> String {
    if ident.quote_style.is_some() {
        ident.value.clone()
    } else {
        ident.value.to_lowercase()
    }
}

/// Schema and name of a possibly qualified name.
pub(crate) fn qualified(name: &ast::ObjectName) -> Result<(Option<String>, String)> {
    let mut parts = Vec::new();
    for part in &name.0 {
        match part.as_ident() {
            Some(ident) => parts.push(fold(ident)),
            None => return unsupported(format_args!("name {name}")),
        }
    }
    match parts.as_slice() {
        [name] => Ok((None, name.clone())),
        [schema, name] => Ok((Some(schema.clone()), name.clone())),
        [_database, schema, name] => Ok((Some(schema.clone()), name.clone())),
        _ => fail(
            code::SYNTAX_ERROR,
            format!("improper qualified name (too many dotted names): {name}"),
        ),
    }
}

/// Error for a relation that is not there.
pub(crate) fn undefined_table(schema: Option<&str>, name: &str) -> Box<Error> {
    let full = schema.map_or_else(|| name.to_string(), |s| format!("{s}.{name}"));
    Error::new(
        code::UNDEFINED_TABLE,
        format!("relation \"{full}\" does not exist"),
    )
}

/// Finds a relation along the search path.
pub(crate) fn resolve<'c>(
    catalog: &'c Catalog,
    search_path: &[String],
    schema: Option<&str>,
    name: &str,
) -> Result<&'c Object> {
    if let Some(schema) = schema {
        if !catalog.schemas.contains_key(schema) && !schema.starts_with("pg_temp") {
            // PostgreSQL names the relation, not the schema, when reading; both are 42P01 or 3F000 by context.
            return Err(undefined_table(Some(schema), name));
        }
        return catalog
            .lookup(schema, name)
            .ok_or_else(|| undefined_table(Some(schema), name));
    }
    for schema in search_path {
        if let Some(object) = catalog.lookup(schema, name) {
            return Ok(object);
        }
    }
    Err(undefined_table(None, name))
}

impl<'a> Binder<'a> {
    /// A binder over a catalog. `params` are the parameter types the client stated.
    pub(crate) fn new(
        catalog: &'a Catalog,
        settings: &'a Settings<'a>,
        params: &[Option<Type>],
    ) -> Binder<'a> {
        Binder {
            catalog,
            settings,
            params: params.to_vec(),
            scopes: Vec::new(),
            ctes: Vec::new(),
            units: Vec::new(),
            slots: 0,
            needed: Vec::new(),
            relations: Vec::new(),
            writes: None,
            keep_unknown: false,
            unchecked: false,
            acting: None,
            depth: 0,
            fault: None,
        }
    }

    /// Plans a statement that reads or writes rows.
    pub(crate) fn plan(mut self, statement: &ast::Statement) -> Result<Plan> {
        let main = match statement {
            ast::Statement::Query(query) => self.top_query(query)?,
            ast::Statement::Insert(insert) => Main::Modify(self.insert(insert)?),
            ast::Statement::Update(update) => Main::Modify(self.update(update)?),
            ast::Statement::Delete(delete) => Main::Modify(self.delete(delete)?),
            other => return unsupported(statement_name(other)),
        };
        let columns = match &main {
            Main::Query(q) => Some(q.columns.clone()),
            Main::Modify(m) => m.returning().map(|r| r.columns.clone()),
        };
        let params = self.settled_params()?;
        Ok(Plan {
            units: self.units,
            slots: self.slots,
            main,
            needed: self.needed,
            relations: self.relations,
            columns,
            writes: self.writes,
            params,
            fault: self.fault,
        })
    }

    fn settled_params(&self) -> Result<Vec<Type>> {
        self.params
            .iter()
            .enumerate()
            .map(|(i, p)| match p {
                Some(Type::Unknown) | None => fail(
                    code::INDETERMINATE_DATATYPE,
                    format!("could not determine data type of parameter ${}", i + 1),
                ),
                Some(ty) => Ok(*ty),
            })
            .collect()
    }

    fn top_query(&mut self, query: &ast::Query) -> Result<Main> {
        // WITH ... INSERT parses as a query whose body is the statement.
        if let ast::SetExpr::Insert(s) | ast::SetExpr::Update(s) | ast::SetExpr::Delete(s) = &*query.body {
            let pushed = self.push_ctes(query.with.as_ref())?;
            let main = match s {
                ast::Statement::Insert(insert) => self.insert(insert)?,
                ast::Statement::Update(update) => self.update(update)?,
                ast::Statement::Delete(delete) => self.delete(delete)?,
                other => return unsupported(statement_name(other)),
            };
            self.pop_ctes(pushed);
            return Ok(Main::Modify(main));
        }
        Ok(Main::Query(self.query(query, None)?))
    }

    /// Binds a standalone expression over a table's row: a default, a check, an index key.
    pub(crate) fn table_expr(&mut self, table: &Table, e: &ast::Expr, clause: &'static str) -> Result<Typed> {
        let mut scope = Scope::new(clause);
        scope.push(Rel::of_table(&Arc::new(table.clone()), &table.name, 0));
        self.scopes.push(scope);
        let bound = self.expr(e);
        self.scopes.pop();
        let bound = bound?;
        if bound.expr.any(&|e| matches!(e, Expr::Sub(_))) {
            return fail(
                code::FEATURE_NOT_SUPPORTED,
                format!("cannot use subquery in {clause}"),
            );
        }
        Ok(bound)
    }

    /// Binds a policy's condition only to see that it can be.
    pub(crate) fn policy_expr(&mut self, table: &Table, e: &ast::Expr) -> Result<()> {
        let mut scope = Scope::new("policy expressions");
        scope.push(Rel::of_table(&Arc::new(table.clone()), &table.name, 0));
        self.scopes.push(scope);
        let bound = self.boolean(e, "POLICY");
        self.scopes.pop();
        bound.map(|_| ())
    }

    /// Binds an expression that reads no row.
    pub(crate) fn constant_expr(&mut self, e: &ast::Expr, clause: &'static str) -> Result<Typed> {
        self.scopes.push(Scope::new(clause));
        let bound = self.expr(e);
        self.scopes.pop();
        bound
    }

    fn new_slot(&mut self) -> usize {
        self.slots += 1;
        self.slots - 1
    }

    fn need(&mut self, oid: Oid, rights: Privilege, columns: Vec<String>) {
        let role = self.acting.clone();
        self.needed.push(Needed {
            oid,
            rights,
            columns,
            role,
        });
    }

    fn lock_relation(&mut self, oid: Oid, mode: Mode) {
        match self.relations.iter_mut().find(|(have, _)| *have == oid) {
            Some((_, held)) => *held = (*held).max(mode),
            None => self.relations.push((oid, mode)),
        }
    }

    /// Converts an expression to a type, or fails as PostgreSQL does.
    pub(crate) fn coerce(
        &mut self,
        typed: Typed,
        ty: Type,
        typmod: i32,
        context: CastContext,
    ) -> Result<Typed> {
        if typed.ty == ty && (typmod < 0 || typed.typmod == typmod) {
            return Ok(typed);
        }
        if typed.ty == Type::Unknown {
            match typed.expr {
                Expr::Param(n) if self.params[n].is_none() => {
                    self.params[n] = Some(ty);
                    let cast = if typmod >= 0 {
                        Expr::Cast(Box::new(Expr::Param(n)), ty, ty, typmod, context)
                    } else {
                        Expr::Param(n)
                    };
                    return Ok(Typed {
                        expr: cast,
                        ty,
                        typmod,
                    });
                }
                Expr::Param(n) => {
                    let known = self.params[n].unwrap_or(Type::Text);
                    return self.coerce(Typed::new(Expr::Param(n), known), ty, typmod, context);
                }
                Expr::Const(Value::Null) => {
                    return Ok(Typed {
                        expr: Expr::Const(Value::Null),
                        ty,
                        typmod,
                    });
                }
                Expr::Const(Value::Text(s)) => {
                    let value = self.literal(&s, ty, typmod, context)?;
                    return Ok(Typed {
                        expr: Expr::Const(value),
                        ty,
                        typmod,
                    });
                }
                // An array of unknown literals, a CASE of them and so on end up as text.
                other => {
                    let text = Typed::new(other, Type::Text);
                    return self.coerce(text, ty, typmod, CastContext::Explicit);
                }
            }
        }
        let array_of_unknown = typed.ty == Type::UnknownArray;
        if !array_of_unknown && !crate::aws::aurora::types::castable(typed.ty, ty, context) {
            let message = format!("cannot cast type {} to {}", typed.ty.name(), ty.name());
            return fail(code::CANNOT_COERCE, message);
        }
        // A cast of a constant is done once, unless it could change with the session.
        if let Expr::Const(v) = &typed.expr
            && !ty.is_oid()
            && !typed.ty.is_oid()
            && ty.elem().is_none()
        {
            let value =
                crate::aws::aurora::types::cast(v.clone(), typed.ty, ty, typmod, context, self.settings.now)?;
            return Ok(Typed {
                expr: Expr::Const(value),
                ty,
                typmod,
            });
        }
        let expr = Expr::Cast(Box::new(typed.expr), typed.ty, ty, typmod, context);
        Ok(Typed { expr, ty, typmod })
    }

    fn literal(&self, s: &str, ty: Type, typmod: i32, context: CastContext) -> Result<Value> {
        match ty {
            Type::Regclass if s.parse::<u32>().is_err() => Ok(Value::Oid(
                self.regclass(s).ok_or_else(|| undefined_table(None, s))?,
            )),
            Type::Regnamespace | Type::Regrole if s.parse::<u32>().is_err() => Ok(Value::Oid(
                crate::aws::aurora::catalog::system::reg_oid(self.catalog, s, ty)?,
            )),
            Type::Regtype if s.parse::<u32>().is_err() => Ok(Value::Oid(types::named(s)?.oid())),
            _ => {
                let value = crate::aws::aurora::types::decode_text(s, ty, -1, self.settings.now)?;
                crate::aws::aurora::types::apply_typmod(value, ty, typmod, context)
            }
        }
    }

    fn regclass(&self, name: &str) -> Option<Oid> {
        crate::aws::aurora::catalog::system::regclass(self.catalog, self.settings.search_path, name)
    }

    /// The common type of several expressions, as UNION, CASE and COALESCE pick it.
    fn common_type(&self, items: &[Typed], construct: &str) -> Result<Type> {
        let mut chosen = Type::Unknown;
        for item in items {
            let ty = item.ty;
            if ty == Type::Unknown || ty == chosen {
                continue;
            }
            if chosen == Type::Unknown {
                chosen = ty;
            } else if crate::aws::aurora::types::castable(ty, chosen, CastContext::Implicit)
                && !(chosen.is_number() && ty.number_rank() > chosen.number_rank())
            {
            } else if crate::aws::aurora::types::castable(chosen, ty, CastContext::Implicit) {
                chosen = ty;
            } else {
                return fail(
                    code::DATATYPE_MISMATCH,
                    format!(
                        "{construct} types {} and {} cannot be matched",
                        chosen.name(),
                        ty.name()
                    ),
                );
            }
        }
        Ok(if chosen == Type::Unknown {
            Type::Text
        } else {
            chosen
        })
    }

    fn unify(&mut self, items: Vec<Typed>, construct: &str) -> Result<(Vec<Expr>, Type)> {
        let ty = self.common_type(&items, construct)?;
        let exprs = items
            .into_iter()
            .map(|t| self.coerce(t, ty, -1, CastContext::Implicit).map(|t| t.expr))
            .collect::<Result<_>>()?;
        Ok((exprs, ty))
    }

    /// A condition.
    fn boolean(&mut self, e: &ast::Expr, clause: &str) -> Result<Expr> {
        let typed = self.expr(e)?;
        self.as_boolean(typed, clause)
    }

    pub(crate) fn as_boolean(&mut self, typed: Typed, clause: &str) -> Result<Expr> {
        if !matches!(typed.ty, Type::Bool | Type::Unknown) {
            return fail(
                code::DATATYPE_MISMATCH,
                format!(
                    "argument of {clause} must be type boolean, not type {}",
                    typed.ty.name()
                ),
            );
        }
        Ok(self.coerce(typed, Type::Bool, -1, CastContext::Implicit)?.expr)
    }
}

impl super::plan::Modify {
    /// RETURNING.
    pub(crate) fn returning(&self) -> Option<&super::plan::Returning> {
        match self {
            super::plan::Modify::Insert(i) => i.returning.as_ref(),
            super::plan::Modify::Update(u) => u.returning.as_ref(),
            super::plan::Modify::Delete(d) => d.returning.as_ref(),
        }
    }
}

/// The command's name, for messages.
pub(crate) fn statement_name(s: &ast::Statement) -> String {
    let text = s.to_string();
    let mut words = text
        .split_whitespace()
        .filter(|w| w.chars().all(|c| c.is_ascii_alphabetic()));
    let first = words.next().unwrap_or("statement").to_uppercase();
    match first.as_str() {
        "CREATE" | "ALTER" | "DROP" => format!("{first} {}", words.next().unwrap_or("").to_uppercase()),
        _ => first,
    }
}

/// Splits a condition at its ANDs.
fn conjuncts(e: Expr, out: &mut Vec<Expr>) {
    match e {
        Expr::And(parts) => parts.into_iter().for_each(|p| conjuncts(p, out)),
        Expr::Const(Value::Bool(true)) => {}
        other => out.push(other),
    }
}

impl Query {
    /// Number of visible columns.
    pub(crate) fn visible(&self) -> usize {
        self.columns.len()
    }
}
