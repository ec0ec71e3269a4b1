//! Simulated Aurora PostgreSQL through sqlx, and the same work on a real PostgreSQL.

use std::path::Path;
use std::time::{Duration, Instant};

use sqlx::PgPool;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions, PgSslMode};
use sumzero_sim::aws::aurora::{Engine, Options};
use sumzero_sim::{Host, World};
use tokio::net::TcpListener;

use crate::services::{ASKED_BEFORE, ready};

const ACCOUNTS: i64 = 1_000;

/// Rows of [`filled`].
pub const ROWS: i64 = 100_000;

const SCHEMA: [&str; 3] = [
    "CREATE TABLE account (id bigint PRIMARY KEY, balance bigint NOT NULL CHECK (balance >= 0))",
    "CREATE TABLE transfer (id bigint PRIMARY KEY, amount bigint NOT NULL, made_at timestamptz NOT NULL DEFAULT now())",
    "CREATE TABLE entry (
        transfer bigint NOT NULL REFERENCES transfer, account bigint NOT NULL REFERENCES account,
        amount bigint NOT NULL, PRIMARY KEY (transfer, account)
    )",
];

/// What is asked again and again.
#[derive(Clone, Copy, Debug)]
pub enum Work {
    /// A SELECT of one row by its primary key.
    Select,
    /// An INSERT of one row.
    Insert,
    /// A transaction of six statements, besides BEGIN and COMMIT, that moves money: two accounts locked, a transfer and its
    /// two entries inserted, two balances updated.
    Posting,
}

impl Work {
    async fn ask(self, pool: &PgPool, number: i64) -> Result<(), sqlx::Error> {
        match self {
            Work::Select => {
                let balance: i64 = sqlx::query_scalar("SELECT balance FROM account WHERE id = $1")
                    .bind(number % ACCOUNTS)
                    .fetch_one(pool)
                    .await?;
                assert_eq!(balance, 1_000_000);
            }
            Work::Insert => {
                sqlx::query("INSERT INTO transfer (id, amount) VALUES ($1, $2)")
                    .bind(number)
                    .bind(7_i64)
                    .execute(pool)
                    .await?;
            }
            Work::Posting => post(pool, number).await?,
        }
        Ok(())
    }
}

async fn post(pool: &PgPool, transfer: i64) -> Result<(), sqlx::Error> {
    let (from, to) = (transfer % ACCOUNTS, (transfer * 7 + 1) % ACCOUNTS);
    let accounts = [from, to + i64::from(from == to)];
    let mut transaction = pool.begin().await?;
    sqlx::query("SELECT balance FROM account WHERE id = $1 OR id = $2 ORDER BY id FOR UPDATE")
        .bind(accounts[0])
        .bind(accounts[1])
        .fetch_all(&mut *transaction)
        .await?;
    sqlx::query("INSERT INTO transfer (id, amount) VALUES ($1, $2)")
        .bind(transfer)
        .bind(1_i64)
        .execute(&mut *transaction)
        .await?;
    for (account, amount) in accounts.into_iter().zip([-1_i64, 1]) {
        sqlx::query("INSERT INTO entry (transfer, account, amount) VALUES ($1, $2, $3)")
            .bind(transfer)
            .bind(account)
            .bind(amount)
            .execute(&mut *transaction)
            .await?;
        sqlx::query("UPDATE account SET balance = balance + $2 WHERE id = $1")
            .bind(account)
            .bind(amount)
            .execute(&mut *transaction)
            .await?;
    }
    transaction.commit().await
}

async fn pool(address: PgConnectOptions) -> Result<PgPool, sqlx::Error> {
    let address = address.username("postgres").ssl_mode(PgSslMode::Disable);
    PgPoolOptions::new()
        .max_connections(2)
        .connect_with(address)
        .await
}

async fn prepare(pool: &PgPool) -> Result<(), sqlx::Error> {
    for statement in SCHEMA {
        sqlx::query(statement).execute(pool).await?;
    }
    sqlx::query("INSERT INTO account SELECT g, 1000000 FROM generate_series(0, $1 - 1) AS g")
        .bind(ACCOUNTS)
        .execute(pool)
        .await?;
    Ok(())
}

fn world<P, F>(client: P) -> World
where
    P: Fn(PgConnectOptions) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Result<(), sqlx::Error>> + 'static,
{
    let database = Host::new("database").ip([10, 0, 0, 1]).run(|| async {
        let listener = TcpListener::bind("0.0.0.0:5432").await?;
        Engine::new(Options::default()).serve(listener).await
    });
    World::new(1)
        .host(database)
        .client(Host::new("client").run(move || {
            let address = PgConnectOptions::new_without_pgpass().host("10.0.0.1");
            client(address.database("postgres"))
        }))
}

/// An engine, and a client that asks so many times, one after the other.
pub fn requests(work: Work, count: u64) -> World {
    world(move |address| async move {
        let pool = pool(address).await?;
        prepare(&pool).await?;
        for asked in 0..ASKED_BEFORE + count {
            ready(asked).await;
            work.ask(&pool, asked as i64).await?;
        }
        Ok(())
    })
}

/// An engine, and a client that connects and asks once.
pub fn start() -> World {
    world(|address| async move {
        let pool = pool(address).await?;
        sqlx::query("SELECT 1").execute(&pool).await?;
        Ok(())
    })
}

/// An engine with a table of [`ROWS`] rows of four columns and two indexes.
pub fn filled() -> World {
    world(|address| async move {
        let pool = pool(address).await?;
        for statement in [
            "CREATE TABLE payment (id bigint PRIMARY KEY, account bigint NOT NULL, amount bigint NOT NULL, state text NOT NULL)",
            "CREATE INDEX ON payment (account)",
        ] {
            sqlx::query(statement).execute(&pool).await?;
        }
        const BATCH: i64 = 1_000;
        for first in (0..ROWS).step_by(BATCH as usize) {
            sqlx::query("INSERT INTO payment SELECT g, g % 1000, g, 'captured' FROM generate_series($1, $1 + $2 - 1) AS g")
                .bind(first)
                .bind(BATCH)
                .execute(&pool)
                .await?;
        }
        Ok(())
    })
}

/// The real time that a real PostgreSQL's client waits for the same, on an empty database of the server whose socket is in
/// this directory.
///
/// # Panics
/// When the server cannot be used.
pub fn time_on_postgres(socket: &Path, port: u16, database: &str, work: Work, count: u64) -> Duration {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let run = async {
        let address = PgConnectOptions::new_without_pgpass().socket(socket).port(port);
        let pool = pool(address.database(database)).await?;
        prepare(&pool).await?;
        let mut started = Instant::now();
        for asked in 0..ASKED_BEFORE + count {
            if asked == ASKED_BEFORE {
                started = Instant::now();
            }
            work.ask(&pool, asked as i64).await?;
        }
        let took = started.elapsed();
        pool.close().await;
        Ok::<_, sqlx::Error>(took)
    };
    runtime
        .expect("a runtime")
        .block_on(run)
        .expect("a server that answers")
}
