//! The `payments` program: what a process does is chosen by its subcommand and roles.

mod arc;
mod load;
mod migrate;
mod region;
mod serve;
mod tenant;
mod unpark;

use clap::{Parser, Subcommand};
use tracing_subscriber::{EnvFilter, layer::SubscriberExt, util::SubscriberInitExt};

use crate::{
    node::Clients,
    telemetry::{self, Exporter},
};

/// Whatever stops a subcommand, for its last line.
type Done = Result<(), Box<dyn std::error::Error + Send + Sync>>;

/// A multi-Region payment system: charges and marketplace settlements on an append-only ledger
///
/// AWS is configured as for any AWS SDK (AWS_REGION, AWS_ENDPOINT_URL_DYNAMODB and so on). Log lines are JSON on stderr;
/// RUST_LOG chooses them. OTEL_EXPORTER_OTLP_ENDPOINT sends them to an OpenTelemetry collector as well (OTLP, HTTP, JSON).
#[derive(Parser)]
#[command(version, max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Bring a database up to date
    Migrate(migrate::Arguments),
    /// Add a tenant and print its API keys, which are stored nowhere else
    Tenant(tenant::Arguments),
    /// See which Region writes the ledger, or move it to another one without loss
    #[command(subcommand)]
    Region(region::Command),
    /// Let the parked events of a payment be published after all
    Unpark(unpark::Arguments),
    /// Ask a gateway for payments at a rate, and say what came back and how long it took
    Load(load::Arguments),
    /// Serve
    Serve(Box<serve::Arguments>),
}

/// Runs the program with the arguments of this process.
pub fn run() -> std::process::ExitCode {
    let arguments = Arguments::parse();
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let lines = tracing_subscriber::fmt::layer()
        .json()
        .flatten_event(true)
        .with_writer(std::io::stderr);
    let endpoint = std::env::var("OTEL_EXPORTER_OTLP_ENDPOINT").ok();
    let region = std::env::var("AWS_REGION").unwrap_or_default();
    let (tap, exporter) = endpoint
        .filter(|endpoint| !endpoint.is_empty())
        .map(|endpoint| telemetry::export(&endpoint, region))
        .unzip();
    tracing_subscriber::registry()
        .with(filter)
        .with(lines)
        .with(tap)
        .init();
    #[cfg(feature = "tls")]
    if rustls::crypto::ring::default_provider()
        .install_default()
        .is_err()
    {
        tracing::warn!("another TLS provider is installed already");
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let done = runtime.map_err(Into::into).and_then(|runtime| {
        runtime.block_on(async {
            let flush = exporter.as_ref().map(Exporter::flush);
            if let Some(exporter) = exporter {
                tokio::spawn(exporter.run(reqwest::Client::new()));
            }
            let done = match arguments.command {
                Command::Migrate(arguments) => migrate::run(arguments).await,
                Command::Tenant(arguments) => tenant::run(arguments).await,
                Command::Region(command) => region::run(command).await,
                Command::Unpark(arguments) => unpark::run(arguments).await,
                Command::Load(arguments) => load::run(arguments).await,
                Command::Serve(arguments) => serve::run(*arguments).await,
            };
            if let Some(flush) = flush {
                flush.await;
            }
            done
        })
    });
    match done {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            std::process::ExitCode::FAILURE
        }
    }
}

/// Clients of AWS, configured by the environment as any AWS SDK is.
async fn clients() -> Clients {
    let aws = aws_config::defaults(aws_config::BehaviorVersion::latest()).http_client(http_client());
    let aws = aws.load().await;
    Clients {
        dynamodb: aws_sdk_dynamodb::Client::new(&aws),
        eventbridge: aws_sdk_eventbridge::Client::new(&aws),
        sqs: aws_sdk_sqs::Client::new(&aws),
    }
}

/// A client of RDS, configured likewise.
async fn rds() -> aws_sdk_rds::Client {
    let aws = aws_config::defaults(aws_config::BehaviorVersion::latest()).http_client(http_client());
    aws_sdk_rds::Client::new(&aws.load().await)
}

/// A client of one endpoint of an ARC cluster, configured likewise but for where that is.
async fn arc_endpoint(region: &str, url: &str) -> aws_sdk_route53recoverycluster::Client {
    let aws = aws_config::defaults(aws_config::BehaviorVersion::latest()).http_client(http_client());
    let aws = aws
        .region(aws_config::Region::new(region.to_owned()))
        .endpoint_url(url);
    aws_sdk_route53recoverycluster::Client::new(&aws.load().await)
}

/// `REGION=WHAT`.
fn in_region(text: &str) -> Result<(String, String), String> {
    let pair = text
        .split_once('=')
        .filter(|(region, what)| !region.is_empty() && !what.is_empty());
    let (region, what) =
        pair.ok_or_else(|| format!("`{text}` is not REGION=VALUE, as in us-east-1=http://10.0.0.9:8080"))?;
    Ok((region.to_owned(), what.to_owned()))
}

fn http_client() -> aws_sdk_dynamodb::config::SharedHttpClient {
    let builder = aws_smithy_http_client::Builder::new();
    #[cfg(feature = "tls")]
    {
        use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
        builder
            .tls_provider(Provider::Rustls(CryptoMode::Ring))
            .build_https()
    }
    #[cfg(not(feature = "tls"))]
    builder.build_http()
}
