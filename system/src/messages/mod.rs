//! Events on their way out: from the outbox that commits with each change, through EventBridge, to subscribers on SQS.
//!
//! | stage | what it promises |
//! |---|---|
//! | [`relay`] | each event is published at least once; on a payment, the next one only after the one before is acknowledged |
//! | EventBridge, SQS | at least once, in any order |
//! | [`consumer`] | each subscriber takes each event in exactly once, in the payment's order |
//!
//! **Order** is by payment: `seq` is given under the payment's row lock, without gaps. No id and no time is a cursor:
//! transactions commit in another order than they begin.
//!
//! **The broker's trouble and the row's own.** An outage, throttling or an internal failure says nothing of a row: its
//! attempts stay as they are, all relays pause with full jitter, and a breaker shared with them keeps the others away. What
//! EventBridge says of the entry itself counts; after [`RelayConfig::refusals_max`] such answers the row is parked, which
//! stops its own payment and no other. `published_at` is written on acknowledgement and never else.
//!
//! **Crashes.** A relay that dies between the acknowledgement and the stamp leaves a row that is published again: the
//! subscriber's inbox knows the event. A consumer that dies between its commit and the deletion gets the message again, with
//! the same end.
//!
//! Not modelled: pruning of published rows and of the inbox (both are kept), archives and replay of EventBridge.

pub mod consumer;
mod event;
mod inbox;
pub mod outbox;
pub mod relay;
mod subscriber;
mod topology;

pub use consumer::ConsumerConfig;
pub use event::{Event, Malformed};
pub use inbox::{Taken, take_in};
pub use relay::RelayConfig;
pub use subscriber::Subscriber;
pub use topology::{Topology, TopologyError};
