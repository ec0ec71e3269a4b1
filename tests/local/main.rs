//! `sumzero local` as a stranger uses it: started as a process, read, driven by boto3, stopped by a signal.

#[path = "../support/mod.rs"]
mod support;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};

use support::python;

const REGIONS: [&str; 3] = ["us-east-1", "us-east-2", "us-west-2"];

type Variables = BTreeMap<String, String>;

/// A running `sumzero local`; killed if the test ends before it.
struct Local {
    process: Child,
    shared: Variables,
    regions: BTreeMap<String, Variables>,
}

impl Local {
    /// Starts it on free ports and reads what it prints.
    fn start() -> Local {
        let process = Command::new(env!("CARGO_BIN_EXE_sumzero"))
            .args(["local", "--port", "0"])
            .stdout(Stdio::piped())
            .spawn();
        let mut process = process.expect("start");
        let out = BufReader::new(process.stdout.take().expect("its output"));
        let mut blocks: Vec<(String, String)> = Vec::new();
        for line in out.lines().map(|line| line.expect("text")) {
            assert!(line.len() <= 80, "wider than 80 columns: {line}");
            match line.strip_prefix("# ") {
                Some(title) => blocks.push((title.to_owned(), String::new())),
                None => blocks.last_mut().expect("a title first").1 += &(line + "\n"),
            }
            let last = blocks.last().expect("a title first");
            if last.0.contains(REGIONS[2]) && last.1.contains("export DATABASE_URL") {
                // It is all there, in alphabetical order but for this: the last variable of the last Region.
                break;
            }
        }
        let mut blocks = blocks.into_iter();
        let shared = evaluated(&blocks.next().expect("shared").1);
        let regions = REGIONS.iter().zip(blocks);
        let regions = regions.map(|(region, (title, text))| {
            assert!(title.contains(region), "{title}");
            ((*region).to_owned(), evaluated(&text))
        });
        let regions = regions.collect();
        Local {
            process,
            shared,
            regions,
        }
    }

    /// A variable's value in every Region, as `REGION=URL` with commas between.
    fn endpoints(&self, variable: &str) -> String {
        let regions = self.regions.iter();
        let endpoints = regions.map(|(region, variables)| format!("{region}={}", variables[variable]));
        endpoints.collect::<Vec<_>>().join(",")
    }

    fn stop(mut self, signal: &str) -> ExitStatus {
        let id = self.process.id().to_string();
        let sent = Command::new("kill").args(["-s", signal, &id]).status();
        assert!(sent.expect("kill").success());
        self.process.wait().expect("its end")
    }
}

impl Drop for Local {
    fn drop(&mut self) {
        // It has mostly ended by then.
        let _ = self.process.kill();
    }
}

/// What a shell makes of these lines.
fn evaluated(lines: &str) -> Variables {
    let script = format!("env -i sh -c '{}env'", lines.replace('\'', "'\\''"));
    let output = Command::new("sh")
        .args(["-ec", &script])
        .output()
        .expect("a shell");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let text = String::from_utf8(output.stdout).expect("text");
    let pairs = text.lines().filter_map(|line| line.split_once('='));
    pairs
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

fn run(suite: &str, local: &Local, more: &[(&str, String)]) {
    let suite = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/local")
        .join(suite);
    let output = Command::new(python("boto3"))
        .arg(suite)
        .envs(&local.shared)
        .envs(&local.regions[REGIONS[0]])
        .envs(more.iter().map(|(name, value)| (*name, value.as_str())))
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .output()
        .expect("run the suite");
    let told = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(output.status.success(), "{told}");
    assert!(!told.contains("Ran 0 tests"), "{told}");
}

#[test]
fn the_boto3_suite_of_dynamodb_passes() {
    let local = Local::start();
    let endpoints = local.endpoints("AWS_ENDPOINT_URL_DYNAMODB");
    run("dynamodb_suite.py", &local, &[("DYNAMODB_ENDPOINTS", endpoints)]);
}

#[test]
fn the_boto3_suite_of_the_rds_api_passes() {
    let local = Local::start();
    let endpoints = local.endpoints("AWS_ENDPOINT_URL_RDS");
    run("database_suite.py", &local, &[("RDS_ENDPOINTS", endpoints)]);
}

#[test]
fn the_boto3_suite_of_messaging_and_routing_passes() {
    run("messaging_suite.py", &Local::start(), &[]);
}

#[test]
fn both_signals_stop_it_with_status_0() {
    for signal in ["INT", "TERM"] {
        assert_eq!(Local::start().stop(signal).code(), Some(0), "signal {signal}");
    }
}

#[test]
fn bad_input_is_refused_with_status_2_and_a_reason() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("address").port().to_string();
    for (arguments, reason) in [
        (
            &["local", "--port", port.as_str()][..],
            format!("127.0.0.1:{port}"),
        ),
        (&["local", "--regions", "a,a"], "named twice".to_owned()),
        (&["local", "--host", "nowhere"], "invalid IP address".to_owned()),
        (&["elsewhere"], "unrecognized subcommand".to_owned()),
    ] {
        let output = Command::new(env!("CARGO_BIN_EXE_sumzero"))
            .args(arguments)
            .output()
            .expect("run");
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {told}");
        assert!(told.contains(&reason), "{arguments:?}: {told}");
    }
}

#[test]
fn help_fits_80_columns() {
    for arguments in [&["--help"][..], &["local", "--help"]] {
        let output = Command::new(env!("CARGO_BIN_EXE_sumzero"))
            .args(arguments)
            .output()
            .expect("run");
        let told = String::from_utf8_lossy(&output.stdout);
        assert!(told.lines().all(|line| line.len() <= 80), "{told}");
    }
}
