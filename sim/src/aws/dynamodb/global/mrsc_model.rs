//! Strong consistency against its model: whatever the network delays, loses and cuts, each item's history is that of one
//! counter that every Region shares.
//!
//! Clients in three Regions add to and read one item, over a network of channels with drawn delays on tokio's paused
//! clock. What they saw is searched for an order that one counter could have produced. An add that ended in an unknown
//! outcome may have happened at any time after it began, or not at all; one that ended in a conflict may not have
//! happened.

use super::super::config::{Mrsc, Span};
use super::super::key::ItemKey;
use super::link::Sink;
use super::message::Request;
use super::mrsc::Acceptors;
use super::proposer::{Failure, Peers, Proposer, Step};
use crate::{Seed, Stream};
use proptest::prelude::*;
use serde_json::{Value, json};
use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

type Region = Arc<Mutex<Acceptors>>;

#[derive(Clone)]
struct Network {
    own: usize,
    regions: Vec<Region>,
    draws: Arc<Mutex<Stream>>,
    loss: f64,
    /// Which Region is cut off from the others at which times.
    cut: Option<(usize, Duration, Duration)>,
    start: Instant,
    /// The fault of the negative control: the other Regions forget everything at once.
    amnesia: bool,
}

impl Network {
    fn cuts(&self, other: usize) -> bool {
        let now = self.start.elapsed();
        self.cut.is_some_and(|(region, from, to)| {
            (region == self.own || region == other) && now >= from && now < to
        })
    }

    /// Time passes on the way; `false` if the message is lost.
    async fn travel(&self, other: usize) -> bool {
        let (delay, lost) = {
            let mut draws = self.draws.lock().expect("draws");
            (
                draws.between(Duration::from_millis(1), Duration::from_millis(40)),
                draws.chance(self.loss),
            )
        };
        sleep(delay).await;
        !lost && !self.cuts(other)
    }
}

impl Peers for Network {
    fn ask_all(&self, _table: &str, request: &Request, sink: &Sink) {
        for other in (0..self.regions.len()).filter(|other| *other != self.own) {
            let (network, request, sink) = (self.clone(), request.clone(), sink.clone());
            tokio::spawn(async move {
                if !network.travel(other).await {
                    return;
                }
                let reply = if network.amnesia {
                    Acceptors::default().answer(request)
                } else {
                    network.regions[other].lock().expect("region").answer(request)
                };
                if network.travel(other).await {
                    // The asker may have decided already.
                    let _ = sink.send((other, reply));
                }
            });
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Seen {
    /// The counter's value after an add of one.
    Added(u64),
    Read(u64),
    /// An add that may have happened.
    Perhaps,
}

#[derive(Debug, Clone, Copy)]
struct Event {
    seen: Seen,
    began: Instant,
    ended: Option<Instant>,
}

#[derive(Debug, Clone)]
struct Plan {
    seed: u64,
    /// For each Region, whether each of its operations adds, and the pause before it.
    clients: Vec<Vec<(bool, u64)>>,
    loss: f64,
    cut: Option<(usize, u64, u64)>,
}

fn plans() -> impl Strategy<Value = Plan> {
    let client = prop::collection::vec((prop::bool::weighted(0.7), 0..60_u64), 1..6);
    let cut = prop::option::of((0..3_usize, 0..150_u64, 20..400_u64));
    (any::<u64>(), prop::collection::vec(client, 3), 0.0..0.15_f64, cut).prop_map(
        |(seed, clients, loss, cut)| Plan {
            seed,
            clients,
            loss,
            cut,
        },
    )
}

fn key() -> ItemKey {
    ItemKey {
        table: "t".to_owned(),
        key: "k".to_owned(),
    }
}

fn count(image: Option<&Value>) -> u64 {
    image.and_then(Value::as_u64).unwrap_or(0)
}

/// Runs a plan to its end; what the clients saw.
fn run(plan: &Plan, amnesia: bool) -> Vec<Event> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build();
    runtime.expect("runtime").block_on(async {
        let regions: Vec<Region> = (0..3).map(|_| Region::default()).collect();
        let start = Instant::now();
        let mut clients = JoinSet::new();
        for (own, acts) in plan.clients.clone().into_iter().enumerate() {
            let cut = plan.cut.map(|(region, from, length)| {
                (
                    region,
                    Duration::from_millis(from),
                    Duration::from_millis(from + length),
                )
            });
            let draws = Arc::new(Mutex::new(Seed(plan.seed).stream(&format!("network/{own}"))));
            let network = Network {
                own,
                regions: regions.clone(),
                draws,
                loss: plan.loss,
                cut,
                start,
                amnesia,
            };
            let knobs = Mrsc {
                quorum_timeout: Duration::from_millis(120),
                backoff: Span::millis(1, 60),
                ..Mrsc::default()
            };
            let draws = Seed(plan.seed).stream(&format!("proposer/{own}"));
            let proposer = Proposer::new(
                ["a", "b", "c"][own],
                knobs,
                Arc::clone(&regions[own]),
                network,
                draws,
            );
            clients.spawn(async move { client(&proposer, &acts).await });
        }
        clients.join_all().await.into_iter().flatten().collect()
    })
}

async fn client(proposer: &Proposer<Network>, acts: &[(bool, u64)]) -> Vec<Event> {
    let mut events = Vec::new();
    for (adds, pause) in acts {
        sleep(Duration::from_millis(*pause)).await;
        let began = Instant::now();
        let seen = if *adds {
            let add = |latest: Option<&Value>| {
                let sum = count(latest) + 1;
                Step::Write(sum, Some(json!(sum)))
            };
            match proposer.change(&key(), add).await {
                Ok((sum, _)) => Some(Seen::Added(sum)),
                Err(Failure::Unknown) => Some(Seen::Perhaps),
                Err(Failure::Conflict | Failure::Alone) => None,
            }
        } else {
            let read = proposer.read(&key()).await;
            read.ok().map(|latest| {
                Seen::Read(count(
                    latest.and_then(|accepted| accepted.value.image.clone()).as_ref(),
                ))
            })
        };
        let ended = (seen != Some(Seen::Perhaps)).then(Instant::now);
        events.extend(seen.map(|seen| Event { seen, began, ended }));
    }
    events
}

/// Whether one counter, starting at 0, could have shown all this.
fn linearizable(events: &[Event]) -> bool {
    let mut tried = HashSet::new();
    search(events, 0, 0, &mut tried)
}

fn search(events: &[Event], done: u64, counter: u64, tried: &mut HashSet<(u64, u64)>) -> bool {
    let open = || {
        events
            .iter()
            .enumerate()
            .filter(|(index, _)| done & (1 << index) == 0)
    };
    // Only what may be left out is left.
    if open().all(|(_, event)| event.ended.is_none()) {
        return true;
    }
    if !tried.insert((done, counter)) {
        return false;
    }
    let first_end = open().filter_map(|(_, event)| event.ended).min();
    open().any(|(index, event)| {
        if first_end.is_some_and(|end| event.began > end) {
            return false;
        }
        let after = match event.seen {
            Seen::Added(sum) if sum == counter + 1 => sum,
            Seen::Read(sum) if sum == counter => sum,
            Seen::Perhaps => counter + 1,
            Seen::Added(_) | Seen::Read(_) => return false,
        };
        search(events, done | (1 << index), after, tried)
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn histories_are_linearizable(plan in plans()) {
        let events = run(&plan, false);
        prop_assert!(linearizable(&events), "{events:#?}");
    }

    #[test]
    fn runs_repeat_exactly(plan in plans()) {
        let seen = |events: Vec<Event>| events.iter().map(|event| format!("{:?}", event.seen)).collect::<Vec<_>>();
        prop_assert_eq!(seen(run(&plan, false)), seen(run(&plan, false)));
    }
}

#[test]
fn a_quiet_network_refuses_nobody_who_waits_his_turn() {
    let clients = vec![vec![(true, 0); 5], Vec::new(), vec![(false, 1_000)]];
    let events = run(
        &Plan {
            seed: 1,
            clients,
            loss: 0.0,
            cut: None,
        },
        false,
    );
    let seen: Vec<Seen> = events.iter().map(|event| event.seen).collect();
    assert_eq!(events.len(), 6, "{seen:?}");
    assert!(
        seen.contains(&Seen::Added(5)) && seen.contains(&Seen::Read(5)),
        "{seen:?}"
    );
}

/// The plans reach what makes the agreement hard; otherwise its success says little.
#[test]
fn hard_cases_are_reached() {
    let clients = vec![vec![(true, 5); 5]; 3];
    let (mut perhaps, mut refused) = (0, 0);
    for seed in 0..40 {
        let plan = Plan {
            seed,
            clients: clients.clone(),
            loss: 0.1,
            cut: Some((0, 40, 200)),
        };
        let events = run(&plan, false);
        assert!(linearizable(&events), "seed {seed}: {events:#?}");
        perhaps += events.iter().filter(|event| event.seen == Seen::Perhaps).count();
        refused += 15 - events.len();
    }
    assert!(perhaps > 0, "no write was ever lost half-way");
    assert!(refused > 0, "no write was ever refused");
}

/// The check can fail: Regions that forget what they accepted let two adds see one counter.
#[test]
fn regions_with_amnesia_are_caught() {
    let clients = vec![vec![(true, 0), (true, 50), (false, 50)]; 3];
    let caught = (0..20).any(|seed| {
        !linearizable(&run(
            &Plan {
                seed,
                clients: clients.clone(),
                loss: 0.0,
                cut: None,
            },
            true,
        ))
    });
    assert!(caught);
}

/// The check can fail: it knows an impossible history when it sees one.
#[test]
fn impossible_histories_are_rejected() {
    let start = Instant::now();
    let at = |millis| start + Duration::from_millis(millis);
    let event = |seen, began, ended| Event {
        seen,
        began: at(began),
        ended: Some(at(ended)),
    };
    let possible = [
        event(Seen::Added(1), 0, 9),
        event(Seen::Read(0), 1, 5),
        event(Seen::Read(1), 6, 8),
    ];
    assert!(linearizable(&possible));
    assert!(
        !linearizable(&[event(Seen::Added(1), 0, 1), event(Seen::Added(1), 2, 3)]),
        "an add is lost"
    );
    assert!(
        !linearizable(&[event(Seen::Added(1), 0, 1), event(Seen::Read(0), 2, 3)]),
        "a read is stale"
    );
    let back = [
        event(Seen::Added(1), 0, 9),
        event(Seen::Read(1), 1, 2),
        event(Seen::Read(0), 3, 4),
    ];
    assert!(!linearizable(&back), "a read goes back in time");
    let perhaps = Event {
        seen: Seen::Perhaps,
        began: at(0),
        ended: None,
    };
    assert!(
        linearizable(&[perhaps, event(Seen::Read(1), 1, 2)])
            && linearizable(&[perhaps, event(Seen::Read(0), 1, 2)])
    );
}
