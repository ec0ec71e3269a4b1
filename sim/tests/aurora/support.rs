//! An engine on a port, and one's way to it.

use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, ConnectOptions, Row};
use sumzero_sim::aws::aurora::{Engine, Options};
use tokio::net::TcpListener;

pub(crate) async fn start() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let engine = Engine::new(Options::default());
    tokio::spawn(async move { engine.serve(listener).await });
    port
}

pub(crate) async fn connect(port: u16) -> PgConnection {
    PgConnectOptions::new()
        .host("127.0.0.1")
        .port(port)
        .username("postgres")
        .database("postgres")
        .ssl_mode(sqlx::postgres::PgSslMode::Disable)
        .connect()
        .await
        .unwrap()
}

pub(crate) async fn run(c: &mut PgConnection, sql: &str) -> u64 {
    sqlx::raw_sql(AssertSqlSafe(sql))
        .execute(c)
        .await
        .unwrap_or_else(|e| panic!("{sql}: {e}"))
        .rows_affected()
}

pub(crate) async fn code(c: &mut PgConnection, sql: &str) -> String {
    let e = sqlx::raw_sql(AssertSqlSafe(sql)).execute(c).await.expect_err(sql);
    e.as_database_error()
        .unwrap_or_else(|| panic!("{sql}: {e}"))
        .code()
        .unwrap()
        .to_string()
}

pub(crate) async fn number(c: &mut PgConnection, sql: &str) -> i64 {
    sqlx::query(AssertSqlSafe(sql))
        .fetch_one(c)
        .await
        .unwrap_or_else(|e| panic!("{sql}: {e}"))
        .get(0)
}
