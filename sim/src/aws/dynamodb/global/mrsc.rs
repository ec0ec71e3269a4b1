//! Multi-Region strong consistency, as one Region's part in the agreement.
//!
//! Each item is a register on which three Regions agree by single-decree Paxos, one write after another: a value that
//! two Regions have accepted under one ballot is chosen, and every later ballot builds on it. AWS does not say how it
//! agrees; what it promises follows from this: a write is in two Regions before it is acknowledged, a condition sees
//! the latest version, two Regions that write one item at once get in each other's way, and one Region alone can
//! neither write nor read strongly.
//!
//! This file is the memory of one Region. It answers proposals and never makes one; `proposer` does.

use super::super::key::ItemKey;
use super::message::{Reply, Request};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;

/// How many writes a value remembers. A proposer that lost track of its own write looks for it here.
pub(crate) const HISTORY_LEN: usize = 16;

/// A proposal's rank. No two proposals share one.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Ballot {
    pub(crate) round: u64,
    pub(crate) region: String,
}

/// An item as it was proposed.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Proposed {
    /// The whole item; `None` if it does not exist.
    pub(crate) image: Option<Value>,
    /// The writes that led here, latest first, each named by the ballot under which it was first proposed.
    pub(crate) history: Vec<Ballot>,
}

/// A value accepted under a ballot.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Accepted {
    pub(crate) ballot: Ballot,
    pub(crate) value: Arc<Proposed>,
}

#[derive(Debug, Default)]
struct Entry {
    promised: Ballot,
    accepted: Option<Accepted>,
    /// The write that the engine holds.
    learned: Option<(Ballot, Ballot)>,
    /// The place of the last change of `accepted` in the table's log.
    position: u64,
}

/// One Region's memory of all items of its strongly consistent tables.
#[derive(Debug, Default)]
pub(crate) struct Acceptors {
    entries: BTreeMap<ItemKey, Entry>,
    log: BTreeMap<(String, u64), ItemKey>,
    position: u64,
}

impl Acceptors {
    /// Answers another Region's part of an agreement; `None` if the request is about something else.
    pub(crate) fn answer(&mut self, request: Request) -> Option<Reply> {
        let outbid = |promised| Reply::Outbid { promised };
        Some(match request {
            Request::Prepare { key, ballot } => self
                .prepare(&key, &ballot)
                .map_or_else(outbid, |accepted| Reply::Promise { accepted }),
            Request::Accept { key, proposal, next } => self
                .accept(&key, proposal, &next)
                .map_or_else(outbid, |()| Reply::Accepted),
            Request::Read { key, known } => {
                let accepted = self.entries.get(&key).and_then(|entry| entry.accepted.as_ref());
                if accepted.map(|accepted| &accepted.ballot) == known.as_ref() {
                    Reply::Same
                } else {
                    Reply::State {
                        accepted: accepted.cloned(),
                    }
                }
            }
            Request::Since { table, position } => {
                let (position, items) = self.since(&table, position);
                Reply::Changed { position, items }
            }
            _ => return None,
        })
    }

    /// Promises to accept nothing below `ballot`, and tells what was accepted so far.
    ///
    /// # Errors
    /// The ballot already promised, if it is as high.
    pub(crate) fn prepare(&mut self, key: &ItemKey, ballot: &Ballot) -> Result<Option<Accepted>, Ballot> {
        let entry = self.entries.entry(key.clone()).or_default();
        if *ballot <= entry.promised {
            return Err(entry.promised.clone());
        }
        entry.promised = ballot.clone();
        Ok(entry.accepted.clone())
    }

    /// Accepts a value, and promises `next` to its proposer in the same step so that its next write needs no promise.
    ///
    /// # Errors
    /// The ballot already promised, if it is higher.
    pub(crate) fn accept(&mut self, key: &ItemKey, proposal: Accepted, next: &Ballot) -> Result<(), Ballot> {
        let entry = self.entries.entry(key.clone()).or_default();
        if proposal.ballot < entry.promised {
            return Err(entry.promised.clone());
        }
        entry.promised = next.clone().max(proposal.ballot.clone());
        self.store(key, proposal);
        Ok(())
    }

    /// Takes in a value that is known to be chosen.
    pub(crate) fn adopt(&mut self, key: &ItemKey, chosen: Accepted) {
        let entry = self.entries.entry(key.clone()).or_default();
        if entry
            .accepted
            .as_ref()
            .is_none_or(|accepted| accepted.ballot < chosen.ballot)
        {
            entry.promised = entry.promised.clone().max(chosen.ballot.clone());
            self.store(key, chosen);
        }
    }

    fn store(&mut self, key: &ItemKey, proposal: Accepted) {
        self.position += 1;
        let entry = self.entries.entry(key.clone()).or_default();
        self.log.remove(&(key.table.clone(), entry.position));
        self.log.insert((key.table.clone(), self.position), key.clone());
        entry.position = self.position;
        entry.accepted = Some(proposal);
    }

    /// The highest ballot promised for the item.
    pub(crate) fn promised(&self, key: &ItemKey) -> Ballot {
        self.entries
            .get(key)
            .map(|entry| entry.promised.clone())
            .unwrap_or_default()
    }

    /// The value accepted for the item.
    pub(crate) fn accepted(&self, key: &ItemKey) -> Option<Accepted> {
        self.entries.get(key)?.accepted.clone()
    }

    /// Notes that the engine is about to hold this chosen value. True if that changes the engine: false for an older
    /// value, and for the same write agreed on again.
    pub(crate) fn learn(&mut self, key: &ItemKey, chosen: &Accepted) -> bool {
        let entry = self.entries.entry(key.clone()).or_default();
        let write = chosen.value.history.first().cloned().unwrap_or_default();
        let changes = match &entry.learned {
            Some((ballot, _)) if *ballot >= chosen.ballot => return false,
            Some((_, known)) => *known != write,
            None => !chosen.value.history.is_empty(),
        };
        entry.learned = Some((chosen.ballot.clone(), write));
        changes
    }

    /// The items of a table whose accepted value changed after `position`, and the position up to which that is all.
    pub(crate) fn since(&self, table: &str, position: u64) -> (u64, Vec<(ItemKey, Ballot)>) {
        let changed = self
            .log
            .range((table.to_owned(), position + 1)..=(table.to_owned(), u64::MAX));
        let listed = changed
            .filter_map(|(_, key)| {
                Some((
                    key.clone(),
                    self.entries.get(key)?.accepted.as_ref()?.ballot.clone(),
                ))
            })
            .collect();
        (self.position, listed)
    }

    /// The items of a table that were accepted here but not learned.
    pub(crate) fn unlearned(&self, table: &str) -> Vec<ItemKey> {
        let first = ItemKey {
            table: table.to_owned(),
            key: String::new(),
        };
        let of_table = self
            .entries
            .range(first..)
            .take_while(|(key, _)| key.table == table);
        of_table
            .filter(|(_, entry)| match (&entry.accepted, &entry.learned) {
                (Some(accepted), Some((learned, _))) => accepted.ballot > *learned,
                (Some(_), None) => true,
                (None, _) => false,
            })
            .map(|(key, _)| key.clone())
            .collect()
    }

    /// Forgets a table.
    pub(crate) fn forget(&mut self, table: &str) {
        self.entries.retain(|key, _| key.table != table);
        self.log.retain(|(of, _), _| of != table);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn ballot(round: u64, region: &str) -> Ballot {
        Ballot {
            round,
            region: region.to_owned(),
        }
    }

    fn key() -> ItemKey {
        ItemKey {
            table: "t".to_owned(),
            key: "k".to_owned(),
        }
    }

    fn proposal(at: Ballot, value: u32) -> Accepted {
        Accepted {
            ballot: at.clone(),
            value: Arc::new(Proposed {
                image: Some(json!(value)),
                history: vec![at],
            }),
        }
    }

    #[test]
    fn a_promise_shuts_out_lower_ballots() {
        let mut region = Acceptors::default();
        assert_eq!(region.prepare(&key(), &ballot(2, "a")), Ok(None));
        assert_eq!(region.prepare(&key(), &ballot(1, "b")), Err(ballot(2, "a")));
        assert_eq!(
            region.accept(&key(), proposal(ballot(1, "b"), 1), &ballot(2, "b")),
            Err(ballot(2, "a"))
        );
        assert_eq!(
            region.accept(&key(), proposal(ballot(2, "a"), 2), &ballot(3, "a")),
            Ok(())
        );
        assert_eq!(region.prepare(&key(), &ballot(3, "a")), Err(ballot(3, "a")));
        assert_eq!(
            region.prepare(&key(), &ballot(3, "b")),
            Ok(Some(proposal(ballot(2, "a"), 2)))
        );
    }

    #[test]
    fn one_write_agreed_on_twice_is_learned_once() {
        let mut region = Acceptors::default();
        let first = proposal(ballot(1, "a"), 1);
        let again = Accepted {
            ballot: ballot(5, "b"),
            ..first.clone()
        };
        assert!(region.learn(&key(), &first));
        assert!(!region.learn(&key(), &again));
        assert!(!region.learn(&key(), &first));
        assert!(region.learn(&key(), &proposal(ballot(6, "a"), 2)));
    }

    #[test]
    fn the_log_names_each_changed_item_once() {
        let mut region = Acceptors::default();
        region.adopt(&key(), proposal(ballot(1, "a"), 1));
        let (position, changed) = region.since("t", 0);
        assert_eq!(changed, [(key(), ballot(1, "a"))]);
        region.adopt(&key(), proposal(ballot(2, "a"), 2));
        region.adopt(&key(), proposal(ballot(1, "a"), 1));
        assert_eq!(region.since("t", position).1, [(key(), ballot(2, "a"))]);
        assert_eq!(region.since("t", 0).1.len(), 1);
        assert_eq!(region.unlearned("t"), [key()]);
    }
}
