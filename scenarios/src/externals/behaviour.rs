//! How a provider behaves, as data. Probabilities are parts of a million.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// How a provider behaves towards calls.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Behaviour {
    /// How long it takes at least, in milliseconds.
    pub delay_ms: u64,
    /// How much longer it may take, in milliseconds.
    pub jitter_ms: u64,
    /// Declines, in parts of a million.
    pub declined_ppm: u32,
    /// Answers 503 and does nothing.
    pub failed_before_ppm: u32,
    /// Does it, and answers 500.
    pub failed_after_ppm: u32,
    /// Does it, and closes the connection without an answer.
    pub answer_lost_ppm: u32,
    /// Nothing answers at all: calls hang until their caller gives up.
    pub hanging: bool,
    /// How long a key is remembered, in seconds.
    pub key_window_s: u64,
}

impl Default for Behaviour {
    fn default() -> Self {
        Self {
            delay_ms: 0,
            jitter_ms: 0,
            declined_ppm: 0,
            failed_before_ppm: 0,
            failed_after_ppm: 0,
            answer_lost_ppm: 0,
            hanging: false,
            key_window_s: 24 * 60 * 60,
        }
    }
}

impl Behaviour {
    pub(super) fn delay(&self) -> Duration {
        Duration::from_millis(self.delay_ms + fastrand::u64(0..=self.jitter_ms))
    }

    pub(super) fn key_window(&self) -> Duration {
        Duration::from_secs(self.key_window_s)
    }
}

/// Whether something of this probability happens.
pub(super) fn happens(ppm: u32) -> bool {
    ppm > 0 && fastrand::u32(0..1_000_000) < ppm
}
