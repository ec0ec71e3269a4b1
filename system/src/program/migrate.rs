//! `payments migrate`.

use crate::{
    clock::now,
    gate::{Gate, GateConfig},
    ledger::migrate,
    messages::Topology,
    region::RoutingTable,
};
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
}

pub(super) async fn run(arguments: Arguments) -> Done {
    let mut connection = PgConnection::connect(&arguments.database_url).await?;
    migrate(&mut connection, &arguments.region).await?;
    let writer = "select region, epoch from writer_epoch";
    let (region, epoch): (String, i64) = sqlx::query_as(writer).fetch_one(&mut connection).await?;
    connection.close().await?;
    let clients = clients().await;
    if arguments.subscribe {
        Topology::default()
            .create(&clients.eventbridge, &clients.sqs)
            .await?;
    }
    if !arguments.gate_replicas.is_empty() {
        let config = GateConfig {
            table: arguments.gate_table.clone(),
            ..GateConfig::default()
        };
        let gate = Gate::new(clients.dynamodb.clone(), config);
        gate.create_table(&arguments.gate_replicas).await?;
    }
    let routing = RoutingTable::new(clients.dynamodb, arguments.gate_table, RoutingTable::LEDGER);
    routing.create(&region, epoch, now()).await?;
    Ok(())
}
