//! The `payments` program: what a process does is chosen by its subcommand and roles.

mod load;
mod migrate;
mod serve;
mod tenant;
mod unpark;

use clap::{Parser, Subcommand};
use tracing_subscriber::EnvFilter;

use crate::node::Clients;

/// Whatever stops a subcommand, for its last line.
type Done = Result<(), Box<dyn std::error::Error + Send + Sync>>;

/// A multi-Region payment system: charges and marketplace settlements on an append-only ledger
///
/// AWS is configured as for any AWS SDK (AWS_REGION, AWS_ENDPOINT_URL_DYNAMODB and so on). Log lines are JSON on stderr;
/// RUST_LOG chooses them.
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
    let subscriber = tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_env_filter(filter);
    subscriber.with_writer(std::io::stderr).init();
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
            match arguments.command {
                Command::Migrate(arguments) => migrate::run(arguments).await,
                Command::Tenant(arguments) => tenant::run(arguments).await,
                Command::Unpark(arguments) => unpark::run(arguments).await,
                Command::Load(arguments) => load::run(arguments).await,
                Command::Serve(arguments) => serve::run(*arguments).await,
            }
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
