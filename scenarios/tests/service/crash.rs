//! Two processes are killed at random moments under load, in turn, and started again. In the end, what the provider took is what the
//! ledger says, and whoever was told that a payment succeeded finds it.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use scenarios::externals::{Behaviour, Effect, Kind};
use serde_json::{Value, json};
use sqlx::Row;
use tokio::time::sleep;

use crate::system::{Client, Process, Surroundings, Told, sale, unreliable};

/// Clients at a time.
const CLIENTS: u64 = 16;
/// Processes that serve them.
const PROCESSES: usize = 2;

/// What clients do and what they were told: shared by all of them.
#[derive(Default)]
struct Shop {
    clients: Mutex<Vec<Client>>,
    stop: AtomicBool,
    next: AtomicU64,
    /// Requests with their final answers.
    told: Mutex<BTreeMap<String, (String, Value, Told)>>,
    /// How often clients heard what.
    heard: Mutex<BTreeMap<String, u32>>,
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
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_random_moments_it_loses_nothing_and_takes_nothing_twice() {
    let kills: u32 =
        std::env::var("PAYMENTS_TEST_KILLS").map_or(200, |kills| kills.parse().expect("a number"));
    let surroundings = tokio::task::spawn_blocking(|| Surroundings::start("fsync = on"))
        .await
        .unwrap();
    let shop = Arc::new(Shop::default());
    let start = || {
        let process = surroundings.process(&[]);
        let client = Client::new(process.address, &surroundings.api_key);
        (process, client)
    };
    let (mut processes, clients): (Vec<_>, Vec<_>) = (0..PROCESSES).map(|_| start()).unzip();
    *shop.clients.lock().unwrap() = clients;
    let mut accounts = Vec::new();
    for number in 0..4 {
        accounts.push(
            shop.client()
                .open_account(&format!("account-{number}"), "EUR")
                .await,
        );
    }
    surroundings.psp.behave(unreliable());
    surroundings.kyc.behave(unreliable());
    let traders: Vec<_> = (0..CLIENTS)
        .map(|number| {
            let (shop, accounts) = (shop.clone(), accounts.clone());
            let (buyer, seller) = ((number % 4) as usize, ((number + 1) % 4) as usize);
            tokio::spawn(async move { shop.trade(&accounts[buyer], &accounts[seller]).await })
        })
        .collect();
    for number in 0..kills {
        sleep(Duration::from_millis(fastrand::u64(100..500))).await;
        let place = number as usize % PROCESSES;
        let (process, client) = tokio::task::block_in_place(|| {
            processes.remove(place).kill();
            start()
        });
        processes.insert(place, process);
        shop.clients.lock().unwrap()[place] = client;
    }
    // The last faults are over; everything must come to its end.
    surroundings.psp.behave(Behaviour::default());
    surroundings.kyc.behave(Behaviour::default());
    shop.stop.store(true, Ordering::Relaxed);
    for trader in traders {
        trader.await.unwrap();
    }
    quiesce(&surroundings).await;

    assert_eq!(surroundings.faults().await, Vec::<String>::new());
    let effects = surroundings.psp.effects();
    assert_eq!(differences(&surroundings, &effects).await, Vec::<String>::new());
    // Everybody who was told something is told the same again.
    let told = std::mem::take(&mut *shop.told.lock().unwrap());
    for (key, (path, body, first)) in &told {
        let again = shop.client().post(path, key, body).await;
        // Refusals are decided anew; what was begun is answered for good.
        if first.status < 300 || first.status == 402 {
            assert_eq!(again, *first, "{path} {key}");
        }
    }
    assert!(processes.into_iter().all(Process::terminate));
    println!(
        "{kills} kills, {} answers, {} effects at the provider; clients heard {:?}",
        told.len(),
        effects.len(),
        shop.heard.lock().unwrap()
    );

    // The comparison can fail: an effect too many, one too few.
    let mut twice = effects.clone();
    twice.push(effects[0].clone());
    assert!(!differences(&surroundings, &twice).await.is_empty());
    assert!(!differences(&surroundings, &effects[1..]).await.is_empty());
}

async fn quiesce(surroundings: &Surroundings) {
    let deadline = Instant::now() + Duration::from_secs(60);
    let mut superuser = surroundings.superuser().await;
    loop {
        let query = "select count(*) from operation where state = 'pending'";
        let pending: i64 = sqlx::query_scalar(query).fetch_one(&mut superuser).await.unwrap();
        if pending == 0 {
            return;
        }
        assert!(
            Instant::now() < deadline,
            "{pending} operations are still pending"
        );
        sleep(Duration::from_millis(100)).await;
    }
}

/// Where the provider and the ledger disagree.
async fn differences(surroundings: &Surroundings, effects: &[Effect]) -> Vec<String> {
    let mut differences = Vec::new();
    let mut seen = BTreeSet::new();
    for effect in effects {
        if !seen.insert(&effect.key) {
            differences.push(format!("the provider did {} twice", effect.key));
        }
    }
    let mut did: BTreeMap<(String, Kind), i64> = BTreeMap::new();
    for effect in effects {
        *did.entry((effect.payment.clone(), effect.kind)).or_default() += effect.amount;
    }
    let done = |payment: &str, kind| did.get(&(payment.to_owned(), kind)).copied().unwrap_or_default();
    let query = "select payment_id::text, kind, state, amount - fee as net, captured, refunded from payment";
    let rows = sqlx::query(query)
        .fetch_all(&mut surroundings.superuser().await)
        .await
        .unwrap();
    for row in &rows {
        let payment: String = row.get("payment_id");
        let settled =
            row.get::<String, _>("kind") == "settlement" && row.get::<String, _>("state") == "settled";
        let paid_out = if settled { row.get::<i64, _>("net") } else { 0 };
        for (what, ledger, provider) in [
            (
                "captured",
                row.get("captured"),
                done(&payment, Kind::Sale) + done(&payment, Kind::Capture),
            ),
            ("refunded", row.get("refunded"), done(&payment, Kind::Refund)),
            ("paid out", paid_out, done(&payment, Kind::Payout)),
        ] {
            if ledger != provider {
                differences.push(format!(
                    "payment {payment}: the ledger has {ledger} {what}, the provider {provider}"
                ));
            }
        }
    }
    let known: BTreeSet<String> = rows.iter().map(|row| row.get("payment_id")).collect();
    for (payment, _) in did.keys().filter(|(payment, _)| !known.contains(payment)) {
        differences.push(format!(
            "the provider knows of payment {payment}, the ledger does not"
        ));
    }
    differences
}
