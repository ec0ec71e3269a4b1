//! CREATE VIEW.

use std::sync::Arc;

use sqlparser::ast;

use super::exists;
use crate::aws::aurora::catalog::{Acl, Object, Touched, View};
use crate::aws::aurora::error::{Result, code, fail, unsupported};
use crate::aws::aurora::session::{Answer, Session};
use crate::aws::aurora::sql::bind::{Binder, fold, qualified};

impl Session {
    pub(in crate::aws::aurora::session) async fn create_view(
        &mut self,
        v: &ast::CreateView,
    ) -> Result<Answer> {
        const TAG: &str = "CREATE VIEW";
        self.check_writable(TAG)?;
        let plain = matches!(v.options, ast::CreateTableOptions::None)
            && v.cluster_by.is_empty()
            && v.comment.is_none()
            && v.to.is_none()
            && v.params.is_none()
            && v.columns
                .iter()
                .all(|c| c.data_type.is_none() && c.options.is_none());
        if v.materialized {
            return unsupported("CREATE MATERIALIZED VIEW");
        }
        if !plain
            || v.temporary
            || v.secure
            || v.or_alter
            || v.if_not_exists
            || v.with_no_schema_binding
            || v.copy_grants
        {
            return unsupported("an option of CREATE VIEW");
        }
        let (schema, name) = qualified(&v.name)?;
        let schema = self.target_schema(schema)?;
        let catalog = self.catalog();
        let given: Vec<String> = v.columns.iter().map(|c| fold(&c.name)).collect();
        let statement = ast::Statement::Query(v.query.clone());
        let plan = self.with_settings(|s| Binder::new(&catalog, s, &[]).plan(&statement))?;
        if !plan.params.is_empty() {
            return fail(code::UNDEFINED_PARAMETER, "there is no parameter $1");
        }
        let mut outputs = plan.columns.unwrap_or_default();
        if given.len() > outputs.len() {
            return fail(
                code::SYNTAX_ERROR,
                "CREATE VIEW specifies more column names than columns",
            );
        }
        for (output, name) in outputs.iter_mut().zip(&given) {
            output.name.clone_from(name);
        }
        for (at, output) in outputs.iter().enumerate() {
            if outputs[..at].iter().any(|o| o.name == output.name) {
                return fail(
                    code::DUPLICATE_COLUMN,
                    format!("column \"{}\" specified more than once", output.name),
                );
            }
        }
        let mut depends: Vec<_> = plan.needed.iter().map(|n| n.oid).collect();
        depends.sort_unstable();
        depends.dedup();
        let mut view = View {
            oid: 0,
            schema: schema.clone(),
            name: name.clone(),
            owner: self.local.role(),
            columns: given,
            outputs,
            depends,
            query: Arc::new((*v.query).clone()),
            acl: Acl::default(),
        };
        match catalog.lookup(&schema, &name) {
            None => {
                self.claim_name(&schema, &name, super::TYPE_NAMES).await?;
                view.oid = self.engine.state().new_oid();
            }
            Some(Object::View(old)) if v.or_replace => {
                self.must_own(&old.owner, "view", &name)?;
                let kept = old.outputs.len() <= view.outputs.len()
                    && old
                        .outputs
                        .iter()
                        .zip(&view.outputs)
                        .all(|(a, b)| a.name == b.name && a.ty == b.ty);
                if !kept {
                    return fail(
                        code::INVALID_TABLE_DEFINITION,
                        "cannot drop, rename or retype columns of a view",
                    );
                }
                view.oid = old.oid;
                view.owner.clone_from(&old.owner);
                view.acl = old.acl.clone();
            }
            Some(Object::View(_)) => return Err(exists(&name)),
            Some(_) if v.or_replace => {
                return fail(code::WRONG_OBJECT_TYPE, format!("\"{name}\" is not a view"));
            }
            Some(_) => return Err(exists(&name)),
        }
        self.change([Touched::Relation(view.oid)], |k| k.put_view(view));
        Ok(Answer::tag(TAG))
    }
}
