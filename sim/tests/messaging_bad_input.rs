//! What no SDK would send: AWS's own error type and status, and a server that goes on.

#![cfg(all(feature = "messaging", feature = "routing"))]

use std::collections::BTreeMap;
use std::time::SystemTime;

use sumzero_sim::aws::local::{self, Options};
use sumzero_sim::aws::wire::basic_iso8601;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

struct Spoken {
    variable: &'static str,
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
        variable: "AWS_ENDPOINT_URL_SQS",
        service: "sqs",
        target: "AmazonSQS",
        content_type: "application/x-amz-json-1.0",
        good: "ListQueues",
        mistyped: ("CreateQueue", r#"{"QueueName":{"a":1}}"#),
    },
    Spoken {
        variable: "AWS_ENDPOINT_URL_EVENTBRIDGE",
        service: "events",
        target: "AWSEvents",
        content_type: "application/x-amz-json-1.1",
        good: "ListEventBuses",
        mistyped: ("PutEvents", r#"{"Entries":"none"}"#),
    },
    Spoken {
        variable: "AWS_ENDPOINT_URL_ROUTE53_RECOVERY_CLUSTER",
        service: "route53-recovery-cluster",
        target: "ToggleCustomerAPI",
        content_type: "application/x-amz-json-1.0",
        good: "ListRoutingControls",
        mistyped: ("GetRoutingControlState", r#"{"RoutingControlArn":7}"#),
    },
];

/// Status and body of the answer.
async fn send(
    environment: &BTreeMap<String, String>,
    to: &Spoken,
    target: &str,
    signed: bool,
    body: &[u8],
) -> (u16, String) {
    let address = environment[to.variable].strip_prefix("http://").unwrap();
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

#[tokio::test]
async fn bad_input_has_the_error_of_aws_and_the_server_goes_on() {
    let local = local::serve(Options::default()).await.unwrap();
    let environment = local.environment("us-east-1").unwrap();
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
            let (status, answer) = send(environment, to, &target, signed, body).await;
            assert_eq!(status, 400, "{target}: {answer}");
            assert!(answer.contains(&format!("#{error}\"")), "{target}: {answer}");
            let (status, answer) = send(environment, to, &good(to), true, b"{}").await;
            assert_eq!(status, 200, "{answer}");
        }
    }
    local.stop().await;
}

fn good(to: &Spoken) -> String {
    format!("{}.{}", to.target, to.good)
}
