//! A process of the system: its parts put together and served.

use std::{collections::BTreeSet, future::Future, io, time::Duration};

use aws_sdk_dynamodb::config::timeout::TimeoutConfig;
use sqlx::{
    PgPool,
    postgres::{PgConnectOptions, PgPoolOptions},
};
use tokio::net::TcpListener;

use crate::{
    api::Api,
    engine::{Engine, EngineConfig, Externals},
    external::{Breaker, BreakerConfig, Dependency, DependencyConfig},
    gate::{Gate, GateConfig},
    ledger::{Grouping, Ledger, LedgerError, watch_epoch},
    metrics::Metrics,
    service::Service,
    sweeper::{self, SweeperConfig},
};

/// What a process does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub enum Role {
    /// Serves the HTTP API
    Gateway,
    /// Takes up operations whose process is gone
    Sweeper,
}

/// How a process is set up.
#[derive(Clone, Debug)]
pub struct NodeConfig {
    /// What it does.
    pub roles: BTreeSet<Role>,
    /// Where it runs.
    pub region: String,
    /// The ledger's database, as `payments_service`.
    pub database: PgConnectOptions,
    /// The ledger's database, as `payments_worker`.
    pub worker_database: PgConnectOptions,
    /// Most connections of each of the two.
    pub connections: u32,
    /// How postings are grouped.
    pub grouping: Grouping,
    /// The gate.
    pub gate: GateConfig,
    /// How long operations are tried.
    pub engine: EngineConfig,
    /// How operations are taken up.
    pub sweeper: SweeperConfig,
    /// The payment service provider.
    pub psp: DependencyConfig,
    /// The KYC provider.
    pub kyc: DependencyConfig,
    /// When the dependencies are left alone.
    pub breaker: BreakerConfig,
    /// Signs the payment service provider's webhooks.
    pub webhook_secret: String,
}

/// Why a process could not start, or stopped.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// The ledger could not be asked for its epoch.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The client of HTTP could not be made.
    #[error("making the HTTP client: {0}")]
    Http(#[from] reqwest::Error),
    /// The listener failed.
    #[error("serving: {0}")]
    Serve(#[from] io::Error),
}

/// A pool that never waits long: the client is told instead.
fn pool(options: PgConnectOptions, connections: u32) -> PgPool {
    let options = options.application_name("payments").options([
        ("statement_timeout", "5s"),
        ("lock_timeout", "3s"),
        ("idle_in_transaction_session_timeout", "10s"),
    ]);
    PgPoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(Duration::from_secs(3))
        .connect_lazy_with(options)
}

/// The same client with time limits. By default the SDK waits for an answer for ever.
fn bounded(dynamodb: &aws_sdk_dynamodb::Client) -> aws_sdk_dynamodb::Client {
    let limits = TimeoutConfig::builder()
        .operation_attempt_timeout(Duration::from_secs(2))
        .operation_timeout(Duration::from_secs(6))
        .build();
    aws_sdk_dynamodb::Client::from_conf(dynamodb.config().to_builder().timeout_config(limits).build())
}

/// Runs a process until `stop`: then whoever waits for an answer gets it, and what nobody waits for is left to others.
///
/// # Errors
/// See [`NodeError`].
pub async fn run(
    config: NodeConfig,
    dynamodb: aws_sdk_dynamodb::Client,
    listener: TcpListener,
    stop: impl Future<Output = ()> + Send + 'static,
) -> Result<(), NodeError> {
    let dynamodb = bounded(&dynamodb);
    let service_pool = pool(config.database, config.connections);
    let worker_pool = pool(config.worker_database, config.connections);
    let epoch = watch_epoch(service_pool.clone(), config.region.clone()).await?;
    let ledger = Ledger::new(service_pool, &config.region, epoch, config.grouping);
    let http = reqwest::Client::builder().no_proxy().build()?;
    let dependency = |settings: DependencyConfig| {
        let breaker = Breaker::new(settings.name, dynamodb.clone(), config.breaker.clone());
        (Dependency::new(http.clone(), settings), breaker)
    };
    let externals = Externals {
        psp: dependency(config.psp),
        kyc: dependency(config.kyc),
    };
    let engine = Engine::new(ledger, externals, config.engine);
    if config.roles.contains(&Role::Sweeper) {
        tokio::spawn(sweeper::run(engine.clone(), worker_pool.clone(), config.sweeper));
    }
    if !config.roles.contains(&Role::Gateway) {
        stop.await;
        return Ok(());
    }
    let service = Service::new(Gate::new(dynamodb, config.gate), engine);
    let api = Api::new(service, worker_pool, config.webhook_secret, Metrics::default());
    tracing::info!(listen = %listener.local_addr()?, region = config.region, "serving");
    axum::serve(listener, api.router())
        .with_graceful_shutdown(stop)
        .await?;
    Ok(())
}
