//! One transaction for many commands: lock, read, decide in memory, write, commit.

use std::{
    collections::BTreeSet,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use sqlx::{Connection, PgConnection};
use tokio::time::timeout;

use crate::variant::{Variant, as_written};

use super::{
    book::Book,
    command::{Command, Reply},
    epoch::NO_EPOCH,
    error::{LedgerError, commit_failed},
    poster::Writer,
    writes::Writes,
};

/// Carries the commands out in one transaction. A refused one leaves the others alone.
///
/// # Errors
/// Then all of them failed alike.
pub(super) async fn run(
    writer: &Writer,
    limit: Duration,
    commands: &[Command],
) -> Result<Vec<Reply>, LedgerError> {
    let committing = AtomicBool::new(false);
    let mut connection = match timeout(limit, writer.pool.acquire()).await {
        Ok(connection) => connection?,
        Err(_) => {
            return Err(LedgerError::Unavailable(
                "no connection within the time limit".to_owned(),
            ));
        }
    };
    let attempt = timeout(limit, attempt(&mut connection, writer, commands, &committing)).await;
    let result = attempt.unwrap_or_else(|_| {
        let late = format!("no answer within {limit:?}");
        Err(if committing.load(Ordering::Relaxed) {
            LedgerError::Unknown(late)
        } else {
            LedgerError::Unavailable(late)
        })
    });
    if matches!(result, Err(LedgerError::Unavailable(_) | LedgerError::Unknown(_))) {
        // What still comes on this connection belongs to nobody.
        drop(connection.detach());
    }
    result
}

async fn attempt(
    connection: &mut PgConnection,
    writer: &Writer,
    commands: &[Command],
    committing: &AtomicBool,
) -> Result<Vec<Reply>, LedgerError> {
    let epoch = writer.authority.epoch()?;
    let mut transaction = connection.begin().await?;
    let tenants: BTreeSet<_> = commands.iter().map(Command::tenant).collect();
    let tenants: Vec<_> = tenants.iter().map(ToString::to_string).collect();
    let actual = enter(&mut transaction, &tenants.join(",")).await?;
    if actual != epoch {
        return Err(LedgerError::WrongEpoch {
            believed: epoch,
            actual,
        });
    }
    let mut book = Book::load(&mut transaction, commands).await?;
    let replies = commands.iter().map(|command| book.apply(command)).collect();
    if book.changes.is_empty() {
        transaction.rollback().await?;
        return Ok(replies);
    }
    book.store(&mut transaction, writer, epoch).await?;
    committing.store(true, Ordering::Relaxed);
    let committed = transaction.commit().await;
    tell(&book, writer, epoch, committed.is_ok());
    committed.map_err(|error| commit_failed(&error))?;
    if as_written(Variant::EventAfterTheCommit) {
        let mut transaction = connection.begin().await?;
        enter(&mut transaction, &tenants.join(",")).await?;
        let mut events = Writes::default();
        book.insert_events(&mut events, writer, epoch);
        events.send(&mut transaction).await?;
        transaction.commit().await?;
    }
    Ok(replies)
}

/// Says what was written, or perhaps was: from these events alone a payment's story can be told.
fn tell(book: &Book, writer: &Writer, epoch: i64, committed: bool) {
    for (tenant, id) in book.changes.payments.keys() {
        let Some(payment) = book.payments.get(&(*tenant, *id)) else {
            continue;
        };
        let (state, version, region) = (payment.state.name(), payment.version, &*writer.region);
        if committed {
            tracing::info!(payment_id = %id, %tenant, state, version, epoch, region, "payment committed");
        } else {
            tracing::warn!(payment_id = %id, %tenant, state, version, epoch, region, "commit unanswered");
        }
    }
}

/// Shows the transaction these tenants' rows and no others: all that reading takes, on a replica too.
pub(super) async fn look(connection: &mut PgConnection, tenants: &str) -> Result<(), LedgerError> {
    sqlx::query("select set_config('app.tenants', $1, true)")
        .bind(tenants)
        .execute(connection)
        .await?;
    Ok(())
}

/// Shows the transaction these tenants' rows and no others, and holds the writer epoch until it ends.
pub(super) async fn enter(connection: &mut PgConnection, tenants: &str) -> Result<i64, LedgerError> {
    let query = "select epoch, set_config('app.tenants', $1, true) from writer_epoch for key share";
    let row: Option<(i64, String)> = sqlx::query_as(query)
        .bind(tenants)
        .fetch_optional(connection)
        .await?;
    row.map(|(epoch, _)| epoch)
        .ok_or_else(|| LedgerError::Unavailable(NO_EPOCH.to_owned()))
}
