//! Seeded randomness, split by purpose.

use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};
use std::time::Duration;

/// One stream of random draws for one named purpose. Two purposes never share draws, so switching one fault off leaves
/// every other draw of the same seed as it was.
#[derive(Debug, Clone)]
pub struct Stream(ChaCha8Rng);

impl Stream {
    /// The stream that `seed` gives to `purpose`, for example `dynamodb/us-east-1/request-id`.
    pub fn named(seed: u64, purpose: &str) -> Self {
        let mut key = [0_u8; 32];
        for (part, chunk) in key.chunks_exact_mut(8).enumerate() {
            let salt = seed.wrapping_add((part as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15));
            chunk.copy_from_slice(
                &xxhash_rust::xxh3::xxh3_64_with_seed(purpose.as_bytes(), salt).to_le_bytes(),
            );
        }
        Self(ChaCha8Rng::from_seed(key))
    }

    /// 64 random bits.
    pub fn bits(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// Uniform in `0..bound`; 0 when `bound` is 0. The bias of the multiply-shift is below 2^-32 for every bound that
    /// a simulation uses.
    pub fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.bits()) * u128::from(bound)) >> 64) as u64
    }

    /// Uniform in `[0, 1)`.
    pub fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// True with this probability: never at 0, always at 1. One draw either way, so that the stream's position does
    /// not depend on the knob.
    pub fn chance(&mut self, probability: f64) -> bool {
        self.unit() < probability
    }

    /// A version 4 UUID.
    pub fn uuid(&mut self) -> String {
        let (high, low) = (self.bits(), self.bits());
        let (a, b, c) = (high >> 32, high >> 16 & 0xffff, high & 0xfff);
        let (d, e) = (low >> 48 & 0x3fff | 0x8000, low & 0xffff_ffff_ffff);
        format!("{a:08x}-{b:04x}-4{c:03x}-{d:04x}-{e:012x}")
    }

    /// Uniform between the two, both included.
    pub fn between(&mut self, low: Duration, high: Duration) -> Duration {
        let width = high.saturating_sub(low).as_nanos() as u64;
        low + Duration::from_nanos(self.below(width.saturating_add(1)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn purposes_and_seeds_are_independent_and_repeatable() {
        let draw = |seed, purpose: &str| Stream::named(seed, purpose).bits();
        assert_eq!(draw(1, "a"), draw(1, "a"));
        assert_ne!(draw(1, "a"), draw(1, "b"));
        assert_ne!(draw(1, "a"), draw(2, "a"));
    }

    #[test]
    fn bounds_hold() {
        let mut stream = Stream::named(7, "bounds");
        for _ in 0..1_000 {
            assert!(stream.below(3) < 3);
            assert!((0.0..1.0).contains(&stream.unit()));
            assert!(!stream.chance(0.0) && stream.chance(1.0));
            let drawn = stream.between(Duration::from_millis(2), Duration::from_millis(4));
            assert!((2..=4).contains(&drawn.as_millis()));
        }
        assert_eq!(stream.below(0), 0);
    }
}
