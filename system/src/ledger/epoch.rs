//! The writer epoch: who may write, for how long, and how the database is taken over by another.

use sqlx::PgPool;
use time::OffsetDateTime;
use tokio::{sync::watch, time::Instant};

use super::{error::LedgerError, within::within};

/// Said of a database that no controller has opened yet.
pub(super) const NO_EPOCH: &str = "the database has no writer epoch yet";

/// The right to write under an epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grant {
    /// The epoch.
    pub epoch: i64,
    /// Until when, on the monotonic clock; none if for good.
    pub until: Option<Instant>,
}

impl Grant {
    /// For good: where nobody else can become the writer.
    pub fn lasting(epoch: i64) -> Self {
        Self { epoch, until: None }
    }
}

/// A process's right to write, which somebody renews or takes away. Without it nothing is begun; whatever is under way all the
/// same fails on the database's own epoch.
#[derive(Clone, Debug)]
pub struct Authority(watch::Receiver<Option<Grant>>);

impl Authority {
    /// The right that is sent.
    pub fn new(grants: watch::Receiver<Option<Grant>>) -> Self {
        Self(grants)
    }

    /// Under which epoch this process may write now.
    ///
    /// # Errors
    /// When it may not.
    pub fn epoch(&self) -> Result<i64, LedgerError> {
        match *self.0.borrow() {
            None => Err(LedgerError::NoAuthority("the ledger is not open in this Region")),
            Some(Grant {
                until: Some(until), ..
            }) if until <= Instant::now() => Err(LedgerError::NoAuthority(
                "who writes has not been read for too long",
            )),
            Some(Grant { epoch, .. }) => Ok(epoch),
        }
    }
}

/// Makes `region` the database's writer under `epoch`, as the role `payments_controller`; waits for the transactions of earlier
/// epochs, none of which commits afterwards. The epoch that the database is in then: greater if somebody was faster.
///
/// # Errors
/// When the database cannot be asked, or does not take writes.
pub async fn raise_epoch(pool: &PgPool, epoch: i64, region: &str) -> Result<i64, LedgerError> {
    let region = region.to_owned();
    within(pool, move |connection| {
        Box::pin(async move {
            let raise = "update writer_epoch set epoch = $1, region = $2, since = now() where epoch < $1";
            sqlx::query(raise)
                .bind(epoch)
                .bind(region)
                .execute(&mut *connection)
                .await?;
            let select = sqlx::query_scalar("select epoch from writer_epoch");
            Ok(select.fetch_one(connection).await?)
        })
    })
    .await
}

/// Writes down, as the role `payments_controller`, that the writer took writes at `now` by its controller's clock. How far a
/// replica is behind is read off this row there.
///
/// # Errors
/// When the database does not take writes.
pub async fn beat(pool: &PgPool, now: OffsetDateTime) -> Result<(), LedgerError> {
    within(pool, move |connection| {
        Box::pin(async move {
            sqlx::query("update heartbeat set at = $1")
                .bind(now)
                .execute(connection)
                .await?;
            Ok(())
        })
    })
    .await
}

/// The last beat that a database has, the writer's or a replica's.
///
/// # Errors
/// When it cannot be asked.
pub async fn last_beat(pool: &PgPool) -> Result<OffsetDateTime, LedgerError> {
    within(pool, |connection| {
        Box::pin(async move {
            let select = sqlx::query_scalar("select at from heartbeat");
            Ok(select.fetch_one(connection).await?)
        })
    })
    .await
}
