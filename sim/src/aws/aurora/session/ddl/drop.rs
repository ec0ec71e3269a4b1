//! DROP, and RENAME, OWNER TO and SET SCHEMA of whole objects.

use std::sync::Arc;

use sqlparser::ast::ObjectName;

use super::depend::{defaults_of, depended_on, views_of};
use super::exists;
use crate::aws::aurora::catalog::{Catalog, Object, Oid, Touched};
use crate::aws::aurora::error::{Error, Result, code, fail, unsupported};
use crate::aws::aurora::lock::{Mode, Tag};
use crate::aws::aurora::session::{Answer, Session};
use crate::aws::aurora::sql::bind::qualified;
use crate::aws::aurora::sql::command::{Alter, Drop, Kind};

fn kind_of(object: &Object) -> Kind {
    match object {
        Object::Table(_) => Kind::Table,
        Object::Sequence(_) => Kind::Sequence,
        Object::View(_) => Kind::View,
        Object::Index(_) => Kind::Index,
    }
}

fn owner_of<'c>(catalog: &'c Catalog, object: &'c Object) -> &'c str {
    match object {
        Object::Table(t) => &t.owner,
        Object::Sequence(s) => &s.owner,
        Object::View(v) => &v.owner,
        Object::Index(table) => catalog.table(*table).map_or("", |t| &t.owner),
    }
}

fn missing(kind: Kind, name: &str) -> Box<Error> {
    let code = match kind {
        Kind::Index => code::UNDEFINED_OBJECT,
        Kind::Schema => code::INVALID_SCHEMA_NAME,
        _ => code::UNDEFINED_TABLE,
    };
    Error::new(code, format!("{} \"{name}\" does not exist", kind.word()))
}

impl Session {
    pub(in crate::aws::aurora::session) async fn drop_objects(&mut self, d: &Drop) -> Result<Answer> {
        let tag = format!("DROP {}", d.kind.word().to_uppercase());
        self.check_writable(&tag)?;
        match d.kind {
            Kind::Role => self.drop_roles(&d.names, d.if_exists)?,
            Kind::Policy => self.drop_policy(d).await?,
            Kind::Schema => self.drop_schemas(d)?,
            kind => {
                let mut chosen = Vec::new();
                for name in &d.names {
                    chosen.extend(self.drop_target(kind, name, d.if_exists)?);
                }
                for oid in &chosen {
                    self.lock(Tag::Relation(*oid), Mode::AccessExclusive).await?;
                }
                self.drop_relations(&chosen, d.cascade)?;
            }
        }
        Ok(Answer::tag(tag))
    }

    /// The oid a name in DROP means; None when it is missing and may be.
    fn drop_target(&mut self, kind: Kind, name: &ObjectName, if_exists: bool) -> Result<Option<Oid>> {
        let (schema, bare) = qualified(name)?;
        let catalog = self.catalog();
        let path = match schema {
            Some(schema) => vec![schema],
            None => self.local.search_path(),
        };
        let found = path
            .iter()
            .find_map(|s| catalog.names.get(&(s.clone(), bare.clone())).copied());
        let Some(oid) = found else {
            if if_exists {
                self.note(format!("{} \"{bare}\" does not exist, skipping", kind.word()));
                return Ok(None);
            }
            return Err(missing(kind, &bare));
        };
        let Some(object) = catalog.objects.get(&oid) else {
            return Err(missing(kind, &bare));
        };
        if kind_of(object) != kind {
            return fail(
                code::WRONG_OBJECT_TYPE,
                format!(
                    "\"{bare}\" is not {} {}",
                    if kind == Kind::Index { "an" } else { "a" },
                    kind.word()
                ),
            );
        }
        self.must_own(owner_of(&catalog, object), kind.word(), &bare)?;
        Ok(Some(oid))
    }

    /// Drops relations together, so that what depends on one may be another; with CASCADE all that depends on them.
    pub(super) fn drop_relations(&mut self, chosen: &[Oid], cascade: bool) -> Result<()> {
        let mut next = (*self.catalog()).clone();
        let mut touched = Vec::new();
        let mut queue = chosen.to_vec();
        let mut at = 0;
        while let Some(oid) = queue.get(at).copied() {
            at += 1;
            let Some(object) = next.objects.get(&oid).cloned() else {
                continue;
            };
            for view in views_of(&next, oid) {
                if !cascade && !chosen.contains(&view) {
                    let name = next.relation_name(oid);
                    return Err(depended_on(kind_of(&object).word(), &name));
                }
                queue.push(view);
            }
            match object {
                Object::Table(table) => {
                    for other in &table.referenced_by {
                        let Some(found) = next.table(*other).filter(|_| *other != oid) else {
                            continue;
                        };
                        if !found.foreign_keys.iter().any(|fk| fk.target == oid) {
                            continue;
                        }
                        if !cascade && !chosen.contains(other) {
                            return Err(depended_on("table", &table.name));
                        }
                        let mut freed = (**found).clone();
                        freed.foreign_keys.retain(|fk| fk.target != oid);
                        touched.push(Touched::Relation(*other));
                        next.put_table(freed);
                    }
                    queue.extend(next.sequences_of(oid).iter().map(|s| s.oid));
                }
                Object::Sequence(sequence) => {
                    for (table, column) in defaults_of(&next, oid) {
                        let going = queue.contains(&table);
                        if going {
                            continue;
                        }
                        if !cascade {
                            return Err(depended_on("sequence", &sequence.name));
                        }
                        let Some(found) = next.table(table) else { continue };
                        let mut freed = (**found).clone();
                        freed.columns[column].default = None;
                        freed.columns[column].identity = None;
                        touched.push(Touched::Relation(table));
                        next.put_table(freed);
                    }
                }
                Object::View(_) => {}
                Object::Index(table) => {
                    let Some(found) = next.table(table) else { continue };
                    let mut freed = (**found).clone();
                    let name = next.relation_name(oid);
                    if freed.indexes.iter().any(|i| i.oid == oid && i.constraint) {
                        return Err(Error::new(
                            code::DEPENDENT_OBJECTS_STILL_EXIST,
                            format!(
                                "cannot drop index {name} because constraint {name} on table {} requires it",
                                freed.name
                            ),
                        ));
                    }
                    let rests = |t: &crate::aws::aurora::catalog::Table| {
                        t.foreign_keys.iter().any(|fk| fk.target_index == oid)
                    };
                    if next.tables().any(|t| rests(t)) {
                        if !cascade {
                            return Err(depended_on("index", &name));
                        }
                        return unsupported("DROP INDEX CASCADE of an index that a foreign key rests on");
                    }
                    freed.indexes.retain(|i| i.oid != oid);
                    touched.push(Touched::Relation(table));
                    next.put_table(freed);
                    continue;
                }
            }
            touched.push(Touched::Relation(oid));
            next.remove(oid);
        }
        self.install(next, touched);
        Ok(())
    }

    pub(in crate::aws::aurora::session) async fn alter_object(&mut self, a: &Alter) -> Result<Answer> {
        let (Alter::Rename {
            kind,
            if_exists,
            name,
            to,
        }
        | Alter::Owner {
            kind,
            if_exists,
            name,
            to,
        }
        | Alter::Schema {
            kind,
            if_exists,
            name,
            to,
        }) = a;
        let tag = format!("ALTER {}", kind.word().to_uppercase());
        self.check_writable(&tag)?;
        if *kind == Kind::Schema {
            return self.alter_schema(a, &tag);
        }
        let object = match self.relation(name) {
            Ok(object) => object,
            Err(e) if *if_exists && e.code == code::UNDEFINED_TABLE => {
                self.note(format!("relation \"{name}\" does not exist, skipping"));
                return Ok(Answer::tag(tag));
            }
            Err(e) => return Err(e),
        };
        let catalog = self.catalog();
        // ALTER TABLE takes any relation, the others only their own kind.
        let actual = kind_of(&object);
        let (_, bare) = qualified(name)?;
        if *kind != Kind::Table && actual != *kind {
            return fail(
                code::WRONG_OBJECT_TYPE,
                format!("\"{bare}\" is not a {}", kind.word()),
            );
        }
        self.must_own(owner_of(&catalog, &object), actual.word(), &bare)?;
        let oid = match &object {
            Object::Table(t) => t.oid,
            Object::Sequence(s) => s.oid,
            Object::View(v) => v.oid,
            Object::Index(table) => *table,
        };
        self.lock(Tag::Relation(oid), Mode::AccessExclusive).await?;
        let schema = match &object {
            Object::Table(t) => t.schema.clone(),
            Object::Sequence(s) => s.schema.clone(),
            Object::View(v) => v.schema.clone(),
            Object::Index(table) => catalog
                .table(*table)
                .map(|t| t.schema.clone())
                .unwrap_or_default(),
        };
        match a {
            Alter::Rename { .. } => {
                if catalog.lookup(&schema, to).is_some() {
                    return Err(exists(to));
                }
                self.refuse_views_of(&catalog, oid, "renaming a relation that a view reads")?;
            }
            Alter::Schema { .. } => {
                let to = self.target_schema(Some(to.clone()))?;
                if to != schema && catalog.lookup(&to, &bare).is_some() {
                    return Err(exists(&bare));
                }
                if to != schema {
                    self.refuse_views_of(&catalog, oid, "moving a relation that a view reads")?;
                }
            }
            Alter::Owner { .. } => {
                let role = self.local.role();
                catalog.role(to)?;
                if !catalog.is_superuser(&role) && !catalog.is_member(&role, to) {
                    return fail(
                        code::INSUFFICIENT_PRIVILEGE,
                        format!("must be member of role \"{to}\""),
                    );
                }
            }
        }
        let sequences: Vec<_> = catalog.sequences_of(oid);
        let mut touched = vec![Touched::Relation(oid)];
        let mut next = (*catalog).clone();
        macro_rules! altered {
            ($object:expr) => {{
                let mut o = (*$object).clone();
                match a {
                    Alter::Rename { .. } => o.name.clone_from(to),
                    Alter::Owner { .. } => o.owner.clone_from(to),
                    Alter::Schema { .. } => o.schema.clone_from(to),
                }
                o
            }};
        }
        match object {
            Object::Table(t) => next.put_table(altered!(t)),
            Object::Sequence(s) => next.put_sequence(altered!(s)),
            Object::View(v) => next.put_view(altered!(v)),
            Object::Index(table) => {
                let Some(found) = next.table(table) else {
                    return Err(missing(Kind::Index, &bare));
                };
                let mut changed = (**found).clone();
                if let (Alter::Rename { .. }, Some(index)) =
                    (a, changed.indexes.iter_mut().find(|i| i.name == bare))
                {
                    index.name.clone_from(to);
                } else {
                    return unsupported("ALTER INDEX other than RENAME");
                }
                next.put_table(changed);
            }
        }
        // Sequences of columns follow their table.
        if !matches!(a, Alter::Rename { .. }) {
            for sequence in sequences {
                touched.push(Touched::Relation(sequence.oid));
                next.put_sequence(altered!(Arc::clone(&sequence)));
            }
        }
        self.install(next, touched);
        Ok(Answer::tag(tag))
    }
}
