//! Conversations with the database that end.
//!
//! A connection across a broken link is silent until TCP gives up, a quarter of an hour later. Whoever waits for it does nothing
//! else, and a pool that takes it back waits as well. So every conversation has a time limit, and a connection that missed it
//! is thrown away.

use std::time::Duration;

use sqlx::{PgConnection, PgPool};
use tokio::time::timeout;

use super::error::LedgerError;

/// How long a question or a worker's statement may take.
const LIMIT: Duration = Duration::from_secs(5);

/// What somebody does with a connection.
pub(crate) type Work<'c, T> = std::pin::Pin<Box<dyn Future<Output = Result<T, LedgerError>> + Send + 'c>>;

/// Does something on a connection of the pool, within the usual limit.
pub(crate) async fn within<T>(
    pool: &PgPool,
    work: impl for<'c> FnOnce(&'c mut PgConnection) -> Work<'c, T> + Send,
) -> Result<T, LedgerError> {
    let mut connection = match timeout(LIMIT, pool.acquire()).await {
        Ok(connection) => connection?,
        Err(_) => {
            return Err(LedgerError::Unavailable(
                "no connection within the time limit".to_owned(),
            ));
        }
    };
    match timeout(LIMIT, work(&mut connection)).await {
        Ok(done) => done,
        Err(_) => {
            // What still comes on this connection belongs to nobody.
            drop(connection.detach());
            Err(LedgerError::Unavailable(format!("no answer within {LIMIT:?}")))
        }
    }
}
