//! What a world came to.

use serde::{Deserialize, Serialize};

use crate::kernel::Stats;
use crate::time::Time;
use crate::trace::{Event, TraceHash};

/// How a run ended and what can be said of it.
#[derive(Debug)]
pub struct Outcome {
    /// The seed.
    pub seed: u64,
    /// How far it came, in true time.
    pub finished_at: Time,
    /// The rolling hash over all events: the same for every run of this program, world and seed.
    pub trace_hash: TraceHash,
    /// How many events there were.
    pub events: u64,
    /// Counters.
    pub stats: Stats,
    /// Every fault of the plan with how often it bit.
    pub faults: Vec<FaultReport>,
    /// Every host with how it stood at the end.
    pub hosts: Vec<HostReport>,
    /// The events, when the world was given [`Sink::Memory`](crate::trace::Sink::Memory).
    pub trace: Vec<Event>,
}

/// What became of a planned fault.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FaultReport {
    /// The fault, in words.
    pub what: String,
    /// How often it changed what happened: messages it touched, processes it stopped, looks at a clock it had
    /// set wrong. A fault that never bit has tested nothing.
    pub bites: u64,
}

/// How a host stood at the end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostReport {
    /// Its name.
    pub name: String,
    /// The Region that it stands in.
    pub region: String,
    /// How often its process was started.
    pub starts: u32,
    /// What its process was doing.
    pub state: HostState,
}

/// How a host stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HostState {
    /// Its process runs, or is paused.
    Running,
    /// Its program ended without an error.
    Ended,
    /// Its program ended with an error, or panicked.
    Failed {
        /// Why.
        message: String,
    },
    /// A fault keeps its process or its machine down.
    Down,
}

impl Outcome {
    /// The host of this name.
    pub fn host(&self, name: &str) -> Option<&HostReport> {
        self.hosts.iter().find(|host| host.name == name)
    }
}
