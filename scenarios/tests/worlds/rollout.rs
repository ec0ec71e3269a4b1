//! Releases that change the schema are rolled out while clients go on and processes die.

use std::time::Duration;

use payments::{ledger::Schema, node::NodeConfig};
use scenarios::{
    scenario::catalogue,
    script::{Limits, Script},
    stage::{REGIONS, perform_as},
    verdict::Verdict,
};
use sumzero_sim::{Plan, trace::Sink};

use crate::{
    Test,
    faults::{hold, seeds},
};

pub(crate) const TESTS: &[Test] = &[
    ("a_release_is_rolled_out", a_release_is_rolled_out),
    (
        "as_long_as_a_process_writes_the_version_before_nothing_is_contracted",
        as_long_as_a_process_writes_the_version_before_nothing_is_contracted,
    ),
];

fn script(seed: u64) -> Script {
    let scenarios = catalogue();
    let scenario = scenarios
        .iter()
        .find(|scenario| scenario.name == "rolling-upgrade");
    scenario.expect("it is in the catalogue").draw(seed)
}

fn contracted(verdict: &Verdict) -> bool {
    verdict.reached.iter().any(|point| point == "schema-contracted")
}

fn a_release_is_rolled_out() {
    let verdicts = hold(seeds(6), script);
    assert!(verdicts.iter().all(contracted));
}

/// The control: one Region's processes are started again, but not as the new version.
fn as_long_as_a_process_writes_the_version_before_nothing_is_contracted() {
    let script = Script {
        plan: Plan::default(),
        limits: Limits {
            rest: Duration::from_secs(120),
            ..Limits::default()
        },
        ..script(1)
    };
    let stay = |config: &mut NodeConfig| {
        if config.region == REGIONS[2] {
            config.schema = Schema::V1;
        }
    };
    let verdict = Verdict::of(&script, &perform_as(&script, Sink::Off, stay));
    assert!(!contracted(&verdict));
    // The world goes on without, and all that is wrong is that the release does not come to its end.
    let found: Vec<_> = verdict
        .violations()
        .iter()
        .map(|found| &*found.evidence)
        .collect();
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].contains("the new version not rolled out"), "{found:?}");
}
