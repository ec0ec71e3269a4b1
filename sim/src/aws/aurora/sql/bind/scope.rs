//! What a name can mean at a place in a query.

use std::sync::Arc;

use super::super::expr::Expr;
use super::super::plan::{Aggregate, SourceKind, Window};
use crate::aws::aurora::catalog::{Oid, Table};
use crate::aws::aurora::error::{Result, code, fail};
use crate::aws::aurora::types::Type;

/// A bound expression and its type.
#[derive(Clone, Debug)]
pub(crate) struct Typed {
    /// The expression.
    pub expr: Expr,
    /// Its type; `Unknown` for a bare literal or an untyped parameter.
    pub ty: Type,
    /// Length or precision; -1 is none.
    pub typmod: i32,
}

impl Typed {
    /// Without a type modifier.
    pub(crate) fn new(expr: Expr, ty: Type) -> Typed {
        Typed { expr, ty, typmod: -1 }
    }
}

/// A column that a name can mean.
#[derive(Clone, Debug)]
pub(crate) struct ScopeColumn {
    /// Name.
    pub name: String,
    /// Type.
    pub ty: Type,
    /// Length or precision.
    pub typmod: i32,
    /// Place in the flat row.
    pub place: usize,
    /// Table and column number.
    pub origin: (Oid, i16),
    /// Merged away by USING; reachable only with its table's name.
    pub merged: bool,
}

/// A table or subquery of FROM.
#[derive(Clone, Debug)]
pub(crate) struct Rel {
    /// Alias or name.
    pub alias: String,
    /// Schema, when unaliased.
    pub schema: Option<String>,
    /// Columns in order.
    pub columns: Vec<ScopeColumn>,
    /// The base table, if it is one.
    pub table: Option<Arc<Table>>,
    /// Scan number of a base table.
    pub scan: Option<usize>,
    /// Not yet visible, or never: a sibling of a subquery that is not LATERAL.
    pub hidden: bool,
    /// Only reachable by its name: `excluded` of ON CONFLICT.
    pub qualified_only: bool,
}

impl Rel {
    /// A base table at an offset.
    pub(crate) fn of_table(table: &Arc<Table>, alias: &str, offset: usize) -> Rel {
        let columns = table
            .live()
            .map(|(i, c)| ScopeColumn {
                name: c.name.clone(),
                ty: c.ty,
                typmod: c.typmod,
                place: offset + i,
                origin: (table.oid, i as i16 + 1),
                merged: false,
            })
            .collect();
        Rel {
            alias: alias.to_string(),
            schema: None,
            columns,
            table: Some(table.clone()),
            scan: None,
            hidden: false,
            qualified_only: false,
        }
    }
}

/// One query level.
#[derive(Clone, Debug)]
pub(crate) struct Scope {
    /// Tables.
    pub rels: Vec<Rel>,
    /// Names seen so far of SELECT's FROM end here.
    pub width: usize,
    /// The clause being bound, for messages.
    pub clause: &'static str,
    /// Whether aggregates may be called in it.
    pub aggregates_allowed: bool,
    /// Aggregates called.
    pub aggregates: Vec<Aggregate>,
    /// Whether window functions may be called.
    pub windows_allowed: bool,
    /// Window functions called.
    pub windows: Vec<Window>,
    /// How many levels up its expressions reach.
    pub reach: usize,
    /// Names beyond are out of reach: a CTE or view body.
    pub barrier: bool,
    /// Scans numbered.
    pub scans: usize,
    /// Set-returning functions of the select list, and their places.
    pub sets: Vec<SourceKind>,
    /// Named windows.
    pub named_windows: Vec<(String, sqlparser::ast::WindowSpec)>,
}

impl Scope {
    /// An empty scope.
    pub(crate) fn new(clause: &'static str) -> Scope {
        Scope {
            rels: Vec::new(),
            width: 0,
            clause,
            aggregates_allowed: false,
            aggregates: Vec::new(),
            windows_allowed: false,
            windows: Vec::new(),
            reach: 0,
            barrier: false,
            scans: 0,
            sets: Vec::new(),
            named_windows: Vec::new(),
        }
    }

    /// Adds a table.
    pub(crate) fn push(&mut self, rel: Rel) {
        let end = match &rel.table {
            Some(t) => rel.columns.first().map_or(0, |_| {
                rel.columns
                    .iter()
                    .map(|c| c.place + 1)
                    .max()
                    .unwrap_or(0)
                    .max(self.width + t.columns.len())
            }),
            None => rel.columns.iter().map(|c| c.place + 1).max().unwrap_or(0),
        };
        self.width = self.width.max(end);
        self.rels.push(rel);
    }

    /// The column of this level that an unqualified name means.
    pub(crate) fn find(&self, name: &str) -> Result<Option<&ScopeColumn>> {
        let mut found: Option<&ScopeColumn> = None;
        for rel in self.rels.iter().filter(|r| !r.hidden && !r.qualified_only) {
            for column in rel.columns.iter().filter(|c| c.name == name && !c.merged) {
                if found.is_some() {
                    return fail(
                        code::AMBIGUOUS_COLUMN,
                        format!("column reference \"{name}\" is ambiguous"),
                    );
                }
                found = Some(column);
            }
        }
        Ok(found)
    }

    /// The table of this level with this name.
    pub(crate) fn rel(&self, schema: Option<&str>, alias: &str) -> Option<&Rel> {
        self.rels
            .iter()
            .find(|r| !r.hidden && r.alias == alias && schema.is_none_or(|s| r.schema.as_deref() == Some(s)))
    }
}
