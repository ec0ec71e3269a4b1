//! Takes events in: each exactly once, each after its predecessor, in the transaction of its effect.
//!
//! Rows are only ever added, so a predecessor that is there stays there and needs no lock. Two consumers with the same event
//! meet at the primary key: the second waits for the first to commit, and then adds nothing and does nothing.
//!
//! **Round trips** of a group, whatever its size: begin, what is known, the additions, the effect, commit.

use std::collections::{BTreeMap, BTreeSet};

use sqlx::{Connection, PgConnection, PgPool, Row};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    id::{PaymentId, TenantId},
    ledger::{LedgerError, within},
    variant::{Variant, as_written},
};

use super::{event::Event, subscriber::Subscriber};

type Place = (TenantId, PaymentId, i32);

/// What came of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// It had its effect, now.
    Applied,
    /// It had its effect before.
    Known,
    /// Its predecessor is missing. Another time.
    Gap,
}

/// Takes events in for a subscriber, by a pool of the role `payments_consumer`. An outcome for each, in their order.
///
/// # Errors
/// Then nothing is known of any of them; taking them in again is safe and tells.
pub async fn take_in(
    pool: &PgPool,
    subscriber: Subscriber,
    events: Vec<Event>,
    at: OffsetDateTime,
) -> Result<Vec<Taken>, LedgerError> {
    within(pool, move |connection| {
        Box::pin(async move {
            let mut transaction = connection.begin().await?;
            let known = known(&mut transaction, subscriber, &events).await?;
            let fresh = fresh(&events, &known);
            let added = add(&mut transaction, subscriber, &fresh, at).await?;
            let effects: Vec<&Event> = fresh
                .iter()
                .filter(|(place, _)| added.contains(*place))
                .map(|(_, event)| *event)
                .collect();
            if effects.is_empty() {
                transaction.rollback().await?;
            } else {
                if as_written(Variant::EffectAfterTheCommit) {
                    transaction.commit().await?;
                    transaction = connection.begin().await?;
                }
                subscriber.apply(&mut transaction, &effects, at).await?;
                transaction.commit().await?;
            }
            let mut unseen = added;
            let taken = events.iter().map(|event| {
                let place = event.place();
                if unseen.remove(&place) {
                    Taken::Applied
                } else if known.contains(&place) || fresh.contains_key(&place) {
                    Taken::Known
                } else {
                    Taken::Gap
                }
            });
            Ok(taken.collect())
        })
    })
    .await
}

/// The events that may have their effect now: neither known, nor without their predecessor.
fn fresh<'a>(events: &'a [Event], known: &BTreeSet<Place>) -> BTreeMap<Place, &'a Event> {
    let sorted: BTreeMap<Place, &Event> = events.iter().map(|event| (event.place(), event)).collect();
    let mut fresh = BTreeMap::new();
    for (place, event) in sorted {
        let (tenant, payment, seq) = place;
        let before = (tenant, payment, seq - 1);
        let follows = seq == 1 || known.contains(&before) || fresh.contains_key(&before);
        if follows && !known.contains(&place) {
            fresh.insert(place, event);
        }
    }
    fresh
}

fn columns(places: impl Iterator<Item = Place>) -> (Vec<Uuid>, Vec<Uuid>, Vec<i32>) {
    let mut columns = (Vec::new(), Vec::new(), Vec::new());
    for (tenant, payment, seq) in places {
        columns.0.push(tenant.0);
        columns.1.push(payment.0);
        columns.2.push(seq);
    }
    columns
}

/// Which of the events and of their predecessors are in the inbox.
async fn known(
    connection: &mut PgConnection,
    subscriber: Subscriber,
    events: &[Event],
) -> Result<BTreeSet<Place>, LedgerError> {
    let asked: BTreeSet<Place> = events
        .iter()
        .map(Event::place)
        .flat_map(|(tenant, payment, seq)| [(tenant, payment, seq - 1), (tenant, payment, seq)])
        .filter(|(_, _, seq)| *seq > 0)
        .collect();
    let (tenants, payments, seqs) = columns(asked.into_iter());
    // Lateral, and limited: or else the inbox is read for its subscriber, since that is part of a key, and all of it compared.
    let query = "select i.tenant_id, i.payment_id, i.seq \
                 from unnest($2::uuid[], $3::uuid[], $4::int4[]) as k (tenant_id, payment_id, seq) \
                 cross join lateral (select i.tenant_id, i.payment_id, i.seq from inbox i \
                   where i.subscriber = $1 and i.tenant_id = k.tenant_id and i.payment_id = k.payment_id and i.seq = k.seq \
                   limit 1) i";
    let rows = sqlx::query(query)
        .bind(subscriber.name())
        .bind(tenants)
        .bind(payments);
    places(&rows.bind(seqs).fetch_all(connection).await?)
}

/// Adds events to the inbox. Those that nobody else has added meanwhile.
async fn add(
    connection: &mut PgConnection,
    subscriber: Subscriber,
    events: &BTreeMap<Place, &Event>,
    at: OffsetDateTime,
) -> Result<BTreeSet<Place>, LedgerError> {
    if events.is_empty() {
        return Ok(BTreeSet::new());
    }
    let (tenants, payments, seqs) = columns(events.keys().copied());
    let query = "insert into inbox (subscriber, tenant_id, payment_id, seq, taken_in_at) \
                 select $1, k.tenant_id, k.payment_id, k.seq, $5 \
                 from unnest($2::uuid[], $3::uuid[], $4::int4[]) as k (tenant_id, payment_id, seq) \
                 on conflict do nothing returning tenant_id, payment_id, seq";
    let rows = sqlx::query(query)
        .bind(subscriber.name())
        .bind(tenants)
        .bind(payments);
    places(&rows.bind(seqs).bind(at).fetch_all(connection).await?)
}

fn places(rows: &[sqlx::postgres::PgRow]) -> Result<BTreeSet<Place>, LedgerError> {
    let place = |row: &sqlx::postgres::PgRow| {
        Ok((
            TenantId(row.try_get("tenant_id")?),
            PaymentId(row.try_get("payment_id")?),
            row.try_get("seq")?,
        ))
    };
    rows.iter().map(place).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::messages::event::tests::body;

    #[test]
    fn an_event_is_fresh_after_its_predecessor_only() {
        let event = |sequence| Event::parse(&body(sequence, 1)).unwrap();
        let place = |sequence| event(sequence).place();
        let known = BTreeSet::from([place(1)]);
        let events = [event(3), event(5), event(2), event(1), event(2)];
        let fresh: Vec<i32> = fresh(&events, &known).keys().map(|place| place.2).collect();
        assert_eq!(fresh, [2, 3]);
    }
}
