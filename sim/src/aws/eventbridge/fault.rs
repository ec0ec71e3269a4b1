//! How EventBridge itself may misbehave, as data. What may happen to any request is `crate::aws::wire`'s.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

/// Faults of events and of their delivery. All off by default.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Faults {
    /// The chance, 0 to 1, that a good entry of a `PutEvents` fails alone, with `InternalFailure`.
    pub entry_failure: f64,
    /// The chance, 0 to 1, that an event is delivered to a target a second time.
    pub duplicate: f64,
    /// The least milliseconds from an event to its first delivery, 0 to 600,000.
    pub delivery_ms_min: u64,
    /// The most, `delivery_ms_min` to 600,000; drawn evenly for each delivery, so that events overtake each other.
    pub delivery_ms_max: u64,
    /// Queues to which no delivery succeeds for now; deliveries are retried.
    pub target_outage: BTreeSet<String>,
}

impl Faults {
    /// Refuses a number outside its range, by name.
    ///
    /// # Errors
    /// Which number, and its range.
    pub fn check(&self) -> Result<(), String> {
        for (name, chance) in [
            ("entry_failure", self.entry_failure),
            ("duplicate", self.duplicate),
        ] {
            if !(0.0..=1.0).contains(&chance) {
                return Err(format!("{name} is {chance}, not within 0 to 1"));
            }
        }
        if self.delivery_ms_min > self.delivery_ms_max || self.delivery_ms_max > 600_000 {
            return Err(
                "delivery_ms_min and delivery_ms_max must rise and stay within 0 to 600,000".to_owned(),
            );
        }
        Ok(())
    }
}
