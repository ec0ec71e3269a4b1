//! A sqlx pool whose database is killed in the middle of a deposit.
//!
//! The database has put the deposit into its books when it dies, and the client never hears of it. The pool's connections
//! are dead, new ones are refused until the database is back; then the pool connects again by itself. In the end the books
//! hold one deposit more than the client knows of: whoever repeats what failed pays twice.

#[path = "support/postgres.rs"]
mod postgres;
mod support;

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgPoolOptions, PgSslMode};
use sumzero_sim::{Error, Fault, Host, World};
use tokio::time::{Instant, sleep};

fn main() -> Result<(), Error> {
    let arguments = support::arguments();
    // The books outlive the process, as if they were on a disk.
    let books = Arc::new(AtomicI64::new(0));
    let log = Arc::new(Mutex::new(Vec::new()));
    let (balance, lines) = (books.clone(), log.clone());

    let database = Host::new("database").ip([10, 0, 0, 1]).run(move || {
        let balance = balance.clone();
        postgres::serve(move |amount| {
            let sum = balance.fetch_add(amount, Ordering::Relaxed) + amount;
            // Committed; now the answer takes a while.
            async move {
                sleep(Duration::from_millis(50)).await;
                sum
            }
        })
    });

    let client = Host::new("client").run(move || {
        let lines = lines.clone();
        async move {
            let started = Instant::now();
            let address = PgConnectOptions::new_without_pgpass()
                .host("10.0.0.1")
                .username("teller")
                .database("books");
            let pool = PgPoolOptions::new()
                .max_connections(2)
                .acquire_timeout(Duration::from_secs(1))
                .connect_with(address.ssl_mode(PgSslMode::Disable))
                .await?;
            for _ in 0..10 {
                let deposit = sqlx::query_scalar("SELECT deposit($1)").bind(100_i64);
                let what = match deposit.fetch_one(&pool).await {
                    Ok(balance) => Ok::<i64, _>(balance),
                    Err(error) => Err(error.to_string()),
                };
                lines.lock().unwrap().push((started.elapsed(), what));
                sleep(Duration::from_secs(1)).await;
            }
            pool.close().await;
            Ok::<_, sqlx::Error>(())
        }
    });

    let outcome = World::new(arguments.seed)
        .host(database)
        .client(client)
        .fault(
            Fault::kill("database")
                .at(Duration::from_millis(3_200))
                .lasting(Duration::from_secs(3)),
        )
        .trace(arguments.trace)
        .run_until_done(Duration::from_secs(60))?;

    let mut known = 0;
    for (at, what) in log.lock().unwrap().iter() {
        match what {
            Ok(balance) => {
                known += 100;
                println!("{:6.3} s  balance {balance}", at.as_secs_f64());
            }
            Err(error) => println!("{:6.3} s  {error}", at.as_secs_f64()),
        }
    }
    println!(
        "the client knows of {known}, the books hold {}",
        books.load(Ordering::Relaxed)
    );
    println!("trace-hash: {}", outcome.trace_hash);
    Ok(())
}
