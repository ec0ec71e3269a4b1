//! How long to wait before trying again.

use std::time::Duration;

use crate::variant::{Variant, as_written};

/// A random part, up to all, of a pause that doubles with each attempt from `base` up to `cap`. Callers that failed together
/// do not come back together.
pub fn full_jitter(base: Duration, cap: Duration, attempt: u32) -> Duration {
    if as_written(Variant::RetriesAtOnce) {
        return Duration::from_millis(1);
    }
    let ceiling = base
        .saturating_mul(2_u32.saturating_pow(attempt.saturating_sub(1)))
        .min(cap);
    ceiling.mul_f64(fastrand::f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_stay_under_a_ceiling_that_doubles_up_to_the_cap() {
        let (base, cap) = (Duration::from_millis(50), Duration::from_secs(2));
        for (attempt, ceiling) in [(1, 50), (2, 100), (5, 800), (10, 2_000), (u32::MAX, 2_000)] {
            let longest = (0..200).map(|_| full_jitter(base, cap, attempt)).max().unwrap();
            let ceiling = Duration::from_millis(ceiling);
            assert!(
                longest <= ceiling && longest > ceiling.mul_f64(0.8),
                "{attempt}: {longest:?}"
            );
        }
    }
}
