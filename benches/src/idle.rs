//! Hosts that do nothing but wake twice a second.
//!
//! Their timers are spread over the half second, as they are in a real fleet: no two hosts wake at the same instant, which
//! is the dearest case for a world that jumps from one instant to the next, and no matter to one that ticks.

use std::time::Duration;

use sumzero_sim::{Host, World};

/// Timers a second, of each host.
pub const TIMERS_PER_SECOND: u32 = 2;

async fn wake_twice_a_second(index: usize, hosts: usize) {
    let period = Duration::from_secs(1) / TIMERS_PER_SECOND;
    tokio::time::sleep(period * index as u32 / hosts as u32).await;
    loop {
        tokio::time::sleep(period).await;
    }
}

/// The world.
pub fn world(hosts: usize) -> World {
    (0..hosts).fold(World::new(1), |world, index| {
        world.host(Host::new(format!("host-{index}")).run(move || wake_twice_a_second(index, hosts)))
    })
}

/// The same under turmoil.
pub fn turmoil(hosts: usize) -> turmoil::Sim<'static> {
    let mut simulation = crate::turmoil();
    for index in 0..hosts {
        simulation.host(format!("host-{index}"), move || async move {
            wake_twice_a_second(index, hosts).await;
            Ok(())
        });
    }
    simulation
}
