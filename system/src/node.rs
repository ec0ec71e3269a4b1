//! A process of the system: its parts put together and served.

use std::{
    collections::{BTreeMap, BTreeSet},
    future::Future,
    io,
    time::Duration,
};

use aws_sdk_dynamodb::config::timeout::TimeoutConfig;
use sqlx::{
    PgPool,
    postgres::{PgConnectOptions, PgPoolOptions},
};
use tokio::net::TcpListener;

use crate::{
    api::{self, Api},
    engine::{Engine, EngineConfig, Externals},
    external::{Breaker, BreakerConfig, Dependency, DependencyConfig},
    gate::{Gate, GateConfig},
    ledger::{Grouping, Ledger, Reader},
    metrics::Metrics,
    region::{
        Controller, ControllerConfig, Forwarder, GlobalDatabase, HealthTable, Keeper, KeeperConfig, Repair,
        RepairConfig, RoutingTable,
    },
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
    /// Watches the Region that writes, and makes this one the writer when that is gone
    Controller,
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
    /// This Region's reader endpoint, as `payments_service`.
    pub replica_database: PgConnectOptions,
    /// Most connections of each of the two.
    pub connections: u32,
    /// How it learns which Region writes.
    pub keeper: KeeperConfig,
    /// The gateways of the other Regions, as in `http://10.0.0.9:8080`.
    pub gateways: BTreeMap<String, Vec<String>>,
    /// What a controller needs.
    pub promotion: Option<PromotionConfig>,
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

/// What a controller needs to make its Region the writer.
#[derive(Clone, Debug)]
pub struct PromotionConfig {
    /// The Global Database, through the RDS API of this Region.
    pub database: GlobalDatabase,
    /// This Region's cluster, as `payments_controller`.
    pub controller_database: PgConnectOptions,
    /// How it watches and decides.
    pub controller: ControllerConfig,
    /// How the lost window is looked at.
    pub repair: RepairConfig,
    /// Where requests and answers outlive a Region.
    pub repair_gate: GateConfig,
}

/// How long another Region's gateway may take: longer than it tries to learn an outcome.
const FORWARD_LIMIT: Duration = Duration::from_secs(14);

/// Why a process could not start, or stopped.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
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
    let table = RoutingTable::new(dynamodb.clone(), &config.gate.table, RoutingTable::LEDGER);
    let keeper = Keeper::start(table.clone(), &config.region, config.keeper);
    let http = reqwest::Client::builder().no_proxy().build()?;
    let dependency = |settings: DependencyConfig| {
        let breaker = Breaker::new(settings.name, dynamodb.clone(), config.breaker.clone());
        (Dependency::new(http.clone(), settings), breaker)
    };
    let externals = Externals {
        psp: dependency(config.psp),
        kyc: dependency(config.kyc),
    };
    let forwarder = Forwarder::new(http, config.gateways, FORWARD_LIMIT);
    let gate = Gate::new(dynamodb.clone(), config.gate);
    if let Some(promotion) = config
        .promotion
        .filter(|_| config.roles.contains(&Role::Controller))
    {
        // What it restores is written with the right to restore, not with the gateway's.
        let ledger = Ledger::new(
            service_pool.clone(),
            &config.region,
            keeper.repair_authority(),
            config.grouping,
        );
        let repairing = Engine::new(ledger, externals.clone(), config.engine);
        let repair_gate = Gate::new(dynamodb.clone(), promotion.repair_gate);
        let controller = Controller {
            keeper: keeper.clone(),
            health: HealthTable::new(table),
            gateways: forwarder.clone(),
            database: promotion.database,
            pool: pool(promotion.controller_database, 2),
            repair: Repair::new(repair_gate, repairing, promotion.repair),
            name: format!("controller of {}", config.region),
            config: promotion.controller,
        };
        tokio::spawn(controller.run());
    }
    let ledger = Ledger::new(service_pool, &config.region, keeper.authority(), config.grouping);
    let engine = Engine::new(ledger, externals, config.engine);
    if config.roles.contains(&Role::Sweeper) {
        tokio::spawn(sweeper::run(engine.clone(), worker_pool.clone(), config.sweeper));
    }
    if !config.roles.contains(&Role::Gateway) {
        stop.await;
        return Ok(());
    }
    let asking = keeper.clone();
    let api = Api::new(
        api::Parts {
            service: Service::new(gate, engine),
            work: worker_pool,
            webhook_secret: config.webhook_secret,
            keeper,
            forwarder,
            replica: Reader::new(pool(config.replica_database, config.connections)),
        },
        Metrics::default(),
    );
    // Until it is known who writes, nobody can be served. But a process that cannot find out yet is told so, not kept waiting.
    if let Err(error) = asking.refresh().await {
        tracing::warn!(%error, "who writes is not known yet");
    }
    tracing::info!(listen = %listener.local_addr()?, region = config.region, "serving");
    axum::serve(listener, api.router())
        .with_graceful_shutdown(stop)
        .await?;
    Ok(())
}
