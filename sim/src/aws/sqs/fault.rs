//! How SQS itself may misbehave in delivery, as data. What may happen to a request on its way is [`crate::aws::wire::RequestFault`]'s.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::aws::wire::Stream;

/// Delivery that SQS does not promise against. All off by default.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Delivery {
    /// Standard queues: the chance, 0 to 0.5, that a delivered message comes a second time, even if it is deleted.
    pub duplicate: f64,
    /// The most milliseconds, 0 to 900,000, until that second delivery; drawn evenly from 0.
    pub duplicate_after_ms_max: u64,
    /// Standard queues: the chance, 0 to 1, that a delivery takes any visible message rather than the oldest.
    pub reorder: f64,
    /// The chance, 0 to 0.9, that a short poll finds nothing although there are messages: it asks only some of the
    /// servers that hold a queue. A long poll asks them all.
    pub short_poll_misses: f64,
}

impl Delivery {
    /// Refuses a number outside its range, by name.
    pub fn check(&self) -> Result<(), String> {
        let chances = [
            ("duplicate", self.duplicate, 0.5),
            ("reorder", self.reorder, 1.0),
            ("short_poll_misses", self.short_poll_misses, 0.9),
        ];
        for (name, value, max) in chances {
            if !(0.0..=max).contains(&value) {
                return Err(format!("{name} is {value}, not within 0 to {max}"));
            }
        }
        if self.duplicate_after_ms_max > 900_000 {
            return Err("duplicate_after_ms_max is above 900,000".to_owned());
        }
        Ok(())
    }
}

/// The draws that decide the faults, a stream for each kind.
#[derive(Debug)]
pub(super) struct Draws {
    duplicate: Stream,
    reorder: Stream,
    miss: Stream,
}

impl Draws {
    pub(super) fn new(seed: u64, place: &str) -> Self {
        let stream = |kind: &str| Stream::named(seed, &format!("{place}/{kind}"));
        Self {
            duplicate: stream("duplicate"),
            reorder: stream("reorder"),
            miss: stream("short-poll-miss"),
        }
    }
}

/// The faults together with their draws, for one receive.
pub(super) struct Chance<'a> {
    pub(super) delivery: &'a Delivery,
    pub(super) draws: &'a mut Draws,
    pub(super) short_poll: bool,
}

impl Chance<'_> {
    pub(super) fn misses(&mut self) -> bool {
        self.short_poll && self.draws.miss.chance(self.delivery.short_poll_misses)
    }

    pub(super) fn out_of_order(&mut self, waiting: usize) -> usize {
        let at = self.draws.reorder.below(waiting as u64) as usize;
        if self.draws.reorder.chance(self.delivery.reorder) {
            at
        } else {
            0
        }
    }

    pub(super) fn duplicate(&mut self) -> Option<Duration> {
        let max = Duration::from_millis(self.delivery.duplicate_after_ms_max);
        let after = self.draws.duplicate.between(Duration::ZERO, max);
        self.draws
            .duplicate
            .chance(self.delivery.duplicate)
            .then_some(after)
    }
}
