//! What is refused: each with a type of its own, and nothing written.

use serde_json::{Value, json};

use crate::system::{Client, Surroundings, Told, sale, tell};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_mistake_has_its_own_problem_and_writes_nothing() {
    let surroundings = tokio::task::spawn_blocking(|| Surroundings::start("fsync = off"))
        .await
        .unwrap();
    let process = surroundings.process(&[]);
    let client = Client::new(process.address, &surroundings.api_key);
    let operator = Client::new(process.address, &surroundings.operator_key);
    let (account, yen) = (
        client.open_account("a-1", "EUR").await,
        client.open_account("a-2", "JPY").await,
    );
    let frozen = client.open_account("a-3", "EUR").await;
    client
        .post(&format!("/v1/accounts/{frozen}/freeze"), "f-1", &json!({}))
        .await;
    let payment = client.fund("c-1", &account, 100).await;
    let nobody = "00000000-0000-0000-0000-000000000000";

    let count = async || -> i64 {
        let query = "select (select count(*) from request) + (select count(*) from payment) + (select count(*) from leg) \
                     + (select count(*) from outbox) + (select count(*) from account)";
        sqlx::query_scalar(query)
            .fetch_one(&mut surroundings.superuser().await)
            .await
            .unwrap()
    };
    let before = count().await;

    let with = |name: &str, value: Value| {
        let mut body = sale(&account, 10);
        body[name] = value;
        body
    };
    let settle = |payer: &str, payee: &str, amount: i64, fee: i64| json!({"payer": payer, "payee": payee, "amount": amount, "currency": "EUR", "fee": fee});
    let (capture, refund) = (
        format!("/v1/charges/{payment}/capture"),
        format!("/v1/charges/{payment}/refund"),
    );
    let cases: Vec<(&str, Value, u16, &str)> = vec![
        ("/v1/charges", with("amount", json!(0)), 400, "invalid-request"),
        ("/v1/charges", with("amount", json!(-5)), 400, "invalid-request"),
        ("/v1/charges", with("amount", json!(1.5)), 400, "invalid-request"),
        (
            "/v1/charges",
            with("amount", json!(i64::MAX)),
            400,
            "invalid-request",
        ),
        (
            "/v1/charges",
            with("amount", json!(u64::MAX)),
            400,
            "invalid-request",
        ),
        ("/v1/charges", with("amount", json!("10")), 400, "invalid-request"),
        (
            "/v1/charges",
            with("currency", json!("XXX")),
            400,
            "invalid-request",
        ),
        (
            "/v1/charges",
            with("currency", json!("JPY")),
            422,
            "wrong-currency",
        ),
        ("/v1/charges", with("payee", json!(yen)), 422, "wrong-currency"),
        ("/v1/charges", with("payee", json!("x")), 400, "invalid-request"),
        (
            "/v1/charges",
            with("payee", json!(nobody)),
            404,
            "unknown-account",
        ),
        ("/v1/charges", with("payee", json!(frozen)), 409, "account-frozen"),
        (
            "/v1/charges",
            with("instrument", json!("4242424242424242")),
            400,
            "invalid-request",
        ),
        (
            "/v1/charges",
            with("instrument", json!("tok_")),
            400,
            "invalid-request",
        ),
        ("/v1/charges", with("surprise", json!(1)), 400, "invalid-request"),
        ("/v1/charges", json!([]), 400, "invalid-request"),
        (
            "/v1/accounts",
            json!({"currency": "EUR", "overdraft_limit": -1}),
            400,
            "invalid-request",
        ),
        (
            "/v1/settlements",
            settle(&account, &account, 10, 0),
            422,
            "same-account",
        ),
        (
            "/v1/settlements",
            settle(&account, &frozen, 10, 0),
            409,
            "account-frozen",
        ),
        (
            "/v1/settlements",
            settle(&account, &yen, 10, 0),
            422,
            "wrong-currency",
        ),
        (
            "/v1/settlements",
            settle(&account, nobody, 10, 0),
            404,
            "unknown-account",
        ),
        (
            "/v1/settlements",
            settle(&account, &yen, 10, 10),
            400,
            "invalid-request",
        ),
        (
            "/v1/settlements",
            settle(&account, &yen, 10, -1),
            400,
            "invalid-request",
        ),
        (&capture, json!({}), 409, "wrong-state"),
        (&refund, json!({"amount": 101}), 422, "amount-too-large"),
        ("/v1/charges/not-a-payment/void", json!({}), 404, "not-found"),
        ("/v1/accounts/not-an-account/freeze", json!({}), 404, "not-found"),
        ("/v1/nothing", json!({}), 404, "not-found"),
    ];
    for (number, (path, body, status, kind)) in cases.iter().enumerate() {
        let told = client.post(path, &format!("bad-{number}"), body).await;
        assert_eq!(told.status, *status, "{path} {body}: {told:?}");
        assert_eq!(told.problem(), format!("/problems/{kind}"), "{path} {body}");
        assert!(
            !told.body.contains("4242"),
            "a card number is not repeated: {told:?}"
        );
    }

    // Keys, bodies, callers.
    let post = || client.request("POST", "/v1/charges");
    let body = sale(&account, 10);
    for (request, status, kind) in [
        (post().json(&body), 400, "invalid-key"),
        (
            post().header("idempotency-key", "").json(&body),
            400,
            "invalid-key",
        ),
        (
            post().header("idempotency-key", "x".repeat(256)).json(&body),
            400,
            "invalid-key",
        ),
        (
            post().header("idempotency-key", "a b").json(&body),
            400,
            "invalid-key",
        ),
        (
            post()
                .header("idempotency-key", "a")
                .header("idempotency-key", "b")
                .json(&body),
            400,
            "invalid-key",
        ),
        (
            post().header("idempotency-key", "k").body(vec![b' '; 10_000_000]),
            413,
            "too-large",
        ),
        (
            post().header("idempotency-key", "k").body(vec![0xFF, 0xFE]),
            400,
            "invalid-request",
        ),
        (
            post().header("idempotency-key", "k").body("{\"amount\": 1"),
            400,
            "invalid-request",
        ),
        (
            post()
                .header("idempotency-key", "k")
                .header("content-type", "text/xml")
                .body("<a/>"),
            415,
            "unsupported-media-type",
        ),
        (client.request("PATCH", "/v1/charges"), 405, "method-not-allowed"),
        (
            Client::new(process.address, "no such key").request("GET", "/v1/payments/x"),
            401,
            "unauthorized",
        ),
        (client.request("GET", "/v1/limbo"), 403, "forbidden"),
        (
            client.request("GET", &format!("/v1/accounts/{account}/statement?limit=0")),
            400,
            "invalid-request",
        ),
        (
            client.request("GET", &format!("/v1/accounts/{account}/statement?limit=x")),
            400,
            "invalid-request",
        ),
        (
            client.request("GET", &format!("/v1/accounts/{nobody}")),
            404,
            "not-found",
        ),
        (
            client.request("POST", "/v1/webhooks/psp").body("{}"),
            401,
            "invalid-signature",
        ),
        (
            client
                .request("POST", "/v1/webhooks/psp")
                .header("psp-signature", "t=1,v1=00")
                .body("{}"),
            401,
            "invalid-signature",
        ),
    ] {
        let told = refused(request).await;
        assert_eq!(
            (told.status, told.problem()),
            (status, format!("/problems/{kind}")),
            "{told:?}"
        );
    }
    assert_eq!(operator.get("/v1/limbo").await.json(), json!([]));

    // Another tenant's things do not exist: 404, not 403.
    let other = add_tenant(&surroundings).await;
    let other = Client::new(process.address, &other);
    for path in [
        format!("/v1/accounts/{account}"),
        format!("/v1/payments/{payment}"),
        format!("/v1/payments/{payment}/trace"),
    ] {
        assert_eq!(other.get(&path).await.status, 404, "{path}");
    }
    let told = other.post("/v1/charges", "k-1", &sale(&account, 10)).await;
    assert_eq!(
        (told.status, told.problem().as_str()),
        (404, "/problems/unknown-account")
    );
    let told = other.post(&refund, "k-2", &json!({})).await;
    assert_eq!(
        (told.status, told.problem().as_str()),
        (404, "/problems/unknown-payment")
    );

    // An expired API key.
    let expire = sqlx::query("update api_key set expires_at = now() - interval '1 second'");
    expire.execute(&mut surroundings.superuser().await).await.unwrap();
    let fresh = surroundings.process(&[]);
    let told = Client::new(fresh.address, &surroundings.api_key)
        .get(&format!("/v1/payments/{payment}"))
        .await;
    assert_eq!(
        (told.status, told.problem().as_str()),
        (401, "/problems/unauthorized")
    );

    assert_eq!(count().await, before, "something was written");
    assert_eq!(surroundings.psp.effects().len(), 1);
    assert_eq!(surroundings.faults().await, Vec::<String>::new());
}

/// Another tenant's API key.
async fn add_tenant(surroundings: &Surroundings) -> String {
    let done = surroundings.program(&["tenant", "--name", "another"]);
    done.lines()
        .find_map(|line| line.strip_prefix("api-key: "))
        .unwrap()
        .to_owned()
}

/// What a request is told that is refused. Whoever is refused before the whole body is sent may find the connection closed and
/// not see why; then it asks again, as any client does.
async fn refused(request: reqwest::RequestBuilder) -> Told {
    let mut told = tell(request.try_clone().unwrap()).await;
    for _ in 0..20 {
        if told.is_ok() {
            break;
        }
        told = tell(request.try_clone().unwrap()).await;
    }
    told.unwrap()
}
