//! PREPARE, EXECUTE, DEALLOCATE.

use std::sync::Arc;

use sqlparser::ast::{DataType, Expr};

use super::prepared::Prepared;
use super::{Answer, Session};
use crate::aws::aurora::error::{Result, code, fail};
use crate::aws::aurora::exec::statement;
use crate::aws::aurora::sql::bind::{Binder, data_type};
use crate::aws::aurora::sql::parse::Statement;
use crate::aws::aurora::sql::plan::Output;
use crate::aws::aurora::types::{CastContext, Type, Value};

fn missing<T>(name: &str) -> Result<T> {
    fail(
        code::INVALID_SQL_STATEMENT_NAME,
        format!("prepared statement \"{name}\" does not exist"),
    )
}

impl Session {
    pub(super) fn sql_prepare(
        &mut self,
        name: &str,
        types: &[DataType],
        statement: &Arc<Statement>,
    ) -> Result<Answer> {
        if self.prepared.contains_key(name) {
            return fail(
                code::DUPLICATE_PREPARED_STATEMENT,
                format!("prepared statement \"{name}\" already exists"),
            );
        }
        let types = types
            .iter()
            .map(|t| data_type(t).map(|(ty, _)| Some(ty)))
            .collect::<Result<Vec<_>>>()?;
        let mut prepared = Prepared::new("", Some(Arc::clone(statement)), types);
        if prepared.is_utility() {
            return fail(code::SYNTAX_ERROR, "syntax error: PREPARE of a utility statement");
        }
        self.prepare(&mut prepared)?;
        self.prepared.insert(name.to_string(), prepared);
        Ok(Answer::tag("PREPARE"))
    }

    pub(super) async fn sql_execute(&mut self, name: &str, args: &[Expr]) -> Result<Answer> {
        let Some(mut prepared) = self.prepared.get(name).cloned() else {
            return missing(name);
        };
        let plan = self.plan(&mut prepared)?;
        let values = self.arguments(name, args, &plan.params)?;
        let answer = statement::execute(self, &plan, &values).await?;
        self.prepared.insert(name.to_string(), prepared);
        Ok(answer)
    }

    fn arguments(&mut self, name: &str, args: &[Expr], types: &[Type]) -> Result<Vec<Value>> {
        if args.len() != types.len() {
            return fail(
                code::SYNTAX_ERROR,
                format!(
                    "wrong number of parameters for prepared statement \"{name}\": expected {}, got {}",
                    types.len(),
                    args.len()
                ),
            );
        }
        let catalog = self.catalog();
        let mut values = Vec::with_capacity(args.len());
        for (arg, ty) in args.iter().zip(types) {
            let expr = self.with_settings(|s| {
                let mut binder = Binder::new(&catalog, s, &[]);
                let typed = binder.constant_expr(arg, "EXECUTE parameters")?;
                binder.coerce(typed, *ty, -1, CastContext::Assignment)
            })?;
            values.push(statement::evaluate(self, &expr.expr, &[])?);
        }
        Ok(values)
    }

    pub(super) fn sql_deallocate(&mut self, name: Option<&str>) -> Result<Answer> {
        match name {
            None => {
                self.prepared.retain(|name, _| name.is_empty());
                Ok(Answer::tag("DEALLOCATE ALL"))
            }
            Some(name) if self.prepared.remove(name).is_some() => Ok(Answer::tag("DEALLOCATE")),
            Some(name) => missing(name),
        }
    }

    /// The columns of EXECUTE.
    pub(super) fn executed_columns(&mut self, name: &str) -> Option<Vec<Output>> {
        let mut prepared = self.prepared.get(name).cloned()?;
        self.describe(&mut prepared).ok()?.1
    }
}
