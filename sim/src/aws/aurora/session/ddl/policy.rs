//! CREATE, ALTER and DROP POLICY.

use sqlparser::ast;

use crate::aws::aurora::catalog::{Policy, PolicyCommand, Table};
use crate::aws::aurora::error::{Error, Result, code, fail};
use crate::aws::aurora::lock::{Mode, Tag};
use crate::aws::aurora::session::{Answer, Session};
use crate::aws::aurora::sql::bind::{Binder, fold, qualified};
use crate::aws::aurora::sql::command::Drop;

fn missing(table: &Table, name: &str) -> Box<Error> {
    Error::new(
        code::UNDEFINED_OBJECT,
        format!("policy \"{name}\" for table \"{}\" does not exist", table.name),
    )
}

impl Session {
    /// The table of a policy, locked and owned.
    async fn policed(&mut self, name: &ast::ObjectName) -> Result<Table> {
        let table = self.table_named(name)?;
        self.must_own(&table.owner, "table", &table.name)?;
        self.lock(Tag::Relation(table.oid), Mode::AccessExclusive).await?;
        Ok((*self.table_named(name)?).clone())
    }

    /// Role names of TO; empty is PUBLIC.
    fn policy_roles(&mut self, to: &[ast::Owner]) -> Result<Vec<String>> {
        let mut roles = Vec::new();
        for owner in to {
            match owner {
                ast::Owner::Ident(i) if i.quote_style.is_none() && fold(i) == "public" => {
                    return Ok(Vec::new());
                }
                ast::Owner::Ident(i) => roles.push(fold(i)),
                ast::Owner::SessionUser => roles.push(self.local.session_user()),
                ast::Owner::CurrentRole | ast::Owner::CurrentUser => roles.push(self.local.role()),
            }
        }
        for role in &roles {
            self.catalog().role(role)?;
        }
        Ok(roles)
    }

    /// Policies are bound when they are used; a first binding here finds their errors now.
    fn try_policy(&mut self, table: &Table, e: Option<&ast::Expr>) -> Result<()> {
        let Some(e) = e else { return Ok(()) };
        let catalog = self.catalog();
        self.with_settings(|s| Binder::new(&catalog, s, &[]).policy_expr(table, e))
    }

    pub(in crate::aws::aurora::session) async fn create_policy(
        &mut self,
        p: &ast::CreatePolicy,
    ) -> Result<Answer> {
        self.check_writable("CREATE POLICY")?;
        let mut table = self.policed(&p.table_name).await?;
        let name = fold(&p.name);
        if table.policies.iter().any(|have| have.name == name) {
            return fail(
                code::DUPLICATE_OBJECT,
                format!("policy \"{name}\" for table \"{}\" already exists", table.name),
            );
        }
        let command = match p.command {
            None | Some(ast::CreatePolicyCommand::All) => PolicyCommand::All,
            Some(ast::CreatePolicyCommand::Select) => PolicyCommand::Select,
            Some(ast::CreatePolicyCommand::Insert) => PolicyCommand::Insert,
            Some(ast::CreatePolicyCommand::Update) => PolicyCommand::Update,
            Some(ast::CreatePolicyCommand::Delete) => PolicyCommand::Delete,
        };
        if p.with_check.is_some() && matches!(command, PolicyCommand::Select | PolicyCommand::Delete) {
            return fail(
                code::SYNTAX_ERROR,
                "WITH CHECK cannot be applied to SELECT or DELETE",
            );
        }
        if p.using.is_some() && command == PolicyCommand::Insert {
            return fail(
                code::SYNTAX_ERROR,
                "only WITH CHECK expression allowed for INSERT",
            );
        }
        self.try_policy(&table, p.using.as_ref())?;
        self.try_policy(&table, p.with_check.as_ref())?;
        table.policies.push(Policy {
            name,
            command,
            permissive: !matches!(p.policy_type, Some(ast::CreatePolicyType::Restrictive)),
            roles: self.policy_roles(p.to.as_deref().unwrap_or_default())?,
            using: p.using.clone(),
            check: p.with_check.clone(),
        });
        table.policies.sort_by(|a, b| a.name.cmp(&b.name));
        self.put_table(table);
        Ok(Answer::tag("CREATE POLICY"))
    }

    pub(in crate::aws::aurora::session) async fn alter_policy(
        &mut self,
        p: &ast::AlterPolicy,
    ) -> Result<Answer> {
        self.check_writable("ALTER POLICY")?;
        let mut table = self.policed(&p.table_name).await?;
        let name = fold(&p.name);
        let Some(at) = table.policies.iter().position(|have| have.name == name) else {
            return Err(missing(&table, &name));
        };
        match &p.operation {
            ast::AlterPolicyOperation::Rename { new_name } => {
                let new = fold(new_name);
                if table.policies.iter().any(|have| have.name == new) {
                    return fail(
                        code::DUPLICATE_OBJECT,
                        format!("policy \"{new}\" for table \"{}\" already exists", table.name),
                    );
                }
                table.policies[at].name = new;
            }
            ast::AlterPolicyOperation::Apply {
                to,
                using,
                with_check,
            } => {
                self.try_policy(&table, using.as_ref())?;
                self.try_policy(&table, with_check.as_ref())?;
                if let Some(to) = to {
                    table.policies[at].roles = self.policy_roles(to)?;
                }
                if using.is_some() {
                    table.policies[at].using.clone_from(using);
                }
                if with_check.is_some() {
                    table.policies[at].check.clone_from(with_check);
                }
            }
        }
        table.policies.sort_by(|a, b| a.name.cmp(&b.name));
        self.put_table(table);
        Ok(Answer::tag("ALTER POLICY"))
    }

    pub(super) async fn drop_policy(&mut self, d: &Drop) -> Result<()> {
        let Some(table) = &d.table else { return Ok(()) };
        let mut table = self.policed(table).await?;
        for name in &d.names {
            let (_, name) = qualified(name)?;
            let before = table.policies.len();
            table.policies.retain(|p| p.name != name);
            if table.policies.len() == before {
                if !d.if_exists {
                    return Err(missing(&table, &name));
                }
                self.note(format!("policy \"{name}\" does not exist, skipping"));
            }
        }
        self.put_table(table);
        Ok(())
    }
}
