//! Schemas.

use std::sync::Arc;

use super::depend::depended_on;
use crate::aws::aurora::catalog::{Acl, Object, Oid, Privilege, Schema, Touched};
use crate::aws::aurora::error::{Result, code, fail, unsupported};
use crate::aws::aurora::session::{Answer, Session};
use crate::aws::aurora::sql::bind::qualified;
use crate::aws::aurora::sql::command::{Alter, Drop};

impl Session {
    pub(in crate::aws::aurora::session) fn create_schema(
        &mut self,
        name: &str,
        if_not_exists: bool,
        owner: Option<&str>,
    ) -> Result<Answer> {
        const TAG: &str = "CREATE SCHEMA";
        self.check_writable(TAG)?;
        let catalog = self.catalog();
        let role = self.local.role();
        let may = catalog.is_superuser(&role)
            || catalog
                .database_acl
                .allows(&catalog.member_of(&role), Privilege::CREATE);
        if !may {
            return fail(
                code::INSUFFICIENT_PRIVILEGE,
                format!("permission denied for database {}", self.local.database),
            );
        }
        if name.starts_with("pg_") {
            return fail("42939", format!("unacceptable schema name \"{name}\""));
        }
        if catalog.schemas.contains_key(name) {
            if if_not_exists {
                self.note(format!("schema \"{name}\" already exists, skipping"));
                return Ok(Answer::tag(TAG));
            }
            return fail(
                code::DUPLICATE_SCHEMA,
                format!("schema \"{name}\" already exists"),
            );
        }
        let owner = owner.unwrap_or(&role).to_string();
        catalog.role(&owner)?;
        let schema = Schema {
            oid: self.engine.state().new_oid(),
            owner,
            acl: Acl::default(),
        };
        self.change([Touched::Schema(name.to_string())], |k| {
            k.schemas.insert(name.to_string(), Arc::new(schema))
        });
        Ok(Answer::tag(TAG))
    }

    fn contents(&mut self, schema: &str) -> Vec<Oid> {
        let catalog = self.catalog();
        let inside = |((of, _), oid): (&(String, String), &Oid)| {
            let index = matches!(catalog.objects.get(oid), Some(Object::Index(_)));
            (of == schema && !index).then_some(*oid)
        };
        catalog.names.iter().filter_map(inside).collect()
    }

    /// Drops everything in a schema.
    pub(in crate::aws::aurora::session) fn drop_schema_contents(&mut self, schema: &str) -> Result<()> {
        let contents = self.contents(schema);
        if contents.is_empty() {
            return Ok(());
        }
        self.drop_relations(&contents, true)
    }

    pub(super) fn drop_schemas(&mut self, d: &Drop) -> Result<()> {
        for name in &d.names {
            let (_, name) = qualified(name)?;
            let catalog = self.catalog();
            let Some(schema) = catalog.schemas.get(&name) else {
                if d.if_exists {
                    self.note(format!("schema \"{name}\" does not exist, skipping"));
                    continue;
                }
                return fail(
                    code::INVALID_SCHEMA_NAME,
                    format!("schema \"{name}\" does not exist"),
                );
            };
            self.must_own(&schema.owner, "schema", &name)?;
            if schema.oid < crate::aws::aurora::catalog::FIRST_OID && name != "public" {
                return unsupported(format_args!("DROP SCHEMA {name}"));
            }
            let contents = self.contents(&name);
            if !contents.is_empty() && !d.cascade {
                return Err(depended_on("schema", &name));
            }
            self.drop_schema_contents(&name)?;
            self.change([Touched::Schema(name.clone())], |k| k.schemas.remove(&name));
        }
        Ok(())
    }

    pub(super) fn alter_schema(&mut self, a: &Alter, tag: &str) -> Result<Answer> {
        let Alter::Owner { name, to, .. } = a else {
            return unsupported("ALTER SCHEMA other than OWNER TO");
        };
        let (_, name) = qualified(name)?;
        let catalog = self.catalog();
        let Some(schema) = catalog.schemas.get(&name) else {
            return fail(
                code::INVALID_SCHEMA_NAME,
                format!("schema \"{name}\" does not exist"),
            );
        };
        self.must_own(&schema.owner, "schema", &name)?;
        catalog.role(to)?;
        let mut changed = (**schema).clone();
        changed.owner.clone_from(to);
        self.change([Touched::Schema(name.clone())], |k| {
            k.schemas.insert(name.clone(), Arc::new(changed))
        });
        Ok(Answer::tag(tag))
    }
}
