//! Stand-ins for those whom the payment system asks over HTTP: the payment service provider (PSP) and the KYC provider.
//!
//! Ordinary axum servers: they serve on a host of a world and on a port of this machine. Each remembers keys for a window, as
//! the real ones do: within it, the same key is the same operation, past it a new one, and money moves again. What really
//! happened is kept apart from the keys, for an auditor who counts captures and not rows.

mod behaviour;
mod provider;

pub use behaviour::Behaviour;
pub use provider::{Effect, Kind, Provider};
