//! The claims about DynamoDB that payment designs rest on, and what becomes of them. See C01 and C19 of the claims.

use super::cluster::{self, Cluster, REGIONS};
use super::global::{make_global, make_strong};
use super::suite::{create_table, get, n, put, s};
use crate::stage::in_both_places;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::types::{AttributeValue, ReturnValuesOnConditionCheckFailure};
use std::collections::HashMap;
use sumzero_sim::fault::{ServiceFault, Target};

in_both_places!(cluster::one_region =>
    c11_an_expired_key_still_blocks_a_claim_that_compares_no_time,
    c19_the_old_item_and_a_nonce_tell_own_from_rival,
    c19_the_sdk_reads_its_own_retried_put_as_a_rivals,
);
in_both_places!(cluster::two_regions =>
    c01_two_regions_hold_one_eventually_consistent_lease_with_no_fault_at_all,
    c09_two_regions_decrement_one_item_and_one_debit_is_gone,
);
in_both_places!(cluster::three_regions => c01_a_strongly_consistent_lease_has_one_holder);

/// Takes a lease as the designs write it. True if this caller now believes that it holds the lease.
async fn acquire(client: &Client, owner: &str) -> bool {
    let put = client
        .put_item()
        .table_name("leases")
        .item("pk", s("account-1"))
        .item("owner", s(owner));
    match put.condition_expression("attribute_not_exists(pk)").send().await {
        Ok(_) => true,
        Err(error) => {
            let error = error.into_service_error();
            assert!(error.is_conditional_check_failed_exception(), "{error:?}");
            false
        }
    }
}

async fn c01_two_regions_hold_one_eventually_consistent_lease_with_no_fault_at_all(cluster: Cluster) {
    let (east, west) = (cluster.client(REGIONS[0]), cluster.client(REGIONS[1]));
    create_table(&east, "leases", false).await;
    make_global(&east, "leases", &REGIONS[1..2]).await;
    let (one, two) = tokio::join!(acquire(&east, "one"), acquire(&west, "two"));
    assert!(one && two, "both callers were told that the lease is theirs");
    cluster.quiescent().await;
    let summary = cluster.summary();
    assert_eq!(
        summary.lost_updates.len(),
        1,
        "and one of the two was overwritten in silence"
    );
    assert_eq!(
        cluster.items(REGIONS[0], "leases"),
        cluster.items(REGIONS[1], "leases")
    );
}

async fn c01_a_strongly_consistent_lease_has_one_holder(cluster: Cluster) {
    let east = cluster.client(REGIONS[0]);
    create_table(&east, "leases", false).await;
    make_strong(&east, "leases", &REGIONS[1..]).await;
    let clients: Vec<Client> = REGIONS.iter().map(|region| cluster.client(region)).collect();
    let (one, two, three) = tokio::join!(
        acquire(&clients[0], "0"),
        acquire(&clients[1], "1"),
        acquire(&clients[2], "2")
    );
    let holders: Vec<usize> = [one, two, three]
        .iter()
        .enumerate()
        .filter(|(_, held)| **held)
        .map(|(index, _)| index)
        .collect();
    assert_eq!(holders.len(), 1, "{holders:?}");
    for client in &clients {
        let got = client
            .get_item()
            .table_name("leases")
            .key("pk", s("account-1"))
            .consistent_read(true);
        let item = got.send().await.expect("get").item.expect("lease");
        assert_eq!(item["owner"], s(&holders[0].to_string()));
    }
}

/// The first put is applied and its answer lost; the SDK retries by itself.
async fn put_with_a_lost_answer(cluster: &Cluster, nonce: &str) -> Result<(), PutItemError> {
    let client = cluster.client("us-east-1");
    create_table(&client, "keys", false).await;
    let target = Target::operation("PutItem").times(1);
    let faults = cluster.handle(REGIONS[0]).faults();
    let lost = faults.begin(ServiceFault::LoseAnswer { target }).expect("valid");
    let put = client
        .put_item()
        .table_name("keys")
        .item("pk", s("payment-1"))
        .item("owner", s(nonce))
        .condition_expression("attribute_not_exists(pk)")
        .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
        .send()
        .await;
    assert_eq!(faults.bites(lost), 1);
    put.map(drop).map_err(|error| error.into_service_error())
}

async fn c19_the_sdk_reads_its_own_retried_put_as_a_rivals(cluster: Cluster) {
    let put = put_with_a_lost_answer(&cluster, "me").await;
    let refused = put.expect_err("the retry meets the first attempt");
    assert!(refused.is_conditional_check_failed_exception(), "{refused:?}");
}

async fn c19_the_old_item_and_a_nonce_tell_own_from_rival(cluster: Cluster) {
    let whose = |refused: PutItemError| -> HashMap<String, AttributeValue> {
        let PutItemError::ConditionalCheckFailedException(refused) = refused else {
            panic!("{refused:?}")
        };
        refused.item().cloned().expect("ALL_OLD")
    };
    let put = put_with_a_lost_answer(&cluster, "me").await;
    assert_eq!(whose(put.expect_err("own"))["owner"], s("me"));
    let rival = cluster
        .client("us-east-1")
        .put_item()
        .table_name("keys")
        .item("pk", s("payment-1"))
        .item("owner", s("rival"))
        .condition_expression("attribute_not_exists(pk)")
        .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
        .send()
        .await;
    assert_eq!(
        whose(rival.expect_err("taken").into_service_error())["owner"],
        s("me")
    );
}

async fn c09_two_regions_decrement_one_item_and_one_debit_is_gone(cluster: Cluster) {
    let (east, west) = (cluster.client(REGIONS[0]), cluster.client(REGIONS[1]));
    create_table(&east, "balances", false).await;
    put(&east, "balances", "account-1", 100).await;
    make_global(&east, "balances", &REGIONS[1..2]).await;
    cluster.quiescent().await;
    let debit = |client: &Client| {
        let update = client
            .update_item()
            .table_name("balances")
            .key("pk", s("account-1"));
        update
            .update_expression("ADD v :debit")
            .expression_attribute_values(":debit", n(-30))
            .send()
    };
    let (one, two) = tokio::join!(debit(&east), debit(&west));
    assert!(one.is_ok() && two.is_ok());
    cluster.quiescent().await;
    assert_eq!(
        get(&east, "balances", "account-1", true).await,
        Some(70),
        "60 were debited, 30 are gone"
    );
    assert_eq!(get(&west, "balances", "account-1", true).await, Some(70));
    assert_eq!(cluster.summary().lost_updates.len(), 1);
}

async fn c11_an_expired_key_still_blocks_a_claim_that_compares_no_time(cluster: Cluster) {
    let client = cluster.client("us-east-1");
    create_table(&client, "keys", false).await;
    let expired = client
        .put_item()
        .table_name("keys")
        .item("pk", s("k"))
        .item("expires_at", n(1));
    expired.send().await.expect("put");
    let claim = |condition: &str, now: Option<i64>| {
        let put = client
            .put_item()
            .table_name("keys")
            .item("pk", s("k"))
            .item("expires_at", n(4_000_000_000));
        let values = now.map(|now| HashMap::from([(":now".to_owned(), n(now))]));
        put.condition_expression(condition)
            .set_expression_attribute_values(values)
            .send()
    };
    assert!(
        claim("attribute_not_exists(pk)", None).await.is_err(),
        "the expired item lingers"
    );
    let sound = "attribute_not_exists(pk) OR expires_at < :now";
    claim(sound, Some(1_000)).await.expect("an expired claim is free");
}
