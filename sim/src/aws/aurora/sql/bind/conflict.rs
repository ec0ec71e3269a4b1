//! ON CONFLICT.

use std::collections::BTreeSet;
use std::sync::Arc;

use sqlparser::ast;

use super::super::expr::Expr;
use super::super::parse;
use super::super::plan::{Conflict, ConflictUpdate};
use super::super::rewrite::{Inference, inference};
use super::{Binder, Rel, Scope, conjuncts, fold, qualified};
use crate::aws::aurora::catalog::{IndexDef, KeyPart, Oid, PolicyCommand, Privilege, Table};
use crate::aws::aurora::error::{Error, Result, code, fail};

impl Binder<'_> {
    pub(super) fn conflict(
        &mut self,
        table: &Arc<Table>,
        alias: &str,
        c: &ast::OnConflict,
    ) -> Result<Conflict> {
        let arbiters = match &c.conflict_target {
            None => Vec::new(),
            Some(ast::ConflictTarget::OnConstraint(name)) => {
                let (_, name) = qualified(name)?;
                match table.indexes.iter().find(|i| i.constraint && i.name == name) {
                    Some(index) => vec![index.oid],
                    None => {
                        return fail(
                            code::UNDEFINED_OBJECT,
                            format!(
                                "constraint \"{name}\" for table \"{}\" does not exist",
                                table.name
                            ),
                        );
                    }
                }
            }
            Some(ast::ConflictTarget::Columns(names)) => self.inferred(table, names)?,
        };
        let update = match &c.action {
            ast::OnConflictAction::DoNothing => None,
            ast::OnConflictAction::DoUpdate(update) => {
                if arbiters.is_empty() {
                    return fail(
                        code::SYNTAX_ERROR,
                        "ON CONFLICT DO UPDATE requires inference specification or constraint name",
                    );
                }
                self.need(table.oid, Privilege::UPDATE, Vec::new());
                self.need(table.oid, Privilege::SELECT, Vec::new());
                let mut scope = Scope::new("ON CONFLICT");
                scope.push(Rel::of_table(table, alias, 0));
                let mut excluded = Rel::of_table(table, "excluded", table.columns.len());
                excluded.qualified_only = true;
                scope.push(excluded);
                self.scopes.push(scope);
                let set = self.assignments(table, &update.assignments);
                let filter = update
                    .selection
                    .as_ref()
                    .map(|e| self.boolean(e, "WHERE"))
                    .transpose();
                self.scopes.pop();
                let using = self.using_security(
                    table,
                    0,
                    &[PolicyCommand::All, PolicyCommand::Update, PolicyCommand::Select],
                )?;
                let check = self.write_security(table, &[PolicyCommand::All, PolicyCommand::Update])?;
                Some(ConflictUpdate {
                    set: set?,
                    filter: filter?,
                    using,
                    check,
                })
            }
        };
        Ok(Conflict { arbiters, update })
    }

    /// The unique indexes that an ON CONFLICT target means.
    fn inferred(&mut self, table: &Arc<Table>, names: &[ast::Ident]) -> Result<Vec<Oid>> {
        let (mut columns, mut exprs, mut conditions) = (BTreeSet::new(), Vec::new(), Vec::new());
        for ident in names {
            match inference(&ident.value) {
                Inference::Column => {
                    let name = fold(ident);
                    columns.insert(table.column(&name).ok_or_else(|| {
                        Error::new(
                            code::UNDEFINED_COLUMN,
                            format!("column \"{name}\" does not exist"),
                        )
                    })?);
                }
                Inference::Expression(text) => {
                    let e = parse::expression(text)?;
                    match self.table_expr(table, &e, "ON CONFLICT clauses")?.expr {
                        Expr::Column(at) => _ = columns.insert(at),
                        other => exprs.push(other),
                    }
                }
                Inference::Where(text) => {
                    let e = parse::expression(text)?;
                    let typed = self.table_expr(table, &e, "ON CONFLICT clauses")?;
                    conjuncts(self.as_boolean(typed, "WHERE")?, &mut conditions);
                }
            }
        }
        let fits = |i: &&IndexDef| {
            let (mut have, mut have_exprs) = (BTreeSet::new(), Vec::new());
            for part in &i.parts {
                match part {
                    KeyPart::Column(c) => _ = have.insert(*c),
                    KeyPart::Expr(e, _) => have_exprs.push(e),
                }
            }
            let mut wanted = Vec::new();
            if let Some((predicate, _)) = &i.predicate {
                conjuncts(predicate.clone(), &mut wanted);
            }
            i.unique
                && have == columns
                && have_exprs.iter().all(|h| exprs.iter().any(|e| e.same_as(h)))
                && exprs.iter().all(|e| have_exprs.iter().any(|h| e.same_as(h)))
                && wanted.iter().all(|w| conditions.iter().any(|c| c.same_as(w)))
        };
        let found: Vec<Oid> = table.indexes.iter().filter(fits).map(|i| i.oid).collect();
        if found.is_empty() {
            return fail(
                code::INVALID_COLUMN_REFERENCE,
                "there is no unique or exclusion constraint matching the ON CONFLICT specification",
            );
        }
        Ok(found)
    }
}
