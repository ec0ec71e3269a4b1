//! One queue as a state machine over an explicit clock.
//!
//! Modelled: delay, visibility timeout with its 12-hour total, receive counts, retention, deduplication for 5 minutes by
//! queue or by group, receive attempt ids, in-flight limits, and for FIFO the order of each group, which is blocked while
//! any of its messages is in flight. Messages received too often are handed out to be put into a dead-letter queue.
//! May suffer (standard only): a second delivery of a message, deleted or not, and delivery out of order; both kinds: a
//! receive that finds nothing although there is something, as short polling may.
//! Not modelled: throughput quotas, fair queues, the up to 60 s that a purge or a changed attribute takes to spread.
//!
//! Where AWS leaves it open, the choice is the one that hurts a careless client: deleting with any but the latest
//! receipt handle of a message succeeds and deletes nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::attributes::Attributes;
use super::deduplication::Remembered;
use super::entry::{Counts, Entry, Sent};
use super::message::{self, Outgoing};
use super::order::{Order, Visibility};
use super::receipt::Receipt;
use super::{Error, Moment};

/// The longest a message can stay in flight from one receive.
pub const VISIBILITY_MAX: Duration = Duration::from_secs(43_200);
/// Messages in flight at most, in a queue of either kind.
pub const IN_FLIGHT_MAX: usize = 120_000;

/// A queue.
#[derive(Debug)]
pub struct Queue {
    pub(super) uid: u64,
    pub(super) attributes: Attributes,
    pub(super) tags: BTreeMap<String, String>,
    pub(super) created: Duration,
    pub(super) modified: Duration,
    pub(super) purged: Option<Duration>,
    pub(super) entries: BTreeMap<u64, Entry>,
    pub(super) order: Order,
    hidden: BTreeSet<(Duration, u64)>,
    by_age: BTreeSet<(Duration, u64)>,
    seen: Remembered<Sent>,
    pub(super) attempts: Remembered<Vec<Receipt>>,
    delayed: usize,
    pub(super) in_flight: usize,
    next_message: u64,
    pub(super) next_delivery: u64,
    pub(super) counts: Counts,
}

impl Queue {
    pub(super) fn new(uid: u64, attributes: Attributes, wall: Duration) -> Self {
        Self {
            uid,
            attributes,
            tags: BTreeMap::new(),
            created: wall,
            modified: wall,
            purged: None,
            entries: BTreeMap::new(),
            order: Order::default(),
            hidden: BTreeSet::new(),
            by_age: BTreeSet::new(),
            seen: Remembered::default(),
            attempts: Remembered::default(),
            delayed: 0,
            in_flight: 0,
            next_message: 1,
            next_delivery: 1,
            counts: Counts::default(),
        }
    }

    /// Visible, in flight and delayed messages.
    pub fn depth(&self) -> (usize, usize, usize) {
        (
            self.entries.len() - self.in_flight - self.delayed,
            self.in_flight,
            self.delayed,
        )
    }

    /// What happened so far.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// When the next hidden message becomes visible, if nothing else happens.
    pub(super) fn next_change(&self) -> Option<Duration> {
        self.hidden.first().map(|(until, _)| *until)
    }

    /// Makes visible what is due and drops what is too old.
    pub(super) fn advance(&mut self, now: Moment) {
        while let Some(&(until, number)) = self.hidden.first() {
            if until > now.elapsed {
                break;
            }
            self.see(number, Visibility::Visible, until);
        }
        while let Some(&(enqueued, number)) = self.by_age.first() {
            if enqueued + self.attributes.retention > now.elapsed {
                break;
            }
            self.take(number);
            self.counts.expired += 1;
        }
    }

    /// Accepts a message under `id`, unless it is a duplicate.
    pub(super) fn send(&mut self, message: Outgoing, id: String, now: Moment) -> Result<Sent, Error> {
        self.advance(now);
        message.check()?;
        self.check_size(message.size())?;
        let delay = self.check_kind(&message)?;
        if !self.attributes.fifo {
            self.enter(Entry::new(id.clone(), message, now, None), delay, now);
            self.counts.sent += 1;
            return Ok(Sent {
                message_id: id,
                sequence_number: None,
            });
        }
        let group = message.group.clone().unwrap_or_default();
        let scope = if self.attributes.deduplicate_per_group {
            group
        } else {
            String::new()
        };
        let given = message.deduplication.clone();
        let key = given.unwrap_or_else(|| message::content_deduplication(&message.body));
        if let Some(first) = self.seen.get(&scope, &key, now.elapsed) {
            self.counts.deduplicated += 1;
            return Ok(first.clone());
        }
        let message = Outgoing {
            deduplication: Some(key.clone()),
            ..message
        };
        let sequence = self.sequence();
        let sent = Sent {
            message_id: id.clone(),
            sequence_number: Some(format!("{sequence:020}")),
        };
        self.enter(Entry::new(id, message, now, Some(sequence)), delay, now);
        self.seen.put(&scope, &key, sent.clone(), now.elapsed);
        self.counts.sent += 1;
        Ok(sent)
    }

    pub(super) fn check_size(&self, size: usize) -> Result<(), Error> {
        let limit = self.attributes.message_bytes_max;
        if size <= limit {
            return Ok(());
        }
        Err(Error::InvalidParameterValue(format!(
            "One or more parameters are invalid. Reason: Message must be shorter than {limit} bytes."
        )))
    }

    /// Refuses what this kind of queue does not take; gives the delay.
    fn check_kind(&self, message: &Outgoing) -> Result<Duration, Error> {
        let invalid = |text: String| Err(Error::InvalidParameterValue(text));
        for (name, id) in [
            ("MessageGroupId", &message.group),
            ("MessageDeduplicationId", &message.deduplication),
        ] {
            if id.as_ref().is_some_and(|id| !token(id)) {
                return invalid(format!(
                    "Value {} for parameter {name} is invalid. Reason: {name} can only include alphanumeric and \
                     punctuation characters. 1 to 128 in length.",
                    id.as_deref().unwrap_or_default()
                ));
            }
        }
        if self.attributes.fifo {
            if message.group.is_none() {
                return Err(Error::MissingParameter("MessageGroupId"));
            }
            if message.deduplication.is_none() && !self.attributes.content_based_deduplication {
                return invalid(
                    "The queue should either have ContentBasedDeduplication enabled or MessageDeduplicationId \
                     provided explicitly"
                        .to_owned(),
                );
            }
        } else if message.deduplication.is_some() {
            return invalid(
                "The request include parameter MessageDeduplicationId which is not valid for this queue type"
                    .to_owned(),
            );
        }
        match message.delay_seconds {
            None => Ok(self.attributes.delay),
            Some(0) if self.attributes.fifo => Ok(self.attributes.delay),
            Some(seconds @ 0..=900) if !self.attributes.fifo => Ok(Duration::from_secs(seconds as u64)),
            Some(seconds) => invalid(format!(
                "Value {seconds} for parameter DelaySeconds is invalid. Reason: {}.",
                match self.attributes.fifo {
                    true => "The request include parameter that is not valid for this queue type",
                    false => "DelaySeconds must be >= 0 and <= 900",
                }
            )),
        }
    }

    /// Takes over a message that was received too often in the queue `source`.
    pub(super) fn take_dead_letter(&mut self, mut entry: Entry, source: String, now: Moment) {
        entry.source = Some(source);
        entry.receives_here = 0;
        if self.attributes.fifo {
            entry.enqueued = now.elapsed;
            entry.sequence = Some(self.sequence());
        }
        self.counts.dead_letters_taken += 1;
        self.enter(entry, self.attributes.delay, now);
    }

    fn sequence(&self) -> u128 {
        18_849_496_460_467_696_128 + u128::from(self.next_message) * 256
    }

    pub(super) fn enter(&mut self, entry: Entry, delay: Duration, now: Moment) {
        let number = self.next_message;
        self.next_message += 1;
        self.by_age.insert((entry.enqueued, number));
        let group = self
            .attributes
            .fifo
            .then(|| entry.message.group.clone().unwrap_or_default());
        self.entries.insert(
            number,
            Entry {
                visibility: Visibility::Visible,
                until: now.elapsed,
                ..entry
            },
        );
        self.order.place(number, group.as_deref(), Visibility::Visible);
        if !delay.is_zero() {
            self.see(number, Visibility::Delayed, now.elapsed + delay);
        }
    }

    /// Changes what can be seen of a message, until when.
    pub(super) fn see(&mut self, number: u64, visibility: Visibility, until: Duration) {
        let Some(entry) = self.entries.get_mut(&number) else {
            return;
        };
        match entry.visibility {
            Visibility::Visible => {}
            Visibility::Delayed => self.delayed -= 1,
            Visibility::InFlight => self.in_flight -= 1,
        }
        self.hidden.remove(&(entry.until, number));
        (entry.visibility, entry.until) = (visibility, until);
        match visibility {
            Visibility::Visible => {}
            Visibility::Delayed => self.delayed += 1,
            Visibility::InFlight => self.in_flight += 1,
        }
        if visibility != Visibility::Visible {
            self.hidden.insert((until, number));
        }
        let group = self
            .attributes
            .fifo
            .then(|| entry.message.group.as_deref().unwrap_or_default());
        self.order.place(number, group, visibility);
    }

    /// Takes a message out of the queue.
    pub(super) fn take(&mut self, number: u64) -> Option<Entry> {
        self.see(number, Visibility::Visible, Duration::ZERO);
        let entry = self.entries.remove(&number)?;
        self.by_age.remove(&(entry.enqueued, number));
        let group = self
            .attributes
            .fifo
            .then(|| entry.message.group.as_deref().unwrap_or_default());
        self.order.remove(number, group);
        Some(entry)
    }

    /// Deletes the message that this handle received.
    pub(super) fn delete(&mut self, handle: &str, now: Moment) -> Result<(), Error> {
        self.advance(now);
        let receipt = self.decode(handle)?;
        let Some(entry) = self.entries.get(&receipt.message) else {
            return Ok(());
        };
        let latest = entry.delivery == receipt.delivery;
        if self.attributes.fifo && !(latest && entry.visibility == Visibility::InFlight) {
            return Err(Error::InvalidParameterValue(format!(
                "Value {handle} for parameter ReceiptHandle is invalid. Reason: The receipt handle has expired."
            )));
        }
        if !latest {
            self.counts.deleted_nothing += 1;
            return Ok(());
        }
        self.take(receipt.message);
        self.counts.deleted += 1;
        Ok(())
    }

    /// Lets the delivery of this handle stay in flight for `timeout` from now.
    pub(super) fn change_visibility(
        &mut self,
        handle: &str,
        timeout: Duration,
        now: Moment,
    ) -> Result<(), Error> {
        self.advance(now);
        let receipt = self.decode(handle)?;
        let entry = self
            .entries
            .get(&receipt.message)
            .filter(|e| e.delivery == receipt.delivery);
        let Some(entry) = entry else {
            return Err(Error::InvalidParameterValue(format!(
                "Value {handle} for parameter ReceiptHandle is invalid. Reason: Message does not exist or is not \
                 available for visibility timeout change."
            )));
        };
        if entry.visibility != Visibility::InFlight {
            return Err(Error::MessageNotInflight);
        }
        if now.elapsed.saturating_sub(entry.received) + timeout > VISIBILITY_MAX {
            return Err(Error::InvalidParameterValue(format!(
                "Total VisibilityTimeout for the message is beyond the limit [{} seconds]",
                VISIBILITY_MAX.as_secs()
            )));
        }
        let visibility = if timeout.is_zero() {
            Visibility::Visible
        } else {
            Visibility::InFlight
        };
        self.see(receipt.message, visibility, now.elapsed + timeout);
        Ok(())
    }

    fn decode(&self, handle: &str) -> Result<Receipt, Error> {
        let receipt = Receipt::decode(handle).filter(|r| r.queue == self.uid);
        receipt.ok_or(Error::ReceiptHandleIsInvalid)
    }

    /// Drops every message. What deduplication remembers stays.
    pub(super) fn purge(&mut self, now: Moment) {
        self.advance(now);
        self.counts.purged += self.entries.len() as u64;
        let numbers: Vec<u64> = self.entries.keys().copied().collect();
        for number in numbers {
            self.take(number);
        }
    }

    /// Takes new attributes. A FIFO queue's delay holds for the messages already delayed, a standard one's does not.
    pub(super) fn set(&mut self, attributes: Attributes, now: Moment) {
        self.advance(now);
        let delay = attributes.delay;
        let again = attributes.fifo && delay != self.attributes.delay;
        (self.attributes, self.modified) = (attributes, now.wall);
        if again {
            let delayed = self
                .entries
                .iter()
                .filter(|(_, e)| e.visibility == Visibility::Delayed);
            let due: Vec<_> = delayed.map(|(number, e)| (*number, e.enqueued + delay)).collect();
            for (number, until) in due {
                self.see(number, Visibility::Delayed, until);
            }
        }
        self.advance(now);
    }
}

fn token(id: &str) -> bool {
    (1..=128).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_graphic())
}
