//! The routing-control data plane through the official SDK, on a cluster of five endpoints that talk over real sockets.
//! Each body takes the endpoints, so that it can run against hosts in a world as well.

#![cfg(feature = "routing")]

mod messaging;

use std::net::SocketAddr;
use std::time::Duration;

use aws_sdk_route53recoverycluster::Client;
use aws_sdk_route53recoverycluster::types::{RoutingControlState as State, UpdateRoutingControlStateEntry};
use sumzero_sim::aws::routing::config::{RuleKind, RuleType, SafetyRule};
use sumzero_sim::aws::routing::{Configuration, Convergence, Endpoint, Options};
use sumzero_sim::aws::wire::{Outage, RequestFault};
use tokio::task::JoinHandle;

use messaging::{REGION, code, listen};

struct Cluster {
    configuration: Configuration,
    endpoints: Vec<Endpoint>,
    clients: Vec<Client>,
    serving: Vec<JoinHandle<std::io::Result<()>>>,
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

async fn start(convergence: Convergence) -> Cluster {
    let mut members = Vec::new();
    for _ in 0..5 {
        members.push(listen().await.0);
    }
    let addresses: Vec<SocketAddr> = members.iter().map(|m| m.local_addr().unwrap()).collect();
    let configuration = configuration();
    let (mut endpoints, mut clients, mut serving) = (Vec::new(), Vec::new(), Vec::new());
    for (id, members) in (0..).zip(members) {
        let options = Options {
            convergence,
            member_timeout: Duration::from_millis(300),
            ..Options::new(REGION, id, addresses.clone(), configuration.clone())
        };
        let endpoint = Endpoint::new(options).unwrap();
        let (listener, url) = listen().await;
        serving.push(tokio::spawn(endpoint.clone().serve(listener, members)));
        endpoints.push(endpoint);
        clients.push(messaging::routing(&url));
    }
    Cluster {
        configuration,
        endpoints,
        clients,
        serving,
    }
}

fn at_once() -> Convergence {
    Convergence {
        min: Duration::ZERO,
        max: Duration::ZERO,
    }
}

impl Cluster {
    fn arn(&self, name: &str) -> String {
        self.configuration.control_arn("default", name)
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

    async fn kill(&mut self, at: usize) {
        self.serving[at].abort();
        while !self.serving[at].is_finished() {
            tokio::task::yield_now().await;
        }
    }
}

async fn every_endpoint_answers_the_same(cluster: &Cluster) {
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

async fn safety_rules_hold_unless_overridden(cluster: &Cluster) {
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
    let rule = cluster.configuration.rule_arn(&cluster.configuration.rules[0]);
    off.safety_rules_to_override(rule).send().await.unwrap();
    assert_eq!(cluster.get(0, "us-west-2").await, Ok(State::Off));
}

async fn bad_requests_are_refused(cluster: &Cluster) {
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

async fn suite(cluster: &Cluster) {
    every_endpoint_answers_the_same(cluster).await;
    safety_rules_hold_unless_overridden(cluster).await;
    bad_requests_are_refused(cluster).await;
}

#[tokio::test]
async fn the_suite_passes_on_localhost() {
    suite(&start(at_once()).await).await;
}

#[tokio::test]
async fn three_of_five_are_enough_and_two_are_not() {
    let mut cluster = start(at_once()).await;
    cluster.kill(3).await;
    cluster.kill(4).await;
    cluster.set(0, "free", State::On).await.unwrap();
    assert_eq!(cluster.get(2, "free").await, Ok(State::On));
    cluster.kill(2).await;
    let unavailable = || Err("EndpointTemporarilyUnavailableException".to_owned());
    assert_eq!(cluster.set(0, "free", State::Off).await, unavailable());
    assert_eq!(cluster.get(1, "free").await.map(drop), unavailable());
}

#[tokio::test]
async fn an_endpoint_that_is_out_sends_the_caller_to_the_next() {
    let cluster = start(at_once()).await;
    let refuse = RequestFault::Unavailable {
        outage: Outage::Refuse,
    };
    cluster.endpoints[0].faults().begin(refuse).unwrap();
    let unavailable = "EndpointTemporarilyUnavailableException".to_owned();
    assert_eq!(cluster.set(0, "free", State::On).await, Err(unavailable));
    cluster.set(1, "free", State::On).await.unwrap();
}

#[tokio::test]
async fn a_change_takes_its_time_to_show() {
    let delay = Duration::from_millis(700);
    let cluster = start(Convergence {
        min: delay,
        max: delay,
    })
    .await;
    cluster.set(0, "free", State::On).await.unwrap();
    assert_eq!(cluster.get(1, "free").await, Ok(State::Off));
    tokio::time::sleep(delay).await;
    for at in 0..5 {
        assert_eq!(cluster.get(at, "free").await, Ok(State::On));
    }
}

#[tokio::test]
async fn rivals_at_all_endpoints_at_once_all_come_through() {
    let cluster = start(at_once()).await;
    let set = |at| cluster.set(at, "free", if at % 2 == 0 { State::On } else { State::Off });
    let (a, b, c, d, e) = tokio::join!(set(0), set(1), set(2), set(3), set(4));
    assert_eq!([a, b, c, d, e], [Ok(()), Ok(()), Ok(()), Ok(()), Ok(())]);
    let agreed = cluster.get(0, "free").await;
    for at in 1..5 {
        assert_eq!(cluster.get(at, "free").await, agreed);
    }
}
