//! A process of the system: its parts put together and served.

use std::{
    collections::{BTreeMap, BTreeSet},
    future::Future,
    io,
    time::Duration,
};

use aws_sdk_dynamodb::config::{StalledStreamProtectionConfig, timeout::TimeoutConfig};
use sqlx::{
    Connection, PgPool,
    postgres::{PgConnectOptions, PgPoolOptions},
};
use tokio::{net::TcpListener, task::JoinSet};

use crate::{
    api::{self, Api, LimitConfig},
    drain::Drain,
    engine::{Engine, EngineConfig, Externals},
    external::{Breaker, BreakerConfig, Dependency, DependencyConfig},
    gate::{Gate, GateConfig},
    ledger::{Grouping, Ledger, Reader, Schema},
    messages::{ConsumerConfig, RelayConfig, Subscriber, consumer::Consumer, relay::Relay},
    metrics::Metrics,
    reconcile::{Reconciler, ReconcilerConfig},
    region::{
        Controller, ControllerConfig, Forwarder, GlobalDatabase, HealthTable, Keeper, KeeperConfig, Repair,
        RepairConfig, RoutingControls, RoutingTable, Traffic,
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
    /// This Region's reader endpoint, as `payments_service`.
    pub replica_database: PgConnectOptions,
    /// The subscribers' database, as `payments_consumer`.
    pub consumer_database: PgConnectOptions,
    /// Most connections of each of them.
    pub connections: u32,
    /// The version of the schema that it writes: while a release that changes it is rolled out, the one before.
    pub schema: Schema,
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
    /// How much of its work the process gives to whom.
    pub limits: LimitConfig,
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
    /// What sends clients to Regions, if ARC does.
    pub controls: Option<RoutingControls>,
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

/// After that a connection may have been cut unnoticed, and is asked before it is used.
const IDLE_MAX: Duration = Duration::from_secs(2);

/// How PostgreSQL may plan. The service finds its rows by their keys; it never wants a table read from end to end. A plan
/// that does so is the best one while the table is small, and then stays: a prepared statement keeps its plan until the
/// table's statistics are next taken, however fast the table grows.
const PLANS: [(&str, &str); 6] = [
    ("enable_bitmapscan", "off"),
    ("enable_hashjoin", "off"),
    ("enable_material", "off"),
    ("enable_mergejoin", "off"),
    ("enable_seqscan", "off"),
    // Compiling takes longer than any of its statements.
    ("jit", "off"),
];

/// A pool that never waits long: the client is told instead. A connection was asked when it came back, so that one which
/// comes back and goes out all the time is not asked twice.
fn pool(options: PgConnectOptions, connections: u32) -> PgPool {
    let options = options.application_name("payments").options([
        ("statement_timeout", "5s"),
        ("lock_timeout", "3s"),
        ("idle_in_transaction_session_timeout", "10s"),
    ]);
    let options = options.options(PLANS);
    PgPoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(Duration::from_secs(3))
        .test_before_acquire(false)
        .before_acquire(|connection, known| {
            Box::pin(async move {
                if known.idle_for > IDLE_MAX {
                    connection.ping().await?;
                }
                Ok(true)
            })
        })
        .connect_lazy_with(options)
}

/// How long a process that drains waits for its roles.
const DRAIN_MAX: Duration = Duration::from_secs(25);

impl Clients {
    /// The same clients with time limits. By default the SDK waits for an answer for ever, but for one whose body no longer
    /// flows: that it looks at ten times a second, for every call. Limits of the whole call make that needless.
    fn bounded(self, receive: Duration) -> Self {
        let limits = |attempt: Duration| {
            TimeoutConfig::builder()
                .operation_attempt_timeout(attempt)
                .operation_timeout(attempt * 3)
                .build()
        };
        let attempt = Duration::from_secs(2);
        macro_rules! bounded {
            ($sdk:ident, $client:expr, $attempt:expr) => {{
                let config = $client.config().to_builder();
                let config = config
                    .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
                    .timeout_config(limits($attempt));
                $sdk::Client::from_conf(config.build())
            }};
        }
        Self {
            dynamodb: bounded!(aws_sdk_dynamodb, self.dynamodb, attempt),
            eventbridge: bounded!(aws_sdk_eventbridge, self.eventbridge, attempt),
            sqs: bounded!(aws_sdk_sqs, self.sqs, receive + attempt),
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
    let table = RoutingTable::new(clients.dynamodb.clone(), &config.gate.table, RoutingTable::LEDGER);
    let keeper = Keeper::start(table.clone(), &config.region, config.schema, config.keeper);
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
    let forwarder = Forwarder::new(http, config.gateways, FORWARD_LIMIT);
    let gate = Gate::new(clients.dynamodb.clone(), config.gate).counting(metrics.clone());
    if let Some(promotion) = config
        .promotion
        .filter(|_| config.roles.contains(&Role::Controller))
    {
        // What it restores is written with the right to restore, not with the gateway's.
        let ledger = Ledger::new(
            service_pool.clone(),
            &config.region,
            config.schema,
            keeper.repair_authority(),
            config.grouping,
        );
        let repairing = Engine::new(ledger, externals.clone(), config.engine);
        let repair_gate = Gate::new(clients.dynamodb.clone(), promotion.repair_gate);
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
        if let Some(controls) = promotion.controls {
            tokio::spawn(Traffic::new(keeper.clone(), controls).run());
        }
    }
    let ledger = Ledger::new(
        service_pool,
        &config.region,
        config.schema,
        keeper.authority(),
        config.grouping,
    );
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
            authority: keeper.authority(),
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
                authority: keeper.authority(),
            };
            roles.spawn(consumer.run(drain.clone()));
        }
    }
    if config.roles.contains(&Role::Reconciler) {
        let reconciler = Reconciler {
            pool: worker_pool.clone(),
            schema: config.schema,
            gate: gate.clone(),
            externals,
            queues: clients.sqs.clone(),
            config: config.reconciler,
            metrics: metrics.clone(),
            authority: keeper.authority(),
        };
        roles.spawn(reconciler.run(drain.clone()));
    }
    // Until it is known who writes, nobody can be served. But a process that cannot find out yet is told so, not kept waiting.
    if let Err(error) = keeper.refresh().await {
        tracing::warn!(%error, "who writes is not known yet");
    }
    let router = if config.roles.contains(&Role::Gateway) {
        let parts = api::Parts {
            service: Service::new(gate, engine),
            work: worker_pool,
            webhook_secret: config.webhook_secret,
            keeper,
            forwarder,
            replica: Reader::new(pool(config.replica_database, config.connections)),
        };
        Api::new(parts, metrics).limited(config.limits).router()
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
