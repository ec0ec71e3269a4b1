//! PRIMARY KEY, UNIQUE, CHECK and FOREIGN KEY: defining them, and holding rows already there to them.

use sqlparser::ast::{self, ConstraintCharacteristics, TableConstraint};

use super::{choose_name, exists, holds_nulls};
use crate::aws::aurora::catalog::{
    Catalog, Check, ForeignKey, IndexDef, KeyPart, Object, Privilege, RefAction, Table, Touched,
};
use crate::aws::aurora::error::{Error, Result, code, fail, unsupported};
use crate::aws::aurora::exec::{Ctx, Env, eval};
use crate::aws::aurora::session::Session;
use crate::aws::aurora::sql::bind::{Binder, fold, qualified, resolve};
use crate::aws::aurora::sql::expr::Expr;
use crate::aws::aurora::types::{Key, Type, Value};

fn in_key(table: &Table, name: &str) -> Result<usize> {
    table.column(name).ok_or_else(|| {
        Error::new(
            code::UNDEFINED_COLUMN,
            format!("column \"{name}\" named in key does not exist"),
        )
    })
}

fn index_columns(columns: &[ast::IndexColumn], own: &[String]) -> Result<Vec<String>> {
    if columns.is_empty() {
        return Ok(own.to_vec());
    }
    columns
        .iter()
        .map(|c| match &c.column.expr {
            ast::Expr::Identifier(i) if c.operator_class.is_none() => Ok(fold(i)),
            other => unsupported(format_args!("constraint on {other}")),
        })
        .collect()
}

/// Refuses a deferrable key: keys are checked row by row here.
fn immediate(c: Option<&ConstraintCharacteristics>, construct: &str) -> Result<()> {
    match c {
        Some(c) if c.deferrable == Some(true) || c.enforced.is_some() => {
            unsupported(format_args!("DEFERRABLE {construct}"))
        }
        _ => Ok(()),
    }
}

fn action(a: Option<ast::ReferentialAction>) -> RefAction {
    match a {
        None | Some(ast::ReferentialAction::NoAction) => RefAction::NoAction,
        Some(ast::ReferentialAction::Restrict) => RefAction::Restrict,
        Some(ast::ReferentialAction::Cascade) => RefAction::Cascade,
        Some(ast::ReferentialAction::SetNull) => RefAction::SetNull,
        Some(ast::ReferentialAction::SetDefault) => RefAction::SetDefault,
    }
}

/// Whether `=` exists between a foreign key's column and the column it refers to.
fn comparable(a: Type, b: Type) -> bool {
    let date = |t| matches!(t, Type::Date | Type::Timestamp | Type::Timestamptz);
    a == b || (a.is_number() && b.is_number()) || (a.is_string() && b.is_string()) || (date(a) && date(b))
}

impl Session {
    /// Adds a constraint to a table that is not yet in the catalog `next`. `own` is the column it was written with.
    pub(super) fn add_constraint(
        &mut self,
        next: &mut Catalog,
        table: &mut Table,
        constraint: &TableConstraint,
        own: &[String],
        touched: &mut Vec<Touched>,
    ) -> Result<()> {
        match constraint {
            TableConstraint::PrimaryKey(k) => {
                immediate(k.characteristics.as_ref(), "PRIMARY KEY")?;
                if !k.include.is_empty() || !k.index_options.is_empty() {
                    return unsupported("PRIMARY KEY with INCLUDE");
                }
                let columns = index_columns(&k.columns, own)?;
                self.add_key(next, table, &columns, k.name.as_ref(), true, false)
            }
            TableConstraint::Unique(k) => {
                immediate(k.characteristics.as_ref(), "UNIQUE")?;
                if !k.include.is_empty() || !k.index_options.is_empty() {
                    return unsupported("UNIQUE with INCLUDE");
                }
                let columns = index_columns(&k.columns, own)?;
                let nulls_equal = matches!(k.nulls_distinct, ast::NullsDistinctOption::NotDistinct);
                self.add_key(next, table, &columns, k.name.as_ref(), false, nulls_equal)
            }
            TableConstraint::Check(k) => {
                if k.no_inherit || k.enforced.is_some() {
                    return unsupported("CHECK with NO INHERIT or ENFORCED");
                }
                self.add_check(next, table, k)
            }
            TableConstraint::ForeignKey(k) => self.add_foreign_key(next, table, k, own, touched),
            other => unsupported(format_args!("constraint {other}")),
        }
    }

    fn free_constraint_name(&self, table: &Table, name: &str) -> Result<()> {
        if table.constraint_names().any(|n| n == name) {
            return fail(
                code::DUPLICATE_OBJECT,
                format!(
                    "constraint \"{name}\" for relation \"{}\" already exists",
                    table.name
                ),
            );
        }
        Ok(())
    }

    fn add_key(
        &mut self,
        next: &Catalog,
        table: &mut Table,
        columns: &[String],
        name: Option<&ast::Ident>,
        primary: bool,
        nulls_equal: bool,
    ) -> Result<()> {
        if primary && table.primary_key().is_some() {
            return fail(
                code::INVALID_TABLE_DEFINITION,
                format!(
                    "multiple primary keys for table \"{}\" are not allowed",
                    table.name
                ),
            );
        }
        let mut parts = Vec::new();
        for column in columns {
            let at = in_key(table, column)?;
            if parts.iter().any(|p| matches!(p, KeyPart::Column(c) if *c == at)) {
                return fail(
                    code::DUPLICATE_COLUMN,
                    format!("column \"{column}\" appears twice in unique constraint"),
                );
            }
            table.columns[at].not_null |= primary;
            parts.push(KeyPart::Column(at));
        }
        let taken = |n: &str| {
            n == table.name
                || next.lookup(&table.schema, n).is_some()
                || table.indexes.iter().any(|i| i.name == n)
                || table.constraint_names().any(|c| c == n)
        };
        let name = match name {
            Some(given) => {
                let given = fold(given);
                if table.indexes.iter().any(|i| i.name == given)
                    || next.lookup(&table.schema, &given).is_some()
                {
                    return Err(exists(&given));
                }
                self.free_constraint_name(table, &given)?;
                given
            }
            None if primary => choose_name(&table.name, None, "pkey", taken),
            None => choose_name(&table.name, Some(&columns.join("_")), "key", taken),
        };
        table.indexes.push(IndexDef {
            oid: self.engine.state().new_oid(),
            name,
            descending: vec![false; parts.len()],
            texts: columns.to_vec(),
            parts,
            unique: true,
            primary,
            constraint: true,
            nulls_equal,
            predicate: None,
        });
        Ok(())
    }

    /// Binds a condition over a table's row.
    pub(super) fn condition(
        &mut self,
        next: &Catalog,
        table: &Table,
        e: &ast::Expr,
        clause: &'static str,
    ) -> Result<Expr> {
        self.with_settings(|s| -> Result<Expr> {
            let mut binder = Binder::new(next, s, &[]);
            let typed = binder.table_expr(table, e, clause)?;
            binder.as_boolean(typed, clause)
        })
    }

    fn add_check(&mut self, next: &Catalog, table: &mut Table, k: &ast::CheckConstraint) -> Result<()> {
        let expr = self.condition(next, table, &k.expr, "check constraints")?;
        let mut used = Vec::new();
        expr.places(&mut used);
        used.sort_unstable();
        used.dedup();
        let column = match used.as_slice() {
            [only] => table.columns.get(*only).map(|c| c.name.clone()),
            _ => None,
        };
        let name = match &k.name {
            Some(given) => {
                let given = fold(given);
                self.free_constraint_name(table, &given)?;
                given
            }
            None => choose_name(&table.name, column.as_deref(), "check", |n| {
                table.constraint_names().any(|c| c == n)
            }),
        };
        table.checks.push(Check {
            name,
            expr,
            text: k.expr.to_string(),
            valid: true,
        });
        Ok(())
    }

    fn add_foreign_key(
        &mut self,
        next: &mut Catalog,
        table: &mut Table,
        k: &ast::ForeignKeyConstraint,
        own: &[String],
        touched: &mut Vec<Touched>,
    ) -> Result<()> {
        if !matches!(
            k.match_kind,
            None | Some(ast::ConstraintReferenceMatchKind::Simple)
        ) {
            return unsupported("FOREIGN KEY with MATCH FULL or PARTIAL");
        }
        if k.characteristics.as_ref().is_some_and(|c| c.enforced.is_some()) {
            return unsupported("FOREIGN KEY with ENFORCED");
        }
        let names: Vec<String> = if k.columns.is_empty() {
            own.to_vec()
        } else {
            k.columns.iter().map(fold).collect()
        };
        let (schema, target_name) = qualified(&k.foreign_table)?;
        let itself = target_name == table.name && schema.as_ref().is_none_or(|s| *s == table.schema);
        let mut target = if itself {
            table.clone()
        } else {
            match resolve(next, &self.local.search_path(), schema.as_deref(), &target_name)? {
                Object::Table(t) => (**t).clone(),
                _ => {
                    return fail(
                        code::WRONG_OBJECT_TYPE,
                        format!("referenced relation \"{target_name}\" is not a table"),
                    );
                }
            }
        };
        if !itself {
            let role = self.local.role();
            let roles = next.member_of(&role);
            let may = next.is_superuser(&role)
                || roles.contains(&target.owner)
                || target.acl.allows(&roles, Privilege::REFERENCES);
            if !may {
                return fail(
                    code::INSUFFICIENT_PRIVILEGE,
                    format!("permission denied for table {target_name}"),
                );
            }
        }
        let columns: Vec<usize> = names.iter().map(|n| in_key(table, n)).collect::<Result<_>>()?;
        let target_columns: Vec<usize> = if k.referred_columns.is_empty() {
            match target.primary_key().and_then(IndexDef::columns) {
                Some(columns) => columns,
                None => {
                    return fail(
                        code::UNDEFINED_OBJECT,
                        format!("there is no primary key for referenced table \"{target_name}\""),
                    );
                }
            }
        } else {
            k.referred_columns
                .iter()
                .map(|n| in_key(&target, &fold(n)))
                .collect::<Result<_>>()?
        };
        if columns.len() != target_columns.len() {
            return fail(
                code::INVALID_FOREIGN_KEY,
                "number of referencing and referenced columns for foreign key disagree",
            );
        }
        let sorted = |mut v: Vec<usize>| {
            v.sort_unstable();
            v
        };
        let wanted = sorted(target_columns.clone());
        let index = target
            .indexes
            .iter()
            .find(|i| i.referable() && i.columns().map(sorted) == Some(wanted.clone()));
        let Some(target_index) = index.map(|i| i.oid) else {
            return fail(
                code::INVALID_FOREIGN_KEY,
                format!(
                    "there is no unique constraint matching given keys for referenced table \"{target_name}\""
                ),
            );
        };
        let taken = |n: &str| table.constraint_names().any(|c| c == n);
        let name = match &k.name {
            Some(given) => {
                let given = fold(given);
                self.free_constraint_name(table, &given)?;
                given
            }
            None => choose_name(&table.name, Some(&names.join("_")), "fkey", taken),
        };
        for (from, to) in columns.iter().zip(&target_columns) {
            let (a, b) = (table.columns[*from].ty, target.columns[*to].ty);
            if !comparable(a, b) {
                return Err(Error::new(
                    code::DATATYPE_MISMATCH,
                    format!("foreign key constraint \"{name}\" cannot be implemented"),
                )
                .detail(format!(
                    "Key columns \"{}\" and \"{}\" are of incompatible types: {} and {}.",
                    table.columns[*from].name,
                    target.columns[*to].name,
                    a.name(),
                    b.name()
                )));
            }
        }
        let characteristics = k.characteristics.as_ref();
        let deferred =
            characteristics.is_some_and(|c| matches!(c.initially, Some(ast::DeferrableInitial::Deferred)));
        table.foreign_keys.push(ForeignKey {
            name,
            columns,
            target: target.oid,
            target_columns,
            target_index,
            on_delete: action(k.on_delete),
            on_update: action(k.on_update),
            deferrable: deferred || characteristics.is_some_and(|c| c.deferrable == Some(true)),
            deferred,
            valid: true,
        });
        if itself {
            table.referenced_by.push(table.oid);
        } else {
            if !target.referenced_by.contains(&table.oid) {
                target.referenced_by.push(table.oid);
            }
            touched.push(Touched::Relation(target.oid));
            next.put_table(target);
        }
        Ok(())
    }

    /// 23514 when a row already there fails a check.
    pub(super) fn hold_to_check(&mut self, table: &Table, check: &Check) -> Result<()> {
        for row in self.rows_now(table) {
            if matches!(
                eval(&Ctx::pure(), &check.expr, &Env::of(&row))?,
                Value::Bool(false)
            ) {
                return Err(Error::new(
                    code::CHECK_VIOLATION,
                    format!(
                        "check constraint \"{}\" of relation \"{}\" is violated by some row",
                        check.name, table.name
                    ),
                )
                .table(&table.schema, &table.name)
                .constraint(&check.name));
            }
        }
        Ok(())
    }

    /// 23503 when a row already there refers to nothing.
    pub(super) fn hold_to_foreign_key(
        &mut self,
        catalog: &Catalog,
        table: &Table,
        fk: &ForeignKey,
    ) -> Result<()> {
        let Some(target) = catalog.table(fk.target) else {
            return Ok(());
        };
        let pick = |row: &[Value], columns: &[usize]| -> Vec<Value> {
            columns
                .iter()
                .map(|c| row.get(*c).cloned().unwrap_or(Value::Null))
                .collect()
        };
        let there: std::collections::BTreeSet<Key> = self
            .rows_now(target)
            .iter()
            .map(|row| Key(pick(row, &fk.target_columns).into()))
            .collect();
        for row in self.rows_now(table) {
            let key = pick(&row, &fk.columns);
            if !key.iter().any(Value::is_null) && !there.contains(&Key(key.into())) {
                return Err(Error::new(
                    code::FOREIGN_KEY_VIOLATION,
                    format!(
                        "insert or update on table \"{}\" violates foreign key constraint \"{}\"",
                        table.name, fk.name
                    ),
                )
                .table(&table.schema, &table.name)
                .constraint(&fk.name));
            }
        }
        Ok(())
    }

    /// 23502 when a column of a new primary key, or one made NOT NULL, is empty somewhere.
    pub(super) fn hold_to_not_null(&mut self, table: &Table, at: usize) -> Result<()> {
        if self.any_row(table, |row| row[at].is_null()) {
            return Err(holds_nulls(table, &table.columns[at].name));
        }
        Ok(())
    }
}
