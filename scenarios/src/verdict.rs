//! What one run came to: judged, measured, small enough to keep for every seed of a campaign.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    time::Duration,
};

use serde::{Deserialize, Serialize};
use sumzero_sim::{FaultReport, HostReport, PlannedFault, trace::Sink};

use crate::{
    ending::Ending,
    history::History,
    properties::{Violation, judge},
    reach::reached,
    script::Script,
    stage::{Performance, perform},
};

/// What one run came to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Verdict {
    /// The scenario.
    pub scenario: String,
    /// The seed.
    pub seed: u64,
    /// What can be said.
    pub conclusion: Conclusion,
    /// The hash over all events, in hexadecimal; none if the world did not come to its end.
    pub trace_hash: Option<String>,
    /// Numbers.
    pub measures: Measures,
    /// The reach points that it reached.
    pub reached: Vec<String>,
    /// Every fault of the plan with how often it bit.
    pub faults: Vec<FaultVerdict>,
    /// Every host with how it stood at the end.
    pub hosts: Vec<HostReport>,
}

/// What became of a planned fault.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FaultVerdict {
    /// Its kind, as scenario files name it.
    pub kind: String,
    /// The fault, in words.
    pub what: String,
    /// How often it changed what happened. A fault that never bit has tested nothing.
    pub bites: u64,
}

/// What can be said of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Conclusion {
    /// All properties hold.
    Held,
    /// Some do not.
    Violated(Vec<Violation>),
    /// It cannot be told, and why: the world did not come to its end.
    Unknown(Ending),
}

impl Conclusion {
    /// Judges a history by a script's properties and limits.
    pub fn of(script: &Script, history: &History) -> Self {
        let mut violations = judge(history, &script.limits);
        violations.retain(|violation| {
            script.properties.is_empty() || script.properties.contains(&violation.property)
        });
        if violations.is_empty() {
            Self::Held
        } else {
            Self::Violated(violations)
        }
    }
}

impl fmt::Display for Conclusion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Held => f.write_str("held: all properties"),
            Self::Violated(violations) => {
                let properties: BTreeSet<_> =
                    violations.iter().map(|violation| &*violation.property).collect();
                let properties: Vec<_> = properties.into_iter().collect();
                write!(f, "violated: {}", properties.join(", "))
            }
            Self::Unknown(why) => write!(f, "could not tell: {why}"),
        }
    }
}

/// Numbers of a run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Measures {
    /// How far the world came, in nanoseconds of true time.
    pub finished_at_nanos: u64,
    /// Events of the world.
    pub events: u64,
    /// Requests with a final answer.
    pub confirmed: u64,
    /// Requests refused by a rule.
    pub refused: u64,
    /// Times that clients asked while there were faults.
    pub attempts: u64,
    /// Of these, answered 409, in parts of a million.
    pub conflict_ppm: u32,
    /// How long confirmed attempts took: the median, in nanoseconds.
    pub p50_nanos: u64,
    /// The same, the 99th percentile.
    pub p99_nanos: u64,
    /// The longest time without a confirmed request while somebody asked, in nanoseconds.
    pub longest_outage_nanos: u64,
}

impl Verdict {
    /// The verdict on what was performed.
    pub fn of(script: &Script, performed: &Result<Performance, sumzero_sim::Error>) -> Self {
        let (scenario, seed) = (script.scenario.clone(), script.seed);
        match performed {
            Ok(Performance { history, outcome }) => {
                let mut measures = Measures::of(history);
                measures.finished_at_nanos = outcome.finished_at.as_nanos();
                measures.events = outcome.events;
                Self {
                    scenario,
                    seed,
                    conclusion: Conclusion::of(script, history),
                    trace_hash: Some(outcome.trace_hash.to_string()),
                    measures,
                    reached: reached(history),
                    faults: faults(script, &outcome.faults),
                    hosts: outcome.hosts.clone(),
                }
            }
            Err(error) => Self {
                scenario,
                seed,
                conclusion: Conclusion::Unknown(Ending::of_world(error)),
                trace_hash: None,
                measures: Measures::default(),
                reached: Vec::new(),
                faults: Vec::new(),
                hosts: Vec::new(),
            },
        }
    }

    /// Performs a script and judges it.
    pub fn reach(script: &Script) -> Self {
        Self::of(script, &perform(script, Sink::Off))
    }

    /// What does not hold.
    pub fn violations(&self) -> &[Violation] {
        match &self.conclusion {
            Conclusion::Violated(violations) => violations,
            Conclusion::Held | Conclusion::Unknown(_) => &[],
        }
    }

    /// The kinds of failure, each with what shows it first: property and place, or how the world ended before its time. The same
    /// for every seed that fails in the same way.
    pub fn failures(&self) -> BTreeMap<String, String> {
        let mut failures = BTreeMap::new();
        for violation in self.violations() {
            let first = failures.entry(violation.fingerprint());
            first.or_insert_with(|| violation.evidence.clone());
        }
        if let Conclusion::Unknown(ending) = &self.conclusion {
            failures.insert(ending.fingerprint.clone(), ending.why.clone());
        }
        failures
    }

    /// The kinds of failure in the order of the properties: the gravest first.
    pub fn fingerprints(&self) -> Vec<String> {
        let mut fingerprints = Vec::new();
        for violation in self.violations() {
            let fingerprint = violation.fingerprint();
            if !fingerprints.contains(&fingerprint) {
                fingerprints.push(fingerprint);
            }
        }
        if let Conclusion::Unknown(ending) = &self.conclusion {
            fingerprints.push(ending.fingerprint.clone());
        }
        fingerprints
    }
}

fn faults(script: &Script, reports: &[FaultReport]) -> Vec<FaultVerdict> {
    let planned = script.plan.faults.iter().zip(reports);
    let verdict = |(planned, report): (&PlannedFault, &FaultReport)| FaultVerdict {
        kind: planned.fault.kind(),
        what: report.what.clone(),
        bites: report.bites,
    };
    planned.map(verdict).collect()
}

impl Measures {
    /// What a history says.
    pub fn of(history: &History) -> Self {
        let confirmed = |status: Option<u16>| status.is_some_and(|status| status < 300 || status == 402);
        let mut took: Vec<Duration> = history
            .attempts
            .iter()
            .filter(|attempt| confirmed(attempt.status))
            .map(|attempt| attempt.took)
            .collect();
        took.sort();
        let percentile = |part: f64| {
            let place = (took.len() as f64 * part).ceil() as usize;
            let duration = took.get(place.saturating_sub(1)).copied().unwrap_or_default();
            nanos(duration)
        };
        let conflicts = history
            .attempts
            .iter()
            .filter(|attempt| attempt.status == Some(409));
        let all = history.attempts.len().max(1);
        Self {
            finished_at_nanos: 0,
            events: 0,
            confirmed: history.told.iter().filter(|told| told.is_final()).count() as u64,
            refused: history.told.iter().filter(|told| !told.is_final()).count() as u64,
            attempts: history.attempts.len() as u64,
            conflict_ppm: (conflicts.count() * 1_000_000 / all) as u32,
            p50_nanos: percentile(0.5),
            p99_nanos: percentile(0.99),
            longest_outage_nanos: longest_outage(history),
        }
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// The longest time without an answer that confirms or refuses, of all times during which somebody was asking: from when an
/// attempt failed, or was begun that came to nothing, to the next answer of anybody.
fn longest_outage(history: &History) -> u64 {
    let ended = |attempt: &crate::history::Attempt| attempt.at_nanos + nanos(attempt.took);
    let answered = |attempt: &&crate::history::Attempt| attempt.status.is_some_and(|status| status < 500);
    let mut answers: Vec<u64> = history.attempts.iter().filter(answered).map(ended).collect();
    answers.sort_unstable();
    let failed = history.attempts.iter().filter(|attempt| !answered(attempt));
    let outages = failed.map(|attempt| {
        let before = answers.partition_point(|answer| *answer <= attempt.at_nanos);
        let until = answers.get(before).copied().unwrap_or(ended(attempt));
        until.saturating_sub(attempt.at_nanos)
    });
    outages.max().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::Attempt;

    fn attempt(at_s: u64, took_s: u64, status: Option<u16>) -> Attempt {
        Attempt {
            at_nanos: at_s * 1_000_000_000,
            took: Duration::from_secs(took_s),
            ..Attempt::sample(status)
        }
    }

    #[test]
    fn an_outage_lasts_from_the_first_vain_attempt_to_the_next_answer() {
        let history = History {
            attempts: vec![
                attempt(1, 1, Some(201)),
                attempt(5, 2, None),
                attempt(8, 1, Some(503)),
                attempt(10, 3, Some(409)),
                attempt(14, 1, Some(201)),
            ],
            ..History::default()
        };
        let measures = Measures::of(&history);
        assert_eq!(measures.longest_outage_nanos, 8_000_000_000);
        assert_eq!(measures.conflict_ppm, 200_000);
        assert_eq!(
            (measures.p50_nanos, measures.p99_nanos),
            (1_000_000_000, 1_000_000_000)
        );
    }
}
