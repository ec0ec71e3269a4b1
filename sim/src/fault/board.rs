//! The faults in force in one service: what they decide, and how often each one bit.
//!
//! The service asks at each request, delivery and replication step. Each kind of fault draws from a stream of its own, and
//! what a fault cannot strike draws nothing: taking one fault away leaves the draws of the other kinds as they were.

#[cfg(feature = "aurora")]
mod aurora;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

use super::service::{Failure, Invalid, Outage, Service, ServiceFault, Target};
use crate::kernel::{Seed, Stream};

#[cfg(feature = "aurora")]
pub(crate) use aurora::{Failover, Kill};

/// Names a fault that was begun, so that it can be ended and its bites counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct FaultId(usize);

/// Begins, ends and counts the faults of one service in one Region. Clones are the same handle.
#[derive(Clone, Debug)]
pub struct FaultHandle(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    board: Mutex<Board>,
    /// Rings when a fault begins or ends.
    news: Notify,
}

#[derive(Debug)]
struct Board {
    service: Service,
    seed: Seed,
    /// Names the streams: `dynamodb/us-east-1`.
    place: String,
    /// Every fault ever begun, by its id.
    begun: Vec<Begun>,
    draws: BTreeMap<&'static str, Stream>,
}

#[derive(Debug)]
struct Begun {
    fault: ServiceFault,
    in_force: bool,
    bites: u64,
}

/// What is to happen to one request.
#[derive(Debug, Default)]
pub struct Verdict {
    /// Not taken at all.
    pub outage: Option<Outage>,
    /// One flag for each item that the request touches; one for the whole request if it touches none. Empty if nothing is
    /// throttled.
    pub throttled: Vec<bool>,
    /// Fails before anything is applied.
    pub fails_before: Option<Failure>,
    /// Waits before it takes effect.
    pub delay: Duration,
    /// Fails although it was applied.
    pub fails_after: Option<Failure>,
    /// Gets no answer although it was applied.
    pub answer_lost: bool,
}

/// What a request is about, for targets to match.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Touched {
    /// The tables, queues, buses or routing controls that it names.
    pub resources: Vec<String>,
    /// The items that it touches, in request order: the table and the values of the key attributes.
    pub items: Vec<(String, Vec<String>)>,
}

impl FaultHandle {
    /// No faults. The seed, the service and its place (`us-east-1`) decide the draws.
    pub fn new(seed: u64, service: Service, place: &str) -> FaultHandle {
        FaultHandle(Arc::new(Shared {
            board: Mutex::new(Board {
                service,
                seed: Seed(seed),
                place: format!("{service}/{place}"),
                begun: Vec::new(),
                draws: BTreeMap::new(),
            }),
            news: Notify::new(),
        }))
    }

    /// Puts a fault in force beside those that are.
    ///
    /// # Errors
    /// A fault that this service cannot suffer, or a number outside its range.
    pub fn begin(&self, fault: ServiceFault) -> Result<FaultId, Invalid> {
        let mut board = self.board();
        fault.check(board.service)?;
        board.begun.push(Begun {
            fault,
            in_force: true,
            bites: 0,
        });
        let id = FaultId(board.begun.len() - 1);
        drop(board);
        self.0.news.notify_waiters();
        Ok(id)
    }

    /// Ends a fault. Ending one twice is no error.
    pub fn end(&self, id: FaultId) {
        if let Some(begun) = self.board().begun.get_mut(id.0) {
            begun.in_force = false;
        }
        self.0.news.notify_waiters();
    }

    /// Ends every fault.
    pub fn end_all(&self) {
        for begun in &mut self.board().begun {
            begun.in_force = false;
        }
        self.0.news.notify_waiters();
    }

    /// How often a fault has bitten: requests, deliveries, entries or replication steps that it changed.
    pub fn bites(&self, id: FaultId) -> u64 {
        self.board().begun.get(id.0).map_or(0, |begun| begun.bites)
    }

    /// The service.
    pub fn service(&self) -> Service {
        self.board().service
    }

    fn board(&self) -> MutexGuard<'_, Board> {
        self.0.board.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Judges one request; what it touches is asked for only if any fault is in force.
    pub fn judge(&self, operation: &str, touched: impl FnOnce() -> Touched) -> Verdict {
        let mut board = self.board();
        if !board.begun.iter().any(|begun| begun.in_force) {
            return Verdict::default();
        }
        let touched = &touched();
        let mut verdict = Verdict {
            throttled: vec![false; touched.items.len().max(1)],
            ..Verdict::default()
        };
        board.each(|service, fault, dice| match fault {
            ServiceFault::Throttle { target } => {
                // By item, because a batch can be throttled in part.
                for (item, throttled) in touched.items.iter().zip(&mut verdict.throttled) {
                    let alone = Touched {
                        resources: vec![item.0.clone()],
                        items: vec![item.clone()],
                    };
                    *throttled |= dice.strikes(service, target, operation, &alone);
                }
                if touched.items.is_empty() {
                    verdict.throttled[0] |= dice.strikes(service, target, operation, touched);
                }
            }
            ServiceFault::FailBefore { target, failure }
                if dice.strikes(service, target, operation, touched) =>
            {
                verdict.fails_before = Some(*failure);
            }
            ServiceFault::FailAfter { target, failure }
                if dice.strikes(service, target, operation, touched) =>
            {
                verdict.fails_after = Some(*failure);
            }
            ServiceFault::LoseAnswer { target } => {
                verdict.answer_lost |= dice.strikes(service, target, operation, touched);
            }
            ServiceFault::Slow { target, min, max } if dice.strikes(service, target, operation, touched) => {
                verdict.delay += dice.draws.between(*min, *max);
            }
            ServiceFault::Unavailable { outage } => {
                dice.bite();
                verdict.outage = Some(*outage);
            }
            _ => {}
        });
        verdict
    }

    /// Whether changes of `table` may not pass between here and `region`.
    pub fn replication_paused(&self, region: &str, table: &str) -> bool {
        let mut paused = false;
        self.board().each(|_, fault, dice| {
            if let ServiceFault::PauseReplication {
                region: only_region,
                table: only_table,
            } = fault
                && only_region.as_deref().is_none_or(|only| only == region)
                && only_table.as_deref().is_none_or(|only| only == table)
            {
                dice.bite();
                paused = true;
            }
        });
        paused
    }

    /// The additional lag of one change to `region`.
    pub fn replication_delay(&self, region: &str) -> Duration {
        let mut total = Duration::ZERO;
        self.board().each(|_, fault, dice| {
            if let ServiceFault::DelayReplication {
                region: only,
                min,
                max,
            } = fault
                && only.as_deref().is_none_or(|only| only == region)
            {
                dice.bite();
                total += dice.draws.between(*min, *max);
            }
        });
        total
    }

    /// After how long a message that is being delivered comes again, if it does.
    pub fn message_comes_again(&self) -> Option<Duration> {
        let mut again = None;
        self.board().each(|_, fault, dice| {
            if let ServiceFault::DuplicateMessages { probability, within } = fault
                && dice.chance(*probability)
            {
                again = Some(dice.draws.between(Duration::ZERO, *within));
            }
        });
        again
    }

    /// Which of so many waiting messages, the oldest first, is delivered next.
    pub fn next_message(&self, waiting: usize) -> usize {
        let mut next = 0;
        self.board().each(|_, fault, dice| {
            if let ServiceFault::ReorderMessages { probability } = fault
                && dice.chance(*probability)
            {
                next = dice.draws.below(waiting as u64) as usize;
            }
        });
        next
    }

    /// Whether a short poll misses what there is.
    pub fn short_poll_misses(&self) -> bool {
        let mut misses = false;
        self.board().each(|_, fault, dice| {
            if let ServiceFault::MissMessages { probability } = fault {
                misses |= dice.chance(*probability);
            }
        });
        misses
    }

    /// Whether an entry of a `PutEvents` fails.
    pub fn entry_fails(&self) -> bool {
        let mut fails = false;
        self.board().each(|_, fault, dice| {
            if let ServiceFault::FailEntries { probability } = fault {
                fails |= dice.chance(*probability);
            }
        });
        fails
    }

    /// Whether an event is delivered a second time.
    pub fn event_comes_again(&self) -> bool {
        let mut again = false;
        self.board().each(|_, fault, dice| {
            if let ServiceFault::DuplicateEvents { probability } = fault {
                again |= dice.chance(*probability);
            }
        });
        again
    }

    /// How long the first delivery of an event waits.
    pub fn event_delay(&self) -> Duration {
        let mut total = Duration::ZERO;
        self.board().each(|_, fault, dice| {
            if let ServiceFault::DelayEvents { min, max } = fault {
                dice.bite();
                total += dice.draws.between(*min, *max);
            }
        });
        total
    }

    /// Whether no delivery to this queue succeeds.
    pub fn target_lost(&self, queue: &str) -> bool {
        let mut lost = false;
        self.board().each(|_, fault, dice| {
            if let ServiceFault::LoseTarget { queue: only } = fault
                && only == queue
            {
                dice.bite();
                lost = true;
            }
        });
        lost
    }
}

impl Board {
    /// Shows every fault in force to `judge`, with its dice.
    fn each(&mut self, mut judge: impl FnMut(Service, &ServiceFault, &mut Dice<'_>)) {
        for begun in self.begun.iter_mut().filter(|begun| begun.in_force) {
            let name = begun.fault.name();
            let draws = self
                .draws
                .entry(name)
                .or_insert_with(|| self.seed.stream(&format!("{}/fault/{name}", self.place)));
            let mut dice = Dice {
                draws,
                bites: &mut begun.bites,
            };
            judge(self.service, &begun.fault, &mut dice);
        }
    }
}

/// What one fault decides with.
struct Dice<'a> {
    draws: &'a mut Stream,
    bites: &'a mut u64,
}

impl Dice<'_> {
    fn bite(&mut self) {
        *self.bites += 1;
    }

    fn chance(&mut self, probability: f64) -> bool {
        let struck = self.draws.chance(probability);
        *self.bites += u64::from(struck);
        struck
    }

    fn strikes(&mut self, service: Service, target: &Target, operation: &str, touched: &Touched) -> bool {
        let operation_matches = match target.operations.as_slice() {
            [] => service != Service::Dynamodb || is_on_items(operation),
            some => some.iter().any(|name| name == operation),
        };
        let matches = operation_matches
            && target
                .resource
                .as_ref()
                .is_none_or(|resource| touched.resources.contains(resource))
            && target
                .key
                .as_ref()
                .is_none_or(|key| touched.items.iter().any(|(_, values)| values.contains(key)))
            && target.times.is_none_or(|times| *self.bites < times);
        matches && self.chance(target.probability.unwrap_or(1.0))
    }
}

/// DynamoDB's operations on items, as opposed to tables, tags and streams.
fn is_on_items(operation: &str) -> bool {
    matches!(
        operation,
        "BatchExecuteStatement"
            | "BatchGetItem"
            | "BatchWriteItem"
            | "DeleteItem"
            | "ExecuteStatement"
            | "ExecuteTransaction"
            | "GetItem"
            | "PutItem"
            | "Query"
            | "Scan"
            | "TransactGetItems"
            | "TransactWriteItems"
            | "UpdateItem"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(table: &str, key: &str) -> Touched {
        Touched {
            resources: vec![table.to_owned()],
            items: vec![(table.to_owned(), vec![key.to_owned()])],
        }
    }

    fn handle() -> FaultHandle {
        FaultHandle::new(1, Service::Dynamodb, "us-east-1")
    }

    #[test]
    fn a_target_is_held_to_every_member_it_gives() {
        let handle = handle();
        let target = Target {
            resource: Some("t".to_owned()),
            key: Some("hot".to_owned()),
            ..Target::operation("PutItem")
        };
        let id = handle.begin(ServiceFault::LoseAnswer { target }).expect("valid");
        let struck = |operation: &str, table: &str, key: &str| {
            handle.judge(operation, || item(table, key)).answer_lost
        };
        assert!(struck("PutItem", "t", "hot"));
        assert!(!struck("GetItem", "t", "hot"));
        assert!(!struck("PutItem", "u", "hot"));
        assert!(!struck("PutItem", "t", "cold"));
        handle.end(id);
        assert!(!struck("PutItem", "t", "hot"));
        assert_eq!(handle.bites(id), 1);
    }

    #[test]
    fn a_fault_is_spent_after_its_times() {
        let handle = handle();
        let target = Target::operation("PutItem").times(2);
        let failure = Failure::Internal;
        handle
            .begin(ServiceFault::FailAfter { target, failure })
            .expect("valid");
        let struck = (0..4).map(|_| handle.judge("PutItem", || item("t", "a")).fails_after.is_some());
        assert_eq!(struck.collect::<Vec<_>>(), [true, true, false, false]);
    }

    #[test]
    fn a_batch_is_throttled_by_item_and_a_scan_as_a_whole() {
        let handle = handle();
        let hot = handle
            .begin(ServiceFault::Throttle {
                target: Target::key("hot"),
            })
            .expect("valid");
        let mut both = item("t", "cold");
        both.items.extend(item("t", "hot").items);
        assert_eq!(handle.judge("BatchWriteItem", || both).throttled, [false, true]);
        handle.end(hot);
        handle
            .begin(ServiceFault::Throttle {
                target: Target::resource("t"),
            })
            .expect("valid");
        let scan = Touched {
            items: Vec::new(),
            ..item("t", "")
        };
        assert_eq!(handle.judge("Scan", || scan.clone()).throttled, [true]);
        assert_eq!(handle.judge("DescribeTable", || scan).throttled, [false]);
    }

    #[test]
    fn replication_pauses_by_region_and_table() {
        let handle = handle();
        let pause = ServiceFault::PauseReplication {
            region: Some("eu-west-1".to_owned()),
            table: None,
        };
        let id = handle.begin(pause).expect("valid");
        assert!(handle.replication_paused("eu-west-1", "t") && !handle.replication_paused("us-east-1", "t"));
        handle.end_all();
        assert!(!handle.replication_paused("eu-west-1", "t"));
        assert_eq!(handle.bites(id), 1);
    }

    #[test]
    fn taking_one_fault_away_leaves_the_draws_of_another() {
        let losses = |throttled: bool| {
            let handle = handle();
            if throttled {
                let target = Target::default().probability(0.4);
                handle.begin(ServiceFault::Throttle { target }).expect("valid");
            }
            let target = Target::default().probability(0.3);
            handle.begin(ServiceFault::LoseAnswer { target }).expect("valid");
            let lost = (0..200).map(|_| handle.judge("PutItem", || item("t", "a")).answer_lost);
            lost.collect::<Vec<_>>()
        };
        assert_eq!(losses(true), losses(false));
        assert!(losses(true).contains(&true) && losses(true).contains(&false));
    }

    #[test]
    fn what_a_service_cannot_suffer_is_refused_by_name_and_changes_nothing() {
        let queues = FaultHandle::new(1, Service::Sqs, "us-east-1");
        for (fault, field) in [
            (
                ServiceFault::Throttle {
                    target: Target::default().probability(1.5),
                },
                "probability",
            ),
            (
                ServiceFault::Throttle {
                    target: Target::key("k"),
                },
                "key",
            ),
            (ServiceFault::MissMessages { probability: 1.0 }, "probability"),
            (ServiceFault::FailEntries { probability: 0.5 }, "service"),
            (
                ServiceFault::Slow {
                    target: Target::default(),
                    min: Duration::from_secs(2),
                    max: Duration::from_secs(1),
                },
                "max",
            ),
        ] {
            assert_eq!(queues.begin(fault).expect_err(field).field, field);
        }
        assert!(
            !queues
                .judge("SendMessage", Touched::default)
                .throttled
                .contains(&true)
        );
        assert!(!queues.short_poll_misses());
    }

    #[test]
    fn faults_are_plain_data() {
        let json = r#"{"slow":{"target":{"resource":"t"},"min":"10ms","max":"2s"}}"#;
        let fault: ServiceFault = serde_json::from_str(json).expect("fault");
        assert_eq!(serde_json::to_string(&fault).expect("json"), json);
        for wrong in [r#"{"slow":{"min":"10","max":"2s"}}"#, r#"{"sluggish":{}}"#] {
            assert!(serde_json::from_str::<ServiceFault>(wrong).is_err(), "{wrong}");
        }
    }
}
