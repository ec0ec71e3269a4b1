//! GRANT and REVOKE on objects.

use std::sync::Arc;

use sqlparser::ast::ObjectName;

use crate::aws::aurora::catalog::{Acl, Object, Oid, Privilege, Table, Touched};
use crate::aws::aurora::error::{Result, code, fail};
use crate::aws::aurora::session::{Answer, Session};
use crate::aws::aurora::sql::bind::qualified;
use crate::aws::aurora::sql::command::{Grant, GrantObject, Rights};

/// What is being granted on, for messages and for what ALL means.
#[derive(Clone, Copy)]
struct Class {
    word: &'static str,
    all: Privilege,
}

const TABLE: Class = Class {
    word: "table",
    all: Privilege::TABLE,
};
const SEQUENCE: Class = Class {
    word: "sequence",
    all: Privilege::SEQUENCE,
};
const SCHEMA: Class = Class {
    word: "schema",
    all: Privilege::SCHEMA,
};
fn apply(g: &Grant, class: Class, acl: &mut Acl, table: Option<&Table>) -> Result<()> {
    let list = match &g.rights {
        Rights::All(columns) if columns.is_empty() => vec![(class.all, Vec::new())],
        Rights::All(columns) => {
            let all = Privilege::SELECT | Privilege::INSERT | Privilege::UPDATE | Privilege::REFERENCES;
            vec![(all, columns.clone())]
        }
        Rights::These(list) => list.clone(),
    };
    for (right, columns) in &list {
        if !class.all.contains(*right) {
            return fail("0LP01", format!("invalid privilege type for {}", class.word));
        }
        for column in columns {
            let Some(table) = table else {
                return fail("0LP01", "column privileges are only valid for relations");
            };
            if table.column(column).is_none() {
                return Err(super::no_column(table, column));
            }
        }
        for grantee in &g.grantees {
            match (g.give, columns.is_empty()) {
                (true, true) => acl.grant(grantee, *right),
                (false, true) => acl.revoke(grantee, *right),
                (true, false) => columns.iter().for_each(|c| acl.grant_column(grantee, c, *right)),
                (false, false) => columns.iter().for_each(|c| acl.revoke_column(grantee, c, *right)),
            }
        }
    }
    Ok(())
}

impl Session {
    pub(in crate::aws::aurora::session) fn grant(&mut self, g: &Grant) -> Result<Answer> {
        let tag = if g.give { "GRANT" } else { "REVOKE" };
        self.check_writable(tag)?;
        for grantee in g.grantees.iter().filter(|name| !name.is_empty()) {
            self.catalog().role(grantee)?;
        }
        match &g.object {
            GrantObject::Tables(names) => self.grant_relations(g, names, TABLE)?,
            GrantObject::Sequences(names) => self.grant_relations(g, names, SEQUENCE)?,
            GrantObject::AllTables(schemas) => self.grant_all_in(g, schemas, TABLE)?,
            GrantObject::AllSequences(schemas) => self.grant_all_in(g, schemas, SEQUENCE)?,
            GrantObject::Schemas(schemas) => {
                for name in schemas {
                    let catalog = self.catalog();
                    let Some(schema) = catalog.schemas.get(name) else {
                        return fail(
                            code::INVALID_SCHEMA_NAME,
                            format!("schema \"{name}\" does not exist"),
                        );
                    };
                    self.must_grant(&schema.owner, "schema", name)?;
                    let mut schema = (**schema).clone();
                    apply(g, SCHEMA, &mut schema.acl, None)?;
                    self.change([Touched::Schema(name.clone())], |k| {
                        k.schemas.insert(name.clone(), Arc::new(schema))
                    });
                }
            }
        }
        Ok(Answer::tag(tag))
    }

    /// 42501 unless the role owns the object; grant options are not modelled.
    fn must_grant(&mut self, owner: &str, kind: &str, name: &str) -> Result<()> {
        match self.must_own(owner, kind, name) {
            Ok(()) => Ok(()),
            Err(_) => fail(
                code::INSUFFICIENT_PRIVILEGE,
                format!("permission denied for {kind} {name}"),
            ),
        }
    }

    fn grant_relations(&mut self, g: &Grant, names: &[ObjectName], class: Class) -> Result<()> {
        let mut chosen = Vec::new();
        for name in names {
            let object = self.relation(name)?;
            chosen.push(match &object {
                Object::Table(t) if class.word == "table" => t.oid,
                Object::View(v) if class.word == "table" => v.oid,
                Object::Sequence(s) => s.oid,
                _ => {
                    return fail(
                        code::WRONG_OBJECT_TYPE,
                        format!("\"{}\" is not a {}", qualified(name)?.1, class.word),
                    );
                }
            });
        }
        for oid in chosen {
            self.grant_one(g, oid, class)?;
        }
        Ok(())
    }

    fn grant_all_in(&mut self, g: &Grant, schemas: &[String], class: Class) -> Result<()> {
        let catalog = self.catalog();
        for schema in schemas {
            if !catalog.schemas.contains_key(schema) {
                return fail(
                    code::INVALID_SCHEMA_NAME,
                    format!("schema \"{schema}\" does not exist"),
                );
            }
            for ((of, _), oid) in &catalog.names {
                let fits = match catalog.objects.get(oid) {
                    Some(Object::Table(_) | Object::View(_)) => class.word == "table",
                    Some(Object::Sequence(_)) => class.word == "sequence",
                    _ => false,
                };
                if of == schema && fits {
                    self.grant_one(g, *oid, class)?;
                }
            }
        }
        Ok(())
    }

    fn grant_one(&mut self, g: &Grant, oid: Oid, class: Class) -> Result<()> {
        let catalog = self.catalog();
        match catalog.objects.get(&oid) {
            Some(Object::Table(t)) => {
                self.must_grant(&t.owner, "table", &t.name)?;
                let mut changed = (**t).clone();
                apply(g, class, &mut changed.acl, Some(t))?;
                self.put_table(changed);
            }
            Some(Object::View(v)) => {
                self.must_grant(&v.owner, "view", &v.name)?;
                let mut changed = (**v).clone();
                apply(g, class, &mut changed.acl, None)?;
                self.change([Touched::Relation(oid)], |k| k.put_view(changed));
            }
            Some(Object::Sequence(s)) => {
                self.must_grant(&s.owner, "sequence", &s.name)?;
                let mut changed = (**s).clone();
                apply(g, SEQUENCE, &mut changed.acl, None)?;
                self.change([Touched::Relation(oid)], |k| k.put_sequence(changed));
            }
            _ => {}
        }
        Ok(())
    }
}
