//! The files in `deploy/` and `.github/` as those read them who will: Kubernetes, AWS Batch, GitHub, a shell.

#[path = "../support/mod.rs"]
mod support;

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use support::python;

fn tree() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("deploy-{name}"));
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap();
    folder
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

#[test]
fn the_services_schemas_accept_every_manifest_and_refuse_broken_ones() {
    let output = Command::new(python("botocore, check_jsonschema, kubernetes_validate, yaml"))
        .arg(tree().join("tests/deploy/manifests.py"))
        .current_dir(tree())
        .output()
        .unwrap();
    let told = said(&output);
    assert!(output.status.success(), "{told}");
    assert!(told.contains("Ran ") && !told.contains("Ran 0 tests"), "{told}");
}

/// A part as a machine runs it, with these variables.
fn part(results: &Path, variables: &[(&str, &str)], words: &[&str]) -> Output {
    let program = Path::new(env!("CARGO_BIN_EXE_sumzero")).parent().unwrap();
    let path = format!("{}:/usr/bin:/bin", program.display());
    Command::new(tree().join("deploy/shard"))
        .args(words)
        .env_clear()
        .env("PATH", path)
        .env("RESULTS", results)
        .envs(variables.iter().copied())
        .output()
        .unwrap()
}

#[test]
fn the_parts_of_both_services_are_the_whole() {
    let results = folder("parts");
    let words = ["calm", "--seeds", "2"];
    // Both count from 0.
    let kubernetes = [("JOB_COMPLETION_INDEX", "0"), ("SHARDS", "2")];
    let batch = [
        ("AWS_BATCH_JOB_ARRAY_INDEX", "1"),
        ("AWS_BATCH_JOB_ARRAY_SIZE", "2"),
    ];
    for variables in [kubernetes, batch] {
        let output = part(&results, &variables, &words);
        assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    }
    let merged = results.join("merged");
    let output = Command::new(env!("CARGO_BIN_EXE_sumzero"))
        .args(["merge", "--out"])
        .args([&merged, &results.join("shard-1"), &results.join("shard-2")])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert!(said(&output).contains("2 seeds of 2 shards"), "{}", said(&output));
    let lines = fs::read_to_string(merged.join("results.jsonl")).unwrap();
    assert_eq!(lines.lines().count(), 2);
    let junit = fs::read_to_string(merged.join("junit.xml")).unwrap();
    assert_eq!(
        quick_junit::Report::deserialize_from_str(&junit).unwrap().tests,
        2
    );
    assert!(merged.join("report.html").is_file());
    let twice = Command::new(env!("CARGO_BIN_EXE_sumzero"))
        .arg("merge")
        .args([&results.join("shard-1"), &results.join("shard-1")])
        .output()
        .unwrap();
    assert_eq!(twice.status.code(), Some(2));
    assert!(said(&twice).contains("is there twice"), "{}", said(&twice));
}

#[test]
fn a_part_of_nothing_is_refused() {
    let results = folder("nothing");
    for variables in [
        &[][..],
        &[("SHARDS", "2")],
        &[("JOB_COMPLETION_INDEX", "0")],
        &[("JOB_COMPLETION_INDEX", "2"), ("SHARDS", "2")],
    ] {
        let output = part(&results, variables, &["calm", "--seeds", "1"]);
        assert_eq!(output.status.code(), Some(2), "{variables:?}: {}", said(&output));
        assert!(said(&output).contains("shard"), "{}", said(&output));
    }
    assert_eq!(fs::read_dir(&results).unwrap().count(), 0);
}
