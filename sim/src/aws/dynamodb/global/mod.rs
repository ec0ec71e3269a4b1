//! Global tables: replicas of one table in several Regions.
//!
//! - `mrec`: eventual consistency. Each Region applies writes alone and tells the others later; the last writer wins,
//!   item by item.
//! - `mrsc`, `proposer`: strong consistency. Each item is a register that three Regions agree on, write by write, so
//!   that two of them hold every acknowledged write.
//! - `outbox`: changes on their way to one other Region, due when their lag has passed, kept until acknowledged.
//! - `link`, `message`: the TCP connection between two Regions and what is said on it.
//! - `tables`: which tables are global, with whom, in which mode.
//! - `counters`: what only an omniscient observer knows: conflicts, lost updates, lag.
//!
//! Nothing but `link` does I/O; everything else is plain state that tests drive directly.

pub(super) mod counters;
pub(super) mod link;
pub(super) mod message;
pub(super) mod mrec;
#[cfg(test)]
mod mrec_model;
pub(super) mod mrsc;
#[cfg(test)]
mod mrsc_model;
pub(super) mod outbox;
pub(super) mod proposer;
pub(super) mod tables;
