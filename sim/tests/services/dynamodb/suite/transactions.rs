//! Transactions: all or nothing, and once per token.

use super::{create_table, get, n, put, s};
use crate::dynamodb::cluster::{Cluster, REGIONS};
use aws_sdk_dynamodb::error::ProvideErrorMetadata;
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::types::{
    ConditionCheck, Delete, Put, ReturnValuesOnConditionCheckFailure, TransactWriteItem, Update,
};

fn put_action(pk: &str, value: i64) -> TransactWriteItem {
    let put = Put::builder()
        .table_name("things")
        .item("pk", s(pk))
        .item("v", n(value))
        .build()
        .expect("put");
    TransactWriteItem::builder().put(put).build()
}

pub(crate) async fn transactions_are_all_or_nothing(cluster: Cluster) {
    let client = &cluster.client(REGIONS[0]);
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

pub(crate) async fn transactions_are_idempotent_by_token(cluster: Cluster) {
    let client = &cluster.client(REGIONS[0]);
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
