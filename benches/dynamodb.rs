//! What simulated DynamoDB costs inside a world: `time` is CPU time for each request through the official SDK, client and
//! server together, beside the same request to a server that does nothing; and real time for the start of three Regions
//! with six tables, all of it, taking down included.

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use sumzero_benches::dynamodb::{self, Request};
use sumzero_benches::stopwatch;

fn dynamodb(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("dynamodb");
    group
        .warm_up_time(Duration::from_secs(1))
        .measurement_time(Duration::from_secs(4))
        .sample_size(20);
    for (name, request) in [("put", Request::Put), ("get", Request::Get)] {
        group.bench_function(name, |bencher| {
            bencher.iter_custom(|count| stopwatch::time_until_done(dynamodb::requests(request, count)));
        });
        group.bench_function(format!("{name}-floor"), |bencher| {
            bencher.iter_custom(|count| stopwatch::time_until_done(dynamodb::floor(request, count)));
        });
    }
    group.bench_function("start", |bencher| {
        bencher.iter(|| {
            let world = dynamodb::start().run_until_done(Duration::from_secs(60));
            black_box(world.expect("the worlds of the benches run"))
        });
    });
}

criterion_group!(benches, dynamodb);
criterion_main!(benches);
