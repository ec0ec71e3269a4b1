//! A load generator: asks a gateway for payments at a rate, and says what came back and how long it took.
//!
//! With a rate, requests are due at fixed times whatever the answers do, and latency counts from the time at which a request
//! was due: a server that stalls is charged for those who had to wait (no coordinated omission). Without one, each of the
//! workers asks again as soon as it is answered.
//!
//! A part of the requests are asked for again under their key as soon as they are answered: the second answer must be the
//! first, byte for byte.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use hdrhistogram::Histogram;
use serde_json::{Value, json};
use tokio::{task::JoinSet, time::Instant};

/// What is asked for.
#[derive(Clone, Debug)]
pub struct LoadConfig {
    /// The gateway, as in `http://127.0.0.1:8080`.
    pub url: String,
    /// A tenant's API key.
    pub api_key: String,
    /// Requests a second; none asks as fast as the workers are answered.
    pub rate: Option<f64>,
    /// Requests under way at a time, at most.
    pub workers: u32,
    /// For how long.
    pub duration: Duration,
    /// Accounts that are paid.
    pub accounts: u32,
    /// What is asked for, in parts of all.
    pub mix: Mix,
    /// How many requests are asked for twice, in percent.
    pub duplicates: u8,
}

/// Kinds of requests, each with its weight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mix {
    /// Charges that take the money at once.
    pub sales: u8,
    /// Charges that hold it.
    pub authorizations: u8,
    /// Marketplace settlements from account to account. Those that the payer cannot pay are refused: 422.
    pub settlements: u8,
}

impl Default for Mix {
    fn default() -> Self {
        Self {
            sales: 100,
            authorizations: 0,
            settlements: 0,
        }
    }
}

/// What came back.
#[derive(Debug)]
pub struct Report {
    /// From the first request to the last answer.
    pub took: Duration,
    /// Answers by status; 0 stands for none.
    pub statuses: BTreeMap<u16, u64>,
    /// Second answers that were not the first.
    pub differing: u64,
    /// Errors of connections by their text, the first few kinds of them.
    pub errors: BTreeMap<String, u64>,
    /// Microseconds to the answer, of first attempts.
    latency: Histogram<u64>,
}

/// Kinds of errors that are told apart.
const ERRORS_MAX: usize = 10;
/// Longest latency that is told from longer ones.
const LATENCY_MAX: Duration = Duration::from_secs(120);

impl Report {
    fn new() -> Self {
        Self {
            took: Duration::ZERO,
            statuses: BTreeMap::new(),
            differing: 0,
            errors: BTreeMap::new(),
            latency: Histogram::new_with_max(LATENCY_MAX.as_micros() as u64, 3)
                .expect("three digits up to two minutes fit"),
        }
    }

    /// Answers of a status a second.
    pub fn rate(&self, status: u16) -> f64 {
        self.statuses.get(&status).copied().unwrap_or_default() as f64 / self.took.as_secs_f64()
    }

    /// The latency that this part of all first attempts stayed within, `0.99` for one.
    pub fn latency(&self, part: f64) -> Duration {
        Duration::from_micros(self.latency.value_at_quantile(part))
    }

    fn answered(&mut self, status: u16) {
        *self.statuses.entry(status).or_default() += 1;
    }

    fn failed(&mut self, error: &reqwest::Error) {
        self.answered(0);
        let text = error.to_string();
        if self.errors.len() < ERRORS_MAX || self.errors.contains_key(&text) {
            *self.errors.entry(text).or_default() += 1;
        }
    }

    fn add(&mut self, other: Self) {
        for (status, count) in other.statuses {
            *self.statuses.entry(status).or_default() += count;
        }
        for (error, count) in other.errors {
            *self.errors.entry(error).or_default() += count;
        }
        self.differing += other.differing;
        // Both were made alike.
        let _ = self.latency.add(&other.latency);
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let answers: u64 = self.statuses.values().sum();
        let seconds = self.took.as_secs_f64();
        writeln!(
            f,
            "answers: {answers} in {seconds:.1} s, {:.0} a second",
            answers as f64 / seconds
        )?;
        let ms = |part| self.latency(part).as_secs_f64() * 1e3;
        writeln!(
            f,
            "latency: p50 {:.1} ms, p90 {:.1} ms, p99 {:.1} ms, p99.9 {:.1} ms, max {:.1} ms",
            ms(0.5),
            ms(0.9),
            ms(0.99),
            ms(0.999),
            ms(1.0)
        )?;
        for (status, count) in &self.statuses {
            let name = if *status == 0 {
                "no answer".to_owned()
            } else {
                status.to_string()
            };
            writeln!(f, "status {name}: {count}, {:.0} a second", self.rate(*status))?;
        }
        for (error, count) in &self.errors {
            writeln!(f, "error: {error}: {count}")?;
        }
        writeln!(f, "answers that were another the second time: {}", self.differing)
    }
}

/// Nothing could be asked for.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The client could not be made.
    #[error("making the HTTP client: {0}")]
    Client(#[from] reqwest::Error),
    /// The accounts could not be opened.
    #[error("opening an account: the gateway answers {0}: is the URL right, and the API key?")]
    Account(String),
    /// The mix has no part.
    #[error("the mix asks for nothing: give one of its parts a weight")]
    EmptyMix,
}

struct Shared {
    http: reqwest::Client,
    config: LoadConfig,
    accounts: Vec<String>,
    /// Tells this run's keys from those of others.
    run: String,
    next: AtomicU64,
    started: Instant,
}

/// Asks as configured.
///
/// # Errors
/// When it cannot begin. What fails later is in the report.
pub async fn run(config: LoadConfig) -> Result<Report, LoadError> {
    let Mix {
        sales,
        authorizations,
        settlements,
    } = config.mix;
    if [sales, authorizations, settlements] == [0; 3] {
        return Err(LoadError::EmptyMix);
    }
    let http = reqwest::Client::builder()
        .no_proxy()
        .timeout(Duration::from_secs(30))
        .pool_max_idle_per_host(config.workers as usize)
        .build()?;
    let run = format!("load-{:08x}", fastrand::u32(..));
    let mut accounts = Vec::new();
    for number in 0..config.accounts.max(2) {
        accounts.push(open(&http, &config, &format!("{run}-account-{number}")).await?);
    }
    let workers = config.workers.max(1);
    let shared = Arc::new(Shared {
        http,
        config,
        accounts,
        run,
        next: AtomicU64::new(0),
        started: Instant::now(),
    });
    let mut working = JoinSet::new();
    for _ in 0..workers {
        working.spawn(work(shared.clone()));
    }
    let mut report = Report::new();
    while let Some(done) = working.join_next().await {
        if let Ok(done) = done {
            report.add(done);
        }
    }
    report.took = shared.started.elapsed();
    Ok(report)
}

async fn open(http: &reqwest::Client, config: &LoadConfig, key: &str) -> Result<String, LoadError> {
    let asked = http
        .post(format!("{}/v1/accounts", config.url))
        .bearer_auth(&config.api_key)
        .header("idempotency-key", key)
        .json(&json!({"currency": "EUR"}));
    let answer = asked.send().await?;
    let status = answer.status();
    let body: Value = answer.json().await.unwrap_or_default();
    match body["account_id"].as_str() {
        Some(account) => Ok(account.to_owned()),
        None => Err(LoadError::Account(status.to_string())),
    }
}

async fn work(shared: Arc<Shared>) -> Report {
    let mut report = Report::new();
    loop {
        let number = shared.next.fetch_add(1, Ordering::Relaxed);
        let due = match shared.config.rate {
            Some(rate) => shared.started + Duration::from_secs_f64(number as f64 / rate),
            None => Instant::now(),
        };
        if due - shared.started >= shared.config.duration {
            return report;
        }
        tokio::time::sleep_until(due).await;
        let (path, body) = shared.next_request();
        let key = format!("{}-{number}", shared.run);
        let Some(first) = shared.ask(&key, path, &body, &mut report).await else {
            continue;
        };
        let took = due.elapsed().as_micros() as u64;
        report.latency.saturating_record(took);
        let twice = fastrand::u8(0..100) < shared.config.duplicates;
        // Only what was begun is answered alike for good.
        if twice && (first.0 < 300 || first.0 == 402) {
            let again = shared.ask(&key, path, &body, &mut report).await;
            report.differing += u64::from(again.is_some_and(|again| again != first));
        }
    }
}

impl Shared {
    fn next_request(&self) -> (&'static str, Value) {
        let Mix {
            sales,
            authorizations,
            settlements,
        } = self.config.mix;
        let account = |avoid: Option<usize>| {
            let number = fastrand::usize(0..self.accounts.len());
            if Some(number) == avoid {
                (number + 1) % self.accounts.len()
            } else {
                number
            }
        };
        let all = u32::from(sales) + u32::from(authorizations) + u32::from(settlements);
        let drawn = fastrand::u32(0..all);
        let payee = account(None);
        if drawn < u32::from(settlements) {
            let payer = account(Some(payee));
            let body = json!({
                "payer": self.accounts[payer], "payee": self.accounts[payee], "amount": 100, "currency": "EUR", "fee": 1
            });
            return ("/v1/settlements", body);
        }
        let capture = drawn - u32::from(settlements) < u32::from(sales);
        let body = json!({
            "payee": self.accounts[payee], "amount": 1_000, "currency": "EUR", "instrument": "tok_load", "capture": capture
        });
        ("/v1/charges", body)
    }

    /// Status and body, if an answer came.
    async fn ask(&self, key: &str, path: &str, body: &Value, report: &mut Report) -> Option<(u16, String)> {
        let asked = self
            .http
            .post(format!("{}{path}", self.config.url))
            .bearer_auth(&self.config.api_key)
            .header("idempotency-key", key)
            .json(body);
        let answer = async {
            let answer = asked.send().await?;
            Ok((answer.status().as_u16(), answer.text().await?))
        };
        match answer.await {
            Ok((status, body)) => {
                report.answered(status);
                Some((status, body))
            }
            Err(error) => {
                report.failed(&error);
                None
            }
        }
    }
}
