//! What idle hosts, three Regions of DynamoDB and an Aurora engine with rows take in memory, over the process without them.
//!
//! Measured: the private, anonymous memory of this process and its proportional set size, from Linux's own books
//! (`/proc/self/smaps_rollup`), before any world and after 60 simulated seconds of one. Not measured: pages that the
//! allocator keeps after the world has ended.

use std::time::Duration;

use sumzero_benches::{aurora, dynamodb, idle};
use sumzero_sim::World;

/// A line of the books, in KiB.
fn kib(field: &str) -> u64 {
    let books =
        std::fs::read_to_string("/proc/self/smaps_rollup").expect("Linux 4.14 or later keeps these books");
    let line = books
        .lines()
        .find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok())
        .expect("the field is in the books")
}

fn main() {
    let now = || (kib("Pss"), kib("Anonymous"));
    // The first look reserves what reading takes.
    now();
    let bare = now();
    type Build = fn() -> World;
    let worlds: [(&str, Build); 4] = [
        ("15 idle hosts", || idle::world(15)),
        ("100 idle hosts", || idle::world(100)),
        ("DynamoDB, 3 Regions, 6 tables", dynamodb::start),
        ("Aurora, 100,000 rows", aurora::filled),
    ];
    for (name, world) in worlds {
        let run = world().run(move |simulation| {
            simulation.run_until(Duration::from_secs(60))?;
            Ok(now())
        });
        let (full, outcome) = run.expect("an idle world runs");
        outcome.expect("an idle world runs");
        let mib = |kib: u64| kib as f64 / 1024.0;
        println!(
            "{name}: +{:.1} MiB PSS, +{:.1} MiB anonymous (bare process: {:.1} and {:.1} MiB)",
            mib(full.0.saturating_sub(bare.0)),
            mib(full.1.saturating_sub(bare.1)),
            mib(bare.0),
            mib(bare.1),
        );
    }
}
