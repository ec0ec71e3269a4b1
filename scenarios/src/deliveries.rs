//! What was committed to be told, and who was told: the outbox, the inboxes and what the subscribers made of it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use payments::messages::Subscriber;
use serde::{Deserialize, Serialize};
use sqlx::{PgConnection, Row, postgres::PgRow};

/// An event, by its payment and its place among the payment's events.
pub type EventId = (String, i32);

/// The events of a ledger and their deliveries.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deliveries {
    /// Rows of the outbox that are published.
    pub published: Vec<EventId>,
    /// Rows of the outbox that are not, each with its state.
    pub unpublished: Vec<(EventId, String)>,
    /// What each subscriber has taken in, in this order.
    pub taken_in: BTreeMap<String, Vec<EventId>>,
    /// Notifications, in no order.
    pub notifications: Vec<EventId>,
    /// Receipts, in no order.
    pub receipts: Vec<EventId>,
    /// What the read model says was moved.
    pub volume: Volume,
}

/// Minor units, all currencies together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Volume {
    /// Captured from cards.
    pub captured: i64,
    /// Given back.
    pub refunded: i64,
    /// Paid out of settlements.
    pub settled: i64,
}

fn event(row: &PgRow) -> EventId {
    (row.get("payment_id"), row.get("seq"))
}

impl Deliveries {
    /// Reads them, as somebody who sees everything.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn read(connection: &mut PgConnection) -> Result<Self, sqlx::Error> {
        let mut deliveries = Self::default();
        for subscriber in Subscriber::ALL {
            deliveries
                .taken_in
                .insert(subscriber.name().to_owned(), Vec::new());
        }
        let query = "select payment_id::text, seq, state from outbox order by payment_id, seq";
        for row in sqlx::query(query).fetch_all(&mut *connection).await? {
            match row.get::<String, _>("state") {
                state if state == "published" => deliveries.published.push(event(&row)),
                state => deliveries.unpublished.push((event(&row), state)),
            }
        }
        let query = "select subscriber, payment_id::text, seq from inbox order by place";
        for row in sqlx::query(query).fetch_all(&mut *connection).await? {
            let taken_in = deliveries.taken_in.entry(row.get("subscriber")).or_default();
            taken_in.push(event(&row));
        }
        let query = "select payment_id::text, seq from notification order by payment_id, seq";
        let rows = sqlx::query(query).fetch_all(&mut *connection).await?;
        deliveries.notifications = rows.iter().map(event).collect();
        let query = "select payment_id::text, seq from receipt order by payment_id, seq";
        let rows = sqlx::query(query).fetch_all(&mut *connection).await?;
        deliveries.receipts = rows.iter().map(event).collect();
        let query = "select coalesce(sum(captured), 0)::int8 as captured, coalesce(sum(refunded), 0)::int8 as refunded, \
                     coalesce(sum(settled), 0)::int8 as settled from volume";
        let row = sqlx::query(query).fetch_one(&mut *connection).await?;
        deliveries.volume = Volume {
            captured: row.get("captured"),
            refunded: row.get("refunded"),
            settled: row.get("settled"),
        };
        Ok(deliveries)
    }

    /// Everything that has not reached whom it should.
    pub fn missing(&self) -> Vec<Missing> {
        let unpublished = self.unpublished.iter().map(|(event, state)| Missing {
            event: event.clone(),
            why: format!("is {state}"),
        });
        let mut missing: Vec<_> = unpublished.collect();
        for (subscriber, taken_in) in &self.taken_in {
            let taken_in: BTreeSet<_> = taken_in.iter().collect();
            let lost = self.published.iter().filter(|event| !taken_in.contains(event));
            missing.extend(lost.map(|event| Missing {
                event: event.clone(),
                why: format!("is published and has not reached {subscriber}"),
            }));
        }
        missing
    }
}

/// An event that has not reached whom it should.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing {
    /// Which.
    pub event: EventId,
    /// How far it came.
    pub why: String,
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (payment, seq) = &self.event;
        write!(f, "event {seq} of payment {payment} {}", self.why)
    }
}
