//! Worlds without faults, and with each kind of them.

use std::{
    fs::File,
    io::BufWriter,
    ops::{ControlFlow, Range},
    path::Path,
    process::Command,
    time::Duration,
};

use scenarios::{
    externals::Behaviour,
    script::{Script, Spell},
    stage::{REGIONS, perform},
    verdict::{Conclusion, Verdict},
};
use sumzero_sim::{
    Fault, Plan, PlannedFault, Seed, Skew,
    campaign::{Campaign, Fate, SelfCheck, self_check},
    fault::{Service, ServiceFault, Target},
    trace::Sink,
};

use crate::Test;

pub(crate) const TESTS: &[Test] = &[
    (
        "a_calm_day_is_calm_and_the_same_again",
        a_calm_day_is_calm_and_the_same_again,
    ),
    ("processes_die_and_freeze", processes_die_and_freeze),
    (
        "answers_of_every_dependency_are_lost",
        answers_of_every_dependency_are_lost,
    ),
    ("links_break", links_break),
    ("the_database_fails_over", the_database_fails_over),
    ("clocks_differ", clocks_differ),
    ("everything_at_once", everything_at_once),
    (
        "a_seed_is_the_same_story_in_every_process",
        a_seed_is_the_same_story_in_every_process,
    ),
    (
        "a_provider_that_forgets_too_soon_is_caught",
        a_provider_that_forgets_too_soon_is_caught,
    ),
];

fn verdict(script: &Script) -> Verdict {
    Verdict::reach(script)
}

/// How many seeds a test tries. `SUMZERO_WORLDS_SEEDS` says otherwise, `SUMZERO_WORLDS_SEED` names a single one.
pub(crate) fn seeds(usually: u64) -> Range<u64> {
    if let Ok(seed) = std::env::var("SUMZERO_WORLDS_SEED") {
        let seed = seed.parse().expect("a number");
        return seed..seed + 1;
    }
    let count =
        std::env::var("SUMZERO_WORLDS_SEEDS").map_or(usually, |count| count.parse().expect("a number"));
    0..count
}

/// Performs a script for each seed. All properties hold, and the faults did bite.
pub(crate) fn hold(seeds: Range<u64>, script: impl Fn(u64) -> Script) -> Vec<Verdict> {
    let mut verdicts = Vec::new();
    let mut failed = Vec::new();
    let count = seeds.end - seeds.start;
    Campaign::new(seeds)
        .run(
            |seed| verdict(&script(seed)),
            |result| {
                match result.fate {
                    Fate::Finished(verdict) if verdict.conclusion == Conclusion::Held => {
                        verdicts.push(verdict)
                    }
                    fate => failed.push(format!("seed {}: {fate:?}\n{}", result.seed, result.output)),
                }
                ControlFlow::Continue(())
            },
        )
        .unwrap();
    assert!(
        failed.is_empty(),
        "{} of {count}:\n{}",
        failed.len(),
        failed.join("\n")
    );
    let confirmed: u64 = verdicts.iter().map(|verdict| verdict.measures.confirmed).sum();
    let bitten: usize = verdicts.iter().map(bitten).sum();
    println!("  {count} worlds, {confirmed} confirmed, {bitten} faults bit");
    assert!(confirmed > 0);
    verdicts
}

/// How many faults bit.
pub(crate) fn bitten(verdict: &Verdict) -> usize {
    verdict.faults.iter().filter(|fault| fault.bites > 0).count()
}

/// A provider that behaves so until the faults are over.
pub(crate) fn always(behaviour: Behaviour) -> Vec<Spell> {
    vec![Spell {
        at: Duration::ZERO,
        lasting: Duration::from_secs(60),
        behaviour,
    }]
}

/// Draws the faults of a seed: some of the candidates, each at a time and for as long as the seed decides.
pub(crate) fn swarm(seed: u64, candidates: &[Fault]) -> Plan {
    let mut draw = Seed(seed).stream("plan");
    let mut below = |limit: u64| draw.next_u64() % limit;
    let mut faults: Vec<PlannedFault> = Vec::new();
    for fault in candidates {
        if below(2) == 0 {
            continue;
        }
        let planned = fault.clone().at(Duration::from_millis(5_000 + below(45_000)));
        let instant = fault.is_instant();
        faults.push(if instant {
            planned
        } else {
            planned.lasting(Duration::from_millis(500 + below(9_000)))
        });
    }
    Plan { faults }
}

fn a_calm_day_is_calm_and_the_same_again() {
    let first = hold(seeds(4), Script::calm);
    let again = hold(seeds(4), Script::calm);
    assert_eq!(first, again);
    assert!(
        first.iter().all(|verdict| verdict.measures.confirmed > 20),
        "{first:?}"
    );
}

fn processes() -> Vec<Fault> {
    vec![
        Fault::kill("gateway-0"),
        Fault::kill("gateway-1"),
        Fault::kill("gateway-0"),
        Fault::pause("gateway-1"),
        Fault::pause("gateway-0"),
        Fault::kill("psp"),
        Fault::pause("psp"),
        Fault::pause("dynamodb-us-east-1"),
    ]
}

fn processes_die_and_freeze() {
    let verdicts = hold(seeds(12), |seed| Script {
        plan: swarm(seed, &processes()),
        ..Script::calm(seed)
    });
    assert!(verdicts.iter().any(|verdict| bitten(verdict) > 0));
}

pub(crate) fn unreliable() -> Behaviour {
    Behaviour {
        jitter_ms: 3_000,
        declined_ppm: 50_000,
        failed_before_ppm: 100_000,
        failed_after_ppm: 100_000,
        answer_lost_ppm: 100_000,
        ..Behaviour::default()
    }
}

fn dependencies() -> Vec<Fault> {
    let often = || Target::default().probability(0.2);
    let dynamodb = |fault| Fault::service(Service::Dynamodb, REGIONS[0], fault);
    vec![
        dynamodb(ServiceFault::LoseAnswer { target: often() }),
        dynamodb(ServiceFault::FailAfter {
            target: often(),
            failure: Default::default(),
        }),
        dynamodb(ServiceFault::FailBefore {
            target: often(),
            failure: Default::default(),
        }),
        dynamodb(ServiceFault::Throttle { target: often() }),
        dynamodb(ServiceFault::Unavailable {
            outage: Default::default(),
        }),
    ]
}

fn answers_of_every_dependency_are_lost() {
    hold(seeds(12), |seed| Script {
        psp: always(unreliable()),
        kyc: always(unreliable()),
        plan: swarm(seed, &dependencies()),
        ..Script::calm(seed)
    });
}

fn links() -> Vec<Fault> {
    vec![
        Fault::partition("gateway-0", "aurora-us-east-1"),
        Fault::partition("gateway-1", "dynamodb-us-east-1"),
        Fault::partition_one_way("psp", "gateway-0"),
        Fault::partition_one_way("gateway-1", "psp"),
        Fault::partition("us-east-1", "us-east-2"),
        Fault::partition("us-east-1", "us-west-2"),
        Fault::partition_one_way("aurora-us-east-1", "gateway-1"),
    ]
}

fn links_break() {
    hold(seeds(12), |seed| Script {
        plan: swarm(seed, &links()),
        ..Script::calm(seed)
    });
}

fn failovers() -> Vec<Fault> {
    let aurora = |fault| Fault::service(Service::Aurora, REGIONS[0], fault);
    let target = Target::default().probability(0.05);
    vec![
        aurora(ServiceFault::FailOverCluster {}),
        aurora(ServiceFault::CrashDuringCommit {
            probability: 0.1,
            applied: 0.5,
            times: Some(2),
        }),
        aurora(ServiceFault::KillStatement {
            target,
            session: true,
        }),
        aurora(ServiceFault::SlowDisk {
            min: Duration::from_millis(100),
            max: Duration::from_secs(4),
        }),
        aurora(ServiceFault::ConnectionStorm { connections: 5_000 }),
        aurora(ServiceFault::DiskFull {}),
        Fault::pause("aurora-us-east-1"),
    ]
}

fn the_database_fails_over() {
    hold(seeds(8), |seed| Script {
        plan: swarm(seed, &failovers()),
        ..Script::calm(seed)
    });
}

fn skews() -> Vec<Fault> {
    let (ahead, behind) = (
        Skew::ahead(Duration::from_secs(30)),
        Skew::behind(Duration::from_secs(30)),
    );
    vec![
        Fault::clock_offset("gateway-0", ahead),
        Fault::clock_offset("gateway-1", behind),
        Fault::clock_jump("gateway-0", ahead),
        Fault::clock_jump("gateway-1", behind),
    ]
}

fn clocks_differ() {
    hold(seeds(8), |seed| Script {
        plan: swarm(seed, &skews()),
        ..Script::calm(seed)
    });
}

pub(crate) fn everything(seed: u64) -> Script {
    let all: Vec<_> = [processes(), dependencies(), links(), failovers(), skews()].concat();
    Script {
        psp: always(unreliable()),
        kyc: always(unreliable()),
        plan: swarm(seed, &all),
        ..Script::calm(seed)
    }
}

fn everything_at_once() {
    hold(seeds(24), everything);
}

/// Two fresh processes, event by event.
fn a_seed_is_the_same_story_in_every_process() {
    for seed in [3, 11] {
        let checked = self_check(|trace: &Path| {
            let mut command = Command::new(std::env::current_exe().unwrap());
            command.args(["program", &seed.to_string()]).arg(trace);
            command
        });
        match checked.unwrap() {
            SelfCheck::Same { .. } => {}
            SelfCheck::Diverged(divergence) => panic!("seed {seed}: {divergence}"),
        }
    }
}

/// What the self-check runs: one seed of everything at once, traced into a file.
pub(crate) fn program(words: &[String]) {
    let [seed, trace] = words else {
        panic!("program SEED TRACE, not {words:?}");
    };
    let trace = Sink::Text(Box::new(BufWriter::new(File::create(trace).unwrap())));
    let performance = perform(&everything(seed.parse().unwrap()), trace).unwrap();
    println!("trace-hash: {}", performance.outcome.trace_hash);
}

/// The control: the system relies on the provider's keys, and with a provider that forgets them at once somebody is charged
/// twice. The same verdicts must say so.
fn a_provider_that_forgets_too_soon_is_caught() {
    let forgetful = Behaviour {
        key_window_s: 0,
        ..unreliable()
    };
    let caught = (0..8).find_map(|seed| {
        let script = Script {
            psp: always(forgetful.clone()),
            ..Script::calm(seed)
        };
        verdict(&script)
            .violations()
            .iter()
            .find(|violation| violation.property == "captures")
            .cloned()
    });
    let caught = caught.expect("a double capture in one of eight worlds");
    println!("  {}", caught.evidence);
}
