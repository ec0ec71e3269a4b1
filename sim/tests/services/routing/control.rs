//! The routing-control data plane through the official SDK, on a cluster of five endpoints.

use std::net::SocketAddr;
use std::time::Duration;

use aws_sdk_route53recoverycluster::Client;
use aws_sdk_route53recoverycluster::types::{RoutingControlState as State, UpdateRoutingControlStateEntry};
use sumzero_sim::aws::routing::config::{RuleKind, RuleType, SafetyRule};
use sumzero_sim::aws::routing::{Configuration, Convergence, Endpoint, Options};
use sumzero_sim::fault::{Outage, ServiceFault};

use crate::clients::{self, REGION, code};
use crate::stage::{Stage, Trouble, in_both_places};

in_both_places!(five_endpoints =>
    a_cut_leaves_the_majority_at_work_and_the_minority_without_an_answer,
    an_endpoint_that_is_out_sends_the_caller_to_the_next,
    bad_requests_are_refused,
    every_endpoint_answers_the_same,
    rivals_at_all_endpoints_at_once_all_come_through,
    safety_rules_hold_unless_overridden,
    three_of_five_are_enough_and_two_are_not,
);
in_both_places!(that_converge_slowly => a_change_takes_its_time_to_show);

const CONVERGENCE: Duration = Duration::from_millis(700);

/// The endpoints and where they are.
#[derive(Clone)]
struct Cluster {
    configuration: Configuration,
    endpoints: Vec<Endpoint>,
    addresses: Vec<SocketAddr>,
    trouble: Trouble,
}

/// The same with clients.
struct Place {
    cluster: Cluster,
    clients: Vec<Client>,
}

fn configuration() -> Configuration {
    let mut configuration = Configuration::of_controls(["us-east-1", "us-west-2", "free"]);
    let asserted = vec!["us-east-1".to_owned(), "us-west-2".to_owned()];
    configuration.rules.push(SafetyRule {
        panel: "default".into(),
        name: "one-region-on".into(),
        kind: RuleKind::Assertion { asserted },
        criteria: RuleType::AtLeast(1),
        inverted: false,
        wait_period_ms: 0,
    });
    configuration
}

fn five_endpoints(stage: &mut Stage) -> Cluster {
    endpoints(stage, Duration::ZERO)
}

fn that_converge_slowly(stage: &mut Stage) -> Cluster {
    endpoints(stage, CONVERGENCE)
}

fn endpoints(stage: &mut Stage, convergence: Duration) -> Cluster {
    let names: Vec<String> = (0..5).map(|member| format!("routing-{member}")).collect();
    let addresses: Vec<_> = names
        .iter()
        .map(|name| stage.reserve(&format!("{name}-region"), name, 2))
        .collect();
    let configuration = configuration();
    let mut endpoints = Vec::new();
    for (member, name) in names.iter().enumerate() {
        let members = names.iter().zip(&addresses);
        let members = members.map(|(peer, addresses)| {
            if peer == name {
                addresses[1]
            } else {
                stage.way(name, peer, addresses[1])
            }
        });
        let options = Options {
            convergence: Convergence {
                min: convergence,
                max: convergence,
            },
            member_timeout: Duration::from_millis(300),
            ..Options::new(REGION, member as u8, members.collect(), configuration.clone())
        };
        let endpoint = Endpoint::new(options).unwrap();
        let served = endpoint.clone();
        stage.serve(name, move |listeners| {
            let [clients, members] = listeners.try_into().unwrap();
            served.clone().serve(clients, members)
        });
        endpoints.push(endpoint);
    }
    Cluster {
        configuration,
        endpoints,
        addresses: addresses.iter().map(|addresses| addresses[0]).collect(),
        trouble: stage.trouble(),
    }
}

impl Cluster {
    fn place(self) -> Place {
        let clients = self
            .addresses
            .iter()
            .map(|address| clients::routing(*address))
            .collect();
        Place {
            cluster: self,
            clients,
        }
    }
}

impl Place {
    fn arn(&self, name: &str) -> String {
        self.cluster.configuration.control_arn("default", name)
    }

    async fn set(&self, at: usize, name: &str, state: State) -> Result<(), String> {
        let update = self.clients[at]
            .update_routing_control_state()
            .routing_control_arn(self.arn(name));
        update
            .routing_control_state(state)
            .send()
            .await
            .map(drop)
            .map_err(|error| code(&error))
    }

    async fn get(&self, at: usize, name: &str) -> Result<State, String> {
        let get = self.clients[at]
            .get_routing_control_state()
            .routing_control_arn(self.arn(name));
        get.send()
            .await
            .map(|got| got.routing_control_state)
            .map_err(|error| code(&error))
    }

    async fn kill(&self, at: usize) {
        let hour = Duration::from_secs(3_000);
        self.cluster.trouble.kill(&format!("routing-{at}"), hour).await;
    }
}

async fn every_endpoint_answers_the_same(cluster: Cluster) {
    let cluster = cluster.place();
    for at in 0..5 {
        assert_eq!(cluster.get(at, "free").await, Ok(State::Off));
    }
    cluster.set(1, "free", State::On).await.unwrap();
    for at in 0..5 {
        assert_eq!(cluster.get(at, "free").await, Ok(State::On));
    }
    cluster.set(4, "free", State::Off).await.unwrap();
    let listed = cluster.clients[2].list_routing_controls().send().await.unwrap();
    assert_eq!(listed.routing_controls().len(), 3);
    assert!(
        listed
            .routing_controls()
            .iter()
            .all(|c| c.routing_control_state() == Some(&State::Off))
    );
    let mut pages = cluster.clients[2]
        .list_routing_controls()
        .max_results(2)
        .into_paginator()
        .send();
    let mut seen = 0;
    while let Some(page) = pages.next().await {
        seen += page.unwrap().routing_controls().len();
    }
    assert_eq!(seen, 3);
}

async fn safety_rules_hold_unless_overridden(cluster: Cluster) {
    let cluster = cluster.place();
    cluster.set(0, "us-east-1", State::On).await.unwrap();
    assert_eq!(
        cluster.set(1, "us-east-1", State::Off).await,
        Err("ConflictException".to_owned())
    );
    let entry = |name: &str, state| {
        let entry = UpdateRoutingControlStateEntry::builder().routing_control_arn(cluster.arn(name));
        entry.routing_control_state(state).build().unwrap()
    };
    let both = cluster.clients[2]
        .update_routing_control_states()
        .update_routing_control_state_entries(entry("us-east-1", State::Off))
        .update_routing_control_state_entries(entry("us-west-2", State::On));
    both.send().await.unwrap();
    assert_eq!(cluster.get(3, "us-west-2").await, Ok(State::On));
    let off = cluster.clients[4]
        .update_routing_control_state()
        .routing_control_arn(cluster.arn("us-west-2"))
        .routing_control_state(State::Off);
    let refused = off.clone().send().await.unwrap_err();
    let conflict = refused.as_service_error().unwrap();
    assert!(conflict.is_conflict_exception(), "{conflict:?}");
    let configuration = &cluster.cluster.configuration;
    let rule = configuration.rule_arn(&configuration.rules[0]);
    off.safety_rules_to_override(rule).send().await.unwrap();
    assert_eq!(cluster.get(0, "us-west-2").await, Ok(State::Off));
}

async fn bad_requests_are_refused(cluster: Cluster) {
    let cluster = cluster.place();
    let client = &cluster.clients[0];
    let unknown = client
        .get_routing_control_state()
        .routing_control_arn("arn:none")
        .send()
        .await
        .unwrap_err();
    assert!(
        unknown
            .as_service_error()
            .unwrap()
            .is_resource_not_found_exception()
    );
    let sideways = cluster.set(0, "free", State::from("Sideways")).await;
    assert_eq!(sideways, Err("ValidationException".to_owned()));
    let nothing = client
        .update_routing_control_states()
        .set_update_routing_control_state_entries(Some(Vec::new()));
    assert_eq!(code(&nothing.send().await.unwrap_err()), "ValidationException");
}

async fn three_of_five_are_enough_and_two_are_not(cluster: Cluster) {
    let cluster = cluster.place();
    cluster.kill(3).await;
    cluster.kill(4).await;
    cluster.set(0, "free", State::On).await.unwrap();
    assert_eq!(cluster.get(2, "free").await, Ok(State::On));
    cluster.kill(2).await;
    let unavailable = || Err("EndpointTemporarilyUnavailableException".to_owned());
    assert_eq!(cluster.set(0, "free", State::Off).await, unavailable());
    assert_eq!(cluster.get(1, "free").await.map(drop), unavailable());
}

async fn an_endpoint_that_is_out_sends_the_caller_to_the_next(cluster: Cluster) {
    let cluster = cluster.place();
    let refuse = ServiceFault::Unavailable {
        outage: Outage::Refuse,
    };
    cluster.cluster.endpoints[0].faults().begin(refuse).unwrap();
    let unavailable = "EndpointTemporarilyUnavailableException".to_owned();
    assert_eq!(cluster.set(0, "free", State::On).await, Err(unavailable));
    cluster.set(1, "free", State::On).await.unwrap();
}

async fn a_change_takes_its_time_to_show(cluster: Cluster) {
    let cluster = cluster.place();
    cluster.set(0, "free", State::On).await.unwrap();
    assert_eq!(cluster.get(1, "free").await, Ok(State::Off));
    tokio::time::sleep(CONVERGENCE).await;
    for at in 0..5 {
        assert_eq!(cluster.get(at, "free").await, Ok(State::On));
    }
}

async fn rivals_at_all_endpoints_at_once_all_come_through(cluster: Cluster) {
    let cluster = cluster.place();
    let set = |at| cluster.set(at, "free", if at % 2 == 0 { State::On } else { State::Off });
    let (a, b, c, d, e) = tokio::join!(set(0), set(1), set(2), set(3), set(4));
    assert_eq!([a, b, c, d, e], [Ok(()), Ok(()), Ok(()), Ok(()), Ok(())]);
    let agreed = cluster.get(0, "free").await;
    for at in 1..5 {
        assert_eq!(cluster.get(at, "free").await, agreed);
    }
}

async fn a_cut_leaves_the_majority_at_work_and_the_minority_without_an_answer(cluster: Cluster) {
    let cluster = cluster.place();
    let lasting = Duration::from_secs(10);
    for alone in ["routing-3", "routing-4"] {
        let majority = ["routing-0", "routing-1", "routing-2"];
        cluster.cluster.trouble.cut(alone, &majority, lasting).await;
    }
    cluster.set(0, "free", State::On).await.unwrap();
    assert_eq!(cluster.get(2, "free").await, Ok(State::On));
    let unavailable = || Err("EndpointTemporarilyUnavailableException".to_owned());
    assert_eq!(cluster.set(3, "free", State::Off).await, unavailable());
    assert_eq!(cluster.get(4, "free").await.map(drop), unavailable());
    tokio::time::sleep(lasting).await;
    assert_eq!(
        cluster.get(4, "free").await,
        Ok(State::On),
        "it learns what it missed"
    );
}
