//! Why the ledger could not do what it was asked. Refusals are no errors: they are answers.

/// What went wrong, and above all: what is known of the books afterwards.
#[derive(Clone, Debug, thiserror::Error)]
pub enum LedgerError {
    /// Nothing was written. Ask again later.
    #[error("the ledger cannot be reached: {0}")]
    Unavailable(String),
    /// The commit was sent and its answer is missing: it may or may not have been written. Asking again is safe and tells.
    #[error("the outcome is unknown: {0}")]
    Unknown(String),
    /// Nothing was written: this process may not write at present. Another Region does, or none.
    #[error("this process may not write: {0}")]
    NoAuthority(&'static str),
    /// Nothing was written: the database has another writer epoch than this process believes in.
    #[error(
        "this process believes in writer epoch {believed}, the database is in {actual}: it must stop writing"
    )]
    WrongEpoch {
        /// Of this process.
        believed: i64,
        /// Of the database.
        actual: i64,
    },
    /// Nothing was written: the database refuses what the rules allow. A defect.
    #[error("the database refuses a booking: {0}")]
    Rejected(String),
    /// A row holds what it cannot. A defect.
    #[error("column {0} holds what this version does not know")]
    Corrupt(&'static str),
}

impl LedgerError {
    pub(super) fn corrupt(column: &'static str) -> Self {
        Self::Corrupt(column)
    }
}

impl From<sqlx::Error> for LedgerError {
    /// Of a statement before the commit.
    fn from(error: sqlx::Error) -> Self {
        match &error {
            // Data exceptions, integrity constraints, missing privileges and the like: the statement is at fault.
            sqlx::Error::Database(refused)
                if class(refused.as_ref()).is_some_and(|class| ["22", "23", "42"].contains(&class)) =>
            {
                Self::Rejected(error.to_string())
            }
            _ => Self::Unavailable(error.to_string()),
        }
    }
}

/// The class of an SQLSTATE: its first two characters.
fn class(error: &dyn sqlx::error::DatabaseError) -> Option<&str> {
    match error.code()? {
        std::borrow::Cow::Borrowed(code) => code.get(..2),
        std::borrow::Cow::Owned(_) => None,
    }
}

/// What a failed commit means: a definite no only if the server said so while it went on living.
pub(super) fn commit_failed(error: &sqlx::Error) -> LedgerError {
    let refused = match error {
        // Integrity (deferred), transaction rollback, read-only, resources: the transaction is gone.
        sqlx::Error::Database(refused) => {
            class(refused.as_ref()).is_some_and(|class| ["23", "25", "40", "53"].contains(&class))
        }
        _ => false,
    };
    if refused {
        LedgerError::Unavailable(error.to_string())
    } else {
        LedgerError::Unknown(error.to_string())
    }
}
