//! What depends on an object, and dropping a column or constraint together with what hangs on it.

use crate::aws::aurora::catalog::{Catalog, IndexDef, KeyPart, Object, Oid, Table, Touched};
use crate::aws::aurora::error::{Error, Result, code, unsupported};
use crate::aws::aurora::session::Session;
use crate::aws::aurora::sql::expr::Expr;
use crate::aws::aurora::types::Value;

/// 2BP01.
pub(super) fn depended_on(kind: &str, name: &str) -> Box<Error> {
    Error::new(
        code::DEPENDENT_OBJECTS_STILL_EXIST,
        format!("cannot drop {kind} {name} because other objects depend on it"),
    )
    .hint("Use DROP ... CASCADE to drop the dependent objects too.")
}

/// Views whose query reads a relation.
pub(super) fn views_of(catalog: &Catalog, oid: Oid) -> Vec<Oid> {
    catalog
        .objects
        .values()
        .filter_map(|o| match o {
            Object::View(v) if v.depends.contains(&oid) => Some(v.oid),
            _ => None,
        })
        .collect()
}

/// Columns whose default draws from a sequence, without the sequence's own.
pub(super) fn defaults_of(catalog: &Catalog, sequence: Oid) -> Vec<(Oid, usize)> {
    let draws = |e: &Expr| e.any(&|e| matches!(e, Expr::Const(Value::Oid(o)) if *o == sequence));
    let mut out = Vec::new();
    for table in catalog.tables() {
        for (at, column) in table.live() {
            if column.default.as_ref().is_some_and(|(e, _)| draws(e)) {
                out.push((table.oid, at));
            }
        }
    }
    out
}

fn uses(e: &Expr, at: usize) -> bool {
    e.any(&|e| matches!(e, Expr::Column(c) if *c == at))
}

fn index_uses(index: &IndexDef, at: usize) -> bool {
    index.parts.iter().any(|p| match p {
        KeyPart::Column(c) => *c == at,
        KeyPart::Expr(e, _) => uses(e, at),
    }) || index.predicate.as_ref().is_some_and(|(e, _)| uses(e, at))
}

impl Session {
    /// Refuses a change under a view: the view's query is kept as text, so it would change its meaning.
    pub(super) fn refuse_views_of(&mut self, catalog: &Catalog, oid: Oid, change: &str) -> Result<()> {
        if views_of(catalog, oid).is_empty() {
            return Ok(());
        }
        unsupported(change)
    }

    /// Removes the foreign keys of other tables that rest on an index.
    fn drop_references(
        &mut self,
        next: &mut Catalog,
        table: &mut Table,
        touched: &mut Vec<Touched>,
        index: Oid,
        cascade: bool,
        name: &str,
    ) -> Result<()> {
        for oid in table.referenced_by.clone() {
            let mut other = if oid == table.oid {
                table.clone()
            } else {
                match next.table(oid) {
                    Some(other) => (**other).clone(),
                    None => continue,
                }
            };
            if !other.foreign_keys.iter().any(|fk| fk.target_index == index) {
                continue;
            }
            if !cascade {
                return Err(depended_on("constraint", name));
            }
            other.foreign_keys.retain(|fk| fk.target_index != index);
            if oid == table.oid {
                *table = other;
            } else {
                touched.push(Touched::Relation(oid));
                next.put_table(other);
            }
        }
        Ok(())
    }

    /// Drops a constraint by name; false if there is none.
    pub(super) fn drop_constraint(
        &mut self,
        next: &mut Catalog,
        table: &mut Table,
        touched: &mut Vec<Touched>,
        name: &str,
        cascade: bool,
    ) -> Result<bool> {
        if let Some(at) = table.checks.iter().position(|c| c.name == name) {
            table.checks.remove(at);
            return Ok(true);
        }
        if let Some(at) = table.foreign_keys.iter().position(|c| c.name == name) {
            table.foreign_keys.remove(at);
            return Ok(true);
        }
        let Some(index) = table
            .indexes
            .iter()
            .find(|i| i.constraint && i.name == name)
            .map(|i| i.oid)
        else {
            return Ok(false);
        };
        self.drop_references(next, table, touched, index, cascade, name)?;
        table.indexes.retain(|i| i.oid != index);
        Ok(true)
    }

    /// Drops a column with the indexes and constraints that it is part of.
    pub(super) fn drop_column(
        &mut self,
        next: &mut Catalog,
        table: &mut Table,
        touched: &mut Vec<Touched>,
        at: usize,
        cascade: bool,
    ) -> Result<()> {
        let name = table.columns[at].name.clone();
        let generated: Vec<usize> = table
            .live()
            .filter(|(i, c)| *i != at && c.generated.as_ref().is_some_and(|e| uses(e, at)))
            .map(|(i, _)| i)
            .collect();
        let views = views_of(next, table.oid);
        if !views.is_empty() {
            // Which columns a view reads is not recorded, so any view of the table may be in the way.
            if !cascade {
                return Err(depended_on("column", &name));
            }
            for view in views {
                touched.push(Touched::Relation(view));
                next.remove(view);
            }
        }
        if !generated.is_empty() && !cascade {
            return Err(depended_on("column", &name));
        }
        let indexes: Vec<(Oid, String)> = table
            .indexes
            .iter()
            .filter(|i| index_uses(i, at))
            .map(|i| (i.oid, i.name.clone()))
            .collect();
        for (oid, name) in indexes {
            self.drop_references(next, table, touched, oid, cascade, &name)?;
            table.indexes.retain(|i| i.oid != oid);
        }
        table.checks.retain(|c| !uses(&c.expr, at));
        table.foreign_keys.retain(|fk| !fk.columns.contains(&at));
        for sequence in next.sequences_of(table.oid) {
            if sequence.owned_by == Some((table.oid, at)) {
                touched.push(Touched::Relation(sequence.oid));
                next.remove(sequence.oid);
            }
        }
        for at in generated.into_iter().chain([at]) {
            let column = &mut table.columns[at];
            column.dropped = true;
            column.not_null = false;
            column.default = None;
            column.generated = None;
            column.identity = None;
            column.name = format!("........pg.dropped.{}........", at + 1);
            table.comments.remove(&(at as i16 + 1));
        }
        Ok(())
    }
}
