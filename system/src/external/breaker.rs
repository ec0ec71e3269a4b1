//! Circuit breakers: a dependency that keeps failing is left alone for a while, by all processes together.
//!
//! Each process counts its own calls. When enough of the recent ones failed, it opens the breaker and says so in an item of a
//! DynamoDB table, where the others see it within a refresh interval. When the time is up, calls are let through again and
//! decide anew. The item is a hint: if it cannot be read or written, each process goes by its own counts.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use aws_sdk_dynamodb::{Client, types::AttributeValue};
use time::OffsetDateTime;
use tokio::time::Instant;

/// How a breaker decides.
#[derive(Clone, Debug)]
pub struct BreakerConfig {
    /// The table: string partition key `pk`, string sort key `sk`.
    pub table: String,
    /// Calls that are counted together.
    pub window: u32,
    /// Failures in a window that open it.
    pub failures: u32,
    /// How long it stays open.
    pub open_for: Duration,
    /// How old the shared state may be.
    pub refresh: Duration,
}

impl Default for BreakerConfig {
    fn default() -> Self {
        Self {
            table: "payments-idempotency".to_owned(),
            window: 20,
            failures: 10,
            open_for: Duration::from_secs(10),
            refresh: Duration::from_secs(1),
        }
    }
}

/// The dependency is being left alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{dependency} is failing and is left alone for another {for_another:?}")]
pub struct Open {
    /// Which dependency.
    pub dependency: &'static str,
    /// For how long.
    pub for_another: Duration,
}

#[derive(Debug, Default)]
struct Counts {
    calls: u32,
    failures: u32,
    open_until: Option<OffsetDateTime>,
    refreshed: Option<Instant>,
}

/// A process's view of a dependency's breaker. Clones share it.
#[derive(Clone, Debug)]
pub struct Breaker {
    dependency: &'static str,
    client: Client,
    config: Arc<BreakerConfig>,
    counts: Arc<Mutex<Counts>>,
}

impl Breaker {
    /// A closed breaker.
    pub fn new(dependency: &'static str, client: Client, config: BreakerConfig) -> Self {
        Self {
            dependency,
            client,
            config: Arc::new(config),
            counts: Arc::default(),
        }
    }

    /// Whether a call may be made.
    ///
    /// # Errors
    /// While the breaker is open, here or in another process.
    pub fn admit(&self) -> Result<(), Open> {
        self.refresh_if_old();
        let now = OffsetDateTime::now_utc();
        let open_until = self.counts().open_until.filter(|until| *until > now);
        match open_until {
            Some(until) => Err(Open {
                dependency: self.dependency,
                for_another: (until - now).unsigned_abs(),
            }),
            None => Ok(()),
        }
    }

    /// Counts a call.
    pub fn record(&self, succeeded: bool) {
        let mut counts = self.counts();
        counts.calls += 1;
        counts.failures += u32::from(!succeeded);
        if counts.failures >= self.config.failures {
            let until = OffsetDateTime::now_utc() + self.config.open_for;
            counts.open_until = Some(until);
            tracing::warn!(dependency = self.dependency, %until, "breaker opened");
            let (this, until) = (self.clone(), until.unix_timestamp());
            tokio::spawn(async move { this.publish(until).await });
        }
        if counts.failures >= self.config.failures || counts.calls >= self.config.window {
            (counts.calls, counts.failures) = (0, 0);
        }
    }

    fn counts(&self) -> std::sync::MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks at what the others say, without making the caller wait for it.
    fn refresh_if_old(&self) {
        let now = Instant::now();
        let mut counts = self.counts();
        let old = counts.refreshed.is_none_or(|at| now - at >= self.config.refresh);
        if old {
            counts.refreshed = Some(now);
            drop(counts);
            let this = self.clone();
            tokio::spawn(async move { this.refresh().await });
        }
    }

    fn key(&self) -> AttributeValue {
        AttributeValue::S(format!("breaker#{}", self.dependency))
    }

    async fn refresh(&self) {
        let get = self
            .client
            .get_item()
            .table_name(&self.config.table)
            .key("pk", self.key())
            .key("sk", self.key())
            .send()
            .await;
        let item = get.ok().and_then(|got| got.item);
        let until = item.and_then(|item| item.get("open_until")?.as_n().ok()?.parse().ok());
        if let Some(until) = until.and_then(|until| OffsetDateTime::from_unix_timestamp(until).ok()) {
            let mut counts = self.counts();
            counts.open_until = counts.open_until.max(Some(until));
        }
    }

    async fn publish(&self, until: i64) {
        let until = AttributeValue::N(until.to_string());
        let put = self
            .client
            .put_item()
            .table_name(&self.config.table)
            .item("pk", self.key())
            .item("sk", self.key())
            .item("open_until", until.clone())
            .item("expires_at", until)
            .send()
            .await;
        if let Err(error) = put {
            tracing::warn!(dependency = self.dependency, %error, "the others were not told of the open breaker");
        }
    }
}
