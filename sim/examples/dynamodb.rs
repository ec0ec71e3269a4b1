//! The AWS SDK takes its own write for a rival's.
//!
//! A client claims a payment with a conditional put. DynamoDB applies it, but the answer is lost; the SDK's own retry, in
//! the same call, finds the item there and reports `ConditionalCheckFailedException`. Only reading the item back tells the
//! client that the rival is itself.

#[path = "support/items.rs"]
mod items;
mod support;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::timeout::TimeoutConfig;
use aws_sdk_dynamodb::config::{Config, Credentials, Region};
use aws_sdk_dynamodb::error::SdkError;
use aws_sdk_dynamodb::types::AttributeValue;
use sumzero_sim::{Error, Fault, Host, World};
use tokio::time::{Instant, sleep};

fn main() -> Result<(), Error> {
    let arguments = support::arguments();
    let log = Arc::new(Mutex::new(Vec::new()));
    let lines = log.clone();

    let client = Host::new("client").run(move || {
        let lines = lines.clone();
        async move {
            let started = Instant::now();
            let dynamodb = client("http://10.0.0.1:8000");
            for payment in 1..=5 {
                let claimed = claim(&dynamodb, AttributeValue::S(format!("payment-{payment}"))).await?;
                let at = started.elapsed().as_secs_f64();
                lines
                    .lock()
                    .unwrap()
                    .push(format!("{at:6.3} s  payment-{payment} {claimed}"));
                sleep(Duration::from_secs(1)).await;
            }
            Ok::<_, aws_sdk_dynamodb::Error>(())
        }
    });

    // Requests get through, answers do not.
    let no_answers = Fault::partition_one_way("dynamodb", "client");
    let outcome = World::new(arguments.seed)
        .host(Host::new("dynamodb").ip([10, 0, 0, 1]).run(items::serve))
        .client(client)
        .fault(
            no_answers
                .at(Duration::from_millis(1_900))
                .lasting(Duration::from_secs(1)),
        )
        .trace(arguments.trace)
        .run_until_done(Duration::from_secs(60))?;

    for line in log.lock().unwrap().iter() {
        println!("{line}");
    }
    println!("trace-hash: {}", outcome.trace_hash);
    Ok(())
}

/// The SDK as it ships, but for the address and a time-out for each attempt.
fn client(address: &str) -> Client {
    let timeouts = TimeoutConfig::builder()
        .operation_attempt_timeout(Duration::from_millis(500))
        .build();
    let config = Config::builder()
        .behavior_version_latest()
        .region(Region::new("us-east-1"))
        .credentials_provider(Credentials::new("key", "secret", None, None, "example"))
        .endpoint_url(address)
        .timeout_config(timeouts)
        .http_client(aws_smithy_http_client::Builder::new().build_http());
    Client::from_conf(config.build())
}

/// Claims a payment that nobody has claimed, as production code does: once, and the rest is the SDK's.
async fn claim(dynamodb: &Client, id: AttributeValue) -> Result<String, aws_sdk_dynamodb::Error> {
    let put = dynamodb
        .put_item()
        .table_name("claims")
        .item("id", id.clone())
        .item("owner", us());
    match put.condition_expression("attribute_not_exists(id)").send().await {
        Ok(_) => Ok("claimed".to_owned()),
        Err(SdkError::ServiceError(refused)) if refused.err().is_conditional_check_failed_exception() => {
            let get = dynamodb
                .get_item()
                .table_name("claims")
                .key("id", id)
                .consistent_read(true);
            let ours = get
                .send()
                .await?
                .item
                .is_some_and(|item| item.get("owner") == Some(&us()));
            let rival = if ours { "ourselves" } else { "a rival" };
            Ok(format!(
                "ConditionalCheckFailedException, and the item says: claimed by {rival}"
            ))
        }
        Err(error) => Err(error.into()),
    }
}

fn us() -> AttributeValue {
    AttributeValue::S("client".to_owned())
}
