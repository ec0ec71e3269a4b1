//! Publishes what the outbox holds. Any number of relays may run: a row is leased to one at a time.
//!
//! A round is one statement that leases rows, one `PutEvents` for every ten of them, some at a time, and one statement that
//! writes down what came of each. Rows of one payment never share a round, since the second is due only once the first is
//! published.

use std::time::Duration;

use aws_sdk_eventbridge::{
    Client,
    error::{DisplayErrorContext, ProvideErrorMetadata, SdkError},
    operation::put_events::PutEventsError,
    primitives::DateTime,
    types::{PutEventsRequestEntry, PutEventsResultEntry},
};
use sqlx::PgPool;
use time::OffsetDateTime;
use tokio::task::JoinSet;

use crate::{
    backoff::full_jitter,
    clock::now,
    drain::Drain,
    external::Breaker,
    ledger::Authority,
    metrics::Metrics,
    variant::{Variant, as_written},
};

use super::outbox::{self, Fate, Unpublished};

/// The `source` of all events.
pub const SOURCE: &str = "payments";

/// Entries of one `PutEvents`, at most.
const ENTRIES_MAX: usize = 10;
/// Bytes of one `PutEvents`: what EventBridge takes, less some for how it counts.
const BYTES_MAX: usize = 1_000_000;
/// What EventBridge says of the entry itself. Anything else is taken for its own trouble: an unknown code must not park
/// what is good.
const OWN: [&str; 2] = ["InvalidArgument", "MalformedDetail"];

/// How a relay works.
#[derive(Clone, Debug)]
pub struct RelayConfig {
    /// The event bus.
    pub bus: String,
    /// How often it looks when there was nothing.
    pub interval: Duration,
    /// Rows of a round.
    pub batch: i64,
    /// Calls at a time.
    pub concurrency: usize,
    /// How long rows are one relay's. Longer than a round takes.
    pub lease: Duration,
    /// Refusals after which a row is parked.
    pub refusals_max: i32,
    /// Longest pause after a failure.
    pub pause_max: Duration,
}

impl Default for RelayConfig {
    fn default() -> Self {
        Self {
            bus: "payments".to_owned(),
            interval: Duration::from_millis(500),
            batch: 200,
            concurrency: 4,
            lease: Duration::from_secs(15),
            refusals_max: 5,
            pause_max: Duration::from_secs(30),
        }
    }
}

/// A relay.
#[derive(Clone, Debug)]
pub struct Relay {
    /// Of the role `payments_worker`.
    pub outbox: PgPool,
    /// The Region's EventBridge. A call must end well before the lease.
    pub events: Client,
    /// Of EventBridge, shared by all relays.
    pub breaker: Breaker,
    /// How it works.
    pub config: RelayConfig,
    /// What it counts.
    pub metrics: Metrics,
    /// Where another Region writes, it leaves all to that one's.
    pub authority: Authority,
}

/// What one call came to.
enum Put {
    /// An answer for every row.
    Answered(Vec<(Unpublished, Fate)>),
    /// The broker failed, for a reason that is no row's.
    Failed(Vec<Unpublished>, String),
}

impl Relay {
    /// Publishes until the drain.
    pub async fn run(self, mut drain: Drain) {
        let mut failures = 0;
        while !drain.begun() {
            if self.authority.epoch().is_err() {
                drain.sleep(Duration::from_secs(1)).await;
                continue;
            }
            if let Err(open) = self.breaker.admit() {
                let pause = open.for_another + full_jitter(Duration::from_secs(1), self.config.pause_max, 1);
                drain.sleep(pause).await;
                continue;
            }
            // While the broker fails, a few rows find out whether it still does.
            let count = if failures == 0 {
                self.config.batch
            } else {
                ENTRIES_MAX as i64
            };
            match self.round(count).await {
                Ok(0) => {
                    failures = 0;
                    drain
                        .sleep(self.config.interval.mul_f64(0.5 + fastrand::f64()))
                        .await;
                }
                Ok(_) => failures = 0,
                Err(reason) => {
                    failures += 1;
                    tracing::warn!(reason, failures, "events wait");
                    let pause = full_jitter(Duration::from_millis(200), self.config.pause_max, failures);
                    drain.sleep(pause).await;
                }
            }
        }
    }

    /// Publishes what is due, up to a count. How many rows there were.
    async fn round(&self, count: i64) -> Result<usize, String> {
        let rows = outbox::claim(&self.outbox, now(), now() + self.config.lease, count).await;
        let rows = rows.map_err(|error| error.to_string())?;
        let found = rows.len();
        if found == 0 {
            return Ok(0);
        }
        let mut fates = Vec::with_capacity(found);
        let mut failed = None;
        let mut batches = batches(rows).into_iter();
        let mut under_way = JoinSet::new();
        loop {
            while under_way.len() < self.config.concurrency.max(1) && failed.is_none() {
                let Some(batch) = batches.next() else { break };
                let this = self.clone();
                under_way.spawn(async move { this.publish(batch).await });
            }
            let Some(done) = under_way.join_next().await else {
                break;
            };
            match done.map_err(|gone| gone.to_string())? {
                Put::Answered(answered) => fates.extend(answered),
                Put::Failed(rows, reason) => {
                    if as_written(Variant::StampAfterAttempts) {
                        fates.extend(self.refused(rows, &reason));
                    } else {
                        fates.extend(rows.into_iter().map(|row| (row, Fate::PutBack(now()))));
                    }
                    failed = Some(reason);
                }
            }
        }
        // What was not tried after all.
        fates.extend(batches.flatten().map(|row| (row, Fate::PutBack(now()))));
        self.note(&fates);
        outbox::settle(&self.outbox, fates, now())
            .await
            .map_err(|error| error.to_string())?;
        failed.map_or(Ok(found), Err)
    }

    async fn publish(&self, rows: Vec<Unpublished>) -> Put {
        match self.put(rows).await {
            Err((rows, refused)) if rows.len() > 1 => {
                // One of them may be at fault: each by itself.
                tracing::warn!(reason = refused, "a whole batch refused: events go one by one");
                let mut fates = Vec::with_capacity(rows.len());
                let mut rows = rows.into_iter();
                while let Some(row) = rows.next() {
                    match self.put(vec![row]).await {
                        Ok(Put::Answered(answered)) => fates.extend(answered),
                        Ok(Put::Failed(failed, reason)) => {
                            let back = failed.into_iter().chain(rows);
                            fates.extend(back.map(|row| (row, Fate::PutBack(now()))));
                            tracing::warn!(reason, "events wait");
                            break;
                        }
                        Err((row, refused)) => fates.extend(self.refused(row, &refused)),
                    }
                }
                Put::Answered(fates)
            }
            Err((rows, refused)) => Put::Answered(self.refused(rows, &refused)),
            Ok(put) => put,
        }
    }

    fn refused(&self, rows: Vec<Unpublished>, reason: &str) -> Vec<(Unpublished, Fate)> {
        rows.into_iter()
            .map(|row| {
                let fate = self.refusal(&row, reason);
                (row, fate)
            })
            .collect()
    }

    /// One call. An error is EventBridge's refusal of the whole request.
    async fn put(&self, rows: Vec<Unpublished>) -> Result<Put, (Vec<Unpublished>, String)> {
        let entries = rows.iter().map(|row| self.entry(row)).collect();
        let sent = self.events.put_events().set_entries(Some(entries)).send().await;
        let refused = matches!(&sent, Err(error) if is_refusal(error));
        self.breaker.record(sent.is_ok() || refused);
        let answer = match sent {
            Ok(answer) => answer,
            Err(error) => {
                let reason = DisplayErrorContext(&error).to_string();
                return if refused {
                    Err((rows, reason))
                } else {
                    Ok(Put::Failed(rows, reason))
                };
            }
        };
        let results = answer.entries.unwrap_or_default();
        if results.len() != rows.len() {
            let reason = format!("{} results for {} entries", results.len(), rows.len());
            return Ok(Put::Failed(rows, reason));
        }
        let answered = rows.into_iter().zip(&results).map(|(row, result)| {
            let fate = self.fate(&row, result);
            (row, fate)
        });
        Ok(Put::Answered(answered.collect()))
    }

    fn entry(&self, row: &Unpublished) -> PutEventsRequestEntry {
        PutEventsRequestEntry::builder()
            .event_bus_name(&self.config.bus)
            .source(SOURCE)
            .detail_type(&row.event_type)
            .detail(&row.body)
            .time(DateTime::from_secs(row.created_at.unix_timestamp()))
            .build()
    }

    fn fate(&self, row: &Unpublished, result: &PutEventsResultEntry) -> Fate {
        match result.error_code() {
            None => Fate::Published,
            Some(_) if as_written(Variant::PartialFailureUnread) => Fate::Published,
            Some(code) if as_written(Variant::StampAfterAttempts) => self.refusal(row, code),
            Some(code) if OWN.contains(&code) => {
                let message = result.error_message().unwrap_or_default();
                self.refusal(row, &format!("{code}: {message}"))
            }
            Some(_) => Fate::PutBack(later(Duration::from_secs(1), self.config.pause_max, 1)),
        }
    }

    fn refusal(&self, row: &Unpublished, reason: &str) -> Fate {
        let refusals = row.refusals + 1;
        let (payment_id, tenant) = (row.payment, row.tenant);
        if refusals >= self.config.refusals_max && as_written(Variant::StampAfterAttempts) {
            return Fate::Published;
        }
        if refusals >= self.config.refusals_max {
            tracing::error!(%payment_id, %tenant, seq = row.seq, reason, "event parked: its payment's events wait for an operator");
            return Fate::Parked;
        }
        tracing::warn!(%payment_id, %tenant, seq = row.seq, reason, refusals, "event refused");
        let attempt = refusals.unsigned_abs();
        Fate::Refused(later(Duration::from_secs(1), self.config.pause_max, attempt))
    }

    fn note(&self, fates: &[(Unpublished, Fate)]) {
        for (row, fate) in fates {
            let outcome = match fate {
                Fate::Published => "published",
                Fate::Refused(_) => "refused",
                Fate::Parked => "parked",
                Fate::PutBack(_) => "put_back",
            };
            self.metrics.relayed(outcome);
            tracing::debug!(payment_id = %row.payment, tenant = %row.tenant, seq = row.seq, outcome, "relayed");
        }
    }
}

fn later(base: Duration, cap: Duration, attempt: u32) -> OffsetDateTime {
    now() + full_jitter(base, cap, attempt)
}

/// Whether the request itself was found wanting, rather than the service.
fn is_refusal(error: &SdkError<PutEventsError>) -> bool {
    let validation = error.as_service_error().and_then(ProvideErrorMetadata::code);
    validation == Some("ValidationException")
}

/// Rows in calls that EventBridge takes: a row that is too large goes alone, and is refused alone.
fn batches(rows: Vec<Unpublished>) -> Vec<Vec<Unpublished>> {
    let mut batches: Vec<Vec<Unpublished>> = Vec::new();
    let mut bytes = 0;
    for row in rows {
        let size = SOURCE.len() + row.event_type.len() + row.body.len() + 14;
        match batches.last_mut() {
            Some(batch) if batch.len() < ENTRIES_MAX && bytes + size <= BYTES_MAX => {
                bytes += size;
                batch.push(row);
            }
            _ => {
                bytes = size;
                batches.push(vec![row]);
            }
        }
    }
    batches
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{PaymentId, TenantId};
    use uuid::Uuid;

    fn row(number: u128, bytes: usize) -> Unpublished {
        Unpublished {
            tenant: TenantId(Uuid::nil()),
            payment: PaymentId(Uuid::from_u128(number)),
            seq: 1,
            event_type: "payment.captured".to_owned(),
            body: "x".repeat(bytes),
            refusals: 0,
            created_at: OffsetDateTime::UNIX_EPOCH,
        }
    }

    #[test]
    fn calls_stay_within_what_eventbridge_takes_and_leave_nothing_out() {
        let sizes = |rows: &[usize]| -> Vec<usize> {
            let rows = rows.iter().zip(0..).map(|(bytes, number)| row(number, *bytes));
            batches(rows.collect()).iter().map(Vec::len).collect()
        };
        assert_eq!(sizes(&[]), [0; 0]);
        assert_eq!(sizes(&[100; 25]), [10, 10, 5]);
        assert_eq!(sizes(&[400_000; 5]), [2, 2, 1]);
        assert_eq!(sizes(&[10, 2_000_000, 10]), [1, 1, 1]);
    }
}
