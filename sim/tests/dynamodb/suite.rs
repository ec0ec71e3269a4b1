//! The client suite: what any program may expect of DynamoDB, through the official SDK.

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::ProvideErrorMetadata;
use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, AttributeValue, BillingMode, ConditionCheck, Delete, DeleteRequest,
    KeySchemaElement, KeyType, KeysAndAttributes, Put, PutRequest, ReturnValue,
    ReturnValuesOnConditionCheckFailure, ScalarAttributeType, StreamSpecification, StreamViewType, Tag,
    TimeToLiveSpecification, TransactWriteItem, Update, WriteRequest,
};
use std::collections::HashMap;

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

pub(crate) async fn tables_are_described_and_listed(client: &Client) {
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

pub(crate) async fn items_round_trip_in_every_type(client: &Client) {
    create_table(client, "things", false).await;
    let item: HashMap<String, AttributeValue> = [
        ("pk", s("everything")),
        ("number", AttributeValue::N("-12.5".to_owned())),
        ("bytes", AttributeValue::B(Blob::new(vec![0_u8, 255]))),
        ("yes", AttributeValue::Bool(true)),
        ("nothing", AttributeValue::Null(true)),
        ("list", AttributeValue::L(vec![s("a"), n(1)])),
        (
            "map",
            AttributeValue::M(HashMap::from([("inner".to_owned(), s("ünïcode"))])),
        ),
        (
            "strings",
            AttributeValue::Ss(vec!["x".to_owned(), "y".to_owned()]),
        ),
        (
            "numbers",
            AttributeValue::Ns(vec!["1".to_owned(), "2".to_owned()]),
        ),
        ("blobs", AttributeValue::Bs(vec![Blob::new("p"), Blob::new("q")])),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into();
    client
        .put_item()
        .table_name("things")
        .set_item(Some(item.clone()))
        .send()
        .await
        .expect("put");
    let got = client
        .get_item()
        .table_name("things")
        .key("pk", s("everything"))
        .send()
        .await
        .expect("get");
    assert_eq!(got.item, Some(item));
    let absent = client
        .get_item()
        .table_name("things")
        .key("pk", s("absent"))
        .send()
        .await
        .expect("get");
    assert_eq!(absent.item, None);
}

pub(crate) async fn conditions_hold_and_tell_the_old_item(client: &Client) {
    create_table(client, "things", false).await;
    let claim = |owner: &str, tell: bool| {
        let put = client
            .put_item()
            .table_name("things")
            .item("pk", s("lease"))
            .item("owner", s(owner));
        let put = put.condition_expression("attribute_not_exists(pk)");
        let told = tell.then_some(ReturnValuesOnConditionCheckFailure::AllOld);
        put.set_return_values_on_condition_check_failure(told).send()
    };
    claim("one", true).await.expect("free");
    for tell in [true, false] {
        let refused = claim("two", tell).await.expect_err("taken").into_service_error();
        assert_eq!(refused.message(), Some("The conditional request failed"));
        let PutItemError::ConditionalCheckFailedException(refused) = refused else {
            panic!("{refused:?}")
        };
        let owner = refused.item().map(|item| item["owner"].clone());
        assert_eq!(owner, tell.then(|| s("one")));
    }
}

pub(crate) async fn updates_return_what_was_asked(client: &Client) {
    create_table(client, "things", false).await;
    put(client, "things", "a", 1).await;
    let add = |returned: ReturnValue| {
        let update = client
            .update_item()
            .table_name("things")
            .key("pk", s("a"))
            .update_expression("ADD v :one");
        update
            .expression_attribute_values(":one", n(1))
            .return_values(returned)
            .send()
    };
    let old = add(ReturnValue::AllOld)
        .await
        .expect("update")
        .attributes
        .expect("old");
    assert_eq!(old["v"], n(1));
    let new = add(ReturnValue::UpdatedNew)
        .await
        .expect("update")
        .attributes
        .expect("new");
    assert_eq!(new, HashMap::from([("v".to_owned(), n(3))]));
    let deleted = client
        .delete_item()
        .table_name("things")
        .key("pk", s("a"))
        .return_values(ReturnValue::AllOld);
    assert_eq!(
        deleted.send().await.expect("delete").attributes.expect("old")["v"],
        n(3)
    );
}

pub(crate) async fn queries_page_through_everything(client: &Client) {
    create_table(client, "things", true).await;
    for number in 0..25 {
        let put = client
            .put_item()
            .table_name("things")
            .item("pk", s("p"))
            .item("sk", n(number))
            .item("v", n(number % 5));
        put.send().await.expect("put");
    }
    let mut seen = Vec::new();
    let mut start = None;
    loop {
        let query = client
            .query()
            .table_name("things")
            .key_condition_expression("pk = :p AND sk >= :low")
            .limit(4);
        let query = query
            .expression_attribute_values(":p", s("p"))
            .expression_attribute_values(":low", n(5));
        let page = query.set_exclusive_start_key(start).send().await.expect("query");
        assert!(page.count() <= 4);
        seen.extend(
            page.items()
                .iter()
                .map(|item| item["sk"].as_n().expect("number").clone()),
        );
        start = page.last_evaluated_key;
        if start.is_none() {
            break;
        }
    }
    assert_eq!(
        seen,
        (5..25).map(|number: i32| number.to_string()).collect::<Vec<_>>()
    );

    let filtered = client.scan().table_name("things").filter_expression("v = :v");
    let filtered = filtered
        .expression_attribute_values(":v", n(0))
        .send()
        .await
        .expect("scan");
    assert_eq!((filtered.count(), filtered.scanned_count()), (5, 25));

    let pages = client
        .scan()
        .table_name("things")
        .limit(10)
        .into_paginator()
        .items()
        .send();
    let items = pages.collect::<Result<Vec<_>, _>>().await.expect("scan");
    assert_eq!(items.len(), 25);
}

pub(crate) async fn batches_are_limited_and_complete(client: &Client) {
    create_table(client, "things", false).await;
    let write = |number: usize| {
        let request = PutRequest::builder()
            .item("pk", s(&format!("i{number}")))
            .item("v", n(1))
            .build();
        WriteRequest::builder()
            .put_request(request.expect("request"))
            .build()
    };
    let full: Vec<_> = (0..25).map(write).collect();
    let answer = client
        .batch_write_item()
        .request_items("things", full)
        .send()
        .await
        .expect("batch");
    assert!(answer.unprocessed_items().is_none_or(HashMap::is_empty));
    let over: Vec<_> = (0..26).map(write).collect();
    let refused = client
        .batch_write_item()
        .request_items("things", over)
        .send()
        .await
        .expect_err("26 items");
    assert_eq!(refused.code(), Some("ValidationException"), "{refused:?}");

    let key = |number: usize| HashMap::from([("pk".to_owned(), s(&format!("i{number}")))]);
    let keys = KeysAndAttributes::builder()
        .set_keys(Some((0..25).map(key).collect()))
        .build()
        .expect("keys");
    let answer = client
        .batch_get_item()
        .request_items("things", keys)
        .send()
        .await
        .expect("batch");
    assert_eq!(answer.responses().expect("responses")["things"].len(), 25);
    let too_many = KeysAndAttributes::builder()
        .set_keys(Some((0..101).map(key).collect()))
        .build()
        .expect("keys");
    let refused = client
        .batch_get_item()
        .request_items("things", too_many)
        .send()
        .await
        .expect_err("101 keys");
    assert_eq!(refused.code(), Some("ValidationException"), "{refused:?}");

    let delete = DeleteRequest::builder()
        .key("pk", s("i0"))
        .build()
        .expect("request");
    let delete = WriteRequest::builder().delete_request(delete).build();
    client
        .batch_write_item()
        .request_items("things", vec![delete])
        .send()
        .await
        .expect("batch");
    assert_eq!(get(client, "things", "i0", true).await, None);
}

fn put_action(pk: &str, value: i64) -> TransactWriteItem {
    let put = Put::builder()
        .table_name("things")
        .item("pk", s(pk))
        .item("v", n(value))
        .build()
        .expect("put");
    TransactWriteItem::builder().put(put).build()
}

pub(crate) async fn transactions_are_all_or_nothing(client: &Client) {
    create_table(client, "things", false).await;
    put(client, "things", "b", 1).await;
    put(client, "things", "c", 1).await;
    let check = ConditionCheck::builder()
        .table_name("things")
        .key("pk", s("b"))
        .condition_expression("v = :two");
    let check = check
        .expression_attribute_values(":two", n(2))
        .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
        .build()
        .expect("check");
    let update = Update::builder()
        .table_name("things")
        .key("pk", s("c"))
        .update_expression("SET v = :nine");
    let update = update
        .expression_attribute_values(":nine", n(9))
        .build()
        .expect("update");
    let refused = client
        .transact_write_items()
        .transact_items(put_action("a", 1))
        .transact_items(TransactWriteItem::builder().condition_check(check).build())
        .transact_items(TransactWriteItem::builder().update(update).build())
        .send()
        .await
        .expect_err("condition")
        .into_service_error();
    let TransactWriteItemsError::TransactionCanceledException(refused) = refused else {
        panic!("{refused:?}")
    };
    let codes: Vec<_> = refused
        .cancellation_reasons()
        .iter()
        .map(|reason| reason.code().unwrap_or("-"))
        .collect();
    assert_eq!(codes, ["None", "ConditionalCheckFailed", "None"]);
    assert_eq!(
        refused.cancellation_reasons()[1]
            .item()
            .map(|item| item["v"].clone()),
        Some(n(1))
    );
    assert_eq!(get(client, "things", "a", true).await, None);
    assert_eq!(get(client, "things", "c", true).await, Some(1));

    let delete = Delete::builder()
        .table_name("things")
        .key("pk", s("b"))
        .build()
        .expect("delete");
    client
        .transact_write_items()
        .transact_items(put_action("a", 5))
        .transact_items(TransactWriteItem::builder().delete(delete).build())
        .send()
        .await
        .expect("transaction");
    assert_eq!(get(client, "things", "a", true).await, Some(5));
    assert_eq!(get(client, "things", "b", true).await, None);

    let twice = client
        .transact_write_items()
        .transact_items(put_action("z", 1))
        .transact_items(put_action("z", 2));
    let refused = twice.send().await.expect_err("one item twice");
    assert_eq!(refused.code(), Some("ValidationException"), "{refused:?}");
}

pub(crate) async fn transactions_are_idempotent_by_token(client: &Client) {
    create_table(client, "things", false).await;
    put(client, "things", "sum", 0).await;
    let add = |token: &str, amount: i64| {
        let update = Update::builder()
            .table_name("things")
            .key("pk", s("sum"))
            .update_expression("ADD v :amount");
        let update = update
            .expression_attribute_values(":amount", n(amount))
            .build()
            .expect("update");
        let action = TransactWriteItem::builder().update(update).build();
        client
            .transact_write_items()
            .client_request_token(token)
            .transact_items(action)
            .send()
    };
    add("token-1", 5).await.expect("first");
    add("token-1", 5).await.expect("again");
    assert_eq!(get(client, "things", "sum", true).await, Some(5));
    let refused = add("token-1", 6)
        .await
        .expect_err("other parameters")
        .into_service_error();
    assert!(
        refused.is_idempotent_parameter_mismatch_exception(),
        "{refused:?}"
    );
    add("token-2", 6).await.expect("other token");
    assert_eq!(get(client, "things", "sum", true).await, Some(11));
}

pub(crate) async fn streams_tell_every_change(client: &Client) {
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

pub(crate) async fn expired_items_are_described_and_linger(client: &Client) {
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

pub(crate) async fn tags_come_and_go(client: &Client) {
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

pub(crate) async fn statements_read_and_write(client: &Client) {
    create_table(client, "things", false).await;
    let run = |statement: &str| client.execute_statement().statement(statement).send();
    run("INSERT INTO \"things\" VALUE {'pk': 'a', 'v': 1}")
        .await
        .expect("insert");
    let refused = run("INSERT INTO \"things\" VALUE {'pk': 'a', 'v': 2}")
        .await
        .expect_err("twice")
        .into_service_error();
    assert!(refused.is_duplicate_item_exception(), "{refused:?}");
    run("UPDATE \"things\" SET v = 7 WHERE pk = 'a'")
        .await
        .expect("update");
    let rows = run("SELECT v FROM \"things\" WHERE pk = 'a'")
        .await
        .expect("select");
    assert_eq!(rows.items()[0]["v"], n(7));
}

pub(crate) async fn oversized_items_are_refused(client: &Client) {
    create_table(client, "things", false).await;
    let put = client
        .put_item()
        .table_name("things")
        .item("pk", s("big"))
        .item("x", s(&"x".repeat(400 * 1024)));
    let refused = put.send().await.expect_err("over 400 KB");
    assert_eq!(refused.code(), Some("ValidationException"));
    assert_eq!(
        refused.message(),
        Some("Item size has exceeded the maximum allowed size")
    );
}

pub(crate) async fn key_schemas_are_enforced(client: &Client) {
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
