//! Simulated routing: the ARC routing-control data plane and a stand-in for Global Accelerator.
//!
//! Routing control is a cluster of (in AWS) five Regional endpoints, each an ordinary server ([`Endpoint`]). They agree by
//! majority over plain TCP between them ([`consensus`]), so a partition of the network partitions the cluster: an endpoint
//! that reaches fewer than three of five, itself included, answers `EndpointTemporarilyUnavailableException` to reads and
//! updates alike. A change is agreed at once and shows at each endpoint after a delay of its own ([`Convergence`]).
//! Modelled: safety rules with wait periods and overrides ([`config`]), evaluated on the agreed state.
//! May suffer: whatever any request may ([`crate::fault::ServiceFault`]), and the network between the endpoints.
//! Not modelled: the configuration API (a cluster is configured as data), rate limits, sharing between accounts.

pub mod accelerator;
pub mod config;
pub mod consensus;
mod endpoint;
mod error;
mod member;
pub mod state;

pub use config::{Configuration, ControlState, Invalid};
pub use endpoint::{Endpoint, Options};
pub use error::Error;
pub use state::Convergence;
