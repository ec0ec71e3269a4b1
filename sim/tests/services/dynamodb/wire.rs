//! What only shows below the SDK: headers, raw error bodies, bad input, clock skew, streams.

use super::cluster::{self, Cluster, REGIONS};
use super::suite::create_table;
use crate::stage::in_both_places;
use reqwest::StatusCode;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::time::{Duration, SystemTime};
use sumzero_sim::aws::wire::basic_iso8601;

struct Raw {
    status: StatusCode,
    headers: reqwest::header::HeaderMap,
    body: Value,
}

/// Sends a request signed, as far as a server without the secret can tell, at `date`.
async fn send_at(date: SystemTime, address: SocketAddr, target: &str, body: impl Into<String>) -> Raw {
    let date = basic_iso8601(date);
    let scope = format!("AKIDEXAMPLE/{}/us-east-1/dynamodb/aws4_request", &date[..8]);
    let authorization =
        format!("AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host;x-amz-date, Signature=00");
    let response = reqwest::Client::new()
        .post(format!("http://{address}/"))
        .header("content-type", "application/x-amz-json-1.0")
        .header("x-amz-target", target)
        .header("x-amz-date", date)
        .header("authorization", authorization)
        .body(body.into())
        .send()
        .await
        .expect("answer");
    let (status, headers) = (response.status(), response.headers().clone());
    let text = response.text().await.expect("body");
    Raw {
        status,
        headers,
        body: serde_json::from_str(&text).unwrap_or(Value::String(text)),
    }
}

async fn send(address: SocketAddr, operation: &str, body: Value) -> Raw {
    send_at(
        SystemTime::now(),
        address,
        &format!("DynamoDB_20120810.{operation}"),
        body.to_string(),
    )
    .await
}

in_both_places!(cluster::one_region =>
    a_signature_too_old_or_too_new_is_refused_in_the_words_that_the_sdk_knows,
    a_stream_tells_every_change_with_both_images,
    an_answer_carries_what_the_sdk_reads,
    bad_input_gets_the_errors_of_aws_and_the_server_lives,
    equal_items_are_written_equally_whatever_their_hash_order,
);

async fn table(cluster: &Cluster) -> SocketAddr {
    create_table(&cluster.client(REGIONS[0]), "things", false).await;
    cluster.address(REGIONS[0])
}

async fn an_answer_carries_what_the_sdk_reads(cluster: Cluster) {
    let address = table(&cluster).await;
    let put = send(
        address,
        "PutItem",
        json!({"TableName": "things", "Item": {"pk": {"S": "a"}, "b": {"N": "1"}}}),
    )
    .await;
    assert_eq!((put.status, put.body), (StatusCode::OK, json!({})));
    assert_eq!(put.headers["content-type"], "application/x-amz-json-1.0");
    let id = put.headers["x-amzn-requestid"].to_str().expect("id");
    assert!(
        id.len() == 52
            && id
                .bytes()
                .all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit()),
        "{id}"
    );
    // Of the body `{}`.
    assert_eq!(put.headers["x-amz-crc32"], "2745614147");
    assert!(put.headers["date"].to_str().expect("date").ends_with(" GMT"));
}

async fn bad_input_gets_the_errors_of_aws_and_the_server_lives(cluster: Cluster) {
    let address = table(&cluster).await;
    let now = SystemTime::now();
    let coral = "com.amazon.coral.service#";
    let broken = send_at(now, address, "DynamoDB_20120810.PutItem", "{\"TableName\": ").await;
    assert_eq!(
        broken.body,
        json!({"__type": format!("{coral}SerializationException")})
    );
    let unknown = send_at(now, address, "DynamoDB_20120810.Frobnicate", "{}").await;
    assert_eq!(
        unknown.body,
        json!({"__type": format!("{coral}UnknownOperationException")})
    );
    let other_service = send_at(now, address, "AmazonSQS.SendMessage", "{}").await;
    assert_eq!(
        other_service.body,
        json!({"__type": format!("{coral}UnknownOperationException")})
    );
    let typed = send(address, "PutItem", json!({"TableName": 7, "Item": {}})).await;
    assert_eq!(typed.body["__type"], format!("{coral}SerializationException"));
    assert_eq!(
        typed.body["Message"],
        "NUMBER_VALUE cannot be converted to String"
    );
    let keyless = send(
        address,
        "PutItem",
        json!({"TableName": "things", "Item": {"x": {"S": "y"}}}),
    )
    .await;
    assert_eq!(
        keyless.body["__type"],
        "com.amazon.coral.validate#ValidationException"
    );
    assert_eq!(
        keyless.body["message"],
        "One or more parameter values were invalid: Missing the key pk in the item"
    );
    for raw in [&broken, &unknown, &typed, &keyless] {
        assert_eq!(raw.status, StatusCode::BAD_REQUEST);
    }
    let unsigned = reqwest::Client::new().post(format!("http://{address}/"));
    let unsigned = unsigned
        .header("x-amz-target", "DynamoDB_20120810.ListTables")
        .body("{}")
        .send()
        .await;
    let unsigned: Value = unsigned.expect("answer").json().await.expect("json");
    assert_eq!(
        unsigned["__type"],
        format!("{coral}MissingAuthenticationTokenException")
    );
    let deep = format!(
        "{{\"TableName\":\"things\",\"Item\":{}1{}}}",
        "[".repeat(5_000),
        "]".repeat(5_000)
    );
    let deep = send_at(now, address, "DynamoDB_20120810.PutItem", deep).await;
    assert_eq!(deep.status, StatusCode::BAD_REQUEST);
    assert_eq!(
        send(address, "ListTables", json!({})).await.body,
        json!({"TableNames": ["things"]})
    );
}

async fn a_signature_too_old_or_too_new_is_refused_in_the_words_that_the_sdk_knows(cluster: Cluster) {
    let address = table(&cluster).await;
    let (now, skew) = (SystemTime::now(), Duration::from_secs(6 * 60));
    for (date, opening) in [
        (now - skew, "Signature expired: "),
        (now + skew, "Signature not yet current: "),
    ] {
        let refused = send_at(date, address, "DynamoDB_20120810.ListTables", "{}").await;
        assert_eq!(
            refused.body["__type"],
            "com.amazon.coral.service#InvalidSignatureException"
        );
        assert!(
            refused.body["message"]
                .as_str()
                .expect("message")
                .starts_with(opening),
            "{}",
            refused.body
        );
    }
}

async fn a_stream_tells_every_change_with_both_images(cluster: Cluster) {
    let address = table(&cluster).await;
    let stream = async |operation: &str, body: Value| {
        let target = format!("DynamoDBStreams_20120810.{operation}");
        send_at(SystemTime::now(), address, &target, body.to_string())
            .await
            .body
    };
    for value in ["1", "2"] {
        send(
            address,
            "PutItem",
            json!({"TableName": "things", "Item": {"pk": {"S": "a"}, "v": {"N": value}}}),
        )
        .await;
    }
    send(
        address,
        "DeleteItem",
        json!({"TableName": "things", "Key": {"pk": {"S": "a"}}}),
    )
    .await;
    let arn = stream("ListStreams", json!({"TableName": "things"})).await["Streams"][0]["StreamArn"].clone();
    assert!(
        arn.as_str()
            .expect("arn")
            .starts_with("arn:aws:dynamodb:us-east-1:123456789012:table/things/stream/")
    );
    let described = stream("DescribeStream", json!({"StreamArn": arn})).await;
    let shard = described["StreamDescription"]["Shards"][0]["ShardId"].clone();
    let asked = json!({"StreamArn": arn, "ShardId": shard, "ShardIteratorType": "TRIM_HORIZON"});
    let iterator = stream("GetShardIterator", asked).await["ShardIterator"].clone();
    let records = stream("GetRecords", json!({"ShardIterator": iterator})).await["Records"].clone();
    let told: Vec<_> = records
        .as_array()
        .expect("records")
        .iter()
        .map(|record| {
            let image = |name: &str| {
                record["dynamodb"][name]["v"]["N"]
                    .as_str()
                    .unwrap_or("-")
                    .to_owned()
            };
            (
                record["eventName"].as_str().expect("name").to_owned(),
                image("OldImage"),
                image("NewImage"),
            )
        })
        .collect();
    let expect = |name: &str, old: &str, new: &str| (name.to_owned(), old.to_owned(), new.to_owned());
    assert_eq!(
        told,
        [
            expect("INSERT", "-", "1"),
            expect("MODIFY", "1", "2"),
            expect("REMOVE", "2", "-")
        ]
    );
    assert_eq!(records[0]["awsRegion"], "us-east-1");
}

async fn equal_items_are_written_equally_whatever_their_hash_order(cluster: Cluster) {
    let address = table(&cluster).await;
    let item: Value = (0..40)
        .map(|number| (format!("a{number:02}"), json!({"N": "1"})))
        .collect();
    let mut item = item;
    item["pk"] = json!({"S": "wide"});
    send(address, "PutItem", json!({"TableName": "things", "Item": item})).await;
    let response = async || {
        let raw = reqwest::Client::new().post(format!("http://{address}/"));
        let date = basic_iso8601(SystemTime::now());
        let scope = format!("AKIDEXAMPLE/{}/us-east-1/dynamodb/aws4_request", &date[..8]);
        let raw = raw
            .header("x-amz-target", "DynamoDB_20120810.GetItem")
            .header("x-amz-date", date)
            .header(
                "authorization",
                format!("AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=0"),
            )
            .body(json!({"TableName": "things", "Key": {"pk": {"S": "wide"}}}).to_string());
        raw.send().await.expect("answer").text().await.expect("text")
    };
    assert_eq!(response().await, response().await);
}
