//! The request layer over a real socket, with a service that only echoes.

use super::{
    Answer, Call, Error, JsonVersion, Protocol, RequestIdStyle, Service, Signing, basic_iso8601, serve,
};
use std::sync::Arc;
use std::time::SystemTime;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

struct Echo(Protocol);

impl Service for Echo {
    async fn call(&self, call: Call) -> Answer {
        match call.operation.as_str() {
            "Echo" => Answer::Ok(call.body.to_string()),
            "Vanish" => Answer::Hangup,
            _ => Answer::Error(
                Error::new(400, "test#NoSuchThing", "no")
                    .capital_message()
                    .with("Thing", 7.into())
                    .header("x-extra", "yes"),
            ),
        }
    }

    fn protocol(&self) -> &Protocol {
        &self.0
    }
}

/// Sends one request to a fresh echo server and returns all that comes back until it closes.
async fn exchange(target: Option<&str>, sign: bool, body: &str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
    let address = listener.local_addr().expect("address");
    let protocol = Protocol {
        json: JsonVersion::V1_0,
        targets: &["Echo_1"],
        signing: Signing::new("echo", "us-east-1"),
        request_ids: RequestIdStyle::Uuid,
        checksums: false,
        health: "healthy: echo".to_owned(),
        seed: 1,
    };
    let server = tokio::spawn(serve(listener, Arc::new(Echo(protocol))));
    let mut head = format!(
        "POST / HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {}\r\n",
        body.len()
    );
    head += "content-type: application/x-amz-json-1.0\r\n";
    if let Some(target) = target {
        head += &format!("x-amz-target: {target}\r\n");
    }
    if sign {
        let date = basic_iso8601(SystemTime::now());
        let scope = format!("AKID/{}/us-east-1/echo/aws4_request", &date[..8]);
        head += &format!("x-amz-date: {date}\r\nauthorization: AWS4-HMAC-SHA256 Credential={scope}, ");
        head += "SignedHeaders=host, Signature=00\r\n";
    }
    let mut tcp = TcpStream::connect(address).await.expect("connect");
    tcp.write_all(format!("{head}\r\n{body}").as_bytes())
        .await
        .expect("send");
    let mut answer = String::new();
    tcp.read_to_string(&mut answer).await.expect("read");
    server.abort();
    answer
}

#[tokio::test]
async fn a_good_call_is_answered_with_date_and_request_id() {
    let answer = exchange(Some("Echo_1.Echo"), true, r#"{"a":1}"#).await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(answer.ends_with("\r\n\r\n{\"a\":1}"), "{answer}");
    assert_eq!(answer.matches("date: ").count(), 1, "{answer}");
    assert!(answer.contains("x-amzn-requestid: "), "{answer}");
}

#[tokio::test]
async fn bad_calls_get_the_errors_of_the_request_layer() {
    for (target, sign, body, expected) in [
        (
            Some("Echo_1.Echo"),
            true,
            "{oops",
            r#"{"__type":"com.amazon.coral.service#SerializationException"}"#,
        ),
        (
            Some("Echo_1.Echo"),
            true,
            "[1]",
            r#"{"__type":"com.amazon.coral.service#SerializationException"}"#,
        ),
        (
            Some("Echo_1.Echo"),
            true,
            "",
            r#"{"__type":"com.amazon.coral.service#SerializationException"}"#,
        ),
        (
            Some("Echo_2.Echo"),
            true,
            "{}",
            r#"{"__type":"com.amazon.coral.service#UnknownOperationException"}"#,
        ),
        (
            None,
            true,
            "{}",
            r#"{"__type":"com.amazon.coral.service#UnknownOperationException"}"#,
        ),
        (
            Some("Echo_1.Echo"),
            false,
            "{}",
            r#"{"__type":"com.amazon.coral.service#MissingAuthenticationTokenException","#,
        ),
        (
            Some("Echo_1.Other"),
            true,
            "{}",
            r#"{"Message":"no","Thing":7,"__type":"test#NoSuchThing"}"#,
        ),
    ] {
        let answer = exchange(target, sign, body).await;
        assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
        assert!(answer.contains(expected), "{answer}");
    }
}

#[tokio::test]
async fn a_hangup_sends_nothing() {
    assert_eq!(exchange(Some("Echo_1.Vanish"), true, "{}").await, "");
}
