//! Simulated DynamoDB with global tables.
//!
//! One [`DynamoDb`] is one Region. It speaks DynamoDB's wire protocol to clients and a private one, over plain TCP, to
//! the other Regions. It is an ordinary tokio server: it needs one `current_thread` runtime, starts no thread, and
//! keeps no state outside its handle.
//!
//! Modelled: every operation of the storage engine (`dynoxide`), AWS's error types and bodies, signature dates, request
//! tokens with their ten minutes, transactions that overlap in time, lingering TTL, eventually consistent global tables
//! (last writer wins per item, lag, coalescing, conflicts counted) and strongly consistent ones (three Regions, two of
//! which hold every acknowledged write), and the faults of [`ServiceFault`](crate::fault::ServiceFault).
//! Not modelled: capacity (throttling is a fault, not an account), IAM, encryption, backups, exports, DAX,
//! the minutes that table and replica creation take.
//!
//! Faults a Region may suffer: those of requests and of replication, and whatever the network does to its two listeners. Its data
//! survives a restart of its server; losing a Region is a matter of the network or of the host, never of its data.

pub mod config;
mod control;
mod engine;
mod error;
mod expiry;
mod global;
mod key;
mod local;
mod overlap;
mod plain;
mod region;
mod replica_plan;
mod replicas;
mod replication;
mod request;
mod server;
mod strong;

pub use config::Config;
pub use global::counters::{Counters, LostUpdate, Summary};
pub use global::mrec::Stamp;
pub use key::ItemKey;
pub use server::DynamoDb;
