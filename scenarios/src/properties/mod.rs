//! What must be true of every run, one file a property. Each reads a [`History`] and what was promised, and nothing else, so
//! that a recorded run can be judged again.

mod amplification;
mod answers;
mod books;
mod breakers;
mod captures;
mod conflicts;
mod events;
mod fencing;
mod freezes;
mod gate;
mod latency;
mod outage;
mod quiescence;
mod reconciliation;
mod telemetry;

use serde::{Deserialize, Serialize};

use crate::{history::History, script::Limits};

/// A property and what it means.
#[derive(Clone, Copy, Debug)]
pub struct Property {
    /// Its name.
    pub name: &'static str,
    /// What it means, in a sentence.
    pub meaning: &'static str,
    check: fn(&History, &Limits) -> Vec<Finding>,
}

/// All properties.
pub const PROPERTIES: &[Property] = &[
    captures::PROPERTY,
    books::PROPERTY,
    answers::PROPERTY,
    gate::PROPERTY,
    fencing::PROPERTY,
    events::PROPERTY,
    freezes::PROPERTY,
    quiescence::PROPERTY,
    reconciliation::PROPERTY,
    telemetry::PROPERTY,
    outage::PROPERTY,
    latency::PROPERTY,
    conflicts::PROPERTY,
    amplification::PROPERTY,
    breakers::PROPERTY,
];

/// Something that should not be.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Finding {
    /// Which way of failing it is: the same words for every run that fails so.
    place: &'static str,
    /// What shows it.
    evidence: String,
    /// Payments, keys and hosts that it is about.
    subjects: Vec<String>,
}

impl Finding {
    fn new(
        place: &'static str,
        evidence: String,
        subjects: impl IntoIterator<Item = impl Into<String>>,
    ) -> Self {
        Self {
            place,
            evidence,
            subjects: subjects.into_iter().map(Into::into).collect(),
        }
    }
}

/// A measure above what was promised of it. What nothing was promised of is not judged.
fn above<T: PartialOrd + Copy>(
    place: &'static str,
    measured: T,
    limit: Option<T>,
    evidence: impl FnOnce(T, T) -> String,
) -> Vec<Finding> {
    let exceeded = limit.filter(|limit| measured > *limit);
    let found = exceeded.map(|limit| Finding::new(place, evidence(measured, limit), [] as [&str; 0]));
    found.into_iter().collect()
}

/// A property that does not hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Violation {
    /// Which.
    pub property: String,
    /// Which way of failing it is: the same words for every run that fails so.
    pub place: String,
    /// What shows it.
    pub evidence: String,
    /// Payments, keys and hosts that it is about.
    pub subjects: Vec<String>,
}

impl Violation {
    /// The kind of failure: the same for every run that fails in the same way.
    pub fn fingerprint(&self) -> String {
        format!("{}/{}", self.property, self.place)
    }
}

/// Judges a history by what was promised: everything in it that should not be.
pub fn judge(history: &History, limits: &Limits) -> Vec<Violation> {
    let found = PROPERTIES.iter().flat_map(|property| {
        let findings = (property.check)(history, limits).into_iter();
        findings.map(|finding| Violation {
            property: property.name.to_owned(),
            place: finding.place.to_owned(),
            evidence: finding.evidence,
            subjects: finding.subjects,
        })
    });
    found.collect()
}
