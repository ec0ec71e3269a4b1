//! One Region's state, and the way of a request through it.
//!
//! A request is judged by the faults in force, waits its latency, takes effect in one step, and is answered. It goes on
//! when its caller has hung up: AWS applies a write whose caller is gone.

use super::super::wire::{Answer, Error};
use super::config::Config;
use super::engine::{Engine, OPERATIONS};
use super::error;
use super::global::counters::Counters;
use super::global::link::{Link, Sink};
use super::global::message;
use super::global::message::Chosen;
use super::global::mrec::{Change, Replica};
use super::global::mrsc::Acceptors;
use super::global::outbox::{Outbox, Parcel};
use super::global::proposer::{Peers, Proposer};
use super::global::tables::{GlobalTable, Globals, Mode};
use super::key::ItemKey;
use super::overlap::Overlap;
use super::request::Request;
use crate::Stream;
use crate::fault::{Failure, FaultHandle, Outage, Service, Touched, Verdict};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::Notify;
use tokio::time::sleep;

impl Parcel for Change {
    fn key(&self) -> &ItemKey {
        &self.key
    }
}

impl Parcel for Chosen {
    fn key(&self) -> &ItemKey {
        &self.key
    }
}

/// What goes to one other Region.
pub(super) struct Outbound {
    pub(super) link: Arc<Link>,
    pub(super) changes: Mutex<Outbox<Change>>,
    pub(super) chosen: Mutex<Outbox<Chosen>>,
    pub(super) news: Notify,
    pub(super) lag: Mutex<Stream>,
    /// How far this Region has read the other's log of each strongly consistent table.
    pub(super) read_up_to: Mutex<BTreeMap<String, u64>>,
}

/// The links as the proposer sees them.
pub(super) struct Links {
    own: String,
    outbound: Arc<BTreeMap<String, Outbound>>,
    globals: Arc<Mutex<Globals>>,
    faults: FaultHandle,
    patience: Duration,
}

impl Peers for Links {
    fn ask_all(&self, table: &str, request: &message::Request, sink: &Sink) {
        let regions = lock(&self.globals)
            .get(table)
            .map(GlobalTable::members)
            .unwrap_or_default();
        let others = regions.iter().filter(|region| **region != self.own);
        let reached = others
            .filter_map(|region| self.outbound.get(region).map(|outbound| (region, outbound)))
            .filter(|(region, _)| !self.faults.replication_paused(region, table));
        // One other Region's answer is enough for a read; a write is to be in as many as take it.
        let one_is_enough = matches!(request, message::Request::Read { .. });
        for (tag, (_, outbound)) in reached.enumerate() {
            let turn = if one_is_enough { tag as u32 } else { 0 };
            let wait = self.patience * turn;
            outbound.ask_after(wait, request.clone(), tag, sink.clone());
        }
    }
}

impl Outbound {
    /// Asks this Region after a while, unless whoever wants to know has an answer by then.
    pub(super) fn ask_after(&self, wait: Duration, request: message::Request, tag: usize, sink: Sink) {
        if wait.is_zero() {
            return self.link.ask(request, tag, sink);
        }
        let link = Arc::clone(&self.link);
        tokio::spawn(async move {
            sleep(wait).await;
            if !sink.is_closed() {
                link.ask(request, tag, sink);
            }
        });
    }
}

/// Draws that shape requests.
#[derive(Debug)]
struct Draws {
    latency: Stream,
    hold: Stream,
    coalesce: Stream,
}

/// One Region's DynamoDB.
pub(super) struct Region {
    pub(super) config: Config,
    pub(super) engine: Engine,
    /// Holds no items between steps: here a strongly consistent write is evaluated before it is agreed on. Opened with
    /// the first such table, because an engine takes milliseconds to open.
    scratch: OnceLock<Engine>,
    /// Tables whose replicas are being changed.
    pub(super) updating: Mutex<BTreeSet<String>>,
    pub(super) faults: FaultHandle,
    pub(super) overlap: Mutex<Overlap>,
    pub(super) globals: Arc<Mutex<Globals>>,
    pub(super) replica: Mutex<Replica>,
    pub(super) acceptors: Arc<Mutex<Acceptors>>,
    pub(super) proposer: Proposer<Links>,
    pub(super) outbound: Arc<BTreeMap<String, Outbound>>,
    pub(super) counters: Mutex<Counters>,
    pub(super) expiry_news: Notify,
    pub(super) expiry_draws: Mutex<Stream>,
    draws: Mutex<Draws>,
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Region {
    pub(super) fn new(config: Config) -> Result<Self, Error> {
        let own = config.region.clone();
        let outbound: BTreeMap<String, Outbound> = config
            .peers
            .iter()
            .map(|(region, address)| {
                let outbound = Outbound {
                    link: Link::new(&own, *address),
                    changes: Mutex::new(Outbox::new()),
                    chosen: Mutex::new(Outbox::new()),
                    news: Notify::new(),
                    lag: Mutex::new(config.stream(&format!("lag/{region}"))),
                    read_up_to: Mutex::default(),
                };
                (region.clone(), outbound)
            })
            .collect();
        let outbound = Arc::new(outbound);
        let globals = Arc::new(Mutex::new(Globals::default()));
        let faults = FaultHandle::new(config.seed, Service::Dynamodb, &own);
        let acceptors = Arc::new(Mutex::new(Acceptors::default()));
        let links = Links {
            own: own.clone(),
            outbound: Arc::clone(&outbound),
            globals: Arc::clone(&globals),
            faults: faults.clone(),
            patience: config.mrsc.read_patience,
        };
        let proposer = Proposer::new(
            &own,
            config.mrsc.clone(),
            Arc::clone(&acceptors),
            links,
            config.stream("agreement"),
        );
        Ok(Self {
            engine: Engine::new(&own, &config.account)?,
            scratch: OnceLock::new(),
            updating: Mutex::default(),
            faults,
            overlap: Mutex::default(),
            globals,
            replica: Mutex::new(Replica::new(
                &own,
                config.mrec.tie_break,
                config.mrec.stamp_resolution,
            )),
            acceptors,
            proposer,
            outbound,
            counters: Mutex::default(),
            expiry_news: Notify::new(),
            expiry_draws: Mutex::new(config.stream("expiry")),
            draws: Mutex::new(Draws {
                latency: config.stream("latency"),
                hold: config.stream("transaction-hold"),
                coalesce: config.stream("coalesce"),
            }),
            config,
        })
    }

    /// Gives up what a server that died left half done. What took effect stays.
    pub(super) fn give_up_unfinished(&self) {
        lock(&self.overlap).give_up();
        lock(&self.updating).clear();
        for outbound in self.outbound.values() {
            outbound.link.give_up();
        }
    }

    /// Performs one operation, faults included.
    pub(super) async fn serve(self: &Arc<Self>, operation: String, body: Value) -> Answer {
        if !OPERATIONS.contains(&operation.as_str()) {
            return Answer::Error(error::unknown_operation());
        }
        let request = Request::read(&self.engine, operation, body);
        let verdict = self.faults.judge(&request.operation, || Touched {
            resources: request.tables.clone(),
            items: request
                .touches
                .iter()
                .map(|touch| (touch.key.table.clone(), touch.key.values()))
                .collect(),
        });
        match verdict.outage {
            Some(Outage::Refuse) => return Answer::Error(error::unavailable()),
            Some(Outage::Hangup) => return Answer::Hangup,
            // Ends when the caller gives the connection up.
            Some(Outage::Silence) => std::future::pending().await,
            None => {}
        }
        let region = Arc::clone(self);
        // A task of its own, so that a caller who hangs up does not stop the request half-way.
        let performed = tokio::spawn(async move { region.perform(request, verdict).await });
        performed
            .await
            .unwrap_or_else(|_| Answer::Error(error::internal()))
    }

    async fn perform(self: Arc<Self>, request: Request, verdict: Verdict) -> Answer {
        let wait = self.config.latency.draw(&mut lock(&self.draws).latency) + verdict.delay;
        if !wait.is_zero() {
            sleep(wait).await;
        }
        if let Some(failure) = verdict.fails_before {
            return Answer::Error(failed(failure));
        }
        let result = self.execute(request, &verdict.throttled).await;
        if verdict.answer_lost {
            return Answer::Hangup;
        }
        match verdict.fails_after {
            Some(failure) => Answer::Error(failed(failure)),
            None => Answer::from(result),
        }
    }

    async fn execute(self: &Arc<Self>, request: Request, throttled: &[bool]) -> Result<Value, Error> {
        let strong = request
            .tables
            .iter()
            .any(|table| self.mode(table) == Some(Mode::Mrsc));
        // A batch may be throttled in part and a transaction says which item; anything else is throttled as a whole.
        match request.operation.as_str() {
            "BatchWriteItem" => return self.batch_write(request, throttled).await,
            "BatchGetItem" => return self.batch_get(request, throttled).await,
            "TransactWriteItems" if !strong => return self.transact_write(request, throttled).await,
            "TransactGetItems" if !strong => return self.transact_get(request, throttled),
            _ if throttled.contains(&true) => return Err(error::throughput_exceeded()),
            _ => {}
        }
        match request.operation.as_str() {
            "PutItem" | "UpdateItem" | "DeleteItem" if strong => self.write_strongly(&request).await,
            "PutItem" | "UpdateItem" | "DeleteItem" => self.write_locally(request),
            "GetItem" if strong && request.consistent() => self.get_strongly(request).await,
            "Query" | "Scan" if strong && request.consistent() => {
                for table in &request.tables {
                    self.catch_up(table).await?;
                }
                self.engine.perform(&request.operation, request.body)
            }
            "TransactWriteItems" | "TransactGetItems" | "ExecuteTransaction" if strong => {
                Err(error::validation(
                    "Transactional operations are not supported on a global table with multi-Region strong consistency",
                ))
            }
            "ExecuteStatement" | "BatchExecuteStatement" | "ExecuteTransaction" => {
                self.execute_statements(request, strong).await
            }
            "GetItem" | "Query" | "Scan" => self.engine.perform(&request.operation, request.body),
            _ => self.control(request).await,
        }
    }

    pub(super) fn scratch(&self) -> Result<&Engine, Error> {
        if let Some(scratch) = self.scratch.get() {
            return Ok(scratch);
        }
        let opened = Engine::new(&self.config.region, &self.config.account)?;
        Ok(self.scratch.get_or_init(|| opened))
    }

    /// The mode of a table that has a replica here and elsewhere.
    pub(super) fn mode(&self, table: &str) -> Option<Mode> {
        let globals = lock(&self.globals);
        let global = globals.get(table)?;
        global
            .regions
            .contains(&self.config.region)
            .then_some(global.mode)
    }

    pub(super) fn draw_hold(&self) -> Duration {
        self.config.transaction_hold.draw(&mut lock(&self.draws).hold)
    }

    pub(super) fn draw_coalesce(&self) -> bool {
        lock(&self.draws).coalesce.chance(self.config.mrec.coalesce)
    }

    /// This Region's wall time.
    pub(super) fn now() -> Duration {
        SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
    }
}

fn failed(failure: Failure) -> Error {
    match failure {
        Failure::Internal => error::internal(),
        Failure::Unavailable => error::unavailable(),
    }
}
