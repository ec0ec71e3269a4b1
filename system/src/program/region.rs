//! `payments region`.

use std::time::Duration;

use clap::{Args, Subcommand};
use tokio::time::{Instant, sleep};

use crate::{
    clock::now,
    gate::{Gate, GateConfig},
    region::{HealthTable, Operator, Routing, RoutingTable, State},
};

use super::{Done, arc::Controls, clients};

#[derive(Subcommand)]
pub(super) enum Command {
    /// Which Region writes, what each Region says of itself, where clients are sent, which requests are suspect after a
    /// failover
    Status(Status),
    /// Leave a Region: another one writes, and clients are sent elsewhere until it is returned. Nothing is lost
    Evacuate(Evacuate),
    /// Have a Region write again, and clients sent there. Nothing is lost
    Return(Return),
}

#[derive(Args)]
pub(super) struct Where {
    /// The gate's DynamoDB table
    #[arg(long, env = "PAYMENTS_GATE_TABLE", default_value_t = GateConfig::default().table)]
    gate_table: String,
}

#[derive(Args)]
pub(super) struct Status {
    #[command(flatten)]
    at: Where,
    #[command(flatten)]
    arc: Controls,
}

#[derive(Args)]
pub(super) struct Evacuate {
    /// The Region to be left
    region: String,
    /// The Region that is to write, if the one to be left does
    #[arg(long)]
    to: String,
    #[command(flatten)]
    at: Where,
}

#[derive(Args)]
pub(super) struct Return {
    /// The Region that is to write
    region: String,
    /// Only have clients sent there again, and leave the writing where it is
    #[arg(long)]
    standby: bool,
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
        Command::Status(Status { at, arc }) => status(table(&at).await, at.gate_table, arc).await,
        Command::Evacuate(Evacuate { region, to, at }) => {
            let (table, operator) = between(table(&at).await, Some(&region), &to).await?;
            match operator.evacuate(&region, &to, now()).await? {
                Some(decided) => follow(table, decided).await,
                None => nothing_to_do(&format!("{region} is out of service already")),
            }
        }
        Command::Return(Return { region, standby, at }) => {
            let (table, operator) = between(table(&at).await, None, &region).await?;
            let decided = if standby {
                operator.put_back(&region, now()).await?
            } else {
                operator.return_to(&region, now()).await?
            };
            match decided {
                Some(decided) => follow(table, decided).await,
                None if standby => nothing_to_do(&format!("clients are sent to {region} already")),
                None => nothing_to_do(&format!("{region} writes the ledger already")),
            }
        }
    }
}

fn nothing_to_do(because: &str) -> Done {
    println!("{because}");
    Ok(())
}

async fn status(table: RoutingTable, gate_table: String, arc: Controls) -> Done {
    let routing = table.read().await?;
    println!("{routing}");
    for (region, health) in HealthTable::new(table).all().await? {
        let word = if health.well { "well" } else { "ill" };
        println!(
            "{region}: {word}, {} reports, heartbeat {} ms",
            health.beats, health.beat_at
        );
    }
    if let Some(controls) = arc.named().await? {
        match controls.states().await {
            Ok(states) => states.into_iter().for_each(|(region, on)| {
                println!("{region}: routing control {}", if on { "On" } else { "Off" });
            }),
            // Who writes does not hang on it.
            Err(error) => println!("the routing controls are not known: {error}"),
        }
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

/// The operator, if the Region that is to be left is one, and the one that is to serve says that it can.
async fn between(
    table: RoutingTable,
    from: Option<&str>,
    to: &str,
) -> Result<(RoutingTable, Operator), Box<dyn std::error::Error + Send + Sync>> {
    let regions = HealthTable::new(table.clone()).all().await?;
    if let Some(from) = from.filter(|from| !regions.contains_key(*from)) {
        return Err(format!("no controller of {from} has ever reported: nothing is changed").into());
    }
    if !regions.get(to).is_some_and(|health| health.well) {
        return Err(format!("no controller of {to} says that it is well: nothing is changed").into());
    }
    let operator = Operator::new(table.clone(), "payments region");
    Ok((table, operator))
}

/// Waits until a decision has been carried out.
async fn follow(table: RoutingTable, decided: Routing) -> Done {
    println!("{decided}");
    if decided.state == State::Open {
        return Ok(());
    }
    let to = decided.writer;
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
