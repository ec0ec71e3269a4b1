//! Column references: what a name means here, and the right to read it.

use sqlparser::ast;

use super::super::expr::Expr;
use super::super::plan::Needed;
use super::{Binder, Typed, fold};
use crate::aws::aurora::catalog::Privilege;
use crate::aws::aurora::error::{Result, code, fail, unsupported};
use crate::aws::aurora::types::Type;

impl Binder<'_> {
    /// Looks a column up from the innermost scope outwards.
    pub(super) fn column(
        &mut self,
        schema: Option<&ast::Ident>,
        table: Option<&ast::Ident>,
        name: &ast::Ident,
    ) -> Result<Typed> {
        let (schema, table_name, column) = (schema.map(fold), table.map(fold), fold(name));
        let mut level = 0;
        let mut at = self.scopes.len();
        let mut seen_table = false;
        while at > 0 {
            at -= 1;
            let scope = &self.scopes[at];
            let found = match &table_name {
                None => match scope.find(&column)? {
                    Some(c) => Some(c.clone()),
                    None => match scope.rel(None, &column) {
                        Some(rel) => {
                            let columns = rel.columns.clone();
                            columns.iter().for_each(|c| self.read_column_at(at, c));
                            let Some(rel) = self.scopes[at].rel(None, &column) else {
                                break;
                            };
                            let parts = rel.columns.iter().map(|c| outer(level, c.place)).collect();
                            self.reach(level);
                            return Ok(Typed::new(Expr::Row(parts), Type::Record));
                        }
                        None => None,
                    },
                },
                Some(t) => match scope.rel(schema.as_deref(), t) {
                    Some(rel) => {
                        seen_table = true;
                        rel.columns.iter().find(|c| c.name == column).cloned()
                    }
                    None => None,
                },
            };
            if let Some(c) = found {
                self.read_column_at(at, &c);
                self.reach(level);
                return Ok(Typed {
                    expr: outer(level, c.place),
                    ty: c.ty,
                    typmod: c.typmod,
                });
            }
            if seen_table {
                break;
            }
            if scope.barrier {
                if self.scopes[..at].iter().any(|s| match &table_name {
                    None => matches!(s.find(&column), Ok(Some(_))),
                    Some(t) => s.rel(schema.as_deref(), t).is_some(),
                }) {
                    return unsupported("a WITH query that refers to an enclosing query");
                }
                break;
            }
            level += 1;
        }
        match table_name.clone() {
            Some(t) if !seen_table => fail(
                code::UNDEFINED_TABLE,
                format!("missing FROM-clause entry for table \"{t}\""),
            ),
            Some(t) => fail(
                code::UNDEFINED_COLUMN,
                format!("column {t}.{column} does not exist"),
            ),
            _ if ["tableoid", "cmax", "xmax", "cmin", "xmin", "ctid"].contains(&column.as_str())
                && (table_name.is_none() || seen_table) =>
            {
                unsupported(format_args!("system column {column}"))
            }
            None if column == "current_schema" && name.quote_style.is_none() => {
                self.call("current_schema", Vec::new())
            }
            None => fail(
                code::UNDEFINED_COLUMN,
                format!("column \"{column}\" does not exist"),
            ),
        }
    }

    /// Notes that a column of the innermost FROM is read, for its rights.
    pub(super) fn read_column(&mut self, column: &super::ScopeColumn) {
        if let Some(at) = self.scopes.len().checked_sub(1) {
            self.read_column_at(at, column);
        }
    }

    fn read_column_at(&mut self, at: usize, column: &super::ScopeColumn) {
        let base = self.scopes[at].rels.iter().find(|r| {
            r.table.is_some() && !r.qualified_only && r.columns.iter().any(|c| c.place == column.place)
        });
        let Some(table) = base.and_then(|r| r.table.clone()) else {
            return;
        };
        if self.unchecked {
            return;
        }
        // A renamed column is looked up by its place, not by its alias.
        let Some(real) = table.columns.get((column.origin.1 - 1).max(0) as usize) else {
            return;
        };
        let role = self.acting.clone();
        let same = |n: &&mut Needed| n.oid == table.oid && n.rights == Privilege::SELECT && n.role == role;
        match self.needed.iter_mut().find(same) {
            Some(needed) if needed.columns.contains(&real.name) => {}
            Some(needed) => needed.columns.push(real.name.clone()),
            None => self.needed.push(Needed {
                oid: table.oid,
                rights: Privilege::SELECT,
                columns: vec![real.name.clone()],
                role,
            }),
        }
    }

    fn reach(&mut self, level: usize) {
        if let Some(scope) = self.scopes.last_mut() {
            scope.reach = scope.reach.max(level);
        }
    }
}

fn outer(level: usize, place: usize) -> Expr {
    if level == 0 {
        Expr::Column(place)
    } else {
        Expr::Outer(level, place)
    }
}
