//! `payments region`.

use std::time::Duration;

use clap::{Args, Subcommand};
use tokio::time::{Instant, sleep};

use crate::{
    clock::now,
    gate::{Gate, GateConfig},
    region::{HealthTable, RoutingTable, State, hand_over},
};

use super::{Done, clients};

#[derive(Subcommand)]
pub(super) enum Command {
    /// Which Region writes, what each Region says of itself, which requests are suspect after a failover
    Status(Where),
    /// Have another Region write, because this one is to be left: nothing is lost
    Evacuate(Evacuate),
    /// Have a Region write again: nothing is lost
    Return(Return),
}

#[derive(Args)]
pub(super) struct Where {
    /// The gate's DynamoDB table
    #[arg(long, env = "PAYMENTS_GATE_TABLE", default_value_t = GateConfig::default().table)]
    gate_table: String,
}

#[derive(Args)]
pub(super) struct Evacuate {
    /// The Region to be left
    region: String,
    /// The Region that is to write
    #[arg(long)]
    to: String,
    #[command(flatten)]
    at: Where,
}

#[derive(Args)]
pub(super) struct Return {
    /// The Region that is to write
    region: String,
    #[command(flatten)]
    at: Where,
}

/// Longer than a switchover takes, and its being given up.
const LIMIT: Duration = Duration::from_secs(600);

pub(super) async fn run(command: Command) -> Done {
    let table = |at: &Where| {
        let name = at.gate_table.clone();
        async move { RoutingTable::new(clients().await.dynamodb, name, RoutingTable::LEDGER) }
    };
    match command {
        Command::Status(at) => status(table(&at).await, at.gate_table).await,
        Command::Evacuate(Evacuate { region, to, at }) => {
            move_writer(table(&at).await, Some(&region), &to).await
        }
        Command::Return(Return { region, at }) => move_writer(table(&at).await, None, &region).await,
    }
}

async fn status(table: RoutingTable, gate_table: String) -> Done {
    let routing = table.read().await?;
    println!("{routing}");
    for (region, health) in HealthTable::new(table).all().await? {
        let word = if health.well { "well" } else { "ill" };
        println!(
            "{region}: {word}, {} reports, heartbeat {} ms",
            health.beats, health.beat_at
        );
    }
    let Some(since) = routing.lost_since else {
        return Ok(());
    };
    let config = GateConfig {
        table: gate_table,
        ..GateConfig::default()
    };
    let window = Gate::new(clients().await.dynamodb, config)
        .window(routing.epoch, since)
        .await?;
    println!("suspect after the last failover: {}", window.len());
    for kept in window {
        let told = kept.answer.map_or_else(
            || "not confirmed".to_owned(),
            |answer| format!("told {}", answer.status),
        );
        println!(
            "{} {} asked at {}, {told}",
            kept.call.tenant,
            kept.call.key.as_str(),
            kept.asked_at
        );
    }
    Ok(())
}

async fn move_writer(table: RoutingTable, from: Option<&str>, to: &str) -> Done {
    let regions = HealthTable::new(table.clone()).all().await?;
    if !regions.get(to).is_some_and(|health| health.well) {
        return Err(format!("no controller of {to} says that it is well: nothing is changed").into());
    }
    let routing = table.read().await?;
    if from.is_some_and(|from| from != routing.writer) {
        println!(
            "{} does not write the ledger; {} does",
            from.unwrap_or_default(),
            routing.writer
        );
        return Ok(());
    }
    let Some(decided) = hand_over(&table, to, "payments region", now()).await? else {
        println!("{to} writes the ledger already");
        return Ok(());
    };
    println!("{decided}");
    let started = Instant::now();
    while started.elapsed() < LIMIT {
        sleep(Duration::from_secs(2)).await;
        let routing = table.read().await?;
        if routing.state == State::Open {
            println!("{routing}");
            if routing.writer == to {
                return Ok(());
            }
            return Err(format!("{to} did not become the writer").into());
        }
    }
    Err("the change is still under way: see `payments region status`".into())
}
