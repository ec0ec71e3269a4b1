//! Delta debugging finds the known minimum, the same one with any number of jobs, and never another bug's.

use std::collections::BTreeSet;
use std::fmt;
use std::num::NonZeroUsize;

use serde::{Deserialize, Serialize};
use sumzero_sim::Error;
use sumzero_sim::campaign::Fate;
use sumzero_sim::campaign::shrink::{Budget, Shrink, Shrinker, Shrunk, Stopped};

super::tests![
    the_known_minimum_is_found,
    the_way_is_the_same_with_any_number_of_jobs,
    another_bug_is_not_taken_for_it,
    a_crash_can_be_shrunk_too,
    a_budget_ends_it_and_says_so,
    what_does_not_fail_is_refused,
];

/// A machine with switches and a dial.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Machine {
    switches: BTreeSet<u32>,
    dial: u32,
}

#[derive(Clone)]
enum Edit {
    Off(u32),
    Dial(u32),
}

impl fmt::Display for Edit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Edit::Off(switch) => write!(f, "without switch {switch}"),
            Edit::Dial(to) => write!(f, "dial at {to}"),
        }
    }
}

impl Shrink for Machine {
    type Edit = Edit;

    const PASSES: &'static [&'static str] = &["switches", "dial"];

    fn edits(&self, pass: usize) -> Vec<Edit> {
        match pass {
            0 => self.switches.iter().copied().map(Edit::Off).collect(),
            _ => vec![
                Edit::Dial(0),
                Edit::Dial(self.dial / 2),
                Edit::Dial(self.dial.saturating_sub(1)),
            ],
        }
    }

    fn with(&self, edits: &[Edit]) -> Machine {
        let mut machine = self.clone();
        for edit in edits {
            match edit {
                Edit::Off(switch) => {
                    machine.switches.remove(switch);
                }
                Edit::Dial(to) => machine.dial = machine.dial.min(*to),
            }
        }
        machine
    }
}

fn large() -> Machine {
    Machine {
        switches: (0..40).collect(),
        dial: 1_000,
    }
}

/// Burns with switches 3 and 31 on and the dial at 77 or more; leaks whenever switch 3 is off and 5 is on.
fn run(machine: &Machine) -> Vec<String> {
    let on = |switch| machine.switches.contains(&switch);
    let mut shown = Vec::new();
    if on(3) && on(31) && machine.dial >= 77 {
        shown.push("burns".to_owned());
    }
    if !on(3) && on(5) {
        shown.push("leaks".to_owned());
    }
    shown
}

fn fingerprints(fate: &Fate<Vec<String>>) -> Vec<String> {
    match fate {
        Fate::Finished(shown) => shown.clone(),
        Fate::Panicked { message } => vec![format!("panics: {message}")],
        other => panic!("{other}"),
    }
}

fn shrink(
    jobs: usize,
    budget: Budget,
    start: Machine,
    wanted: Option<&str>,
) -> Result<Shrunk<Machine>, Error> {
    let shrinker = Shrinker::default()
        .jobs(NonZeroUsize::new(jobs).unwrap())
        .budget(budget);
    shrinker.shrink(start, wanted, run, fingerprints, |_| {})
}

fn minimum() -> Machine {
    Machine {
        switches: [3, 31].into(),
        dial: 77,
    }
}

fn the_known_minimum_is_found() {
    let shrunk = shrink(2, Budget::default(), large(), None).unwrap();
    assert_eq!(shrunk.smallest, minimum());
    assert_eq!(shrunk.fingerprint, "burns");
    assert_eq!(shrunk.stopped, Stopped::Minimal);
    let off = shrunk.kept.iter().filter(|kept| kept.pass == "switches").count();
    assert_eq!(off, 38);
    assert!(
        shrunk.kept.iter().any(|kept| kept.edit == "dial at 77"),
        "{:?}",
        shrunk.kept
    );
    // What a smaller one made idle is not told.
    let dials = shrunk.kept.iter().filter(|kept| kept.pass == "dial");
    let first: Vec<&str> = dials.map(|kept| &*kept.edit).take(2).collect();
    assert_eq!(first, ["dial at 500", "dial at 250"]);
    // One by one would take 38 tries for the switches and 923 for the dial.
    assert!(shrunk.tried < 150, "{}", shrunk.tried);
    let again = shrink(2, Budget::default(), shrunk.smallest, Some("burns")).unwrap();
    assert_eq!((again.smallest, again.kept.len()), (minimum(), 0));
}

fn the_way_is_the_same_with_any_number_of_jobs() {
    for budget in [
        Budget::default(),
        Budget {
            candidates: 17,
            ..Budget::default()
        },
    ] {
        let alone = shrink(1, budget, large(), None).unwrap();
        assert_eq!(alone, shrink(3, budget, large(), None).unwrap());
    }
}

/// Switch 5 without 3 fails as well, and with fewer switches: which must not be mistaken for the failure that was asked for.
fn another_bug_is_not_taken_for_it() {
    let shrunk = shrink(2, Budget::default(), large(), Some("burns")).unwrap();
    assert_eq!(shrunk.smallest, minimum());
    assert!(shrunk.others["leaks"] > 0);
    let mut without = large();
    without.switches.remove(&3);
    let leaking = shrink(2, Budget::default(), without, None).unwrap();
    let switches: Vec<u32> = leaking.smallest.switches.into_iter().collect();
    assert_eq!((leaking.fingerprint.as_str(), switches), ("leaks", vec![5]));
}

fn a_crash_can_be_shrunk_too() {
    let crash = |machine: &Machine| {
        assert!(!machine.switches.contains(&9), "switch nine");
        Vec::new()
    };
    // The place of the panic is part of its message.
    let shrunk = Shrinker::default()
        .shrink(large(), None, crash, fingerprints, |_| {})
        .unwrap();
    assert_eq!(shrunk.smallest.switches, [9].into());
    assert_eq!(shrunk.smallest.dial, 0);
}

fn a_budget_ends_it_and_says_so() {
    let budget = Budget {
        candidates: 5,
        ..Budget::default()
    };
    let shrunk = shrink(3, budget, large(), None).unwrap();
    assert_eq!((shrunk.tried, shrunk.stopped), (5, Stopped::Candidates));
    assert!(run(&shrunk.smallest).contains(&"burns".to_owned()));
    let budget = Budget {
        real_time: std::time::Duration::ZERO,
        ..Budget::default()
    };
    let shrunk = shrink(3, budget, large(), None).unwrap();
    assert_eq!((shrunk.smallest, shrunk.stopped), (large(), Stopped::RealTime));
}

fn what_does_not_fail_is_refused() {
    let mut calm = large();
    calm.dial = 0;
    let error = shrink(2, Budget::default(), calm, None).unwrap_err().to_string();
    assert!(error.contains("does not fail with this build"), "{error}");
    let error = shrink(2, Budget::default(), large(), Some("sinks"))
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("not fail as sinks") && error.contains("burns"),
        "{error}"
    );
}
