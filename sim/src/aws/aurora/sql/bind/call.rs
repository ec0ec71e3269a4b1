//! Function calls: overload resolution, aggregates, window functions.

use sqlparser::ast::{self, FunctionArg, FunctionArgExpr, FunctionArguments};

use super::super::expr::Expr;
use super::aggregate::aggregate_kind;
use super::{Binder, Typed, fold, qualified};
use crate::aws::aurora::error::{Result, code, fail, unsupported};
use crate::aws::aurora::func::{self, Builtin, any, any_array};
use crate::aws::aurora::types::{CastContext, Type, Value, castable};

impl Binder<'_> {
    pub(super) fn function(&mut self, f: &ast::Function) -> Result<Typed> {
        let (schema, name) = qualified(&f.name)?;
        if schema.as_deref().is_some_and(|s| s != "pg_catalog") {
            let known = schema.is_some_and(|s| self.catalog.schemas.contains_key(&s));
            return fail(
                if known {
                    code::UNDEFINED_FUNCTION
                } else {
                    code::INVALID_SCHEMA_NAME
                },
                format!("function {}() does not exist", f.name),
            );
        }
        if !matches!(f.parameters, FunctionArguments::None) || f.null_treatment.is_some() {
            return unsupported(format_args!("function call {f}"));
        }
        if !f.within_group.is_empty() {
            return unsupported("WITHIN GROUP");
        }
        let list = match &f.args {
            FunctionArguments::None => None,
            FunctionArguments::List(list) => Some(list),
            FunctionArguments::Subquery(query) if name == "array" => return self.array_subquery(query),
            FunctionArguments::Subquery(_) => return unsupported(format_args!("function call {f}")),
        };
        if let Some(kind) = aggregate_kind(&name) {
            return self.aggregate(kind, &name, f, list);
        }
        if f.over.is_some() {
            return self.window(&name, f, list);
        }
        if f.filter.is_some() {
            return fail(
                code::WRONG_OBJECT_TYPE,
                format!("FILTER specified, but {name} is not an aggregate function"),
            );
        }
        if let Some(typed) = self.whole_row_json(&name, list)? {
            return Ok(typed);
        }
        let args = match list {
            Some(list) => self.plain_args(&name, list)?,
            None => Vec::new(),
        };
        self.call(&name, args)
    }

    /// A row of FROM turned into JSON: an object of its columns.
    fn whole_row_json(
        &mut self,
        name: &str,
        list: Option<&ast::FunctionArgumentList>,
    ) -> Result<Option<Typed>> {
        let (function, ty) = match name {
            "to_jsonb" => ("jsonb_build_object", Type::Jsonb),
            "to_json" | "row_to_json" => ("json_row", Type::Json),
            _ => return Ok(None),
        };
        let Some([FunctionArg::Unnamed(FunctionArgExpr::Expr(ast::Expr::Identifier(ident)))]) =
            list.map(|l| l.args.as_slice())
        else {
            return Ok(None);
        };
        let Some(args) = self.row_fields(&fold(ident))? else {
            return Ok(None);
        };
        let typed = self.registered(function, args)?;
        Ok(Some(Typed { ty, ..typed }))
    }

    /// Names and values of a table of the innermost FROM, unless a column has its name.
    fn row_fields(&mut self, alias: &str) -> Result<Option<Vec<Typed>>> {
        let Some(scope) = self.scopes.last() else {
            return Ok(None);
        };
        if scope.find(alias)?.is_some() {
            return Ok(None);
        }
        let Some(rel) = scope.rel(None, alias) else {
            return Ok(None);
        };
        let mut out = Vec::new();
        for c in rel.columns.clone() {
            out.push(Typed::new(Expr::Const(Value::text(&c.name)), Type::Text));
            out.push(Typed::new(Expr::Column(c.place), c.ty));
            self.read_column(&c);
        }
        Ok(Some(out))
    }

    pub(super) fn plain_args(&mut self, name: &str, list: &ast::FunctionArgumentList) -> Result<Vec<Typed>> {
        if list.duplicate_treatment.is_some() || !list.clauses.is_empty() {
            return unsupported(format_args!(
                "DISTINCT, ORDER BY or another clause in the arguments of {name}"
            ));
        }
        let mut args = Vec::with_capacity(list.args.len());
        for arg in &list.args {
            match arg {
                FunctionArg::Unnamed(FunctionArgExpr::Expr(e)) => args.push(self.expr(e)?),
                FunctionArg::Named {
                    name: ident,
                    arg: FunctionArgExpr::Expr(e),
                    ..
                } if name == "make_interval" => {
                    args.push(Typed::new(Expr::Const(Value::text(fold(ident))), Type::Text));
                    args.push(self.expr(e)?);
                }
                FunctionArg::ExprNamed {
                    name: ast::Expr::Identifier(ident),
                    arg: FunctionArgExpr::Expr(e),
                    ..
                } if name == "make_interval" => {
                    args.push(Typed::new(Expr::Const(Value::text(fold(ident))), Type::Text));
                    args.push(self.expr(e)?);
                }
                other => return unsupported(format_args!("function argument {other}")),
            }
        }
        Ok(args)
    }

    /// Calls a function or operator of the registry, or one of the few that need the binder.
    pub(super) fn call(&mut self, name: &str, args: Vec<Typed>) -> Result<Typed> {
        match (name, args.len()) {
            ("coalesce", 1..) => {
                let (args, ty) = self.unify(args, "COALESCE")?;
                return Ok(Typed::new(Expr::Coalesce(args), ty));
            }
            ("greatest" | "least", 1..) => {
                let (args, ty) = self.unify(args, if name == "least" { "LEAST" } else { "GREATEST" })?;
                return Ok(Typed::new(Expr::Extreme(name == "greatest", args), ty));
            }
            ("nullif", 2) => {
                let ty = args[0].ty;
                let (mut pair, common) = self.unify(args, "NULLIF")?;
                let b = pair.pop().unwrap_or(Expr::Const(Value::Null));
                let a = pair.pop().unwrap_or(Expr::Const(Value::Null));
                let ty = if ty == Type::Unknown {
                    common
                } else {
                    common.max(ty).min(common)
                };
                return Ok(Typed::new(Expr::NullIf(Box::new(a), Box::new(b)), ty));
            }
            ("pg_typeof", 1) => {
                return Ok(Typed::new(
                    Expr::Const(Value::Oid(args[0].ty.oid())),
                    Type::Regtype,
                ));
            }
            ("row", _) => {
                let parts = args
                    .into_iter()
                    .map(|a| self.settle(a).map(|a| a.expr))
                    .collect::<Result<_>>()?;
                return Ok(Typed::new(Expr::Row(parts), Type::Record));
            }
            ("current_user" | "current_role" | "user" | "session_user" | "current_catalog", 0) => {
                let function = match name {
                    "current_catalog" => "current_database",
                    other => other,
                };
                return self.registered(function, args);
            }
            (
                "array_append" | "array_prepend" | "array_remove" | "array_position" | "array_cat" | "||",
                2,
            ) => {
                if let Some(typed) = self.array_call(name, &args)? {
                    return Ok(typed);
                }
            }
            ("&&" | "@>" | "<@", 2) if args.iter().any(|a| a.ty.elem().is_some()) => {
                let (parts, _) = self.unify(args, name)?;
                let function = match name {
                    "&&" => "array_overlap",
                    "@>" => "array_contains",
                    _ => "array_contained",
                };
                let args = parts
                    .into_iter()
                    .map(|e| Typed::new(e, Type::TextArray))
                    .collect();
                return self.registered(function, args);
            }
            (name, _) if super::set::returns_set(name) => return self.set_in_targets(name, args),
            ("row_number" | "rank" | "dense_rank" | "lag" | "lead" | "first_value" | "last_value", _) => {
                return fail(
                    code::WRONG_OBJECT_TYPE,
                    format!("window function {name} requires an OVER clause"),
                );
            }
            ("+" | "-" | "*" | "/", 2) if args.iter().all(|a| a.ty == Type::Unknown) => {
                return fail("42725", format!("operator is not unique: unknown {name} unknown"));
            }
            (
                "int2" | "int4" | "int8" | "float4" | "float8" | "numeric" | "text" | "varchar" | "bool"
                | "date",
                1,
            ) => {
                if let (Some(arg), Ok(ty)) = (args.first().cloned(), super::named(name)) {
                    return self.coerce(arg, ty, -1, CastContext::Explicit);
                }
            }
            _ => {}
        }
        self.registered(name, args)
    }

    /// array || element and its kin, whose types hang together.
    fn array_call(&mut self, name: &str, args: &[Typed]) -> Result<Option<Typed>> {
        let (l, r) = (args[0].clone(), args[1].clone());
        let (l_elem, r_elem) = (l.ty.elem(), r.ty.elem());
        let elem = match (name, l_elem, r_elem) {
            ("array_prepend", _, Some(e)) => e,
            ("||", None, Some(e)) => e,
            (_, Some(e), _) => e,
            _ => return Ok(None),
        };
        let Some(array) = elem.array() else {
            return Ok(None);
        };
        let both = l_elem.is_some() && (r_elem.is_some() || (name == "||" && r.ty == Type::Unknown));
        let (function, l_ty, r_ty) = match name {
            "array_cat" => ("array_cat", array, array),
            "||" if both => ("array_cat", array, array),
            "||" if l_elem.is_some() => ("array_append", array, elem),
            "||" | "array_prepend" => ("array_prepend", elem, array),
            other => (other, array, elem),
        };
        let l = self.coerce(l, l_ty, -1, CastContext::Implicit)?;
        let r = self.coerce(r, r_ty, -1, CastContext::Implicit)?;
        let Some(builtin) = func::find(function).first().copied() else {
            return Ok(None);
        };
        let ty = if function == "array_position" {
            Type::Int4
        } else {
            array
        };
        Ok(Some(Typed::new(Expr::Call(builtin, vec![l.expr, r.expr]), ty)))
    }

    /// Overload resolution: exact matches count, unknown literals fit anything, implicit casts fill the rest.
    fn registered(&mut self, name: &str, args: Vec<Typed>) -> Result<Typed> {
        let candidates = func::find(name);
        let mut best: Option<(&'static Builtin, i32)> = None;
        for candidate in candidates {
            if let Some(score) = score(candidate, &args)
                && best.is_none_or(|(_, have)| score > have)
            {
                best = Some((candidate, score));
            }
        }
        let Some((builtin, _)) = best else {
            let types: Vec<&str> = args.iter().map(|a| a.ty.name()).collect();
            let is_operator = !name.starts_with(|c: char| c.is_alphabetic() || c == '_');
            let message = if is_operator && types.len() == 2 {
                format!("operator does not exist: {} {name} {}", types[0], types[1])
            } else {
                format!("function {name}({}) does not exist", types.join(", "))
            };
            let given: Vec<Type> = args.iter().map(|a| a.ty).collect();
            if !is_operator && func::known_to_postgres(name, &given) {
                return unsupported(format_args!("function {name}({})", types.join(", ")));
            }
            return Err(crate::aws::aurora::error::Error::new(code::UNDEFINED_FUNCTION, message).hint(
                "No function matches the given name and argument types. You might need to add explicit type casts.",
            ));
        };
        let mut exprs = Vec::with_capacity(args.len());
        let mut any_type = Type::Text;
        for (i, arg) in args.into_iter().enumerate() {
            let wanted = builtin.arg(i);
            let arg = if wanted == any() || wanted == any_array() {
                if wanted == any_array() && arg.ty == Type::Unknown {
                    self.coerce(arg, Type::TextArray, -1, CastContext::Implicit)?
                } else {
                    self.settle(arg)?
                }
            } else {
                self.coerce(arg, wanted, -1, CastContext::Implicit)?
            };
            if i == 0 {
                any_type = arg.ty;
            }
            exprs.push(arg.expr);
        }
        let ty = match builtin.ret {
            t if t == any() => any_type.elem().unwrap_or(any_type),
            t if t == any_array() => any_type,
            t => t,
        };
        Ok(Typed::new(Expr::Call(builtin, exprs), ty))
    }
}

/// How well arguments fit; None when they do not.
fn score(candidate: &Builtin, args: &[Typed]) -> Option<i32> {
    if !candidate.takes(args.len()) {
        return None;
    }
    let known = args.iter().map(|a| a.ty).find(|t| *t != Type::Unknown);
    let mut score = 0;
    for (i, arg) in args.iter().enumerate() {
        let wanted = candidate.arg(i);
        score += if arg.ty == wanted {
            100
        } else if wanted == any() {
            1
        } else if wanted == any_array() {
            if arg.ty.elem().is_some() || arg.ty == Type::Unknown {
                50
            } else {
                return None;
            }
        } else if arg.ty == Type::Unknown {
            // A literal takes the other argument's type if it can, else text, as PostgreSQL prefers.
            if Some(wanted) == known {
                60
            } else if wanted == Type::Text {
                40
            } else if matches!(wanted, Type::Float8 | Type::Timestamptz | Type::Interval) {
                // The preferred type of its category.
                20
            } else {
                10
            }
        } else if castable(arg.ty, wanted, CastContext::Implicit) {
            match (arg.ty.number_rank(), wanted.number_rank()) {
                // An integer without an overload of its own goes to the preferred type, not to numeric.
                (Some(_), Some(_)) if wanted == Type::Float8 && arg.ty.is_integer() => 60,
                (Some(a), Some(b)) => 50 - i32::from(b - a),
                _ if wanted == Type::Text || wanted == Type::Timestamptz => 51,
                _ => 45,
            }
        } else {
            return None;
        };
    }
    Some(score)
}
