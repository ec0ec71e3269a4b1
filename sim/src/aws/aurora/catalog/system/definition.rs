//! Definitions as text: what `pg_get_indexdef` and its kin answer.

use super::relations::constraint_oid;
use crate::aws::aurora::catalog::{Catalog, IndexDef, KeyPart, Oid, RefAction, Table};
use crate::aws::aurora::types::quote_ident;

fn columns(table: &Table, places: &[usize]) -> String {
    let names: Vec<String> = places
        .iter()
        .map(|c| quote_ident(&table.columns[*c].name))
        .collect();
    names.join(", ")
}

/// One key column of an index.
fn part(table: &Table, index: &IndexDef, at: usize) -> String {
    match &index.parts[at] {
        KeyPart::Column(c) => quote_ident(&table.columns[*c].name),
        KeyPart::Expr(..) => {
            let text = index.texts.get(at).cloned().unwrap_or_default();
            // A call stands as it is, anything else in parentheses of its own.
            if text.ends_with(')') && text.starts_with(|c: char| c.is_alphabetic() || c == '_') {
                text
            } else {
                format!("({text})")
            }
        }
    }
}

/// CREATE INDEX; pretty is without needless parentheses.
pub(crate) fn index(table: &Table, index: &IndexDef, pretty: bool) -> String {
    let unique = if index.unique { "UNIQUE " } else { "" };
    let parts: Vec<String> = (0..index.parts.len())
        .map(|at| {
            let desc = index.descending.get(at).copied().unwrap_or_default();
            format!("{}{}", part(table, index, at), if desc { " DESC" } else { "" })
        })
        .collect();
    let nulls = if index.nulls_equal {
        " NULLS NOT DISTINCT"
    } else {
        ""
    };
    let filter = index.predicate.as_ref().map_or_else(String::new, |(_, text)| {
        if pretty {
            format!(" WHERE {text}")
        } else {
            format!(" WHERE ({text})")
        }
    });
    format!(
        "CREATE {unique}INDEX {} ON {}.{} USING btree ({}){nulls}{filter}",
        quote_ident(&index.name),
        quote_ident(&table.schema),
        quote_ident(&table.name),
        parts.join(", ")
    )
}

/// `pg_get_indexdef`: the whole, or one column.
pub(crate) fn index_by_oid(catalog: &Catalog, oid: Oid, column: usize, pretty: bool) -> Option<String> {
    let table = catalog
        .tables()
        .find(|t| t.indexes.iter().any(|i| i.oid == oid))?;
    let found = table.indexes.iter().find(|i| i.oid == oid)?;
    match column {
        0 => Some(index(table, found, pretty)),
        n if n <= found.parts.len() => Some(part(table, found, n - 1)),
        _ => Some(String::new()),
    }
}

fn action(word: &str, a: RefAction) -> String {
    let action = match a {
        RefAction::NoAction => return String::new(),
        RefAction::Restrict => "RESTRICT",
        RefAction::Cascade => "CASCADE",
        RefAction::SetNull => "SET NULL",
        RefAction::SetDefault => "SET DEFAULT",
    };
    format!(" ON {word} {action}")
}

/// `pg_get_constraintdef`.
pub(crate) fn constraint(catalog: &Catalog, oid: Oid, pretty: bool) -> Option<String> {
    for table in catalog.tables() {
        let not_valid = |valid: bool| if valid { "" } else { " NOT VALID" };
        for check in &table.checks {
            if constraint_oid(table, &check.name) == oid {
                let text = if pretty {
                    check.text.clone()
                } else {
                    format!("({})", check.text)
                };
                return Some(format!("CHECK ({text}){}", not_valid(check.valid)));
            }
        }
        for fk in &table.foreign_keys {
            if constraint_oid(table, &fk.name) != oid {
                continue;
            }
            let target = catalog.table(fk.target)?;
            let deferred = match (fk.deferrable, fk.deferred) {
                (_, true) => " DEFERRABLE INITIALLY DEFERRED",
                (true, false) => " DEFERRABLE",
                _ => "",
            };
            return Some(format!(
                "FOREIGN KEY ({}) REFERENCES {}({}){}{}{deferred}{}",
                columns(table, &fk.columns),
                quote_ident(&target.name),
                columns(target, &fk.target_columns),
                action("UPDATE", fk.on_update),
                action("DELETE", fk.on_delete),
                not_valid(fk.valid)
            ));
        }
        for key in table.indexes.iter().filter(|i| i.constraint) {
            if key.oid == oid {
                let kind = if key.primary { "PRIMARY KEY" } else { "UNIQUE" };
                let nulls = if key.nulls_equal {
                    " NULLS NOT DISTINCT"
                } else {
                    ""
                };
                return Some(format!(
                    "{kind}{nulls} ({})",
                    columns(table, &key.columns().unwrap_or_default())
                ));
            }
        }
    }
    None
}
