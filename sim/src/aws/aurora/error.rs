//! PostgreSQL errors: SQLSTATE, severity and the named fields that drivers read (constraint, table, column).

use std::fmt;

/// The result of everything that a client's input can make fail.
pub(super) type Result<T> = std::result::Result<T, Box<Error>>;

/// How bad an error is for the session that met it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Severity {
    /// A message that changes nothing.
    Notice,
    /// A statement that did less than its author may expect.
    Warning,
    /// The statement failed, and its transaction with it.
    Error,
    /// The session ends.
    Fatal,
}

impl Severity {
    /// The word on the wire.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Severity::Notice => "NOTICE",
            Severity::Warning => "WARNING",
            Severity::Error => "ERROR",
            Severity::Fatal => "FATAL",
        }
    }
}

/// One `ErrorResponse` or `NoticeResponse`, field by field.
#[derive(Clone, Debug)]
pub(super) struct Error {
    /// Severity.
    pub severity: Severity,
    /// SQLSTATE.
    pub code: &'static str,
    /// Primary message.
    pub message: String,
    /// DETAIL.
    pub detail: Option<String>,
    /// HINT.
    pub hint: Option<String>,
    /// Schema of the object concerned.
    pub schema: Option<String>,
    /// Table concerned.
    pub table: Option<String>,
    /// Column concerned.
    pub column: Option<String>,
    /// Constraint concerned.
    pub constraint: Option<String>,
}

impl Error {
    /// An ERROR with this SQLSTATE and message.
    pub(super) fn new(code: &'static str, message: impl Into<String>) -> Box<Error> {
        Box::new(Error {
            severity: Severity::Error,
            code,
            message: message.into(),
            detail: None,
            hint: None,
            schema: None,
            table: None,
            column: None,
            constraint: None,
        })
    }

    /// A FATAL: the session ends after it.
    pub(super) fn fatal(code: &'static str, message: impl Into<String>) -> Box<Error> {
        let mut error = Error::new(code, message);
        error.severity = Severity::Fatal;
        error
    }

    /// Adds DETAIL.
    pub(super) fn detail(mut self: Box<Self>, detail: impl Into<String>) -> Box<Self> {
        self.detail = Some(detail.into());
        self
    }

    /// Adds HINT.
    pub(super) fn hint(mut self: Box<Self>, hint: impl Into<String>) -> Box<Self> {
        self.hint = Some(hint.into());
        self
    }

    /// Names the table.
    pub(super) fn table(mut self: Box<Self>, schema: &str, table: &str) -> Box<Self> {
        self.schema = Some(schema.into());
        self.table = Some(table.into());
        self
    }

    /// Names the column.
    pub(super) fn column(mut self: Box<Self>, column: &str) -> Box<Self> {
        self.column = Some(column.into());
        self
    }

    /// Names the constraint.
    pub(super) fn constraint(mut self: Box<Self>, constraint: &str) -> Box<Self> {
        self.constraint = Some(constraint.into());
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} ({})", self.severity.as_str(), self.message, self.code)
    }
}

impl std::error::Error for Error {}

/// SQLSTATE codes by PostgreSQL's own names.
#[allow(missing_docs)]
pub(super) mod code {
    pub(crate) const ACTIVE_SQL_TRANSACTION: &str = "25001";
    pub(crate) const AMBIGUOUS_COLUMN: &str = "42702";
    pub(crate) const ARRAY_SUBSCRIPT_ERROR: &str = "2202E";
    pub(crate) const ADMIN_SHUTDOWN: &str = "57P01";
    pub(crate) const CANNOT_CONNECT_NOW: &str = "57P03";
    pub(crate) const CANNOT_COERCE: &str = "42846";
    pub(crate) const CARDINALITY_VIOLATION: &str = "21000";
    pub(crate) const CHECK_VIOLATION: &str = "23514";
    pub(crate) const DATATYPE_MISMATCH: &str = "42804";
    pub(crate) const DATETIME_FIELD_OVERFLOW: &str = "22008";
    pub(crate) const DEADLOCK_DETECTED: &str = "40P01";
    pub(crate) const DEPENDENT_OBJECTS_STILL_EXIST: &str = "2BP01";
    pub(crate) const DIVISION_BY_ZERO: &str = "22012";
    pub(crate) const DISK_FULL: &str = "53100";
    pub(crate) const DUPLICATE_ALIAS: &str = "42712";
    pub(crate) const DUPLICATE_COLUMN: &str = "42701";
    pub(crate) const DUPLICATE_OBJECT: &str = "42710";
    pub(crate) const DUPLICATE_PREPARED_STATEMENT: &str = "42P05";
    pub(crate) const DUPLICATE_SCHEMA: &str = "42P06";
    pub(crate) const DUPLICATE_TABLE: &str = "42P07";
    pub(crate) const FEATURE_NOT_SUPPORTED: &str = "0A000";
    pub(crate) const FOREIGN_KEY_VIOLATION: &str = "23503";
    pub(crate) const GROUPING_ERROR: &str = "42803";
    pub(crate) const IDLE_IN_TRANSACTION_SESSION_TIMEOUT: &str = "25P03";
    pub(crate) const INDETERMINATE_DATATYPE: &str = "42P18";
    pub(crate) const INSUFFICIENT_PRIVILEGE: &str = "42501";
    pub(crate) const INTERNAL_ERROR: &str = "XX000";
    pub(crate) const INVALID_BINARY_REPRESENTATION: &str = "22P03";
    pub(crate) const INVALID_CATALOG_NAME: &str = "3D000";
    pub(crate) const INVALID_COLUMN_REFERENCE: &str = "42P10";
    pub(crate) const INVALID_CURSOR_NAME: &str = "34000";
    pub(crate) const INVALID_DATETIME_FORMAT: &str = "22007";
    pub(crate) const INVALID_FOREIGN_KEY: &str = "42830";
    pub(crate) const INVALID_AUTHORIZATION: &str = "28000";
    pub(crate) const INVALID_OBJECT_DEFINITION: &str = "42P17";
    pub(crate) const INVALID_PARAMETER_VALUE: &str = "22023";
    pub(crate) const INVALID_ROW_COUNT_IN_LIMIT: &str = "2201W";
    pub(crate) const INVALID_ROW_COUNT_IN_OFFSET: &str = "2201X";
    pub(crate) const INVALID_SAVEPOINT: &str = "3B001";
    pub(crate) const INVALID_SCHEMA_NAME: &str = "3F000";
    pub(crate) const INVALID_SQL_STATEMENT_NAME: &str = "26000";
    pub(crate) const INVALID_TABLE_DEFINITION: &str = "42P16";
    pub(crate) const INVALID_TEXT_REPRESENTATION: &str = "22P02";
    pub(crate) const IN_FAILED_SQL_TRANSACTION: &str = "25P02";
    pub(crate) const LOCK_NOT_AVAILABLE: &str = "55P03";
    pub(crate) const NOT_IN_PREREQUISITE_STATE: &str = "55000";
    pub(crate) const NOT_NULL_VIOLATION: &str = "23502";
    pub(crate) const NO_ACTIVE_SQL_TRANSACTION: &str = "25P01";
    pub(crate) const NUMERIC_VALUE_OUT_OF_RANGE: &str = "22003";
    pub(crate) const OBJECT_IN_USE: &str = "55006";
    pub(crate) const PROGRAM_LIMIT_EXCEEDED: &str = "54000";
    pub(crate) const PROTOCOL_VIOLATION: &str = "08P01";
    pub(crate) const QUERY_CANCELED: &str = "57014";
    pub(crate) const READ_ONLY_SQL_TRANSACTION: &str = "25006";
    pub(crate) const SEQUENCE_LIMIT: &str = "2200H";
    pub(crate) const SERIALIZATION_FAILURE: &str = "40001";
    pub(crate) const STATEMENT_TOO_COMPLEX: &str = "54001";
    pub(crate) const STRING_TOO_LONG: &str = "22001";
    pub(crate) const SYNTAX_ERROR: &str = "42601";
    pub(crate) const TOO_MANY_CONNECTIONS: &str = "53300";
    pub(crate) const UNDEFINED_COLUMN: &str = "42703";
    pub(crate) const UNDEFINED_FUNCTION: &str = "42883";
    pub(crate) const UNDEFINED_OBJECT: &str = "42704";
    pub(crate) const UNDEFINED_PARAMETER: &str = "42P02";
    pub(crate) const UNDEFINED_TABLE: &str = "42P01";
    pub(crate) const UNIQUE_VIOLATION: &str = "23505";
    pub(crate) const UNTRANSLATABLE_CHARACTER: &str = "22P05";
    pub(crate) const CHARACTER_NOT_IN_REPERTOIRE: &str = "22021";
    pub(crate) const WINDOWING_ERROR: &str = "42P20";
    pub(crate) const WRONG_OBJECT_TYPE: &str = "42809";
    pub(crate) const GENERATED_ALWAYS: &str = "428C9";
}

/// Refuses a construct that PostgreSQL has and this engine lacks.
pub(super) fn unsupported<T>(construct: impl fmt::Display) -> Result<T> {
    Err(Error::new(
        code::FEATURE_NOT_SUPPORTED,
        format!("{construct} is not supported"),
    ))
}

/// Shorthand for `Err(Error::new(..))`.
pub(super) fn fail<T>(code: &'static str, message: impl Into<String>) -> Result<T> {
    Err(Error::new(code, message))
}
