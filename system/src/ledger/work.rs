//! Unfinished operations, as workers take them up. By the role `payments_worker`, which sees all tenants and books nothing.

use sqlx::PgPool;
use time::OffsetDateTime;

use crate::variant::{Variant, as_written};

use super::{error::LedgerError, load, payment::Operation, within::within};

/// Takes up operations whose lease is over: raises their fence and leases them until `lease_until`. One round trip.
///
/// # Errors
/// When the database cannot be asked. Operations that were taken up all the same come back when their lease ends.
pub async fn due_operations(
    pool: &PgPool,
    now: OffsetDateTime,
    lease_until: OffsetDateTime,
    count: i64,
) -> Result<Vec<Operation>, LedgerError> {
    let raise = if as_written(Variant::SweeperReissues) {
        0_i64
    } else {
        1
    };
    let rows = within(pool, move |connection| Box::pin(async move {
    Ok(sqlx::query(
        "with due as (select tenant_id, payment_id, kind, seq from operation \
                      where state = 'pending' and lease_until < $1 order by lease_until limit $3 for update skip locked) \
         update operation o set fence = o.fence + $4, attempts = o.attempts + 1, lease_until = $2 from due \
         where o.tenant_id = due.tenant_id and o.payment_id = due.payment_id and o.kind = due.kind and o.seq = due.seq \
         returning o.tenant_id, o.payment_id, o.kind, o.seq, o.amount, o.state, o.reference, o.idempotency_key, o.fence, \
                   o.attempts, o.lease_until, o.created_at",
    )
    .bind(now)
    .bind(lease_until)
    .bind(count)
    .bind(raise)
    .fetch_all(connection)
    .await?)
    })).await?;
    rows.iter().map(load::operation).collect()
}

/// Ends the lease of an operation at another time, unless somebody has taken it up since.
///
/// # Errors
/// When the database cannot be asked. It then comes back when its lease ends.
pub async fn put_off(pool: &PgPool, operation: &Operation, until: OffsetDateTime) -> Result<(), LedgerError> {
    let operation = operation.clone();
    within(pool, move |connection| Box::pin(async move {
    sqlx::query(
        "update operation set lease_until = $6 \
         where tenant_id = $1 and payment_id = $2 and kind = $3 and seq = $4 and fence = $5 and state = 'pending'",
    )
    .bind(operation.id.tenant.0)
    .bind(operation.id.payment.0)
    .bind(operation.id.kind.name())
    .bind(operation.id.seq)
    .bind(operation.fence)
    .bind(until)
    .execute(connection)
    .await?;
    Ok(())
    })).await
}

/// Makes an unfinished operation due now, by the key that its dependency knows it by. Does nothing for any other text.
///
/// # Errors
/// When the database cannot be asked. It then comes back when its lease ends.
pub async fn hasten(pool: &PgPool, key: &str, now: OffsetDateTime) -> Result<(), LedgerError> {
    let Some((payment, kind)) = split(key) else {
        return Ok(());
    };
    let kind = kind.to_owned();
    within(pool, move |connection| {
        Box::pin(async move {
            // At most one operation of a payment is pending.
            sqlx::query(
                "update operation set lease_until = $3 \
         where payment_id = $1 and kind = $2 and state = 'pending' and lease_until > $3",
            )
            .bind(payment)
            .bind(kind)
            .bind(now)
            .execute(connection)
            .await?;
            Ok(())
        })
    })
    .await
}

fn split(key: &str) -> Option<(uuid::Uuid, &str)> {
    let mut parts = key.splitn(3, '-');
    let (payment, kind) = (parts.next()?.parse().ok()?, parts.next()?);
    parts.next().map(|_| (payment, kind))
}
