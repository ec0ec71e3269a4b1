//! The outbox as relays and operators see it, by the role `payments_worker`.

use sqlx::{PgPool, Row, SqlSafeStr, postgres::PgRow};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    id::{PaymentId, TenantId},
    ledger::{LedgerError, within},
    variant::{Variant, as_written},
};

/// A row of the outbox that a relay has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unpublished {
    /// Whose.
    pub tenant: TenantId,
    /// Of which payment.
    pub payment: PaymentId,
    /// Its place among the payment's events.
    pub seq: i32,
    /// What happened.
    pub event_type: String,
    /// The event, JSON.
    pub body: String,
    /// How often EventBridge refused this very row.
    pub refusals: i32,
    /// When it was committed.
    pub created_at: OffsetDateTime,
}

/// What came of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// EventBridge has acknowledged it.
    Published,
    /// EventBridge will not have it as it is: another time.
    Refused(OffsetDateTime),
    /// It was refused too often.
    Parked,
    /// Nothing is known against it: the broker failed. Another time.
    PutBack(OffsetDateTime),
}

/// Leases rows whose predecessor is published and which nobody else has, the oldest first. One round trip.
///
/// # Errors
/// When the database cannot be asked. Rows that were leased all the same are due again when the lease ends.
pub async fn claim(
    pool: &PgPool,
    now: OffsetDateTime,
    lease_until: OffsetDateTime,
    count: i64,
) -> Result<Vec<Unpublished>, LedgerError> {
    // The predecessor is looked up row by row, in the primary key: a join could read the whole outbox.
    let query = "with due as (select o.tenant_id, o.payment_id, o.seq from outbox o \
                              where o.state = 'pending' and (o.due_at is null or o.due_at < $1) \
                                and (o.seq = 1 or (select e.state from outbox e where e.tenant_id = o.tenant_id \
                                     and e.payment_id = o.payment_id and e.seq = o.seq - 1) = 'published') \
                              order by o.created_at, o.payment_id, o.seq limit $3 for update of o skip locked) \
                 update outbox o set due_at = $2 from due \
                 where o.tenant_id = due.tenant_id and o.payment_id = due.payment_id and o.seq = due.seq \
                 returning o.tenant_id, o.payment_id, o.seq, o.event_type, o.body, o.attempts, o.created_at";
    let query = if as_written(Variant::OutboxCursor) {
        let behind = "o.created_at > (select coalesce(max(e.created_at), '-infinity'::timestamptz) from outbox e \
                      where e.state = 'published')";
        let start = query.find("(o.seq = 1").unwrap_or_default();
        let end = query.find(" order by").unwrap_or_default();
        let cursor = format!("{}{behind}{}", &query[..start], &query[end..]);
        sqlx::AssertSqlSafe(cursor).into_sql_str()
    } else {
        sqlx::SqlStr::from_static(query)
    };
    let rows = within(pool, move |connection| {
        Box::pin(async move {
            let query = sqlx::query(query).bind(now).bind(lease_until).bind(count);
            Ok(query.fetch_all(connection).await?)
        })
    })
    .await?;
    rows.iter().map(unpublished).collect()
}

fn unpublished(row: &PgRow) -> Result<Unpublished, LedgerError> {
    Ok(Unpublished {
        tenant: TenantId(row.try_get("tenant_id")?),
        payment: PaymentId(row.try_get("payment_id")?),
        seq: row.try_get("seq")?,
        event_type: row.try_get("event_type")?,
        body: row.try_get("body")?,
        refusals: row.try_get("attempts")?,
        created_at: row.try_get("created_at")?,
    })
}

/// Writes down what came of rows. A row that another relay has published meanwhile stays so. One round trip.
///
/// # Errors
/// When the database cannot be asked. Rows without a stamp are published again.
pub async fn settle(
    pool: &PgPool,
    fates: Vec<(Unpublished, Fate)>,
    now: OffsetDateTime,
) -> Result<(), LedgerError> {
    let query = "update outbox o set state = c.state, attempts = o.attempts + c.refused, due_at = c.due_at, \
                        published_at = c.published_at \
                 from unnest($1::uuid[], $2::uuid[], $3::int4[], $4::text[], $5::int4[], $6::timestamptz[], \
                             $7::timestamptz[]) \
                      as c (tenant_id, payment_id, seq, state, refused, due_at, published_at) \
                 where o.tenant_id = c.tenant_id and o.payment_id = c.payment_id and o.seq = c.seq \
                   and o.state = 'pending'";
    let column = |value: fn(&(Unpublished, Fate)) -> Uuid| fates.iter().map(value).collect::<Vec<_>>();
    let tenants = column(|(row, _)| row.tenant.0);
    let payments = column(|(row, _)| row.payment.0);
    let seqs: Vec<i32> = fates.iter().map(|(row, _)| row.seq).collect();
    let states: Vec<&str> = fates.iter().map(|(_, fate)| state(fate)).collect();
    let refused: Vec<i32> = fates
        .iter()
        .map(|(_, fate)| i32::from(matches!(fate, Fate::Refused(_) | Fate::Parked)))
        .collect();
    let due: Vec<Option<OffsetDateTime>> = fates.iter().map(|(_, fate)| due_at(fate)).collect();
    let published: Vec<Option<OffsetDateTime>> = fates
        .iter()
        .map(|(_, fate)| (*fate == Fate::Published).then_some(now))
        .collect();
    within(pool, move |connection| {
        Box::pin(async move {
            let query = sqlx::query(query)
                .bind(tenants)
                .bind(payments)
                .bind(seqs)
                .bind(states);
            let query = query.bind(refused).bind(due).bind(published);
            query.execute(connection).await?;
            Ok(())
        })
    })
    .await
}

fn state(fate: &Fate) -> &'static str {
    match fate {
        Fate::Published => "published",
        Fate::Parked => "parked",
        Fate::Refused(_) | Fate::PutBack(_) => "pending",
    }
}

fn due_at(fate: &Fate) -> Option<OffsetDateTime> {
    match fate {
        Fate::Refused(at) | Fate::PutBack(at) => Some(*at),
        Fate::Published | Fate::Parked => None,
    }
}

/// Lets the parked events of a payment be tried again. How many there were.
///
/// # Errors
/// When the database cannot be asked.
pub async fn unpark(pool: &PgPool, payment: PaymentId) -> Result<u64, LedgerError> {
    within(pool, move |connection| {
        Box::pin(async move {
            let query = "update outbox set state = 'pending', attempts = 0, due_at = null \
                         where payment_id = $1 and state = 'parked'";
            Ok(sqlx::query(query)
                .bind(payment.0)
                .execute(connection)
                .await?
                .rows_affected())
        })
    })
    .await
}
