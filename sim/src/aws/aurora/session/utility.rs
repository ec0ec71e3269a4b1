//! Statements that run without a plan: which of them does what.

use sqlparser::ast;

use super::setting::shown;
use super::{Answer, Session};
use crate::aws::aurora::error::{Result, unsupported};
use crate::aws::aurora::sql::bind::statement_name;
use crate::aws::aurora::sql::command::Command;
use crate::aws::aurora::sql::parse::Statement;
use crate::aws::aurora::sql::plan::Output;

impl Session {
    /// The columns of a utility statement that yields rows.
    pub(super) fn utility_columns(&mut self, s: &Statement) -> Option<Vec<Output>> {
        match s {
            Statement::Command(Command::Setting(setting)) => shown(setting),
            Statement::Command(Command::Execute { name, .. }) => self.executed_columns(name),
            _ => None,
        }
    }

    pub(super) async fn utility(&mut self, s: &Statement) -> Result<Answer> {
        match s {
            Statement::Command(command) => self.command(command).await,
            Statement::Sql(statement) => match &**statement {
                ast::Statement::CreateTable(c) => self.create_table(c).await,
                ast::Statement::CreateIndex(c) => self.create_index(c).await,
                ast::Statement::AlterTable(a) => self.alter_table(a).await,
                ast::Statement::CreateView(v) => self.create_view(v).await,
                ast::Statement::CreatePolicy(p) => self.create_policy(p).await,
                ast::Statement::AlterPolicy(p) => self.alter_policy(p).await,
                other => unsupported(statement_name(other)),
            },
        }
    }

    async fn command(&mut self, command: &Command) -> Result<Answer> {
        match command {
            Command::Transaction(_) => Ok(Answer::default()),
            Command::Setting(setting) => self.setting(setting),
            Command::Discard(what) => self.discard(*what),
            Command::SetConstraints { .. } => self.set_constraints(command).await,
            Command::Prepare {
                name,
                types,
                statement,
            } => self.sql_prepare(name, types, statement),
            Command::Execute { name, args } => self.sql_execute(name, args).await,
            Command::Deallocate(name) => self.sql_deallocate(name.as_deref()),
            Command::Role(change) => self.change_role(change),
            Command::Grant(grant) => self.grant(grant),
            Command::GrantRoles(grant) => self.grant_roles(grant),
            Command::Sequence(change) => self.change_sequence(change).await,
            Command::CreateSchema {
                name,
                if_not_exists,
                owner,
            } => self.create_schema(name, *if_not_exists, owner.as_deref()),
            Command::Drop(drop) => self.drop_objects(drop).await,
            Command::DropOwned(owners) => self.drop_owned(owners).await,
            Command::Alter(alter) => self.alter_object(alter).await,
            Command::Truncate(truncate) => self.truncate(truncate).await,
            Command::Lock(lock) => self.lock_tables(lock).await,
            Command::Comment { table, column, text } => {
                self.comment(table, column.as_deref(), text.as_deref())
            }
            Command::Maintain(vacuum, tables) => self.maintain(*vacuum, tables),
            Command::Lacking(construct) => unsupported(construct),
        }
    }
}
