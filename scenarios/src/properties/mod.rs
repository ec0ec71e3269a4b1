//! What must be true whatever happens, one file a property. Each reads a [`History`] and nothing else, so that a recorded one
//! can be judged again.

mod answers;
mod books;
mod captures;
mod events;
mod quiescence;

use serde::{Deserialize, Serialize};

use crate::history::History;

/// A property and what it means.
#[derive(Clone, Copy, Debug)]
pub struct Property {
    /// Its name.
    pub name: &'static str,
    /// What it means, in a sentence.
    pub meaning: &'static str,
    check: fn(&History) -> Vec<String>,
}

/// All properties.
pub const PROPERTIES: [Property; 5] = [
    captures::PROPERTY,
    books::PROPERTY,
    answers::PROPERTY,
    events::PROPERTY,
    quiescence::PROPERTY,
];

/// A property that does not hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Violation {
    /// Which.
    pub property: String,
    /// What shows it.
    pub evidence: String,
}

/// Judges a history: everything in it that should not be.
pub fn judge(history: &History) -> Vec<Violation> {
    let found = PROPERTIES.iter().flat_map(|property| {
        let evidence = (property.check)(history).into_iter();
        evidence.map(|evidence| Violation {
            property: property.name.to_owned(),
            evidence,
        })
    });
    found.collect()
}
