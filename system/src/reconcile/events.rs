//! Events: what was committed, what was published, who has taken it in.

use std::collections::BTreeMap;

use aws_sdk_sqs::{error::DisplayErrorContext, types::SendMessageBatchRequestEntry};
use sqlx::{PgPool, Row, postgres::PgRow};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    drain::Drain,
    id::{PaymentId, TenantId},
    ledger::{LedgerError, within},
    messages::{Event, Subscriber},
};

use super::{Difference, Reconciler};

/// Messages of one call to SQS, at most.
const BATCH_MAX: usize = 10;

/// An event that a subscriber has not taken in.
struct Lost {
    subscriber: Subscriber,
    tenant: TenantId,
    payment: PaymentId,
    seq: i32,
    event_type: String,
    body: String,
}

/// Where a page starts: after this event.
type After = (Uuid, Uuid, i32);

/// A page of events that were published before a time, in the order of their keys.
async fn published(
    pool: &PgPool,
    after: After,
    before: OffsetDateTime,
    count: i64,
) -> Result<Vec<After>, LedgerError> {
    let rows = within(pool, move |connection| {
        Box::pin(async move {
            let query = "select tenant_id, payment_id, seq from outbox \
                         where (tenant_id > $1 or (tenant_id = $1 and (payment_id > $2 or (payment_id = $2 and seq > $3)))) \
                           and state = 'published' and published_at < $4 \
                         order by tenant_id, payment_id, seq limit $5";
            let query = sqlx::query(query).bind(after.0).bind(after.1).bind(after.2);
            Ok(query.bind(before).bind(count).fetch_all(connection).await?)
        })
    })
    .await?;
    let place = |row: &PgRow| {
        Ok((
            row.try_get("tenant_id")?,
            row.try_get("payment_id")?,
            row.try_get("seq")?,
        ))
    };
    rows.iter().map(place).collect()
}

/// Which subscriber has not taken which of these events in: every event against every subscriber.
async fn lost(pool: &PgPool, page: &[After]) -> Result<Vec<Lost>, LedgerError> {
    let tenants: Vec<Uuid> = page.iter().map(|place| place.0).collect();
    let payments: Vec<Uuid> = page.iter().map(|place| place.1).collect();
    let seqs: Vec<i32> = page.iter().map(|place| place.2).collect();
    let subscribers: Vec<&str> = Subscriber::ALL.map(Subscriber::name).into();
    let rows = within(pool, move |connection| {
        Box::pin(async move {
            let query = "select s.subscriber, o.tenant_id, o.payment_id, o.seq, o.event_type, o.body \
                         from unnest($1::uuid[], $2::uuid[], $3::int4[]) as k (tenant_id, payment_id, seq) \
                         join outbox o on o.tenant_id = k.tenant_id and o.payment_id = k.payment_id and o.seq = k.seq \
                         cross join unnest($4::text[]) as s (subscriber) \
                         where not exists (select from inbox i where i.subscriber = s.subscriber \
                               and i.tenant_id = o.tenant_id and i.payment_id = o.payment_id and i.seq = o.seq) \
                         order by s.subscriber, o.tenant_id, o.payment_id, o.seq";
            let query = sqlx::query(query).bind(tenants).bind(payments).bind(seqs);
            Ok(query.bind(subscribers).fetch_all(connection).await?)
        })
    })
    .await?;
    let lost = |row: &PgRow| {
        let name: String = row.try_get("subscriber")?;
        let subscriber = Subscriber::ALL.into_iter().find(|known| known.name() == name);
        Ok(Lost {
            subscriber: subscriber.ok_or(LedgerError::Corrupt("subscriber"))?,
            tenant: TenantId(row.try_get("tenant_id")?),
            payment: PaymentId(row.try_get("payment_id")?),
            seq: row.try_get("seq")?,
            event_type: row.try_get("event_type")?,
            body: row.try_get("body")?,
        })
    };
    rows.iter().map(lost).collect()
}

impl Reconciler {
    /// Rows of the outbox that are parked, or that no relay has published in time. How many wait in all.
    pub(super) async fn compare_outbox(&self) -> Result<usize, String> {
        let (before, count) = (self.settled_before(), self.config.page);
        let rows = within(&self.pool, move |connection| {
            Box::pin(async move {
                let query = "select tenant_id, payment_id, seq, state from outbox \
                             where state in ('pending', 'parked') and created_at < $1 \
                             order by created_at, payment_id, seq limit $2";
                Ok(sqlx::query(query)
                    .bind(before)
                    .bind(count)
                    .fetch_all(connection)
                    .await?)
            })
        })
        .await
        .map_err(|error| error.to_string())?;
        for row in &rows {
            let parked = row.get::<&str, _>("state") == "parked";
            self.report(&Difference {
                kind: if parked { "event_parked" } else { "event_late" },
                tenant: TenantId(row.get("tenant_id")),
                subject: &PaymentId(row.get("payment_id")).to_string(),
                detail: &format!("event {}", row.get::<i32, _>("seq")),
                repaired: false,
            });
        }
        Ok(rows.len())
    }

    /// Every published event against every subscriber's inbox.
    pub(super) async fn compare_inboxes(&self, drain: &mut Drain) -> Result<usize, String> {
        let before = self.settled_before();
        let mut after = (Uuid::nil(), Uuid::nil(), 0);
        let mut compared = 0;
        while !drain.begun() {
            let page = published(&self.pool, after, before, self.config.page).await;
            let page = page.map_err(|error| error.to_string())?;
            let Some(last) = page.last() else { break };
            after = *last;
            let lost = lost(&self.pool, &page).await.map_err(|error| error.to_string())?;
            self.send_again(lost).await?;
            compared += page.len();
            drain.sleep(self.config.pause).await;
        }
        Ok(compared)
    }

    /// Sends events to the queues of those who miss them.
    async fn send_again(&self, lost: Vec<Lost>) -> Result<(), String> {
        let mut by_subscriber: BTreeMap<Subscriber, Vec<Lost>> = BTreeMap::new();
        for lost in lost {
            by_subscriber.entry(lost.subscriber).or_default().push(lost);
        }
        for (subscriber, lost) in by_subscriber {
            let name = self.config.topology.queue(subscriber);
            let found = self.queues.get_queue_url().queue_name(&name).send().await;
            let url = found
                .map_err(|error| DisplayErrorContext(error).to_string())?
                .queue_url;
            for batch in lost.chunks(BATCH_MAX) {
                let entries = batch.iter().zip(0..).filter_map(|(lost, number): (_, u8)| {
                    let message = Event::message(&lost.event_type, &lost.body);
                    let entry = SendMessageBatchRequestEntry::builder().id(number.to_string());
                    entry.message_body(message).build().ok()
                });
                let send = self.queues.send_message_batch().set_queue_url(url.clone());
                let sent = send.set_entries(Some(entries.collect())).send().await;
                sent.map_err(|error| DisplayErrorContext(error).to_string())?;
                for lost in batch {
                    self.report(&Difference {
                        kind: "event_lost",
                        tenant: lost.tenant,
                        subject: &lost.payment.to_string(),
                        detail: &format!("event {} goes to {} again", lost.seq, subscriber.name()),
                        repaired: true,
                    });
                }
            }
        }
        Ok(())
    }
}
