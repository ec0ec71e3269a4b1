//! True time: the one clock of a world that no host can see and no fault can touch.

use std::fmt;
use std::ops::{Add, Sub};
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// An instant of true time, in nanoseconds since the world began.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Time(u64);

impl Time {
    /// The instant at which the world begins.
    pub const ZERO: Time = Time(0);
    /// Later than every instant that a world reaches: "never".
    pub const NEVER: Time = Time(u64::MAX);

    /// The instant `nanos` nanoseconds after the world began.
    pub const fn from_nanos(nanos: u64) -> Time {
        Time(nanos)
    }

    /// Nanoseconds since the world began.
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// The time passed since the world began.
    pub const fn since_start(self) -> Duration {
        Duration::from_nanos(self.0)
    }
}

/// Saturates: a duration of more than 584 years means never.
impl From<Duration> for Time {
    fn from(since_start: Duration) -> Time {
        Time(u64::try_from(since_start.as_nanos()).unwrap_or(u64::MAX))
    }
}

impl Add<Duration> for Time {
    type Output = Time;

    fn add(self, later: Duration) -> Time {
        Time(self.0.saturating_add(Time::from(later).0))
    }
}

/// Zero when `earlier` is in fact later.
impl Sub for Time {
    type Output = Duration;

    fn sub(self, earlier: Time) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

/// Seconds with all nine digits, so that two different instants never print alike: `12.000345000`.
impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Time::NEVER {
            return f.pad("never");
        }
        f.pad(&format!(
            "{}.{:09}",
            self.0 / 1_000_000_000,
            self.0 % 1_000_000_000
        ))
    }
}

impl fmt::Debug for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self} s")
    }
}
