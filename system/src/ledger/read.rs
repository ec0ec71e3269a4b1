//! Questions to the ledger. Each is one transaction of two round trips, and sees only the tenant that asks.

use sqlx::{Connection, PgPool, Row};
use uuid::Uuid;

use crate::id::{AccountId, PaymentId, TenantId};

use super::{
    account::Account,
    batch::look,
    epoch::NO_EPOCH,
    error::LedgerError,
    load,
    payment::{Operation, Payment},
    within::within,
};

/// An entry of an account's statement.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
pub struct StatementEntry {
    /// Its place: 1, 2, 3 and so on, without gaps.
    pub version: i64,
    /// The transfer that it is a side of.
    pub transfer_id: Uuid,
    /// The payment that the transfer is a step of.
    pub payment_id: PaymentId,
    /// Which step.
    pub step: String,
    /// `posted`, `pending` or `released`.
    pub phase: String,
    /// `debit` or `credit`.
    pub side: String,
    /// Minor units.
    pub amount: i64,
    /// The account on the other side.
    pub counterpart: AccountId,
    /// When it was booked.
    #[serde(with = "time::serde::rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    pub posted_at: time::OffsetDateTime,
}

/// Most entries of one page.
pub const PAGE_MAX: i64 = 200;

pub(super) async fn account(
    pool: &PgPool,
    tenant: TenantId,
    id: AccountId,
) -> Result<Option<Account>, LedgerError> {
    within(pool, move |connection| {
        Box::pin(async move {
            let mut transaction = connection.begin().await?;
            look(&mut transaction, &tenant.to_string()).await?;
            let row = sqlx::query("select * from account where tenant_id = $1 and account_id = $2")
                .bind(tenant.0)
                .bind(id.0)
                .fetch_optional(&mut *transaction)
                .await?;
            row.as_ref().map(load::account).transpose()
        })
    })
    .await
}

pub(super) async fn payment(
    pool: &PgPool,
    tenant: TenantId,
    id: PaymentId,
) -> Result<Option<(Payment, Vec<Operation>)>, LedgerError> {
    within(pool, move |connection| {
        Box::pin(async move {
            let mut transaction = connection.begin().await?;
            look(&mut transaction, &tenant.to_string()).await?;
            let row = sqlx::query("select * from payment where tenant_id = $1 and payment_id = $2")
                .bind(tenant.0)
                .bind(id.0)
                .fetch_optional(&mut *transaction)
                .await?;
            let Some(payment) = row.as_ref().map(load::payment).transpose()? else {
                return Ok(None);
            };
            let rows = sqlx::query(
        "select * from operation where tenant_id = $1 and payment_id = $2 order by created_at, kind, seq",
    )
    .bind(tenant.0)
    .bind(id.0)
    .fetch_all(&mut *transaction)
    .await?;
            let operations = rows.iter().map(load::operation).collect::<Result<_, _>>()?;
            Ok(Some((payment, operations)))
        })
    })
    .await
}

/// Entries of an account with a smaller place than `before`, the latest first.
pub(super) async fn statement(
    pool: &PgPool,
    tenant: TenantId,
    id: AccountId,
    before: i64,
    count: i64,
) -> Result<Vec<StatementEntry>, LedgerError> {
    within(pool, move |connection| Box::pin(async move {
    let mut transaction = connection.begin().await?;
    look(&mut transaction, &tenant.to_string()).await?;
    let rows = sqlx::query(
        "select e.version, e.transfer_id, t.payment_id, t.step, e.phase, e.side, e.amount, e.counterpart, t.posted_at \
         from (select * from (select debit_version as version, transfer_id, phase, 'debit' as side, amount, \
                      credit_account_id as counterpart \
                      from leg where tenant_id = $1 and debit_account_id = $2 and debit_version < $3 \
                      order by debit_version desc limit $4) d \
               union all \
               select * from (select credit_version, transfer_id, phase, 'credit', amount, debit_account_id \
                      from leg where tenant_id = $1 and credit_account_id = $2 and credit_version < $3 \
                      order by credit_version desc limit $4) c) as e \
         join transfer t on t.tenant_id = $1 and t.transfer_id = e.transfer_id \
         order by e.version desc limit $4",
    )
    .bind(tenant.0)
    .bind(id.0)
    .bind(before)
    .bind(count.clamp(1, PAGE_MAX))
    .fetch_all(&mut *transaction)
    .await?;
    rows.iter()
        .map(|row| {
            Ok(StatementEntry {
                version: row.try_get("version")?,
                transfer_id: row.try_get("transfer_id")?,
                payment_id: PaymentId(row.try_get("payment_id")?),
                step: row.try_get("step")?,
                phase: row.try_get("phase")?,
                side: row.try_get("side")?,
                amount: row.try_get("amount")?,
                counterpart: AccountId(row.try_get("counterpart")?),
                posted_at: row.try_get("posted_at")?,
            })
        })
        .collect()
    })).await
}

/// A step of a payment.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
pub struct TraceStep {
    /// The version of the payment that the step made.
    pub version: i32,
    /// What happened.
    pub event: String,
    /// Which Region's process did it.
    pub region: String,
    /// Under which writer epoch.
    pub epoch: i64,
    /// When, by the clock of that process.
    #[serde(with = "time::serde::rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    pub at: time::OffsetDateTime,
    /// Whether the event has been published.
    pub published: bool,
}

pub(super) async fn trace(
    pool: &PgPool,
    tenant: TenantId,
    id: PaymentId,
) -> Result<Vec<TraceStep>, LedgerError> {
    within(pool, move |connection| {
        Box::pin(async move {
            let mut transaction = connection.begin().await?;
            look(&mut transaction, &tenant.to_string()).await?;
            let rows = sqlx::query(
                "select seq, event_type, region, epoch, created_at, state from outbox \
         where tenant_id = $1 and payment_id = $2 order by seq",
            )
            .bind(tenant.0)
            .bind(id.0)
            .fetch_all(&mut *transaction)
            .await?;
            rows.iter()
                .map(|row| {
                    Ok(TraceStep {
                        version: row.try_get("seq")?,
                        event: row.try_get("event_type")?,
                        region: row.try_get("region")?,
                        epoch: row.try_get("epoch")?,
                        at: row.try_get("created_at")?,
                        published: row.try_get::<String, _>("state")? == "published",
                    })
                })
                .collect()
        })
    })
    .await
}

pub(super) async fn limbo(
    pool: &PgPool,
    tenant: TenantId,
    count: i64,
) -> Result<Vec<Operation>, LedgerError> {
    within(pool, move |connection| Box::pin(async move {
    let mut transaction = connection.begin().await?;
    look(&mut transaction, &tenant.to_string()).await?;
    let rows = sqlx::query(
        "select * from operation where tenant_id = $1 and state = 'limbo' order by created_at, payment_id limit $2",
    )
    .bind(tenant.0)
    .bind(count.clamp(1, PAGE_MAX))
    .fetch_all(&mut *transaction)
    .await?;
    rows.iter().map(load::operation).collect()
    })).await
}

/// Whom an API key speaks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caller {
    /// The tenant.
    pub tenant: TenantId,
    /// Whether it may decide about operations in limbo.
    pub operator: bool,
    /// Until when the key is good.
    pub expires_at: time::OffsetDateTime,
}

pub(super) async fn caller(
    pool: &PgPool,
    key_hash: &[u8],
    now: time::OffsetDateTime,
) -> Result<Option<Caller>, LedgerError> {
    let key_hash = key_hash.to_vec();
    let row = within(pool, move |connection| {
        Box::pin(async move {
            let query =
                "select tenant_id, operator, expires_at from api_key where key_hash = $1 and expires_at > $2";
            Ok(sqlx::query(query)
                .bind(key_hash)
                .bind(now)
                .fetch_optional(connection)
                .await?)
        })
    })
    .await?;
    let read = |row: sqlx::postgres::PgRow| {
        Ok(Caller {
            tenant: TenantId(row.try_get("tenant_id")?),
            operator: row.try_get("operator")?,
            expires_at: row.try_get("expires_at")?,
        })
    };
    row.map(read).transpose()
}

pub(super) async fn ping(pool: &PgPool, believed: i64) -> Result<(), LedgerError> {
    let actual = within(pool, |connection| {
        Box::pin(async move {
            let query = "select epoch, pg_is_in_recovery() from writer_epoch";
            let row: Option<(i64, bool)> = sqlx::query_as(query).fetch_optional(connection).await?;
            let (epoch, replica) = row.ok_or_else(|| LedgerError::Unavailable(NO_EPOCH.to_owned()))?;
            if replica {
                return Err(LedgerError::Unavailable("the database is a replica".to_owned()));
            }
            Ok(epoch)
        })
    })
    .await?;
    if actual == believed {
        Ok(())
    } else {
        Err(LedgerError::WrongEpoch { believed, actual })
    }
}
