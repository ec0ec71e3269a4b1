//! The worlds that are measured, each built once for Sumzero and, where it is compared, once for turmoil.

pub mod aurora;
pub mod dynamodb;
pub mod idle;
pub mod messages;
pub mod services;
pub mod stopwatch;

use std::time::Duration;

/// turmoil as it comes, with its tick of 1 ms, and without an end.
fn turmoil() -> turmoil::Sim<'static> {
    turmoil::Builder::new()
        .rng_seed(1)
        .simulation_duration(Duration::from_secs(1 << 30))
        .build()
}
