//! Makes a script that fails as small as it will go.
//!
//! First whole faults go (and spells of the providers, which are faults of theirs, and what the operator asks for), then what is
//! left of them strikes fewer hosts, becomes shorter, rounder and weaker, then the providers behave where it does not matter, and
//! in the end the workload shrinks: clients, requests, accounts, kinds of request, gateways. What is promised is never touched.
//!
//! The seed stays too, since randomness is split by purpose, so that what stays draws what it drew; but a failure that takes a
//! rare meeting of events can seem to need a fault that only happened to bring them together. So where more than two faults are
//! left, each of them also goes with another seed: what fails without it did not need it.
//!
//! Edits work on the script as it is written, so that a fault that is added to the vocabulary can be shrunk at once. Not
//! touched are probabilities, which decide whom a fault strikes and not how hard.

mod places;

use std::{fmt, time::Duration};

use serde_json::Value;
use sumzero_sim::{
    Error, Fault, Skew,
    campaign::{
        Fate,
        shrink::{Fingerprint, Progress, Shrink, Shrinker, Shrunk},
    },
    units,
};

use crate::{ending::Ending, externals::Behaviour, script::Script, stage, verdict::Verdict};

/// Makes a script that fails as small as it will go. `wanted` is the failure to keep; without it, the gravest one it shows.
///
/// # Errors
/// [`Error::NothingToShrink`] if it does not fail, or not in that way; those of a campaign.
pub fn shrink(
    script: Script,
    wanted: Option<&str>,
    shrinker: Shrinker,
    watch: impl FnMut(Progress<'_>),
) -> Result<Shrunk<Script>, Error> {
    // A candidate that no stage can perform, such as one without the gateway that a fault names, fails in no way.
    let run = |script: &Script| stage::check(script).is_ok().then(|| Verdict::reach(script));
    shrinker.shrink(script, wanted, run, failures, watch)
}

/// All failures in what became of a script, the gravest first: the fingerprints of its verdict, or the untimely end of its process. A script that
/// was not performed has none.
pub fn failures(fate: &Fate<Option<Verdict>>) -> Vec<Fingerprint> {
    match fate.answer() {
        Some(verdict) => verdict.as_ref().map(Verdict::fingerprints).unwrap_or_default(),
        None => Ending::of_process(fate)
            .map(|ending| ending.fingerprint)
            .into_iter()
            .collect(),
    }
}

/// One way to make a script smaller.
#[derive(Clone, Debug, PartialEq)]
pub struct Edit {
    /// The place, as a JSON pointer.
    pointer: String,
    change: Change,
    /// What it does, in words.
    words: String,
}

#[derive(Clone, Debug, PartialEq)]
enum Change {
    Gone,
    /// And everything is drawn from this seed.
    GoneAnew(u64),
    /// Unless it is as small already.
    Smaller(Value),
    Usual(Value),
    /// Unless it is as narrow already.
    Narrower(Value),
}

impl fmt::Display for Edit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.words)
    }
}

const LISTS: [&str; 4] = ["plan", "psp", "kyc", "handovers"];

/// Fewer faults than this are few enough.
const MANY_FAULTS: usize = 3;
/// So many other seeds are tried without a fault.
const OTHER_SEEDS: u64 = 8;

/// Of which there is one at the most.
const ROLLOUT: &str = "/rollout";

impl Shrink for Script {
    type Edit = Edit;

    const PASSES: &'static [&'static str] = &[
        "faults",
        "seeds",
        "places",
        "times",
        "magnitudes",
        "providers",
        "workload",
    ];

    fn edits(&self, pass: usize) -> Vec<Edit> {
        let tree = tree(self);
        let faults = LISTS.iter().flat_map(|list| {
            let entries = tree[*list].as_array().into_iter().flatten().enumerate();
            entries.map(move |(place, entry)| (*list, place, entry))
        });
        match Self::PASSES[pass] {
            "faults" => faults
                .map(|(list, place, _)| Edit {
                    pointer: format!("/{list}/{place}"),
                    change: Change::Gone,
                    words: format!("without {}", self.name(list, place)),
                })
                .chain(self.rollout.iter().map(|_| Edit {
                    pointer: ROLLOUT.to_owned(),
                    change: Change::Gone,
                    words: "without the rollout".to_owned(),
                }))
                .collect(),
            "places" => faults
                .filter(|(list, ..)| *list == "plan")
                .flat_map(|(list, place, entry)| {
                    self.narrower(&self.name(list, place), place, &entry["fault"])
                })
                .collect(),
            "times" => faults
                .flat_map(|(list, place, entry)| {
                    ["lasting", "at"].into_iter().flat_map(move |field| {
                        let name = format!("{}: {field}", self.name(list, place));
                        smaller(&format!("/{list}/{place}/{field}"), &name, &entry[field], 0.0)
                    })
                })
                .chain(["over", "at"].into_iter().flat_map(|field| {
                    let value = &tree["rollout"][field];
                    smaller(
                        &format!("{ROLLOUT}/{field}"),
                        &format!("the rollout: {field}"),
                        value,
                        0.0,
                    )
                }))
                .collect(),
            "magnitudes" => faults
                .filter(|(list, ..)| *list == "plan")
                .flat_map(|(list, place, entry)| {
                    let mut leaves = Vec::new();
                    walk(&format!("/{list}/{place}/fault"), &entry["fault"], &mut leaves);
                    let name = self.name(list, place);
                    leaves.into_iter().flat_map(move |(pointer, value)| {
                        let field = pointer.rsplit('/').next().unwrap_or_default();
                        smaller(&pointer, &format!("{name}: {field}"), value, 0.0)
                    })
                })
                .collect(),
            "providers" => faults
                .filter(|(list, ..)| ["psp", "kyc"].contains(list))
                .flat_map(|(list, place, entry)| {
                    let usual = serde_json::to_value(Behaviour::default()).unwrap_or_default();
                    let mut leaves = Vec::new();
                    walk(
                        &format!("/{list}/{place}/behaviour"),
                        &entry["behaviour"],
                        &mut leaves,
                    );
                    let edits = leaves.into_iter().filter_map(|(pointer, value)| {
                        let field = pointer.rsplit('/').next()?;
                        let usual = usual.get(field).filter(|usual| *usual != value)?.clone();
                        Some(Edit {
                            words: format!("{}: {field} {usual} and not {value}", self.name(list, place)),
                            change: Change::Usual(usual),
                            pointer,
                        })
                    });
                    edits.collect::<Vec<_>>()
                })
                .collect(),
            "seeds" => {
                let faults: Vec<_> = faults.collect();
                let many = faults.len() >= MANY_FAULTS;
                let faults = faults.iter().filter(|_| many);
                let edits = faults.flat_map(|(list, place, _)| {
                    let name = self.name(list, *place);
                    (1..=OTHER_SEEDS).map(move |step| {
                        let seed = self.seed.wrapping_add(step);
                        Edit {
                            pointer: format!("/{list}/{place}"),
                            change: Change::GoneAnew(seed),
                            words: format!("without {name}, and with seed {seed}"),
                        }
                    })
                });
                edits.collect()
            }
            _ => {
                let least = |name: &str| match name {
                    "gateways" | "clients" | "requests" | "accounts" => 1.0,
                    _ => 0.0,
                };
                let mut leaves = vec![("/gateways".to_owned(), &tree["gateways"])];
                walk("/workload", &tree["workload"], &mut leaves);
                leaves
                    .into_iter()
                    // Who waits how long, and how densely requests follow each other, is no matter of size.
                    .filter(|(pointer, _)| {
                        !["/workload/patience", "/workload/over"].contains(&pointer.as_str())
                    })
                    .flat_map(|(pointer, value)| {
                        let field = pointer.rsplit('/').next().unwrap_or_default();
                        smaller(&pointer, field, value, least(field))
                    })
                    .collect()
            }
        }
    }

    fn with(&self, edits: &[Edit]) -> Self {
        let mut script = tree(self);
        let mut gone = Vec::new();
        for edit in edits {
            match (&edit.change, script.pointer_mut(&edit.pointer)) {
                (Change::Gone, _) => gone.push(edit.pointer.as_str()),
                (Change::GoneAnew(seed), Some(_)) => {
                    gone.push(edit.pointer.as_str());
                    script["seed"] = (*seed).into();
                }
                (Change::Smaller(to), Some(value)) if size(to) < size(value) => *value = to.clone(),
                (Change::Usual(to), Some(value)) => *value = to.clone(),
                (Change::Narrower(to), Some(value)) if places::breadth(to) < places::breadth(value) => {
                    *value = to.clone();
                }
                _ => {}
            }
        }
        for list in LISTS {
            if let Some(entries) = script.get_mut(list).and_then(Value::as_array_mut) {
                let mut place = 0;
                entries.retain(|_| {
                    place += 1;
                    !gone.contains(&format!("/{list}/{}", place - 1).as_str())
                });
            }
        }
        if gone.contains(&ROLLOUT) {
            script["rollout"] = Value::Null;
        }
        // What is no script any more is no smaller one.
        serde_json::from_value(script).unwrap_or_else(|_| self.clone())
    }
}

impl Script {
    /// A fault or a spell in words.
    fn name(&self, list: &str, place: usize) -> String {
        let time = humantime::format_duration;
        match list {
            "plan" => {
                let planned = &self.plan.faults[place];
                format!("{} at {}", planned.fault, time(planned.at))
            }
            "psp" => format!("the PSP's spell at {}", time(self.psp[place].at)),
            "kyc" => format!("the KYC provider's spell at {}", time(self.kyc[place].at)),
            _ => {
                let handover = &self.handovers[place];
                format!("the handover to {} at {}", handover.to, time(handover.at))
            }
        }
    }

    /// The fault of this name and number at fewer hosts.
    fn narrower(&self, name: &str, number: usize, fault: &Value) -> Vec<Edit> {
        let pointer = format!("/plan/{number}/fault");
        let edit = |pointer: String, to: Value, shown: String| Edit {
            words: format!("{name}: {shown}"),
            change: Change::Narrower(to),
            pointer,
        };
        let mut edits = Vec::new();
        for to in places::narrower_faults(fault, self.gateways) {
            if let Ok(fault) = serde_json::from_value::<Fault>(to.clone()) {
                edits.push(edit(pointer.clone(), to, format!("{fault} instead")));
            }
        }
        for (kind, fields) in fault.as_object().into_iter().flatten() {
            for field in ["place", "from", "to"] {
                let place = fields[field].as_str().unwrap_or_default();
                for to in places::narrower(place, self.gateways) {
                    let shown = format!("{to} and not {place}");
                    edits.push(edit(format!("{pointer}/{kind}/{field}"), to.into(), shown));
                }
            }
        }
        edits
    }
}

fn tree(script: &Script) -> Value {
    serde_json::to_value(script).expect("a script is a tree of strings and numbers, which JSON can hold")
}

/// All values below a place that are numbers, durations, skews or yes and no.
fn walk<'a>(pointer: &str, value: &'a Value, leaves: &mut Vec<(String, &'a Value)>) {
    match value {
        Value::Object(members) => {
            let shrinkable = |name: &&String| !["probability", "applied", "port"].contains(&name.as_str());
            for name in members.keys().filter(shrinkable) {
                walk(&format!("{pointer}/{name}"), &members[name], leaves);
            }
        }
        leaf if size(leaf).is_some() => leaves.push((pointer.to_owned(), leaf)),
        _ => {}
    }
}

/// How much a value is: a number's amount, a duration in seconds.
fn size(value: &Value) -> Option<f64> {
    match value {
        Value::Bool(yes) => Some(f64::from(u8::from(*yes))),
        Value::Number(number) => number.as_f64().map(f64::abs),
        Value::String(text) => duration(text).map(|(_, duration)| duration.as_secs_f64()),
        _ => None,
    }
}

/// A duration, or a skew with its sign.
fn duration(text: &str) -> Option<(&str, Duration)> {
    match text.split_at_checked(1) {
        Some((sign @ ("+" | "-"), _)) => {
            let skew: Skew = text.parse().ok()?;
            Some((sign, skew.magnitude()))
        }
        _ => Some(("", units::duration::parse(text).ok()?)),
    }
}

/// Smaller values, the smallest first: none at all, the half, a little less; durations also rounder. Parts of a million are
/// halved and no more: a probability that is a little smaller tells nobody anything.
fn smaller(pointer: &str, name: &str, value: &Value, least: f64) -> Vec<Edit> {
    let candidates: Vec<Value> = match value {
        Value::Bool(true) => vec![Value::Bool(false)],
        Value::Number(number) if number.is_f64() => {
            let number = number.as_f64().unwrap_or_default();
            vec![0.0.into(), (number / 2.0).round().into()]
        }
        Value::Number(number) => {
            let number = number.as_i64().unwrap_or_default();
            let less = |by: i64| number - by.abs().max(1) * number.signum();
            // By steps of one, what is large would take a sweep for each.
            let fractions = match name.ends_with("_ppm") {
                true => vec![less(number - number / 16), less(number / 2)],
                false => [2, 4, 8, 16].map(|part| less(number / part)).to_vec(),
            };
            std::iter::once(least as i64)
                .chain(fractions)
                .map(Value::from)
                .collect()
        }
        Value::String(text) => match duration(text) {
            Some((sign, long)) => {
                let seconds = long.as_secs();
                let shorter = [long / 8, long / 2]
                    .map(|shorter| Duration::from_millis(shorter.as_millis() as u64))
                    .into_iter()
                    // To halve what is short already only takes time.
                    .filter(|_| long > Duration::from_millis(100));
                let rounder = [10, 1].map(|unit| Duration::from_secs(seconds / unit * unit));
                let all = shorter.chain(rounder).filter(|shorter| !shorter.is_zero());
                all.map(|shorter| format!("{sign}{}", humantime::format_duration(shorter)).into())
                    .collect()
            }
            None => Vec::new(),
        },
        _ => Vec::new(),
    };
    let is_smaller = |to: &Value| size(to) < size(value) && size(to) >= Some(least);
    let shown = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let edits = candidates.into_iter().filter(is_smaller).map(|to| Edit {
        pointer: pointer.to_owned(),
        words: format!("{name} {} and not {}", shown(&to), shown(value)),
        change: Change::Smaller(to),
    });
    edits.collect()
}

#[cfg(test)]
mod tests {
    use sumzero_sim::{Disk, Plan};

    use super::*;
    use crate::script::{Handover, Rollout, Spell, Workload};

    fn script() -> Script {
        let seconds = Duration::from_secs;
        let skew = Skew::behind(seconds(30));
        let region_loss = Fault::RegionLoss {
            region: "us-east-1".to_owned(),
            disk: Disk::Lost,
        };
        Script {
            psp: vec![Spell {
                at: Duration::ZERO,
                lasting: seconds(600),
                behaviour: Behaviour {
                    key_window_s: 0,
                    declined_ppm: 50_000,
                    ..Behaviour::default()
                },
            }],
            plan: Plan {
                faults: vec![
                    Fault::kill("gateway-0").at(seconds(13)).lasting(seconds(9)),
                    Fault::clock_offset("gateway-1", skew).at(Duration::from_millis(5_123)),
                    Fault::pause("*").at(seconds(1)).lasting(seconds(1)),
                    region_loss.at(seconds(2)).lasting(seconds(2)),
                ],
            },
            rollout: Some(Rollout {
                at: seconds(20),
                over: seconds(40),
            }),
            handovers: vec![Handover {
                at: seconds(40),
                to: "us-west-2".to_owned(),
            }],
            ..Script::calm(7)
        }
    }

    fn edits(script: &Script, pass: &str) -> Vec<Edit> {
        let pass = Script::PASSES.iter().position(|name| *name == pass);
        script.edits(pass.unwrap())
    }

    #[test]
    fn all_edits_together_leave_the_least() {
        let seconds = Duration::from_secs;
        let nothing = script().with(&edits(&script(), "faults"));
        assert_eq!(
            nothing,
            Script {
                scenario: nothing.scenario.clone(),
                ..Script::calm(7)
            }
        );

        let soon = script().with(&edits(&script(), "times"));
        assert_eq!(soon.plan.faults[0].at, Duration::from_millis(1_625));
        assert_eq!(soon.plan.faults[0].lasting, Some(Duration::from_millis(1_125)));
        assert_eq!(soon.plan.faults[1].lasting, None);
        let brief = Rollout {
            at: Duration::from_millis(2_500),
            over: seconds(5),
        };
        assert_eq!(soon.rollout, Some(brief));

        let weak = script().with(&edits(&script(), "magnitudes"));
        let by = Skew::behind(Duration::from_millis(3_750));
        assert_eq!(weak.plan.faults[1].fault, Fault::clock_offset("gateway-1", by));

        // Of several that are as narrow as each other the first counts.
        let narrow = script().with(&edits(&script(), "places"));
        assert_eq!(narrow.plan.faults[2].fault, Fault::pause("us-east-1"));
        let lost = Fault::MachineLoss {
            place: "gateway-us-east-1-0".to_owned(),
            disk: Disk::Lost,
        };
        assert_eq!(narrow.plan.faults[3].fault, lost);
        let narrower = narrow.with(&edits(&narrow, "places"));
        assert_eq!(narrower.plan.faults[2].fault, Fault::pause("gateway-us-east-1-0"));

        let usual = script().with(&edits(&script(), "providers"));
        assert_eq!(usual.psp[0].behaviour, Behaviour::default());

        let quiet = script().with(&edits(&script(), "workload"));
        assert_eq!(
            (quiet.gateways, quiet.workload.clients, quiet.workload.requests),
            (1, 1, 1)
        );
        assert_eq!(quiet.limits, script().limits);
    }

    /// Sweeps of the workload that a value must stay at or above, until nothing more goes: where it ends, after how many.
    fn least(start: u32, bound: u32, field: fn(&mut Workload) -> &mut u32) -> (u32, usize) {
        let mut script = script();
        *field(&mut script.workload) = start;
        for sweep in 0..100 {
            let fails = |edit: Edit| {
                let mut smaller = script.with(&[edit]);
                *field(&mut smaller.workload)
            };
            let values = edits(&script, "workload").into_iter().map(fails);
            let kept = values.filter(|value| *value >= bound).min().unwrap();
            if kept == *field(&mut script.workload) {
                return (kept, sweep);
            }
            *field(&mut script.workload) = kept;
        }
        panic!("it goes on for ever");
    }

    #[test]
    fn a_fault_of_many_goes_with_another_seed_and_one_of_few_does_not() {
        let seeds = edits(&script(), "seeds");
        // Four faults, a spell and a handover.
        assert_eq!(seeds.len() as u64, 6 * OTHER_SEEDS);
        let anew = script().with(&seeds[9..10]);
        assert_eq!((anew.seed, anew.plan.faults.len()), (9, 3));
        assert_eq!(anew.plan.faults[0], script().plan.faults[0]);
        let few = anew.with(&edits(&anew, "faults")[..3]);
        assert_eq!(edits(&few, "seeds"), []);
    }

    #[test]
    fn a_large_number_is_small_after_few_sweeps() {
        let (requests, sweeps) = least(1_000, 13, |workload| &mut workload.requests);
        assert!(requests == 13 && sweeps <= 10, "{requests} after {sweeps} sweeps");
        let (duplicates, sweeps) = least(400_000, 30_000, |workload| &mut workload.duplicate_ppm);
        assert!(
            duplicates == 50_000 && sweeps <= 3,
            "{duplicates} after {sweeps} sweeps"
        );
    }

    #[test]
    fn each_edit_says_what_it_does_and_makes_something_smaller() {
        for pass in Script::PASSES {
            for edit in edits(&script(), pass) {
                let smaller = script().with(std::slice::from_ref(&edit));
                assert_ne!(smaller, script(), "{edit}");
                assert_eq!(script().with(&[edit.clone(), edit]), smaller);
            }
        }
        let words: Vec<String> = edits(&script(), "faults").iter().map(Edit::to_string).collect();
        assert_eq!(
            words,
            [
                "without process of gateway-0 killed at 13s",
                "without clock of gateway-1 off by -30s at 5s 123ms",
                "without process of * paused at 1s",
                "without Region us-east-1 lost, with its disk at 2s",
                "without the PSP's spell at 0s",
                "without the handover to us-west-2 at 40s",
                "without the rollout"
            ]
        );
        let words = edits(&script(), "providers")[0].to_string();
        assert_eq!(words, "the PSP's spell at 0s: declined_ppm 0 and not 50000");
        let words: Vec<String> = edits(&script(), "places").iter().map(Edit::to_string).collect();
        assert_eq!(words[0], "process of * paused at 1s: us-east-1 and not *");
    }
}
