//! A server and a client that asks it so many times, one after the other, over the clients that people use.
//!
//! The servers do next to nothing, so what is measured is client, server side of the protocol, runtime and kernel together.
//! The same crates run on the operating system elsewhere; there each request also costs real system calls.

use std::time::Duration;

use aws_sdk_dynamodb::config::{Config, Credentials, Region};
use aws_sdk_dynamodb::types::AttributeValue;
use axum::Router;
use axum::body::Bytes;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions, PgSslMode};
use sumzero_sim::{Answer, Host, World};

use crate::stopwatch::WARM_UP;

#[path = "../../sim/examples/support/postgres.rs"]
mod postgres;

/// Asked before the watch starts: the connection is made, the statement prepared.
pub(crate) const ASKED_BEFORE: u64 = 10;

fn world<P, F>(server: Host, client: P) -> World
where
    P: Fn() -> F + Send + Sync + 'static,
    F: Future<Output: Answer> + 'static,
{
    World::new(1)
        .host(server.ip([10, 0, 0, 1]))
        .client(Host::new("client").run(client))
}

/// Lets the watch start once the first few are answered.
pub(crate) async fn ready(asked: u64) {
    if asked == ASKED_BEFORE {
        tokio::time::sleep(WARM_UP).await;
    }
}

/// reqwest posting to axum.
pub fn http(requests: u64) -> World {
    let server = Host::new("server").run(|| async {
        let app = Router::new().fallback(|body: Bytes| async move { body });
        axum::serve(tokio::net::TcpListener::bind("0.0.0.0:80").await?, app).await
    });
    world(server, move || async move {
        let http = reqwest::Client::builder()
            .timeout(Duration::from_secs(5))
            .build()?;
        for asked in 0..ASKED_BEFORE + requests {
            ready(asked).await;
            http.post("http://10.0.0.1/")
                .body("hello")
                .send()
                .await?
                .bytes()
                .await?;
        }
        Ok::<_, reqwest::Error>(())
    })
}

/// A sqlx pool with its default options, and one prepared statement with one parameter.
pub fn sql(queries: u64) -> World {
    let server = Host::new("server").run(|| postgres::serve(std::future::ready::<i64>));
    world(server, move || async move {
        let address = PgConnectOptions::new_without_pgpass()
            .host("10.0.0.1")
            .username("u")
            .database("d");
        let address = address.ssl_mode(PgSslMode::Disable);
        let pool = PgPoolOptions::new()
            .max_connections(2)
            .connect_with(address)
            .await?;
        for asked in 0..ASKED_BEFORE + queries {
            ready(asked).await;
            let _: i64 = sqlx::query_scalar("SELECT $1")
                .bind(asked as i64)
                .fetch_one(&pool)
                .await?;
        }
        Ok::<_, sqlx::Error>(())
    })
}

/// aws-sdk-dynamodb putting items, signed as in production, to an axum server that agrees to everything.
pub fn put_item(puts: u64) -> World {
    let server = Host::new("server").run(|| async {
        let app = Router::new()
            .fallback(|_: Bytes| async { ([("content-type", "application/x-amz-json-1.0")], "{}") });
        axum::serve(tokio::net::TcpListener::bind("0.0.0.0:80").await?, app).await
    });
    world(server, move || async move {
        let config = Config::builder()
            .behavior_version_latest()
            .region(Region::new("us-east-1"))
            .credentials_provider(Credentials::new("key", "secret", None, None, "bench"))
            .endpoint_url("http://10.0.0.1")
            .http_client(aws_smithy_http_client::Builder::new().build_http());
        let dynamodb = aws_sdk_dynamodb::Client::from_conf(config.build());
        for asked in 0..ASKED_BEFORE + puts {
            ready(asked).await;
            let put = dynamodb
                .put_item()
                .table_name("t")
                .item("id", AttributeValue::S(asked.to_string()));
            put.condition_expression("attribute_not_exists(id)")
                .send()
                .await?;
        }
        Ok::<_, aws_sdk_dynamodb::Error>(())
    })
}
