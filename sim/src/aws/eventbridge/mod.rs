//! Simulated EventBridge: buses, rules by event pattern, and deliveries to SQS, behind the JSON 1.1 protocol.
//!
//! Modelled: `PutEvents` whose entries fail one by one, event patterns ([`pattern`]), targets with retries, age limits and
//! dead-letter queues ([`target`], [`outbox`]), delivery over the network to the Region's own SQS server.
//! May suffer: failed entries, second deliveries, late ones that overtake each other, a target that is out; and whatever
//! any request may ([`crate::fault::ServiceFault`]).
//! Not modelled, refused by name where a client would notice: schedules, archives and replay, global endpoints, partner
//! sources, API destinations, input transformers, targets other than SQS. Not modelled and silent: access policies, and the
//! short time that a new rule takes to work.

mod api;
mod buses;
mod error;
mod event;
pub mod outbox;
pub mod pattern;
mod server;
pub mod target;

pub use buses::{Buses, ENTRIES_MAX, REQUEST_BYTES_MAX, Rule};
pub use error::{EntryError, Error};
pub use event::{Entry, Event};
pub use server::{EventBridge, Options};
