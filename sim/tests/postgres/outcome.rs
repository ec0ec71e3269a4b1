//! What a statement did, and in which respects two outcomes differ.

use std::fmt;

use crate::wire::{Column, Failure, Value};

/// PostgreSQL's own types have OIDs below this.
const USER_OID_MIN: u32 = 16_384;

/// One result set of a statement.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ResultSet {
    pub(crate) columns: Option<Vec<Column>>,
    pub(crate) rows: Vec<Vec<Value>>,
    /// The command tag; `None` when an error cut the result short.
    pub(crate) tag: Option<String>,
}

/// Everything that a statement answered, up to ReadyForQuery.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// Types that the server inferred for the parameters (extended protocol only).
    pub(crate) parameters: Option<Vec<u32>>,
    pub(crate) results: Vec<ResultSet>,
    pub(crate) failure: Option<Failure>,
    /// Transaction status: I idle, T in a transaction, E in a failed one.
    pub(crate) status: char,
    /// The connection ended before ReadyForQuery.
    pub(crate) lost: bool,
    /// Why it ended, for people only.
    pub(crate) note: String,
}

/// A respect in which two outcomes differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Aspect {
    /// One succeeded, the other failed.
    Success,
    Sqlstate,
    Severity,
    /// Constraint, table or column of an error.
    Place,
    ColumnNames,
    ColumnTypes,
    ParameterTypes,
    Rows,
    Tag,
    /// Transaction status after the statement.
    Status,
    /// The connection ended on one side only.
    Connection,
}

impl fmt::Display for Aspect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Success => "success",
            Self::Sqlstate => "sqlstate",
            Self::Severity => "severity",
            Self::Place => "place",
            Self::ColumnNames => "column-names",
            Self::ColumnTypes => "column-types",
            Self::ParameterTypes => "parameter-types",
            Self::Rows => "rows",
            Self::Tag => "tag",
            Self::Status => "status",
            Self::Connection => "connection",
        })
    }
}

/// How rows are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rows {
    Ordered,
    /// As a multiset: nothing asked for an order.
    Unordered,
    /// Values depend on the clock or on chance: only their number and which are NULL is compared.
    Volatile,
}

impl Outcome {
    /// The result set under way; a command without rows opens one at its tag.
    pub(crate) fn open_result(&mut self) -> &mut ResultSet {
        if self.results.last().is_none_or(|result| result.tag.is_some()) {
            self.results.push(ResultSet::default());
        }
        self.results.last_mut().expect("one was just pushed")
    }

    /// The text of the only value of the only row.
    ///
    /// # Panics
    /// When the answer has another shape.
    pub(crate) fn single_text(&self) -> String {
        let value = self
            .results
            .first()
            .and_then(|result| result.rows.first())
            .and_then(|row| row.first());
        let value = value
            .and_then(Option::as_ref)
            .unwrap_or_else(|| panic!("no value in {self}"));
        String::from_utf8_lossy(value).into_owned()
    }

    /// SQLSTATE of the error, if there was one.
    pub(crate) fn sqlstate(&self) -> Option<&str> {
        self.failure.as_ref().map(|failure| failure.sqlstate.as_str())
    }

    /// All respects in which the two differ; empty when they agree.
    pub(crate) fn differences(&self, other: &Self, rows: Rows) -> Vec<Aspect> {
        let mut found = Vec::new();
        let mut check = |same: bool, aspect: Aspect| {
            if !same && !found.contains(&aspect) {
                found.push(aspect);
            }
        };
        check(self.lost == other.lost, Aspect::Connection);
        check(self.status == other.status, Aspect::Status);
        match (&self.failure, &other.failure) {
            (None, None) => {}
            (Some(left), Some(right)) => {
                check(left.sqlstate == right.sqlstate, Aspect::Sqlstate);
                check(left.severity == right.severity, Aspect::Severity);
                let place = |failure: &Failure| {
                    (
                        failure.constraint.clone(),
                        failure.table.clone(),
                        failure.column.clone(),
                    )
                };
                check(place(left) == place(right), Aspect::Place);
            }
            _ => check(false, Aspect::Success),
        }
        // Rows before an error, and descriptions of a statement that then failed, are an artefact of the executor's
        // pipeline: a client sees the error.
        if self.failure.is_some() || other.failure.is_some() {
            return found;
        }
        check(self.parameters == other.parameters, Aspect::ParameterTypes);
        check(self.results.len() == other.results.len(), Aspect::Tag);
        for (left, right) in self.results.iter().zip(&other.results) {
            check(left.tag == right.tag, Aspect::Tag);
            let names = |result: &ResultSet| {
                result
                    .columns
                    .as_ref()
                    .map(|columns| columns.iter().map(|c| c.name.clone()).collect::<Vec<_>>())
            };
            let types = |result: &ResultSet| {
                let types = |columns: &Vec<Column>| columns.iter().map(comparable_type).collect::<Vec<_>>();
                result.columns.as_ref().map(types).unwrap_or_default()
            };
            check(names(left) == names(right), Aspect::ColumnNames);
            check(types(left) == types(right), Aspect::ColumnTypes);
            check(comparable(left, rows) == comparable(right, rows), Aspect::Rows);
        }
        found.sort();
        found
    }
}

/// Types that users made have whatever OID was next.
fn comparable_type(column: &Column) -> (u32, i32) {
    (column.type_oid.min(USER_OID_MIN), column.type_modifier)
}

fn comparable(result: &ResultSet, rows: Rows) -> Vec<Vec<Value>> {
    let mut copy = result.rows.clone();
    match rows {
        Rows::Ordered => {}
        Rows::Unordered => copy.sort(),
        Rows::Volatile => {
            for value in copy.iter_mut().flatten().flatten() {
                value.clear();
            }
        }
    }
    copy
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.lost {
            write!(f, "connection lost: {} ", self.note)?;
        }
        if let Some(failure) = &self.failure {
            return write!(f, "{failure} [{}]", self.status);
        }
        if let Some(parameters) = self.parameters.as_ref().filter(|oids| !oids.is_empty()) {
            write!(f, "parameters {parameters:?} ")?;
        }
        for result in &self.results {
            if let Some(columns) = &result.columns {
                let columns: Vec<String> = columns.iter().map(shown_column).collect();
                write!(f, "({}) ", columns.join(", "))?;
            }
            for row in &result.rows {
                let row: Vec<String> = row.iter().map(shown_value).collect();
                write!(f, "{{{}}} ", row.join("|"))?;
            }
            write!(f, "{} ", result.tag.as_deref().unwrap_or("(cut short)"))?;
        }
        write!(f, "[{}]", self.status)
    }
}

fn shown_column(column: &Column) -> String {
    match column.type_modifier {
        -1 => format!("{}:{}", column.name, column.type_oid),
        modifier => format!("{}:{}/{modifier}", column.name, column.type_oid),
    }
}

fn shown_value(value: &Value) -> String {
    match value {
        None => "NULL".to_owned(),
        Some(bytes) => match std::str::from_utf8(bytes) {
            Ok(text) if !text.contains(|c: char| c.is_control() && c != '\n') => text.to_owned(),
            _ => bytes
                .iter()
                .fold("x".to_owned(), |text, byte| format!("{text}{byte:02x}")),
        },
    }
}
