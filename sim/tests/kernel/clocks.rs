//! Clocks that lie, as programs see them.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use sumzero_sim::{Fault, Host, Skew, World};
use tokio::time::sleep;

use crate::support::{Log, secs};

fn wall() -> f64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs_f64()
        - 1_767_225_600.0
}

/// Reads both clocks of a host every five seconds; with `faults` on it.
fn readings(faults: Vec<sumzero_sim::PlannedFault>) -> Vec<String> {
    let log = Log::default();
    let lines = log.clone();
    let mut world = World::new(1).client(Host::new("watch").run(move || {
        let log = lines.clone();
        async move {
            let start = Instant::now();
            for _ in 0..4 {
                log.add(format!("{:.3} {:.3}", wall(), start.elapsed().as_secs_f64()));
                sleep(secs(5.0)).await;
            }
        }
    }));
    for fault in faults {
        world = world.fault(fault);
    }
    world.run_until_done(secs(1000.0)).unwrap();
    log.lines()
}

#[test]
fn a_healthy_clock_shows_true_time_from_the_epoch_on() {
    assert_eq!(
        readings(vec![]),
        ["0.000 0.000", "5.000 5.000", "10.000 10.000", "15.000 15.000"]
    );
}

#[test]
fn an_offset_is_there_while_it_lasts() {
    let off = Fault::clock_offset("watch", Skew::behind(secs(6.0)))
        .at(secs(1.0))
        .lasting(secs(10.0));
    assert_eq!(
        readings(vec![off]),
        ["0.000 0.000", "-1.000 5.000", "4.000 10.000", "15.000 15.000"]
    );
}

#[test]
fn a_jump_back_moves_the_wall_clock_and_never_the_monotonic_one() {
    let jump = Fault::clock_jump("watch", Skew::behind(secs(100.0))).at(secs(1.0));
    assert_eq!(
        readings(vec![jump]),
        ["0.000 0.000", "-95.000 5.000", "-90.000 10.000", "-85.000 15.000"]
    );
}

#[test]
fn a_drift_runs_both_clocks_fast_and_what_it_gained_stays() {
    let drift = Fault::ClockDrift {
        place: "watch".into(),
        ppm: 100_000,
    };
    let lines = readings(vec![drift.at(Duration::ZERO).lasting(secs(5.0))]);
    // Five seconds of its own are 4.546 true ones. What it gained by 5 s of true time, half a second, stays.
    assert_eq!(
        lines,
        ["0.000 0.000", "5.000 5.000", "10.000 10.000", "15.000 15.000"]
    );
    let log = Log::default();
    let truth = log.clone();
    let (drifted, _) = World::new(1)
        .client(Host::new("watch").run(move || {
            let log = truth.clone();
            async move {
                sleep(secs(20.0)).await;
                log.add("awake");
            }
        }))
        .fault(
            Fault::ClockDrift {
                place: "watch".into(),
                ppm: 100_000,
            }
            .at(Duration::ZERO)
            .lasting(secs(5.0)),
        )
        .run(|simulation| {
            simulation.run_until_done(secs(100.0))?;
            Ok(simulation.now().as_secs_f64())
        })
        .unwrap();
    assert!((19.49..19.51).contains(&drifted), "{drifted}");
}

#[test]
fn hosts_have_clocks_of_their_own() {
    let log = Log::default();
    let program = |name: &'static str| {
        let log = log.clone();
        move || {
            let log = log.clone();
            async move {
                sleep(secs(2.0)).await;
                log.add(format!("{name} {:.3}", wall()));
            }
        }
    };
    World::new(1)
        .client(Host::new("right").run(program("right")))
        .client(Host::new("fast").run(program("fast")))
        .fault(Fault::clock_offset("fast", Skew::ahead(secs(3600.0))).at(Duration::ZERO))
        .run_until_done(secs(10.0))
        .unwrap();
    assert_eq!(log.lines(), ["right 2.000", "fast 3602.000"]);
}

#[test]
fn idle_hours_cost_nothing() {
    let begun = Instant::now();
    let world = World::new(1).client(Host::new("sleeper").run(|| sleep(Duration::from_secs(86_400 * 365))));
    let outcome = world.run_until_done(Duration::from_secs(86_400 * 400)).unwrap();
    assert!(outcome.finished_at.since_start() >= Duration::from_secs(86_400 * 365));
    assert!(begun.elapsed() < Duration::from_secs(2));
}
