//! The self-check passes what a seed decides, and finds the place where something else does.

use std::collections::HashMap;
use std::fs::File;
use std::io::BufWriter;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use sumzero_sim::campaign::{SelfCheck, self_check};
use sumzero_sim::trace::{Divergence, Sink};
use sumzero_sim::{Error, Host, World};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};

super::tests![
    what_the_seed_decides_passes,
    a_map_keyed_by_address_is_caught_at_the_first_message,
    a_thread_id_on_the_wire_is_caught_where_it_is_sent,
    a_difference_that_is_only_printed_is_caught,
    a_program_that_tells_nothing_is_refused,
];

fn check(name: &str, seed: u64) -> Result<SelfCheck, Error> {
    self_check(|trace: &Path| {
        let mut command = super::program(name);
        command.args(["--seed", &seed.to_string(), "--trace"]).arg(trace);
        command
    })
}

fn divergence(name: &str) -> Divergence {
    match check(name, 1).unwrap() {
        SelfCheck::Diverged(divergence) => divergence,
        same => panic!("{name}: {same:?}"),
    }
}

/// Programs that are deterministic, or almost.
pub(crate) fn program(name: &str, words: &[String]) {
    let [_, seed, _, trace] = words else {
        panic!("{words:?}");
    };
    if name == "silent" {
        return;
    }
    let what = name.to_owned();
    let trace = Sink::Text(Box::new(BufWriter::new(File::create(trace).unwrap())));
    let world = World::new(seed.parse().unwrap())
        .trace(trace)
        .host(Host::new("listener").ip([10, 0, 0, 1]).run(|| async {
            let listener = TcpListener::bind("0.0.0.0:80").await?;
            let mut kept = Vec::new();
            loop {
                kept.push(listener.accept().await?);
            }
            #[expect(unreachable_code, reason = "it says what the loop may fail with")]
            Ok::<(), std::io::Error>(())
        }))
        .client(Host::new("teller").run(move || tell(what.clone())));
    let outcome = world.run_until_done(Duration::from_secs(60)).unwrap();
    if name == "prints-its-process" {
        println!("process {}", std::process::id());
    }
    println!("trace-hash: {}", outcome.trace_hash);
}

async fn tell(what: String) -> std::io::Result<()> {
    tokio::time::sleep(Duration::from_millis(100)).await;
    let mut stream = TcpStream::connect("10.0.0.1:80").await?;
    stream.write_all(b"hello").await?;
    tokio::time::sleep(Duration::from_secs(1)).await;
    match what.as_str() {
        "address-map" => {
            // The keys of the map's hash come from the seed; the addresses do not.
            let lengths: Vec<Box<usize>> = (1..=8).map(Box::new).collect();
            let map: HashMap<*const usize, usize> = lengths
                .iter()
                .map(|length| (&raw const **length, **length))
                .collect();
            for length in map.values() {
                stream.write_all(&vec![0; *length]).await?;
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        }
        "thread-id" => {
            // SAFETY: the call has no arguments and cannot fail.
            let id = unsafe { libc::gettid() };
            stream.write_all(&id.to_le_bytes()).await?;
        }
        _ => stream.write_all(b"goodbye").await?,
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    Ok(())
}

fn what_the_seed_decides_passes() {
    for seed in 0..20 {
        match check("storm", seed).unwrap() {
            SelfCheck::Same { trace_hash, events } => {
                assert_eq!(trace_hash.len(), 16);
                assert!(events > 100, "{events}");
            }
            SelfCheck::Diverged(divergence) => panic!("seed {seed}: {divergence}"),
        }
    }
    assert!(matches!(
        check("well-behaved", 1).unwrap(),
        SelfCheck::Same { .. }
    ));
}

fn a_map_keyed_by_address_is_caught_at_the_first_message() {
    // Two orders of eight are the same once in 40,320 times.
    let divergence = divergence("address-map");
    assert_eq!(divergence.what, "event");
    let (first, second) = (
        divergence.first.clone().unwrap(),
        divergence.second.clone().unwrap(),
    );
    for text in [&first, &second] {
        assert!(text.contains("teller") && text.contains("send"), "{divergence}");
    }
    assert!(!divergence.before.is_empty());
    assert_ne!(first, second);
}

fn a_thread_id_on_the_wire_is_caught_where_it_is_sent() {
    let divergence = divergence("thread-id");
    assert_eq!(divergence.what, "event");
    let text = divergence.to_string();
    assert!(divergence.first.unwrap().contains("teller"), "{text}");
}

fn a_difference_that_is_only_printed_is_caught() {
    let divergence = divergence("prints-its-process");
    assert_eq!((divergence.what, divergence.number), ("line of output", 1));
    assert!(divergence.first.unwrap().starts_with("process "));
}

fn a_program_that_tells_nothing_is_refused() {
    let error = check("silent", 1).unwrap_err();
    assert!(error.to_string().contains("wrote no trace"), "{error}");
    let error = self_check(|_| Command::new("/no/such/program")).unwrap_err();
    assert!(error.to_string().contains("cannot be started"), "{error}");
    let error = self_check(|trace| {
        let mut command = Command::new("touch");
        command.arg(trace);
        command
    });
    assert!(error.unwrap_err().to_string().contains("trace-hash: HEX"));
}
