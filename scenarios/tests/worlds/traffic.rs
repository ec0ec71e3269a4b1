//! Which Regions clients are sent to: the routing controls of ARC follow the routing, and the clients follow them.

use std::{collections::BTreeSet, time::Duration};

use payments::node::NodeConfig;
use scenarios::{
    history::{Attempt, History},
    script::{Handover, Script, Workload},
    stage::{REGIONS, perform_as},
    verdict::{Conclusion, Verdict},
};
use sumzero_sim::{
    Fault, Plan, PlannedFault, Seed,
    fault::{Outage, Service, ServiceFault},
    trace::Sink,
};

use crate::{
    Test,
    faults::{bitten, seeds},
};

pub(crate) const TESTS: &[Test] = &[
    (
        "clients_leave_a_region_that_is_lost_and_come_back",
        clients_leave_a_region_that_is_lost_and_come_back,
    ),
    (
        "without_routing_controls_clients_stay",
        without_routing_controls_clients_stay,
    ),
    (
        "a_region_that_is_never_put_back_has_no_clients",
        a_region_that_is_never_put_back_has_no_clients,
    ),
    (
        "an_evacuated_region_has_no_clients_until_its_return",
        an_evacuated_region_has_no_clients_until_its_return,
    ),
    (
        "a_failover_does_not_wait_for_arc",
        a_failover_does_not_wait_for_arc,
    ),
];

/// From a decision until every endpoint of ARC shows what follows: 15 s at most, and the time to ask.
const CONVERGED: Duration = Duration::from_secs(20);

/// How long clients keep what DNS said.
const TTL: Duration = Duration::from_secs(60);

/// From a Region's loss until the decision: 9 looks for one that does not write.
const DECIDED: Duration = Duration::from_secs(40);

/// From a Region's return until the decision: its hosts start, its replica catches up, ten good looks.
const RECOVERED: Duration = Duration::from_secs(60);

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Clients that go on for about so long: they take half of what they may take for their requests.
fn script(seed: u64, name: &str, busy: Duration, faults: Vec<PlannedFault>) -> Script {
    Script {
        scenario: name.to_owned(),
        workload: Workload {
            requests: 50,
            over: busy * 2,
            ..Workload::default()
        },
        plan: Plan { faults },
        ..Script::calm(seed)
    }
}

/// Performs a script: all properties hold.
fn performed(script: &Script, set_up: fn(&mut NodeConfig)) -> (Verdict, History) {
    let performed = perform_as(script, Sink::Off, set_up);
    let verdict = Verdict::of(script, &performed);
    assert_eq!(verdict.conclusion, Conclusion::Held, "seed {}", script.seed);
    (verdict, performed.expect("it came to its end").history)
}

/// How often clients that look into DNS went to a Region with something new, in a span of true time.
fn went(history: &History, region: &str, from: Duration, until: Duration) -> usize {
    let span = from.as_nanos()..until.as_nanos();
    let looks = |attempt: &&Attempt| ["client-0", "client-2"].contains(&&*attempt.client);
    let mut keys = BTreeSet::new();
    let attempts = history.attempts.iter().filter(looks);
    let new = attempts.filter(|attempt| keys.insert(attempt.key.clone()));
    new.filter(|attempt| attempt.gateway.contains(region) && span.contains(&attempt.at_nanos.into()))
        .count()
}

/// When a process first saw, from a time on, that a Region's control had become so.
fn seen(history: &History, region: &str, on: bool, from: Duration) -> Duration {
    let what = format!("{region:?}: {on}");
    let mut seen = history.telemetry.iter().filter(|said| {
        let states = said.fields.get("on").and_then(|field| field.as_str());
        said.message == "routing controls" && states.is_some_and(|states| states.contains(&what))
    });
    let found = seen.find(|said| u128::from(said.at_nanos) >= from.as_nanos());
    found.map_or(Duration::MAX, |said| Duration::from_nanos(said.at_nanos))
}

/// A Region that is lost for a while: which one, from when, until when.
fn loss(seed: u64) -> (&'static str, Duration, Duration, Script) {
    let region = REGIONS[seed as usize % REGIONS.len()];
    let at = seconds(20 + Seed(seed).stream("plan").next_u64() % 10);
    let lasting = seconds(160);
    let lost = Fault::region_loss(region).at(at).lasting(lasting);
    (
        region,
        at,
        at + lasting,
        script(seed, "region-left", seconds(350), vec![lost]),
    )
}

fn clients_leave_a_region_that_is_lost_and_come_back() {
    for seed in seeds(2) {
        let (region, lost, back, script) = loss(seed);
        let (_, history) = performed(&script, |_| {});
        let off = seen(&history, region, false, lost);
        let on = seen(&history, region, true, off + CONVERGED);
        println!("  {region} lost at {lost:?}, off at {off:?}; back at {back:?}, on at {on:?}");
        assert!(off < lost + DECIDED + CONVERGED, "seed {seed}");
        assert!((back..back + RECOVERED + CONVERGED).contains(&on), "seed {seed}");
        let gone = lost + DECIDED + CONVERGED + TTL;
        assert_eq!(went(&history, region, gone, back), 0, "seed {seed}");
        let again = back + RECOVERED + CONVERGED + TTL;
        assert!(went(&history, region, again, Duration::MAX) > 0, "seed {seed}");
    }
}

fn without_controls(config: &mut NodeConfig) {
    if let Some(promotion) = &mut config.promotion {
        promotion.controls = None;
    }
}

/// The control: where nobody switches anything, clients go on asking in the Region that is gone.
fn without_routing_controls_clients_stay() {
    let (region, lost, back, script) = loss(0);
    let (_, history) = performed(&script, without_controls);
    assert!(went(&history, region, lost + DECIDED + CONVERGED + TTL, back) > 0);
}

fn never_put_back(config: &mut NodeConfig) {
    if let Some(promotion) = &mut config.promotion {
        promotion.controller.well_after = u32::MAX;
    }
}

/// The other control: that clients come back is the controllers' doing, not the passing of time.
fn a_region_that_is_never_put_back_has_no_clients() {
    let (region, lost, back, script) = loss(0);
    let (_, history) = performed(&script, never_put_back);
    let off = seen(&history, region, false, lost);
    assert_eq!(seen(&history, region, true, off + CONVERGED), Duration::MAX);
    let again = back + RECOVERED + CONVERGED + TTL;
    assert_eq!(went(&history, region, again, Duration::MAX), 0);
}

fn an_evacuated_region_has_no_clients_until_its_return() {
    let home = REGIONS[0];
    let (left, returned) = (seconds(30), seconds(150));
    let handovers = [(left, REGIONS[1]), (returned, home)];
    let handover = |(at, to): (Duration, &str)| Handover {
        at,
        to: to.to_owned(),
    };
    let script = Script {
        handovers: handovers.map(handover).into(),
        ..script(1, "evacuation", seconds(280), Vec::new())
    };
    let (_, history) = performed(&script, |_| {});
    // It is well all the time, and that changes nothing.
    assert_eq!(went(&history, home, left + CONVERGED + TTL, returned), 0);
    assert!(went(&history, home, returned + CONVERGED + TTL, Duration::MAX) > 0);
    // The one that hands back stays in service.
    assert_eq!(seen(&history, REGIONS[1], false, left), Duration::MAX);
}

/// The cluster of ARC is out from before a Region's loss until long after.
fn a_failover_does_not_wait_for_arc() {
    let (region, lost, back, mut script) = loss(0);
    assert_eq!(region, REGIONS[0], "the one that writes");
    let (out, again) = (lost - seconds(5), back - seconds(40));
    script.workload.over = seconds(300);
    let silent = ServiceFault::Unavailable {
        outage: Outage::Silence,
    };
    for endpoint in [
        "us-east-1",
        "us-west-2",
        "eu-west-1",
        "ap-northeast-1",
        "ap-southeast-2",
    ] {
        let fault = Fault::service(Service::RoutingControl, endpoint, silent.clone());
        script.plan.faults.push(fault.at(out).lasting(again - out));
    }
    let (verdict, history) = performed(&script, |_| {});
    // The endpoint in the lost Region is lost with it, mostly before anybody asks it.
    assert!(bitten(&verdict) >= script.plan.faults.len() - 1);
    assert!(verdict.reached.contains(&"region-given-up".to_owned()));
    let opened = history.telemetry.iter().find(|said| {
        let open = said.fields.get("state").is_some_and(|state| state == "open");
        said.message == "decided" && open
    });
    let opened = Duration::from_nanos(opened.expect("another Region writes").at_nanos);
    let off = seen(&history, region, false, lost);
    println!(
        "  {region} lost at {lost:?}, open elsewhere at {opened:?}; ARC again at {again:?}, off at {off:?}"
    );
    assert!(opened < lost + seconds(120), "no later than with ARC");
    // That ARC was really out, and is caught up with.
    assert!(opened < again);
    assert!((again..again + seconds(40)).contains(&off));
}
