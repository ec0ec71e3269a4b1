//! An axum server and a reqwest client with a partition between them.
//!
//! The client buys one book a second and gives up on a request after two seconds. During the partition its requests hang, and
//! afterwards some of those it gave up on turn out to have been served: the ambiguity that payments live with.

mod support;

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::{Router, routing::post};
use sumzero_sim::{Error, Fault, Host, Link, World};

fn main() -> Result<(), Error> {
    let arguments = support::arguments();
    let sold = Arc::new(AtomicU32::new(0));
    let log = Arc::new(Mutex::new(Vec::new()));
    let (counter, lines) = (sold.clone(), log.clone());

    let server = Host::new("shop")
        .region("us-east-1")
        .ip([10, 0, 0, 1])
        .run(move || {
            let counter = counter.clone();
            let sell = move || async move { format!("book {}", counter.fetch_add(1, Ordering::Relaxed) + 1) };
            async move {
                let listener = tokio::net::TcpListener::bind("0.0.0.0:80").await?;
                axum::serve(listener, Router::new().route("/books", post(sell))).await
            }
        });

    let client = Host::new("reader").region("sa-east-1").run(move || {
        let lines = lines.clone();
        async move {
            let http = reqwest::Client::builder()
                .timeout(Duration::from_secs(2))
                .build()?;
            for _ in 0..15 {
                let line = match http.post("http://10.0.0.1/books").send().await {
                    Ok(answer) => answer.text().await?,
                    Err(error) if error.is_timeout() => "no answer: sold or not?".to_owned(),
                    Err(error) => return Err(error),
                };
                lines.lock().unwrap().push(line);
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
            Ok(())
        }
    });

    let outcome = World::new(arguments.seed)
        .host(server)
        .client(client)
        .link(
            "us-east-1",
            "sa-east-1",
            Link::delay(Duration::from_millis(57)).jitter(Duration::from_millis(9)),
        )
        .fault(
            Fault::partition("us-east-1", "sa-east-1")
                .at(Duration::from_secs(4))
                .lasting(Duration::from_secs(6)),
        )
        .trace(arguments.trace)
        .run_until_done(Duration::from_secs(120))?;

    for line in log.lock().unwrap().iter() {
        println!("{line}");
    }
    println!(
        "the shop sold {} books by {} s",
        sold.load(Ordering::Relaxed),
        outcome.finished_at
    );
    println!("trace-hash: {}", outcome.trace_hash);
    Ok(())
}
