//! Roles and their memberships.

use std::sync::Arc;

use sqlparser::ast::ObjectName;

use crate::aws::aurora::catalog::{Catalog, Object, Role, Touched};
use crate::aws::aurora::error::{Error, Result, code, fail};
use crate::aws::aurora::session::{Answer, Session};
use crate::aws::aurora::sql::bind::qualified;
use crate::aws::aurora::sql::command::{GrantRoles, RoleChange};

/// Whether anything is owned by a role or granted to it.
fn in_use(catalog: &Catalog, role: &str) -> bool {
    let objects = catalog.objects.values().any(|o| match o {
        Object::Table(t) => {
            t.owner == role
                || t.acl.mentions(role)
                || t.policies.iter().any(|p| p.roles.iter().any(|r| r == role))
        }
        Object::Sequence(s) => s.owner == role || s.acl.mentions(role),
        Object::View(v) => v.owner == role || v.acl.mentions(role),
        Object::Index(_) => false,
    });
    objects
        || catalog.database_acl.mentions(role)
        || catalog
            .schemas
            .values()
            .any(|s| s.owner == role || s.acl.mentions(role))
}

impl Session {
    /// 42501 unless the session may make and change roles.
    fn manage_roles(&mut self, command: &str) -> Result<()> {
        let catalog = self.catalog();
        let role = self.local.role();
        if catalog.is_superuser(&role) || catalog.roles.get(&role).is_some_and(|r| r.create_role) {
            return Ok(());
        }
        fail(
            code::INSUFFICIENT_PRIVILEGE,
            format!("permission denied to {command}"),
        )
    }

    fn put_role(&mut self, role: Role) {
        self.change([Touched::Role(role.name.clone())], |k| {
            k.roles.insert(role.name.clone(), Arc::new(role))
        });
    }

    pub(in crate::aws::aurora::session) fn change_role(&mut self, c: &RoleChange) -> Result<Answer> {
        let tag = if c.create { "CREATE ROLE" } else { "ALTER ROLE" };
        self.check_writable(tag)?;
        let catalog = self.catalog();
        let name = match c.name.as_str() {
            "current_user" | "current_role" => self.local.role(),
            "session_user" => self.local.session_user(),
            name => name.to_string(),
        };
        self.manage_roles(if c.create { "create role" } else { "alter role" })?;
        if c.superuser.is_some() && !catalog.is_superuser(&self.local.role()) {
            return fail(
                code::INSUFFICIENT_PRIVILEGE,
                "must be superuser to create superusers or change superuser attribute",
            );
        }
        let mut role = if c.create {
            if matches!(name.as_str(), "public" | "none") || name.starts_with("pg_") {
                return fail("42939", format!("role name \"{name}\" is reserved"));
            }
            if catalog.roles.contains_key(&name) {
                return fail(code::DUPLICATE_OBJECT, format!("role \"{name}\" already exists"));
            }
            Role::new(self.engine.state().new_oid(), &name)
        } else {
            (**catalog.role(&name)?).clone()
        };
        for (flag, change) in [
            (&mut role.superuser, c.superuser),
            (&mut role.create_db, c.create_db),
            (&mut role.create_role, c.create_role),
            (&mut role.inherit, c.inherit),
            (&mut role.login, c.login),
            (&mut role.bypass_rls, c.bypass_rls),
        ] {
            *flag = change.unwrap_or(*flag);
        }
        if let Some(password) = &c.password {
            role.password.clone_from(password);
        }
        if let Some(to) = &c.rename {
            return crate::aws::aurora::error::unsupported(format_args!("ALTER ROLE {name} RENAME TO {to}"));
        }
        self.put_role(role);
        for group in &c.member_of {
            self.set_member(group, &name, true)?;
        }
        for member in &c.members {
            self.set_member(&name, member, c.create)?;
        }
        Ok(Answer::tag(tag))
    }

    fn set_member(&mut self, group: &str, member: &str, give: bool) -> Result<()> {
        let catalog = self.catalog();
        catalog.role(group)?;
        let mut role = (**catalog.role(member)?).clone();
        if give && (group == member || catalog.is_member(group, member)) {
            return fail(
                "0LP01",
                format!("role \"{member}\" is a member of role \"{group}\""),
            );
        }
        if give {
            role.member_of.insert(group.to_string());
        } else {
            role.member_of.remove(group);
        }
        self.put_role(role);
        Ok(())
    }

    pub(in crate::aws::aurora::session) fn grant_roles(&mut self, g: &GrantRoles) -> Result<Answer> {
        let tag = if g.give { "GRANT ROLE" } else { "REVOKE ROLE" };
        self.check_writable(tag)?;
        for group in &g.roles {
            self.catalog().role(group)?;
            self.manage_roles("grant role")?;
            for member in &g.members {
                self.set_member(group, member, g.give)?;
            }
        }
        Ok(Answer::tag(tag))
    }

    pub(super) fn drop_roles(&mut self, names: &[ObjectName], if_exists: bool) -> Result<()> {
        self.manage_roles("drop role")?;
        for name in names {
            let (_, name) = qualified(name)?;
            let catalog = self.catalog();
            if !catalog.roles.contains_key(&name) {
                if if_exists {
                    self.note(format!("role \"{name}\" does not exist, skipping"));
                    continue;
                }
                catalog.role(&name)?;
            }
            if name == self.local.role() || name == self.local.session_user() {
                return fail(code::OBJECT_IN_USE, "current user cannot be dropped");
            }
            if in_use(&catalog, &name) {
                return Err(Error::new(
                    code::DEPENDENT_OBJECTS_STILL_EXIST,
                    format!("role \"{name}\" cannot be dropped because some objects depend on it"),
                ));
            }
            let members: Vec<Role> = catalog
                .roles
                .values()
                .filter(|r| r.member_of.contains(&name))
                .map(|r| (**r).clone())
                .collect();
            for mut member in members {
                member.member_of.remove(&name);
                self.put_role(member);
            }
            self.change([Touched::Role(name.clone())], |k| k.roles.remove(&name));
        }
        Ok(())
    }

    /// DROP OWNED BY: what the roles own goes, and what was granted to them here.
    pub(in crate::aws::aurora::session) async fn drop_owned(&mut self, owners: &[String]) -> Result<Answer> {
        self.check_writable("DROP OWNED")?;
        for owner in owners {
            let catalog = self.catalog();
            catalog.role(owner)?;
            let role = self.local.role();
            if !catalog.is_superuser(&role) && !catalog.is_member(&role, owner) {
                return fail(code::INSUFFICIENT_PRIVILEGE, "permission denied to drop objects");
            }
            let mut owned = Vec::new();
            for (oid, object) in &catalog.objects {
                let of = match object {
                    Object::Table(t) => &t.owner,
                    Object::Sequence(s) => &s.owner,
                    Object::View(v) => &v.owner,
                    Object::Index(_) => continue,
                };
                if of == owner {
                    owned.push(*oid);
                }
            }
            self.drop_relations(&owned, true)?;
            self.forget_grants(owner);
        }
        Ok(Answer::tag("DROP OWNED"))
    }

    fn forget_grants(&mut self, role: &str) {
        let catalog = self.catalog();
        let mut next = (*catalog).clone();
        let mut touched = Vec::new();
        for (oid, object) in &catalog.objects {
            match object {
                Object::Table(t) => {
                    let mut t = (**t).clone();
                    t.acl.forget(role);
                    for policy in &mut t.policies {
                        policy.roles.retain(|r| r != role);
                    }
                    next.put_table(t);
                }
                Object::Sequence(s) => {
                    let mut s = (**s).clone();
                    s.acl.forget(role);
                    next.put_sequence(s);
                }
                Object::View(v) => {
                    let mut v = (**v).clone();
                    v.acl.forget(role);
                    next.put_view(v);
                }
                Object::Index(_) => continue,
            }
            touched.push(Touched::Relation(*oid));
        }
        for (name, schema) in &catalog.schemas {
            let mut schema = (**schema).clone();
            schema.acl.forget(role);
            next.schemas.insert(name.clone(), Arc::new(schema));
            touched.push(Touched::Schema(name.clone()));
        }
        self.install(next, touched);
    }
}
