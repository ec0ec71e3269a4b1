//! The operator: sets the system up, and looks at it when all is over.

use std::{error::Error, time::Duration};

use payments::{
    gate::{Gate, GateConfig},
    ledger::{Target, migrate},
    messages::Topology,
    region::{Operator, Routing, RoutingError, RoutingTable, State},
    tenant::{self, NewTenant},
};
use serde_json::json;
use sqlx::types::time::OffsetDateTime;
use sqlx::{ConnectOptions, PgConnection};
use sumzero_sim::{Host, aws::aurora::cluster::GlobalCluster, here};
use tokio::time::{Instant, sleep, timeout};

use crate::{
    externals::Provider,
    history::{Books, Told},
    script::{Handover, Script, Spell, behaviour_at},
};

use super::{
    Notes, Opened, TradingAccount, aws,
    clients::Client,
    decisions::decide,
    expiry,
    network::{ELSEWHERE, REGIONS},
    rollout,
    trade::Asked,
};

/// How long anything may take that clients wait for.
const SET_UP_WITHIN: Duration = Duration::from_secs(600);

/// What was answered once is answered again by then.
const ANSWERS_AGAIN_WITHIN: Duration = Duration::from_secs(120);

/// For so long everything is asked again.
const ASKS_AGAIN_FOR: Duration = Duration::from_secs(600);

/// What was asked before the end is answered by then.
const LAST_ANSWERS_WITHIN: Duration = Duration::from_secs(60);

pub(super) fn host(
    script: &Script,
    notes: &Notes,
    database: GlobalCluster,
    psp: &Provider,
    kyc: &Provider,
) -> Host {
    let (script, notes) = (script.clone(), notes.clone());
    let (psp, kyc) = (psp.clone(), kyc.clone());
    Host::new("operator").region(ELSEWHERE).run(move || {
        let (script, notes) = (script.clone(), notes.clone());
        let (psp, kyc, database) = (psp.clone(), kyc.clone(), database.clone());
        async move {
            let started = Instant::now();
            for (provider, spells) in [(&psp, &script.psp), (&kyc, &script.kyc)] {
                tokio::spawn(misbehave(provider.clone(), spells.clone(), started));
            }
            let NewTenant {
                api_key,
                operator_key,
                ..
            } = set_up(&script).await?;
            let client = Client::new("operator", &script, &api_key, None)?;
            let operator = Client::new("operator", &script, &operator_key, None)?;
            let accounts = open_accounts(&client, script.workload.accounts).await?;
            for handover in script.handovers.clone() {
                tokio::spawn(hand_over_at(handover, started));
            }
            notes.lock().opened = Some(Opened { api_key, accounts });

            let quiet = until_quiet(&script, &notes, &database, started, || {
                decide(&operator, &psp, &kyc)
            });
            let books = tokio::select! {
                biased;
                books = quiet => books,
                never = rollout::operate(&script, &database, &notes, started) => match never {},
            };
            notes.lock().history.forgotten_at_nanos = here().map(|here| here.at.as_nanos());
            expiry::some_answers_expire().await;
            let (again, unanswered) = ask_again(&client, &notes).await;
            let mut notes = notes.lock();
            notes.history.books = books;
            notes.history.told_again = again;
            notes.history.unanswered_again = unanswered;
            Ok::<_, Box<dyn Error + Send + Sync>>(())
        }
    })
}

/// Asks everything again that was answered: what the answers are now, and what has none any more. Not all of it where many have
/// none, since each takes its time.
async fn ask_again(client: &Client, notes: &Notes) -> (Vec<Told>, Vec<String>) {
    let started = Instant::now();
    let told = notes.lock().history.told.clone();
    let (mut again, mut unanswered) = (Vec::new(), Vec::new());
    for told in told.into_iter().filter(|told| told.is_final()) {
        if started.elapsed() + ANSWERS_AGAIN_WITHIN > ASKS_AGAIN_FOR {
            break;
        }
        let asked = Asked::alone(told.key, told.path, told.asked);
        match client.insist(&asked, ANSWERS_AGAIN_WITHIN).await {
            Some(told) => again.push(told),
            None => unanswered.push(asked.key),
        }
    }
    (again, unanswered)
}

/// The books when everything has come to rest, or when that has taken too long; until then `meanwhile` is done again and again.
async fn until_quiet<F: Future<Output = ()>>(
    script: &Script,
    notes: &Notes,
    database: &GlobalCluster,
    started: Instant,
    meanwhile: impl Fn() -> F,
) -> Option<Books> {
    sleep(script.quiet_from().saturating_sub(started.elapsed())).await;
    notes.lock().history.quiet_from_nanos = here().map_or(0, |here| here.at.as_nanos());
    let started = Instant::now();
    let (mut books, mut restless) = (None, vec!["the ledger unreadable".to_owned()]);
    while started.elapsed() < script.limits.rest {
        sleep(Duration::from_secs(2)).await;
        // Before the books are read: what the last client is told meanwhile would be missing in them.
        let clients_done = notes.lock().clients_done == script.workload.clients;
        let rolled_out = script.rollout.is_none() || notes.lock().contracted;
        let Some(read) = read(database).await else {
            continue;
        };
        restless = hanging(&read);
        if !clients_done {
            restless.push("clients still asking".to_owned());
        }
        if !rolled_out {
            restless.push("the new version not rolled out".to_owned());
        }
        if restless.is_empty() && !open().await {
            restless.push("no Region open for writes".to_owned());
        }
        books = Some(read);
        if restless.is_empty() {
            return books;
        }
        meanwhile().await;
    }
    // Whoever is still asking would be told of what is not in the books yet.
    {
        let mut notes = notes.lock();
        notes.closed = true;
        notes.history.restless = restless;
    }
    sleep(LAST_ANSWERS_WITHIN).await;
    read(database).await.or(books)
}

/// The books, unless they cannot be read within a while.
async fn read(database: &GlobalCluster) -> Option<Books> {
    let read = async { Books::read(&mut superuser(database).await?).await };
    timeout(Duration::from_secs(10), read).await.ok()?.ok()
}

/// Has a provider behave as the script says, from change to change.
async fn misbehave(provider: Provider, spells: Vec<Spell>, started: Instant) {
    let mut changes: Vec<Duration> = spells
        .iter()
        .flat_map(|spell| [spell.at, spell.at.saturating_add(spell.lasting)])
        .collect();
    changes.sort();
    for change in changes {
        sleep(change.saturating_sub(started.elapsed())).await;
        provider.behave(behaviour_at(&spells, change));
    }
}

/// Every fourth account is of another currency, of another exponent.
async fn open_accounts(
    client: &Client,
    count: u8,
) -> Result<Vec<TradingAccount>, Box<dyn Error + Send + Sync>> {
    let mut accounts = Vec::new();
    for number in 0..count {
        let currency = if number % 4 == 3 { "JPY" } else { "EUR" };
        let body = json!({"currency": currency});
        let asked = Asked::alone(format!("account-{number}"), "/v1/accounts".to_owned(), body);
        let told = client.insist(&asked, SET_UP_WITHIN).await;
        let opened: serde_json::Value =
            serde_json::from_str(&told.ok_or("no account could be opened")?.body)?;
        accounts.push(TradingAccount {
            id: opened["account_id"].as_str().ok_or("no account id")?.to_owned(),
            currency: currency.to_owned(),
        });
    }
    Ok(accounts)
}

/// At the writer, as the control plane sees it.
pub(super) async fn superuser(database: &GlobalCluster) -> Result<PgConnection, sqlx::Error> {
    let writer = database.writer();
    let region = REGIONS.iter().position(|region| *region == writer);
    aws::ledger(region.unwrap_or_default(), "postgres")
        .connect()
        .await
}

/// What the operator's program sees of the routing, through whichever Region's DynamoDB answers.
pub(super) fn routing(region: usize) -> RoutingTable {
    let table = GateConfig::default().table;
    RoutingTable::new(aws::clients(region).dynamodb, table, RoutingTable::LEDGER)
}

/// Asks until it is taken that another Region write, as `payments region evacuate` does, or `return` for one that was left.
async fn hand_over_at(handover: Handover, started: Instant) {
    sleep(handover.at.saturating_sub(started.elapsed())).await;
    for attempt in 0..60 {
        let asked = hand_over(routing(attempt % REGIONS.len()), &handover.to);
        if let Ok(Ok(_)) = timeout(Duration::from_secs(5), asked).await {
            break;
        }
        sleep(Duration::from_secs(5)).await;
    }
}

async fn hand_over(table: RoutingTable, to: &str) -> Result<Option<Routing>, RoutingError> {
    let now = OffsetDateTime::now_utc();
    let routing = table.read().await?;
    let operator = Operator::new(table, "the operator");
    if routing.writer == to || routing.out_of_service.contains_key(to) {
        operator.return_to(to, now).await
    } else {
        operator.evacuate(&routing.writer, to, now).await
    }
}

/// Whether some Region writes, and has restored what it may have lost.
async fn open() -> bool {
    for region in 0..REGIONS.len() {
        if let Ok(Ok(routing)) = timeout(Duration::from_secs(5), routing(region).read()).await {
            return routing.state == State::Open;
        }
    }
    false
}

/// Migrates, makes the gate's table, adds a tenant.
async fn set_up(script: &Script) -> Result<NewTenant, Box<dyn Error + Send + Sync>> {
    let mut connection = aws::ledger(0, "postgres").connect().await?;
    // Where a new version is rolled out, the schema is the one before's.
    let target = script
        .rollout
        .as_ref()
        .map_or(Target::Expanded, |_| Target::Step(1));
    let schema = migrate(&mut connection, REGIONS[0], target).await?;
    for region in 0..REGIONS.len() {
        let clients = aws::clients(region);
        Topology::default()
            .create(&clients.eventbridge, &clients.sqs)
            .await?;
    }
    let gate = Gate::new(aws::clients(0).dynamodb, GateConfig::default());
    let replicas: Vec<_> = REGIONS[1..].iter().map(|region| (*region).to_owned()).collect();
    gate.create_table(&replicas).await?;
    let table = routing(0);
    table
        .create(REGIONS[0], 1, schema, OffsetDateTime::now_utc())
        .await?;
    Ok(tenant::add(&mut connection, "a tenant", Duration::from_hours(24)).await?)
}

/// What is still under way: operations, decisions to be made, events to be delivered.
fn hanging(books: &Books) -> Vec<String> {
    let limbo = books.payments.iter().filter(|payment| payment.state == "limbo");
    let hanging = [
        (books.pending().count(), "operations pending"),
        (limbo.count(), "payments in limbo"),
        (books.deliveries.missing().len(), "events not delivered"),
    ];
    let hanging = hanging.into_iter().filter(|(count, _)| *count > 0);
    hanging.map(|(count, what)| format!("{what}: {count}")).collect()
}
