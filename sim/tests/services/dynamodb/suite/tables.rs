//! Tables: creation, description, tags, streams, expiry, key schemas.

use super::{create_table, get, n, put, s};
use crate::dynamodb::cluster::{Cluster, REGIONS};
use aws_sdk_dynamodb::error::ProvideErrorMetadata;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, KeySchemaElement, KeyType, ScalarAttributeType, StreamViewType, Tag,
    TimeToLiveSpecification,
};

pub(crate) async fn tables_are_described_and_listed(cluster: Cluster) {
    let client = &cluster.client(REGIONS[0]);
    for name in ["ccc", "aaa", "bbb"] {
        create_table(client, name, false).await;
    }
    let again = client
        .create_table()
        .table_name("aaa")
        .billing_mode(BillingMode::PayPerRequest);
    let again = again
        .key_schema(
            KeySchemaElement::builder()
                .attribute_name("pk")
                .key_type(KeyType::Hash)
                .build()
                .expect("key"),
        )
        .attribute_definitions(
            AttributeDefinition::builder()
                .attribute_name("pk")
                .attribute_type(ScalarAttributeType::S)
                .build()
                .expect("attribute"),
        );
    let refused = again.send().await.expect_err("exists").into_service_error();
    assert!(refused.is_resource_in_use_exception(), "{refused:?}");

    let described = client
        .describe_table()
        .table_name("aaa")
        .send()
        .await
        .expect("describe")
        .table
        .expect("table");
    assert_eq!(
        described.table_arn(),
        Some("arn:aws:dynamodb:us-east-1:123456789012:table/aaa")
    );
    assert_eq!(described.table_status().expect("status").as_str(), "ACTIVE");

    let page = client.list_tables().limit(2).send().await.expect("list");
    assert_eq!(page.table_names(), ["aaa", "bbb"]);
    let rest = client
        .list_tables()
        .set_exclusive_start_table_name(page.last_evaluated_table_name)
        .send()
        .await;
    assert_eq!(rest.expect("list").table_names(), ["ccc"]);

    client
        .delete_table()
        .table_name("bbb")
        .send()
        .await
        .expect("delete");
    let gone = client
        .describe_table()
        .table_name("bbb")
        .send()
        .await
        .expect_err("gone")
        .into_service_error();
    assert!(gone.is_resource_not_found_exception(), "{gone:?}");
}

pub(crate) async fn streams_tell_every_change(cluster: Cluster) {
    let client = &cluster.client(REGIONS[0]);
    create_table(client, "things", false).await;
    put(client, "things", "a", 1).await;
    put(client, "things", "a", 2).await;
    client
        .delete_item()
        .table_name("things")
        .key("pk", s("a"))
        .send()
        .await
        .expect("delete");
    let described = client
        .describe_table()
        .table_name("things")
        .send()
        .await
        .expect("describe")
        .table
        .expect("table");
    let arn = described.latest_stream_arn().expect("stream").to_owned();
    assert!(
        arn.starts_with("arn:aws:dynamodb:us-east-1:123456789012:table/things/stream/"),
        "{arn}"
    );
    let stream = described.stream_specification().expect("stream");
    assert_eq!(stream.stream_view_type(), Some(&StreamViewType::NewAndOldImages));
    // Reading the stream needs the SDK of another service; `wire` and the boto3 suite read it.
}

pub(crate) async fn expired_items_are_described_and_linger(cluster: Cluster) {
    let client = &cluster.client(REGIONS[0]);
    create_table(client, "things", false).await;
    let expiry = TimeToLiveSpecification::builder()
        .enabled(true)
        .attribute_name("expires_at")
        .build();
    let expiry = expiry.expect("specification");
    client
        .update_time_to_live()
        .table_name("things")
        .time_to_live_specification(expiry)
        .send()
        .await
        .expect("enable");
    let described = client
        .describe_time_to_live()
        .table_name("things")
        .send()
        .await
        .expect("describe");
    let described = described.time_to_live_description().expect("description").clone();
    assert_eq!(described.attribute_name(), Some("expires_at"));
    let old = client
        .put_item()
        .table_name("things")
        .item("pk", s("old"))
        .item("expires_at", n(1))
        .item("v", n(1));
    old.send().await.expect("put");
    assert_eq!(
        get(client, "things", "old", true).await,
        Some(1),
        "an expired item is still there until it is swept"
    );
}

pub(crate) async fn tags_come_and_go(cluster: Cluster) {
    let client = &cluster.client(REGIONS[0]);
    create_table(client, "things", false).await;
    let arn = "arn:aws:dynamodb:us-east-1:123456789012:table/things";
    let tag = Tag::builder().key("team").value("payments").build().expect("tag");
    client
        .tag_resource()
        .resource_arn(arn)
        .tags(tag)
        .send()
        .await
        .expect("tag");
    let tags = client
        .list_tags_of_resource()
        .resource_arn(arn)
        .send()
        .await
        .expect("list")
        .tags
        .expect("tags");
    assert_eq!((tags[0].key(), tags[0].value()), ("team", "payments"));
    client
        .untag_resource()
        .resource_arn(arn)
        .tag_keys("team")
        .send()
        .await
        .expect("untag");
    let tags = client
        .list_tags_of_resource()
        .resource_arn(arn)
        .send()
        .await
        .expect("list")
        .tags;
    assert!(tags.is_none_or(|tags| tags.is_empty()));
}

pub(crate) async fn key_schemas_are_enforced(cluster: Cluster) {
    let client = &cluster.client(REGIONS[0]);
    create_table(client, "things", true).await;
    let missing = client
        .put_item()
        .table_name("things")
        .item("pk", s("a"))
        .send()
        .await
        .expect_err("no sort key");
    let wrong = client
        .get_item()
        .table_name("things")
        .key("pk", n(1))
        .key("sk", n(1))
        .send()
        .await
        .expect_err("type");
    let empty = client
        .put_item()
        .table_name("things")
        .item("pk", s(""))
        .item("sk", n(1))
        .send()
        .await
        .expect_err("empty");
    for refused in [missing.code(), wrong.code(), empty.code()] {
        assert_eq!(refused, Some("ValidationException"));
    }
    let unknown = client
        .get_item()
        .table_name("nowhere")
        .key("pk", s("a"))
        .send()
        .await
        .expect_err("no table");
    assert!(unknown.into_service_error().is_resource_not_found_exception());
}
