//! Durations as whole milliseconds, for settings that scenario files hold: `#[serde(with = "millis", rename = "x_ms")]`.

use serde::{Deserialize, Deserializer, Serializer};
use std::time::Duration;

/// Writes whole milliseconds.
///
/// # Errors
/// As the serializer's.
pub fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(duration.as_millis() as u64)
}

/// Reads whole milliseconds.
///
/// # Errors
/// What is no whole number from 0.
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    u64::deserialize(deserializer).map(Duration::from_millis)
}
