//! What one request costs inside a world: `time` is CPU time for each request, client and server together.

use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use sumzero_benches::{services, stopwatch};

fn services(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("request");
    group
        .warm_up_time(Duration::from_secs(1))
        .measurement_time(Duration::from_secs(4))
        .sample_size(20);
    group.bench_function("reqwest-axum", |bencher| {
        bencher.iter_custom(|requests| stopwatch::time_until_done(services::http(requests)));
    });
    group.bench_function("sqlx-query", |bencher| {
        bencher.iter_custom(|queries| stopwatch::time_until_done(services::sql(queries)));
    });
    group.bench_function("aws-sdk-put-item", |bencher| {
        bencher.iter_custom(|puts| stopwatch::time_until_done(services::put_item(puts)));
    });
}

criterion_group!(benches, services);
criterion_main!(benches);
