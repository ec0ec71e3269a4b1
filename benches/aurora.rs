//! What simulated Aurora PostgreSQL costs inside a world: `time` is CPU time for each request or transaction through sqlx,
//! client and server together; beside it the real time that the same client waits for a real PostgreSQL on this machine,
//! over its local socket and without durability; and real time for the start of a world with one engine and its end.

use std::hint::black_box;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use sumzero_benches::aurora::{self, Work};
use sumzero_benches::stopwatch;
use sumzero_postgres::Server;

/// A real PostgreSQL, as the conformance suites start it: fast and not durable.
const SETTINGS: &str =
    "fsync = off\nfull_page_writes = off\nsynchronous_commit = off\nautovacuum = off\nshared_buffers = 32MB";

/// The real time of so much work on an empty database of the real server.
fn time_on_postgres(server: &Server, work: Work, count: u64) -> Duration {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let database = format!("bench_{}", NEXT.fetch_add(1, Ordering::Relaxed));
    let created = server.create_database(&database);
    created.unwrap_or_else(|error| panic!("{error}"));
    aurora::time_on_postgres(server.socket(), server.port(), &database, work, count)
}

fn aurora(criterion: &mut Criterion) {
    let server = Server::start(SETTINGS).unwrap_or_else(|error| panic!("{error}"));
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
            bencher.iter_custom(|count| time_on_postgres(&server, work, count));
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
