//! The protocol suite in `boto3_suite.py`: an SDK that nobody here wrote against the same server.

use crate::cluster::Cluster;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use tokio::process::Command;

const REGIONS: [&str; 3] = ["us-east-1", "us-east-2", "us-west-2"];

/// The Python that has boto3: the one that `SUMZERO_PYTHON` names, a virtual environment beside the test's other files,
/// or the system's.
fn python() -> PathBuf {
    if let Some(named) = std::env::var_os("SUMZERO_PYTHON") {
        return named.into();
    }
    let own = environment().join("bin/python");
    if own.exists() { own } else { "python3".into() }
}

fn environment() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("boto3")
}

#[tokio::test]
async fn the_boto3_suite_passes() {
    let python = python();
    let import = Command::new(&python)
        .args(["-c", "import boto3"])
        .stderr(Stdio::null())
        .status()
        .await;
    let environment = environment();
    let environment = environment.display();
    assert!(
        import.is_ok_and(|status| status.success()),
        "boto3 is missing from {}. Install it with\n    python3 -m venv {environment} && {environment}/bin/pip install \
         boto3\nor name a Python that has it in SUMZERO_PYTHON",
        python.display(),
    );
    let cluster = Cluster::start(&REGIONS).await;
    let endpoints: Vec<String> = REGIONS
        .iter()
        .map(|region| format!("{region}=http://{}", cluster.address(region)))
        .collect();
    let suite = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/dynamodb/boto3_suite.py");
    let output = Command::new(&python)
        .arg(suite)
        .env("DYNAMODB_ENDPOINTS", endpoints.join(","))
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .output()
        .await
        .expect("run the suite");
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}");
    let ran = told
        .lines()
        .find(|line| line.starts_with("Ran "))
        .unwrap_or("Ran 0 tests");
    assert!(!ran.starts_with("Ran 0 "), "the suite ran no test: {told}");
    println!("{ran}");
}
