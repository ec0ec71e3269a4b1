//! Clients as the tests use them: the official SDKs with their default retries, over plain HTTP.

// Each test uses its own part.
#![allow(dead_code)]

use aws_sdk_sqs::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_sqs::error::{ProvideErrorMetadata, SdkError};
use tokio::net::TcpListener;

/// The Region of all endpoints here.
pub(crate) const REGION: &str = "us-east-1";

macro_rules! client {
    ($sdk:ident, $url:expr) => {
        $sdk::Client::from_conf(
            $sdk::Config::builder()
                .behavior_version(BehaviorVersion::latest())
                .region(Region::new(REGION))
                .endpoint_url($url)
                .credentials_provider(Credentials::new("AKID", "secret", None, None, "test"))
                .http_client(aws_smithy_http_client::Builder::new().build_http())
                .build(),
        )
    };
}

/// A client of the SQS at this URL.
pub(crate) fn sqs(url: &str) -> aws_sdk_sqs::Client {
    client!(aws_sdk_sqs, url)
}

/// A client of the EventBridge at this URL.
pub(crate) fn eventbridge(url: &str) -> aws_sdk_eventbridge::Client {
    client!(aws_sdk_eventbridge, url)
}

/// A client of the routing-control endpoint at this URL.
pub(crate) fn routing(url: &str) -> aws_sdk_route53recoverycluster::Client {
    client!(aws_sdk_route53recoverycluster, url)
}

/// A listener on a free port, and its URL.
pub(crate) async fn listen() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    (listener, url)
}

/// The error code that the service gave.
pub(crate) fn code<E: ProvideErrorMetadata, R>(error: &SdkError<E, R>) -> String {
    error.code().unwrap_or("none").to_owned()
}
