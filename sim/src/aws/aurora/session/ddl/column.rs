//! Column definitions of CREATE TABLE and ADD COLUMN.

use sqlparser::ast::{self, ColumnOption, TableConstraint};

use crate::aws::aurora::catalog::{Catalog, Column, Identity, Oid, Table};
use crate::aws::aurora::error::{Result, code, fail, unsupported};
use crate::aws::aurora::func;
use crate::aws::aurora::session::Session;
use crate::aws::aurora::sql::bind::{Binder, column_type, fold};
use crate::aws::aurora::sql::command::SequenceOption;
use crate::aws::aurora::sql::expr::Expr;
use crate::aws::aurora::sql::parse;
use crate::aws::aurora::sql::rewrite;
use crate::aws::aurora::types::{CastContext, Type, Value};

/// A column and what its definition asks for besides.
pub(super) struct Defined {
    pub column: Column,
    /// Constraints written with the column.
    pub constraints: Vec<TableConstraint>,
    /// The sequence made for it.
    pub sequence: Option<Oid>,
}

impl Session {
    /// A DEFAULT, converted to the column's type.
    pub(super) fn default_expr(
        &mut self,
        catalog: &Catalog,
        e: &ast::Expr,
        ty: Type,
        typmod: i32,
    ) -> Result<Expr> {
        self.with_settings(|s| -> Result<Expr> {
            let mut binder = Binder::new(catalog, s, &[]);
            let typed = binder.constant_expr(e, "DEFAULT expressions")?;
            let from = typed.ty;
            match binder.coerce(typed, ty, -1, CastContext::Assignment) {
                Ok(typed) => Ok(binder.coerce(typed, ty, typmod, CastContext::Assignment)?.expr),
                Err(e) if e.code == code::CANNOT_COERCE => fail(
                    code::DATATYPE_MISMATCH,
                    format!(
                        "column is of type {} but default expression is of type {}",
                        ty.name(),
                        from.name()
                    ),
                ),
                Err(e) => Err(e),
            }
        })
    }

    /// Binds one definition. A generated column is completed by `define_generated`, once all columns are there.
    pub(super) fn define_column(
        &mut self,
        next: &mut Catalog,
        table: &Table,
        def: &ast::ColumnDef,
    ) -> Result<Defined> {
        let (ty, typmod, serial) = column_type(&def.data_type)?;
        let name = fold(&def.name);
        if table.column(&name).is_some() {
            return fail(
                code::DUPLICATE_COLUMN,
                format!("column \"{name}\" specified more than once"),
            );
        }
        if SYSTEM_COLUMNS.contains(&name.as_str()) {
            return fail(
                code::DUPLICATE_COLUMN,
                format!("column name \"{name}\" conflicts with a system column name"),
            );
        }
        if matches!(ty, Type::Unknown | Type::Record | Type::Void) {
            return fail(
                code::INVALID_TABLE_DEFINITION,
                format!("column \"{name}\" has pseudo-type {}", ty.name()),
            );
        }
        let mut column = Column::new(name.clone(), ty, typmod);
        column.not_null = serial;
        let mut constraints = Vec::new();
        let mut sequence = serial.then(Vec::new);
        let mut nullable = false;
        for option in &def.options {
            let named = option.name.clone();
            match &option.option {
                ColumnOption::Null => nullable = true,
                ColumnOption::NotNull => column.not_null = true,
                ColumnOption::Default(ast::Expr::Identifier(marker))
                    if rewrite::marked(&marker.value).is_some() =>
                {
                    // The options of an identity, put aside by the parser.
                    sequence = Some(parse::sequence_options(
                        rewrite::marked(&marker.value).unwrap_or_default(),
                    )?);
                }
                ColumnOption::Default(e) => {
                    if column.identity.is_some() || serial || column.default.is_some() {
                        return fail(
                            code::SYNTAX_ERROR,
                            format!("multiple default values specified for column \"{name}\""),
                        );
                    }
                    let expr = self.default_expr(next, e, ty, typmod)?;
                    column.default = Some((expr, e.to_string()));
                }
                ColumnOption::Generated {
                    generated_as,
                    generation_expr: None,
                    sequence_options,
                    ..
                } if sequence_options.as_ref().is_none_or(Vec::is_empty) => {
                    if column.default.is_some() || serial {
                        return fail(
                            code::SYNTAX_ERROR,
                            format!("both default and identity specified for column \"{name}\""),
                        );
                    }
                    if !ty.is_integer() {
                        return fail(
                            code::INVALID_PARAMETER_VALUE,
                            "identity column type must be smallint, integer, or bigint",
                        );
                    }
                    column.identity = Some(match generated_as {
                        ast::GeneratedAs::Always => Identity::Always,
                        _ => Identity::ByDefault,
                    });
                    column.not_null = true;
                    sequence = Some(Vec::new());
                }
                ColumnOption::Generated {
                    generation_expr: Some(_),
                    generation_expr_mode: Some(ast::GeneratedExpressionMode::Stored),
                    ..
                } => {}
                ColumnOption::PrimaryKey(k) => {
                    let mut k = k.clone();
                    k.name = k.name.or(named);
                    constraints.push(TableConstraint::PrimaryKey(k));
                }
                ColumnOption::Unique(k) => {
                    let mut k = k.clone();
                    k.name = k.name.or(named);
                    constraints.push(TableConstraint::Unique(k));
                }
                ColumnOption::Check(k) => {
                    let mut k = k.clone();
                    k.name = k.name.or(named);
                    constraints.push(TableConstraint::Check(k));
                }
                ColumnOption::ForeignKey(k) => {
                    let mut k = k.clone();
                    k.name = k.name.or(named);
                    constraints.push(TableConstraint::ForeignKey(k));
                }
                ColumnOption::Collation(name) if is_c_collation(name) => {}
                other => return unsupported(format_args!("column option {other}")),
            }
        }
        if nullable && column.not_null {
            return fail(
                code::SYNTAX_ERROR,
                format!("conflicting NULL/NOT NULL declarations for column \"{name}\""),
            );
        }
        let mut made = None;
        if let Some(options) = sequence {
            made = Some(self.column_sequence(next, table, &mut column, &options)?);
        }
        Ok(Defined {
            column,
            constraints,
            sequence: made,
        })
    }

    /// A sequence owned by a column that is about to be added, and the default that draws from it.
    pub(super) fn column_sequence(
        &mut self,
        next: &mut Catalog,
        table: &Table,
        column: &mut Column,
        options: &[SequenceOption],
    ) -> Result<Oid> {
        let name = super::choose_name(&table.name, Some(&column.name), "seq", |n| {
            next.lookup(&table.schema, n).is_some()
        });
        let mut sequence = self.new_sequence(&table.schema, &name, column.ty);
        self.apply_sequence_options(&mut sequence, options, true)?;
        sequence.owned_by = Some((table.oid, table.columns.len()));
        let oid = sequence.oid;
        next.put_sequence(sequence);
        let Some(draw) = func::find("nextval").first().copied() else {
            return unsupported("sequences");
        };
        let call = Expr::Call(draw, vec![Expr::Const(Value::Oid(oid))]);
        let call = if column.ty == Type::Int8 {
            call
        } else {
            Expr::Cast(Box::new(call), Type::Int8, column.ty, -1, CastContext::Assignment)
        };
        column.default = Some((call, format!("nextval('{name}'::regclass)")));
        Ok(oid)
    }

    /// Binds GENERATED ALWAYS AS (...) STORED of the columns that these definitions made.
    pub(super) fn define_generated(
        &mut self,
        next: &Catalog,
        table: &mut Table,
        defs: &[ast::ColumnDef],
    ) -> Result<()> {
        for def in defs {
            for option in &def.options {
                let ColumnOption::Generated {
                    generation_expr: Some(e),
                    ..
                } = &option.option
                else {
                    continue;
                };
                let Some(at) = table.column(&fold(&def.name)) else {
                    continue;
                };
                let (ty, typmod) = (table.columns[at].ty, table.columns[at].typmod);
                let expr = self.with_settings(|s| -> Result<Expr> {
                    let mut binder = Binder::new(next, s, &[]);
                    let typed = binder.table_expr(table, e, "column generation expressions")?;
                    Ok(binder.coerce(typed, ty, typmod, CastContext::Assignment)?.expr)
                })?;
                let generated =
                    |place: usize| table.columns.get(place).is_some_and(|c| c.generated.is_some());
                if expr.any(&|e| matches!(e, Expr::Column(c) if *c == at || generated(*c))) {
                    return fail(
                        code::INVALID_OBJECT_DEFINITION,
                        format!(
                            "cannot use generated column \"{}\" in column generation expression",
                            def.name
                        ),
                    );
                }
                if func::volatile(&expr) {
                    return fail(
                        code::INVALID_OBJECT_DEFINITION,
                        "generation expression is not immutable",
                    );
                }
                table.columns[at].generated = Some(expr);
                table.columns[at].default = Some((Expr::Const(Value::Null), e.to_string()));
            }
        }
        Ok(())
    }
}

const SYSTEM_COLUMNS: [&str; 6] = ["tableoid", "cmax", "xmax", "cmin", "xmin", "ctid"];

fn is_c_collation(name: &ast::ObjectName) -> bool {
    let last = name.0.last().and_then(|p| p.as_ident()).map(|i| i.value.as_str());
    matches!(last, Some("C" | "POSIX" | "default"))
}
