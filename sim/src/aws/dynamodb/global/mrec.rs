//! Multi-Region eventual consistency, as one Region's knowledge of versions.
//!
//! Modelled: last writer wins per item on a private timestamp; deletions are versions like any other; a Region's own
//! writes to one item never go back in time, whatever its clock does (otherwise an acknowledged write could lose to the
//! very write that it read, and replicas would differ for good). Conflicts are found with version vectors, which AWS
//! does not have: they change nothing, they only tell the observer that a write was lost.
//! Not modelled: forgetting the versions of deleted items.

use super::super::config::TieBreak;
use super::super::key::ItemKey;
use super::counters::LostUpdate;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::time::Duration;

/// The private timestamp of one write: when, by its Region's clock, and where.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Stamp {
    /// Since 1970, rounded down to the configured resolution.
    pub time: Duration,
    /// The Region that acknowledged the write.
    pub region: String,
}

/// For each Region, how many of its writes to an item a version has seen.
type Seen = BTreeMap<String, u64>;

fn covers(all: &Seen, of: &Seen) -> bool {
    of.iter()
        .all(|(region, count)| all.get(region).is_some_and(|seen| seen >= count))
}

/// One write on its way to another Region.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Change {
    pub(crate) key: ItemKey,
    /// The whole item after the write; `None` if it deleted the item.
    pub(crate) image: Option<Value>,
    pub(crate) stamp: Stamp,
    pub(crate) seen: Seen,
}

#[derive(Debug, Clone)]
struct Version {
    stamp: Stamp,
    seen: Seen,
}

/// What a change means to the Region that it reached.
#[derive(Debug, PartialEq)]
pub(crate) enum Arrival {
    /// It is now the item's version; a conflict names the write that it overwrote unseen.
    Applies { conflict: Option<LostUpdate> },
    /// It was known already, by itself or through a later write that had seen it.
    Known,
    /// It lost to the version here, which had not seen it.
    Loses { conflict: LostUpdate },
}

/// One Region's versions of all replicated items.
#[derive(Debug)]
pub(crate) struct Replica {
    region: String,
    tie_break: TieBreak,
    resolution: Duration,
    versions: BTreeMap<ItemKey, Version>,
}

impl Replica {
    pub(crate) fn new(region: &str, tie_break: TieBreak, resolution: Duration) -> Self {
        let resolution = resolution.max(Duration::from_nanos(1));
        Self {
            region: region.to_owned(),
            tie_break,
            resolution,
            versions: BTreeMap::new(),
        }
    }

    /// Notes a write that this Region just performed at its wall time `now`, and returns it as the others are to hear
    /// of it.
    pub(crate) fn write(&mut self, key: &ItemKey, image: Option<Value>, now: Duration) -> Change {
        let steps = now.as_nanos() / self.resolution.as_nanos();
        let rounded = Duration::from_nanos((steps * self.resolution.as_nanos()) as u64);
        let (time, mut seen) = match self.versions.get(key) {
            Some(version) => (
                rounded.max(version.stamp.time + self.resolution),
                version.seen.clone(),
            ),
            None => (rounded, Seen::new()),
        };
        *seen.entry(self.region.clone()).or_default() += 1;
        let stamp = Stamp {
            time,
            region: self.region.clone(),
        };
        self.versions.insert(
            key.clone(),
            Version {
                stamp: stamp.clone(),
                seen: seen.clone(),
            },
        );
        Change {
            key: key.clone(),
            image,
            stamp,
            seen,
        }
    }

    /// The item's current version as a change, for a Region that joins later. `None` if it has no version yet.
    pub(crate) fn current(&self, key: &ItemKey, image: Option<Value>) -> Option<Change> {
        let version = self.versions.get(key)?;
        Some(Change {
            key: key.clone(),
            image,
            stamp: version.stamp.clone(),
            seen: version.seen.clone(),
        })
    }

    /// Every item of the table that has a version, deleted ones included.
    pub(crate) fn keys(&self, table: &str) -> Vec<ItemKey> {
        self.versions
            .keys()
            .filter(|key| key.table == table)
            .cloned()
            .collect()
    }

    /// Takes in another Region's change. If it applies, the caller makes the item be the change's image.
    pub(crate) fn arrive(&mut self, change: &Change) -> Arrival {
        let Some(here) = self.versions.get_mut(&change.key) else {
            let version = Version {
                stamp: change.stamp.clone(),
                seen: change.seen.clone(),
            };
            self.versions.insert(change.key.clone(), version);
            return Arrival::Applies { conflict: None };
        };
        if covers(&here.seen, &change.seen) {
            return Arrival::Known;
        }
        if covers(&change.seen, &here.seen) {
            *here = Version {
                stamp: change.stamp.clone(),
                seen: change.seen.clone(),
            };
            return Arrival::Applies { conflict: None };
        }
        let incoming_wins = wins(self.tie_break, &change.stamp, &here.stamp);
        for (region, count) in &change.seen {
            let seen = here.seen.entry(region.clone()).or_default();
            *seen = (*seen).max(*count);
        }
        let conflict = |lost: &Stamp, won: &Stamp| LostUpdate {
            key: change.key.clone(),
            lost: lost.clone(),
            won: won.clone(),
        };
        if incoming_wins {
            let conflict = conflict(&here.stamp, &change.stamp);
            here.stamp = change.stamp.clone();
            Arrival::Applies {
                conflict: Some(conflict),
            }
        } else {
            Arrival::Loses {
                conflict: conflict(&change.stamp, &here.stamp),
            }
        }
    }

    /// Forgets a table that this Region no longer replicates.
    pub(crate) fn forget(&mut self, table: &str) {
        self.versions.retain(|key, _| key.table != table);
    }
}

fn wins(tie_break: TieBreak, incoming: &Stamp, existing: &Stamp) -> bool {
    match (incoming.time.cmp(&existing.time), tie_break) {
        (Ordering::Greater, _) => true,
        (Ordering::Less, _) | (Ordering::Equal, TieBreak::Existing) => false,
        (Ordering::Equal, TieBreak::HighestRegion) => incoming.region > existing.region,
        (Ordering::Equal, TieBreak::LowestRegion) => incoming.region < existing.region,
    }
}
