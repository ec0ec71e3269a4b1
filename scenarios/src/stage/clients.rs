//! Clients that insist: the same request under the same key until there is an answer, at whichever gateway.

use std::{error::Error, time::Duration};

use serde_json::{Value, json};
use sumzero_sim::Host;
use tokio::time::{Instant, sleep};

use crate::history::Told;

use super::{
    Notes, Opened, Script,
    network::{self, HTTP, REGIONS, at},
};

/// How long a client waits for one answer.
const PATIENCE: Duration = Duration::from_secs(15);

/// After that a client gives up: nobody has answered for long after the last fault.
const INSISTS_FOR: Duration = Duration::from_secs(900);

/// A client of all gateways.
pub(super) struct Client {
    http: reqwest::Client,
    gateways: u8,
    api_key: String,
}

impl Client {
    pub(super) fn new(gateways: u8, api_key: &str) -> Result<Self, reqwest::Error> {
        let http = reqwest::Client::builder().no_proxy().timeout(PATIENCE).build()?;
        let api_key = api_key.to_owned();
        Ok(Self {
            http,
            gateways,
            api_key,
        })
    }

    /// One attempt, at any gateway: status and body, if an answer came.
    async fn ask(&self, key: &str, path: &str, body: &Value) -> Option<(u16, Option<u64>, String)> {
        let gateway = network::gateway(fastrand::u8(0..self.gateways));
        let request = self
            .http
            .post(format!("http://{}{path}", at(gateway, HTTP)))
            .bearer_auth(&self.api_key)
            .header("idempotency-key", key)
            .json(body);
        let response = request.send().await.ok()?;
        let retry_after = response.headers().get("retry-after");
        let retry_after = retry_after.and_then(|value| value.to_str().ok()?.parse().ok());
        Some((
            response.status().as_u16(),
            retry_after,
            response.text().await.ok()?,
        ))
    }
}

/// Asks until there is an answer that is one: not "in flight", not "down".
pub(super) async fn insist(
    client: &Client,
    key: &str,
    path: &str,
    body: &Value,
    limit: Duration,
) -> Option<Told> {
    let started = Instant::now();
    let mut attempts = 0;
    while started.elapsed() < limit {
        attempts += 1;
        let answer = client.ask(key, path, body).await;
        let retry_after = match answer {
            Some((status, None, body_told)) if status < 500 => {
                return Some(Told {
                    key: key.to_owned(),
                    path: path.to_owned(),
                    asked: body.clone(),
                    status,
                    body: body_told,
                    took: started.elapsed(),
                    attempts,
                });
            }
            Some((_, retry_after, _)) => retry_after,
            None => None,
        };
        // As it was told, but not all clients at once.
        let pause = Duration::from_secs(retry_after.unwrap_or(1).min(10));
        sleep(pause.mul_f64(0.5 + fastrand::f64())).await;
    }
    None
}

pub(super) fn host(number: u8, script: &Script, notes: &Notes) -> Host {
    let (script, notes) = (script.clone(), notes.clone());
    let name = format!("client-{number}");
    Host::new(name.clone()).region(REGIONS[0]).run(move || {
        let (script, notes, name) = (script.clone(), notes.clone(), name.clone());
        async move {
            let opened = loop {
                let opened = notes.lock().opened.clone();
                match opened {
                    Some(opened) => break opened,
                    None => sleep(Duration::from_millis(500)).await,
                }
            };
            let client = Client::new(script.gateways, &opened.api_key)?;
            trade(&client, &name, &script, &opened, &notes).await;
            notes.lock().clients_done += 1;
            Ok::<_, Box<dyn Error + Send + Sync>>(())
        }
    })
}

/// A client's requests, one after the other. What one answer allows is what the next one asks for.
async fn trade(client: &Client, name: &str, script: &Script, opened: &Opened, notes: &Notes) {
    // The last charge that holds an amount.
    let mut held: Option<String> = None;
    let pace = script.faults_end.mul_f64(1.0 / f64::from(script.requests.max(1)));
    for number in 0..script.requests {
        sleep(pace.mul_f64(fastrand::f64())).await;
        let key = format!("{name}-{number}");
        let (path, body) = next(opened, held.take());
        let Some(told) = insist(client, &key, &path, &body, INSISTS_FOR).await else {
            notes.lock().history.unanswered.push(key);
            continue;
        };
        let answer: Value = serde_json::from_str(&told.body).unwrap_or_default();
        if told.status == 201 && answer["state"] == "authorized" {
            held = answer["payment_id"].as_str().map(str::to_owned);
        }
        notes.lock().history.told.push(told);
    }
}

fn next(opened: &Opened, held: Option<String>) -> (String, Value) {
    let account = || fastrand::choice(&opened.accounts).cloned().unwrap_or_default();
    if let Some(payment) = held {
        let what = fastrand::choice(["capture", "void"]).unwrap_or("void");
        return (format!("/v1/charges/{payment}/{what}"), json!({}));
    }
    match fastrand::u8(0..4) {
        0 => {
            let body = json!({
                "payer": account(), "payee": account(), "amount": fastrand::i64(2..300), "currency": "EUR", "fee": 1
            });
            ("/v1/settlements".to_owned(), body)
        }
        choice => {
            let body = json!({
                "payee": account(), "amount": fastrand::i64(1..500), "currency": "EUR", "instrument": "tok_visa",
                "capture": choice != 1
            });
            ("/v1/charges".to_owned(), body)
        }
    }
}
