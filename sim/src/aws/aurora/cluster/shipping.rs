//! How far the other Regions have come, as the writer's Region knows it.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::Serialize;

use super::bell::Bell;
use crate::aws::aurora::storage::Volume;
use crate::aws::aurora::storage::log::Lsn;

/// One Region's account of replication since it was created.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counters {
    /// Batches of the log that other Regions have acknowledged.
    pub batches: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Sum over the batches of the time from the oldest commit to the acknowledgement, on this Region's monotonic clock.
    pub lag_total: Duration,
    /// The longest such time.
    pub lag_max: Duration,
    /// Copies of the whole volume that were sent.
    pub copies: u64,
    /// In-Region failovers, crashes included.
    pub failovers: u64,
}

#[derive(Debug)]
struct State {
    volume: Volume,
    /// Whom the log goes to, and how far each has come. Empty where the writer is not.
    acknowledged: BTreeMap<String, Lsn>,
    counters: Counters,
}

#[derive(Debug)]
pub(super) struct Shipping {
    state: Mutex<State>,
    /// Rings when there may be more to ship, or the writer is another.
    pub(super) news: Bell,
    acknowledgement: Bell,
}

impl Shipping {
    pub(super) fn new(volume: Volume) -> Shipping {
        Shipping {
            state: Mutex::new(State {
                volume,
                acknowledged: BTreeMap::new(),
                counters: Counters::default(),
            }),
            news: Bell::default(),
            acknowledgement: Bell::default(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// This Region becomes the writer's: its volume goes to these Regions, which have at least what comes before `from`.
    pub(super) fn begin<'r>(&self, volume: &Volume, regions: impl Iterator<Item = &'r str>, from: Lsn) {
        let mut state = self.state();
        state.volume = volume.clone();
        for region in regions {
            volume.need(region, from);
            state.acknowledged.insert(region.to_owned(), from);
        }
        drop(state);
        self.news.ring();
    }

    /// This Region is the writer's no more.
    pub(super) fn end(&self) {
        self.state().acknowledged.clear();
        self.news.ring();
        self.acknowledgement.ring();
    }

    pub(super) fn more(&self) {
        self.news.ring();
    }

    /// A Region has the log up to this position, as many bytes of it new.
    pub(super) fn acknowledged(&self, region: &str, lsn: Lsn, bytes: u64) {
        let mut state = self.state();
        let State {
            volume,
            acknowledged,
            counters,
        } = &mut *state;
        let Some(known) = acknowledged.get_mut(region) else {
            return;
        };
        if bytes > 0 {
            let lag = volume.age_after(*known).unwrap_or_default();
            counters.batches += 1;
            counters.bytes += bytes;
            counters.lag_total += lag;
            counters.lag_max = counters.lag_max.max(lag);
        }
        *known = lsn;
        volume.need(region, lsn);
        drop(state);
        self.acknowledgement.ring();
    }

    pub(super) fn count(&self, count: impl FnOnce(&mut Counters)) {
        count(&mut self.state().counters);
    }

    pub(super) fn counters(&self) -> Counters {
        self.state().counters.clone()
    }

    /// How far each Region lags: the age of the oldest commit that it has not acknowledged.
    pub(super) fn lags(&self) -> BTreeMap<String, Duration> {
        let state = self.state();
        let lags = state.acknowledged.iter().map(|(region, lsn)| {
            let lag = state.volume.age_after(*lsn).unwrap_or_default();
            (region.clone(), lag)
        });
        lags.collect()
    }

    /// Waits until some Region lags no more than this. Without other Regions there is nothing to wait for.
    pub(super) async fn within(&self, rpo: Duration) {
        let within = || {
            let lags = self.lags();
            (lags.is_empty() || lags.values().any(|lag| *lag <= rpo)).then_some(())
        };
        self.acknowledgement.until(within).await;
    }
}
