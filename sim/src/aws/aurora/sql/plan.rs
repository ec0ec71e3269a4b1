//! Plans: what the executor runs.
//!
//! The FROM clause of one SELECT is a tree over one flat row: every table, function or subquery in it owns a stretch
//! of places, so an expression is evaluated, and re-evaluated after a lock wait, against that single row.

use std::sync::Arc;

use super::expr::Expr;
use crate::aws::aurora::catalog::{Oid, Privilege, Table};
use crate::aws::aurora::error::{Error, Result};
use crate::aws::aurora::storage::RowLock;
use crate::aws::aurora::types::{Type, Value};

/// A result column.
#[derive(Clone, Debug)]
pub(crate) struct Output {
    /// Name.
    pub name: String,
    /// Type.
    pub ty: Type,
    /// Length or precision; -1 is none.
    pub typmod: i32,
    /// Table and column number it comes straight from; 0 when computed.
    pub origin: (Oid, i16),
}

/// One ORDER BY item over the output row.
#[derive(Clone, Debug)]
pub(crate) struct SortKey {
    /// Place in the output row.
    pub at: usize,
    /// DESC.
    pub desc: bool,
    /// NULLS FIRST.
    pub nulls_first: bool,
}

/// Rows in, rows out.
#[derive(Clone, Debug)]
pub(crate) struct Query {
    /// Where rows come from.
    pub body: Body,
    /// ORDER BY.
    pub order: Vec<SortKey>,
    /// LIMIT.
    pub limit: Option<Expr>,
    /// OFFSET.
    pub offset: Option<Expr>,
    /// Visible columns; the row may have hidden ones after them, to sort by.
    pub columns: Vec<Output>,
}

/// The kinds of query.
#[derive(Clone, Debug)]
pub(crate) enum Body {
    /// SELECT.
    Select(Box<Select>),
    /// VALUES.
    Values(Vec<Vec<Expr>>),
    /// UNION, EXCEPT, INTERSECT.
    SetOp {
        /// Which.
        op: SetOp,
        /// Keeps duplicates.
        all: bool,
        /// Left input.
        left: Box<Query>,
        /// Right input.
        right: Box<Query>,
    },
    /// The materialised rows of a slot.
    Slot(usize),
}

/// Set operations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub(crate) enum SetOp {
    Union,
    Except,
    Intersect,
}

/// A SELECT without ORDER BY and LIMIT.
#[derive(Clone, Debug)]
pub(crate) struct Select {
    /// FROM.
    pub from: Node,
    /// Places in the flat row.
    pub width: usize,
    /// WHERE, as far as it could not be pushed into FROM.
    pub filter: Vec<Expr>,
    /// GROUP BY and aggregates.
    pub group: Option<Group>,
    /// Window functions, over the (grouped) row.
    pub windows: Vec<Window>,
    /// Output expressions, hidden sort columns last.
    pub output: Vec<Expr>,
    /// DISTINCT.
    pub distinct: Distinct,
    /// FOR UPDATE and its kin.
    pub marks: Vec<RowMark>,
    /// The scan already delivers the rows in the wanted order.
    pub presorted: bool,
}

/// DISTINCT.
#[derive(Clone, Debug)]
pub(crate) enum Distinct {
    /// Absent.
    No,
    /// Of the visible columns.
    All,
    /// ON these places of the output row.
    On(Vec<usize>),
}

/// GROUP BY.
#[derive(Clone, Debug)]
pub(crate) struct Group {
    /// Keys over the flat row; they become the first places of the grouped row.
    pub keys: Vec<Expr>,
    /// Aggregates; they follow the keys.
    pub aggregates: Vec<Aggregate>,
    /// HAVING, over the grouped row.
    pub having: Option<Expr>,
}

/// An aggregate call.
#[derive(Clone, Debug)]
pub(crate) struct Aggregate {
    /// Which.
    pub kind: AggregateKind,
    /// Arguments over the flat row.
    pub args: Vec<Expr>,
    /// DISTINCT.
    pub distinct: bool,
    /// FILTER (WHERE).
    pub filter: Option<Expr>,
    /// ORDER BY inside the call: expression, DESC, NULLS FIRST.
    pub order: Vec<(Expr, bool, bool)>,
    /// Type of the first argument.
    pub input: Type,
    /// Type of the result.
    pub ty: Type,
}

/// Aggregate functions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub(crate) enum AggregateKind {
    Count,
    Sum,
    Avg,
    Min,
    Max,
    BoolAnd,
    BoolOr,
    ArrayAgg,
    StringAgg,
    JsonAgg,
    JsonObjectAgg,
    BitAnd,
    BitOr,
    Variance { sample: bool, root: bool },
}

/// A window function call.
#[derive(Clone, Debug)]
pub(crate) struct Window {
    /// Which.
    pub kind: WindowKind,
    /// Arguments.
    pub args: Vec<Expr>,
    /// PARTITION BY.
    pub partition: Vec<Expr>,
    /// ORDER BY: expression, DESC, NULLS FIRST.
    pub order: Vec<(Expr, bool, bool)>,
}

/// Window functions.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub(crate) enum WindowKind {
    RowNumber,
    Rank,
    DenseRank,
    Lag,
    Lead,
    FirstValue,
    LastValue,
    /// An aggregate over the default frame: from the partition's start to the current row's last peer.
    Aggregate(Aggregate),
}

/// FOR UPDATE of one table of FROM.
#[derive(Clone, Debug)]
pub(crate) struct RowMark {
    /// The scan's number.
    pub scan: usize,
    /// Strength.
    pub lock: RowLock,
    /// What to do about a held lock.
    pub wait: WaitPolicy,
}

/// What to do about a lock that someone holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WaitPolicy {
    /// Wait.
    Block,
    /// Fail with 55P03.
    NoWait,
    /// Leave the row out.
    Skip,
}

/// A part of FROM.
#[derive(Clone, Debug)]
pub(crate) enum Node {
    /// No FROM: one empty row.
    One,
    /// A table.
    Scan(Box<Scan>),
    /// Anything else that yields rows.
    Rows(Box<Source>),
    /// A join.
    Join(Box<Join>),
}

/// A table scan.
#[derive(Clone, Debug)]
pub(crate) struct Scan {
    /// The table.
    pub table: Arc<Table>,
    /// Number among the statement's scans of this SELECT, for locks.
    pub number: usize,
    /// First place in the flat row.
    pub offset: usize,
    /// How rows are found.
    pub access: Access,
    /// Conditions checked on every row, those that the access path serves included: they are what is checked again
    /// after a lock wait.
    pub filter: Vec<Expr>,
    /// Row security conditions, which hold before any other condition is looked at.
    pub security: Vec<Expr>,
}

/// How a scan finds rows.
#[derive(Clone, Debug)]
pub(crate) enum Access {
    /// Every row.
    Full,
    /// Equal leading columns, then optionally a range on the next.
    Index {
        /// Oid of the index.
        index: Oid,
        /// Keys for the leading columns, over the row so far.
        equal: Vec<Expr>,
        /// Range on the following column.
        low: Option<(Expr, bool)>,
        /// Its other end.
        high: Option<(Expr, bool)>,
        /// Backwards.
        reverse: bool,
    },
    /// The single index column is any of the elements of an array.
    AnyOf {
        /// Oid of the index.
        index: Oid,
        /// The array or the list.
        keys: Keys,
    },
}

/// Keys of an `AnyOf` access.
#[derive(Clone, Debug)]
pub(crate) enum Keys {
    /// Elements of one array.
    Array(Expr),
    /// A list of expressions.
    List(Vec<Expr>),
}

/// A source of rows that is not a table.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    /// Which.
    pub kind: SourceKind,
    /// First place in the flat row.
    pub offset: usize,
    /// Number of places.
    pub width: usize,
    /// Conditions.
    pub filter: Vec<Expr>,
    /// WITH ORDINALITY: the last place counts rows.
    pub ordinality: bool,
}

/// Sources of rows.
#[derive(Clone, Debug)]
pub(crate) enum SourceKind {
    /// A subquery; it may read the row so far when lateral.
    Query {
        /// The query.
        query: Box<Query>,
        /// Runs for every row so far.
        lateral: bool,
        /// Where a result that does not depend on the row is kept.
        slot: usize,
    },
    /// A CTE's or a locking subquery's rows.
    Slot(usize),
    /// unnest of arrays side by side.
    Unnest(Vec<Expr>),
    /// A set-returning function.
    Function(SetFunction, Vec<Expr>),
    /// A single-row function.
    Scalar(Expr),
    /// A table of the system catalog.
    System(&'static crate::aws::aurora::catalog::system::SystemTable),
}

/// Set-returning functions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub(crate) enum SetFunction {
    GenerateSeries,
    JsonArrayElements,
    JsonArrayElementsText,
    JsonEach,
    JsonEachText,
    JsonObjectKeys,
    StringToTable,
}

/// A join.
#[derive(Clone, Debug)]
pub(crate) struct Join {
    /// Which.
    pub kind: JoinKind,
    /// Left input, evaluated first.
    pub left: Node,
    /// Right input; it may read the left's places.
    pub right: Node,
    /// ON, as far as it was not pushed down.
    pub on: Vec<Expr>,
    /// Conditions on the joined row of an outer join.
    pub filter_after: Vec<Expr>,
    /// Places of the right input, for null extension.
    pub right_places: std::ops::Range<usize>,
    /// Equal pairs of (left, right) expressions, for hashing.
    pub equal: Vec<(Expr, Expr)>,
}

/// Kinds of join.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub(crate) enum JoinKind {
    Inner,
    Left,
    Full,
}

/// Rights that a statement needs.
#[derive(Clone, Debug)]
pub(crate) struct Needed {
    /// The relation.
    pub oid: Oid,
    /// Rights on it.
    pub rights: Privilege,
    /// Columns it concerns, or empty for the whole relation. Used when the whole relation is not allowed.
    pub columns: Vec<String>,
    /// With whose rights: a view's owner, or the current role.
    pub role: Option<String>,
}

/// What is materialised before or besides the main query.
#[derive(Clone, Debug)]
pub(crate) enum Unit {
    /// A query whose rows go to a slot. `eager` ones lock rows and must run in the asynchronous part.
    Query {
        /// The slot.
        slot: usize,
        /// The query.
        query: Query,
        /// Locks rows.
        eager: bool,
    },
    /// WITH RECURSIVE.
    Recursive {
        /// The slot of the result.
        slot: usize,
        /// The slot the recursive term reads.
        working: usize,
        /// First term.
        base: Query,
        /// Recursive term.
        step: Query,
        /// UNION instead of UNION ALL.
        distinct: bool,
    },
    /// A data-modifying CTE.
    Modify {
        /// The slot of its RETURNING rows.
        slot: usize,
        /// The statement.
        modify: Modify,
        /// Someone reads the slot.
        used: bool,
    },
}

/// INSERT, UPDATE or DELETE.
#[derive(Clone, Debug)]
pub(crate) enum Modify {
    /// INSERT.
    Insert(Box<Insert>),
    /// UPDATE.
    Update(Box<Update>),
    /// DELETE.
    Delete(Box<Delete>),
}

/// A row security condition on new rows.
#[derive(Clone, Debug)]
pub(crate) struct WithCheck {
    /// Condition over the new row.
    pub expr: Expr,
}

/// INSERT.
#[derive(Clone, Debug)]
pub(crate) struct Insert {
    /// Target.
    pub table: Arc<Table>,
    /// Rows to insert.
    pub source: Query,
    /// One expression per column of the table, over the source row.
    pub values: Vec<Expr>,
    /// ON CONFLICT.
    pub conflict: Option<Conflict>,
    /// Row security on new rows.
    pub check: Vec<WithCheck>,
    /// RETURNING, over the new row.
    pub returning: Option<Returning>,
}

/// ON CONFLICT.
#[derive(Clone, Debug)]
pub(crate) struct Conflict {
    /// Indexes that arbitrate; empty means all unique ones.
    pub arbiters: Vec<Oid>,
    /// DO UPDATE; None is DO NOTHING.
    pub update: Option<ConflictUpdate>,
}

/// ON CONFLICT DO UPDATE, over the existing row followed by the excluded one.
#[derive(Clone, Debug)]
pub(crate) struct ConflictUpdate {
    /// Assignments.
    pub set: Vec<(usize, Expr)>,
    /// WHERE.
    pub filter: Option<Expr>,
    /// Row security: the existing row must pass, or the statement fails.
    pub using: Vec<Expr>,
    /// Row security on the updated row.
    pub check: Vec<WithCheck>,
}

/// UPDATE.
#[derive(Clone, Debug)]
pub(crate) struct Update {
    /// Target; scan number 0 at offset 0 of the select.
    pub table: Arc<Table>,
    /// Target and FROM with all conditions; its output is not used.
    pub select: Select,
    /// Assignments over the flat row.
    pub set: Vec<(usize, Expr)>,
    /// Row security on the updated row.
    pub check: Vec<WithCheck>,
    /// RETURNING, over the flat row with the new target row.
    pub returning: Option<Returning>,
}

/// DELETE.
#[derive(Clone, Debug)]
pub(crate) struct Delete {
    /// Target; scan number 0 at offset 0 of the select.
    pub table: Arc<Table>,
    /// Target and USING with all conditions.
    pub select: Select,
    /// RETURNING, over the flat row.
    pub returning: Option<Returning>,
}

/// RETURNING.
#[derive(Clone, Debug)]
pub(crate) struct Returning {
    /// Expressions.
    pub exprs: Vec<Expr>,
    /// Their description.
    pub columns: Vec<Output>,
}

/// A planned statement.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// CTEs and locking subqueries, in dependency order.
    pub units: Vec<Unit>,
    /// Number of slots.
    pub slots: usize,
    /// The statement itself.
    pub main: Main,
    /// Relations read and written, with rights.
    pub needed: Vec<Needed>,
    /// Relations to lock, by mode.
    pub relations: Vec<(Oid, crate::aws::aurora::lock::Mode)>,
    /// Result columns, if it yields rows.
    pub columns: Option<Vec<Output>>,
    /// Writes, locks rows or may: refused on a read-only transaction.
    pub writes: Option<&'static str>,
    /// Parameter types.
    pub params: Vec<Type>,
    /// The first constant that cannot be computed: `1 / 0`. Whoever runs the plan gets it, even when no row would.
    pub fault: Option<Box<Error>>,
}

impl Plan {
    /// Refuses a plan with a constant that cannot be computed.
    pub(crate) fn check(&self) -> Result<()> {
        match &self.fault {
            Some(fault) => Err(fault.clone()),
            None => Ok(()),
        }
    }

    /// A plan of nothing, for evaluating an expression outside any statement.
    pub(crate) fn empty() -> Plan {
        Plan {
            units: Vec::new(),
            slots: 0,
            main: Main::Query(Query {
                body: Body::Values(Vec::new()),
                order: Vec::new(),
                limit: None,
                offset: None,
                columns: Vec::new(),
            }),
            needed: Vec::new(),
            relations: Vec::new(),
            columns: None,
            writes: None,
            params: Vec::new(),
            fault: None,
        }
    }
}

/// The main part of a plan.
#[derive(Clone, Debug)]
pub(crate) enum Main {
    /// A query.
    Query(Query),
    /// A modification.
    Modify(Modify),
}

/// A constant NULL.
pub(crate) const NULL: Expr = Expr::Const(Value::Null);
