//! The subscribers, and what each does with an event. Effects are rows, in the transaction of the inbox.

use std::collections::BTreeMap;

use sqlx::PgConnection;
use time::{Date, OffsetDateTime};
use uuid::Uuid;

use crate::ledger::LedgerError;

use super::event::Event;

/// Who takes events in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Subscriber {
    /// What a tenant is to be told of.
    Notification,
    /// A receipt for every movement of money.
    Receipts,
    /// The ledger's read model: what was moved by day and currency.
    Volume,
}

impl Subscriber {
    /// All of them: the list that the reconciler holds the inbox to.
    pub const ALL: [Self; 3] = [Self::Notification, Self::Receipts, Self::Volume];

    /// Its name in the inbox and of its queue.
    pub fn name(self) -> &'static str {
        match self {
            Self::Notification => "notification",
            Self::Receipts => "receipts",
            Self::Volume => "volume",
        }
    }

    /// The effect of events that were not taken in before. One round trip, or none.
    pub(super) async fn apply(
        self,
        connection: &mut PgConnection,
        events: &[&Event],
        at: OffsetDateTime,
    ) -> Result<(), LedgerError> {
        match self {
            Self::Notification => notify(connection, events, at).await,
            Self::Receipts => issue(connection, events, at).await,
            Self::Volume => count(connection, events).await,
        }
    }
}

fn column<'a, R, T>(rows: &'a [R], value: impl Fn(&'a R) -> T) -> Vec<T> {
    rows.iter().map(value).collect()
}

async fn notify(
    connection: &mut PgConnection,
    events: &[&Event],
    at: OffsetDateTime,
) -> Result<(), LedgerError> {
    let text = |event: &Event| {
        let payment = &event.payment;
        format!("payment {} is {}", payment.payment_id, payment.state)
    };
    sqlx::query(
        "insert into notification (tenant_id, payment_id, seq, event_type, body, created_at) \
         select c.tenant_id, c.payment_id, c.seq, c.event_type, c.body, $6 \
         from unnest($1::uuid[], $2::uuid[], $3::int4[], $4::text[], $5::text[]) \
              as c (tenant_id, payment_id, seq, event_type, body)",
    )
    .bind(column(events, |event| event.tenant_id.0))
    .bind(column(events, |event| event.payment.payment_id.0))
    .bind(column(events, |event| event.sequence))
    .bind(column(events, |event| event.r#type.as_str()))
    .bind(column(events, |event| text(event)))
    .bind(at)
    .execute(connection)
    .await?;
    Ok(())
}

/// Which way an event moved money: `captured`, `refunded` or `settled`.
fn movement(event: &Event) -> Option<&str> {
    let kind = event.r#type.strip_prefix("payment.")?;
    (["captured", "refunded", "settled"].contains(&kind) && event.moved > 0).then_some(kind)
}

async fn issue(
    connection: &mut PgConnection,
    events: &[&Event],
    at: OffsetDateTime,
) -> Result<(), LedgerError> {
    let moved: Vec<_> = events
        .iter()
        .filter_map(|event| movement(event).map(|kind| (*event, kind)))
        .collect();
    if moved.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "insert into receipt (tenant_id, payment_id, seq, kind, account_id, currency, amount, issued_at) \
         select c.tenant_id, c.payment_id, c.seq, c.kind, c.account_id, c.currency, c.amount, $8 \
         from unnest($1::uuid[], $2::uuid[], $3::int4[], $4::text[], $5::uuid[], $6::text[], $7::int8[]) \
              as c (tenant_id, payment_id, seq, kind, account_id, currency, amount)",
    )
    .bind(column(&moved, |(event, _)| event.tenant_id.0))
    .bind(column(&moved, |(event, _)| event.payment.payment_id.0))
    .bind(column(&moved, |(event, _)| event.sequence))
    .bind(column(&moved, |(_, kind)| *kind))
    .bind(column(&moved, |(event, _)| event.payment.payee.0))
    .bind(column(&moved, |(event, _)| event.payment.currency.code()))
    .bind(column(&moved, |(event, _)| event.moved))
    .bind(at)
    .execute(connection)
    .await?;
    Ok(())
}

/// Sums of a tenant's day in a currency.
#[derive(Debug, Default, PartialEq, Eq)]
struct Sums {
    captured: i64,
    refunded: i64,
    settled: i64,
    events: i64,
}

fn sums<'a>(events: &[&'a Event]) -> BTreeMap<(Uuid, Date, &'a str), Sums> {
    let mut sums: BTreeMap<_, Sums> = BTreeMap::new();
    for event in events {
        let day = event.payment.updated_at.to_offset(time::UtcOffset::UTC).date();
        let key = (event.tenant_id.0, day, event.payment.currency.code());
        let sums = sums.entry(key).or_default();
        match movement(event) {
            Some("captured") => sums.captured += event.moved,
            Some("refunded") => sums.refunded += event.moved,
            Some(_) => sums.settled += event.moved,
            None => {}
        }
        sums.events += 1;
    }
    sums
}

async fn count(connection: &mut PgConnection, events: &[&Event]) -> Result<(), LedgerError> {
    // In the order of their keys, so that two consumers do not wait for each other in a circle.
    let rows: Vec<_> = sums(events).into_iter().collect();
    sqlx::query(
        "insert into volume (tenant_id, day, currency, captured, refunded, settled, events) \
         select * from unnest($1::uuid[], $2::date[], $3::text[], $4::int8[], $5::int8[], $6::int8[], $7::int8[]) \
         on conflict (tenant_id, day, currency) do update set captured = volume.captured + excluded.captured, \
            refunded = volume.refunded + excluded.refunded, settled = volume.settled + excluded.settled, \
            events = volume.events + excluded.events",
    )
    .bind(column(&rows, |row| row.0.0))
    .bind(column(&rows, |row| row.0.1))
    .bind(column(&rows, |row| row.0.2))
    .bind(column(&rows, |row| row.1.captured))
    .bind(column(&rows, |row| row.1.refunded))
    .bind(column(&rows, |row| row.1.settled))
    .bind(column(&rows, |row| row.1.events))
    .execute(connection)
    .await?;
    Ok(())
}
