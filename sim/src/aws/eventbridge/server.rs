//! The server: EventBridge of one Region and account on one listener, its deliveries to SQS over the network, and the
//! handle by which a scenario works on it.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, SystemTime};

use serde::Deserialize;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::{Notify, Semaphore};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::api;
use super::buses::Buses;
use super::error::{EntryError, Error};
use super::event::Entry;
use super::outbox::{Backoff, Counts, Failed, Next, Outbox};
use crate::aws::wire::{
    self, Answer, Call, Faulty, JsonVersion, Peer, Protocol, Refusals, RequestIdStyle, Service, Signing,
};
use crate::fault::{FaultHandle, Service as Kind};
use crate::{Seed, Stream};

/// Deliveries under way at once, so that a burst does not open a connection for each of its events.
const CONNECTIONS_MAX: usize = 64;
/// Attempts to give a delivery up to its dead-letter queue.
const DEAD_LETTER_ATTEMPTS: u32 = 5;

/// How an EventBridge endpoint is set up.
#[derive(Debug, Clone)]
pub struct Options {
    /// The Region, as in ARNs.
    pub region: String,
    /// The account, as in ARNs. Default `000000000000`.
    pub account: String,
    /// The Region's SQS, where targets and their dead-letter queues are.
    pub sqs: SocketAddr,
    /// Decides event ids, request ids, jitter and the draws of faults. Default 0.
    pub seed: u64,
    /// What signatures are held to. Default: AWS's rules for this Region.
    pub signing: Signing,
    /// How attempts are spaced.
    pub backoff: Backoff,
    /// How long one attempt may take. Default 5 s.
    pub attempt_timeout: Duration,
}

impl Options {
    /// The defaults for a Region whose SQS is there.
    pub fn new(region: impl Into<String>, sqs: SocketAddr) -> Self {
        let region = region.into();
        Self {
            signing: Signing::new("events", region.clone()),
            region,
            account: "000000000000".to_owned(),
            sqs,
            seed: 0,
            backoff: Backoff::default(),
            attempt_timeout: Duration::from_secs(5),
        }
    }
}

/// EventBridge in one Region. Clones are the same service: keep one as a handle and serve another.
#[derive(Debug, Clone)]
pub struct EventBridge(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    protocol: Protocol,
    account: String,
    faults: FaultHandle,
    /// When it was first used.
    began: OnceLock<Instant>,
    sqs: Peer,
    backoff: Backoff,
    attempt_timeout: Duration,
    owed: Notify,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    buses: Buses,
    outbox: Outbox,
    counts: Counts,
    faults: FaultHandle,
    jitter: Stream,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct PutEvents {
    entries: Vec<Entry>,
    endpoint_id: Option<String>,
}

/// Where an attempt leaves its delivery.
enum After {
    Settled,
    Retry(Duration),
    GiveUp(Option<Value>),
}

impl EventBridge {
    /// The default bus, with no rules.
    pub fn new(options: Options) -> Self {
        let Options {
            region,
            account,
            sqs,
            seed,
            signing,
            backoff,
            attempt_timeout,
        } = options;
        let faults = FaultHandle::new(seed, Kind::Eventbridge, &region);
        let jitter = Seed(seed).stream(&format!("eventbridge/{region}/jitter"));
        let protocol = Protocol {
            json: JsonVersion::V1_1,
            targets: &["AWSEvents"],
            signing,
            request_ids: RequestIdStyle::Uuid,
            checksums: false,
            health: format!("healthy: events.{region}"),
            seed,
        };
        let sqs = Peer {
            address: sqs,
            region: region.clone(),
            service: "sqs",
            target: "AmazonSQS",
        };
        Self(Arc::new(Shared {
            protocol,
            account: account.clone(),
            faults: faults.clone(),
            began: OnceLock::new(),
            sqs,
            backoff,
            attempt_timeout,
            owed: Notify::new(),
            state: Mutex::new(State {
                buses: Buses::new(region, account, seed),
                outbox: Outbox::default(),
                counts: Counts::default(),
                faults,
                jitter,
            }),
        }))
    }

    /// Serves requests and works off what is owed to targets, until the future is dropped. Served again, it goes on where
    /// it stopped; a delivery whose answer was on its way is made again.
    ///
    /// # Errors
    /// As [`wire::serve`].
    pub async fn serve(self, listener: TcpListener) -> io::Result<()> {
        let refusals = Refusals {
            throttled: Error::Throttling.into(),
            failed: Error::Internal.into(),
            unavailable: Error::ServiceUnavailable.into(),
        };
        let faulty = Faulty::new(self.clone(), refusals, self.0.faults.clone());
        tokio::select! {
            // Unbiased selection would draw from a generator that no seed controls.
            biased;
            served = wire::serve(listener, Arc::new(faulty)) => served,
            () = self.deliver_all() => Ok(()),
        }
    }

    /// The faults of requests, of events and of their delivery.
    pub fn faults(&self) -> &FaultHandle {
        &self.0.faults
    }

    /// What has happened so far.
    pub fn counts(&self) -> Counts {
        self.lock().counts
    }

    /// Deliveries still owed to targets.
    pub fn owed(&self) -> usize {
        self.lock().outbox.len()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn elapsed(&self) -> Duration {
        self.0.began.get_or_init(Instant::now).elapsed()
    }

    fn put_events(&self, body: Value) -> Result<Value, wire::Error> {
        let PutEvents { entries, endpoint_id } = wire::parse(body)?;
        if endpoint_id.is_some() {
            return Err(Error::Validation("EndpointId is not simulated.".to_owned()).into());
        }
        Buses::check_request(&entries)?;
        let elapsed = self.elapsed();
        let wall = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        let mut failed = 0;
        let mut results = Vec::new();
        for entry in &entries {
            results.push(match self.lock().put(entry, elapsed, wall) {
                Ok(id) => json!({ "EventId": id }),
                Err(error) => {
                    failed += 1;
                    json!({ "ErrorCode": error.code, "ErrorMessage": error.message })
                }
            });
        }
        self.0.owed.notify_one();
        Ok(json!({ "FailedEntryCount": failed, "Entries": results }))
    }

    async fn deliver_all(&self) {
        self.lock().outbox.resume();
        let mut under_way = JoinSet::new();
        let permits = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        loop {
            for number in self.lock().outbox.take_new() {
                under_way.spawn(self.clone().deliver(number, Arc::clone(&permits)));
            }
            tokio::select! {
                // Unbiased selection would draw from a generator that no seed controls.
                biased;
                () = self.0.owed.notified() => {}
                Some(_) = under_way.join_next() => {}
            }
        }
    }

    /// Delivers one event to one target, or gives it up.
    async fn deliver(self, number: u64, permits: Arc<Semaphore>) {
        let Some((delivery, wait)) = self.lock().outbox.get(number) else {
            return;
        };
        if delivery.attempts == 0 {
            tokio::time::sleep(wait).await;
        }
        let message = delivery.message(&self.0.account);
        loop {
            self.lock().outbox.attempted(number);
            let result = self.send(&delivery.queue, &message, &permits).await;
            match self.attempted(number, result) {
                After::Settled => return,
                After::Retry(wait) => tokio::time::sleep(wait).await,
                After::GiveUp(letter) => {
                    let taken = self.give_up(letter, &permits).await;
                    self.given_up(number, taken);
                    return;
                }
            }
        }
    }

    fn attempted(&self, number: u64, result: Result<(), Failed>) -> After {
        let now = self.elapsed();
        let mut state = self.lock();
        let Err(failed) = result else {
            state.counts.delivered += 1;
            state.outbox.settle(number);
            return After::Settled;
        };
        state.counts.failed_attempts += 1;
        let Some((delivery, _)) = state.outbox.get(number) else {
            return After::Settled;
        };
        match delivery.next(&failed, now, &self.0.backoff, &mut state.jitter) {
            Next::Retry(wait) => After::Retry(wait),
            Next::GiveUp(condition) => {
                After::GiveUp(delivery.dead_letter(&self.0.account, &failed, condition))
            }
        }
    }

    fn given_up(&self, number: u64, taken: bool) {
        let mut state = self.lock();
        state.outbox.settle(number);
        let count = if taken {
            &mut state.counts.dead_lettered
        } else {
            &mut state.counts.dropped
        };
        *count += 1;
    }

    async fn give_up(&self, letter: Option<Value>, permits: &Semaphore) -> bool {
        let Some(letter) = letter else { return false };
        let queue = letter["QueueUrl"]
            .as_str()
            .and_then(|url| url.rsplit('/').next())
            .unwrap_or_default();
        for attempt in 1..=DEAD_LETTER_ATTEMPTS {
            match self.send(queue, &letter, permits).await {
                Ok(()) => return true,
                Err(failed) if !failed.retryable => return false,
                Err(_) => {
                    let wait = self.0.backoff.after(attempt, &mut self.lock().jitter);
                    tokio::time::sleep(wait).await;
                }
            }
        }
        false
    }

    async fn send(&self, queue: &str, message: &Value, permits: &Semaphore) -> Result<(), Failed> {
        let retryable = |code: &str, message: String| Failed {
            code: code.to_owned(),
            message,
            retryable: true,
        };
        if self.0.faults.target_lost(queue) {
            return Err(retryable("SERVICE_UNAVAILABLE", "The target is out.".to_owned()));
        }
        let _permit = permits.acquire().await;
        let call = self.0.sqs.call("SendMessage", message);
        let (status, body) = match tokio::time::timeout(self.0.attempt_timeout, call).await {
            Err(_) => return Err(retryable("SDK_CLIENT_ERROR", "No answer in time.".to_owned())),
            Ok(Err(error)) => return Err(retryable("SDK_CLIENT_ERROR", error.kind().to_string())),
            Ok(Ok(answer)) => answer,
        };
        if status == 200 {
            return Ok(());
        }
        let kind = body["__type"]
            .as_str()
            .unwrap_or_default()
            .rsplit('#')
            .next()
            .unwrap_or_default();
        let code = match kind {
            "QueueDoesNotExist" => "NO_RESOURCE",
            "RequestThrottled" => "THROTTLING",
            "" => "SERVICE_UNAVAILABLE",
            other => other,
        };
        let message = body["message"].as_str().unwrap_or_default().to_owned();
        Err(Failed {
            code: code.to_owned(),
            message,
            retryable: status >= 500 || kind == "RequestThrottled",
        })
    }
}

impl State {
    fn put(&mut self, entry: &Entry, now: Duration, wall: Duration) -> Result<String, EntryError> {
        let result = match self.faults.entry_fails() {
            true => Err(EntryError::new(
                "InternalFailure",
                "We encountered an internal error. Please try again.",
            )),
            false => self.buses.put_event(entry, now, wall),
        };
        let (id, deliveries) = result.inspect_err(|_| self.counts.refused += 1)?;
        self.counts.accepted += 1;
        self.counts.unmatched += u64::from(deliveries.is_empty());
        for delivery in deliveries {
            if self.faults.event_comes_again() {
                self.counts.duplicated += 1;
                self.counts.owed += 1;
                self.outbox.owe(delivery.clone(), self.faults.event_delay());
            }
            self.counts.owed += 1;
            self.outbox.owe(delivery, self.faults.event_delay());
        }
        Ok(id)
    }
}

impl From<Error> for wire::Error {
    fn from(error: Error) -> Self {
        Self::new(error.status(), error.shape(), error.to_string())
    }
}

impl Service for EventBridge {
    async fn call(&self, call: Call) -> Answer {
        let result = match call.operation.as_str() {
            "PutEvents" => self.put_events(call.body),
            operation => api::perform(&mut self.lock().buses, operation, call.body),
        };
        result.into()
    }

    fn protocol(&self) -> &Protocol {
        &self.0.protocol
    }

    fn resources(&self, call: &Call) -> Vec<String> {
        let bus = |named: &Value| named["EventBusName"].as_str().unwrap_or("default").to_owned();
        match call.body["Entries"].as_array() {
            Some(entries) => entries.iter().map(bus).collect(),
            None => vec![bus(&call.body)],
        }
    }
}
