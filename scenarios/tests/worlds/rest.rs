//! A world that does not come to rest in the time that it has.

use std::time::Duration;

use scenarios::{
    script::{Limits, Script, Workload},
    stage::perform,
    verdict::Verdict,
};
use sumzero_sim::trace::Sink;

use crate::{Test, faults::seeds};

pub(crate) const TESTS: &[Test] = &[(
    "what_clients_are_told_last_is_in_the_books",
    what_clients_are_told_last_is_in_the_books,
)];

/// Clients that are not done in time stop, so that nothing is told to them that the books do not have yet: all that is found is
/// that it took too long.
fn what_clients_are_told_last_is_in_the_books() {
    for seed in seeds(1) {
        let script = Script {
            scenario: "no-rest".to_owned(),
            workload: Workload {
                clients: 2,
                requests: 1_000,
                over: Duration::from_secs(6),
                ..Workload::default()
            },
            limits: Limits {
                rest: Duration::from_secs(6),
                ..Limits::default()
            },
            ..Script::calm(seed)
        };
        let performed = perform(&script, Sink::Off);
        let verdict = Verdict::of(&script, &performed);
        let found = verdict.violations().iter();
        let found: Vec<_> = found
            .map(|found| (found.fingerprint(), found.evidence.clone()))
            .collect();
        assert_eq!(found.len(), 1, "seed {seed}: {found:?}");
        let (fingerprint, evidence) = &found[0];
        assert_eq!(fingerprint, "quiescence/not-at-rest");
        assert!(evidence.contains("clients still asking"), "{evidence}");

        let history = performed.expect("it came to its end").history;
        let end = history.quiet_from_nanos + script.limits.rest.as_nanos() as u64;
        let last = history.attempts.iter().map(|attempt| attempt.at_nanos).max();
        let (last, told) = (last.expect("somebody asked"), history.told.len());
        println!("  {told} answers; time was over at {end} ns, the last attempt at {last} ns");
        // A look at the books may last from before the end until after it.
        assert!(last < end + 5_000_000_000);
    }
}
