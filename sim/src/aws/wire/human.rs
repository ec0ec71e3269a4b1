//! Durations as people write them, for settings that scenario files hold: `"10s"`, `"1m 30s"`, `"250ms"`.

use serde::{Deserialize, Deserializer, Serializer, de};
use std::time::Duration;

/// Writes a duration.
///
/// # Errors
/// As the serializer's.
pub fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&humantime::format_duration(*duration))
}

/// Reads a duration.
///
/// # Errors
/// What is no duration, a bare number included.
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    humantime::parse_duration(&text).map_err(de::Error::custom)
}
