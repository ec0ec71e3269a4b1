//! `payments serve`.

use std::{collections::BTreeSet, net::SocketAddr, time::Duration};

use crate::{
    api::Api,
    engine::{Engine, EngineConfig, Externals},
    external::{Breaker, BreakerConfig, Dependency, DependencyConfig},
    gate::{Gate, GateConfig},
    ledger::{Grouping, Ledger, watch_epoch},
    metrics::Metrics,
    service::Service,
    sweeper::{self, SweeperConfig},
};
use clap::{Args, ValueEnum};
use sqlx::{
    PgPool,
    postgres::{PgConnectOptions, PgPoolOptions},
};
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
};

use super::{Done, dynamodb};

/// What a process does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
enum Role {
    /// Serves the HTTP API
    Gateway,
    /// Takes up operations whose process is gone
    Sweeper,
}

#[derive(Args)]
pub(super) struct Arguments {
    /// What this process does, with commas between
    #[arg(
        long,
        env = "PAYMENTS_ROLES",
        value_enum,
        value_delimiter = ',',
        default_value = "gateway,sweeper"
    )]
    roles: Vec<Role>,
    /// Where it runs
    #[arg(long, env = "AWS_REGION")]
    region: String,
    /// Where the HTTP API listens
    #[arg(long, env = "PAYMENTS_LISTEN", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// The ledger's database, as payments_service
    #[arg(long, env = "PAYMENTS_DATABASE_URL", hide_env_values = true)]
    database_url: String,
    /// The ledger's database, as payments_worker
    #[arg(long, env = "PAYMENTS_WORKER_DATABASE_URL", hide_env_values = true)]
    worker_database_url: String,
    /// Most connections of each of the two
    #[arg(long, env = "PAYMENTS_CONNECTIONS", default_value_t = 8)]
    connections: u32,
    /// Most postings of one transaction; 1 gives each its own
    #[arg(long, env = "PAYMENTS_GROUP_MAX", default_value_t = Grouping::default().commands_max)]
    group_max: usize,
    /// The gate's DynamoDB table
    #[arg(long, env = "PAYMENTS_GATE_TABLE", default_value_t = GateConfig::default().table)]
    gate_table: String,
    /// Seconds for which a claim at the gate keeps others out
    #[arg(long, env = "PAYMENTS_GATE_LEASE", default_value_t = GateConfig::default().lease.as_secs())]
    gate_lease: u64,
    /// Seconds after which an operation is taken up by another process
    #[arg(long, env = "PAYMENTS_OPERATION_LEASE", default_value_t = EngineConfig::default().lease.as_secs())]
    operation_lease: u64,
    /// The payment service provider
    #[arg(long, env = "PAYMENTS_PSP_URL")]
    psp_url: String,
    /// The KYC provider
    #[arg(long, env = "PAYMENTS_KYC_URL")]
    kyc_url: String,
    /// Signs the payment service provider's webhooks
    #[arg(long, env = "PAYMENTS_WEBHOOK_SECRET", hide_env_values = true)]
    webhook_secret: String,
}

/// A pool that never waits long: the client is told instead.
fn pool(url: &str, connections: u32) -> Result<PgPool, sqlx::Error> {
    let options: PgConnectOptions = url.parse()?;
    let options = options.application_name("payments").options([
        ("statement_timeout", "5s"),
        ("lock_timeout", "3s"),
        ("idle_in_transaction_session_timeout", "10s"),
    ]);
    let pool = PgPoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(Duration::from_secs(3));
    Ok(pool.connect_lazy_with(options))
}

pub(super) async fn run(arguments: Arguments) -> Done {
    let mut terminated = signal(SignalKind::terminate())?;
    let mut interrupted = signal(SignalKind::interrupt())?;
    let roles: BTreeSet<_> = arguments.roles.iter().copied().collect();
    let dynamodb = dynamodb().await;
    let service_pool = pool(&arguments.database_url, arguments.connections)?;
    let worker_pool = pool(&arguments.worker_database_url, arguments.connections)?;
    let epoch = watch_epoch(service_pool.clone(), arguments.region.clone()).await?;
    let grouping = Grouping {
        commands_max: arguments.group_max,
        ..Grouping::default()
    };
    let ledger = Ledger::new(service_pool, &arguments.region, epoch, grouping);
    let http = reqwest::Client::builder().no_proxy().build()?;
    let dependency = |name, url: &str| {
        let breaker = BreakerConfig {
            table: arguments.gate_table.clone(),
            ..BreakerConfig::default()
        };
        let dependency = Dependency::new(http.clone(), DependencyConfig::new(name, url));
        (dependency, Breaker::new(name, dynamodb.clone(), breaker))
    };
    let externals = Externals {
        psp: dependency("psp", &arguments.psp_url),
        kyc: dependency("kyc", &arguments.kyc_url),
    };
    let lease = Duration::from_secs(arguments.operation_lease);
    let engine = EngineConfig {
        lease,
        limit: lease / 2,
        ..EngineConfig::default()
    };
    let engine = Engine::new(ledger, externals, engine);
    if roles.contains(&Role::Sweeper) {
        let sweeper = SweeperConfig {
            lease,
            ..SweeperConfig::default()
        };
        tokio::spawn(sweeper::run(engine.clone(), worker_pool.clone(), sweeper));
    }
    let gate = GateConfig {
        table: arguments.gate_table.clone(),
        lease: Duration::from_secs(arguments.gate_lease),
        ..GateConfig::default()
    };
    let service = Service::new(Gate::new(dynamodb, gate), engine);
    let stop = async move {
        tokio::select! {
            _ = terminated.recv() => {}
            _ = interrupted.recv() => {}
        }
        tracing::info!("draining");
    };
    if !roles.contains(&Role::Gateway) {
        stop.await;
        return Ok(());
    }
    let api = Api::new(service, worker_pool, arguments.webhook_secret, Metrics::default());
    let listener = TcpListener::bind(arguments.listen).await?;
    tracing::info!(listen = %listener.local_addr()?, region = arguments.region, "serving");
    // What a client waits for is finished; what nobody waits for is taken up elsewhere when its lease ends.
    axum::serve(listener, api.router())
        .with_graceful_shutdown(stop)
        .await?;
    Ok(())
}
