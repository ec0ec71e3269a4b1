//! How durations and skews are written in plans: `250ms`, `1m 30s`, `-6s`.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// How far a clock is off, in nanoseconds; negative is behind. Written `+6s` or `-250ms`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Skew(i64);

impl Skew {
    /// A clock that shows a later time than the true one.
    pub fn ahead(by: Duration) -> Skew {
        Skew(i64::try_from(by.as_nanos()).unwrap_or(i64::MAX))
    }

    /// A clock that shows an earlier time than the true one.
    pub fn behind(by: Duration) -> Skew {
        Skew(-Skew::ahead(by).0)
    }

    /// Nanoseconds, negative when behind.
    pub fn as_nanos(self) -> i64 {
        self.0
    }

    /// The skew without its direction.
    pub fn magnitude(self) -> Duration {
        Duration::from_nanos(self.0.unsigned_abs())
    }
}

impl fmt::Display for Skew {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { '-' } else { '+' };
        write!(f, "{sign}{}", humantime::format_duration(self.magnitude()))
    }
}

impl FromStr for Skew {
    type Err = String;

    fn from_str(text: &str) -> Result<Skew, String> {
        let (behind, magnitude) = match text.as_bytes().first() {
            Some(b'-') => (true, &text[1..]),
            Some(b'+') => (false, &text[1..]),
            _ => (false, text),
        };
        let magnitude = humantime::parse_duration(magnitude)
            .map_err(|error| format!("{text:?} is not a skew such as \"+6s\" or \"-250ms\": {error}"))?;
        Ok(if behind {
            Skew::behind(magnitude)
        } else {
            Skew::ahead(magnitude)
        })
    }
}

impl Serialize for Skew {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Skew {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Skew, D::Error> {
        String::deserialize(from)?.parse().map_err(de::Error::custom)
    }
}

/// For `#[serde(with = "units::duration")]`: a `Duration` written as `1m 30s`.
pub mod duration {
    use super::*;

    /// Parses `250ms`, `1m 30s` and the like; a negative one is refused by name.
    pub fn parse(text: &str) -> Result<Duration, String> {
        if text.trim_start().starts_with('-') {
            return Err(format!("{text:?} is negative; a duration is at least 0s"));
        }
        humantime::parse_duration(text)
            .map_err(|error| format!("{text:?} is not a duration such as \"250ms\" or \"1m 30s\": {error}"))
    }

    /// Writes a duration so that [`parse`] reads it back.
    pub fn serialize<S: Serializer>(duration: &Duration, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(&humantime::format_duration(*duration))
    }

    /// Reads a duration; the error says what is wrong with the text.
    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        parse(&String::deserialize(from)?).map_err(de::Error::custom)
    }
}

/// For `#[serde(with = "units::optional_duration", default)]`.
pub mod optional_duration {
    use super::*;

    /// Writes the duration, if there is one.
    pub fn serialize<S: Serializer>(duration: &Option<Duration>, to: S) -> Result<S::Ok, S::Error> {
        match duration {
            Some(duration) => super::duration::serialize(duration, to),
            None => to.serialize_none(),
        }
    }

    /// Reads the duration, if there is one.
    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Duration>, D::Error> {
        match Option::<String>::deserialize(from)? {
            Some(text) => duration::parse(&text).map(Some).map_err(de::Error::custom),
            None => Ok(None),
        }
    }
}

/// A range of durations, both ends included; a draw is uniform. In files: `{ min = "1ms", max = "3ms" }`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Span {
    /// The shortest.
    #[serde(with = "duration")]
    pub min: Duration,
    /// The longest.
    #[serde(with = "duration")]
    pub max: Duration,
}

impl Span {
    /// No time at all.
    pub const ZERO: Self = Self {
        min: Duration::ZERO,
        max: Duration::ZERO,
    };

    /// From `min` to `max` milliseconds.
    pub const fn millis(min: u64, max: u64) -> Self {
        Self {
            min: Duration::from_millis(min),
            max: Duration::from_millis(max),
        }
    }

    #[cfg(any(feature = "aurora", feature = "dynamodb"))]
    pub(crate) fn draw(&self, stream: &mut crate::Stream) -> Duration {
        stream.between(self.min, self.max)
    }
}

/// How long a change takes to become due at another Region, on top of the network's own time.
///
/// With probability `tail` uniform between `usual` and `max`, otherwise uniform between `min` and `usual`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lag {
    /// The shortest lag.
    #[serde(with = "duration")]
    pub min: Duration,
    /// The bound of the usual lag.
    #[serde(with = "duration")]
    pub usual: Duration,
    /// The bound of the tail.
    #[serde(with = "duration")]
    pub max: Duration,
    /// The probability of the tail, 0 to 1.
    pub tail: f64,
}

impl Lag {
    #[cfg(any(feature = "aurora", feature = "dynamodb"))]
    pub(crate) fn draw(&self, stream: &mut crate::Stream) -> Duration {
        let (low, high) = if stream.chance(self.tail) {
            (self.usual, self.max)
        } else {
            (self.min, self.usual)
        };
        stream.between(low, high)
    }
}

impl Default for Lag {
    /// AWS: usually within a second, no bound promised.
    fn default() -> Self {
        let millis = Duration::from_millis;
        Self {
            min: millis(100),
            usual: millis(900),
            max: millis(5_000),
            tail: 0.01,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn skews_read_as_they_are_written() {
        for text in ["+6s", "-250ms", "+0s", "-1h 30m"] {
            assert_eq!(text.parse::<Skew>().unwrap().to_string(), text);
        }
        assert!("6 parsecs".parse::<Skew>().unwrap_err().contains("not a skew"));
    }

    #[test]
    fn a_negative_duration_is_refused_by_name() {
        assert!(duration::parse("-5s").unwrap_err().contains("negative"));
        assert_eq!(duration::parse("1m 30s").unwrap(), Duration::from_secs(90));
    }
}
