//! SQS, EventBridge and routing control driven by boto3, against the services as `sumzero local` serves them.

#![cfg(all(feature = "messaging", feature = "routing"))]

use std::path::Path;

use sumzero_sim::aws::local::{self, Options};
use tokio::process::Command;

const INSTALL: &str = "boto3 is missing. Install it: python3 -m pip install boto3";

#[tokio::test]
async fn the_boto3_suite_passes_against_the_local_services() {
    let import = Command::new("python3")
        .args(["-c", "import boto3"])
        .output()
        .await;
    assert!(import.is_ok_and(|output| output.status.success()), "{INSTALL}");
    let local = local::serve(Options::default()).await.unwrap();
    let suite = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/messaging/boto3_suite.py");
    let output = Command::new("python3")
        .arg(suite)
        .envs(local.environment("us-east-1").unwrap())
        .output()
        .await
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(
        output.status.success(),
        "{}\n{}",
        text(&output.stdout),
        text(&output.stderr)
    );
    println!("{}", text(&output.stdout));
    local.stop().await;
}
