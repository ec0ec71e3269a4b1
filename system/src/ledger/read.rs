//! Questions to the ledger. Each is one transaction of two round trips, and sees only the tenant that asks.

use sqlx::{PgPool, Row};
use uuid::Uuid;

use crate::id::{AccountId, PaymentId, TenantId};

use super::{
    account::Account,
    batch::enter,
    error::LedgerError,
    load,
    payment::{Operation, Payment},
};

/// An entry of an account's statement.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
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
    pub posted_at: time::OffsetDateTime,
}

/// Most entries of one page.
pub const PAGE_MAX: i64 = 200;

pub(super) async fn account(
    pool: &PgPool,
    tenant: TenantId,
    id: AccountId,
) -> Result<Option<Account>, LedgerError> {
    let mut transaction = pool.begin().await?;
    enter(&mut transaction, &tenant.to_string()).await?;
    let row = sqlx::query("select * from account where tenant_id = $1 and account_id = $2")
        .bind(tenant.0)
        .bind(id.0)
        .fetch_optional(&mut *transaction)
        .await?;
    row.as_ref().map(load::account).transpose()
}

pub(super) async fn payment(
    pool: &PgPool,
    tenant: TenantId,
    id: PaymentId,
) -> Result<Option<(Payment, Vec<Operation>)>, LedgerError> {
    let mut transaction = pool.begin().await?;
    enter(&mut transaction, &tenant.to_string()).await?;
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
}

/// Entries of an account with a smaller place than `before`, the latest first.
pub(super) async fn statement(
    pool: &PgPool,
    tenant: TenantId,
    id: AccountId,
    before: i64,
    count: i64,
) -> Result<Vec<StatementEntry>, LedgerError> {
    let mut transaction = pool.begin().await?;
    enter(&mut transaction, &tenant.to_string()).await?;
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
}
