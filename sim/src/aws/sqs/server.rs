//! The server: SQS of one Region and account on one listener, and the handle by which a scenario works on it.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, SystemTime};

use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::api::{self, Poll};
use super::entry::Counts;
use super::queues::Queues;
use super::{Error, Moment};
use crate::aws::wire::{
    self, Answer, Call, Faulty, JsonVersion, Protocol, Refusals, RequestIdStyle, Service, Signing,
};
use crate::fault::FaultHandle;

/// How an SQS endpoint is set up.
#[derive(Debug, Clone)]
pub struct Options {
    /// The Region, as in ARNs.
    pub region: String,
    /// The account, as in ARNs and queue URLs. Default `000000000000`.
    pub account: String,
    /// Decides message ids, request ids and the draws of faults. Default 0.
    pub seed: u64,
    /// What signatures are held to. Default: AWS's rules for this Region.
    pub signing: Signing,
}

impl Options {
    /// The defaults for a Region.
    pub fn new(region: impl Into<String>) -> Self {
        let region = region.into();
        Self {
            signing: Signing::new("sqs", region.clone()),
            region,
            account: "000000000000".to_owned(),
            seed: 0,
        }
    }
}

/// SQS in one Region. Clones are the same service: keep one as a handle and serve another.
#[derive(Debug, Clone)]
pub struct Sqs(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    protocol: Protocol,
    faults: FaultHandle,
    /// When it was first used: the same moment on the monotonic clock and on the wall.
    began: OnceLock<(Instant, Duration)>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    queues: Queues,
    /// Long polls waiting on a queue.
    waiting: BTreeMap<String, Arc<Notify>>,
}

impl Sqs {
    /// No queues yet.
    pub fn new(options: Options) -> Self {
        let health = format!("healthy: sqs.{}", options.region);
        let protocol = Protocol {
            json: JsonVersion::V1_0,
            targets: &["AmazonSQS"],
            signing: options.signing,
            request_ids: RequestIdStyle::Uuid,
            checksums: false,
            health: health.clone(),
            seed: options.seed,
        };
        let queues = Queues::new(options.region, options.account, options.seed);
        Self(Arc::new(Shared {
            protocol,
            faults: queues.faults().clone(),
            began: OnceLock::new(),
            state: Mutex::new(State {
                queues,
                waiting: BTreeMap::new(),
            }),
        }))
    }

    /// Serves until the future is dropped.
    ///
    /// # Errors
    /// As [`wire::serve`].
    pub async fn serve(self, listener: TcpListener) -> io::Result<()> {
        let refusals = Refusals {
            throttled: Error::RequestThrottled.into(),
            failed: Error::InternalFailure.into(),
            unavailable: Error::ServiceUnavailable.into(),
        };
        let faults = self.0.faults.clone();
        wire::serve(listener, Arc::new(Faulty::new(self, refusals, faults))).await
    }

    /// The faults of requests and of deliveries.
    pub fn faults(&self) -> &FaultHandle {
        &self.0.faults
    }

    /// What has happened in a queue so far; none if there is no such queue.
    pub fn counts(&self, queue: &str) -> Option<Counts> {
        self.lock().queues.queue(queue).ok().map(|queue| queue.counts())
    }

    /// Visible, in-flight and delayed messages of a queue as of its last operation; none if there is no such queue.
    pub fn depth(&self, queue: &str) -> Option<(usize, usize, usize)> {
        self.lock().queues.queue(queue).ok().map(|queue| queue.depth())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Time-outs run on the monotonic clock, so that a stepped wall clock shows no message early.
    fn now(&self) -> Moment {
        let (began, began_wall) = self.began();
        let elapsed = began.elapsed();
        Moment {
            elapsed,
            wall: began_wall + elapsed,
        }
    }

    fn began(&self) -> (Instant, Duration) {
        *self.0.began.get_or_init(|| {
            let wall = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
            (Instant::now(), wall.unwrap_or_default())
        })
    }

    async fn receive(&self, body: Value) -> Result<Value, wire::Error> {
        let poll = Poll::new(&self.lock().queues, body)?;
        let deadline = self.now().elapsed + poll.wait;
        loop {
            let notify = Arc::clone(self.lock().waiting.entry(poll.queue.clone()).or_default());
            // Before the look, so that what arrives after it wakes this poll.
            let arrival = notify.notified();
            let now = self.now();
            let (received, next) = {
                let mut state = self.lock();
                let received = state
                    .queues
                    .receive(&poll.queue, &poll.ask, poll.wait.is_zero(), now)?;
                (received, state.queues.next_change(&poll.queue))
            };
            self.wake();
            if !received.is_empty() || now.elapsed >= deadline {
                return Ok(poll.answer(&received));
            }
            let until = next.map_or(deadline, |next| next.min(deadline));
            tokio::select! {
                // Unbiased selection would draw from a generator that no seed controls.
                biased;
                () = arrival => {}
                () = tokio::time::sleep_until(self.began().0 + until) => {}
            }
        }
    }

    /// Wakes the long polls on queues that changed.
    fn wake(&self) {
        let mut state = self.lock();
        for queue in state.queues.take_touched() {
            if let Some(notify) = state.waiting.get(&queue) {
                notify.notify_waiters();
            }
        }
    }
}

impl From<Error> for wire::Error {
    fn from(error: Error) -> Self {
        let fault = if error.sender_fault() {
            "Sender"
        } else {
            "Receiver"
        };
        Self::new(error.status(), error.shape(), error.to_string())
            .header("x-amzn-query-error", format!("{};{fault}", error.code()))
    }
}

impl Service for Sqs {
    async fn call(&self, call: Call) -> Answer {
        let result = if call.operation == "ReceiveMessage" {
            self.receive(call.body).await
        } else {
            let host = call
                .headers
                .get("host")
                .and_then(|host| host.to_str().ok())
                .unwrap_or("localhost");
            let base = format!("http://{host}");
            let now = self.now();
            let result = api::perform(&mut self.lock().queues, &call.operation, call.body, &base, now);
            self.wake();
            result
        };
        result.into()
    }

    fn protocol(&self) -> &Protocol {
        &self.0.protocol
    }

    fn resources(&self, call: &Call) -> Vec<String> {
        let url = call.body["QueueUrl"]
            .as_str()
            .and_then(|url| url.rsplit('/').next());
        let name = url.or_else(|| call.body["QueueName"].as_str());
        name.map(str::to_owned).into_iter().collect()
    }
}
