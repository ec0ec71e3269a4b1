//! Simulated SQS: standard and FIFO queues behind the JSON 1.0 protocol that the SDKs speak.
//!
//! [`Sqs`] serves on any tokio listener. [`queues::Queues`] is the state of one account in one Region, with no clock and no socket of its own; [`queue`] says
//! what is modelled, what it may suffer and what is left out. Access policies are kept and given back but not enforced,
//! and customer KMS keys, message move tasks and permissions are refused by name.

use std::time::Duration;

mod api;
pub mod attributes;
mod deduplication;
mod entry;
mod error;
pub mod message;
mod order;
pub mod queue;
pub mod queues;
mod receipt;
mod receive;
mod server;

pub use deduplication::DEDUPLICATION_INTERVAL;
pub use entry::{Counts, Receive, Received, Sent};
pub use error::Error;
pub use server::{Options, Sqs};

/// When something happens: on a clock that never goes back, and as the date.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// Since the server began. Every time-out runs on this one.
    pub elapsed: Duration,
    /// Since 1970. Only the timestamps that clients see come from it.
    pub wall: Duration,
}
