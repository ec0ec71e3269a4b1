//! Receiving: which messages a queue hands out, and what it tells of each.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::entry::{Entry, Receive, Received};
use super::order::Visibility;
use super::queue::{IN_FLIGHT_MAX, Queue};
use super::receipt::Receipt;
use super::{Error, Moment};
use crate::fault::FaultHandle;

impl Queue {
    /// Delivers messages. The second list is of those received too often: they have left this queue, if `dead_letters`
    /// says that there is another one to take them.
    pub(super) fn receive(
        &mut self,
        ask: &Receive,
        dead_letters: bool,
        long_poll: bool,
        faults: &FaultHandle,
        now: Moment,
    ) -> Result<(Vec<Received>, Vec<Entry>), Error> {
        self.advance(now);
        if let Some(again) = self.receive_again(ask, now) {
            return Ok((again, Vec::new()));
        }
        if self.in_flight >= IN_FLIGHT_MAX && !self.attributes.fifo {
            return Err(Error::OverLimit);
        }
        if !long_poll && faults.short_poll_misses() {
            return Ok((Vec::new(), Vec::new()));
        }
        let mut delivered = Vec::new();
        let mut dead = Vec::new();
        let until = now.elapsed
            + ask
                .visibility_timeout
                .unwrap_or(self.attributes.visibility_timeout);
        let redrive_at = self
            .attributes
            .redrive
            .as_ref()
            .filter(|_| dead_letters)
            .map(|p| p.max_receive_count);
        let mut behind = None;
        while delivered.len() < ask.messages_max && self.in_flight < IN_FLIGHT_MAX {
            let Some(number) = behind.take().or_else(|| self.choose(faults)) else {
                break;
            };
            let Some(entry) = self.entries.get(&number) else {
                break;
            };
            let group = entry.message.group.clone().filter(|_| self.attributes.fifo);
            let next = group.and_then(|group| self.order.behind(number, &group));
            if redrive_at.is_some_and(|limit| entry.receives_here >= limit) {
                dead.extend(self.take(number));
                self.counts.dead_lettered += 1;
                // With the head gone, the next of the group is at the head of the order by itself, unless this receive
                // already holds an earlier one.
                behind = next.filter(|_| !delivered.is_empty());
                continue;
            }
            delivered.push((number, self.deliver(number, until, faults, now)));
            behind = next;
        }
        if until <= now.elapsed {
            for (number, _) in &delivered {
                self.see(*number, Visibility::Visible, until);
            }
        }
        if let Some(attempt) = ask.attempt.as_ref().filter(|_| self.attributes.fifo) {
            let receipts = delivered
                .iter()
                .map(|(number, _)| self.receipt(*number))
                .collect();
            self.attempts.put("", attempt, receipts, now.elapsed);
        }
        Ok((
            delivered.into_iter().map(|(_, received)| received).collect(),
            dead,
        ))
    }

    fn choose(&mut self, faults: &FaultHandle) -> Option<u64> {
        let waiting = self.order.len();
        if !self.attributes.fifo && waiting > 1 {
            let at = faults.next_message(waiting);
            self.counts.reordered += u64::from(at > 0);
            return self.order.nth(at);
        }
        self.order.nth(0)
    }

    fn deliver(&mut self, number: u64, until: Duration, faults: &FaultHandle, now: Moment) -> Received {
        self.see(number, Visibility::InFlight, until);
        let delivery = self.next_delivery;
        self.next_delivery += 1;
        let mut copy = None;
        if let Some(entry) = self.entries.get_mut(&number) {
            entry.delivery = delivery;
            entry.received = now.elapsed;
            entry.receives = entry.receives.saturating_add(1);
            entry.receives_here = entry.receives_here.saturating_add(1);
            entry.first_received.get_or_insert(now.wall);
            copy = Some(entry.clone());
        }
        self.counts.received += 1;
        if !self.attributes.fifo
            && let Some(after) = faults.message_comes_again()
            && let Some(copy) = copy
        {
            self.counts.duplicated += 1;
            self.enter(copy, after, now);
        }
        self.received(number)
    }

    fn receipt(&self, number: u64) -> Receipt {
        let delivery = self.entries.get(&number).map_or(0, |entry| entry.delivery);
        Receipt {
            queue: self.uid,
            message: number,
            delivery,
        }
    }

    fn received(&self, number: u64) -> Received {
        let entry = &self.entries[&number];
        let mut system = BTreeMap::new();
        system.insert("SenderId", "AIDASUMZEROSIMULATED".to_owned());
        system.insert("SentTimestamp", entry.sent.as_millis().to_string());
        system.insert("ApproximateReceiveCount", entry.receives.to_string());
        let first = entry.first_received.unwrap_or_default();
        system.insert("ApproximateFirstReceiveTimestamp", first.as_millis().to_string());
        let message = &entry.message;
        system.extend(message.group.clone().map(|v| ("MessageGroupId", v)));
        system.extend(
            message
                .deduplication
                .clone()
                .map(|v| ("MessageDeduplicationId", v)),
        );
        system.extend(entry.sequence.map(|v| ("SequenceNumber", format!("{v:020}"))));
        system.extend(entry.source.clone().map(|v| ("DeadLetterQueueSourceArn", v)));
        let trace = message
            .system_attributes
            .get("AWSTraceHeader")
            .and_then(|a| a.string_value.clone());
        system.extend(trace.map(|v| ("AWSTraceHeader", v)));
        Received {
            message_id: entry.id.clone(),
            receipt_handle: self.receipt(number).encode(),
            message: Arc::clone(message),
            system_attributes: system,
        }
    }

    /// The same answer again, its visibility timeout begun anew, if nothing happened to its messages since.
    fn receive_again(&mut self, ask: &Receive, now: Moment) -> Option<Vec<Received>> {
        let attempt = ask.attempt.as_ref().filter(|_| self.attributes.fifo)?;
        let before = self.attempts.get("", attempt, now.elapsed)?.clone();
        let untouched = |r: &Receipt| {
            let entry = self.entries.get(&r.message);
            entry.is_some_and(|e| e.delivery == r.delivery && e.visibility == Visibility::InFlight)
        };
        if before.is_empty() || !before.iter().all(untouched) {
            return None;
        }
        let until = now.elapsed
            + ask
                .visibility_timeout
                .unwrap_or(self.attributes.visibility_timeout);
        for receipt in &before {
            self.see(receipt.message, Visibility::InFlight, until);
        }
        Some(
            before
                .iter()
                .map(|receipt| self.received(receipt.message))
                .collect(),
        )
    }
}
