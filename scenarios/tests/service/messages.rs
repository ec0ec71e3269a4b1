//! Events between processes: what is poison stops nobody else, what is lost is sent again, and how much of it all a tenant may
//! ask for.

use std::time::{Duration, Instant};

use scenarios::deliveries::Deliveries;
use serde_json::json;
use tokio::time::sleep;

use crate::system::{Client, Surroundings, sale};

async fn start() -> Surroundings {
    tokio::task::spawn_blocking(|| Surroundings::start("fsync = off"))
        .await
        .unwrap()
}

/// Waits until the deliveries are as they should be.
async fn until(surroundings: &Surroundings, what: &str, good: impl Fn(&Deliveries) -> bool) -> Deliveries {
    let deadline = Instant::now() + Duration::from_secs(60);
    let mut superuser = surroundings.superuser().await;
    loop {
        let deliveries = Deliveries::read(&mut superuser).await.unwrap();
        if good(&deliveries) {
            return deliveries;
        }
        assert!(Instant::now() < deadline, "{what}: {:?}", deliveries.missing());
        sleep(Duration::from_millis(200)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn poison_is_parked_and_stops_its_own_payment_only() {
    let surroundings = start().await;
    let gateway = surroundings.process(&["--roles", "gateway"]);
    let client = Client::new(gateway.address, &surroundings.api_key);
    let shop = client.open_account("a-1", "EUR").await;
    let (bad, good) = (
        client.fund("c-1", &shop, 100).await,
        client.fund("c-2", &shop, 200).await,
    );
    let mut superuser = surroundings.superuser().await;
    let body: String = sqlx::query_scalar("select body from outbox where payment_id = $1::uuid and seq = 1")
        .bind(&bad)
        .fetch_one(&mut superuser)
        .await
        .unwrap();
    let spoil = "update outbox set body = $2 where payment_id = $1::uuid and seq = 1";
    let set = async |superuser: &mut sqlx::PgConnection, body: &str| {
        sqlx::query(spoil)
            .bind(&bad)
            .bind(body)
            .execute(superuser)
            .await
            .unwrap();
    };
    set(&mut superuser, "this is no JSON").await;

    let worker = surroundings.process(&["--roles", "relay,consumer"]);
    let parked = |deliveries: &Deliveries| {
        deliveries.unpublished
            == [
                ((bad.clone(), 1), "parked".to_owned()),
                ((bad.clone(), 2), "pending".to_owned()),
            ]
    };
    let deliveries = until(&surroundings, "parked", parked).await;
    assert_eq!(deliveries.published, [(good.clone(), 1), (good.clone(), 2)]);
    until(&surroundings, "the other one is told", |told| {
        told.volume.captured == 200
    })
    .await;

    // A person puts it right.
    set(&mut superuser, &body).await;
    assert_eq!(
        surroundings.program(&["unpark", "--payment", &bad]),
        "unparked: 1\n"
    );
    let deliveries = until(&surroundings, "all told", |told| told.missing().is_empty()).await;
    assert_eq!(deliveries.volume.captured, 300);
    assert_eq!(deliveries.receipts.len(), 2);
    assert!(worker.terminate() && gateway.terminate());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn garbage_in_a_queue_ends_among_the_dead_letters_and_lost_messages_are_sent_again() {
    let surroundings = start().await;
    let gateway = surroundings.process(&["--roles", "gateway,relay"]);
    let client = Client::new(gateway.address, &surroundings.api_key);
    let shop = client.open_account("a-1", "EUR").await;
    client.fund("c-1", &shop, 100).await;
    let published = |deliveries: &Deliveries| deliveries.published.len() == 2;
    until(&surroundings, "published", published).await;
    // Nobody has consumed yet: a queue loses all that it holds, and gets something that is no event.
    let queue = surroundings.queue("payments-volume");
    queue.receive_and_delete_all().await;
    queue.send("this is no event").await;

    let worker = surroundings.process(&["--roles", "consumer"]);
    until(&surroundings, "the others are told", |told| {
        told.notifications.len() == 2 && told.receipts.len() == 1
    })
    .await;
    let now = Deliveries::read(&mut surroundings.superuser().await)
        .await
        .unwrap();
    assert_eq!(now.volume.captured, 0);
    let reconciler = surroundings.process(&[
        "--roles",
        "reconciler",
        "--reconcile-every",
        "1",
        "--reconcile-age",
        "1",
    ]);
    let deliveries = until(&surroundings, "sent again", |told| told.missing().is_empty()).await;
    assert_eq!(deliveries.volume.captured, 100);
    // What was sent again while it was on its way did nothing twice.
    sleep(Duration::from_secs(2)).await;
    let later = Deliveries::read(&mut surroundings.superuser().await)
        .await
        .unwrap();
    assert_eq!(later, deliveries);
    let letters = surroundings.queue("payments-volume-dead-letters");
    let deadline = Instant::now() + Duration::from_secs(240);
    while letters.bodies().await != ["this is no event"] {
        assert!(Instant::now() < deadline, "still no dead letter");
        sleep(Duration::from_secs(1)).await;
    }
    assert!(reconciler.terminate() && worker.terminate() && gateway.terminate());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_asks_too_often_is_told_when_to_come_back_and_nothing_is_done() {
    let surroundings = start().await;
    let process = surroundings.process(&["--roles", "gateway", "--account-rate", "2"]);
    let client = Client::new(process.address, &surroundings.api_key);
    let (busy, quiet) = (
        client.open_account("a-1", "EUR").await,
        client.open_account("a-2", "EUR").await,
    );
    let mut limited = 0;
    for number in 0..20 {
        let told = client
            .post("/v1/charges", &format!("c-{number}"), &sale(&busy, 10))
            .await;
        if told.status == 429 {
            limited += 1;
            assert_eq!(told.problem(), "/problems/rate-limited");
            assert!(told.retry_after.is_some_and(|seconds| seconds >= 1), "{told:?}");
        } else {
            assert_eq!(told.status, 201, "{told:?}");
        }
    }
    assert!(limited > 0);
    assert_eq!(surroundings.psp.effects().len(), 20 - limited);
    let other = client.post("/v1/charges", "q-1", &sale(&quiet, 10)).await;
    assert_eq!(other.status, 201, "another account is not concerned: {other:?}");

    let tight = surroundings.process(&["--roles", "gateway", "--in-flight-max", "0"]);
    let client = Client::new(tight.address, &surroundings.api_key);
    let shed = client.post("/v1/charges", "s-1", &sale(&quiet, 10)).await;
    assert_eq!(
        (shed.status, shed.problem().as_str()),
        (503, "/problems/unavailable")
    );
    assert!(shed.retry_after.is_some());
    assert_eq!(client.get("/healthz").await.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_load_generator_says_what_it_got() {
    let surroundings = start().await;
    let process = surroundings.process(&[]);
    let url = format!("http://{}", process.address);
    let said = surroundings.program(&[
        "load",
        "--url",
        &url,
        "--api-key",
        &surroundings.api_key,
        "--rate",
        "40",
        "--workers",
        "8",
        "--duration",
        "2",
        "--duplicates",
        "50",
        "--settlements",
        "20",
        "--authorizations",
        "30",
        "--accounts",
        "4",
    ]);
    assert!(said.contains("latency: p50 "), "{said}");
    assert!(said.contains("status 201: "), "{said}");
    assert!(
        said.ends_with("answers that were another the second time: 0\n"),
        "{said}"
    );
    let payments: i64 = sqlx::query_scalar("select count(*) from payment")
        .fetch_one(&mut surroundings.superuser().await)
        .await
        .unwrap();
    assert!((40..=80).contains(&payments), "{payments}: {said}");
    let deliveries = until(&surroundings, "all told", |told| told.missing().is_empty()).await;
    assert!(
        deliveries.notifications.len() >= 80,
        "{}",
        deliveries.notifications.len()
    );
    assert_eq!(json!(deliveries.unpublished), json!([]));
    assert!(process.terminate());
}
