//! What a seed costs that runs in a process of its own: `time` is real time for each seed, one at a time.
//!
//! `empty` is the fork, the pipes and the end of a process; `15-idle-hosts` adds a world for a simulated minute.

use std::num::NonZeroUsize;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use criterion::{Criterion, criterion_group, criterion_main};
use sumzero_benches::idle;
use sumzero_sim::campaign::Campaign;

/// Runs so many seeds.
fn time(seeds: u64, run: impl Fn(u64) -> u64) -> Duration {
    let started = Instant::now();
    let campaign = Campaign::new(0..seeds).jobs(NonZeroUsize::MIN);
    let handed_over = campaign.run(run, |result| {
        assert!(result.fate.answer().is_some(), "{}", result.fate);
        ControlFlow::Continue(())
    });
    assert_eq!(handed_over.expect("this process has one thread"), seeds);
    started.elapsed()
}

fn campaign(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("seed");
    group
        .warm_up_time(Duration::from_secs(1))
        .measurement_time(Duration::from_secs(3))
        .sample_size(20);
    group.bench_function("empty", |bencher| {
        bencher.iter_custom(|seeds| time(seeds, |seed| seed));
    });
    group.bench_function("15-idle-hosts", |bencher| {
        bencher.iter_custom(|seeds| {
            time(seeds, |_| {
                let outcome = idle::world(15).run_until(Duration::from_secs(60));
                outcome.expect("an idle world runs").trace_hash.0
            })
        });
    });
}

criterion_group!(benches, campaign);
criterion_main!(benches);
