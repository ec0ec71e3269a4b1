//! Faults, and operations that overlap in time, through the official SDK.

use super::cluster::{self, Cluster, REGIONS};
use super::suite::{create_table, get, n, put, s};
use crate::stage::{Stage, in_both_places};
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::ProvideErrorMetadata;
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::types::{Put, PutRequest, TransactWriteItem, WriteRequest};
use std::time::{Duration, Instant};
use sumzero_sim::aws::dynamodb::config::Span;
use sumzero_sim::fault::{Failure, Outage, ServiceFault, Target};

in_both_places!(cluster::one_region =>
    a_failure_after_the_effect_makes_a_retried_increment_count_twice,
    a_hot_key_is_throttled_and_a_batch_only_in_part,
    a_write_goes_on_when_its_caller_hangs_up,
    faults_are_not_set_over_http_unless_that_is_allowed,
    slowness_and_outages_show,
    the_sdk_outlasts_a_passing_failure_and_reports_a_lasting_one,
);
in_both_places!(with_long_transactions => whatever_meets_a_running_transaction_is_told_so);
in_both_places!(with_controls => faults_are_set_over_http_where_that_is_allowed);

fn with_long_transactions(stage: &mut Stage) -> Cluster {
    Cluster::on(stage, &REGIONS[..1], |config| {
        config.transaction_hold = Span::millis(150, 150)
    })
}

fn with_controls(stage: &mut Stage) -> Cluster {
    Cluster::on(stage, &REGIONS[..1], |config| config.admin = true)
}

async fn things(cluster: &Cluster) -> Client {
    let client = cluster.client(REGIONS[0]);
    create_table(&client, "things", false).await;
    client
}

async fn the_sdk_outlasts_a_passing_failure_and_reports_a_lasting_one(cluster: Cluster) {
    let client = things(&cluster).await;
    let faults = cluster.handle(REGIONS[0]).faults();
    let before = ServiceFault::FailBefore {
        target: Target::operation("PutItem").times(1),
        failure: Failure::Unavailable,
    };
    let fault = faults.begin(before).expect("valid");
    put(&client, "things", "a", 1).await;
    assert_eq!(faults.bites(fault), 1);
    let lasting = ServiceFault::FailBefore {
        target: Target::operation("PutItem"),
        failure: Failure::Internal,
    };
    let lasting = faults.begin(lasting).expect("valid");
    let refused = client
        .put_item()
        .table_name("things")
        .item("pk", s("b"))
        .send()
        .await
        .expect_err("lasting");
    assert!(
        refused
            .as_service_error()
            .is_some_and(|error| error.is_internal_server_error()),
        "{refused:?}"
    );
    assert_eq!(faults.bites(lasting), 3, "the SDK's three attempts");
    faults.end_all();
    assert_eq!(
        get(&client, "things", "b", true).await,
        None,
        "it failed before it was applied"
    );
}

async fn a_failure_after_the_effect_makes_a_retried_increment_count_twice(cluster: Cluster) {
    let client = things(&cluster).await;
    put(&client, "things", "sum", 0).await;
    let after = ServiceFault::FailAfter {
        target: Target::operation("UpdateItem").times(1),
        failure: Failure::Internal,
    };
    cluster.handle(REGIONS[0]).faults().begin(after).expect("valid");
    let update = client
        .update_item()
        .table_name("things")
        .key("pk", s("sum"))
        .update_expression("ADD v :one");
    update
        .expression_attribute_values(":one", n(1))
        .send()
        .await
        .expect("the retry succeeds");
    assert_eq!(get(&client, "things", "sum", true).await, Some(2));
}

async fn a_hot_key_is_throttled_and_a_batch_only_in_part(cluster: Cluster) {
    let client = things(&cluster).await;
    let hot = Target::key("hot");
    let faults = cluster.handle(REGIONS[0]).faults();
    let fault = faults
        .begin(ServiceFault::Throttle { target: hot })
        .expect("valid");
    put(&client, "things", "cold", 1).await;
    let refused = client
        .put_item()
        .table_name("things")
        .item("pk", s("hot"))
        .send()
        .await
        .expect_err("throttled");
    let refused = refused.into_service_error();
    assert!(
        refused.is_provisioned_throughput_exceeded_exception(),
        "{refused:?}"
    );

    let write = |pk: &str| {
        let request = PutRequest::builder()
            .item("pk", s(pk))
            .item("v", n(2))
            .build()
            .expect("request");
        WriteRequest::builder().put_request(request).build()
    };
    let batch = client
        .batch_write_item()
        .request_items("things", vec![write("cold"), write("hot")])
        .send()
        .await;
    let unprocessed = batch.expect("in part").unprocessed_items.expect("unprocessed");
    assert_eq!(unprocessed["things"].len(), 1);
    assert_eq!(
        unprocessed["things"][0].put_request().expect("put").item()["pk"],
        s("hot")
    );
    assert_eq!(get(&client, "things", "cold", true).await, Some(2));

    let action = |pk: &str| {
        let put = Put::builder()
            .table_name("things")
            .item("pk", s(pk))
            .build()
            .expect("put");
        TransactWriteItem::builder().put(put).build()
    };
    let transaction = client
        .transact_write_items()
        .transact_items(action("cold"))
        .transact_items(action("hot"));
    let refused = transaction
        .send()
        .await
        .expect_err("throttled")
        .into_service_error();
    let TransactWriteItemsError::TransactionCanceledException(refused) = refused else {
        panic!("{refused:?}")
    };
    let codes: Vec<_> = refused
        .cancellation_reasons()
        .iter()
        .map(|reason| reason.code().unwrap_or("-"))
        .collect();
    assert_eq!(codes, ["None", "ProvisionedThroughputExceeded"]);
    assert!(faults.bites(fault) >= 5);
}

async fn slowness_and_outages_show(cluster: Cluster) {
    let client = things(&cluster).await;
    let faults = cluster.handle(REGIONS[0]).faults();
    let slow = ServiceFault::Slow {
        target: Target::default(),
        min: Duration::from_millis(80),
        max: Duration::from_millis(90),
    };
    let slow = faults.begin(slow).expect("valid");
    let start = Instant::now();
    put(&client, "things", "a", 1).await;
    assert!(start.elapsed() >= Duration::from_millis(80));
    faults.end(slow);
    for outage in [Outage::Refuse, Outage::Hangup] {
        let fault = faults.begin(ServiceFault::Unavailable { outage }).expect("valid");
        assert!(
            client
                .get_item()
                .table_name("things")
                .key("pk", s("a"))
                .send()
                .await
                .is_err(),
            "{outage:?}"
        );
        faults.end(fault);
    }
    let silent = ServiceFault::Unavailable {
        outage: Outage::Silence,
    };
    let silent = faults.begin(silent).expect("valid");
    let get = client.get_item().table_name("things").key("pk", s("a")).send();
    assert!(
        tokio::time::timeout(Duration::from_millis(200), get)
            .await
            .is_err()
    );
    faults.end(silent);
    assert_eq!(super::suite::get(&client, "things", "a", true).await, Some(1));
}

async fn a_write_goes_on_when_its_caller_hangs_up(cluster: Cluster) {
    let client = things(&cluster).await;
    let slow = ServiceFault::Slow {
        target: Target::operation("PutItem"),
        min: Duration::from_millis(150),
        max: Duration::from_millis(150),
    };
    let faults = cluster.handle(REGIONS[0]).faults();
    let slow = faults.begin(slow).expect("valid");
    let put = client
        .put_item()
        .table_name("things")
        .item("pk", s("a"))
        .item("v", n(1))
        .send();
    assert!(
        tokio::time::timeout(Duration::from_millis(50), put)
            .await
            .is_err()
    );
    assert_eq!(get(&client, "things", "a", true).await, None);
    tokio::time::sleep(Duration::from_millis(250)).await;
    assert_eq!(
        get(&client, "things", "a", true).await,
        Some(1),
        "applied after the caller had gone"
    );
    faults.end(slow);
}

async fn whatever_meets_a_running_transaction_is_told_so(cluster: Cluster) {
    let client = things(&cluster).await;
    let action = |pk: &str| {
        let put = Put::builder()
            .table_name("things")
            .item("pk", s(pk))
            .item("v", n(1))
            .build()
            .expect("put");
        TransactWriteItem::builder().put(put).build()
    };
    let first = client.transact_write_items().client_request_token("first");
    let first = first
        .transact_items(action("a"))
        .transact_items(action("b"))
        .send();
    let rivals = async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        let write = client
            .put_item()
            .table_name("things")
            .item("pk", s("a"))
            .send()
            .await
            .expect_err("held");
        assert_eq!(write.code(), Some("TransactionConflictException"), "{write:?}");
        let rival = client
            .transact_write_items()
            .transact_items(action("z"))
            .transact_items(action("b"));
        let refused = rival.send().await.expect_err("held").into_service_error();
        let TransactWriteItemsError::TransactionCanceledException(refused) = refused else {
            panic!("{refused:?}")
        };
        let codes: Vec<_> = refused
            .cancellation_reasons()
            .iter()
            .map(|reason| reason.code().unwrap_or("-"))
            .collect();
        assert_eq!(codes, ["None", "TransactionConflict"]);
        // The SDK retries this one, and by then the first call is done: the retry is answered as the first was.
        let same = client.transact_write_items().client_request_token("first");
        same.transact_items(action("a"))
            .transact_items(action("b"))
            .send()
            .await
            .expect("same token");
        assert_eq!(get(&client, "things", "free", true).await, None);
    };
    let (first, ()) = tokio::join!(first, rivals);
    first.expect("the first transaction");
    put(&client, "things", "a", 2).await;
}

async fn post_faults(cluster: &Cluster, body: &'static str) -> (u16, String) {
    let url = format!("http://{}/_sumzero/faults", cluster.address(REGIONS[0]));
    let response = reqwest::Client::new()
        .post(url)
        .body(body)
        .send()
        .await
        .expect("answer");
    (response.status().as_u16(), response.text().await.expect("text"))
}

async fn faults_are_not_set_over_http_unless_that_is_allowed(cluster: Cluster) {
    assert_eq!(post_faults(&cluster, "[]").await.0, 404);
}

async fn faults_are_set_over_http_where_that_is_allowed(cluster: Cluster) {
    let client = things(&cluster).await;
    let out = r#"[{"unavailable":{}}]"#;
    assert_eq!(post_faults(&cluster, out).await, (200, "[0]".to_owned()));
    assert!(
        client
            .get_item()
            .table_name("things")
            .key("pk", s("a"))
            .send()
            .await
            .is_err()
    );
    assert_eq!(post_faults(&cluster, r#"[{"sluggish":{}}]"#).await.0, 400);
    assert_eq!(post_faults(&cluster, "[]").await, (200, "[]".to_owned()));
    assert_eq!(get(&client, "things", "a", true).await, None);
}
