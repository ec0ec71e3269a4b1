//! A world full of faults fails for one reason; shrinking finds it.

use std::time::Duration;

use scenarios::{
    externals::Behaviour,
    script::{Handover, Script, Workload},
    shrink::shrink,
    stage,
    verdict::Verdict,
};
use sumzero_sim::{
    Error, Fault, Plan,
    campaign::{
        Fate,
        shrink::{Budget, Shrinker, Stopped},
    },
};

use crate::{Test, faults};

pub(crate) const TESTS: &[Test] = &[
    (
        "a_provider_that_forgets_is_all_that_is_left",
        a_provider_that_forgets_is_all_that_is_left,
    ),
    ("what_holds_cannot_be_shrunk", what_holds_cannot_be_shrunk),
    (
        "a_fault_everywhere_is_narrowed_to_the_host_that_matters",
        a_fault_everywhere_is_narrowed_to_the_host_that_matters,
    ),
];

const FINGERPRINT: &str = "captures/done-twice";

/// The provider forgets keys at once. Everything else goes wrong as well, and is not to blame.
fn forgetful(seed: u64) -> Script {
    let everything = faults::everything(seed);
    let forgetful = Behaviour {
        key_window_s: 0,
        ..everything.psp[0].behaviour.clone()
    };
    Script {
        psp: faults::always(forgetful),
        ..everything
    }
}

fn a_provider_that_forgets_is_all_that_is_left() {
    let fails = |script: &Script| {
        Verdict::reach(script)
            .fingerprints()
            .iter()
            .any(|print| print == FINGERPRINT)
    };
    let script = (0..8).map(forgetful).find(fails);
    let script = script.expect("a double capture in one of eight worlds");
    let started = std::time::Instant::now();
    let shrunk = shrink(script.clone(), Some(FINGERPRINT), Shrinker::default(), |_| {}).unwrap();
    println!(
        "  {} faults, {} candidates in {:.0?}: {}",
        script.plan.faults.len(),
        shrunk.tried,
        started.elapsed(),
        shrunk.smallest.to_json()
    );
    assert_eq!(
        (shrunk.stopped, shrunk.fingerprint.as_str()),
        (Stopped::Minimal, FINGERPRINT)
    );
    let smallest = shrunk.smallest;
    assert!(fails(&smallest));
    assert!(smallest.plan.faults.is_empty(), "{:?}", smallest.plan);
    assert!(smallest.kyc.is_empty(), "{:?}", smallest.kyc);
    let [spell] = smallest.psp.as_slice() else {
        panic!("{:?}", smallest.psp);
    };
    // The reason, and something that has the system ask again.
    assert_eq!(spell.behaviour.key_window_s, 0);
    let Workload {
        clients, requests, ..
    } = smallest.workload;
    assert!(
        clients == 1 && requests <= script.workload.requests,
        "{clients} {requests}"
    );
    assert_eq!(smallest.limits, script.limits);
    assert_eq!(smallest.seed, script.seed);

    // The first steps are the same with one job as with three.
    let [one, three] = [1, 3].map(|jobs| {
        let shrinker = Shrinker::default()
            .jobs(std::num::NonZeroUsize::new(jobs).unwrap())
            .budget(Budget {
                candidates: 6,
                ..Budget::default()
            });
        shrink(script.clone(), Some(FINGERPRINT), shrinker, |_| {}).unwrap()
    });
    assert_eq!(one, three);
}

fn what_holds_cannot_be_shrunk() {
    let refused = shrink(Script::calm(1), None, Shrinker::default(), |_| {});
    assert!(
        matches!(refused, Err(Error::NothingToShrink { .. })),
        "{refused:?}"
    );
    let refused = shrink(forgetful(0), Some("books/audit"), Shrinker::default(), |_| {});
    let refused = refused.unwrap_err().to_string();
    assert!(
        refused.contains("does not fail as books/audit") || refused.contains("does not fail with"),
        "{refused}"
    );
}

/// What fails here is decided by the script alone, so that it is known what has to be left.
fn a_fault_everywhere_is_narrowed_to_the_host_that_matters() {
    let seconds = Duration::from_secs;
    let script = Script {
        gateways: 3,
        plan: Plan {
            faults: vec![
                Fault::pause("*").at(seconds(10)).lasting(seconds(5)),
                Fault::kill("gateway-us-west-2-2").at(seconds(12)),
            ],
        },
        handovers: vec![Handover {
            at: seconds(20),
            to: "us-west-2".to_owned(),
        }],
        ..Script::calm(1)
    };
    let smallest = |needs: fn(&str) -> bool| {
        let run = |script: &Script| {
            let planned = script.plan.faults.iter();
            let pauses = planned.filter(|planned| planned.fault.kind() == "process-pause");
            let mut places = pauses.flat_map(|planned| planned.fault.places());
            places.any(needs) && stage::check(script).is_ok()
        };
        let failed = |fate: &Fate<bool>| match fate.answer() {
            Some(true) => vec!["paused/there".to_owned()],
            _ => Vec::new(),
        };
        let shrunk = Shrinker::default()
            .shrink(script.clone(), None, run, failed, |_| {})
            .unwrap();
        assert_eq!(shrunk.stopped, Stopped::Minimal);
        shrunk.smallest
    };
    let of_one = smallest(|place| ["*", "us-west-2", "sqs-us-west-2"].contains(&place));
    assert_eq!(of_one.plan.faults.len(), 1, "{:?}", of_one.plan);
    assert_eq!(of_one.plan.faults[0].fault, Fault::pause("sqs-us-west-2"));
    assert_eq!((of_one.gateways, of_one.handovers.len()), (1, 0));
    // A gateway gives way to the first one where any will do.
    let of_gateway = smallest(|place| {
        place == "*" || place.starts_with("us-east-2") || place.starts_with("gateway-us-east-2")
    });
    assert_eq!(
        of_gateway.plan.faults[0].fault,
        Fault::pause("gateway-us-east-2-0")
    );
    assert_eq!(of_gateway.gateways, 1);
    // What needs the whole Region keeps it.
    let of_region = smallest(|place| ["*", "us-east-2"].contains(&place));
    assert_eq!(of_region.plan.faults[0].fault, Fault::pause("us-east-2"));
}
