//! A host's own clocks, which may lie.
//!
//! Modelled: one oscillator per host that runs fast or slow by a drift and feeds both clocks; a wall clock
//! (`CLOCK_REALTIME`) that is off by an offset and can be stepped forwards and backwards; a monotonic clock that
//! is never stepped and never goes back.
//! Not modelled: NTP slewing (a corrected clock is stepped at once), leap seconds, the CPU-time clocks (they
//! answer the monotonic clock, because in a world computing takes no time).

use std::time::Duration;

use crate::time::Time;

/// The wall clock of a host that nothing is wrong with, when the world begins: 2026-01-01T00:00:00Z.
pub const EPOCH: Duration = Duration::from_secs(1_767_225_600);

/// Every machine has been up for this long when the world begins; a monotonic clock near zero would underflow
/// the subtractions that production code makes.
const UPTIME_NANOS: u64 = 1_000_000_000_000;

const PARTS_PER_MILLION: u128 = 1_000_000;

#[derive(Clone, Debug)]
pub(crate) struct Clock {
    /// How far the oscillator had come, and when it was last made faster or slower.
    ticked_nanos: u64,
    ticked_at: Time,
    drift_ppm: i32,
    /// What the wall clock shows beyond `EPOCH` + the oscillator.
    wall_offset_nanos: i64,
}

impl Clock {
    pub(crate) fn new() -> Clock {
        Clock {
            ticked_nanos: UPTIME_NANOS,
            ticked_at: Time::ZERO,
            drift_ppm: 0,
            wall_offset_nanos: 0,
        }
    }

    /// Nanoseconds on the monotonic clock.
    pub(crate) fn monotonic_nanos(&self, now: Time) -> u64 {
        let elapsed = (now - self.ticked_at).as_nanos() as u64;
        if self.drift_ppm == 0 {
            return self.ticked_nanos + elapsed;
        }
        self.ticked_nanos + (u128::from(elapsed) * self.rate() / PARTS_PER_MILLION) as u64
    }

    /// Nanoseconds since 1970 on the wall clock.
    pub(crate) fn wall_nanos(&self, now: Time) -> i64 {
        EPOCH.as_nanos() as i64 + (self.monotonic_nanos(now) - UPTIME_NANOS) as i64 + self.wall_offset_nanos
    }

    /// The first instant of true time at which this host has seen `wait` pass.
    pub(crate) fn after(&self, now: Time, wait: Duration) -> Time {
        if self.drift_ppm == 0 {
            return now + wait;
        }
        // The least number of true nanoseconds whose ticks, rounded down, reach the target: a wake-up that came
        // earlier would make the host spin on a timer that is not due yet.
        let ticks = u128::from(self.monotonic_nanos(now) - self.ticked_nanos) + wait.as_nanos();
        let elapsed = (ticks * PARTS_PER_MILLION).div_ceil(self.rate());
        self.ticked_at + Duration::from_nanos(elapsed as u64)
    }

    /// Ticks of the oscillator in a million nanoseconds of true time.
    fn rate(&self) -> u128 {
        (PARTS_PER_MILLION as i128 + i128::from(self.drift_ppm)) as u128
    }

    pub(crate) fn set_drift(&mut self, now: Time, drift_ppm: i32) {
        self.ticked_nanos = self.monotonic_nanos(now);
        self.ticked_at = now;
        self.drift_ppm = drift_ppm;
    }

    pub(crate) fn drift_ppm(&self) -> i32 {
        self.drift_ppm
    }

    /// Moves the wall clock by this many nanoseconds, backwards when negative.
    pub(crate) fn step_wall(&mut self, by_nanos: i64) {
        self.wall_offset_nanos = self.wall_offset_nanos.saturating_add(by_nanos);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_step_moves_the_wall_clock_and_leaves_the_monotonic_one() {
        let mut clock = Clock::new();
        let now = Time::from_nanos(5);
        let (wall, monotonic) = (clock.wall_nanos(now), clock.monotonic_nanos(now));
        clock.step_wall(-6_000_000_000);
        assert_eq!(clock.wall_nanos(now), wall - 6_000_000_000);
        assert_eq!(clock.monotonic_nanos(now), monotonic);
    }

    #[test]
    fn a_slow_oscillator_is_waited_for_exactly() {
        let mut clock = Clock::new();
        clock.set_drift(Time::from_nanos(17), -43_897);
        let now = Time::from_nanos(76_289_832);
        let wait = 18_312_090_778;
        let end = clock.after(now, Duration::from_nanos(wait));
        let seen = |at: Time| clock.monotonic_nanos(at) - clock.monotonic_nanos(now);
        assert_eq!(seen(end), wait);
        assert!(seen(Time::from_nanos(end.as_nanos() - 1)) < wait);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4096))]

        #[test]
        fn the_monotonic_clock_never_goes_back(
            steps in proptest::collection::vec((0u64..10_000_000_000, -200_000i32..200_000, any::<i32>()), 1..50)
        ) {
            let mut clock = Clock::new();
            let mut now = Time::ZERO;
            let mut seen = clock.monotonic_nanos(now);
            for (wait, drift_ppm, step) in steps {
                now = now + Duration::from_nanos(wait);
                clock.set_drift(now, drift_ppm);
                clock.step_wall(i64::from(step));
                prop_assert!(clock.monotonic_nanos(now) >= seen);
                seen = clock.monotonic_nanos(now);
            }
        }

        #[test]
        fn a_wait_ends_when_the_host_has_seen_it_pass_and_not_a_nanosecond_before(
            drift_ppm in -200_000i32..200_000, start in 0u64..1_000_000_000, wait in 1u64..100_000_000_000
        ) {
            let mut clock = Clock::new();
            clock.set_drift(Time::from_nanos(17), drift_ppm);
            let now = Time::from_nanos(start);
            let end = clock.after(now, Duration::from_nanos(wait));
            let seen = |at: Time| clock.monotonic_nanos(at) - clock.monotonic_nanos(now);
            prop_assert!(seen(end) >= wait);
            prop_assert!(seen(Time::from_nanos(end.as_nanos() - 1)) < wait);
        }
    }
}
