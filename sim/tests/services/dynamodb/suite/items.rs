//! Single items, batches, queries, statements.

use super::{create_table, get, n, put, s};
use crate::dynamodb::cluster::{Cluster, REGIONS};
use aws_sdk_dynamodb::error::ProvideErrorMetadata;
use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::{
    AttributeValue, DeleteRequest, KeysAndAttributes, PutRequest, ReturnValue,
    ReturnValuesOnConditionCheckFailure, WriteRequest,
};
use std::collections::HashMap;

pub(crate) async fn items_round_trip_in_every_type(cluster: Cluster) {
    let client = &cluster.client(REGIONS[0]);
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

pub(crate) async fn conditions_hold_and_tell_the_old_item(cluster: Cluster) {
    let client = &cluster.client(REGIONS[0]);
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

pub(crate) async fn updates_return_what_was_asked(cluster: Cluster) {
    let client = &cluster.client(REGIONS[0]);
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

pub(crate) async fn queries_page_through_everything(cluster: Cluster) {
    let client = &cluster.client(REGIONS[0]);
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

pub(crate) async fn batches_are_limited_and_complete(cluster: Cluster) {
    let client = &cluster.client(REGIONS[0]);
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

pub(crate) async fn statements_read_and_write(cluster: Cluster) {
    let client = &cluster.client(REGIONS[0]);
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

pub(crate) async fn oversized_items_are_refused(cluster: Cluster) {
    let client = &cluster.client(REGIONS[0]);
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
