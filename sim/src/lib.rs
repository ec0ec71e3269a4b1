//! Unmodified tokio services in a seeded, faulty, deterministic world.

pub mod aws;
pub mod campaign;
mod error;
pub mod fault;
mod kernel;
pub mod net;
mod time;
pub mod trace;
pub mod units;
mod world;

pub use error::Error;
pub use fault::{Disk, Fault, Plan, PlannedFault};
pub use kernel::{Breach, Seed, Stats, Stream, Violation};
pub use net::Link;
pub use time::Time;
pub use trace::TraceHash;
pub use units::Skew;
pub use world::{Answer, FaultReport, Host, HostReport, HostState, Outcome, Simulation, World};
