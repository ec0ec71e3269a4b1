//! What a FIFO queue remembers for five minutes: deduplication ids, and which messages a receive attempt returned.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

/// How long a FIFO queue remembers a deduplication id or a receive attempt.
pub const DEDUPLICATION_INTERVAL: Duration = Duration::from_secs(300);

/// Values kept for the interval after they were first put, whatever becomes of the messages they speak of.
#[derive(Debug)]
pub(super) struct Remembered<V> {
    values: BTreeMap<(String, String), V>,
    by_age: VecDeque<(Duration, (String, String))>,
}

impl<V> Default for Remembered<V> {
    fn default() -> Self {
        Self {
            values: BTreeMap::new(),
            by_age: VecDeque::new(),
        }
    }
}

impl<V> Remembered<V> {
    /// What is remembered under this id in this scope.
    pub(super) fn get(&mut self, scope: &str, id: &str, now: Duration) -> Option<&V> {
        while let Some((since, _)) = self.by_age.front() {
            if now < *since + DEDUPLICATION_INTERVAL {
                break;
            }
            if let Some((_, key)) = self.by_age.pop_front() {
                self.values.remove(&key);
            }
        }
        self.values.get(&(scope.to_owned(), id.to_owned()))
    }

    /// Remembers a value from now on. An id still remembered keeps the end of its first interval.
    pub(super) fn put(&mut self, scope: &str, id: &str, value: V, now: Duration) {
        let key = (scope.to_owned(), id.to_owned());
        if self.values.insert(key.clone(), value).is_none() {
            self.by_age.push_back((now, key));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn five_minutes_and_no_longer() {
        let mut seen = Remembered::default();
        let at = |s: u64| Duration::from_secs(s);
        seen.put("", "a", 1, at(10));
        seen.put("g", "a", 2, at(20));
        assert_eq!(seen.get("", "a", at(309)), Some(&1));
        assert_eq!(seen.get("", "a", at(310)), None);
        assert_eq!(seen.get("g", "a", at(310)), Some(&2));
    }
}
