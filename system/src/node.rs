//! A process of the system: its parts put together and served.

use std::{collections::BTreeSet, future::Future, io, time::Duration};

use aws_sdk_dynamodb::config::timeout::TimeoutConfig;
use sqlx::{
    PgPool,
    postgres::{PgConnectOptions, PgPoolOptions},
};
use tokio::{net::TcpListener, task::JoinSet};

use crate::{
    api::{self, Api},
    drain::Drain,
    engine::{Engine, EngineConfig, Externals},
    external::{Breaker, BreakerConfig, Dependency, DependencyConfig},
    gate::{Gate, GateConfig},
    ledger::{Grouping, Ledger, LedgerError, watch_epoch},
    messages::{ConsumerConfig, RelayConfig, Subscriber, consumer::Consumer, relay::Relay},
    metrics::Metrics,
    reconcile::{Reconciler, ReconcilerConfig},
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
    /// Publishes the ledger's events
    Relay,
    /// Takes events in for all subscribers
    Consumer,
    /// Compares gate, ledger, providers, outbox and inboxes
    Reconciler,
}

/// A process's clients of AWS, of one Region.
#[derive(Clone, Debug)]
pub struct Clients {
    /// The gate, and the breakers.
    pub dynamodb: aws_sdk_dynamodb::Client,
    /// Where the relay publishes.
    pub eventbridge: aws_sdk_eventbridge::Client,
    /// Where subscribers have their queues.
    pub sqs: aws_sdk_sqs::Client,
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
    /// The subscribers' database, as `payments_consumer`.
    pub consumer_database: PgConnectOptions,
    /// Most connections of each of them.
    pub connections: u32,
    /// How postings are grouped.
    pub grouping: Grouping,
    /// The gate.
    pub gate: GateConfig,
    /// How long operations are tried.
    pub engine: EngineConfig,
    /// How operations are taken up.
    pub sweeper: SweeperConfig,
    /// How events are published.
    pub relay: RelayConfig,
    /// How they are taken in.
    pub consumer: ConsumerConfig,
    /// How all of it is compared.
    pub reconciler: ReconcilerConfig,
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

/// How long a process that drains waits for its roles.
const DRAIN_MAX: Duration = Duration::from_secs(25);

impl Clients {
    /// The same clients with time limits. By default the SDK waits for an answer for ever.
    fn bounded(self, receive: Duration) -> Self {
        let limits = |attempt: Duration| {
            TimeoutConfig::builder()
                .operation_attempt_timeout(attempt)
                .operation_timeout(attempt * 3)
                .build()
        };
        let attempt = Duration::from_secs(2);
        let dynamodb = self
            .dynamodb
            .config()
            .to_builder()
            .timeout_config(limits(attempt));
        let eventbridge = self
            .eventbridge
            .config()
            .to_builder()
            .timeout_config(limits(attempt));
        let sqs = self
            .sqs
            .config()
            .to_builder()
            .timeout_config(limits(receive + attempt));
        Self {
            dynamodb: aws_sdk_dynamodb::Client::from_conf(dynamodb.build()),
            eventbridge: aws_sdk_eventbridge::Client::from_conf(eventbridge.build()),
            sqs: aws_sdk_sqs::Client::from_conf(sqs.build()),
        }
    }
}

/// Runs a process until `stop`: then whoever waits for an answer gets it, what is in hand is finished, and the rest is left
/// to others.
///
/// # Errors
/// See [`NodeError`].
pub async fn run(
    config: NodeConfig,
    clients: Clients,
    listener: TcpListener,
    stop: impl Future<Output = ()> + Send + 'static,
) -> Result<(), NodeError> {
    let clients = clients.bounded(config.consumer.wait);
    let metrics = Metrics::default();
    let mut drain = Drain::when(stop);
    let mut roles = JoinSet::new();
    let service_pool = pool(config.database, config.connections);
    let worker_pool = pool(config.worker_database, config.connections);
    let epoch = watch_epoch(service_pool.clone(), config.region.clone()).await?;
    let ledger = Ledger::new(service_pool, &config.region, epoch, config.grouping);
    let http = reqwest::Client::builder().no_proxy().build()?;
    let breaker = |name| Breaker::new(name, clients.dynamodb.clone(), config.breaker.clone());
    let dependency = |settings: DependencyConfig| {
        let breaker = breaker(settings.name);
        (Dependency::new(http.clone(), settings), breaker)
    };
    let externals = Externals {
        psp: dependency(config.psp),
        kyc: dependency(config.kyc),
    };
    let gate = Gate::new(clients.dynamodb.clone(), config.gate).counting(metrics.clone());
    let engine = Engine::new(ledger, externals.clone(), config.engine);
    if config.roles.contains(&Role::Sweeper) {
        let drain = drain.clone();
        roles.spawn(sweeper::run(
            engine.clone(),
            worker_pool.clone(),
            config.sweeper,
            drain,
        ));
    }
    if config.roles.contains(&Role::Relay) {
        let relay = Relay {
            outbox: worker_pool.clone(),
            events: clients.eventbridge,
            breaker: breaker("eventbridge"),
            config: config.relay,
            metrics: metrics.clone(),
        };
        roles.spawn(relay.run(drain.clone()));
    }
    if config.roles.contains(&Role::Consumer) {
        let pool = pool(config.consumer_database, config.connections);
        for subscriber in Subscriber::ALL {
            let consumer = Consumer {
                subscriber,
                pool: pool.clone(),
                queues: clients.sqs.clone(),
                config: config.consumer.clone(),
                metrics: metrics.clone(),
            };
            roles.spawn(consumer.run(drain.clone()));
        }
    }
    if config.roles.contains(&Role::Reconciler) {
        let reconciler = Reconciler {
            pool: worker_pool.clone(),
            gate: gate.clone(),
            externals,
            queues: clients.sqs.clone(),
            config: config.reconciler,
            metrics: metrics.clone(),
        };
        roles.spawn(reconciler.run(drain.clone()));
    }
    let router = if config.roles.contains(&Role::Gateway) {
        let service = Service::new(gate, engine);
        Api::new(service, worker_pool, config.webhook_secret, metrics).router()
    } else {
        api::inside(metrics)
    };
    tracing::info!(listen = %listener.local_addr()?, region = config.region, roles = ?config.roles, "serving");
    axum::serve(listener, router)
        .with_graceful_shutdown(async move { drain.begins().await })
        .await?;
    finish(roles).await;
    Ok(())
}

/// Waits for the roles to finish what they have in hand.
async fn finish(mut roles: JoinSet<()>) {
    let finished = async { while roles.join_next().await.is_some() {} };
    if tokio::time::timeout(DRAIN_MAX, finished).await.is_err() {
        tracing::warn!("draining took too long: what is left is taken up elsewhere");
    }
}
