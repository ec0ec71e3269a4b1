//! Which messages of a queue can be delivered now.
//!
//! Standard: all that are visible, oldest first. FIFO: the head of each group none of whose messages is in flight. Both
//! are kept as one ordered set, so that a receive costs the logarithm of the backlog, however much of it is blocked.

use std::collections::{BTreeMap, BTreeSet};

/// Whether a message can be seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Visibility {
    /// Yes.
    Visible,
    /// Not yet: it was sent with a delay.
    Delayed,
    /// Not now: someone received it.
    InFlight,
}

#[derive(Debug, Default)]
struct Group {
    messages: BTreeMap<u64, Visibility>,
    in_flight: usize,
    listed: Option<u64>,
}

/// The deliverable messages, by their number in the queue.
#[derive(Debug, Default)]
pub(super) struct Order {
    deliverable: BTreeSet<u64>,
    groups: BTreeMap<String, Group>,
}

impl Order {
    /// Enters a message, or changes its visibility. `group` is given for FIFO, and the same each time.
    pub(super) fn place(&mut self, number: u64, group: Option<&str>, visibility: Visibility) {
        let Some(name) = group else {
            match visibility {
                Visibility::Visible => self.deliverable.insert(number),
                Visibility::Delayed | Visibility::InFlight => self.deliverable.remove(&number),
            };
            return;
        };
        let group = self.groups.entry(name.to_owned()).or_default();
        let before = group.messages.insert(number, visibility);
        group.in_flight -= usize::from(before == Some(Visibility::InFlight));
        group.in_flight += usize::from(visibility == Visibility::InFlight);
        Self::list(&mut self.deliverable, group);
    }

    /// Takes a message out.
    pub(super) fn remove(&mut self, number: u64, group: Option<&str>) {
        self.deliverable.remove(&number);
        let Some(name) = group else { return };
        let Some(group) = self.groups.get_mut(name) else {
            return;
        };
        let before = group.messages.remove(&number);
        group.in_flight -= usize::from(before == Some(Visibility::InFlight));
        Self::list(&mut self.deliverable, group);
        if group.messages.is_empty() {
            self.groups.remove(name);
        }
    }

    fn list(deliverable: &mut BTreeSet<u64>, group: &mut Group) {
        if let Some(listed) = group.listed.take() {
            deliverable.remove(&listed);
        }
        if group.in_flight > 0 {
            return;
        }
        if let Some((&head, Visibility::Visible)) = group.messages.first_key_value() {
            deliverable.insert(head);
            group.listed = Some(head);
        }
    }

    /// How many could be the next delivery.
    pub(super) fn len(&self) -> usize {
        self.deliverable.len()
    }

    /// The `n`th oldest that could be the next delivery.
    pub(super) fn nth(&self, n: usize) -> Option<u64> {
        self.deliverable.iter().nth(n).copied()
    }

    /// The message right behind this one in its group, if it is visible: one receive may take several of a group.
    pub(super) fn behind(&self, number: u64, group: &str) -> Option<u64> {
        let messages = &self.groups.get(group)?.messages;
        match messages.range(number + 1..).next() {
            Some((&next, Visibility::Visible)) => Some(next),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Visibility::*;
    use super::*;

    #[test]
    fn a_group_in_flight_is_blocked_and_others_are_not() {
        let mut order = Order::default();
        for (number, group) in [(1, "a"), (2, "a"), (3, "b")] {
            order.place(number, Some(group), Visible);
        }
        assert_eq!((order.nth(0), order.nth(1), order.len()), (Some(1), Some(3), 2));
        order.place(1, Some("a"), InFlight);
        assert_eq!((order.nth(0), order.len()), (Some(3), 1));
        assert_eq!(order.behind(1, "a"), Some(2));
        order.place(1, Some("a"), Visible);
        assert_eq!(order.nth(0), Some(1), "back at its place");
        order.remove(1, Some("a"));
        assert_eq!(order.nth(0), Some(2));
    }

    #[test]
    fn a_delayed_head_holds_its_group_back() {
        let mut order = Order::default();
        order.place(1, Some("a"), Delayed);
        order.place(2, Some("a"), Visible);
        assert_eq!(order.nth(0), None);
        order.place(1, Some("a"), Visible);
        assert_eq!(order.nth(0), Some(1));
    }
}
