//! Randomness comes from the seed, for each host from a stream of its own.

use std::collections::HashMap;

use sumzero_sim::{Host, World};

use crate::support::Log;

/// What a program draws by every way to randomness that it has.
fn draws(seed: u64, with_neighbour: bool) -> Vec<String> {
    let log = Log::default();
    let lines = log.clone();
    let mut world = World::new(seed);
    if with_neighbour {
        world = world.host(Host::new("neighbour").run(|| async {
            let mut bytes = [0u8; 1000];
            getrandom::fill(&mut bytes).unwrap();
            fastrand::u64(..);
        }));
    }
    world
        .host(Host::new("dice").run(move || {
            let log = lines.clone();
            async move {
                let mut bytes = [0u8; 8];
                getrandom::fill(&mut bytes).unwrap();
                log.add(format!("getrandom {bytes:?}"));
                log.add(format!("fastrand {}", fastrand::u64(..)));
            }
        }))
        .run_until(std::time::Duration::from_secs(1))
        .unwrap();
    log.lines()
}

#[test]
fn a_seed_decides_every_draw() {
    assert_eq!(draws(7, false), draws(7, false));
    let (seven, eight) = (draws(7, false), draws(8, false));
    assert!(
        seven.iter().zip(&eight).all(|(a, b)| a != b),
        "{seven:?} {eight:?}"
    );
}

#[test]
fn a_neighbours_draws_change_nothing() {
    assert_eq!(draws(7, false), draws(7, true));
}

#[test]
fn the_order_of_a_hash_map_comes_from_the_seed() {
    let order = |seed| {
        let log = Log::default();
        let lines = log.clone();
        World::new(seed)
            .host(Host::new("mapper").run(move || {
                let map: HashMap<u32, ()> = (0..50).map(|key| (key, ())).collect();
                lines.add(format!("{:?}", map.keys().collect::<Vec<_>>()));
                async {}
            }))
            .run_until(std::time::Duration::from_secs(1))
            .unwrap();
        log.lines()
    };
    assert_eq!(order(3), order(3));
    assert_ne!(order(3), order(4));
}

#[test]
fn outside_a_world_the_operating_system_answers() {
    let draw = || {
        let mut bytes = [0u8; 16];
        getrandom::fill(&mut bytes).unwrap();
        bytes
    };
    assert_ne!(draw(), draw());
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap();
    assert_ne!(now.as_secs(), 1_767_225_600);
    // Another thread goes on living in the real world while this one's world runs.
    let (stop, stopped) = std::sync::mpsc::channel::<()>();
    let real = std::thread::spawn(move || {
        let begun = std::time::Instant::now();
        let _ = stopped.recv_timeout(std::time::Duration::from_millis(200));
        (begun.elapsed(), std::fs::read("/proc/self/stat").is_ok())
    });
    World::new(1)
        .client(Host::new("sleeper").run(|| tokio::time::sleep(std::time::Duration::from_secs(3600))))
        .run_until_done(std::time::Duration::from_secs(4000))
        .unwrap();
    let (elapsed, read) = real.join().unwrap();
    drop(stop);
    assert!(elapsed < std::time::Duration::from_secs(60) && read);
}
