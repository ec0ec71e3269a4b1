//! The operator: sets the system up, and looks at it when all is over.

use std::{error::Error, time::Duration};

use payments::{
    gate::{Gate, GateConfig},
    ledger::migrate,
    messages::Topology,
};
use serde_json::json;
use sqlx::{ConnectOptions, PgConnection};
use sumzero_sim::Host;
use tokio::time::{Instant, sleep, timeout};

use crate::{
    externals::{Behaviour, Provider},
    history::Books,
};

use super::{
    Notes, Opened, Script, aws,
    clients::{Client, insist},
    network::REGIONS,
};

/// Accounts that clients trade with.
const ACCOUNTS: u32 = 4;

/// How long after the last fault the system may take to come to rest.
const REST_WITHIN: Duration = Duration::from_secs(600);

pub(super) fn host(script: &Script, notes: &Notes, psp: &Provider, kyc: &Provider) -> Host {
    let (script, notes, providers) = (script.clone(), notes.clone(), [psp.clone(), kyc.clone()]);
    Host::new("operator").region(REGIONS[0]).run(move || {
        let (script, notes, providers) = (script.clone(), notes.clone(), providers.clone());
        async move {
            let started = Instant::now();
            let api_key = set_up().await?;
            let client = Client::new(script.gateways, &api_key)?;
            let mut accounts = Vec::new();
            for number in 0..ACCOUNTS {
                let body = json!({"currency": "EUR"});
                let told = insist(
                    &client,
                    &format!("account-{number}"),
                    "/v1/accounts",
                    &body,
                    REST_WITHIN,
                )
                .await;
                let opened = told.ok_or("no account could be opened")?;
                let opened: serde_json::Value = serde_json::from_str(&opened.body)?;
                accounts.push(opened["account_id"].as_str().ok_or("no account id")?.to_owned());
            }
            notes.lock().opened = Some(Opened { api_key, accounts });

            sleep(script.faults_end.saturating_sub(started.elapsed())).await;
            for provider in providers {
                provider.behave(Behaviour::default());
            }
            let books = rest(&notes, script.clients).await;
            let told = notes.lock().history.told.clone();
            let mut again = Vec::new();
            for told in told.iter().filter(|told| told.is_final()) {
                again.extend(insist(&client, &told.key, &told.path, &told.asked, REST_WITHIN).await);
            }
            let mut notes = notes.lock();
            notes.history.books = books;
            notes.history.told_again = again;
            Ok::<_, Box<dyn Error + Send + Sync>>(())
        }
    })
}

async fn superuser() -> Result<PgConnection, sqlx::Error> {
    aws::ledger("postgres").connect().await
}

/// Migrates, makes the gate's table, adds a tenant. Its API key.
async fn set_up() -> Result<String, Box<dyn Error + Send + Sync>> {
    let mut connection = superuser().await?;
    migrate(&mut connection, REGIONS[0]).await?;
    let clients = aws::clients();
    Topology::default()
        .create(&clients.eventbridge, &clients.sqs)
        .await?;
    let gate = Gate::new(clients.dynamodb, GateConfig::default());
    let replicas: Vec<_> = REGIONS[1..].iter().map(|region| (*region).to_owned()).collect();
    gate.create_table(&replicas).await?;
    let keys = payments::tenant::add(&mut connection, "a tenant", Duration::from_hours(24)).await?;
    Ok(keys.api_key)
}

/// Waits until every client has ended and nothing is pending, or gives up waiting. The books as they are then, if they can
/// be read at all.
async fn rest(notes: &Notes, clients: u8) -> Option<Books> {
    let started = Instant::now();
    let mut last = None;
    while started.elapsed() < REST_WITHIN {
        sleep(Duration::from_secs(5)).await;
        let read = async { Books::read(&mut superuser().await?).await };
        if let Ok(Ok(books)) = timeout(Duration::from_secs(10), read).await {
            let told = books.deliveries.missing().is_empty();
            let quiet = books.pending.is_empty() && told && notes.lock().clients_done == clients;
            last = Some(books);
            if quiet {
                break;
            }
        }
    }
    last
}
