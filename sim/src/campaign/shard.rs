//! One part of a campaign that several machines share.

use std::fmt;
use std::ops::Range;
use std::str::FromStr;

use crate::error::Error;

/// Every `of`th seed, beginning with the `index`th. Reads and prints as `2/8`, counting from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shard {
    index: u64,
    of: u64,
}

impl Shard {
    /// All of it.
    pub const WHOLE: Shard = Shard { index: 1, of: 1 };

    /// The `index`th of `of` shards, counting from 1.
    ///
    /// # Errors
    /// [`Error::Shard`] unless `1 <= index <= of`.
    pub fn new(index: u64, of: u64) -> Result<Shard, Error> {
        if index == 0 || index > of {
            return Err(Error::Shard(format!("{index}/{of}")));
        }
        Ok(Shard { index, of })
    }

    /// Its seeds, in order. Every seed of the range is in exactly one of the shards.
    pub fn seeds(self, of: Range<u64>) -> impl Iterator<Item = u64> {
        let first = of.start.checked_add(self.index - 1).unwrap_or(of.end);
        let step = usize::try_from(self.of).unwrap_or(usize::MAX);
        (first..of.end).step_by(step)
    }
}

impl FromStr for Shard {
    type Err = Error;

    fn from_str(text: &str) -> Result<Shard, Error> {
        let unreadable = || Error::Shard(text.to_owned());
        let (index, of) = text.split_once('/').ok_or_else(unreadable)?;
        let number = |text: &str| text.trim().parse().map_err(|_| unreadable());
        Shard::new(number(index)?, number(of)?).map_err(|_| unreadable())
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.index, self.of)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_shard_that_is_none_is_refused_with_its_text() {
        for text in ["", "1", "0/2", "3/2", "a/2", "1/-2", "1/0", "1/2/3"] {
            let error = text.parse::<Shard>().unwrap_err().to_string();
            assert!(error.contains(&format!("{text:?}")), "{error}");
        }
    }

    proptest! {
        #[test]
        fn the_shards_share_the_seeds_out(start in 0u64..100, count in 0u64..200, of in 1u64..20) {
            let range = start..start + count;
            let mut all: Vec<u64> = (1..=of)
                .flat_map(|index| Shard::new(index, of).unwrap().seeds(range.clone()))
                .collect();
            all.sort_unstable();
            prop_assert_eq!(all, range.collect::<Vec<u64>>());
        }
    }
}
