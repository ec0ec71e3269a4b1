//! Everything that the system needs, and the system.

use std::{
    net::{SocketAddr, TcpListener},
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use payments::ledger::audit;
use scenarios::externals::{Behaviour, Provider};
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};
use sumzero_postgres::Server;
use sumzero_sim::aws::local;

use crate::queue::Queue;

const PROGRAM: &str = env!("CARGO_BIN_EXE_payments-under-test");

/// What the processes run against.
pub(crate) struct Surroundings {
    pub(crate) postgres: Server,
    pub(crate) psp: Provider,
    pub(crate) kyc: Provider,
    environment: Vec<(String, String)>,
    pub(crate) api_key: String,
    pub(crate) operator_key: String,
}

/// A port that was free a moment ago.
fn free_port() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap()
}

fn run(command: &mut Command) -> String {
    let done = command.output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8(done.stdout).unwrap()
}

impl Surroundings {
    /// With these settings of PostgreSQL.
    pub(crate) fn start(settings: &str) -> Self {
        Self::start_with(settings, &[], &[])
    }

    /// With these variables besides, and the database migrated with these arguments besides.
    pub(crate) fn start_with(settings: &str, variables: &[(&str, &str)], migrate: &[&str]) -> Self {
        let postgres = Server::start(settings).unwrap_or_else(|error| panic!("{error}"));
        postgres.create_database("ledger").unwrap();
        let (psp, kyc) = (Provider::default(), Provider::default());
        let (services, psp_url, kyc_url) = serve_others(&psp, &kyc);
        let mut environment = services;
        let url = |user| postgres.url(user, "ledger");
        for (name, value) in [
            ("PAYMENTS_OWNER_DATABASE_URL", url("postgres")),
            ("PAYMENTS_DATABASE_URL", url("payments_service")),
            ("PAYMENTS_WORKER_DATABASE_URL", url("payments_worker")),
            ("PAYMENTS_CONSUMER_DATABASE_URL", url("payments_consumer")),
            ("PAYMENTS_PSP_URL", psp_url),
            ("PAYMENTS_KYC_URL", kyc_url),
            ("PAYMENTS_WEBHOOK_SECRET", "a secret of the test".to_owned()),
            ("PAYMENTS_GATE_LEASE", "2".to_owned()),
            ("PAYMENTS_OPERATION_LEASE", "2".to_owned()),
            ("RUST_LOG", "warn".to_owned()),
        ] {
            environment.push((name.to_owned(), value));
        }
        let besides = variables
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        environment.extend(besides);
        let program = |arguments: &[&str]| {
            let mut command = Command::new(PROGRAM);
            command.args(arguments).envs(environment.iter().cloned());
            command
        };
        let usual = ["migrate", "--gate-replicas", "us-east-2,us-west-2", "--subscribe"];
        run(&mut program(&[&usual, migrate].concat()));
        let printed = run(&mut program(&["tenant", "--name", "a tenant"]));
        let value = |name: &str| {
            let line = printed
                .lines()
                .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
            line.expect(name).to_owned()
        };
        let (api_key, operator_key) = (value("api-key"), value("operator-key"));
        Self {
            postgres,
            psp,
            kyc,
            environment,
            api_key,
            operator_key,
        }
    }

    /// A queue of the Region.
    pub(crate) fn queue(&self, name: &str) -> Queue {
        let endpoint = self
            .environment
            .iter()
            .find(|(name, _)| name == "AWS_ENDPOINT_URL_SQS");
        Queue::new(&endpoint.expect("the services were started").1, name)
    }

    /// What a subcommand prints.
    pub(crate) fn program(&self, arguments: &[&str]) -> String {
        let mut command = Command::new(PROGRAM);
        run(command.args(arguments).envs(self.environment.iter().cloned()))
    }

    /// What a subcommand says on its way to failure.
    pub(crate) fn program_fails(&self, arguments: &[&str]) -> String {
        let mut command = Command::new(PROGRAM);
        let done = command
            .args(arguments)
            .envs(self.environment.iter().cloned())
            .output()
            .unwrap();
        assert!(!done.status.success(), "{arguments:?}");
        String::from_utf8(done.stderr).unwrap()
    }

    /// A process of the system, ready to serve.
    pub(crate) fn process(&self, arguments: &[&str]) -> Process {
        let address = free_port();
        let log = std::env::var_os("PAYMENTS_TEST_LOG").map(PathBuf::from);
        let stderr = log.map_or_else(Stdio::null, |path| {
            Stdio::from(
                std::fs::File::options()
                    .create(true)
                    .append(true)
                    .open(path)
                    .unwrap(),
            )
        });
        let child = Command::new(PROGRAM)
            .args(["serve", "--listen", &address.to_string()])
            .args(arguments)
            .envs(self.environment.iter().cloned())
            .stdout(Stdio::null())
            .stderr(stderr)
            .spawn()
            .unwrap();
        let process = Process { child, address };
        process.wait_until_ready();
        process
    }

    pub(crate) async fn superuser(&self) -> PgConnection {
        PgConnection::connect(&self.postgres.url("postgres", "ledger"))
            .await
            .unwrap()
    }

    /// Everything that is wrong with the books.
    pub(crate) async fn faults(&self) -> Vec<String> {
        audit(&mut self.superuser().await).await.unwrap()
    }
}

/// Serves AWS and the providers from a thread, to the end of this process.
fn serve_others(psp: &Provider, kyc: &Provider) -> (Vec<(String, String)>, String, String) {
    let (sender, receiver) = mpsc::channel();
    let (psp, kyc) = (psp.clone(), kyc.clone());
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let mut aws = local::serve(local::Options::default()).await.unwrap();
            let mut listeners = Vec::new();
            for provider in [psp, kyc] {
                let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
                listeners.push(format!("http://{}", listener.local_addr().unwrap()));
                tokio::spawn(provider.serve(listener));
            }
            let region = &aws.regions()["us-east-1"];
            let variables: Vec<_> = aws
                .shared()
                .iter()
                .chain(region)
                .map(|(k, v)| (k.clone(), v.clone()))
                .collect();
            sender
                .send((variables, listeners.remove(0), listeners.remove(0)))
                .unwrap();
            aws.ended().await.unwrap();
        });
    });
    receiver.recv().expect("the services start")
}

/// A running process; killed when dropped.
pub(crate) struct Process {
    child: Child,
    pub(crate) address: SocketAddr,
}

impl Process {
    fn wait_until_ready(&self) {
        let deadline = Instant::now() + Duration::from_secs(20);
        while std::net::TcpStream::connect(self.address).is_err() {
            assert!(Instant::now() < deadline, "the process does not listen");
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// SIGKILL: no drain, no goodbye.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// SIGTERM: whoever waits is answered first. How it ended.
    pub(crate) fn terminate(mut self) -> bool {
        let status = Command::new("kill")
            .arg(self.child.id().to_string())
            .status()
            .unwrap();
        assert!(status.success());
        self.child.wait().unwrap().success()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A client of one process.
#[derive(Clone)]
pub(crate) struct Client {
    http: reqwest::Client,
    url: String,
    api_key: String,
}

/// What a client was told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) status: u16,
    pub(crate) body: String,
    pub(crate) retry_after: Option<u64>,
    pub(crate) media: String,
}

impl Told {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    pub(crate) fn problem(&self) -> String {
        assert_eq!(self.media, "application/problem+json", "{self:?}");
        let problem = self.json();
        assert_eq!(problem["status"], self.status, "{self:?}");
        problem["type"].as_str().unwrap().to_owned()
    }

    pub(crate) fn id(&self, name: &str) -> String {
        self.json()[name]
            .as_str()
            .unwrap_or_else(|| panic!("{self:?}"))
            .to_owned()
    }
}

impl Client {
    pub(crate) fn new(address: SocketAddr, api_key: &str) -> Self {
        let http = reqwest::Client::builder()
            .no_proxy()
            .timeout(Duration::from_secs(20))
            .build()
            .unwrap();
        Self {
            http,
            url: format!("http://{address}"),
            api_key: api_key.to_owned(),
        }
    }

    pub(crate) fn request(&self, method: &str, path: &str) -> reqwest::RequestBuilder {
        let method = method.parse().unwrap();
        self.http
            .request(method, format!("{}{path}", self.url))
            .bearer_auth(&self.api_key)
    }

    pub(crate) async fn try_post(&self, path: &str, key: &str, body: &Value) -> reqwest::Result<Told> {
        tell(
            self.request("POST", path)
                .header("idempotency-key", key)
                .json(body),
        )
        .await
    }

    pub(crate) async fn post(&self, path: &str, key: &str, body: &Value) -> Told {
        self.try_post(path, key, body).await.unwrap()
    }

    pub(crate) async fn get(&self, path: &str) -> Told {
        tell(self.request("GET", path)).await.unwrap()
    }

    pub(crate) async fn open_account(&self, key: &str, currency: &str) -> String {
        let opened = self
            .post("/v1/accounts", key, &json!({"currency": currency}))
            .await;
        assert_eq!(opened.status, 201, "{opened:?}");
        opened.id("account_id")
    }

    pub(crate) async fn fund(&self, key: &str, account: &str, amount: i64) -> String {
        let paid = self.post("/v1/charges", key, &sale(account, amount)).await;
        assert_eq!(paid.status, 201, "{paid:?}");
        paid.id("payment_id")
    }
}

/// The body of a charge that takes the money at once.
pub(crate) fn sale(payee: &str, amount: i64) -> Value {
    json!({"payee": payee, "amount": amount, "currency": "EUR", "instrument": "tok_visa", "capture": true})
}

pub(crate) async fn tell(request: reqwest::RequestBuilder) -> reqwest::Result<Told> {
    let response = request.send().await?;
    let header = |name| {
        response
            .headers()
            .get(name)
            .and_then(|value| value.to_str().ok())
            .map(str::to_owned)
    };
    let retry_after = header("retry-after").map(|text| text.parse().unwrap());
    let media = header("content-type").unwrap_or_default();
    let status = response.status().as_u16();
    Ok(Told {
        status,
        body: response.text().await?,
        retry_after,
        media,
    })
}

/// A provider that fails in all the ways that leave an outcome unknown.
pub(crate) fn unreliable() -> Behaviour {
    Behaviour {
        jitter_ms: 20,
        declined_ppm: 50_000,
        failed_before_ppm: 30_000,
        failed_after_ppm: 30_000,
        answer_lost_ppm: 30_000,
        ..Behaviour::default()
    }
}
