//! What must be true of the books at every time, checked by somebody who trusts no projection.

use sqlx::PgConnection;

use super::error::LedgerError;

/// Everything that is wrong with the books, a sentence each. Needs to see all tenants, as `payments_worker` does, and reads
/// everything: for a replica, or a test.
///
/// # Errors
/// When the database cannot be asked.
pub async fn audit(connection: &mut PgConnection) -> Result<Vec<String>, LedgerError> {
    Ok(sqlx::query_scalar(include_str!("audit.sql"))
        .fetch_all(connection)
        .await?)
}
