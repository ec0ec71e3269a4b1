//! Split seeded randomness: one ChaCha stream for every named purpose.
//!
//! A stream's draws depend on the seed and on its own name alone. So taking one fault, one host or one link away
//! leaves every other stream as it was; shrinking a failing plan depends on that.

use std::time::Duration;

use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};
use xxhash_rust::xxh3::{xxh3_64, xxh3_128};

/// The number that a world grows from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Seed(pub u64);

impl Seed {
    /// The stream of random numbers for one purpose, such as `net/us-east-1->sa-east-1`, `workload` or `fault`.
    pub fn stream(self, purpose: &str) -> Stream {
        let mut key = [0; 32];
        key[..8].copy_from_slice(&self.0.to_le_bytes());
        key[8..16].copy_from_slice(&xxh3_64(purpose.as_bytes()).to_le_bytes());
        key[16..].copy_from_slice(&xxh3_128(purpose.as_bytes()).to_le_bytes());
        Stream(ChaCha8Rng::from_seed(key))
    }
}

/// One named stream of random numbers. Also usable wherever a `rand_core` generator is asked for, through
/// [`Stream::generator`].
#[derive(Clone, Debug)]
pub struct Stream(ChaCha8Rng);

impl Stream {
    /// 64 random bits.
    pub fn next_u64(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// A number from 0 to `bound - 1`, each equally likely; 0 when `bound` is 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        // The high half of a 128-bit product: the bias is below bound / 2^64, far under what a seed can show.
        ((u128::from(self.next_u64()) * u128::from(bound)) >> 64) as u64
    }

    /// A number in `[0, 1)`.
    pub fn fraction(&mut self) -> f64 {
        (self.next_u64() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// True with this probability; never for 0 or less, always for 1 or more.
    pub fn chance(&mut self, probability: f64) -> bool {
        probability > 0.0 && self.fraction() < probability
    }

    /// A time between the two, both included, each nanosecond equally likely; `least` if `most` is not above it.
    pub fn between(&mut self, least: Duration, most: Duration) -> Duration {
        let width = most.saturating_sub(least).as_nanos() as u64;
        least + Duration::from_nanos(self.below(width.saturating_add(1)))
    }

    /// A version 4 UUID.
    pub fn uuid(&mut self) -> String {
        let (high, low) = (self.next_u64(), self.next_u64());
        let (a, b, c) = (high >> 32, high >> 16 & 0xffff, high & 0xfff);
        let (d, e) = (low >> 48 & 0x3fff | 0x8000, low & 0xffff_ffff_ffff);
        format!("{a:08x}-{b:04x}-4{c:03x}-{d:04x}-{e:012x}")
    }

    /// Fills `bytes` with random bytes.
    pub fn fill(&mut self, bytes: &mut [u8]) {
        self.0.fill_bytes(bytes);
    }

    /// The generator itself, for code that takes a `rand_core` one.
    pub fn generator(&mut self) -> &mut ChaCha8Rng {
        &mut self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_of_one_seed_are_independent_and_repeatable() {
        let draws = |purpose: &str| {
            let mut stream = Seed(7).stream(purpose);
            [stream.next_u64(), stream.next_u64()]
        };
        assert_eq!(draws("workload"), draws("workload"));
        assert_ne!(draws("workload"), draws("fault"));
        assert_ne!(
            Seed(7).stream("fault").next_u64(),
            Seed(8).stream("fault").next_u64()
        );
    }

    #[test]
    fn below_and_chance_keep_their_bounds() {
        let mut stream = Seed(1).stream("bounds");
        assert!((0..1000).all(|_| stream.below(3) < 3));
        assert_eq!(stream.below(0), 0);
        assert!((0..100).all(|_| !stream.chance(0.0) && stream.chance(1.0)));
        let (least, most) = (Duration::from_millis(2), Duration::from_millis(4));
        assert!((0..1000).all(|_| (least..=most).contains(&stream.between(least, most))));
        assert_eq!(stream.between(most, least), most);
    }
}
