//! How fast time passes in worlds that are idle or exchange small messages, beside turmoil with the same hosts.
//!
//! `thrpt` is simulated seconds a second of CPU time where the name ends in `/sumzero` or `/turmoil`; one iteration is
//! one simulated second. Measured: a world under way. Not measured: set-up and the taking down, but for `start`, where an
//! iteration is a whole world of 15 hosts that lives for no time at all.

use std::hint::black_box;
use std::time::Duration;

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, SamplingMode, Throughput, criterion_group, criterion_main};
use sumzero_benches::{idle, messages, stopwatch};

/// A simulated second for every iteration, and as many iterations as criterion asks for.
fn simulated(iterations: u64) -> Duration {
    Duration::from_secs(iterations)
}

fn group<'a>(criterion: &'a mut Criterion, name: &str) -> BenchmarkGroup<'a, WallTime> {
    let mut group = criterion.benchmark_group(name);
    group.throughput(Throughput::Elements(1));
    group
        .warm_up_time(Duration::from_secs(1))
        .measurement_time(Duration::from_secs(3))
        .sample_size(20);
    group
}

/// turmoil's simulated second takes long: few samples, of few seconds each.
fn patient(group: &mut BenchmarkGroup<'_, WallTime>) {
    group
        .sampling_mode(SamplingMode::Flat)
        .sample_size(10)
        .warm_up_time(Duration::from_millis(10));
}

fn idle(criterion: &mut Criterion) {
    for hosts in [15, 30, 100] {
        let mut group = group(criterion, &format!("idle-{hosts}-hosts"));
        group.bench_function("sumzero", |bencher| {
            bencher
                .iter_custom(|iterations| stopwatch::time_for(idle::world(hosts), simulated(iterations)).0);
        });
        patient(&mut group);
        group.bench_function("turmoil", |bencher| {
            bencher.iter_custom(|iterations| {
                stopwatch::time_turmoil(idle::turmoil(hosts), simulated(iterations))
            });
        });
    }
}

fn messages(criterion: &mut Criterion) {
    let mut group = group(criterion, "1000-messages-a-second");
    group.bench_function("sumzero", |bencher| {
        bencher.iter_custom(|iterations| stopwatch::time_for(messages::world(), simulated(iterations)).0);
    });
    patient(&mut group);
    group.bench_function("turmoil", |bencher| {
        bencher.iter_custom(|iterations| stopwatch::time_turmoil(messages::turmoil(), simulated(iterations)));
    });
}

/// One iteration is one activation of a host: the idle world's time by how often its hosts were run.
fn activation(criterion: &mut Criterion) {
    const HOSTS: usize = 15;
    let mut group = group(criterion, "activation");
    group.bench_function("sumzero", |bencher| {
        bencher.iter_custom(|iterations| {
            let a_second = HOSTS as u64 * u64::from(idle::TIMERS_PER_SECOND);
            let seconds = iterations.div_ceil(a_second);
            let before = stopwatch::WARM_UP.as_secs() * a_second;
            let (took, outcome) = stopwatch::time_for(idle::world(HOSTS), Duration::from_secs(seconds));
            let activations = outcome.stats.activations.saturating_sub(before).max(1);
            took.mul_f64(iterations as f64 / activations as f64)
        });
    });
}

fn start(criterion: &mut Criterion) {
    let mut group = group(criterion, "start");
    group.bench_function("sumzero", |bencher| {
        bencher.iter(|| black_box(idle::world(15).run_until(Duration::ZERO)));
    });
}

criterion_group!(benches, idle, messages, activation, start);
criterion_main!(benches);
