//! Regions that are lost, cut off, evacuated and come back; the ledger's writer among them.

use std::time::Duration;

use payments::node::{NodeConfig, Role};
use scenarios::{
    script::{Handover, Script, Workload},
    stage::{REGIONS, perform_as},
    verdict::{Conclusion, Verdict},
};
use sumzero_sim::{
    Fault, Plan, PlannedFault, Seed,
    fault::{Service, ServiceFault, Target},
    trace::Sink,
};

use crate::{
    Test,
    faults::{hold, seeds},
};

pub(crate) const TESTS: &[Test] = &[
    ("a_region_is_lost_and_returns", a_region_is_lost_and_returns),
    ("a_region_is_lost_for_good", a_region_is_lost_for_good),
    ("a_region_is_cut_off", a_region_is_cut_off),
    (
        "what_was_confirmed_survives_the_loss_of_the_tail",
        what_was_confirmed_survives_the_loss_of_the_tail,
    ),
    (
        "without_the_repair_the_lost_tail_is_caught",
        without_the_repair_the_lost_tail_is_caught,
    ),
    (
        "a_controller_that_is_cut_off_gives_nobody_up",
        a_controller_that_is_cut_off_gives_nobody_up,
    ),
    (
        "a_writer_that_cannot_read_the_routing_stops",
        a_writer_that_cannot_read_the_routing_stops,
    ),
    (
        "without_self_demotion_two_writers_are_caught",
        without_self_demotion_two_writers_are_caught,
    ),
    (
        "a_region_is_evacuated_and_returns",
        a_region_is_evacuated_and_returns,
    ),
    ("regions_come_and_go", regions_come_and_go),
];

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Draws numbers for a seed's plan.
fn draws(seed: u64) -> impl FnMut(u64, u64) -> Duration {
    let mut draw = Seed(seed).stream("plan");
    move |from, to| Duration::from_millis(from * 1_000 + draw.next_u64() % ((to - from) * 1_000))
}

/// Clients that go on for long enough to see a failover through.
fn script(seed: u64, name: &str, faults: Vec<PlannedFault>) -> Script {
    Script {
        scenario: name.to_owned(),
        workload: Workload {
            requests: 14,
            over: seconds(240),
            ..Workload::default()
        },
        plan: Plan { faults },
        ..Script::calm(seed)
    }
}

fn reached(verdicts: &[Verdict], point: &str) -> usize {
    let reached = |verdict: &&Verdict| verdict.reached.iter().any(|reached| reached == point);
    let count = verdicts.iter().filter(reached).count();
    println!("  {point}: {count} of {}", verdicts.len());
    count
}

/// The longest time in which nobody got an answer, in each world.
fn outages(verdicts: &[Verdict]) -> Vec<Duration> {
    let outage = |verdict: &Verdict| Duration::from_nanos(verdict.measures.longest_outage_nanos);
    let mut outages: Vec<_> = verdicts.iter().map(outage).collect();
    outages.sort();
    println!("  without any answer for {outages:.0?}");
    outages
}

fn lost_and_back(seed: u64) -> Script {
    let mut draw = draws(seed);
    let lost = Fault::region_loss(REGIONS[0]).at(draw(20, 60));
    script(seed, "region-loss-and-return", vec![lost.lasting(draw(60, 300))])
}

fn a_region_is_lost_and_returns() {
    let verdicts = hold(seeds(8), lost_and_back);
    assert!(reached(&verdicts, "region-given-up") > verdicts.len() / 2);
}

fn a_region_is_lost_for_good() {
    let verdicts = hold(seeds(4), |seed| {
        let lost = Fault::region_loss(REGIONS[0]).at(draws(seed)(20, 60));
        script(seed, "region-lost", vec![lost])
    });
    assert_eq!(reached(&verdicts, "region-given-up"), verdicts.len());
    outages(&verdicts);
}

fn a_region_is_cut_off() {
    let verdicts = hold(seeds(8), |seed| {
        let mut draw = draws(seed);
        let isolated = Fault::RegionIsolated {
            region: REGIONS[0].to_owned(),
        };
        let isolated = isolated.at(draw(20, 60)).lasting(draw(60, 240));
        script(seed, "region-isolated", vec![isolated])
    });
    assert!(reached(&verdicts, "region-given-up") > verdicts.len() / 2);
}

/// The log stays in the writer's Region for some seconds, then that Region is gone.
fn lost_tail(seed: u64) -> Script {
    let mut draw = draws(seed);
    let (paused, lost) = (draw(20, 40), draw(3, 25));
    let pause = ServiceFault::PauseReplication {
        region: None,
        table: None,
    };
    let (away, back) = (paused + lost, draw(100, 300));
    script(
        seed,
        "lost-tail",
        vec![
            Fault::service(Service::Aurora, REGIONS[0], pause)
                .at(paused)
                .lasting(lost + back),
            Fault::region_loss(REGIONS[0]).at(away).lasting(back),
        ],
    )
}

fn what_was_confirmed_survives_the_loss_of_the_tail() {
    let verdicts = hold(seeds(12), lost_tail);
    assert!(reached(&verdicts, "region-given-up") > 0);
    assert!(reached(&verdicts, "tail-restored") > 0);
}

/// The worlds in which this property does not hold, when every process is set up like this.
fn caught(seeds: u64, property: &str, script: impl Fn(u64) -> Script, set_up: fn(&mut NodeConfig)) {
    let evidence = (0..seeds).find_map(|seed| {
        let script = script(seed);
        let verdict = Verdict::of(&script, &perform_as(&script, Sink::Off, set_up));
        let Conclusion::Violated(violations) = verdict.conclusion else {
            return None;
        };
        let found = violations
            .into_iter()
            .find(|violation| violation.property == property);
        found.map(|violation| violation.evidence)
    });
    println!("  {}", evidence.expect("a violation in one of these worlds"));
}

/// The control: controllers that look for what was lost where nothing is.
fn without_the_repair_the_lost_tail_is_caught() {
    caught(6, "answers", lost_tail, |config| {
        if let Some(promotion) = &mut config.promotion {
            promotion.repair_gate.table = "another-table".to_owned();
            promotion.controller.quarantine_max = Duration::ZERO;
        }
    });
}

fn a_controller_that_is_cut_off_gives_nobody_up() {
    let verdicts = hold(seeds(6), |seed| {
        let mut draw = draws(seed);
        let cut = |place: String, draw: &mut dyn FnMut(u64, u64) -> Duration| {
            Fault::partition(place, REGIONS[0])
                .at(draw(15, 30))
                .lasting(draw(100, 200))
        };
        let one = cut(format!("gateway-{}-0", REGIONS[1]), &mut draw);
        let other = cut(format!("gateway-{}-1", REGIONS[1]), &mut draw);
        script(seed, "controller-cut-off", vec![one, other])
    });
    assert_eq!(reached(&verdicts, "region-given-up"), 0);
}

/// The writer's Region can no longer read who writes; and its database cannot be told to stop. Everything else works there.
fn deaf(seed: u64) -> Script {
    let mut draw = draws(seed);
    let (at, lasting) = (draw(20, 40), draw(200, 260));
    let database = format!("aurora-{}", REGIONS[0]);
    let unreadable = ServiceFault::FailBefore {
        target: Target::operation("GetItem"),
        failure: Default::default(),
    };
    let mut faults = vec![
        Fault::service(Service::Dynamodb, REGIONS[0], unreadable)
            .at(at)
            .lasting(lasting),
    ];
    for other in &REGIONS[1..] {
        faults.push(Fault::partition(&database, *other).at(at).lasting(lasting));
    }
    script(seed, "deaf-writer", faults)
}

fn a_writer_that_cannot_read_the_routing_stops() {
    let verdicts = hold(seeds(8), deaf);
    assert!(reached(&verdicts, "region-given-up") > 0);
}

/// A writer that looks dead from the other Regions and is not: nobody there hears its gateways or its controllers, and it cannot
/// read that it was given up. Clients reach it, and so do the providers and the gate's table.
fn unheard(seed: u64) -> Script {
    let script = deaf(seed);
    let first = &script.plan.faults[0];
    let (at, lasting) = (first.at, first.lasting.unwrap_or_default());
    let mut faults = script.plan.faults;
    for number in 0..script.gateways {
        let gateway = format!("gateway-{}-{number}", REGIONS[0]);
        for other in &REGIONS[1..] {
            faults.push(Fault::partition(&gateway, *other).at(at).lasting(lasting));
        }
    }
    Script {
        scenario: "unheard-writer".to_owned(),
        workload: Workload {
            accounts: 2,
            collide_ppm: 500_000,
            requests: 24,
            ..script.workload
        },
        plan: Plan { faults },
        ..script
    }
}

fn unheard_without_controllers(config: &mut NodeConfig) {
    if config.region == REGIONS[0] {
        config.roles.remove(&Role::Controller);
    }
}

/// The control of self-demotion: with it two Regions never write at a time, and without it they spend the same money.
fn without_self_demotion_two_writers_are_caught() {
    for seed in seeds(2) {
        let script = unheard(seed);
        let verdict = Verdict::of(
            &script,
            &perform_as(&script, Sink::Off, unheard_without_controllers),
        );
        assert_eq!(verdict.conclusion, Conclusion::Held, "seed {seed}");
        assert_eq!(reached(&[verdict], "region-given-up"), 1);
    }
    caught(2, "captures", unheard, |config| {
        unheard_without_controllers(config);
        if config.region == REGIONS[0] {
            config.keeper.lease = Duration::from_hours(24);
        }
    });
}

fn evacuated(seed: u64) -> Script {
    let mut draw = draws(seed);
    let away = draw(20, 60);
    let handovers = vec![
        Handover {
            at: away,
            to: REGIONS[1 + (seed as usize % 2)].to_owned(),
        },
        Handover {
            at: away + draw(60, 120),
            to: REGIONS[0].to_owned(),
        },
    ];
    Script {
        handovers,
        ..script(seed, "evacuation", Vec::new())
    }
}

fn a_region_is_evacuated_and_returns() {
    let verdicts = hold(seeds(6), evacuated);
    assert_eq!(reached(&verdicts, "handed-over"), verdicts.len());
    assert_eq!(reached(&verdicts, "region-given-up"), 0);
    assert_eq!(reached(&verdicts, "tail-restored"), 0);
}

/// Losses, cuts, lags and handovers, in any order.
fn regions_come_and_go() {
    let verdicts = hold(seeds(12), |seed| {
        let mut draw = draws(seed);
        let mut faults = Vec::new();
        let pause = || ServiceFault::PauseReplication {
            region: None,
            table: None,
        };
        for region in REGIONS {
            let chance = draw(0, 100).as_secs();
            let (at, lasting) = (draw(15, 200), draw(20, 150));
            match chance {
                0..30 => faults.push(Fault::region_loss(region).at(at).lasting(lasting)),
                30..50 => {
                    let region = region.to_owned();
                    faults.push(Fault::RegionIsolated { region }.at(at).lasting(lasting));
                }
                50..75 => {
                    let other = REGIONS[at.as_millis() as usize % 3];
                    if other != region {
                        faults.push(Fault::partition(region, other).at(at).lasting(lasting));
                    }
                }
                _ => {}
            }
            faults.push(
                Fault::service(Service::Aurora, region, pause())
                    .at(draw(10, 200))
                    .lasting(draw(5, 40)),
            );
        }
        let handovers = (0..2).map(|number: usize| Handover {
            at: draw(30, 240),
            to: REGIONS[(seed as usize + number) % 3].to_owned(),
        });
        Script {
            handovers: handovers.collect(),
            ..script(seed, "regions-come-and-go", faults)
        }
    });
    reached(&verdicts, "region-given-up");
    reached(&verdicts, "handed-over");
    reached(&verdicts, "tail-restored");
}
