//! Clients that insist: the same request under the same key until there is an answer.
//!
//! Every other client asks where DNS sends it, and anywhere once a gateway did not answer. The rest ask at any gateway, as programs
//! do that have looked a name up once and for all: where two Regions believe that they write, somebody has to ask both.

use std::{error::Error, time::Duration};

use serde_json::Value;
use sumzero_sim::{Host, here};
use tokio::time::{Instant, sleep};

use crate::{
    history::{Attempt, Told},
    script::{Retry, Script},
};

use super::{
    Notes, Opened,
    arc::Names,
    network::{self, ELSEWHERE, Gateway, HTTP, REGIONS, at},
    trade::{Asked, Meanwhile, Trader},
};

/// After that a client gives up: nobody has answered for long after the last fault.
const INSISTS_FOR: Duration = Duration::from_secs(900);
/// A rival comes while the first is under way: asking takes about as long.
const RIVAL_WITHIN: Duration = Duration::from_millis(400);

/// A client of all gateways.
#[derive(Clone)]
pub(super) struct Client {
    http: reqwest::Client,
    name: String,
    gateways: u8,
    retry: Retry,
    api_key: String,
    /// What it knows from DNS, if it looks.
    names: Option<Names>,
    /// Where attempts are noted, if they are part of the workload.
    notes: Option<Notes>,
}

/// What came of asking once.
struct Heard {
    status: u16,
    retry_after: Option<u64>,
    body: String,
}

impl Client {
    pub(super) fn new(
        name: &str,
        script: &Script,
        api_key: &str,
        notes: Option<&Notes>,
    ) -> Result<Self, reqwest::Error> {
        let http = reqwest::Client::builder()
            .no_proxy()
            .timeout(script.workload.patience)
            .build()?;
        Ok(Self {
            http,
            name: name.to_owned(),
            gateways: script.gateways,
            retry: script.workload.retry,
            api_key: api_key.to_owned(),
            names: None,
            notes: notes.cloned(),
        })
    }

    /// The same client, sent where DNS says.
    fn looking(self) -> Self {
        let names = Names::default();
        tokio::spawn(names.clone().follow());
        Self {
            names: Some(names),
            ..self
        }
    }

    /// A gateway by chance: where DNS sends the client, or anywhere.
    fn gateway(&self, anywhere: bool) -> Gateway {
        let names = self.names.as_ref().filter(|_| !anywhere);
        let region = names.map_or_else(|| fastrand::usize(..REGIONS.len()), Names::region);
        network::gateway(region, fastrand::u8(0..self.gateways))
    }

    /// One attempt: the answer, if one came.
    async fn ask(&self, key: &str, path: &str, body: &Value, anywhere: bool) -> Option<Heard> {
        let gateway = self.gateway(anywhere);
        let (at_nanos, started) = (now_nanos(), Instant::now());
        let heard = self.hear(gateway.ip, key, path, body).await;
        if let Some(notes) = &self.notes {
            notes.lock().history.attempts.push(Attempt {
                key: key.to_owned(),
                client: self.name.clone(),
                gateway: gateway.name,
                at_nanos,
                took: started.elapsed(),
                status: heard.as_ref().map(|heard| heard.status),
            });
        }
        heard
    }

    /// Asks once, for whoever will come again anyway.
    pub(super) async fn once(&self, asked: &Asked) {
        self.ask(&asked.key, &asked.path, &asked.body, false).await;
    }

    /// Reads something, at any gateway; nothing if that fails.
    pub(super) async fn get(&self, path: &str) -> Option<String> {
        let gateway = self.gateway(false);
        let url = format!("http://{}{path}", at(gateway.ip, HTTP));
        let response = self.http.get(url).bearer_auth(&self.api_key).send().await.ok()?;
        response.error_for_status().ok()?.text().await.ok()
    }

    async fn hear(&self, gateway: std::net::Ipv4Addr, key: &str, path: &str, body: &Value) -> Option<Heard> {
        let request = self
            .http
            .post(format!("http://{}{path}", at(gateway, HTTP)))
            .bearer_auth(&self.api_key)
            .header("idempotency-key", key)
            .json(body);
        let response = request.send().await.ok()?;
        let retry_after = response.headers().get("retry-after");
        let retry_after = retry_after.and_then(|value| value.to_str().ok()?.parse().ok());
        Some(Heard {
            status: response.status().as_u16(),
            retry_after,
            body: response.text().await.ok()?,
        })
    }

    /// Whether the world is over for clients.
    fn is_closed(&self) -> bool {
        self.notes.as_ref().is_some_and(|notes| notes.lock().closed)
    }

    /// Asks until there is an answer that is one: not "in flight", not "down", not "too many".
    pub(super) async fn insist(&self, asked: &Asked, limit: Duration) -> Option<Told> {
        let started = Instant::now();
        let (mut attempts, mut answered) = (0, true);
        while started.elapsed() < limit && !self.is_closed() {
            attempts += 1;
            let heard = self.ask(&asked.key, &asked.path, &asked.body, !answered).await;
            answered = heard.is_some();
            let retry_after = match heard {
                Some(heard) if heard.status < 500 && heard.retry_after.is_none() => {
                    return Some(Told {
                        key: asked.key.clone(),
                        path: asked.path.clone(),
                        asked: asked.body.clone(),
                        status: heard.status,
                        body: heard.body,
                        took: started.elapsed(),
                        attempts,
                        at_nanos: now_nanos(),
                    });
                }
                Some(heard) => heard.retry_after,
                None => None,
            };
            let pause = match self.retry {
                // As it was told, but not all clients at once.
                Retry::Told => {
                    Duration::from_secs(retry_after.unwrap_or(1).min(10)).mul_f64(0.5 + fastrand::f64())
                }
                // Not within the same instant: even a client in a hurry needs time to ask.
                Retry::AtOnce => Duration::from_millis(500),
            };
            sleep(pause).await;
        }
        None
    }
}

fn now_nanos() -> u64 {
    here().map_or(0, |here| here.at.as_nanos())
}

pub(super) fn host(number: u8, script: &Script, notes: &Notes) -> Host {
    let (script, notes) = (script.clone(), notes.clone());
    let name = format!("client-{number}");
    Host::new(name.clone()).region(ELSEWHERE).run(move || {
        let (script, notes, name) = (script.clone(), notes.clone(), name.clone());
        async move {
            let opened = loop {
                let opened = notes.lock().opened.clone();
                match opened {
                    Some(opened) => break opened,
                    None => sleep(Duration::from_millis(500)).await,
                }
            };
            let mut client = Client::new(&name, &script, &opened.api_key, Some(&notes))?;
            if number.is_multiple_of(2) {
                client = client.looking();
            }
            trade(&client, &script, opened, &notes).await;
            notes.lock().clients_done += 1;
            Ok::<_, Box<dyn Error + Send + Sync>>(())
        }
    })
}

/// A client's requests, one after the other. What one answer allows is what the next one asks for.
async fn trade(client: &Client, script: &Script, opened: Opened, notes: &Notes) {
    let workload = &script.workload;
    let mut trader = Trader::new(&client.name, workload.clone(), opened.accounts);
    let pace = workload.over.mul_f64(1.0 / f64::from(workload.requests.max(1)));
    for number in 0..workload.requests {
        sleep(pace.mul_f64(fastrand::f64())).await;
        if client.is_closed() {
            return;
        }
        let asked = trader.next(number);
        let asking = client.insist(&asked, INSISTS_FOR);
        let told = match &asked.meanwhile {
            Meanwhile::Nothing => asking.await,
            Meanwhile::Same => {
                let (told, other) = tokio::join!(asking, client.insist(&asked, INSISTS_FOR));
                notes.lock().history.told.extend(other);
                told
            }
            Meanwhile::Rival(rival) => {
                let (told, other) = tokio::join!(asking, async {
                    sleep(RIVAL_WITHIN.mul_f64(fastrand::f64())).await;
                    client.insist(rival, INSISTS_FOR).await
                });
                match &other {
                    Some(other) => trader.learn(rival, other),
                    None => notes.lock().history.unanswered.push(rival.key.clone()),
                }
                notes.lock().history.told.extend(other);
                told
            }
        };
        let Some(told) = told else {
            notes.lock().history.unanswered.push(asked.key);
            continue;
        };
        trader.learn(&asked, &told);
        notes.lock().history.told.push(told);
    }
}
