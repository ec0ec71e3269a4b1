//! What happened in replication, as only an observer of all Regions can know it.

use super::super::key::ItemKey;
use super::mrec::Stamp;
use serde::Serialize;
use std::collections::BTreeSet;
use std::time::Duration;

/// A write that was acknowledged in one Region and then overwritten, or discarded on arrival, by a write that had not
/// seen it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct LostUpdate {
    /// The item.
    pub key: ItemKey,
    /// The write that is gone.
    pub lost: Stamp,
    /// The write that took its place.
    pub won: Stamp,
}

/// One Region's account of replication since it was created.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Counters {
    /// Writes to replicated items that this Region acknowledged.
    pub writes: u64,
    /// Changes of other Regions that took effect here.
    pub applied: u64,
    /// Changes of other Regions that were already known here.
    pub repeated: u64,
    /// Changes that replaced an unsent one of the same item.
    pub coalesced: u64,
    /// Meetings here of two writes of which neither had seen the other.
    pub conflicts: u64,
    /// The losers of those meetings.
    pub lost_updates: BTreeSet<LostUpdate>,
    /// Changes acknowledged by another Region.
    pub delivered: u64,
    /// Sum of the times from a change's commit here to another Region's acknowledgement, on this Region's monotonic
    /// clock.
    pub lag_total: Duration,
    /// The longest such time.
    pub lag_max: Duration,
    /// Changes not yet acknowledged by some Region.
    pub pending: u64,
    /// Strongly consistent writes that met another Region's.
    pub write_conflicts: u64,
}

/// All Regions' accounts taken together.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Summary {
    /// Acknowledged writes to replicated items.
    pub writes: u64,
    /// Distinct lost writes. One write that loses in two Regions is lost once.
    pub lost_updates: BTreeSet<(ItemKey, Stamp)>,
    /// Distinct pairs of writes that met without having seen each other.
    pub conflicts: u64,
    /// Changes not yet acknowledged by some Region. 0 means replication is quiescent.
    pub pending: u64,
    /// The longest time from commit to acknowledgement.
    pub lag_max: Duration,
}

impl Summary {
    /// Adds the Regions' accounts up.
    pub fn of<'a>(regions: impl IntoIterator<Item = &'a Counters>) -> Self {
        let mut summary = Self::default();
        let mut pairs = BTreeSet::new();
        for region in regions {
            summary.writes += region.writes;
            summary.pending += region.pending;
            summary.lag_max = summary.lag_max.max(region.lag_max);
            for update in &region.lost_updates {
                summary
                    .lost_updates
                    .insert((update.key.clone(), update.lost.clone()));
                pairs.insert((&update.key, &update.lost, &update.won));
            }
        }
        summary.conflicts = pairs.len() as u64;
        summary
    }
}
