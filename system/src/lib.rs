//! A payment system for several Regions: charges through a payment service provider and marketplace settlements, on a ledger
//! whose books always sum to zero.
//!
//! # How a mutation goes
//!
//! 1. [`gate`]: the request claims its idempotency key in DynamoDB. A retry gets the first answer; a rival waits.
//! 2. [`ledger`]: one transaction writes down the request, the payment and the intent of what is to be done outside.
//! 3. [`external`]: the provider is asked, under a key that follows from the intent. Unknown outcomes are asked for.
//! 4. [`ledger`]: one transaction books the outcome with the answer and the event.
//! 5. [`gate`]: the answer is put where a second Region has it too. Then the client is told.
//!
//! 6. [`messages`]: the events that committed with the changes go to their subscribers, each exactly once and in order.
//!
//! A process that dies in between is replaced from the ledger ([`sweeper`]): the intent names the call, the fence says who may
//! settle it. `CLAIMS.md` in this package's folder says how each known way of losing or doubling money is met.

pub mod api;
pub mod backoff;
mod clock;
pub mod drain;
pub mod engine;
pub mod external;
pub mod gate;
pub mod id;
pub mod ledger;
pub mod load;
pub mod messages;
pub mod metrics;
pub mod money;
pub mod node;
pub mod program;
pub mod reconcile;
pub mod region;
pub mod service;
pub mod sweeper;
pub mod telemetry;
pub mod tenant;
#[cfg(feature = "as-written")]
pub mod variant;
#[cfg(not(feature = "as-written"))]
mod variant;
