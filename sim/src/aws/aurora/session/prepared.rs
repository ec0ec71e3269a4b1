//! Prepared statements: parsed once, planned once per catalog, role and search path.

use std::sync::Arc;

use sqlparser::ast;

use super::Session;
use crate::aws::aurora::catalog::Catalog;
use crate::aws::aurora::error::{Result, code, fail};
use crate::aws::aurora::sql::bind::Binder;
use crate::aws::aurora::sql::command::{Command, TransactionCommand};
use crate::aws::aurora::sql::parse::Statement;
use crate::aws::aurora::sql::plan::{Output, Plan};
use crate::aws::aurora::types::Type;

/// A parsed statement and its latest plan.
#[derive(Clone, Debug)]
pub(crate) struct Prepared {
    /// Its text.
    pub text: String,
    /// Its tree; None for an empty statement.
    pub statement: Option<Arc<Statement>>,
    /// Parameter types: stated by the client, or found by binding.
    pub params: Vec<Option<Type>>,
    plan: Option<(Arc<Catalog>, String, Arc<Plan>)>,
}

impl Prepared {
    /// Wraps a statement.
    pub(crate) fn new(text: &str, statement: Option<Arc<Statement>>, params: Vec<Option<Type>>) -> Prepared {
        Prepared {
            text: text.to_string(),
            statement,
            params,
            plan: None,
        }
    }

    /// Whether it may run in a failed transaction block.
    pub(super) fn ends_failed_block(&self) -> bool {
        matches!(
            self.statement.as_deref(),
            Some(Statement::Command(Command::Transaction(
                TransactionCommand::Commit(_)
                    | TransactionCommand::Rollback(_)
                    | TransactionCommand::RollbackTo(_)
            ))) | None
        )
    }

    /// Whether it runs without a plan.
    pub(super) fn is_utility(&self) -> bool {
        !matches!(
            self.statement.as_deref(),
            Some(Statement::Sql(s)) if matches!(
                **s,
                ast::Statement::Query(_)
                    | ast::Statement::Insert(_)
                    | ast::Statement::Update(_)
                    | ast::Statement::Delete(_)
            )
        )
    }
}

/// Whether two plans yield the same columns.
fn same_shape(a: Option<&[Output]>, b: Option<&[Output]>) -> bool {
    let (a, b) = (a.unwrap_or_default(), b.unwrap_or_default());
    a.len() == b.len()
        && a.iter()
            .zip(b)
            .all(|(a, b)| a.name == b.name && a.ty == b.ty && a.typmod == b.typmod)
}

impl Session {
    /// The statement's plan, made anew if the world it was made in has changed.
    pub(super) fn plan(&mut self, prepared: &mut Prepared) -> Result<Arc<Plan>> {
        let catalog = self.catalog();
        let context = {
            let settings = self.local.settings.borrow();
            let path = settings.get("search_path").unwrap_or_default();
            format!(
                "{}\u{1}{path}\u{1}{}",
                self.local.role(),
                settings.on("row_security")
            )
        };
        if let Some((made_for, in_context, plan)) = &prepared.plan
            && Arc::ptr_eq(made_for, &catalog)
            && *in_context == context
        {
            return Ok(plan.clone());
        }
        let Some(Statement::Sql(statement)) = prepared.statement.as_deref() else {
            return crate::aws::aurora::error::unsupported("planning a statement without rows");
        };
        let plan = self.with_settings(|s| Binder::new(&catalog, s, &prepared.params).plan(statement))?;
        let plan = Arc::new(plan);
        if let Some((_, _, old)) = &prepared.plan
            && !same_shape(old.columns.as_deref(), plan.columns.as_deref())
        {
            return fail(
                code::FEATURE_NOT_SUPPORTED,
                "cached plan must not change result type",
            );
        }
        prepared.params = plan.params.iter().map(|t| Some(*t)).collect();
        prepared.plan = Some((catalog, context, plan.clone()));
        Ok(plan)
    }

    /// Parameter types and result columns, for Describe.
    pub(crate) fn describe(&mut self, prepared: &mut Prepared) -> Result<(Vec<Type>, Option<Vec<Output>>)> {
        if prepared.statement.is_none() {
            return Ok((Vec::new(), None));
        }
        if prepared.is_utility() {
            let params = prepared.params.iter().map(|p| p.unwrap_or(Type::Text)).collect();
            let statement = prepared.statement.clone();
            let columns = statement.and_then(|s| self.utility_columns(&s));
            return Ok((params, columns));
        }
        let plan = self.plan(prepared)?;
        Ok((plan.params.clone(), plan.columns.clone()))
    }
}
