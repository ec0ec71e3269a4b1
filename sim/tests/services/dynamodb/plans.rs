//! What only a world has: faults by plan, and clocks that are off.

use std::time::Duration;

use sumzero_sim::fault::{Outage, Service, ServiceFault, Target};
use sumzero_sim::{Error, Fault, Skew};
use tokio::time::{Instant, sleep};

use super::cluster::{Cluster, REGIONS, one_region, three_regions};
use super::suite::{create_table, get, put, s};
use crate::stage::in_world;

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[test]
fn a_plan_strikes_one_region_for_a_while_and_counts_its_bites() {
    let out = ServiceFault::Unavailable {
        outage: Outage::Refuse,
    };
    let never = ServiceFault::Throttle {
        target: Target::resource("nothing"),
    };
    let faults = vec![
        Fault::service(Service::Dynamodb, REGIONS[0], out)
            .at(secs(5))
            .lasting(secs(5)),
        Fault::service(Service::Dynamodb, "*", never).at(secs(0)),
    ];
    let outcome = in_world(1, faults, three_regions, |cluster: Cluster| async move {
        let clients = cluster.clients();
        for client in &clients {
            create_table(client, "things", false).await;
        }
        let item = || {
            clients[0]
                .get_item()
                .table_name("things")
                .key("pk", s("a"))
                .send()
        };
        item().await.expect("before");
        sleep(secs(6)).await;
        item().await.expect_err("during");
        assert_eq!(get(&clients[1], "things", "a", true).await, None, "elsewhere");
        sleep(secs(10)).await;
        item().await.expect("after");
    });
    let faults = outcome.expect("a world").faults;
    assert_eq!(faults[0].bites, 3, "the SDK's three attempts: {faults:?}");
    assert_eq!(faults[1].bites, 0, "{faults:?}");
}

#[test]
fn a_fault_of_a_service_that_is_not_there_is_refused_by_name() {
    let fault = ServiceFault::ReorderMessages { probability: 0.5 };
    let faults = vec![Fault::service(Service::Sqs, REGIONS[0], fault).at(secs(0))];
    let refused = in_world(1, faults, one_region, |_| async {}).expect_err("no SQS here");
    assert!(matches!(refused, Error::Fault { index: 0, .. }), "{refused}");
    assert!(refused.to_string().contains("DynamoDB in us-east-1"), "{refused}");
    let fault = ServiceFault::ReorderMessages { probability: 0.5 };
    let faults = vec![Fault::service(Service::Dynamodb, REGIONS[0], fault).at(secs(0))];
    let refused = in_world(1, faults, one_region, |_| async {}).expect_err("not a fault of DynamoDB");
    assert!(refused.to_string().contains("reorder-messages"), "{refused}");
}

#[test]
fn the_sdk_learns_the_servers_time_and_signs_with_it() {
    for skew in [Skew::ahead(secs(1_200)), Skew::behind(secs(1_200))] {
        let off = vec![Fault::clock_offset("client", skew).at(secs(0))];
        let outcome = in_world(1, off, one_region, |cluster: Cluster| async move {
            let client = cluster.client(REGIONS[0]);
            create_table(&client, "things", false).await;
            put(&client, "things", "a", 1).await;
            assert_eq!(get(&client, "things", "a", true).await, Some(1));
        });
        outcome.expect("signed in time after all");
    }
}

#[test]
fn a_server_whose_clock_steps_refuses_what_the_sdk_then_signs_anew() {
    let step = vec![Fault::clock_jump("dynamodb-us-east-1", Skew::ahead(secs(1_200))).at(secs(2))];
    let outcome = in_world(1, step, one_region, |cluster: Cluster| async move {
        let client = cluster.client(REGIONS[0]);
        create_table(&client, "things", false).await;
        sleep(secs(3)).await;
        put(&client, "things", "a", 1).await;
    });
    assert_eq!(
        outcome.expect("signed in time after all").faults[0].bites.min(1),
        1
    );
}

#[test]
fn a_cut_region_costs_a_strong_write_its_time_limit_and_no_more() {
    let cut = vec![Fault::partition("dynamodb-us-east-1", "dynamodb-us-east-2").at(secs(2))];
    let outcome = in_world(1, cut, three_regions, |cluster: Cluster| async move {
        let clients = cluster.clients();
        create_table(&clients[0], "things", false).await;
        super::global::make_strong(&clients[0], "things", &REGIONS[1..]).await;
        sleep(secs(3)).await;
        let began = Instant::now();
        put(&clients[0], "things", "a", 1).await;
        assert!(
            began.elapsed() < secs(1),
            "the third Region is as good as the second"
        );
        assert_eq!(get(&clients[1], "things", "a", true).await, Some(1));
    });
    outcome.expect("a world");
}
