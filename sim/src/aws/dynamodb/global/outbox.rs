//! Changes on their way to one other Region.

use super::super::key::ItemKey;
use std::collections::BTreeMap;
use tokio::time::Instant;

/// Something about one item that another Region must hear.
pub(crate) trait Parcel: Clone {
    /// The item it is about.
    fn key(&self) -> &ItemKey;
}

#[derive(Debug)]
struct Waiting<P> {
    parcel: P,
    committed: Instant,
}

/// Orders changes by the time at which they are due, and keeps each until it is acknowledged.
#[derive(Debug)]
pub(crate) struct Outbox<P> {
    next: u64,
    /// By due time; the number keeps the order of changes that are due together.
    waiting: BTreeMap<(Instant, u64), Waiting<P>>,
    /// The latest change of each item.
    latest: BTreeMap<ItemKey, (Instant, u64)>,
}

/// One parcel taken out to be sent; still in the outbox until [`Outbox::acknowledge`].
#[derive(Debug, Clone)]
pub(crate) struct Due<P> {
    slot: (Instant, u64),
    pub(crate) parcel: P,
    pub(crate) committed: Instant,
}

impl<P: Parcel> Outbox<P> {
    pub(crate) fn new() -> Self {
        Self {
            next: 0,
            waiting: BTreeMap::new(),
            latest: BTreeMap::new(),
        }
    }

    /// Adds a change committed at `now`, due at `due`. With `coalesce` it takes the place, and the due time, of an unsent
    /// change of the same item; true is returned if it did.
    pub(crate) fn add(&mut self, parcel: P, now: Instant, due: Instant, coalesce: bool) -> bool {
        if coalesce
            && let Some(waiting) = self
                .latest
                .get(parcel.key())
                .and_then(|slot| self.waiting.get_mut(slot))
        {
            waiting.parcel = parcel;
            return true;
        }
        let slot = (due, self.next);
        self.next += 1;
        self.latest.insert(parcel.key().clone(), slot);
        self.waiting.insert(
            slot,
            Waiting {
                parcel,
                committed: now,
            },
        );
        false
    }

    /// When the first change is due.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        self.waiting.keys().next().map(|(due, _)| *due)
    }

    /// At most `limit` changes that are due at `now` and that `admit` lets pass, in order.
    pub(crate) fn due(&self, now: Instant, limit: usize, mut admit: impl FnMut(&P) -> bool) -> Vec<Due<P>> {
        let ready = self.waiting.range(..=(now, u64::MAX));
        let admitted = ready.filter(|(_, waiting)| admit(&waiting.parcel)).take(limit);
        admitted
            .map(|(slot, waiting)| Due {
                slot: *slot,
                parcel: waiting.parcel.clone(),
                committed: waiting.committed,
            })
            .collect()
    }

    /// Forgets what was sent, unless a later change has taken its place meanwhile.
    pub(crate) fn acknowledge(&mut self, sent: &[Due<P>], same: impl Fn(&P, &P) -> bool) {
        for due in sent {
            if self
                .waiting
                .get(&due.slot)
                .is_some_and(|waiting| same(&waiting.parcel, &due.parcel))
            {
                self.waiting.remove(&due.slot);
                if self.latest.get(due.parcel.key()) == Some(&due.slot) {
                    self.latest.remove(due.parcel.key());
                }
            }
        }
    }

    /// Drops all changes of a table.
    pub(crate) fn forget(&mut self, table: &str) {
        self.waiting
            .retain(|_, waiting| waiting.parcel.key().table != table);
        self.latest.retain(|key, _| key.table != table);
    }

    /// How many changes wait for an acknowledgement.
    pub(crate) fn len(&self) -> usize {
        self.waiting.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[derive(Debug, Clone, PartialEq)]
    struct Note(ItemKey, u32);

    impl Parcel for Note {
        fn key(&self) -> &ItemKey {
            &self.0
        }
    }

    fn note(item: &str, value: u32) -> Note {
        Note(
            ItemKey {
                table: "t".to_owned(),
                key: item.to_owned(),
            },
            value,
        )
    }

    fn values(due: &[Due<Note>]) -> Vec<u32> {
        due.iter().map(|due| due.parcel.1).collect()
    }

    #[test]
    fn changes_leave_in_the_order_in_which_they_fall_due() {
        let (mut outbox, now) = (Outbox::new(), Instant::now());
        let after = |millis| now + Duration::from_millis(millis);
        outbox.add(note("a", 1), now, after(30), false);
        outbox.add(note("b", 2), now, after(10), false);
        outbox.add(note("a", 3), now, after(20), false);
        assert_eq!(outbox.next_due(), Some(after(10)));
        assert_eq!(values(&outbox.due(after(20), 10, |_| true)), [2, 3]);
        assert_eq!(values(&outbox.due(after(30), 10, |note| note.1 != 3)), [2, 1]);
    }

    #[test]
    fn an_unsent_change_is_replaced_only_when_coalescing() {
        let (mut outbox, now) = (Outbox::new(), Instant::now());
        assert!(!outbox.add(note("a", 1), now, now, true));
        assert!(outbox.add(note("a", 2), now, now + Duration::from_secs(9), true));
        assert!(!outbox.add(note("a", 3), now, now, false));
        assert_eq!(values(&outbox.due(now, 10, |_| true)), [2, 3]);
    }

    #[test]
    fn a_change_that_was_replaced_while_in_flight_is_sent_again() {
        let (mut outbox, now) = (Outbox::new(), Instant::now());
        outbox.add(note("a", 1), now, now, true);
        let sent = outbox.due(now, 10, |_| true);
        outbox.add(note("a", 2), now, now, true);
        outbox.acknowledge(&sent, |one, other| one == other);
        assert_eq!(values(&outbox.due(now, 10, |_| true)), [2]);
        let sent = outbox.due(now, 10, |_| true);
        outbox.acknowledge(&sent, |one, other| one == other);
        assert_eq!(outbox.len(), 0);
    }
}
