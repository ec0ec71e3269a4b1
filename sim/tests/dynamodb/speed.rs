//! What a call costs, client and server together. Run by hand, optimised:
//! `cargo test --release -p sumzero-sim --features dynamodb --test dynamodb -- --ignored --nocapture speed`

use crate::cluster::Cluster;
use crate::global::{make_global, make_strong};
use crate::suite::{create_table, get, put};
use std::time::Instant;

const CALLS: u32 = 2_000;

async fn measure(name: &str, calls: u32, mut call: impl AsyncFnMut(u32)) {
    let start = Instant::now();
    for number in 0..calls {
        call(number).await;
    }
    println!(
        "{name:<46} {:>9.1} us a call",
        start.elapsed().as_secs_f64() * 1e6 / f64::from(calls)
    );
}

#[tokio::test]
#[ignore = "a measurement, not a check"]
async fn speed() {
    let regions = ["us-east-1", "us-east-2", "us-west-2"];
    let start = Instant::now();
    let cluster = Cluster::start(&regions).await;
    println!("three Regions started in {:?}", start.elapsed());
    let clients: Vec<_> = regions.iter().map(|region| cluster.client(region)).collect();
    create_table(&clients[0], "local", false).await;
    create_table(&clients[0], "mrec", false).await;
    create_table(&clients[0], "mrsc", false).await;
    let start = Instant::now();
    make_global(&clients[0], "mrec", &regions[1..]).await;
    make_strong(&clients[0], "mrsc", &regions[1..]).await;
    println!("two tables made global in {:?}", start.elapsed());
    for table in ["local", "mrec", "mrsc"] {
        for part in 0..3 {
            let name = format!("put {table}, items {}..{}", part * CALLS, (part + 1) * CALLS);
            measure(&name, CALLS, async |number| {
                put(&clients[0], table, &format!("item-{}", part * CALLS + number), 1).await;
            })
            .await;
        }
        measure(&format!("get {table}"), CALLS, async |number| {
            get(&clients[0], table, &format!("item-{number}"), false).await;
        })
        .await;
    }
    measure("get mrsc, consistent", CALLS, async |number| {
        get(&clients[0], "mrsc", &format!("item-{number}"), true).await;
    })
    .await;
}
