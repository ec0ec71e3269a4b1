//! A release that changes the schema is rolled out under load: both versions serve side by side, and nobody notices.

use std::sync::Arc;

use serde_json::json;
use sqlx::Row;

use crate::{
    shop::{Shop, await_answers},
    system::{Client, Process, Surroundings},
};

/// Clients at a time.
const CLIENTS: u64 = 6;

/// Steps of the migration that have been applied, and outcomes by version: without their time, with another time than that of
/// their intent.
async fn schema(surroundings: &Surroundings) -> (i64, i64, i64) {
    let mut superuser = surroundings.superuser().await;
    let steps = "select max(version) from _sqlx_migrations";
    let steps: i64 = sqlx::query_scalar(steps).fetch_one(&mut superuser).await.unwrap();
    let rows = "select count(*) filter (where settled_at is null), count(*) filter (where settled_at > created_at) \
                from operation where state in ('succeeded', 'declined')";
    let rows = sqlx::query(rows).fetch_one(&mut superuser).await.unwrap();
    (steps, rows.get(0), rows.get(1))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_versions_serve_side_by_side_and_nobody_notices() {
    let lease = [("PAYMENTS_WRITER_LEASE", "2")];
    let set_up = move || Surroundings::start_with("fsync = on", &lease, &["--to", "1"]);
    let surroundings = tokio::task::spawn_blocking(set_up).await.unwrap();
    let start = |schema: &str| {
        let process = tokio::task::block_in_place(|| surroundings.process(&["--schema", schema]));
        let client = Client::new(process.address, &surroundings.api_key);
        (process, client)
    };
    let program = |arguments: &[&str]| tokio::task::block_in_place(|| surroundings.program(arguments));
    let shop = Arc::new(Shop::default());
    let (mut processes, clients): (Vec<_>, Vec<_>) = (0..2).map(|_| start("1")).unzip();
    *shop.clients.lock().unwrap() = clients;
    let traders = shop.open(CLIENTS).await;
    await_answers(&shop, 40).await;

    // Everything expands under the version before. It would not bear more, and is not made to.
    program(&["migrate"]);
    await_answers(&shop, 40).await;
    let (steps, empty, own) = schema(&surroundings).await;
    assert!(steps == 4 && empty > 0 && own == 0, "{steps} {empty} {own}");
    let refused = tokio::task::block_in_place(|| surroundings.program_fails(&["migrate", "--contract"]));
    assert!(
        refused.contains("processes that write version 1 of the schema are running"),
        "{refused}"
    );

    // One by one: the new process first, then no new requests to the old one, then its end.
    for (place, process) in processes.iter_mut().enumerate() {
        let (next, client) = start("2");
        shop.clients.lock().unwrap()[place] = client;
        await_answers(&shop, 20).await;
        let old = std::mem::replace(process, next);
        assert!(tokio::task::block_in_place(|| old.terminate()));
        await_answers(&shop, 20).await;
        assert_eq!(schema(&surroundings).await.0, 4);
    }
    program(&["migrate", "--contract"]);
    await_answers(&shop, 40).await;
    let (steps, empty, own) = schema(&surroundings).await;
    assert!(steps == 6 && empty == 0 && own > 0, "{steps} {empty} {own}");

    // One of the version before that comes late has no right to write.
    let (late, client) = start("1");
    assert_eq!(client.get("/readyz").await.status, 503);
    let told = client
        .post("/v1/accounts", "late", &json!({"currency": "EUR"}))
        .await;
    assert!(told.status == 503 && told.retry_after.is_some(), "{told:?}");
    assert!(tokio::task::block_in_place(|| late.terminate()));

    let (history, answers) = shop.close(traders, &surroundings).await;
    assert!(processes.into_iter().all(Process::terminate));
    let heard = shop.heard.lock().unwrap();
    println!(
        "{answers} answers, {} effects at the provider; clients heard {heard:?}",
        history.effects.len()
    );
    // Whoever had no final answer was told to come again; nobody was left without any.
    assert!(!heard.contains_key("no answer"), "{heard:?}");
    let failures = heard
        .keys()
        .filter(|what| what.starts_with('5') && !what.starts_with("503"));
    assert_eq!(failures.count(), 0, "{heard:?}");
}
