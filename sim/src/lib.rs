//! Unmodified tokio services in a seeded, faulty, deterministic world.

pub mod aws;
