//! The simulated DynamoDB as its clients see it: the official SDK with its default retries, over real localhost ports.
//!
//! `suite` and `claims` take clients and read no clock of their own, so the same bodies can run inside a world.

mod boto3;
mod claims;
mod cluster;
mod faults;
mod global;
mod speed;
mod suite;
mod wire;

use cluster::Cluster;

/// Runs one body of the suite against a fresh single Region on localhost.
macro_rules! on_localhost {
    ($($name:ident),* $(,)?) => {
        $(
            #[tokio::test]
            async fn $name() {
                let cluster = Cluster::start(&["us-east-1"]).await;
                suite::$name(&cluster.client("us-east-1")).await;
            }
        )*
    };
}

on_localhost!(
    batches_are_limited_and_complete,
    conditions_hold_and_tell_the_old_item,
    expired_items_are_described_and_linger,
    items_round_trip_in_every_type,
    key_schemas_are_enforced,
    oversized_items_are_refused,
    queries_page_through_everything,
    statements_read_and_write,
    streams_tell_every_change,
    tables_are_described_and_listed,
    tags_come_and_go,
    transactions_are_all_or_nothing,
    transactions_are_idempotent_by_token,
    updates_return_what_was_asked,
);
