//! The structured events of a process as OpenTelemetry log records: OTLP over HTTP in its JSON encoding, to
//! `OTEL_EXPORTER_OTLP_ENDPOINT`.
//!
//! A record of a payment has the payment's id as its trace id (both are 16 bytes), so that every backend finds a payment's whole
//! story, in all processes and Regions, by one key. Fields become attributes under their own names: payment_id, tenant, region,
//! epoch and what else an event says.
//!
//! Telemetry is never waited for. What the collector does not take in time is dropped and counted, and how much was dropped
//! is told in the next batch that gets through.
//!
//! Not exported: spans, since a payment's steps are commits of several processes and not calls of one; and metrics, which
//! Prometheus collects (`/metrics`).

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use serde_json::{Value, json};
use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, sleep, timeout, timeout_at},
};
use tracing::{
    Event, Level, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{Layer, layer::Context};

use crate::{backoff::full_jitter, clock::now};

/// Records that wait at most.
const WAITING_MAX: usize = 8_192;
/// Records of a batch at most.
const BATCH_MAX: usize = 512;
/// How long a batch is collected.
const INTERVAL: Duration = Duration::from_secs(1);
/// How often a batch is tried.
const ATTEMPTS_MAX: u32 = 4;
/// How long a process that ends waits for its last records.
const FLUSH_MAX: Duration = Duration::from_secs(5);

enum Message {
    Record(Value),
    Flush(oneshot::Sender<()>),
}

/// Takes events of this program and hands them to an [`Exporter`].
#[derive(Debug)]
pub struct Tap {
    sender: mpsc::Sender<Message>,
    dropped: Arc<AtomicU64>,
}

/// Sends what a [`Tap`] took.
#[derive(Debug)]
pub struct Exporter {
    receiver: mpsc::Receiver<Message>,
    sender: mpsc::WeakSender<Message>,
    dropped: Arc<AtomicU64>,
    url: String,
    region: String,
}

/// A tap and the exporter behind it, for a collector at an OTLP endpoint as in `http://127.0.0.1:4318`.
pub fn export(endpoint: &str, region: String) -> (Tap, Exporter) {
    let (sender, receiver) = mpsc::channel(WAITING_MAX);
    let dropped = Arc::new(AtomicU64::new(0));
    let exporter = Exporter {
        receiver,
        sender: sender.downgrade(),
        dropped: dropped.clone(),
        url: format!("{}/v1/logs", endpoint.trim_end_matches('/')),
        region,
    };
    (Tap { sender, dropped }, exporter)
}

impl<S: Subscriber> Layer<S> for Tap {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let metadata = event.metadata();
        // The client that exports says things as well: exporting those would never end.
        if !metadata.target().starts_with("payments") {
            return;
        }
        let mut fields = Fields::default();
        event.record(&mut fields);
        let record = fields.record(*metadata.level(), metadata.target());
        if self.sender.try_send(Message::Record(record)).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

#[derive(Default)]
struct Fields {
    message: String,
    trace_id: Option<String>,
    attributes: Vec<Value>,
}

impl Fields {
    fn add(&mut self, field: &Field, value: Value) {
        self.attributes.push(json!({"key": field.name(), "value": value}));
    }

    fn record(self, level: Level, target: &str) -> Value {
        let (number, text) = match level {
            Level::ERROR => (17, "ERROR"),
            Level::WARN => (13, "WARN"),
            Level::INFO => (9, "INFO"),
            Level::DEBUG => (5, "DEBUG"),
            Level::TRACE => (1, "TRACE"),
        };
        let mut attributes = self.attributes;
        attributes.push(json!({"key": "target", "value": {"stringValue": target}}));
        let mut record = json!({
            "timeUnixNano": now().unix_timestamp_nanos().to_string(), "severityNumber": number, "severityText": text,
            "body": {"stringValue": self.message}, "attributes": attributes
        });
        if let Some(trace_id) = self.trace_id {
            record["traceId"] = Value::from(trace_id);
        }
        record
    }
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field, json!({"stringValue": value}));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.add(field, json!({"boolValue": value}));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        // 64-bit integers are decimal strings in OTLP's JSON.
        self.add(field, json!({"intValue": value.to_string()}));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.add(field, json!({"intValue": value.to_string()}));
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.add(field, json!({"doubleValue": value}));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let text = format!("{value:?}");
        match field.name() {
            "message" => self.message = text,
            name => {
                if name == "payment_id" {
                    self.trace_id = text.parse::<uuid::Uuid>().ok().map(|id| id.simple().to_string());
                }
                self.add(field, json!({"stringValue": text}));
            }
        }
    }
}

impl Exporter {
    /// Asks for everything that was taken so far to be sent, and waits for it for a few seconds.
    pub fn flush(&self) -> impl Future<Output = ()> + Send + 'static {
        let sender = self.sender.clone();
        async move {
            let Some(sender) = sender.upgrade() else { return };
            let (done, flushed) = oneshot::channel();
            let flush = async {
                if sender.send(Message::Flush(done)).await.is_ok() {
                    let _ = flushed.await;
                }
            };
            let _ = timeout(FLUSH_MAX, flush).await;
        }
    }

    /// Sends until the tap is gone.
    pub async fn run(mut self, http: reqwest::Client) {
        while let Some(first) = self.receiver.recv().await {
            let mut records = Vec::new();
            let mut flushed = None;
            let until = Instant::now() + INTERVAL;
            let mut next = Some(first);
            while let Some(message) = next {
                match message {
                    Message::Record(record) => records.push(record),
                    Message::Flush(done) => {
                        flushed = Some(done);
                        break;
                    }
                }
                next = match records.len() {
                    BATCH_MAX => None,
                    _ => timeout_at(until, self.receiver.recv()).await.ok().flatten(),
                };
            }
            if !records.is_empty() {
                self.send(&http, records).await;
            }
            if let Some(done) = flushed {
                // Nobody waits any more: it is sent all the same.
                let _ = done.send(());
            }
        }
    }

    async fn send(&self, http: &reqwest::Client, records: Vec<Value>) {
        let count = records.len() as u64;
        let attribute = |key: &str, value: Value| json!({"key": key, "value": value});
        let dropped = self.dropped.load(Ordering::Relaxed);
        let resource = [
            attribute("service.name", json!({"stringValue": "payments"})),
            attribute(
                "service.version",
                json!({"stringValue": env!("CARGO_PKG_VERSION")}),
            ),
            attribute("cloud.region", json!({"stringValue": self.region})),
            attribute(
                "payments.dropped_records",
                json!({"intValue": dropped.to_string()}),
            ),
        ];
        let batch = json!({
            "resourceLogs": [{
                "resource": {"attributes": resource},
                "scopeLogs": [{"scope": {"name": "payments"}, "logRecords": records}]
            }]
        });
        for attempt in 1..=ATTEMPTS_MAX {
            let sent = http
                .post(&self.url)
                .timeout(Duration::from_secs(3))
                .json(&batch)
                .send()
                .await;
            match sent.map(|answer| answer.status()) {
                Ok(status) if status.is_success() => return,
                // The batch is at fault, or the collector does not speak OTLP: again would be in vain.
                Ok(status) if status.is_client_error() && status.as_u16() != 429 => break,
                _ => {
                    sleep(full_jitter(
                        Duration::from_millis(200),
                        Duration::from_secs(3),
                        attempt,
                    ))
                    .await
                }
            }
        }
        self.dropped.fetch_add(count, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tracing_subscriber::layer::SubscriberExt;

    #[test]
    fn a_payments_event_is_a_record_of_the_payments_trace() {
        let (tap, mut exporter) = export("http://localhost:4318/", "us-east-1".to_owned());
        let payment_id = uuid::Uuid::from_u128(7);
        tracing::subscriber::with_default(tracing_subscriber::registry().with(tap), || {
            tracing::warn!(%payment_id, epoch = 3_i64, repaired = true, state = "captured", "payment committed");
            tracing::warn!(target: "hyper", "something else");
        });
        let Ok(Message::Record(record)) = exporter.receiver.try_recv() else {
            panic!("no record");
        };
        assert_eq!(record["traceId"], "00000000000000000000000000000007");
        assert_eq!(record["severityNumber"], 13);
        assert_eq!(record["body"], json!({"stringValue": "payment committed"}));
        let attributes = record["attributes"].as_array().unwrap();
        for expected in [
            json!({"key": "epoch", "value": {"intValue": "3"}}),
            json!({"key": "repaired", "value": {"boolValue": true}}),
            json!({"key": "state", "value": {"stringValue": "captured"}}),
        ] {
            assert!(attributes.contains(&expected), "{attributes:?}");
        }
        assert!(exporter.receiver.try_recv().is_err());
        assert_eq!(exporter.url, "http://localhost:4318/v1/logs");
    }
}
