//! Clients of several processes: they trade at random, insist on an answer, and remember what they were told.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use scenarios::{
    history::{Books, History},
    properties::{Violation, judge},
    script::Limits,
};
use serde_json::{Value, json};
use tokio::{task::JoinHandle, time::sleep};

use crate::system::{Client, Surroundings, Told, sale};

/// What clients do and what they were told: shared by all of them.
#[derive(Default)]
pub(crate) struct Shop {
    pub(crate) clients: Mutex<Vec<Client>>,
    stop: AtomicBool,
    next: AtomicU64,
    /// Requests with their final answers.
    told: Mutex<BTreeMap<String, (String, Value, Told)>>,
    /// How often clients heard what.
    pub(crate) heard: Mutex<BTreeMap<String, u32>>,
}

impl Shop {
    fn client(&self) -> Client {
        let clients = self.clients.lock().unwrap();
        fastrand::choice(clients.iter())
            .expect("processes were started")
            .clone()
    }

    /// Asks until there is a final answer, under the same key all the time: what a careful client does.
    async fn insist(&self, path: &str, body: &Value) -> Told {
        let key = format!("key-{}", self.next.fetch_add(1, Ordering::Relaxed));
        let started = Instant::now();
        loop {
            assert!(
                started.elapsed() < Duration::from_secs(120),
                "no final answer to {path} {key}"
            );
            let told = self.client().try_post(path, &key, body).await;
            let what = match &told {
                Ok(told) if told.status < 400 => told.status.to_string(),
                Ok(told) => format!("{} {}", told.status, told.problem()),
                Err(_) => "no answer".to_owned(),
            };
            *self.heard.lock().unwrap().entry(what).or_default() += 1;
            match told {
                // In flight, or down: come back.
                Ok(told) if told.status == 503 || (told.status == 409 && told.retry_after.is_some()) => {
                    sleep(Duration::from_millis(fastrand::u64(20..200))).await;
                }
                Ok(told) => {
                    assert!(told.status < 500, "{path}: {told:?}");
                    let kept = (path.to_owned(), body.clone(), told.clone());
                    self.told.lock().unwrap().insert(key, kept);
                    return told;
                }
                // Killed while it worked on it, or not up yet.
                Err(_) => sleep(Duration::from_millis(fastrand::u64(20..100))).await,
            }
        }
    }

    /// A customer's day, over and over.
    async fn trade(&self, buyer: &str, seller: &str) {
        while !self.stop.load(Ordering::Relaxed) {
            match fastrand::u8(0..4) {
                0 => {
                    self.insist("/v1/charges", &sale(buyer, fastrand::i64(1..500)))
                        .await;
                }
                1 => {
                    let mut hold = sale(seller, fastrand::i64(2..500));
                    hold["capture"] = json!(false);
                    let held = self.insist("/v1/charges", &hold).await;
                    if held.status != 201 {
                        continue;
                    }
                    let charge = format!("/v1/charges/{}", held.id("payment_id"));
                    self.insist(&format!("{charge}/capture"), &json!({"amount": 1}))
                        .await;
                    self.insist(
                        &format!("{charge}/{}", if fastrand::bool() { "void" } else { "capture" }),
                        &json!({}),
                    )
                    .await;
                    self.insist(&format!("{charge}/refund"), &json!({})).await;
                }
                _ => {
                    let body = json!({
                        "payer": buyer, "payee": seller, "amount": fastrand::i64(10..300), "currency": "EUR", "fee": 3
                    });
                    self.insist("/v1/settlements", &body).await;
                }
            }
        }
    }

    /// Opens accounts and has so many clients trade.
    pub(crate) async fn open(self: &Arc<Self>, clients: u64) -> Vec<JoinHandle<()>> {
        let mut accounts = Vec::new();
        for number in 0..4 {
            let opened = self.insist("/v1/accounts", &json!({"currency": "EUR"})).await;
            assert_eq!(opened.status, 201, "account {number}: {opened:?}");
            accounts.push(opened.id("account_id"));
        }
        let traders = (0..clients).map(|number| {
            let (shop, accounts) = (self.clone(), accounts.clone());
            let (buyer, seller) = ((number % 4) as usize, ((number + 1) % 4) as usize);
            tokio::spawn(async move { shop.trade(&accounts[buyer], &accounts[seller]).await })
        });
        traders.collect()
    }

    /// Waits until all has come to its end, and holds what happened against what must be true: of the books, of the provider, of
    /// what everybody was told and is told again. What happened, and how many answers there were.
    pub(crate) async fn close(
        &self,
        traders: Vec<JoinHandle<()>>,
        surroundings: &Surroundings,
    ) -> (History, usize) {
        self.stop.store(true, Ordering::Relaxed);
        for trader in traders {
            trader.await.unwrap();
        }
        quiesce(surroundings).await;
        let books = Books::read(&mut surroundings.superuser().await).await.unwrap();
        let history = History {
            effects: surroundings.psp.effects(),
            books: Some(books),
            ..History::default()
        };
        assert_eq!(verdict(&history), []);
        let told = std::mem::take(&mut *self.told.lock().unwrap());
        for (key, (path, body, first)) in &told {
            let again = self.client().post(path, key, body).await;
            // Refusals are decided anew; what was begun is answered for good.
            if first.status < 300 || first.status == 402 {
                assert_eq!(again, *first, "{path} {key}");
            }
        }
        (history, told.len())
    }
}

/// Waits until clients have heard so many answers since, or for 3 s: so that a slow machine kills no less at random, and no
/// process before it has done anything.
pub(crate) async fn await_answers(shop: &Shop, count: u32) {
    let heard = || -> u32 {
        let heard = shop.heard.lock().unwrap();
        let answers = heard
            .iter()
            .filter(|(what, _)| *what != "no answer" && !what.contains("in-flight"));
        answers.map(|(_, times)| times).sum()
    };
    let (before, started) = (heard(), Instant::now());
    while heard() < before + count && started.elapsed() < Duration::from_secs(3) {
        sleep(Duration::from_millis(5)).await;
    }
    sleep(Duration::from_millis(fastrand::u64(0..100))).await;
}

/// All properties but the one of the telemetry: what these processes say of themselves is not recorded.
pub(crate) fn verdict(history: &History) -> Vec<Violation> {
    let violations = judge(history, &Limits::default()).into_iter();
    violations
        .filter(|violation| violation.property != "telemetry")
        .collect()
}

/// Waits until every operation is settled and every event has reached everybody.
async fn quiesce(surroundings: &Surroundings) {
    let deadline = Instant::now() + Duration::from_secs(120);
    let mut superuser = surroundings.superuser().await;
    loop {
        let books = Books::read(&mut superuser).await.unwrap();
        let undelivered = books
            .deliveries
            .missing()
            .into_iter()
            .map(|missing| missing.to_string());
        let pending = books.pending().map(|operation| operation.key.clone());
        let unfinished: Vec<_> = pending.chain(undelivered).collect();
        if unfinished.is_empty() {
            return;
        }
        assert!(Instant::now() < deadline, "{unfinished:#?}");
        sleep(Duration::from_secs(1)).await;
    }
}
