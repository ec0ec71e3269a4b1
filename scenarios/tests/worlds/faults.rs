//! Worlds without faults, and with each kind of them.

use std::time::Duration;

use scenarios::{
    externals::Behaviour,
    properties::{Violation, judge},
    stage::{Script, perform},
};
use serde::{Deserialize, Serialize};
use sumzero_sim::{Plan, campaign::{Campaign, Fate}};

use crate::Test;

pub(crate) const TESTS: &[Test] = &[("a_calm_day", a_calm_day)];

/// What a world came to.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Verdict {
    trace_hash: String,
    violations: Vec<Violation>,
    confirmed: usize,
    captured: i64,
    faults_bitten: usize,
}

fn script(seed: u64) -> Script {
    Script {
        seed,
        gateways: 2,
        clients: 4,
        requests: 10,
        psp: Behaviour::default(),
        kyc: Behaviour::default(),
        plan: Plan::default(),
        faults_end: Duration::from_secs(60),
    }
}

fn verdict(script: &Script) -> Verdict {
    let performance = perform(script).unwrap_or_else(|error| panic!("seed {}: {error}", script.seed));
    let history = &performance.history;
    Verdict {
        trace_hash: performance.outcome.trace_hash.to_string(),
        violations: judge(history),
        confirmed: history.told.iter().filter(|told| told.status < 300).count(),
        captured: history
            .books
            .payments
            .iter()
            .map(|payment| payment.captured)
            .sum(),
        faults_bitten: performance
            .outcome
            .faults
            .iter()
            .filter(|fault| fault.bites > 0)
            .count(),
    }
}

fn a_calm_day() {
    let started = std::time::Instant::now();
    let verdict = verdict(&script(1));
    println!("{verdict:?} {:?}", started.elapsed());
}
