//! The writer epoch that a process believes in.

use std::time::Duration;

use sqlx::PgPool;
use tokio::sync::watch;

use super::{error::LedgerError, within::within};

/// No database is ever in it: a process that believes in it writes nothing.
const NO_WRITER: i64 = 0;

const INTERVAL: Duration = Duration::from_secs(1);

/// Follows the database's epoch: the current one while `region` is the writer's, none while another is. A group that was
/// begun under an old epoch fails on it all the same; this only spares the attempts.
///
/// # Errors
/// When the database cannot be asked at the start.
pub async fn watch_epoch(pool: PgPool, region: String) -> Result<watch::Receiver<i64>, LedgerError> {
    let (sender, receiver) = watch::channel(current(&pool, &region).await?);
    tokio::spawn(async move {
        while !sender.is_closed() {
            tokio::time::sleep(INTERVAL).await;
            // While nobody answers, the last belief stands: a transaction cannot start either.
            if let Ok(epoch) = current(&pool, &region).await {
                sender.send_if_modified(|believed| {
                    let changed = *believed != epoch;
                    if changed {
                        tracing::info!(from = *believed, to = epoch, region, "writer epoch");
                    }
                    *believed = epoch;
                    changed
                });
            }
        }
    });
    Ok(receiver)
}

async fn current(pool: &PgPool, region: &str) -> Result<i64, LedgerError> {
    let region = region.to_owned();
    let epoch: Option<i64> = within(pool, move |connection| {
        Box::pin(async move {
            let query = sqlx::query_scalar("select epoch from writer_epoch where region = $1");
            Ok(query.bind(region).fetch_optional(connection).await?)
        })
    })
    .await?;
    Ok(epoch.unwrap_or(NO_WRITER))
}
