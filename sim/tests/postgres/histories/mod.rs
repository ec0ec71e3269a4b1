//! Generated concurrent histories: random programs of two to four sessions, interleaved one statement at a time, must go the
//! same way on both sides: results, errors, who is blocked, who is set free by what, and the rows at the end.
//!
//! Environment: `SUMZERO_PG_HISTORIES` how many (default 300; 10,000 is the full campaign), `SUMZERO_PG_SEED` the first seed
//! (default 1), `SUMZERO_PG_WORKERS` how many at a time (default 4; they mostly wait).

mod arena;
mod generate;
mod judge;

pub(crate) use arena::{Arena, side_by_side};
pub(crate) use generate::{History, Mix, generate};
pub(crate) use judge::{Judge, Verdict};

use std::{
    collections::BTreeMap,
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Instant,
};

use crate::{
    interleave::Event,
    servers::{Database, Target},
};

/// After so many disagreements the rest would tell nothing new.
const DISAGREEMENTS_MAX: usize = 5;
/// One history in so many may differ once and never again: some wake-ups are a race inside PostgreSQL itself, and a loaded
/// machine may delay its search for deadlocks. More would hide a fault.
const UNSTABLE_ONE_IN: u64 = 500;

/// What every campaign of some size must have met, or it proves little.
const MUST_HAVE_MET: [&str; 9] = [
    "blocked", "resumed", "40001", "40P01", "23505", "23503", "23514", "55P03", "25P02",
];

/// Seeds whose histories are known to go another way, and why. A seed here that agrees is an entry to be struck out.
const EXPLAINED: [(u64, &str); 4] = [
    (8994, LOCKS_AS_IT_UPDATES),
    (9572, WAITS_ALONG_THE_CHAIN),
    (9614, LOCKS_AS_IT_UPDATES),
    (9953, WAITS_FOR_THE_TOP),
];
/// `with l as (select ... for update) update ... from l`.
const LOCKS_AS_IT_UPDATES: &str =
    "PostgreSQL's plan updates each row as soon as it is locked; the engine locks all rows first";
/// A row lock with SKIP LOCKED or NOWAIT above READ COMMITTED, on a row that one transaction shares and others have updated.
const WAITS_ALONG_THE_CHAIN: &str = "PostgreSQL waits for the updater of a newer version, whatever the policy, before it fails with 40001; the engine fails at once";

/// A row written under a savepoint that was released into another, which is then rolled back.
const WAITS_FOR_THE_TOP: &str =
    "PostgreSQL waits for the end of the whole transaction; the engine for that of the outer savepoint";

/// Counts over a campaign.
#[derive(Default)]
struct Tally {
    met: BTreeMap<String, u64>,
    mixes: BTreeMap<Mix, u64>,
    statements: u64,
    agree: u64,
    agree_on_replay: u64,
    refused_by_engine: u64,
    refused_by_postgres: u64,
    /// Among [`EXPLAINED`].
    explained: Vec<String>,
    disagreements: Vec<String>,
    /// Disagreements that did not show again.
    unstable: Vec<String>,
}

fn number(name: &str, default: u64) -> u64 {
    match std::env::var(name) {
        Ok(text) => text
            .parse()
            .unwrap_or_else(|_| panic!("{name} is not a number: {text:?}")),
        Err(_) => default,
    }
}

/// Opens both sides.
pub(crate) fn judge(subject: impl Fn() -> Database + 'static) -> Judge {
    Judge {
        truth: Arena::open(|| Target::Postgres.database()),
        subject: Arena::open(subject),
    }
}

fn work(seeds: &AtomicU64, end: u64, tally: &Mutex<Tally>) {
    let mut judge = judge(|| Target::subject().database());
    loop {
        let seed = seeds.fetch_add(1, Ordering::Relaxed);
        if seed >= end || tally.lock().expect("no worker panics").disagreements.len() >= DISAGREEMENTS_MAX {
            return;
        }
        let history = generate(seed);
        let (verdict, played) = judge.judge(&history);
        let mut lasting = None;
        let mut passing = None;
        let mut explained = None;
        let reason = EXPLAINED
            .iter()
            .find(|(known, _)| *known == seed)
            .map(|(_, reason)| *reason);
        if let (Verdict::Disagree(_), Some(reason)) = (&verdict, reason) {
            explained = Some(format!("seed {seed}: {reason}"));
        } else if let Verdict::Disagree(first) = &verdict {
            match judge.disagrees_again(&history) {
                true => lasting = Some(explain(&mut judge, &history)),
                false => passing = Some(format!("seed {seed}:\n{}", side_by_side(&first.0, &first.1))),
            }
        }
        let mut tally = tally.lock().expect("no worker panics");
        match verdict {
            Verdict::Agree => tally.agree += 1,
            Verdict::AgreeOnReplay => tally.agree_on_replay += 1,
            Verdict::Serializable {
                refused_by_engine: true,
            } => tally.refused_by_engine += 1,
            Verdict::Serializable {
                refused_by_engine: false,
            } => tally.refused_by_postgres += 1,
            Verdict::Disagree(_) => {}
        }
        if reason.is_some() && explained.is_none() {
            lasting = Some(format!(
                "seed {seed} agrees: strike it out of the explained ones\n"
            ));
        }
        tally.explained.extend(explained);
        tally.disagreements.extend(lasting);
        tally.unstable.extend(passing);
        *tally.mixes.entry(history.mix).or_default() += 1;
        tally.statements += history.steps.len() as u64;
        for line in &played.transcript {
            let met = match &line.event {
                Event::Blocked => "blocked".to_owned(),
                Event::Hung => "hung".to_owned(),
                Event::Resumed(outcome) | Event::Answered(outcome) => {
                    if matches!(line.event, Event::Resumed(_)) {
                        *tally.met.entry("resumed".to_owned()).or_default() += 1;
                    }
                    outcome.sqlstate().unwrap_or("fine").to_owned()
                }
            };
            *tally.met.entry(met).or_default() += 1;
        }
    }
}

/// The smallest script that still shows the disagreement, with both sides' answers.
pub(crate) fn explain(judge: &mut Judge, history: &History) -> String {
    let small = judge.shrink(history);
    let shown = match judge.judge(&small).0 {
        Verdict::Disagree(sides) => side_by_side(&sides.0, &sides.1),
        _ => "(the smallest script no longer disagrees: the outcome is not stable)\n".to_owned(),
    };
    let seed = history.seed;
    format!(
        "seed {seed}, {:?}, {} of {} statements left\n{shown}replay: SUMZERO_PG_SEED={seed} SUMZERO_PG_HISTORIES=1 cargo test -p \
         sumzero-sim --features aurora --test postgres histories_agree\n",
        history.mix,
        small.steps.len(),
        history.steps.len()
    )
}

#[test]
fn histories_agree() {
    let (count, first) = (number("SUMZERO_PG_HISTORIES", 300), number("SUMZERO_PG_SEED", 1));
    let started = Instant::now();
    let (seeds, tally) = (AtomicU64::new(first), Mutex::new(Tally::default()));
    thread::scope(|scope| {
        for _ in 0..number("SUMZERO_PG_WORKERS", 4).min(count) {
            scope.spawn(|| work(&seeds, first + count, &tally));
        }
    });
    let tally = tally.into_inner().expect("no worker panics");
    println!(
        "{count} histories from seed {first} in {:.1?}, {} statements: {} agree event by event, {} with another outcome of \
         PostgreSQL's own, {} refused by the engine alone and {} by PostgreSQL alone but serializable, {} differed once and never again, {} differ for a known reason, {} disagree\n{:?}\nmet: {:?}",
        started.elapsed(),
        tally.statements,
        tally.agree,
        tally.agree_on_replay,
        tally.refused_by_engine,
        tally.refused_by_postgres,
        tally.unstable.len(),
        tally.explained.len(),
        tally.disagreements.len(),
        tally.mixes,
        tally.met
    );
    println!("{}\n{}", tally.explained.join("\n"), tally.unstable.join("\n"));
    assert!(
        tally.disagreements.is_empty(),
        "{}",
        tally.disagreements.join("\n")
    );
    let unstable = tally.unstable.len() as u64;
    assert!(
        unstable <= 1 + count / UNSTABLE_ONE_IN,
        "{unstable} histories of {count} have no stable outcome"
    );
    if count >= 300 {
        for what in MUST_HAVE_MET {
            assert!(
                tally.met.contains_key(what),
                "no history met {what}: the campaign proves little"
            );
        }
    }
}
