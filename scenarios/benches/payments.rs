//! How fast the payment system is, and what a charge costs: real PostgreSQL with fsync, the system as a process of its own, the
//! simulated DynamoDB, EventBridge and SQS of one Region and the provider's stand-in (which answers at once) in this one.
//! Everything shares the machine.
//!
//!     cargo bench -p scenarios --bench payments
//!
//! `PAYMENTS_BENCH_RATE` and `PAYMENTS_BENCH_SECONDS` change the load, 1,000 a second for 20 s.

use std::{
    net::{SocketAddr, TcpListener},
    process::{Child, Command, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use payments::{
    gate::{Gate, GateConfig},
    id::{AccountId, Fingerprint, IdempotencyKey, TenantId},
    ledger::{self, Authority, Grant, Grouping, Ledger, Mutation, Request},
    load::{self, LoadConfig, Mix, Report},
    messages::Topology,
    money::Amount,
    region::RoutingTable,
    tenant::NewTenant,
};
use scenarios::externals::Provider;
use sqlx::{Connection, PgConnection, PgPool, postgres::PgPoolOptions};
use sumzero_postgres::Server;
use sumzero_sim::aws::local;
use time::OffsetDateTime;
use tokio::sync::watch;

const PROGRAM: &str = env!("CARGO_BIN_EXE_payments-under-test");
const SETTINGS: &str = "fsync = on\nsynchronous_commit = on\nshared_buffers = 256MB\nmax_wal_size = 4GB\n\
                        shared_preload_libraries = 'pg_stat_statements'\npg_stat_statements.track = 'all'";

macro_rules! client {
    ($sdk:ident, $url:expr) => {{
        use $sdk::config::{BehaviorVersion, Config, Credentials, Region};
        let config = Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("us-east-1"))
            .endpoint_url($url)
            .credentials_provider(Credentials::new("local", "local", None, None, "bench"))
            .http_client(aws_smithy_http_client::Builder::new().build_http())
            .build();
        $sdk::Client::from_conf(config)
    }};
}
type Variables = Vec<(String, String)>;

struct Place {
    postgres: Server,
    variables: Variables,
    tenant: NewTenant,
}

fn number(name: &str, usually: f64) -> f64 {
    std::env::var(name).map_or(usually, |text| text.parse().expect("a number"))
}

fn main() {
    // What criterion's runner is asked for by `cargo bench` and `cargo test` means nothing here.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("a runtime");
    let place = runtime.block_on(set_up());
    let rate = number("PAYMENTS_BENCH_RATE", 1_000.0);
    let seconds = number("PAYMENTS_BENCH_SECONDS", 20.0);
    println!("{}", machine());
    println!("\n## posting in groups, the ledger alone");
    runtime.block_on(post(&place));
    println!("\n## cost of a charge, one at a time");
    runtime.block_on(cost(&place));
    println!("\n## the gateway, with nothing else in its process");
    runtime.block_on(serve(&place, "gateway", rate, seconds));
    println!("\n## all roles in one process");
    runtime.block_on(serve(
        &place,
        "gateway,sweeper,relay,consumer,reconciler",
        rate,
        seconds,
    ));
}

fn machine() -> String {
    let text = |path| std::fs::read_to_string(path).unwrap_or_default();
    let (cpus, load) = (text("/proc/cpuinfo"), text("/proc/loadavg"));
    let model = cpus
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let model = model.map_or("an unknown processor", |(_, model)| model);
    let cores = thread::available_parallelism().map_or(0, usize::from);
    format!("{cores} cores of {model}, load average {}", load.trim())
}

async fn set_up() -> Place {
    let postgres = Server::start(SETTINGS).unwrap_or_else(|error| panic!("{error}"));
    postgres.create_database("ledger").expect("a database");
    let (mut variables, clients) = services();
    let url = |user| postgres.url(user, "ledger");
    let mut owner = PgConnection::connect(&url("postgres"))
        .await
        .expect("a connection");
    let schema = ledger::migrate(&mut owner, "us-east-1", ledger::Target::Expanded).await;
    let schema = schema.expect("the schema");
    sqlx::query("create extension pg_stat_statements")
        .execute(&mut owner)
        .await
        .expect("the extension");
    let tenant = payments::tenant::add(&mut owner, "a tenant", Duration::from_hours(24));
    let tenant = tenant.await.expect("a tenant");
    let gate = Gate::new(clients.dynamodb.clone(), GateConfig::default());
    gate.create_table(&[]).await.expect("the gate's table");
    let routing = RoutingTable::new(
        clients.dynamodb,
        GateConfig::default().table,
        RoutingTable::LEDGER,
    );
    let created = routing.create("us-east-1", 1, schema, OffsetDateTime::now_utc());
    created.await.expect("who writes");
    let topology = Topology::default();
    let created = topology.create(&clients.eventbridge, &clients.sqs).await;
    created.expect("queues");
    for (name, value) in [
        ("PAYMENTS_DATABASE_URL", url("payments_service")),
        ("PAYMENTS_WORKER_DATABASE_URL", url("payments_worker")),
        ("PAYMENTS_CONSUMER_DATABASE_URL", url("payments_consumer")),
        ("PAYMENTS_WEBHOOK_SECRET", "a secret of the bench".to_owned()),
        ("RUST_LOG", "warn".to_owned()),
    ] {
        variables.push((name.to_owned(), value));
    }
    Place {
        postgres,
        variables,
        tenant,
    }
}

/// AWS and the providers on a thread of their own, to the end of this process.
fn services() -> (Variables, payments::node::Clients) {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("a runtime").block_on(async {
            let options = local::Options {
                regions: vec!["us-east-1".to_owned()],
                ..local::Options::default()
            };
            let mut aws = local::serve(options).await.expect("free ports");
            let region = &aws.regions()["us-east-1"];
            let mut variables: Variables = aws
                .shared()
                .iter()
                .chain(region)
                .map(|(name, value)| (name.clone(), value.clone()))
                .collect();
            for name in ["PAYMENTS_PSP_URL", "PAYMENTS_KYC_URL"] {
                let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
                    .await
                    .expect("a port");
                let url = format!("http://{}", listener.local_addr().expect("its address"));
                variables.push((name.to_owned(), url));
                tokio::spawn(Provider::default().serve(listener));
            }
            sender.send(variables).expect("somebody waits");
            aws.ended().await.expect("services that go on");
        });
    });
    let variables = receiver.recv().expect("the services start");
    let value = |name: &str| {
        let found = variables.iter().find(|(known, _)| known == name);
        found.expect(name).1.clone()
    };
    let clients = payments::node::Clients {
        dynamodb: client!(aws_sdk_dynamodb, value("AWS_ENDPOINT_URL_DYNAMODB")),
        eventbridge: client!(aws_sdk_eventbridge, value("AWS_ENDPOINT_URL_EVENTBRIDGE")),
        sqs: client!(aws_sdk_sqs, value("AWS_ENDPOINT_URL_SQS")),
    };
    (variables, clients)
}

/// The system in a process of its own; killed when dropped.
struct Process {
    child: Child,
    address: SocketAddr,
}

impl Process {
    fn start(place: &Place, roles: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("its address");
        drop(listener);
        let child = Command::new(PROGRAM)
            .args(["serve", "--roles", roles, "--listen", &address.to_string()])
            .envs(place.variables.iter().cloned())
            .stderr(Stdio::inherit())
            .spawn()
            .expect("the program");
        let deadline = Instant::now() + Duration::from_secs(20);
        while std::net::TcpStream::connect(address).is_err() {
            assert!(Instant::now() < deadline, "the process does not listen");
            thread::sleep(Duration::from_millis(10));
        }
        Self { child, address }
    }

    /// A counter of the process; 0 if it has not counted yet.
    async fn counter(&self, name: &str) -> f64 {
        let url = format!("http://{}/metrics", self.address);
        let text = reqwest::get(url)
            .await
            .expect("metrics")
            .text()
            .await
            .expect("metrics");
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.map_or(0.0, |value| value.parse().expect("a number"))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

async fn ask(place: &Place, process: &Process, rate: Option<f64>, workers: u32, seconds: f64) -> Report {
    let config = LoadConfig {
        url: format!("http://{}", process.address),
        api_key: place.tenant.api_key.clone(),
        rate,
        workers,
        duration: Duration::from_secs_f64(seconds),
        accounts: 100,
        mix: Mix::default(),
        duplicates: 0,
    };
    load::run(config).await.expect("the gateway answers")
}

async fn serve(place: &Place, roles: &str, rate: f64, seconds: f64) {
    let mut superuser = superuser(place).await;
    // As autovacuum does every minute: what is measured must not depend on when it did so last.
    for statement in ["vacuum (analyze)", "select pg_stat_statements_reset()"] {
        let done = sqlx::query(statement).execute(&mut superuser).await;
        done.unwrap_or_else(|error| panic!("{statement}: {error}"));
    }
    let process = Process::start(place, roles);
    let warm = ask(place, &process, None, 16, 3.0).await;
    println!(
        "as fast as 64 workers are answered (after {} charges to warm up):",
        warm.statuses[&201]
    );
    let fast = ask(place, &process, None, 64, seconds / 2.0).await;
    print!("{fast}");
    println!("at {rate} a second:");
    let steady = ask(place, &process, Some(rate), 512, seconds).await;
    print!("{steady}");
    let met = steady.rate(201) >= 0.99 * rate && steady.latency(0.99) < Duration::from_millis(200);
    println!(
        "{rate} charges a second with p99 below 200 ms: {}",
        if met { "met" } else { "missed" }
    );
    let query = "select left(regexp_replace(query, '\\s+', ' ', 'g'), 60), calls, total_exec_time from pg_stat_statements \
                 order by total_exec_time desc limit 5";
    let most: Vec<(String, i64, f64)> = sqlx::query_as(query)
        .fetch_all(&mut superuser)
        .await
        .expect("times");
    println!("the statements that took most of PostgreSQL's time:");
    for (statement, calls, milliseconds) in most {
        let each = milliseconds / calls as f64;
        println!("{milliseconds:8.0} ms, {calls:6} times {each:6.2} ms: {statement}");
    }
}

async fn superuser(place: &Place) -> PgConnection {
    PgConnection::connect(&place.postgres.url("postgres", "ledger"))
        .await
        .expect("a connection")
}

async fn statements(place: &Place, role: &str) -> f64 {
    let query = "select coalesce(sum(s.calls), 0)::float8 from pg_stat_statements s join pg_roles r on r.oid = s.userid \
                 where r.rolname = $1";
    sqlx::query_scalar(query)
        .bind(role)
        .fetch_one(&mut superuser(place).await)
        .await
        .expect("counts")
}

/// What one charge costs when no other shares its group: the upper bound.
async fn cost(place: &Place) {
    let process = Process::start(place, "gateway,relay,consumer");
    ask(place, &process, None, 1, 1.0).await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    let published = r#"outbox_events_total{outcome="published"}"#;
    let consumed =
        |subscriber| format!(r#"inbox_messages_total{{subscriber="{subscriber}",outcome="applied"}}"#);
    let mut counters = vec![published.to_owned()];
    counters.extend(["notification", "receipts", "volume"].map(consumed));
    counters.extend(["write", "read"].map(|kind| format!(r#"gate_capacity_units_total{{kind="{kind}"}}"#)));
    let mut before = Vec::new();
    for counter in &counters {
        before.push(process.counter(counter).await);
    }
    let round_trips = statements(place, "payments_service").await;
    let asked = ask(place, &process, None, 1, 5.0).await;
    let charges = asked.statuses[&201] as f64;
    let round_trips = statements(place, "payments_service").await - round_trips;
    // Until the last event is in the last inbox.
    tokio::time::sleep(Duration::from_secs(5)).await;
    println!(
        "charges: {charges}, p50 {:.1} ms",
        asked.latency(0.5).as_secs_f64() * 1e3
    );
    println!(
        "PostgreSQL round trips of the gateway: {:.1} a charge",
        round_trips / charges
    );
    for (counter, before) in counters.iter().zip(before) {
        let counted = process.counter(counter).await - before;
        println!("{counter}: {:.2} a charge", counted / charges);
    }
}

/// Transfers a second through the ledger, in groups and one a transaction.
async fn post(place: &Place) {
    let url = place.postgres.url("payments_service", "ledger");
    let pool = PgPoolOptions::new()
        .max_connections(8)
        .connect(&url)
        .await
        .expect("a pool");
    let account = wallet(&pool, place.tenant.tenant).await;
    let mut rates = Vec::new();
    for (name, commands_max, count) in [
        ("one a transaction", 1, 1_500),
        ("in groups of up to 64", 64, 12_000),
    ] {
        let grouping = Grouping {
            commands_max,
            waiting_max: 16_384,
            ..Grouping::default()
        };
        let rate = transfers(&pool, place.tenant.tenant, account, grouping, count).await;
        println!("{name}: {rate:.0} transfers a second");
        rates.push(rate);
    }
    println!("in groups: {:.1} times as many, target 3", rates[1] / rates[0]);
}

fn ledger_of(pool: &PgPool, grouping: Grouping) -> (Ledger, watch::Sender<Option<Grant>>) {
    let (grant, grants) = watch::channel(Some(Grant::lasting(1)));
    let authority = Authority::new(grants);
    (
        Ledger::new(
            pool.clone(),
            "us-east-1",
            ledger::Schema::default(),
            authority,
            grouping,
        ),
        grant,
    )
}

fn request(tenant: TenantId) -> Request {
    let key = IdempotencyKey::new(format!("post-{:016x}", fastrand::u64(..))).expect("visible ASCII");
    Request {
        tenant,
        fingerprint: Fingerprint::of("POST", key.as_str(), b""),
        key,
        at: OffsetDateTime::now_utc(),
        lease_until: OffsetDateTime::now_utc() + Duration::from_hours(1),
    }
}

async fn wallet(pool: &PgPool, tenant: TenantId) -> AccountId {
    let (ledger, _epoch) = ledger_of(pool, Grouping::default());
    let request = request(tenant);
    let id = AccountId::of_request(tenant, &request.key);
    let open = Mutation::OpenAccount {
        currency: "EUR".parse().expect("a currency"),
        overdraft_limit: 1 << 40,
    };
    ledger
        .submit(ledger::Command::Mutate(request, open))
        .await
        .expect("an account");
    id
}

/// Settlements: each books a transfer at once, and nothing outside is asked.
async fn transfers(
    pool: &PgPool,
    tenant: TenantId,
    payer: AccountId,
    grouping: Grouping,
    count: usize,
) -> f64 {
    let (ledger, _epoch) = ledger_of(pool, grouping);
    let payee = wallet(pool, tenant).await;
    let started = Instant::now();
    let settle = |_| {
        let settle = Mutation::Settle {
            payer,
            payee,
            amount: Amount::new(100).expect("an amount"),
            currency: "EUR".parse().expect("a currency"),
            fee: 1,
        };
        ledger.submit(ledger::Command::Mutate(request(tenant), settle))
    };
    let replies = futures::future::join_all((0..count).map(settle)).await;
    let booked = replies
        .iter()
        .filter(|reply| matches!(reply, Ok(ledger::Reply::Resolved { .. })));
    assert_eq!(
        booked.count(),
        count,
        "{:?}",
        replies.iter().find(|reply| reply.is_err())
    );
    count as f64 / started.elapsed().as_secs_f64()
}
