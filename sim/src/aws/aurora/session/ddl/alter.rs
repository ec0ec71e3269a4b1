//! ALTER TABLE.

use sqlparser::ast::{self, AlterColumnOperation, AlterTableOperation, TableConstraint};

use super::no_column;
use crate::aws::aurora::catalog::{Catalog, Identity, KeyPart, Table, Touched};
use crate::aws::aurora::error::{Error, Result, code, fail, unsupported};
use crate::aws::aurora::exec::statement;
use crate::aws::aurora::func;
use crate::aws::aurora::lock::{Mode, Tag};
use crate::aws::aurora::session::{Answer, Session};
use crate::aws::aurora::sql::bind::{Binder, column_type, data_type, fold};
use crate::aws::aurora::sql::expr::Expr;
use crate::aws::aurora::sql::parse;
use crate::aws::aurora::types::{CastContext, Value};

/// An ALTER TABLE under way: the table and the catalog with what has been done so far.
struct Altering {
    next: Catalog,
    table: Table,
    touched: Vec<Touched>,
}

impl Session {
    pub(in crate::aws::aurora::session) async fn alter_table(
        &mut self,
        a: &ast::AlterTable,
    ) -> Result<Answer> {
        const TAG: &str = "ALTER TABLE";
        self.check_writable(TAG)?;
        if a.on_cluster.is_some() || a.location.is_some() || a.table_type.is_some() {
            return unsupported("a clause of ALTER TABLE of another dialect");
        }
        let table = match self.table_named(&a.name) {
            Ok(table) => table,
            Err(e) if a.if_exists && e.code == code::UNDEFINED_TABLE => {
                self.note(format!("relation \"{}\" does not exist, skipping", a.name));
                return Ok(Answer::tag(TAG));
            }
            Err(e) => return Err(e),
        };
        self.must_own(&table.owner, "table", &table.name)?;
        self.lock(Tag::Relation(table.oid), Mode::AccessExclusive).await?;
        for operation in &a.operations {
            let catalog = self.catalog();
            let Some(table) = catalog.table(table.oid) else {
                break;
            };
            let mut altering = Altering {
                next: (*catalog).clone(),
                table: (**table).clone(),
                touched: vec![Touched::Relation(table.oid)],
            };
            self.alter_one(&mut altering, operation)?;
            altering.next.put_table(altering.table);
            self.install(altering.next, altering.touched);
        }
        Ok(Answer::tag(TAG))
    }

    fn alter_one(&mut self, a: &mut Altering, operation: &AlterTableOperation) -> Result<()> {
        use AlterTableOperation as Op;
        match operation {
            Op::EnableRowLevelSecurity => a.table.row_security = true,
            Op::DisableRowLevelSecurity => a.table.row_security = false,
            Op::ForceRowLevelSecurity => a.table.force_row_security = true,
            Op::NoForceRowLevelSecurity => a.table.force_row_security = false,
            Op::AddColumn {
                if_not_exists,
                column_def,
                column_position: None,
                ..
            } => {
                let name = fold(&column_def.name);
                if a.table.column(&name).is_none() {
                    return self.add_column(a, column_def);
                }
                if !if_not_exists {
                    return fail(
                        code::DUPLICATE_COLUMN,
                        format!(
                            "column \"{name}\" of relation \"{}\" already exists",
                            a.table.name
                        ),
                    );
                }
                self.note(format!("column \"{name}\" already exists, skipping"));
            }
            Op::DropColumn {
                column_names,
                if_exists,
                drop_behavior,
                ..
            } => {
                let cascade = matches!(drop_behavior, Some(ast::DropBehavior::Cascade));
                for name in column_names {
                    let name = fold(name);
                    match a.table.column(&name) {
                        Some(at) => {
                            self.drop_column(&mut a.next, &mut a.table, &mut a.touched, at, cascade)?
                        }
                        None if *if_exists => {
                            self.note(format!("column \"{name}\" does not exist, skipping"))
                        }
                        None => return Err(no_column(&a.table, &name)),
                    }
                    if column_names.len() > 1 {
                        return unsupported("dropping several columns at once");
                    }
                }
            }
            Op::RenameColumn {
                old_column_name,
                new_column_name,
            } => self.rename_column(a, &fold(old_column_name), fold(new_column_name))?,
            Op::RenameConstraint { old_name, new_name } => {
                self.rename_constraint(a, &fold(old_name), fold(new_name))?;
            }
            Op::AddConstraint {
                constraint,
                not_valid,
            } => self.alter_add_constraint(a, constraint, *not_valid)?,
            Op::ValidateConstraint { name } => self.validate(a, &fold(name))?,
            Op::DropConstraint {
                if_exists,
                name,
                drop_behavior,
            } => {
                let cascade = matches!(drop_behavior, Some(ast::DropBehavior::Cascade));
                let name = fold(name);
                if !self.drop_constraint(&mut a.next, &mut a.table, &mut a.touched, &name, cascade)? {
                    if !if_exists {
                        return Err(no_constraint(&a.table, &name));
                    }
                    self.note(format!("constraint \"{name}\" does not exist, skipping"));
                }
            }
            Op::AlterColumn { column_name, op } => {
                let name = fold(column_name);
                let Some(at) = a.table.column(&name) else {
                    return Err(no_column(&a.table, &name));
                };
                self.alter_column(a, at, op)?;
            }
            other => return unsupported(format_args!("ALTER TABLE {other}")),
        }
        Ok(())
    }

    fn add_column(&mut self, a: &mut Altering, def: &ast::ColumnDef) -> Result<()> {
        let defined = self.define_column(&mut a.next, &a.table, def)?;
        a.touched.extend(defined.sequence.map(Touched::Relation));
        let at = a.table.columns.len();
        a.table.columns.push(defined.column);
        self.define_generated(&a.next, &mut a.table, std::slice::from_ref(def))?;
        let column = a.table.columns[at].clone();
        let rows = self.has_rows(&a.table);
        match (&column.default, &column.generated) {
            (_, Some(generated)) => {
                let generated = generated.clone();
                self.fill_column(a, at, &generated)?;
            }
            (Some((Expr::Const(value), _)), _) => a.table.columns[at].missing = value.clone(),
            // One value serves all rows when the function would answer the same for each.
            (Some((default, _)), _) if rows && !func::volatile(default) => {
                a.table.columns[at].missing = statement::evaluate(self, default, &[])?;
            }
            (Some((default, _)), _) if rows => {
                let default = default.clone();
                if let Some(sequence) = defined.sequence {
                    // The sequence must be in the catalog before it can be drawn from.
                    self.install(a.next.clone(), [Touched::Relation(sequence)]);
                }
                self.fill_column(a, at, &default)?;
            }
            _ => {}
        }
        if column.not_null {
            self.hold_to_not_null(&a.table, at)?;
        }
        for constraint in &defined.constraints {
            let own = [column.name.clone()];
            self.constrain(a, constraint, &own, true)?;
        }
        Ok(())
    }

    /// Computes a column for every row.
    fn fill_column(&mut self, a: &mut Altering, at: usize, expr: &Expr) -> Result<()> {
        let mut rows = self.rows_now(&a.table);
        for row in &mut rows {
            row[at] = statement::evaluate(self, expr, row)?;
        }
        self.rewrite(&mut a.table, rows)
    }

    /// Adds a constraint and holds the rows there are to it.
    fn constrain(
        &mut self,
        a: &mut Altering,
        k: &TableConstraint,
        own: &[String],
        valid: bool,
    ) -> Result<()> {
        let (checks, keys, foreign) = (
            a.table.checks.len(),
            a.table.indexes.len(),
            a.table.foreign_keys.len(),
        );
        self.add_constraint(&mut a.next, &mut a.table, k, own, &mut a.touched)?;
        if let Some(check) = a.table.checks.get_mut(checks) {
            check.valid = valid;
            let check = check.clone();
            if valid {
                self.hold_to_check(&a.table, &check)?;
            }
        }
        if let Some(fk) = a.table.foreign_keys.get_mut(foreign) {
            fk.valid = valid;
            let fk = fk.clone();
            if valid {
                let mut seen = a.next.clone();
                seen.put_table(a.table.clone());
                self.hold_to_foreign_key(&seen, &a.table, &fk)?;
            }
        }
        if let Some(def) = a.table.indexes.get(keys).cloned() {
            if def.primary {
                for at in def.columns().unwrap_or_default() {
                    self.hold_to_not_null(&a.table, at)?;
                }
            }
            self.build_on_rows(&a.table, &def)?;
        }
        Ok(())
    }

    fn alter_add_constraint(&mut self, a: &mut Altering, k: &TableConstraint, not_valid: bool) -> Result<()> {
        let (using, primary) = match k {
            TableConstraint::PrimaryKeyUsingIndex(u) => (u, true),
            TableConstraint::UniqueUsingIndex(u) => (u, false),
            TableConstraint::Check(_) | TableConstraint::ForeignKey(_) => {
                return self.constrain(a, k, &[], !not_valid);
            }
            _ if not_valid => {
                return fail(
                    code::FEATURE_NOT_SUPPORTED,
                    "this constraint cannot be marked NOT VALID",
                );
            }
            _ => return self.constrain(a, k, &[], true),
        };
        if using
            .characteristics
            .as_ref()
            .is_some_and(|c| c.deferrable == Some(true))
        {
            return unsupported("a DEFERRABLE constraint USING INDEX");
        }
        let wanted = fold(&using.index_name);
        let Some(at) = a.table.indexes.iter().position(|i| i.name == wanted) else {
            return fail(
                code::UNDEFINED_OBJECT,
                format!("index \"{wanted}\" does not exist"),
            );
        };
        let def = &a.table.indexes[at];
        if !def.unique || def.predicate.is_some() || def.columns().is_none() {
            return fail(
                code::WRONG_OBJECT_TYPE,
                format!("\"{wanted}\" is not a unique index over plain columns"),
            );
        }
        if def.constraint {
            return fail(
                code::NOT_IN_PREREQUISITE_STATE,
                format!("index \"{wanted}\" is already associated with a constraint"),
            );
        }
        if primary && a.table.primary_key().is_some() {
            return fail(
                code::INVALID_TABLE_DEFINITION,
                format!(
                    "multiple primary keys for table \"{}\" are not allowed",
                    a.table.name
                ),
            );
        }
        let columns = def.columns().unwrap_or_default();
        if primary {
            for column in columns {
                self.hold_to_not_null(&a.table, column)?;
                a.table.columns[column].not_null = true;
            }
        }
        let def = &mut a.table.indexes[at];
        (def.constraint, def.primary) = (true, primary);
        if let Some(name) = &using.name {
            def.name = fold(name);
        }
        Ok(())
    }

    fn validate(&mut self, a: &mut Altering, name: &str) -> Result<()> {
        if let Some(at) = a.table.checks.iter().position(|c| c.name == name) {
            let check = a.table.checks[at].clone();
            self.hold_to_check(&a.table, &check)?;
            a.table.checks[at].valid = true;
            return Ok(());
        }
        if let Some(at) = a.table.foreign_keys.iter().position(|c| c.name == name) {
            let fk = a.table.foreign_keys[at].clone();
            self.hold_to_foreign_key(&a.next, &a.table, &fk)?;
            a.table.foreign_keys[at].valid = true;
            return Ok(());
        }
        if a.table.indexes.iter().any(|i| i.constraint && i.name == name) {
            return fail(
                code::WRONG_OBJECT_TYPE,
                format!("constraint \"{name}\" is not a foreign key or check constraint"),
            );
        }
        Err(no_constraint(&a.table, name))
    }

    fn rename_column(&mut self, a: &mut Altering, old: &str, new: String) -> Result<()> {
        let Some(at) = a.table.column(old) else {
            return fail(code::UNDEFINED_COLUMN, format!("column \"{old}\" does not exist"));
        };
        if a.table.column(&new).is_some() {
            return fail(
                code::DUPLICATE_COLUMN,
                format!("column \"{new}\" of relation \"{}\" already exists", a.table.name),
            );
        }
        self.refuse_views_of(&a.next, a.table.oid, "renaming a column that a view may read")?;
        let renamed = |text: &str| parse::rename_identifier(text, old, &new);
        for check in &mut a.table.checks {
            check.text = renamed(&check.text);
        }
        for index in &mut a.table.indexes {
            index.texts.iter_mut().for_each(|t| *t = renamed(t));
            if let Some((_, text)) = &mut index.predicate {
                *text = renamed(text);
            }
        }
        for policy in &mut a.table.policies {
            for expr in [&mut policy.using, &mut policy.check].into_iter().flatten() {
                *expr = parse::expression(&renamed(&expr.to_string()))?;
            }
        }
        a.table.columns[at].name = new;
        Ok(())
    }

    fn rename_constraint(&mut self, a: &mut Altering, old: &str, new: String) -> Result<()> {
        if a.table.constraint_names().any(|n| n == new) {
            return fail(
                code::DUPLICATE_OBJECT,
                format!(
                    "constraint \"{new}\" for relation \"{}\" already exists",
                    a.table.name
                ),
            );
        }
        let checks = a.table.checks.iter_mut().map(|c| &mut c.name);
        let foreign = a.table.foreign_keys.iter_mut().map(|c| &mut c.name);
        let keys = a
            .table
            .indexes
            .iter_mut()
            .filter(|i| i.constraint)
            .map(|i| &mut i.name);
        match checks.chain(foreign).chain(keys).find(|name| *name == old) {
            Some(name) => *name = new,
            None => {
                return fail(
                    code::UNDEFINED_OBJECT,
                    format!(
                        "constraint \"{old}\" for table \"{}\" does not exist",
                        a.table.name
                    ),
                );
            }
        }
        Ok(())
    }

    fn alter_column(&mut self, a: &mut Altering, at: usize, op: &AlterColumnOperation) -> Result<()> {
        let column = a.table.columns[at].clone();
        match op {
            AlterColumnOperation::DropNotNull => {
                if column.identity.is_some() {
                    return fail(
                        code::SYNTAX_ERROR,
                        format!("column \"{}\" is an identity column", column.name),
                    );
                }
                let primary = a
                    .table
                    .primary_key()
                    .and_then(|i| i.columns())
                    .unwrap_or_default();
                if primary.contains(&at) {
                    return fail(
                        code::INVALID_TABLE_DEFINITION,
                        format!("column \"{}\" is in a primary key", column.name),
                    );
                }
                a.table.columns[at].not_null = false;
            }
            AlterColumnOperation::SetNotNull => {
                self.hold_to_not_null(&a.table, at)?;
                a.table.columns[at].not_null = true;
            }
            AlterColumnOperation::SetDefault { .. } | AlterColumnOperation::DropDefault
                if column.identity.is_some() || column.generated.is_some() =>
            {
                return fail(
                    code::SYNTAX_ERROR,
                    format!("column \"{}\" is an identity or generated column", column.name),
                );
            }
            AlterColumnOperation::SetDefault { value } => {
                let expr = self.default_expr(&a.next, value, column.ty, column.typmod)?;
                a.table.columns[at].default = Some((expr, value.to_string()));
            }
            AlterColumnOperation::DropDefault => a.table.columns[at].default = None,
            AlterColumnOperation::SetDataType { data_type, using, .. } => {
                self.set_type(a, at, data_type, using.as_ref())?;
            }
            AlterColumnOperation::AddGenerated {
                generated_as,
                sequence_options,
            } if sequence_options.as_ref().is_none_or(Vec::is_empty) => {
                if !column.not_null || column.default.is_some() || column.identity.is_some() {
                    return fail(
                        code::NOT_IN_PREREQUISITE_STATE,
                        format!("column \"{}\" must be NOT NULL and without default", column.name),
                    );
                }
                let mut changed = column.clone();
                let mut owner = a.table.clone();
                owner.columns.truncate(at);
                let sequence = self.column_sequence(&mut a.next, &owner, &mut changed, &[])?;
                a.touched.push(Touched::Relation(sequence));
                changed.identity = Some(match generated_as {
                    Some(ast::GeneratedAs::Always) => Identity::Always,
                    _ => Identity::ByDefault,
                });
                a.table.columns[at] = changed;
            }
            other => return unsupported(format_args!("ALTER COLUMN {other}")),
        }
        Ok(())
    }

    fn set_type(
        &mut self,
        a: &mut Altering,
        at: usize,
        to: &ast::DataType,
        using: Option<&ast::Expr>,
    ) -> Result<()> {
        let (_, _, serial) = column_type(to)?;
        if serial {
            return fail(code::UNDEFINED_OBJECT, format!("type \"{to}\" does not exist"));
        }
        let (ty, typmod) = data_type(to)?;
        self.refuse_views_of(
            &a.next,
            a.table.oid,
            "altering the type of a column that a view may read",
        )?;
        let column = a.table.columns[at].clone();
        let mismatch = || {
            Error::new(
                code::DATATYPE_MISMATCH,
                format!(
                    "column \"{}\" cannot be cast automatically to type {}",
                    column.name,
                    ty.name()
                ),
            )
        };
        let next = &a.next;
        let table = &a.table;
        let convert = self.with_settings(|s| -> Result<Expr> {
            let mut binder = Binder::new(next, s, &[]);
            let typed = match using {
                Some(e) => binder.table_expr(table, e, "transform expressions")?,
                None => binder.table_expr(
                    table,
                    &ast::Expr::Identifier(ast::Ident::with_quote('"', &column.name)),
                    "transform expressions",
                )?,
            };
            match binder.coerce(typed, ty, -1, CastContext::Assignment) {
                Ok(typed) => Ok(binder.coerce(typed, ty, typmod, CastContext::Assignment)?.expr),
                Err(e) if e.code == code::CANNOT_COERCE => Err(mismatch()),
                Err(e) => Err(e),
            }
        })?;
        if let Some((default, text)) = column.default.clone()
            && column.generated.is_none()
        {
            let changed = self.with_settings(|s| {
                let mut binder = Binder::new(next, s, &[]);
                let typed = crate::aws::aurora::sql::bind::Typed::new(default, column.ty);
                binder.coerce(typed, ty, typmod, CastContext::Assignment)
            });
            match changed {
                Ok(typed) => a.table.columns[at].default = Some((typed.expr, text)),
                Err(_) => {
                    return fail(
                        code::DATATYPE_MISMATCH,
                        format!(
                            "default for column \"{}\" cannot be cast automatically to type {}",
                            column.name,
                            ty.name()
                        ),
                    );
                }
            }
        }
        let mut rows = self.rows_now(&a.table);
        for row in &mut rows {
            row[at] = statement::evaluate(self, &convert, row)?;
        }
        let changed = &mut a.table.columns[at];
        (changed.ty, changed.typmod, changed.missing) = (ty, typmod, Value::Null);
        self.rebind(a)?;
        self.rewrite(&mut a.table, rows)?;
        for check in a.table.checks.clone() {
            if check.valid {
                self.hold_to_check(&a.table, &check)?;
            }
        }
        Ok(())
    }

    /// Binds checks and index expressions again, as a column's type has changed under them.
    fn rebind(&mut self, a: &mut Altering) -> Result<()> {
        for at in 0..a.table.checks.len() {
            let e = parse::expression(&a.table.checks[at].text)?;
            a.table.checks[at].expr = self.condition(&a.next, &a.table, &e, "check constraints")?;
        }
        for at in 0..a.table.indexes.len() {
            let def = a.table.indexes[at].clone();
            if let Some((_, text)) = def.predicate {
                let e = parse::expression(&text)?;
                let expr = self.condition(&a.next, &a.table, &e, "index predicates")?;
                a.table.indexes[at].predicate = Some((expr, text));
            }
            for (part, text) in def.texts.iter().enumerate() {
                if matches!(def.parts[part], KeyPart::Column(_)) {
                    continue;
                }
                let e = parse::expression(text)?;
                let (next, table) = (&a.next, &a.table);
                let typed = self.with_settings(|s| {
                    let mut binder = Binder::new(next, s, &[]);
                    let typed = binder.table_expr(table, &e, "index expressions")?;
                    binder.settle(typed)
                })?;
                a.table.indexes[at].parts[part] = KeyPart::Expr(typed.expr, typed.ty);
            }
        }
        Ok(())
    }
}

fn no_constraint(table: &Table, name: &str) -> Box<Error> {
    Error::new(
        code::UNDEFINED_OBJECT,
        format!(
            "constraint \"{name}\" of relation \"{}\" does not exist",
            table.name
        ),
    )
}
