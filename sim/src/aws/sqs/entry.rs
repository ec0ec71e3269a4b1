//! What goes into a queue, what comes out, and what the queue keeps of a message in between.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use super::Moment;
use super::message::Outgoing;
use super::order::Visibility;

/// What a queue has seen happen, for a judge that knows everything; clients cannot ask for it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Messages accepted, without those that deduplication dropped.
    pub sent: u64,
    /// Sends that deduplication answered without a new message.
    pub deduplicated: u64,
    /// Deliveries.
    pub received: u64,
    /// Messages deleted by a client.
    pub deleted: u64,
    /// Deletes that named a stale receipt handle and did nothing.
    pub deleted_nothing: u64,
    /// Messages that outlived the retention period.
    pub expired: u64,
    /// Messages thrown away by a purge.
    pub purged: u64,
    /// Messages moved to the dead-letter queue.
    pub dead_lettered: u64,
    /// Messages that arrived here as dead letters of another queue.
    pub dead_letters_taken: u64,
    /// Second copies made by the duplicate fault.
    pub duplicated: u64,
    /// Deliveries out of order made by the reorder fault.
    pub reordered: u64,
}

/// The answer to a send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    /// The message's id; the first one's for a duplicate.
    pub message_id: String,
    /// FIFO: the place in the order.
    pub sequence_number: Option<String>,
}

/// One delivery of a message.
#[derive(Debug, Clone)]
pub struct Received {
    /// The message's id.
    pub message_id: String,
    /// What deletes this delivery or changes its visibility.
    pub receipt_handle: String,
    /// What was sent.
    pub message: Arc<Outgoing>,
    /// `SentTimestamp`, `ApproximateReceiveCount` and the others, all of them.
    pub system_attributes: BTreeMap<&'static str, String>,
}

/// What a receive asks for, checked.
#[derive(Debug, Clone, Default)]
pub struct Receive {
    /// At most this many, 1 to 10.
    pub messages_max: usize,
    /// Instead of the queue's visibility timeout.
    pub visibility_timeout: Option<Duration>,
    /// FIFO: repeats the answer of an earlier receive with the same id.
    pub attempt: Option<String>,
}

/// A message as the queue keeps it.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) id: String,
    pub(super) message: Arc<Outgoing>,
    pub(super) sent: Duration,
    pub(super) enqueued: Duration,
    pub(super) sequence: Option<u128>,
    pub(super) source: Option<String>,
    pub(super) receives: u32,
    pub(super) receives_here: u32,
    pub(super) first_received: Option<Duration>,
    pub(super) delivery: u64,
    pub(super) received: Duration,
    pub(super) visibility: Visibility,
    pub(super) until: Duration,
}

impl Entry {
    pub(super) fn new(id: String, message: Outgoing, now: Moment, sequence: Option<u128>) -> Self {
        Self {
            id,
            message: Arc::new(message),
            sent: now.wall,
            enqueued: now.elapsed,
            sequence,
            source: None,
            receives: 0,
            receives_here: 0,
            first_received: None,
            delivery: 0,
            received: Duration::ZERO,
            visibility: Visibility::Visible,
            until: now.elapsed,
        }
    }
}
