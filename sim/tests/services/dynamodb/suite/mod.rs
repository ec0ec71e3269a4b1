//! The client suite: what any program may expect of DynamoDB, through the official SDK.

mod items;
mod tables;
mod transactions;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, AttributeValue, BillingMode, KeySchemaElement, KeyType, ScalarAttributeType,
    StreamSpecification, StreamViewType,
};

use super::cluster::one_region;
use crate::stage::in_both_places;
use items::{
    batches_are_limited_and_complete, conditions_hold_and_tell_the_old_item, items_round_trip_in_every_type,
    oversized_items_are_refused, queries_page_through_everything, statements_read_and_write,
    updates_return_what_was_asked,
};
use tables::{
    expired_items_are_described_and_linger, key_schemas_are_enforced, streams_tell_every_change,
    tables_are_described_and_listed, tags_come_and_go,
};
use transactions::{transactions_are_all_or_nothing, transactions_are_idempotent_by_token};

in_both_places!(one_region =>
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

pub(crate) fn s(text: &str) -> AttributeValue {
    AttributeValue::S(text.to_owned())
}

pub(crate) fn n(number: i64) -> AttributeValue {
    AttributeValue::N(number.to_string())
}

/// Creates a table with the partition key `pk` and, if asked, the numeric sort key `sk`, with a stream.
pub(crate) async fn create_table(client: &Client, name: &str, sorted: bool) {
    let key = |name: &str, kind: KeyType| {
        KeySchemaElement::builder()
            .attribute_name(name)
            .key_type(kind)
            .build()
            .expect("key")
    };
    let attribute = |name: &str, kind: ScalarAttributeType| {
        AttributeDefinition::builder()
            .attribute_name(name)
            .attribute_type(kind)
            .build()
            .expect("attribute")
    };
    let stream = StreamSpecification::builder()
        .stream_enabled(true)
        .stream_view_type(StreamViewType::NewAndOldImages)
        .build()
        .expect("stream");
    let mut create = client
        .create_table()
        .table_name(name)
        .billing_mode(BillingMode::PayPerRequest)
        .stream_specification(stream)
        .key_schema(key("pk", KeyType::Hash))
        .attribute_definitions(attribute("pk", ScalarAttributeType::S));
    if sorted {
        create = create
            .key_schema(key("sk", KeyType::Range))
            .attribute_definitions(attribute("sk", ScalarAttributeType::N));
    }
    create.send().await.expect("create table");
}

pub(crate) async fn put(client: &Client, table: &str, pk: &str, value: i64) {
    let put = client
        .put_item()
        .table_name(table)
        .item("pk", s(pk))
        .item("v", n(value));
    put.send().await.expect("put");
}

pub(crate) async fn get(client: &Client, table: &str, pk: &str, consistent: bool) -> Option<i64> {
    let get = client
        .get_item()
        .table_name(table)
        .key("pk", s(pk))
        .consistent_read(consistent);
    let item = get.send().await.expect("get").item?;
    Some(item["v"].as_n().expect("number").parse().expect("integer"))
}
