//! Row level security: policies become conditions on scans and on new rows.

use std::sync::Arc;

use sqlparser::ast;

use super::super::expr::Expr;
use super::super::plan::WithCheck;
use super::{Binder, Rel, Scope, conjuncts};
use crate::aws::aurora::catalog::{Policy, PolicyCommand, Table};
use crate::aws::aurora::error::{Result, code, fail};
use crate::aws::aurora::types::CastContext;
use crate::aws::aurora::types::Type;

/// A policy that reads its own table would never end.
const POLICY_DEPTH_MAX: usize = 8;

impl Binder<'_> {
    /// Whether the acting role is subject to a table's policies.
    fn secured(&self, table: &Table) -> Result<bool> {
        let role = self.acting.as_deref().unwrap_or(self.settings.role);
        if !table.row_security {
            return Ok(false);
        }
        let bypass = self
            .catalog
            .roles
            .get(role)
            .is_some_and(|r| r.superuser || r.bypass_rls);
        let owner = self.catalog.is_member(role, &table.owner);
        if bypass || (owner && !table.force_row_security) {
            return Ok(false);
        }
        if !self.settings.row_security {
            return fail(
                code::INSUFFICIENT_PRIVILEGE,
                format!(
                    "query would be affected by row-level security policy for table \"{}\"",
                    table.name
                ),
            );
        }
        Ok(true)
    }

    fn applicable<'t>(&self, table: &'t Table, commands: &[PolicyCommand]) -> Vec<&'t Policy> {
        let role = self.acting.as_deref().unwrap_or(self.settings.role);
        let roles = self.catalog.member_of(role);
        table
            .policies
            .iter()
            .filter(|p| commands.contains(&p.command))
            .filter(|p| p.roles.is_empty() || p.roles.iter().any(|r| roles.contains(r)))
            .collect()
    }

    /// USING conditions of a reading scan at an offset.
    pub(super) fn read_security(&mut self, table: &Arc<Table>, offset: usize) -> Result<Vec<Expr>> {
        self.using_security(table, offset, &[PolicyCommand::All, PolicyCommand::Select])
    }

    /// USING conditions of the policies for these commands.
    pub(super) fn using_security(
        &mut self,
        table: &Arc<Table>,
        offset: usize,
        commands: &[PolicyCommand],
    ) -> Result<Vec<Expr>> {
        if !self.secured(table)? {
            return Ok(Vec::new());
        }
        let policies = self.applicable(table, commands);
        let mut conditions = Vec::new();
        let combined = self.combine(table, offset, &policies, |p| p.using.as_ref())?;
        conjuncts(combined, &mut conditions);
        Ok(conditions)
    }

    /// WITH CHECK conditions on new rows of a table.
    pub(super) fn write_security(
        &mut self,
        table: &Arc<Table>,
        commands: &[PolicyCommand],
    ) -> Result<Vec<WithCheck>> {
        if !self.secured(table)? {
            return Ok(Vec::new());
        }
        let policies = self.applicable(table, commands);
        let expr = self.combine(table, 0, &policies, |p| p.check.as_ref().or(p.using.as_ref()))?;
        Ok(vec![WithCheck { expr }])
    }

    /// Any permissive policy, and all restrictive ones. No policy at all lets nothing through.
    fn combine(
        &mut self,
        table: &Arc<Table>,
        offset: usize,
        policies: &[&Policy],
        pick: impl Fn(&Policy) -> Option<&ast::Expr>,
    ) -> Result<Expr> {
        if self.depth >= POLICY_DEPTH_MAX {
            return fail(
                code::INVALID_TABLE_DEFINITION,
                format!(
                    "infinite recursion detected in policy for relation \"{}\"",
                    table.name
                ),
            );
        }
        self.depth += 1;
        let unchecked = std::mem::replace(&mut self.unchecked, true);
        let mut scope = Scope::new("a policy");
        scope.push(Rel::of_table(table, &table.name, offset));
        scope.barrier = true;
        self.scopes.push(scope);
        let bound = |b: &mut Self, p: &Policy| -> Result<Expr> {
            let Some(e) = pick(p) else {
                return Ok(Expr::bool(true));
            };
            let typed = b.expr(e)?;
            Ok(b.coerce(typed, Type::Bool, -1, CastContext::Implicit)?.expr)
        };
        let mut any = Vec::new();
        let mut all = Vec::new();
        let mut result = Ok(());
        for p in policies {
            match bound(self, p) {
                Ok(e) if p.permissive => any.push(e),
                Ok(e) => all.push(e),
                Err(e) => result = Err(e),
            }
        }
        self.scopes.pop();
        self.unchecked = unchecked;
        self.depth -= 1;
        result?;
        let permitted = match any.len() {
            0 => Expr::bool(false),
            1 => any.remove(0),
            _ => Expr::Or(any),
        };
        if all.is_empty() {
            return Ok(permitted);
        }
        all.insert(0, permitted);
        Ok(Expr::And(all))
    }
}
