//! What simulated Aurora PostgreSQL costs inside a world: `time` is CPU time for each request or transaction through sqlx,
//! client and server together; beside it the real time that the same client waits for a real PostgreSQL on this machine,
//! over its local socket and without durability; and real time for the start of a world with one engine and its end.

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use sumzero_benches::aurora::{self, Work};
use sumzero_benches::stopwatch;

// The real server and the client that administers it are those of the conformance suites, which use more of them.
#[allow(dead_code)]
#[path = "../sim/tests/postgres/outcome.rs"]
mod outcome;
#[allow(dead_code)]
#[path = "../sim/tests/postgres/servers/postgres.rs"]
mod postgres;
#[allow(dead_code, unused_imports)]
#[path = "../sim/tests/postgres/wire/mod.rs"]
mod wire;

/// The real time of so much work on an empty database of the real server.
fn time_on_postgres(work: Work, count: u64) -> Duration {
    let cluster = postgres::cluster();
    let wire::Address::Unix { directory, port } = cluster.address() else {
        unreachable!("it listens on a local socket");
    };
    let database = cluster.take_database();
    let took = aurora::time_on_postgres(&directory, port, &database, work, count);
    cluster.give_back_database(&database);
    took
}

fn aurora(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("aurora");
    group
        .warm_up_time(Duration::from_secs(1))
        .measurement_time(Duration::from_secs(4))
        .sample_size(20);
    for (name, work) in [
        ("select", Work::Select),
        ("insert", Work::Insert),
        ("posting", Work::Posting),
    ] {
        group.bench_function(name, |bencher| {
            bencher.iter_custom(|count| stopwatch::time_until_done(aurora::requests(work, count)));
        });
        group.bench_function(format!("{name}-postgres"), |bencher| {
            bencher.iter_custom(|count| time_on_postgres(work, count));
        });
    }
    group.bench_function("start", |bencher| {
        bencher.iter(|| {
            let world = aurora::start().run_until_done(Duration::from_secs(60));
            black_box(world.expect("the worlds of the benches run"))
        });
    });
}

criterion_group!(benches, aurora);
criterion_main!(benches);
