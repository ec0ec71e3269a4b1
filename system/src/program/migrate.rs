//! `payments migrate`.

use crate::{
    clock::now,
    gate::{Gate, GateConfig},
    ledger::{Target, contracts_to, migrate},
    messages::Topology,
    region::{KeeperConfig, RoutingTable, retire},
};
use std::time::Duration;

use clap::Args;
use sqlx::{Connection, PgConnection};

use super::{Done, clients};

#[derive(Args)]
pub(super) struct Arguments {
    /// The database, as its owner
    #[arg(long, env = "PAYMENTS_OWNER_DATABASE_URL", hide_env_values = true)]
    database_url: String,
    /// The Region that writes first, if none does yet
    #[arg(long, env = "AWS_REGION")]
    region: String,
    /// The gate's DynamoDB table
    #[arg(long, env = "PAYMENTS_GATE_TABLE", default_value_t = GateConfig::default().table)]
    gate_table: String,
    /// Two Regions that hold the gate's table besides this one: makes the table, if it is not there
    #[arg(long, env = "PAYMENTS_GATE_REPLICAS", value_delimiter = ',')]
    gate_replicas: Vec<String>,
    /// Makes the event bus, the rules and the queues, if they are not there
    #[arg(long, env = "PAYMENTS_SUBSCRIBE")]
    subscribe: bool,
    /// Applies the steps that processes of the version before do not bear as well: refused as long as one is running
    #[arg(long)]
    contract: bool,
    /// Stops after the step of this number
    #[arg(long, conflicts_with = "contract")]
    to: Option<i64>,
    /// The longest lease of the processes that serve, in seconds
    #[arg(long, env = "PAYMENTS_WRITER_LEASE", default_value_t = KeeperConfig::default().lease.as_secs())]
    writer_lease: u64,
}

pub(super) async fn run(arguments: Arguments) -> Done {
    let mut connection = PgConnection::connect(&arguments.database_url).await?;
    let clients = clients().await;
    let table = arguments.gate_table.clone();
    let routing = RoutingTable::new(clients.dynamodb.clone(), table, RoutingTable::LEDGER);
    let mut target = arguments.to.map_or(Target::Expanded, Target::Step);
    if arguments.contract
        && let Some(oldest) = contracts_to(&mut connection).await?
    {
        let lease = Duration::from_secs(arguments.writer_lease.max(1));
        retire(&routing, oldest, KeeperConfig::of(lease), now).await?;
        target = Target::Contracted;
    }
    let schema = migrate(&mut connection, &arguments.region, target).await?;
    let writer = "select region, epoch from writer_epoch";
    let (region, epoch): (String, i64) = sqlx::query_as(writer).fetch_one(&mut connection).await?;
    connection.close().await?;
    if arguments.subscribe {
        Topology::default()
            .create(&clients.eventbridge, &clients.sqs)
            .await?;
    }
    if !arguments.gate_replicas.is_empty() {
        let config = GateConfig {
            table: arguments.gate_table,
            ..GateConfig::default()
        };
        let gate = Gate::new(clients.dynamodb, config);
        gate.create_table(&arguments.gate_replicas).await?;
    }
    routing.create(&region, epoch, schema, now()).await?;
    Ok(())
}
