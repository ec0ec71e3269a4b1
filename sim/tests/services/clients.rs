//! Clients as the tests use them: the official SDKs with their default retries, over plain HTTP.

use std::net::SocketAddr;

use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};

/// The Region of all endpoints that have no other.
pub(crate) const REGION: &str = "us-east-1";

macro_rules! client {
    ($sdk:ident, $region:expr, $address:expr) => {{
        use $sdk::config::retry::{RetryPartition, TokenBucket};
        use $sdk::config::{BehaviorVersion, Credentials, Region};
        // The SDK keeps the tokens that retries cost for the whole process; a world must not know of the last one.
        let tokens = RetryPartition::custom("own").token_bucket(TokenBucket::default()).build();
        $sdk::Client::from_conf(
            $sdk::Config::builder()
                .behavior_version(BehaviorVersion::latest())
                .region(Region::new($region.to_owned()))
                .endpoint_url(format!("http://{}", $address))
                .credentials_provider(Credentials::new("AKIDEXAMPLE", "secret", None, None, "test"))
                .retry_partition(tokens)
                .http_client(aws_smithy_http_client::Builder::new().build_http())
                .build(),
        )
    }};
}

/// A client of the DynamoDB there.
pub(crate) fn dynamodb(region: &str, address: SocketAddr) -> aws_sdk_dynamodb::Client {
    client!(aws_sdk_dynamodb, region, address)
}

/// The same, taking the first answer for the last.
pub(crate) fn dynamodb_without_retries(region: &str, address: SocketAddr) -> aws_sdk_dynamodb::Client {
    let config = dynamodb(region, address).config().to_builder();
    let once = aws_sdk_dynamodb::config::retry::RetryConfig::disabled();
    aws_sdk_dynamodb::Client::from_conf(config.retry_config(once).build())
}

/// A client of the SQS there.
pub(crate) fn sqs(address: SocketAddr) -> aws_sdk_sqs::Client {
    client!(aws_sdk_sqs, REGION, address)
}

/// A client of the EventBridge there.
pub(crate) fn eventbridge(address: SocketAddr) -> aws_sdk_eventbridge::Client {
    client!(aws_sdk_eventbridge, REGION, address)
}

/// A client of the routing-control endpoint there.
pub(crate) fn routing(address: SocketAddr) -> aws_sdk_route53recoverycluster::Client {
    client!(aws_sdk_route53recoverycluster, REGION, address)
}

/// The error code that the service gave.
pub(crate) fn code<E: ProvideErrorMetadata, R>(error: &SdkError<E, R>) -> String {
    error.code().unwrap_or("none").to_owned()
}
