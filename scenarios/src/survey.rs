//! What many seeds came to, taken together: counted by scenario, failures grouped by kind, what was reached and what was not.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sumzero_sim::campaign::Fate;

use crate::{
    ending::Ending,
    reach::REACH_POINTS,
    verdict::{Conclusion, Verdict},
};

/// One seed of one scenario: a line of `results.jsonl`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SurveyLine {
    /// The scenario.
    pub scenario: String,
    /// The seed.
    pub seed: u64,
    /// What became of it.
    pub fate: Fate<Verdict>,
    /// The real time that it took, in milliseconds.
    pub took_ms: u64,
}

impl SurveyLine {
    /// The kinds of failure that it shows, each with what shows it.
    pub fn failures(&self) -> BTreeMap<String, String> {
        match (&self.fate, Ending::of_process(&self.fate)) {
            (Fate::Finished(verdict), _) => verdict.failures(),
            (_, ending) => ending
                .map(|ending| (ending.fingerprint, ending.why))
                .into_iter()
                .collect(),
        }
    }

    /// The command that runs it again.
    pub fn replay(&self) -> String {
        replay(&self.scenario, self.seed)
    }
}

/// The command that runs a seed again.
pub fn replay(scenario: &str, seed: u64) -> String {
    format!("sumzero run {scenario} --seed {seed}")
}

/// What many seeds came to.
#[derive(Clone, Debug, Default)]
pub struct Survey {
    /// By scenario, in the order of their names.
    pub scenarios: BTreeMap<String, Tally>,
    /// By kind of failure.
    pub failures: BTreeMap<String, Failures>,
    /// How often each reach point was reached: in how many seeds.
    pub reached: BTreeMap<String, u64>,
    /// How often a fault was planned, and how often it bit, by its kind.
    pub faults: BTreeMap<String, (u64, u64)>,
    /// Confirmed requests.
    pub confirmed: u64,
    /// Real time of all seeds, in milliseconds.
    pub took_ms: u64,
}

/// Seeds of a scenario.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// All properties held.
    pub held: u64,
    /// Some did not.
    pub violated: u64,
    /// It could not be told: the world did not end, or its process did not.
    pub unknown: u64,
    /// Confirmed requests.
    pub confirmed: u64,
    /// The largest 99th percentile, in nanoseconds.
    pub p99_nanos: u64,
    /// The longest outage, in nanoseconds.
    pub longest_outage_nanos: u64,
}

/// A kind of failure.
#[derive(Clone, Debug)]
pub struct Failures {
    /// The run of it that took the least real time, and how long that took in milliseconds.
    pub fastest: (String, u64, u64),
    /// What shows it there.
    pub evidence: String,
    /// How many seeds fail so.
    pub seeds: u64,
}

impl Survey {
    /// Adds a seed.
    pub fn add(&mut self, line: &SurveyLine) {
        self.took_ms += line.took_ms;
        for (fingerprint, evidence) in line.failures() {
            self.fail(&fingerprint, line, &evidence);
        }
        let tally = self.scenarios.entry(line.scenario.clone()).or_default();
        let Fate::Finished(verdict) = &line.fate else {
            tally.unknown += 1;
            return;
        };
        match &verdict.conclusion {
            Conclusion::Held => tally.held += 1,
            Conclusion::Violated(_) => tally.violated += 1,
            Conclusion::Unknown(_) => tally.unknown += 1,
        }
        let measures = &verdict.measures;
        tally.confirmed += measures.confirmed;
        tally.p99_nanos = tally.p99_nanos.max(measures.p99_nanos);
        tally.longest_outage_nanos = tally.longest_outage_nanos.max(measures.longest_outage_nanos);
        self.confirmed += measures.confirmed;
        for point in &verdict.reached {
            *self.reached.entry(point.clone()).or_default() += 1;
        }
        for fault in &verdict.faults {
            let (planned, bit) = self.faults.entry(fault.kind.clone()).or_default();
            *planned += 1;
            *bit += u64::from(fault.bites > 0);
        }
    }

    fn fail(&mut self, fingerprint: &str, line: &SurveyLine, evidence: &str) {
        let this = (line.scenario.clone(), line.seed, line.took_ms);
        let failures = self
            .failures
            .entry(fingerprint.to_owned())
            .or_insert_with(|| Failures {
                fastest: this.clone(),
                evidence: evidence.to_owned(),
                seeds: 0,
            });
        failures.seeds += 1;
        if this.2 < failures.fastest.2 {
            failures.fastest = this;
            evidence.clone_into(&mut failures.evidence);
        }
    }

    /// Seeds in all.
    pub fn seeds(&self) -> u64 {
        let tallies = self.scenarios.values();
        tallies
            .map(|tally| tally.held + tally.violated + tally.unknown)
            .sum()
    }

    /// Reach points that no seed reached.
    pub fn never_reached(&self) -> Vec<&'static str> {
        let points = REACH_POINTS.iter().map(|point| point.name);
        points.filter(|name| !self.reached.contains_key(*name)).collect()
    }

    /// 0 if all seeds held, 1 if some did not, 2 if the rest held and some could not be told.
    pub fn exit_code(&self) -> u8 {
        let any = |count: fn(&Tally) -> u64| self.scenarios.values().any(|tally| count(tally) > 0);
        match () {
            () if any(|tally| tally.violated) => 1,
            () if any(|tally| tally.unknown) || self.seeds() == 0 => 2,
            () => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{properties::Violation, verdict::Measures};

    fn line(seed: u64, took_ms: u64, conclusion: Conclusion) -> SurveyLine {
        let verdict = Verdict {
            scenario: "s".to_owned(),
            seed,
            conclusion,
            trace_hash: None,
            measures: Measures::default(),
            reached: vec!["declined".to_owned()],
            faults: Vec::new(),
            hosts: Vec::new(),
        };
        SurveyLine {
            scenario: "s".to_owned(),
            seed,
            fate: Fate::Finished(verdict),
            took_ms,
        }
    }

    fn violated() -> Conclusion {
        let violation = Violation {
            property: "captures".to_owned(),
            place: "done-twice".to_owned(),
            evidence: "twice".to_owned(),
            subjects: Vec::new(),
        };
        Conclusion::Violated(vec![violation.clone(), violation])
    }

    #[test]
    fn failures_of_a_kind_are_one_with_the_fastest_first() {
        let mut survey = Survey::default();
        assert_eq!(survey.exit_code(), 2);
        survey.add(&line(1, 10, Conclusion::Held));
        assert_eq!(survey.exit_code(), 0);
        let ending = Ending {
            fingerprint: "client/unfinished".to_owned(),
            why: "why".to_owned(),
        };
        survey.add(&line(2, 10, Conclusion::Unknown(ending)));
        assert_eq!(survey.exit_code(), 2);
        survey.add(&line(3, 30, violated()));
        survey.add(&line(4, 20, violated()));
        assert_eq!(survey.exit_code(), 1);
        let failures = &survey.failures["captures/done-twice"];
        assert_eq!((failures.seeds, failures.fastest.1), (2, 4));
        assert_eq!(survey.failures["client/unfinished"].fastest.1, 2);
        // A process that hung is no process that panicked.
        let limit = std::time::Duration::from_secs(300);
        let message = "no such row".to_owned();
        for fate in [Fate::Hung { limit }, Fate::Panicked { message }] {
            survey.add(&SurveyLine {
                fate,
                ..line(5, 10, Conclusion::Held)
            });
        }
        assert_eq!(survey.failures["process/hung"].seeds, 1);
        assert_eq!(survey.failures["process/panicked-no-such-row"].seeds, 1);
        assert!(!survey.never_reached().contains(&"declined"));
        assert!(survey.never_reached().contains(&"limbo"));
    }
}
