//! `payments serve`.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    time::Duration,
};

use clap::Args;
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
};

use crate::{
    api::{LimitConfig, Rate},
    engine::EngineConfig,
    external::{BreakerConfig, DependencyConfig},
    gate::GateConfig,
    ledger::{Grouping, Schema},
    messages::{ConsumerConfig, RelayConfig},
    node::{self, NodeConfig, PromotionConfig, Role},
    reconcile::ReconcilerConfig,
    region::{ControllerConfig, GlobalDatabase, KeeperConfig, RepairConfig},
    sweeper::SweeperConfig,
};

use super::{Done, arc::Controls, clients, in_region, rds};

#[derive(Args)]
pub(super) struct Arguments {
    /// What this process does, with commas between
    #[arg(
        long,
        env = "PAYMENTS_ROLES",
        value_enum,
        value_delimiter = ',',
        default_value = "gateway,sweeper,relay,consumer,reconciler"
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
    /// This Region's reader endpoint, as payments_service; the ledger's database if missing
    #[arg(long, env = "PAYMENTS_REPLICA_DATABASE_URL", hide_env_values = true)]
    replica_database_url: Option<String>,
    /// The gateways of the other Regions, as REGION=URL; a Region may come more than once
    #[arg(long, env = "PAYMENTS_GATEWAYS", value_delimiter = ',', value_parser = in_region)]
    gateways: Vec<(String, String)>,
    /// Seconds for which a process may write on what it has read of the routing
    #[arg(long, env = "PAYMENTS_WRITER_LEASE", default_value_t = KeeperConfig::default().lease.as_secs())]
    writer_lease: u64,
    /// The version of the schema to write: the one before the last until `payments migrate` has been run
    #[arg(long, env = "PAYMENTS_SCHEMA", value_enum, default_value_t)]
    schema: Schema,
    /// Of a controller: this Region's cluster, as payments_controller
    #[arg(long, env = "PAYMENTS_CONTROLLER_DATABASE_URL", hide_env_values = true)]
    controller_database_url: Option<String>,
    /// Of a controller: the Aurora Global Database's identifier
    #[arg(long, env = "PAYMENTS_GLOBAL_CLUSTER")]
    global_cluster: Option<String>,
    /// Of a controller: the ARN of each Region's cluster, as REGION=ARN
    #[arg(long, env = "PAYMENTS_CLUSTERS", value_delimiter = ',', value_parser = in_region)]
    clusters: Vec<(String, String)>,
    #[command(flatten)]
    arc: Controls,
    /// The subscribers' database, as payments_consumer
    #[arg(long, env = "PAYMENTS_CONSUMER_DATABASE_URL", hide_env_values = true)]
    consumer_database_url: String,
    /// Most connections of each of them
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
    /// Requests of a tenant a second, in this process
    #[arg(long, env = "PAYMENTS_TENANT_RATE", default_value_t = LimitConfig::default().tenant.per_second)]
    tenant_rate: f64,
    /// Payments a second that name an account, in this process
    #[arg(long, env = "PAYMENTS_ACCOUNT_RATE", default_value_t = LimitConfig::default().account.per_second)]
    account_rate: f64,
    /// Requests under way at a time, in this process
    #[arg(long, env = "PAYMENTS_IN_FLIGHT_MAX", default_value_t = LimitConfig::default().in_flight_max)]
    in_flight_max: usize,
    /// Seconds between comparisons of gate, ledger, providers, outbox and inboxes
    #[arg(long, env = "PAYMENTS_RECONCILE_EVERY", default_value_t = ReconcilerConfig::default().interval.as_secs())]
    reconcile_every: u64,
    /// Seconds for which work is left alone before it is compared
    #[arg(long, env = "PAYMENTS_RECONCILE_AGE", default_value_t = ReconcilerConfig::default().age_min.as_secs())]
    reconcile_age: u64,
    /// Signs the payment service provider's webhooks
    #[arg(long, env = "PAYMENTS_WEBHOOK_SECRET", hide_env_values = true)]
    webhook_secret: String,
    /// Follow an unsound design, for a test of the tests
    #[cfg(feature = "as-written")]
    #[arg(long, env = "PAYMENTS_AS_WRITTEN", value_parser = variant)]
    as_written: Option<crate::variant::Variant>,
}

#[cfg(feature = "as-written")]
fn variant(name: &str) -> Result<crate::variant::Variant, String> {
    crate::variant::Variant::named(name).ok_or_else(|| format!("there is no variant {name}"))
}

/// What a controller needs, if all of it is there.
async fn promotion(
    arguments: &Arguments,
    gate: &GateConfig,
) -> Result<Option<PromotionConfig>, Box<dyn std::error::Error + Send + Sync>> {
    if !arguments.roles.contains(&Role::Controller) {
        return Ok(None);
    }
    let (Some(database), Some(identifier)) = (&arguments.controller_database_url, &arguments.global_cluster)
    else {
        return Err(
            "the role controller needs --controller-database-url, --global-cluster and --clusters".into(),
        );
    };
    let clusters: BTreeMap<_, _> = arguments.clusters.iter().cloned().collect();
    if !clusters.contains_key(&arguments.region) {
        return Err(format!("--clusters does not name the cluster of {}", arguments.region).into());
    }
    let controls = arguments.arc.named().await?;
    if let Some(controls) = &controls {
        let named: BTreeSet<_> = controls.regions().collect();
        if let Some(missing) = clusters.keys().find(|region| !named.contains(region.as_str())) {
            return Err(format!("--arc-controls does not name the routing control of {missing}").into());
        }
    }
    Ok(Some(PromotionConfig {
        database: GlobalDatabase::new(rds().await, identifier, clusters),
        controller_database: database.parse()?,
        controller: ControllerConfig::default(),
        repair: RepairConfig::default(),
        repair_gate: gate.clone(),
        controls,
    }))
}

pub(super) async fn run(arguments: Arguments) -> Done {
    #[cfg(feature = "as-written")]
    if let Some(variant) = arguments.as_written {
        tracing::error!(
            variant = variant.name(),
            "unsound on purpose: this process can lose and double money"
        );
        crate::variant::select(variant);
    }
    let mut terminated = signal(SignalKind::terminate())?;
    let mut interrupted = signal(SignalKind::interrupt())?;
    let stop = async move {
        tokio::select! {
            _ = terminated.recv() => {}
            _ = interrupted.recv() => {}
        }
        tracing::info!("draining");
    };
    let lease = Duration::from_secs(arguments.operation_lease);
    let gate = GateConfig {
        table: arguments.gate_table.clone(),
        lease: Duration::from_secs(arguments.gate_lease),
        ..GateConfig::default()
    };
    let promotion = promotion(&arguments, &gate).await?;
    let mut gateways: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (region, url) in arguments.gateways {
        gateways.entry(region).or_default().push(url);
    }
    let replica = arguments
        .replica_database_url
        .as_ref()
        .unwrap_or(&arguments.database_url);
    let writer_lease = Duration::from_secs(arguments.writer_lease.max(1));
    let config = NodeConfig {
        replica_database: replica.parse()?,
        schema: arguments.schema,
        keeper: KeeperConfig::of(writer_lease),
        gateways,
        promotion,
        roles: arguments.roles.into_iter().collect(),
        region: arguments.region,
        database: arguments.database_url.parse()?,
        worker_database: arguments.worker_database_url.parse()?,
        consumer_database: arguments.consumer_database_url.parse()?,
        connections: arguments.connections,
        grouping: Grouping {
            commands_max: arguments.group_max,
            ..Grouping::default()
        },
        gate,
        engine: EngineConfig {
            lease,
            limit: lease / 2,
            ..EngineConfig::default()
        },
        sweeper: SweeperConfig {
            lease,
            ..SweeperConfig::default()
        },
        relay: RelayConfig::default(),
        consumer: ConsumerConfig::default(),
        reconciler: ReconcilerConfig {
            interval: Duration::from_secs(arguments.reconcile_every),
            age_min: Duration::from_secs(arguments.reconcile_age),
            ..ReconcilerConfig::default()
        },
        limits: LimitConfig {
            tenant: Rate::per_second(arguments.tenant_rate),
            account: Rate::per_second(arguments.account_rate),
            in_flight_max: arguments.in_flight_max,
        },
        psp: DependencyConfig::new("psp", arguments.psp_url),
        kyc: DependencyConfig::new("kyc", arguments.kyc_url),
        breaker: BreakerConfig {
            table: arguments.gate_table,
            ..BreakerConfig::default()
        },
        webhook_secret: arguments.webhook_secret,
    };
    let listener = TcpListener::bind(arguments.listen).await?;
    node::run(config, clients().await, listener, stop).await?;
    Ok(())
}
