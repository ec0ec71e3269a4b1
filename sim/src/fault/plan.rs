//! A plan: which fault sets in when, and for how long.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Fault;
use crate::error::Error;
use crate::net::Topology;
use crate::units;
use crate::world::Services;

/// A fault with its time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlannedFault {
    /// When it sets in, in true time after the world begins.
    #[serde(with = "units::duration")]
    pub at: Duration,
    /// How long it lasts; none is to the end of the world. Instant faults have none.
    #[serde(
        with = "units::optional_duration",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    pub lasting: Option<Duration>,
    /// What goes wrong.
    pub fault: Fault,
}

impl PlannedFault {
    /// The same fault, ending this long after it set in.
    pub fn lasting(self, duration: Duration) -> PlannedFault {
        PlannedFault {
            lasting: Some(duration),
            ..self
        }
    }

    pub(crate) fn check(&self, topology: &Topology, services: &Services) -> Result<(), Error> {
        self.fault.check(topology)?;
        services.check(&self.fault)?;
        if let (Some(lasting), true) = (self.lasting, self.fault.is_instant()) {
            return Err(Error::OutOfRange {
                what: self.fault.to_string(),
                field: "lasting",
                value: humantime::format_duration(lasting).to_string(),
                range: "absent: this fault is over as soon as it has happened",
            });
        }
        Ok(())
    }
}

/// All the faults of a run, in the order in which they are numbered.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Plan {
    /// The faults; their order is no matter but for their numbers in the trace.
    pub faults: Vec<PlannedFault>,
}

impl Plan {
    /// Reads a plan from JSON. Unknown faults, unknown fields and negative durations are refused by name.
    pub fn from_json(text: &str) -> Result<Plan, Error> {
        serde_json::from_str(text).map_err(|error| Error::Plan(error.to_string()))
    }

    /// Writes the plan as JSON, one fault a line, so that plans can be compared and edited by hand.
    pub fn to_json(&self) -> String {
        let faults = self.faults.iter().map(|fault| {
            serde_json::to_string(fault)
                .expect("a fault is a tree of strings and numbers, which JSON can hold")
        });
        format!("[\n  {}\n]\n", faults.collect::<Vec<_>>().join(",\n  "))
    }

    pub(crate) fn check(&self, topology: &Topology, services: &Services) -> Result<(), Error> {
        for (index, planned) in self.faults.iter().enumerate() {
            planned.check(topology, services).map_err(|source| Error::Fault {
                index,
                source: Box::new(source),
            })?;
        }
        Ok(())
    }
}
