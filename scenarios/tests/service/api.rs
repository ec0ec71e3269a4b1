//! The API as a client finds it.

use payments::api::openapi;
use serde_json::json;

use crate::system::{Client, Surroundings, sale};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn charges_settlements_and_their_stories() {
    let surroundings = tokio::task::spawn_blocking(|| Surroundings::start("fsync = off"))
        .await
        .unwrap();
    let process = surroundings.process(&[]);
    let client = Client::new(process.address, &surroundings.api_key);
    let (buyer, seller) = (
        client.open_account("a-1", "EUR").await,
        client.open_account("a-2", "EUR").await,
    );

    // A charge, and every retry of it.
    let body = json!({"payee": buyer, "amount": 1000, "currency": "EUR", "instrument": "tok_visa"});
    let first = client.post("/v1/charges", "c-1", &body).await;
    assert_eq!(
        (first.status, &first.json()["state"]),
        (201, &json!("authorized")),
        "{first:?}"
    );
    let again = client.post("/v1/charges", "c-1", &body).await;
    assert_eq!(again, first);
    let other = client.post("/v1/charges", "c-1", &sale(&buyer, 2000)).await;
    assert_eq!(
        (other.status, other.problem().as_str()),
        (422, "/problems/key-reused")
    );
    assert_eq!(surroundings.psp.effects().len(), 1);

    let payment = first.id("payment_id");
    let part = client
        .post(
            &format!("/v1/charges/{payment}/capture"),
            "c-2",
            &json!({"amount": 900}),
        )
        .await;
    assert_eq!(
        (part.status, &part.json()["captured"]),
        (200, &json!(900)),
        "{part:?}"
    );
    let void = client
        .post(&format!("/v1/charges/{payment}/void"), "c-3", &json!({}))
        .await;
    assert_eq!(
        (void.status, &void.json()["state"]),
        (200, &json!("captured")),
        "{void:?}"
    );
    let refund = client
        .post(
            &format!("/v1/charges/{payment}/refund"),
            "c-4",
            &json!({"amount": 100}),
        )
        .await;
    assert_eq!(refund.json()["refunded"], 100, "{refund:?}");
    assert_eq!(
        client.get(&format!("/v1/accounts/{buyer}")).await.json()["balance"],
        800
    );

    // A settlement runs by itself once it is accepted.
    let body = json!({"payer": buyer, "payee": seller, "amount": 500, "currency": "EUR", "fee": 15});
    let accepted = client.post("/v1/settlements", "s-1", &body).await;
    assert_eq!(
        (accepted.status, &accepted.json()["state"]),
        (202, &json!("verifying")),
        "{accepted:?}"
    );
    let settlement = accepted.id("payment_id");
    let mut story = client
        .get(&format!("/v1/payments/{settlement}/trace"))
        .await
        .json();
    for _ in 0..100 {
        if story["payment"]["state"] == "settled" {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        story = client
            .get(&format!("/v1/payments/{settlement}/trace"))
            .await
            .json();
    }
    let steps: Vec<_> = story["steps"]
        .as_array()
        .unwrap()
        .iter()
        .map(|step| step["event"].clone())
        .collect();
    assert_eq!(
        steps,
        ["payment.verifying", "payment.released", "payment.settled"],
        "{story:#}"
    );
    assert!(
        story["steps"]
            .as_array()
            .unwrap()
            .iter()
            .all(|step| step["region"] == "us-east-1" && step["epoch"] == 1)
    );
    let kinds: Vec<_> = surroundings
        .psp
        .effects()
        .iter()
        .map(|effect| effect.amount)
        .collect();
    assert_eq!(kinds, [1000, 900, 100, 100, 485]);
    assert_eq!(surroundings.kyc.effects().len(), 1);
    // The retry gets the first answer, not the present state.
    assert_eq!(client.post("/v1/settlements", "s-1", &body).await, accepted);

    // The statement, page by page.
    let page = client
        .get(&format!("/v1/accounts/{buyer}/statement?limit=2"))
        .await
        .json();
    assert_eq!(page["entries"].as_array().unwrap().len(), 2);
    let next = client
        .get(&format!(
            "/v1/accounts/{buyer}/statement?limit=200&before={}",
            page["next"]
        ))
        .await
        .json();
    assert_eq!(next["next"], json!(null));
    let places = [&page, &next]
        .map(|page| page["entries"].as_array().unwrap().clone())
        .concat();
    let places: Vec<_> = places
        .iter()
        .map(|entry| entry["version"].as_i64().unwrap())
        .collect();
    let expected: Vec<_> = (1..=places.len() as i64).rev().collect();
    assert_eq!(places, expected);

    let metrics = client.get("/metrics").await;
    let line = "http_requests_total{route=\"/v1/charges\",status=\"201\"} 2";
    assert!(metrics.body.contains(line), "{}", metrics.body);
    assert_eq!(client.get("/healthz").await.status, 200);
    assert_eq!(client.get("/readyz").await.status, 200);
    assert_eq!(surroundings.faults().await, Vec::<String>::new());
    assert!(process.terminate());
}

#[test]
fn the_description_that_is_checked_in_is_the_one_that_is_served() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../system/openapi.json");
    if std::env::var_os("PAYMENTS_WRITE_OPENAPI").is_some() {
        std::fs::write(path, openapi()).unwrap();
    }
    let kept = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        kept == openapi(),
        "system/openapi.json is old. Write it with PAYMENTS_WRITE_OPENAPI=1 and this test"
    );
}
