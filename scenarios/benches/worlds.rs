//! What a world of the payment system costs: boot, workload, faults, rest and verdict by all properties, in CPU time of this
//! process, which runs nothing else. Each iteration is another seed, so that a figure is a mean over seeds from 0 on.
//!
//!     cargo bench -p scenarios --bench worlds

use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use nix::time::{ClockId, clock_gettime};
use scenarios::{scenario::catalogue, verdict::Verdict};

fn cpu() -> Duration {
    clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID)
        .expect("a clock of the process")
        .into()
}

fn worlds(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("world");
    group.sample_size(10);
    for scenario in catalogue() {
        let name = scenario.name.as_str();
        // The standard scenario, and a day on which nothing goes wrong.
        if !["region-loss", "calm"].contains(&name) {
            continue;
        }
        let mut seeds = 0..;
        group.bench_function(name, |bencher| {
            bencher.iter_custom(|count| {
                let scripts: Vec<_> = seeds
                    .by_ref()
                    .take(count as usize)
                    .map(|seed| scenario.draw(seed))
                    .collect();
                let began = cpu();
                for script in &scripts {
                    let verdict = Verdict::reach(script);
                    assert!(verdict.violations().is_empty(), "{verdict:?}");
                }
                cpu() - began
            });
        });
    }
}

criterion_group!(benches, worlds);
criterion_main!(benches);
