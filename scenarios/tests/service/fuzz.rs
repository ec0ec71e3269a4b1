//! The API against its own description: schemathesis makes requests of it, good and bad, and holds the answers against it.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::{Value, json};

use crate::system::{Client, Surroundings};

/// What is not checked, and why: a good request may be refused by a rule that no description can state, as of an account that is
/// not there.
const LEFT_OUT: &str = "positive_data_acceptance";

/// Where `tools/test.sh` installs it; elsewhere if `SCHEMATHESIS` says so.
fn program() -> PathBuf {
    let own = Path::new(env!("CARGO_TARGET_TMPDIR")).join("schemathesis/bin/schemathesis");
    let program = std::env::var_os("SCHEMATHESIS").map_or(own, Into::into);
    assert!(
        program.exists(),
        "{} is missing: tools/test.sh installs it",
        program.display()
    );
    program
}

/// Has the API at `url` asked what a description allows, and what it does not; whether every answer was as it says, and what was
/// said about it.
fn fuzz(url: &str, key: &str, folder: &Path, description: &str, examples: u32) -> (bool, String) {
    let done = Command::new(program())
        .args(["--no-color", "--config-file", "schemathesis.toml", "run"])
        .args([
            description,
            "--url",
            url,
            "--header",
            &format!("Authorization: Bearer {key}"),
        ])
        .args(["--phases", "examples,coverage,fuzzing", "--seed", "1"])
        .args(["--max-examples", &examples.to_string(), "--no-shrink"])
        .args(["--exclude-checks", LEFT_OUT, "--continue-on-failure"])
        .args([
            "--generation-database",
            "none",
            "--request-timeout",
            "10",
            "--warnings",
            "off",
        ])
        .current_dir(folder)
        .output()
        .unwrap();
    let said = [done.stdout, done.stderr].concat();
    (done.status.success(), String::from_utf8_lossy(&said).into_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_api_does_what_its_description_says() {
    let surroundings = tokio::task::spawn_blocking(|| Surroundings::start("fsync = off"))
        .await
        .unwrap();
    let process = surroundings.process(&[]);
    let operator = Client::new(process.address, &surroundings.operator_key);
    let accounts = [
        operator.open_account("a-1", "EUR").await,
        operator.open_account("a-2", "EUR").await,
    ];
    let mut payments = Vec::new();
    for number in 0..8 {
        let body = json!({"payee": accounts[0], "amount": 1_000, "currency": "EUR", "instrument": "tok_visa",
                          "capture": number % 2 == 0});
        payments.push(
            operator
                .post("/v1/charges", &format!("c-{number}"), &body)
                .await
                .id("payment_id"),
        );
    }
    let keys: Vec<_> = (0..2_000).map(|number| format!("fuzz-{number}")).collect();
    // Often enough, what is there: by chance alone all answers would be 404, all keys used before.
    let config = format!(
        r#"
[dictionaries]
accounts.values = {accounts:?}
payments.values = {payments:?}
currencies.values = ["EUR"]
amounts.values = [1, 2, 10]
instruments.values = ["tok_visa"]
keys.values = {keys:?}
[parameters]
"header.Idempotency-Key" = {{ dictionary = "keys", probability = 0.8 }}
"path.account_id" = {{ dictionary = "accounts", probability = 0.7 }}
"path.payment_id" = {{ dictionary = "payments", probability = 0.7 }}
"body.payee" = {{ dictionary = "accounts", probability = 0.8 }}
"body.payer" = {{ dictionary = "accounts", probability = 0.8 }}
"body.amount" = {{ dictionary = "amounts", probability = 0.7 }}
"body.currency" = {{ dictionary = "currencies", probability = 0.9 }}
"body.instrument" = {{ dictionary = "instruments", probability = 0.7 }}
"#
    );
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("fuzz-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("schemathesis.toml"), config).unwrap();
    let url = format!("http://{}", process.address);
    let description = format!("{url}/openapi.json");
    let run = |description: &str, examples| {
        tokio::task::block_in_place(|| fuzz(&url, &surroundings.operator_key, &folder, description, examples))
    };

    let (conforms, said) = run(&description, 40);
    assert!(conforms, "{said}");
    let metrics = operator.get("/metrics").await.body;
    // Answers of both kinds were looked at.
    for served in [
        r#"route="/v1/charges",status="201""#,
        r#"route="/v1/settlements",status="202""#,
        r#"route="/v1/accounts/{account_id}/freeze",status="200""#,
        r#"route="/v1/charges/{payment_id}/refund",status="200""#,
        r#"route="/v1/charges",status="400""#,
    ] {
        assert!(metrics.contains(served), "{served} is not in {metrics}");
    }
    assert_eq!(surroundings.faults().await, Vec::<String>::new());

    // The control: a description of another API.
    let mut other: Value = serde_json::from_str(&payments::api::openapi()).unwrap();
    other["components"]["schemas"]["AccountView"]["properties"]["balance"] = json!({"type": "string"});
    let paths = other["paths"].as_object_mut().unwrap();
    paths.retain(|path, _| path == "/v1/accounts/{account_id}");
    fs::write(folder.join("other.json"), other.to_string()).unwrap();
    let (conforms, said) = run("other.json", 5);
    assert!(!conforms && said.contains("Response violates schema"), "{said}");
    fs::remove_dir_all(folder).unwrap();
    assert!(process.terminate());
}
