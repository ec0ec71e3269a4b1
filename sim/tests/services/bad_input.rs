//! What no SDK would send: AWS's own error type and status, and a server that goes on.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::SystemTime;

use sumzero_sim::aws::eventbridge::{self, EventBridge};
use sumzero_sim::aws::routing::{self, Configuration, Endpoint};
use sumzero_sim::aws::sqs::{self, Sqs};
use sumzero_sim::aws::wire::basic_iso8601;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::clients::REGION;
use crate::stage::{Stage, in_both_places};

in_both_places!(all_services => bad_input_has_the_error_of_aws_and_the_server_goes_on);

struct Spoken {
    service: &'static str,
    target: &'static str,
    content_type: &'static str,
    /// An operation that works without parameters.
    good: &'static str,
    /// A body whose members have the wrong types, and its operation.
    mistyped: (&'static str, &'static str),
}

const SERVICES: [Spoken; 3] = [
    Spoken {
        service: "sqs",
        target: "AmazonSQS",
        content_type: "application/x-amz-json-1.0",
        good: "ListQueues",
        mistyped: ("CreateQueue", r#"{"QueueName":{"a":1}}"#),
    },
    Spoken {
        service: "events",
        target: "AWSEvents",
        content_type: "application/x-amz-json-1.1",
        good: "ListEventBuses",
        mistyped: ("PutEvents", r#"{"Entries":"none"}"#),
    },
    Spoken {
        service: "route53-recovery-cluster",
        target: "ToggleCustomerAPI",
        content_type: "application/x-amz-json-1.0",
        good: "ListRoutingControls",
        mistyped: ("GetRoutingControlState", r#"{"RoutingControlArn":7}"#),
    },
];

/// Where each service is, by its signing name.
type Addresses = BTreeMap<&'static str, SocketAddr>;

fn all_services(stage: &mut Stage) -> Addresses {
    let queues = stage.reserve(REGION, "sqs", 1)[0];
    let buses = stage.reserve(REGION, "eventbridge", 1)[0];
    let controls = stage.reserve(REGION, "routing", 2);
    let sqs = Sqs::new(sqs::Options::new(REGION));
    stage.serve("sqs", move |mut listeners| sqs.clone().serve(listeners.remove(0)));
    let events = EventBridge::new(eventbridge::Options::new(REGION, queues));
    stage.serve("eventbridge", move |mut listeners| {
        events.clone().serve(listeners.remove(0))
    });
    let configuration = Configuration::of_controls(["us-east-1"]);
    let options = routing::Options::new(REGION, 0, vec![controls[1]], configuration);
    let endpoint = Endpoint::new(options).unwrap();
    stage.serve("routing", move |listeners| {
        let [clients, members] = listeners.try_into().unwrap();
        endpoint.clone().serve(clients, members)
    });
    Addresses::from([
        ("sqs", queues),
        ("events", buses),
        ("route53-recovery-cluster", controls[0]),
    ])
}

/// Status and body of the answer.
async fn send(addresses: &Addresses, to: &Spoken, target: &str, signed: bool, body: &[u8]) -> (u16, String) {
    let address = addresses[to.service];
    let date = basic_iso8601(SystemTime::now());
    let mut head = format!(
        "POST / HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\ncontent-length: {}\r\ncontent-type: {}\r\n\
         x-amz-target: {target}\r\nx-amz-date: {date}\r\n",
        body.len(),
        to.content_type
    );
    if signed {
        let scope = format!("AKID/{}/us-east-1/{}/aws4_request", &date[..8], to.service);
        head += &format!(
            "authorization: AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=0\r\n"
        );
    }
    let mut tcp = TcpStream::connect(address).await.unwrap();
    tcp.write_all(format!("{head}\r\n").as_bytes()).await.unwrap();
    tcp.write_all(body).await.unwrap();
    let mut answer = String::new();
    tcp.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

async fn bad_input_has_the_error_of_aws_and_the_server_goes_on(addresses: Addresses) {
    for to in &SERVICES {
        let target = |operation: &str| format!("{}.{operation}", to.target);
        let (mistyped, mistyped_body) = to.mistyped;
        for (target, signed, body, error) in [
            (target(to.good), true, &b"{"[..], "SerializationException"),
            (target(to.good), true, b"[]", "SerializationException"),
            (target(to.good), true, b"\xff\xfe", "SerializationException"),
            (
                target(mistyped),
                true,
                mistyped_body.as_bytes(),
                "SerializationException",
            ),
            (target("NoSuchThing"), true, b"{}", "UnknownOperationException"),
            (
                "Nobody.ListQueues".to_owned(),
                true,
                b"{}",
                "UnknownOperationException",
            ),
            (
                target(to.good),
                false,
                b"{}",
                "MissingAuthenticationTokenException",
            ),
        ] {
            let (status, answer) = send(&addresses, to, &target, signed, body).await;
            assert_eq!(status, 400, "{target}: {answer}");
            assert!(answer.contains(&format!("#{error}\"")), "{target}: {answer}");
            let (status, answer) = send(&addresses, to, &good(to), true, b"{}").await;
            assert_eq!(status, 200, "{answer}");
        }
    }
}

fn good(to: &Spoken) -> String {
    format!("{}.{}", to.target, to.good)
}
