//! What clients saw in worlds full of cuts and losses, held against what the two consistency modes promise.
//!
//! Every seed draws its own workload and its own faults. Clocks are true here, so that the last writer is the one whom the
//! clients call the last.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::ProvideErrorMetadata;
use aws_sdk_dynamodb::types::ReturnValue;
use futures::future::join_all;
use sumzero_sim::aws::dynamodb::config::TieBreak;
use sumzero_sim::{Disk, Fault, PlannedFault, Seed, Stream};
use tokio::time::{Instant, sleep, timeout};

use super::cluster::{Cluster, REGIONS, three_regions};
use super::global::{make_global, make_strong};
use super::suite::{create_table, get, n, s};
use crate::clients;
use crate::stage::{Stage, in_world};

const SEEDS: std::ops::Range<u64> = 0..12;
const CHAOS: Duration = Duration::from_secs(20);

/// Cuts between Regions and lost machines in the first seconds, as the seed has it.
fn chaos(seed: u64) -> Vec<PlannedFault> {
    let mut draws = Seed(seed).stream("test/chaos");
    let host = |draws: &mut Stream| format!("dynamodb-{}", REGIONS[draws.below(3) as usize]);
    let faults = (0..4).map(|_| {
        let one = host(&mut draws);
        let mut other = host(&mut draws);
        while other == one {
            other = host(&mut draws);
        }
        let fault = match draws.below(4) {
            0 => Fault::machine_loss(one, Disk::Kept),
            1 => Fault::partition_one_way(one, other),
            _ => Fault::partition(one, other),
        };
        let (second, most) = (Duration::from_secs(1), CHAOS / 2);
        fault
            .at(draws.between(second, most))
            .lasting(draws.between(second, most))
    });
    faults.collect()
}

/// One operation of a client; `value` is what it wrote or read, if its outcome is known.
#[derive(Clone, Copy, Debug)]
struct Seen {
    writes: bool,
    value: Option<i64>,
    began: Instant,
    ended: Instant,
}

type Log = Arc<Mutex<Vec<Seen>>>;

/// A client that writes values of its own to a few items.
async fn write(client: Client, writer: i64, mut draws: Stream, logs: Arc<[Log; 3]>) {
    for number in 0..15 {
        sleep(draws.between(Duration::ZERO, Duration::from_millis(1_500))).await;
        let item = draws.below(3) as usize;
        let value = writer * 1_000 + number;
        let began = Instant::now();
        let put = client
            .put_item()
            .table_name("things")
            .item("pk", s(&format!("item-{item}")));
        let done = timeout(Duration::from_secs(5), put.item("v", n(value)).send()).await;
        let seen = Seen {
            writes: true,
            value: Some(value),
            began,
            // What has not been confirmed may happen whenever the connection lets it.
            ended: if matches!(done, Ok(Ok(_))) {
                Instant::now()
            } else {
                began + Duration::from_secs(3_600)
            },
        };
        logs[item].lock().expect("log").push(seen);
    }
}

/// Whether a value may be what the last of these writes left: no write that was confirmed began after it was confirmed.
fn may_be_last(value: Option<i64>, log: &[Seen]) -> bool {
    let confirmed = |seen: &&Seen| seen.ended.duration_since(seen.began) < Duration::from_secs(3_000);
    match log.iter().find(|seen| seen.value == value) {
        None => value.is_none() && !log.iter().any(|seen| confirmed(&seen)),
        Some(last) => !log.iter().filter(confirmed).any(|later| later.began > last.ended),
    }
}

/// What became of a run: whether the replicas agree, and of each item the last value with what clients saw.
#[derive(Clone, Default)]
struct Ending {
    agreed: bool,
    items: Vec<(Option<i64>, Vec<Seen>)>,
}

/// Lets three clients write to an eventually consistent table in a world of chaos, and waits until it is over.
fn eventual(seed: u64, scene: impl FnOnce(&mut Stage) -> Cluster) -> Ending {
    let ending = Arc::new(Mutex::new(Ending::default()));
    let told = ending.clone();
    let outcome = in_world(seed, chaos(seed), scene, move |cluster: Cluster| {
        let told = told.clone();
        async move {
            let clients = cluster.clients();
            create_table(&clients[0], "things", false).await;
            make_global(&clients[0], "things", &REGIONS[1..]).await;
            let logs = Arc::new([Log::default(), Log::default(), Log::default()]);
            let writers = clients.iter().zip(0_i64..).map(|(client, writer)| {
                let draws = Seed(seed).stream(&format!("test/writer/{writer}"));
                write(client.clone(), writer, draws, Arc::clone(&logs))
            });
            join_all(writers).await;
            sleep(CHAOS).await;
            cluster.quiescent().await;
            let mut items = Vec::new();
            for (item, log) in logs.iter().enumerate() {
                let last = get(&clients[0], "things", &format!("item-{item}"), true).await;
                items.push((last, log.lock().expect("log").clone()));
            }
            let agreed = cluster.agrees_on("things");
            *told.lock().expect("ending") = Ending { agreed, items };
        }
    });
    outcome.unwrap_or_else(|error| panic!("seed {seed}: {error}"));
    let ending = ending.lock().expect("ending");
    ending.clone()
}

#[test]
fn eventual_replicas_converge_to_the_last_writes_whatever_was_cut_or_lost() {
    for seed in SEEDS {
        let ending = eventual(seed, three_regions);
        assert!(ending.agreed, "seed {seed}");
        for (last, log) in ending.items {
            assert!(may_be_last(last, &log), "seed {seed}: {last:?} after {log:?}");
        }
    }
}

#[test]
fn replicas_that_each_keep_their_own_in_a_tie_are_caught() {
    let tied = |stage: &mut Stage| {
        Cluster::on(stage, &REGIONS, |config| {
            config.mrec.tie_break = TieBreak::Existing;
            // So coarse that every write of a run ties.
            config.mrec.stamp_resolution = Duration::from_secs(1 << 32);
        })
    };
    assert!(
        SEEDS
            .map(|seed| eventual(seed, tied))
            .any(|ending| !ending.agreed)
    );
}

/// A client that adds to one counter and reads it.
async fn count(cluster: Cluster, region: &str, mut draws: Stream, log: Log) {
    let client = clients::dynamodb_without_retries(region, cluster.address(region));
    for _ in 0..12 {
        sleep(draws.between(Duration::ZERO, Duration::from_millis(1_500))).await;
        let (writes, began) = (draws.chance(0.6), Instant::now());
        let answered = timeout(Duration::from_secs(8), async {
            if writes {
                let add = client.update_item().table_name("things").key("pk", s("sum"));
                let add = add
                    .update_expression("ADD v :one")
                    .expression_attribute_values(":one", n(1));
                match add.return_values(ReturnValue::UpdatedNew).send().await {
                    Ok(added) => Some(added.attributes),
                    // Promises that nothing happened.
                    Err(error) if error.code() == Some("ReplicatedWriteConflictException") => None,
                    Err(error)
                        if error
                            .raw_response()
                            .is_some_and(|raw| raw.status().as_u16() == 503) =>
                    {
                        None
                    }
                    Err(_) => Some(None),
                }
            } else {
                let read = client
                    .get_item()
                    .table_name("things")
                    .key("pk", s("sum"))
                    .consistent_read(true);
                read.send()
                    .await
                    .ok()
                    .map(|read| Some(read.item.unwrap_or_default()))
            }
        });
        let Some(attributes) = answered.await.unwrap_or(writes.then_some(None)) else {
            continue;
        };
        let value = attributes.map(|attributes| {
            let number = attributes.get("v").map_or("0", |v| v.as_n().expect("a number"));
            number.parse().expect("an integer")
        });
        log.lock().expect("log").push(Seen {
            writes,
            value,
            began,
            ended: Instant::now(),
        });
    }
}

/// Whether one counter could have answered so: each value is added once, what began after another ended saw it, and no more
/// was added than clients asked for.
fn of_one_counter(log: &[Seen]) -> Result<(), String> {
    let mut adds = BTreeMap::new();
    for seen in log.iter().filter(|seen| seen.writes) {
        if let Some(value) = seen.value
            && adds.insert(value, seen).is_some()
        {
            return Err(format!("{value} was added twice"));
        }
    }
    let known: Vec<(&Seen, i64)> = log.iter().filter_map(|seen| Some((seen, seen.value?))).collect();
    for (one, before) in &known {
        for (other, after) in known.iter().filter(|(other, _)| one.ended < other.began) {
            let seen_by_all = if other.writes {
                before < after
            } else {
                before <= after
            };
            if !seen_by_all {
                return Err(format!("{after} was seen after {before}: {one:?}, {other:?}"));
            }
        }
    }
    let asked = log.iter().filter(|seen| seen.writes).count() as i64;
    match known.iter().map(|(_, value)| *value).max() {
        Some(most) if most > asked => Err(format!("{most} of {asked}")),
        _ => Ok(()),
    }
}

#[test]
fn strong_histories_are_those_of_one_counter_whatever_was_cut_or_lost() {
    let mut added = 0;
    for seed in SEEDS {
        let log = Log::default();
        let kept = log.clone();
        let outcome = in_world(seed, chaos(seed), three_regions, move |cluster: Cluster| {
            let log = log.clone();
            async move {
                let client = cluster.client(REGIONS[0]);
                create_table(&client, "things", false).await;
                make_strong(&client, "things", &REGIONS[1..]).await;
                let counters = REGIONS.iter().map(|region| {
                    let draws = Seed(seed).stream(&format!("test/counter/{region}"));
                    count(cluster.clone(), region, draws, log.clone())
                });
                join_all(counters).await;
            }
        });
        outcome.unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        let log = kept.lock().expect("log");
        assert_eq!(of_one_counter(&log), Ok(()), "seed {seed}");
        added += log
            .iter()
            .filter(|seen| seen.writes && seen.value.is_some())
            .count();
    }
    assert!(added > 100, "only {added} adds came through");
}

#[test]
fn impossible_histories_are_rejected() {
    let start = Instant::now();
    let at = |ms: u64| start + Duration::from_millis(ms);
    let seen = |writes, value, began, ended| Seen {
        writes,
        value: Some(value),
        began: at(began),
        ended: at(ended),
    };
    assert_eq!(
        of_one_counter(&[seen(true, 1, 0, 1), seen(true, 2, 2, 3), seen(false, 2, 4, 5)]),
        Ok(())
    );
    for impossible in [
        [seen(true, 1, 0, 1), seen(true, 1, 2, 3)],
        [seen(true, 2, 0, 1), seen(false, 1, 2, 3)],
        [seen(false, 2, 0, 1), seen(true, 2, 2, 3)],
        [seen(true, 1, 0, 1), seen(false, 3, 2, 3)],
    ] {
        assert!(of_one_counter(&impossible).is_err(), "{impossible:?}");
    }
    let writes = [seen(true, 7, 0, 1), seen(true, 8, 2, 3)];
    assert!(may_be_last(Some(8), &writes));
    for wrong in [Some(7), Some(9), None] {
        assert!(!may_be_last(wrong, &writes), "{wrong:?}");
    }
}
