//! Global tables through the official SDK: replicas come and go, changes travel, pauses hold, strength holds.

use super::cluster::{self, Cluster, REGIONS};
use super::suite::{create_table, get, n, put, s};
use crate::clients;
use crate::stage::{Stage, in_both_places};
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::ProvideErrorMetadata;
use aws_sdk_dynamodb::types::{
    CreateGlobalTableWitnessGroupMemberAction, CreateReplicationGroupMemberAction,
    DeleteGlobalTableWitnessGroupMemberAction, DeleteReplicationGroupMemberAction,
    GlobalTableWitnessGroupUpdate, MultiRegionConsistency, Put, ReplicationGroupUpdate,
    TimeToLiveSpecification, TransactWriteItem,
};
use std::time::Duration;
use sumzero_sim::aws::dynamodb::config::Span;
use sumzero_sim::fault::ServiceFault;
use tokio::time::{sleep, timeout};

fn create_in(region: &str) -> ReplicationGroupUpdate {
    let create = CreateReplicationGroupMemberAction::builder()
        .region_name(region)
        .build()
        .expect("action");
    ReplicationGroupUpdate::builder().create(create).build()
}

/// Adds eventually consistent replicas.
pub(crate) async fn make_global(client: &Client, table: &str, regions: &[&str]) {
    for region in regions {
        client
            .update_table()
            .table_name(table)
            .replica_updates(create_in(region))
            .send()
            .await
            .expect("replica");
    }
}

/// Makes the table strongly consistent.
pub(crate) async fn make_strong(client: &Client, table: &str, regions: &[&str]) {
    client
        .update_table()
        .table_name(table)
        .set_replica_updates(Some(regions.iter().map(|region| create_in(region)).collect()))
        .multi_region_consistency(MultiRegionConsistency::Strong)
        .send()
        .await
        .expect("strong replicas");
}

in_both_places!(cluster::three_regions =>
    a_cut_leaves_the_strong_majority_at_work_and_nothing_diverges,
    a_paused_replication_catches_up_when_it_resumes,
    a_region_alone_serves_only_eventually_consistent_reads,
    a_region_that_was_cut_off_catches_up_and_conflicts_are_settled,
    a_replica_is_described_filled_and_kept_up,
    a_server_that_was_lost_comes_back_with_all_it_had,
    a_strong_table_refuses_transactions_and_expiry,
    a_witness_votes_and_holds_no_replica,
    a_transaction_and_a_statement_replicate_item_by_item,
    replicas_are_removed,
    strong_reads_see_the_latest_write_of_any_region,
);
in_both_places!(with_the_patience_of_aws => strong_increments_from_three_regions_lose_nothing);
in_both_places!(where_one_region_sweeps => expiry_replicates_as_a_deletion);
in_both_places!(of_two_sets => replica_updates_that_aws_refuses_are_refused);

/// What the other Region loses came by replication.
fn where_one_region_sweeps(stage: &mut Stage) -> Cluster {
    Cluster::on(stage, &REGIONS[..2], |config| {
        let sweeps = config.region == REGIONS[0];
        config.ttl.sweep_every = Duration::from_millis(if sweeps { 50 } else { 3_600_000 });
        config.ttl.linger = Span::ZERO;
    })
}

fn with_the_patience_of_aws(stage: &mut Stage) -> Cluster {
    Cluster::on(stage, &REGIONS, |_| {})
}

fn of_two_sets(stage: &mut Stage) -> Cluster {
    Cluster::on(
        stage,
        &["us-east-1", "us-east-2", "us-west-2", "sa-east-1"],
        |_| {},
    )
}

/// An eventually consistent table with one item.
async fn eventual(cluster: &Cluster) -> Vec<Client> {
    let clients = cluster.clients();
    create_table(&clients[0], "things", false).await;
    put(&clients[0], "things", "before", 1).await;
    make_global(&clients[0], "things", &REGIONS[1..]).await;
    clients
}

/// A strongly consistent table.
async fn strong(cluster: &Cluster) -> Vec<Client> {
    let clients = cluster.clients();
    create_table(&clients[0], "things", false).await;
    make_strong(&clients[0], "things", &REGIONS[1..]).await;
    clients
}

async fn a_replica_is_described_filled_and_kept_up(cluster: Cluster) {
    let clients = eventual(&cluster).await;
    let described = clients[1]
        .describe_table()
        .table_name("things")
        .send()
        .await
        .expect("describe")
        .table
        .expect("table");
    assert_eq!(
        described.table_arn(),
        Some("arn:aws:dynamodb:us-east-2:123456789012:table/things")
    );
    assert_eq!(
        described.multi_region_consistency(),
        Some(&MultiRegionConsistency::Eventual)
    );
    let mut replicas: Vec<_> = described
        .replicas()
        .iter()
        .filter_map(|replica| replica.region_name())
        .collect();
    replicas.sort_unstable();
    assert_eq!(replicas, ["us-east-1", "us-west-2"]);

    put(&clients[2], "things", "from-west", 2).await;
    assert_eq!(
        get(&clients[0], "things", "from-west", true).await,
        None,
        "a strong read sees its own Region only"
    );
    clients[0]
        .delete_item()
        .table_name("things")
        .key("pk", s("before"))
        .send()
        .await
        .expect("delete");
    cluster.quiescent().await;
    for client in &clients {
        assert_eq!(get(client, "things", "from-west", false).await, Some(2));
        assert_eq!(get(client, "things", "before", false).await, None);
    }
    assert_eq!(
        cluster.summary().lost_updates.len(),
        0,
        "writes that saw each other are no conflict"
    );
}

async fn a_paused_replication_catches_up_when_it_resumes(cluster: Cluster) {
    let clients = eventual(&cluster).await;
    cluster.quiescent().await;
    let pause = ServiceFault::PauseReplication {
        region: None,
        table: Some("things".to_owned()),
    };
    let faults = cluster.handle(REGIONS[0]).faults();
    let pause = faults.begin(pause).expect("valid");
    for number in 0..10 {
        put(&clients[0], "things", &format!("east-{number}"), number).await;
        put(&clients[1], "things", &format!("mid-{number}"), number).await;
    }
    sleep(Duration::from_millis(400)).await;
    assert_eq!(
        get(&clients[1], "things", "east-9", true).await,
        None,
        "nothing leaves"
    );
    assert_eq!(
        get(&clients[0], "things", "mid-9", true).await,
        None,
        "and nothing enters"
    );
    assert_eq!(
        get(&clients[2], "things", "mid-9", true).await,
        Some(9),
        "others go on"
    );
    assert!(faults.bites(pause) > 0);
    faults.end(pause);
    cluster.quiescent().await;
    for region in &REGIONS[1..] {
        assert_eq!(
            cluster.items(REGIONS[0], "things"),
            cluster.items(region, "things")
        );
    }
    assert_eq!(cluster.items(REGIONS[0], "things").len(), 21);
}

async fn a_transaction_and_a_statement_replicate_item_by_item(cluster: Cluster) {
    let clients = eventual(&cluster).await;
    let action = |pk: &str| {
        let put = Put::builder()
            .table_name("things")
            .item("pk", s(pk))
            .item("v", n(3))
            .build()
            .expect("put");
        TransactWriteItem::builder().put(put).build()
    };
    let transaction = clients[0]
        .transact_write_items()
        .transact_items(action("x"))
        .transact_items(action("y"));
    transaction.send().await.expect("transaction");
    let statement = clients[0]
        .execute_statement()
        .statement("INSERT INTO \"things\" VALUE {'pk': 'z', 'v': 4}");
    statement.send().await.expect("statement");
    cluster.quiescent().await;
    for (pk, value) in [("x", 3), ("y", 3), ("z", 4)] {
        assert_eq!(get(&clients[2], "things", pk, true).await, Some(value));
    }
}

async fn expiry_replicates_as_a_deletion(cluster: Cluster) {
    let (east, mid) = (cluster.client(REGIONS[0]), cluster.client(REGIONS[1]));
    create_table(&east, "things", false).await;
    make_global(&east, "things", &REGIONS[1..2]).await;
    let expiry = TimeToLiveSpecification::builder()
        .enabled(true)
        .attribute_name("expires_at")
        .build();
    let enable = east
        .update_time_to_live()
        .table_name("things")
        .time_to_live_specification(expiry.expect("specification"));
    enable.send().await.expect("enable");
    let described = mid
        .describe_time_to_live()
        .table_name("things")
        .send()
        .await
        .expect("describe");
    assert_eq!(
        described
            .time_to_live_description()
            .expect("ttl")
            .attribute_name(),
        Some("expires_at")
    );
    for (pk, expires_at) in [("old", 1), ("new", 4_000_000_000)] {
        let put = mid
            .put_item()
            .table_name("things")
            .item("pk", s(pk))
            .item("expires_at", n(expires_at));
        put.send().await.expect("put");
    }
    let swept = async {
        while cluster.items(REGIONS[1], "things").len() > 1 {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(Duration::from_secs(5), swept)
        .await
        .expect("the expired item is gone everywhere");
    assert!(cluster.items(REGIONS[1], "things")[0].contains("new"));
}

async fn replicas_are_removed(cluster: Cluster) {
    let clients = eventual(&cluster).await;
    let delete = DeleteReplicationGroupMemberAction::builder()
        .region_name(REGIONS[2])
        .build()
        .expect("action");
    let delete = ReplicationGroupUpdate::builder().delete(delete).build();
    clients[0]
        .update_table()
        .table_name("things")
        .replica_updates(delete)
        .send()
        .await
        .expect("remove");
    let gone = clients[2]
        .describe_table()
        .table_name("things")
        .send()
        .await
        .expect_err("gone");
    assert!(gone.into_service_error().is_resource_not_found_exception());
    put(&clients[1], "things", "after", 1).await;
    cluster.quiescent().await;
    assert_eq!(get(&clients[0], "things", "after", true).await, Some(1));
}

async fn replica_updates_that_aws_refuses_are_refused(cluster: Cluster) {
    let client = cluster.client("us-east-1");
    create_table(&client, "things", false).await;
    put(&client, "things", "a", 1).await;
    let update = |regions: &[&str], consistency: Option<MultiRegionConsistency>| {
        let updates = regions.iter().map(|region| create_in(region)).collect();
        let update = client
            .update_table()
            .table_name("things")
            .set_replica_updates(Some(updates));
        update.set_multi_region_consistency(consistency).send()
    };
    let strong = || Some(MultiRegionConsistency::Strong);
    for (regions, consistency, why) in [
        (&["us-east-1"][..], None, "its own Region"),
        (&["eu-west-9"], None, "no such Region"),
        (&["us-east-2"], strong(), "two replicas"),
        (&["us-east-2", "sa-east-1"], strong(), "not one Region set"),
        (&["us-east-2", "us-west-2"], strong(), "not empty"),
    ] {
        let refused = update(regions, consistency).await.expect_err(why);
        assert_eq!(refused.code(), Some("ValidationException"), "{why}: {refused:?}");
    }
    let other = cluster.client("us-east-2");
    create_table(&other, "things", false).await;
    let refused = update(&["us-east-2"], None)
        .await
        .expect_err("the name is taken there");
    assert_eq!(refused.code(), Some("ValidationException"), "{refused:?}");
}

async fn strong_reads_see_the_latest_write_of_any_region(cluster: Cluster) {
    let clients = strong(&cluster).await;
    for (round, writer) in [0, 1, 2, 1, 0].into_iter().enumerate() {
        let update = clients[writer]
            .update_item()
            .table_name("things")
            .key("pk", s("sum"));
        let update = update
            .update_expression("ADD v :one")
            .expression_attribute_values(":one", n(1));
        update.send().await.expect("update");
        for client in &clients {
            assert_eq!(get(client, "things", "sum", true).await, Some(round as i64 + 1));
            let all = client
                .scan()
                .table_name("things")
                .consistent_read(true)
                .send()
                .await
                .expect("scan");
            assert_eq!(all.items()[0]["v"], n(round as i64 + 1));
        }
    }
    cluster.quiescent().await;
    for client in &clients {
        assert_eq!(get(client, "things", "sum", false).await, Some(5));
    }
}

async fn strong_increments_from_three_regions_lose_nothing(cluster: Cluster) {
    strong(&cluster).await;
    // Without the SDK's retries: after an unknown outcome they would add once more.
    let add = async |region: &str| {
        let client = clients::dynamodb_without_retries(region, cluster.address(region));
        let (mut done, mut perhaps) = (0, 0);
        for _ in 0..8 {
            let update = client
                .update_item()
                .table_name("things")
                .key("pk", s("sum"))
                .update_expression("ADD v :one");
            match update.expression_attribute_values(":one", n(1)).send().await {
                Ok(_) => done += 1,
                // Promises that nothing happened.
                Err(error) if error.code() == Some("ReplicatedWriteConflictException") => {}
                Err(error) => {
                    assert_eq!(error.code(), Some("InternalServerError"), "{error:?}");
                    perhaps += 1;
                }
            }
        }
        (done, perhaps)
    };
    let (one, two, three) = tokio::join!(add(REGIONS[0]), add(REGIONS[1]), add(REGIONS[2]));
    let done = one.0 + two.0 + three.0;
    let perhaps = one.1 + two.1 + three.1;
    let sum = get(&cluster.client(REGIONS[1]), "things", "sum", true)
        .await
        .expect("a sum");
    assert!(
        (done..=done + perhaps).contains(&sum),
        "{done} done, {perhaps} perhaps, {sum} found"
    );
    assert!(done > 0 && perhaps < 3, "{done} done, {perhaps} perhaps");
}

async fn a_strong_table_refuses_transactions_and_expiry(cluster: Cluster) {
    let clients = strong(&cluster).await;
    let put = Put::builder()
        .table_name("things")
        .item("pk", s("a"))
        .build()
        .expect("put");
    let transaction = clients[0].transact_write_items();
    let transaction = transaction
        .transact_items(TransactWriteItem::builder().put(put).build())
        .send()
        .await;
    assert_eq!(
        transaction.expect_err("transaction").code(),
        Some("ValidationException")
    );
    let expiry = TimeToLiveSpecification::builder()
        .enabled(true)
        .attribute_name("x")
        .build()
        .expect("specification");
    let enable = clients[0]
        .update_time_to_live()
        .table_name("things")
        .time_to_live_specification(expiry)
        .send()
        .await;
    assert_eq!(enable.expect_err("expiry").code(), Some("ValidationException"));
}

async fn a_region_alone_serves_only_eventually_consistent_reads(cluster: Cluster) {
    let clients = strong(&cluster).await;
    put(&clients[0], "things", "a", 1).await;
    cluster.quiescent().await;
    let alone = ServiceFault::PauseReplication {
        region: None,
        table: None,
    };
    let faults = cluster.handle(REGIONS[0]).faults();
    let alone = faults.begin(alone).expect("valid");
    let write = clients[0]
        .put_item()
        .table_name("things")
        .item("pk", s("b"))
        .item("v", n(2))
        .send()
        .await;
    let status = write
        .expect_err("no second Region")
        .raw_response()
        .map(|response| response.status().as_u16());
    assert!(status.is_some_and(|status| status >= 500), "{status:?}");
    let read = clients[0]
        .get_item()
        .table_name("things")
        .key("pk", s("a"))
        .consistent_read(true)
        .send()
        .await;
    assert!(read.is_err(), "a strong read needs a second Region");
    assert_eq!(get(&clients[0], "things", "a", false).await, Some(1));

    put(&clients[1], "things", "a", 7).await;
    assert_eq!(
        get(&clients[2], "things", "a", true).await,
        Some(7),
        "the other two go on"
    );
    faults.end(alone);
    assert_eq!(
        get(&clients[0], "things", "a", true).await,
        Some(7),
        "and the one that was alone catches up"
    );
    assert_eq!(get(&clients[0], "things", "b", true).await, None);
}

async fn a_region_that_was_cut_off_catches_up_and_conflicts_are_settled(cluster: Cluster) {
    let clients = eventual(&cluster).await;
    cluster.quiescent().await;
    cluster.cut_off(REGIONS[0], Duration::from_secs(2)).await;
    for number in 0..5 {
        put(&clients[0], "things", &format!("east-{number}"), number).await;
        put(&clients[1], "things", &format!("mid-{number}"), number).await;
    }
    put(&clients[0], "things", "both", 1).await;
    sleep(Duration::from_millis(20)).await;
    put(&clients[1], "things", "both", 2).await;
    sleep(Duration::from_millis(300)).await;
    assert_eq!(get(&clients[1], "things", "east-0", true).await, None);
    assert_eq!(get(&clients[0], "things", "mid-0", true).await, None);
    cluster.quiescent().await;
    assert!(cluster.agrees_on("things"));
    assert_eq!(
        get(&clients[0], "things", "both", true).await,
        Some(2),
        "the later write won"
    );
    assert_eq!(cluster.summary().lost_updates.len(), 1);
}

async fn a_cut_leaves_the_strong_majority_at_work_and_nothing_diverges(cluster: Cluster) {
    let clients = strong(&cluster).await;
    put(&clients[0], "things", "a", 1).await;
    cluster.cut_off(REGIONS[0], Duration::from_secs(8)).await;
    let write = clients[0]
        .put_item()
        .table_name("things")
        .item("pk", s("a"))
        .item("v", n(9))
        .send()
        .await;
    assert!(write.is_err(), "the Region that is cut off cannot write");
    put(&clients[1], "things", "a", 2).await;
    assert_eq!(get(&clients[2], "things", "a", true).await, Some(2));
    let reached = async {
        let read = clients[0]
            .get_item()
            .table_name("things")
            .key("pk", s("a"))
            .consistent_read(true);
        while read.clone().send().await.is_err() {
            sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(Duration::from_secs(30), reached)
        .await
        .expect("reachable again");
    let settled = get(&clients[0], "things", "a", true).await;
    for client in &clients[1..] {
        assert_eq!(get(client, "things", "a", true).await, settled);
    }
    // The write that failed was never acknowledged: it may have taken effect late or not at all, but only once and
    // everywhere.
    assert!(settled == Some(2) || settled == Some(9), "{settled:?}");
}

async fn a_server_that_was_lost_comes_back_with_all_it_had(cluster: Cluster) {
    let clients = eventual(&cluster).await;
    cluster.quiescent().await;
    put(&clients[0], "things", "before-the-loss", 1).await;
    cluster.lose(REGIONS[0], Duration::from_secs(1)).await;
    put(&clients[1], "things", "meanwhile", 2).await;
    assert_eq!(
        get(&clients[2], "things", "before-the-loss", true).await,
        None,
        "it died before it shipped"
    );
    cluster.quiescent().await;
    assert!(cluster.agrees_on("things"));
    assert_eq!(get(&clients[0], "things", "meanwhile", true).await, Some(2));
    assert_eq!(get(&clients[2], "things", "before-the-loss", true).await, Some(1));
}

async fn a_witness_votes_and_holds_no_replica(cluster: Cluster) {
    let clients = cluster.clients();
    create_table(&clients[0], "things", false).await;
    let witness = CreateGlobalTableWitnessGroupMemberAction::builder().region_name(REGIONS[2]);
    let witness = GlobalTableWitnessGroupUpdate::builder()
        .create(witness.build().expect("action"))
        .build();
    let update = clients[0]
        .update_table()
        .table_name("things")
        .replica_updates(create_in(REGIONS[1]));
    let update = update.multi_region_consistency(MultiRegionConsistency::Strong);
    let refused = update.clone().send().await.expect_err("two are not three");
    assert_eq!(refused.code(), Some("ValidationException"), "{refused:?}");
    update
        .global_table_witness_updates(witness)
        .send()
        .await
        .expect("a replica and a witness");

    let described = clients[1]
        .describe_table()
        .table_name("things")
        .send()
        .await
        .expect("describe");
    let described = described.table.expect("table");
    assert_eq!(described.replicas().len(), 1);
    assert_eq!(
        described.global_table_witnesses()[0].region_name(),
        Some(REGIONS[2])
    );
    let item = clients[2]
        .get_item()
        .table_name("things")
        .key("pk", s("a"))
        .consistent_read(true);
    let refused = item.send().await.expect_err("no replica").into_service_error();
    assert!(refused.is_resource_not_found_exception(), "{refused:?}");

    put(&clients[0], "things", "a", 1).await;
    assert_eq!(get(&clients[1], "things", "a", true).await, Some(1));
    // Longer than the client tries: three attempts of a second each, and pauses of up to three seconds between them.
    cluster.cut_off(REGIONS[1], Duration::from_secs(8)).await;
    put(&clients[0], "things", "a", 2).await;
    let alone = clients[1].put_item().table_name("things").item("pk", s("a"));
    assert!(alone.send().await.is_err(), "one of three is no majority");
    sleep(Duration::from_secs(15)).await;
    let settled = get(&clients[1], "things", "a", true).await;
    assert_eq!(settled, get(&clients[0], "things", "a", true).await);
    cluster.quiescent().await;

    let delete = DeleteReplicationGroupMemberAction::builder()
        .region_name(REGIONS[1])
        .build()
        .expect("action");
    let unwitness = DeleteGlobalTableWitnessGroupMemberAction::builder().region_name(REGIONS[2]);
    let unwitness = GlobalTableWitnessGroupUpdate::builder()
        .delete(unwitness.build().expect("action"))
        .build();
    let update = clients[0].update_table().table_name("things");
    let update = update.replica_updates(ReplicationGroupUpdate::builder().delete(delete).build());
    let refused = update
        .clone()
        .send()
        .await
        .expect_err("a witness cannot stay with one replica");
    assert_eq!(refused.code(), Some("ValidationException"), "{refused:?}");
    update
        .global_table_witness_updates(unwitness)
        .send()
        .await
        .expect("one Region again");
    put(&clients[0], "things", "b", 3).await;
    assert_eq!(get(&clients[0], "things", "b", true).await, Some(3));
}
