//! A world of three hosts in three Regions, with faults of every kind at random: its seed decides everything.
//!
//! Each host keeps a counter on its disk and every so often tells another one about it, over a connection of its own or a kept one,
//! with time-outs and retries; so kills, pauses, cuts and crooked clocks all have something to bite.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::BufWriter;
use std::num::NonZeroUsize;
use std::ops::{ControlFlow, Range};
use std::process::{Child, Stdio};
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use sumzero_sim::campaign::{Campaign, Fate, SeedResult};
use sumzero_sim::net::Traffic;
use sumzero_sim::trace::Sink;
use sumzero_sim::{Disk, Error, Fault, Host, Outcome, Plan, Seed, Skew, Stream, TraceHash, World};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

super::tests![
    a_thousand_seeds_are_the_same_in_two_processes,
    every_kind_of_fault_bites,
];

const HOSTS: [(&str, &str, [u8; 4]); 3] = [
    ("one", "us-east-1", [10, 0, 0, 1]),
    ("two", "us-west-2", [10, 0, 1, 1]),
    ("three", "eu-west-1", [10, 0, 2, 1]),
];
const PORT: u16 = 7000;

/// `--seeds A..B --jobs N` prints each seed's result; `--seed N --trace FILE` runs one.
pub(crate) fn program(words: &[String]) {
    let value = |name: &str| {
        let place = words.iter().position(|word| word == name);
        place.map(|place| words[place + 1].as_str())
    };
    if let Some(seeds) = value("--seeds") {
        let (from, to) = seeds.split_once("..").unwrap();
        let jobs: NonZeroUsize = value("--jobs").unwrap().parse().unwrap();
        return campaign(from.parse().unwrap()..to.parse().unwrap(), jobs);
    }
    let sink = match value("--trace") {
        Some(file) => Sink::Text(Box::new(BufWriter::new(File::create(file).unwrap()))),
        None => Sink::Off,
    };
    let outcome = run(value("--seed").unwrap().parse().unwrap(), sink).unwrap();
    println!("trace-hash: {}", outcome.trace_hash);
}

#[derive(Debug, Serialize, Deserialize)]
struct Told {
    hash: TraceHash,
    events: u64,
    bitten: Vec<String>,
}

fn campaign(seeds: Range<u64>, jobs: NonZeroUsize) {
    let run = |seed| {
        let outcome = run(seed, Sink::Off).map_err(|error| error.to_string())?;
        let planned = plan(seed).faults.into_iter().zip(outcome.faults);
        let bitten = planned.filter(|(_, report)| report.bites > 0);
        Ok(Told {
            hash: outcome.trace_hash,
            events: outcome.events,
            bitten: bitten.map(|(planned, _)| kind(&planned.fault)).collect(),
        })
    };
    let each = |result: SeedResult<Result<Told, String>>| {
        println!("{} {}", result.seed, serde_json::to_string(&result.fate).unwrap());
        ControlFlow::Continue(())
    };
    Campaign::new(seeds).jobs(jobs).run(run, each).unwrap();
}

/// The fault's name in a plan.
fn kind(fault: &Fault) -> String {
    let value = serde_json::to_value(fault).unwrap();
    value.as_object().unwrap().keys().next().unwrap().clone()
}

/// Sixty seconds of it.
fn run(seed: u64, sink: Sink) -> Result<Outcome, Error> {
    let mut world = World::new(seed).plan(plan(seed)).trace(sink);
    for (index, (name, region, ip)) in HOSTS.into_iter().enumerate() {
        let host = Host::new(name)
            .region(region)
            .ip(ip)
            .restarts_after(Duration::from_millis(500))
            .run(move || talk(index));
        world = world.host(host);
    }
    world.run_until(Duration::from_secs(60))
}

/// What a host does: it answers, and asks.
async fn talk(index: usize) -> std::io::Result<()> {
    let listener = TcpListener::bind(("0.0.0.0", PORT)).await?;
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(echo(stream));
        }
    });
    let mut kept: Option<TcpStream> = None;
    loop {
        let count = next_count()?;
        let peer = HOSTS[(index + 1 + fastrand::usize(..2)) % 3].2;
        // A wall clock goes on the wire, so that crooked ones show.
        let clock = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        let message = format!("{count} at {clock:?}{}", "!".repeat(fastrand::usize(..20_000)));
        let asked = timeout(Duration::from_secs(2), ask(kept.take(), peer, message.as_bytes())).await;
        if let Ok(Ok(stream)) = asked {
            kept = Some(stream).filter(|_| fastrand::bool());
        }
        tokio::time::sleep(Duration::from_millis(fastrand::u64(..400))).await;
    }
}

fn next_count() -> std::io::Result<u64> {
    let last = std::fs::read_to_string("/var/count").unwrap_or_default();
    let count = last.parse().unwrap_or(0) + 1;
    std::fs::create_dir_all("/var")?;
    std::fs::write("/var/count", count.to_string())?;
    Ok(count)
}

async fn ask(kept: Option<TcpStream>, peer: [u8; 4], message: &[u8]) -> std::io::Result<TcpStream> {
    let mut stream = match kept {
        Some(stream) => stream,
        None => TcpStream::connect((std::net::Ipv4Addr::from(peer), PORT)).await?,
    };
    stream.write_u32(message.len() as u32).await?;
    stream.write_all(message).await?;
    let mut answer = vec![0; message.len()];
    stream.read_exact(&mut answer).await?;
    Ok(stream)
}

async fn echo(mut stream: TcpStream) -> std::io::Result<()> {
    loop {
        let mut message = vec![0; stream.read_u32().await? as usize];
        stream.read_exact(&mut message).await?;
        stream.write_all(&message).await?;
    }
}

/// One to six faults in the first fifty seconds.
fn plan(seed: u64) -> Plan {
    let mut stream = Seed(seed).stream("faults");
    let count = 1 + stream.below(6);
    let faults = (0..count).map(|_| {
        let fault = fault(&mut stream);
        let at = Duration::from_millis(1_000 + stream.below(40_000));
        let lasting = Duration::from_millis(100 + stream.below(10_000));
        let planned = fault.at(at);
        if planned.fault.is_instant() {
            planned
        } else {
            planned.lasting(lasting)
        }
    });
    Plan {
        faults: faults.collect(),
    }
}

fn fault(stream: &mut Stream) -> Fault {
    let host = stream.below(3) as usize;
    let (place, region, _) = HOSTS[host];
    let (place, region) = (place.to_owned(), region.to_owned());
    let (from, to) = (place.clone(), HOSTS[(host + 1) % 3].0.to_owned());
    let one_way = stream.chance(0.5);
    let disk = if stream.chance(0.5) {
        Disk::Kept
    } else {
        Disk::Lost
    };
    let off = Duration::from_nanos(stream.below(10_000_000_000));
    let by = if one_way {
        Skew::ahead(off)
    } else {
        Skew::behind(off)
    };
    match stream.below(14) {
        0 => Fault::RegionLoss { region, disk },
        1 => Fault::RegionIsolated { region },
        2 => Fault::Partition { from, to, one_way },
        3 => Fault::NetworkLatency {
            from,
            to,
            delay: Duration::from_millis(stream.below(3_000)),
            jitter: Duration::from_millis(stream.below(100)),
            one_way,
        },
        4 => Fault::NetworkPacketLoss {
            from,
            to,
            loss_percent: stream.fraction() * 60.0,
            one_way,
        },
        5 => Fault::NetworkBandwidth {
            from,
            to,
            bytes_per_second: 1_000 + stream.below(20_000),
            one_way,
        },
        6 => Fault::NetworkBlackholePort {
            place,
            port: PORT,
            traffic: if one_way {
                Traffic::Ingress
            } else {
                Traffic::Egress
            },
        },
        7 => Fault::ConnectionReset { from, to },
        8 => Fault::ProcessKill { place },
        9 => Fault::ProcessPause { place },
        10 => Fault::MachineLoss { place, disk },
        11 => Fault::ClockOffset { place, by },
        12 => Fault::ClockDrift {
            place,
            ppm: stream.below(400_000) as i32 - 200_000,
        },
        _ => Fault::ClockJump { place, by },
    }
}

fn start(seeds: Range<u64>, jobs: u64) -> Child {
    super::program("storm")
        .args([
            "--seeds",
            &format!("{}..{}", seeds.start, seeds.end),
            "--jobs",
            &jobs.to_string(),
        ])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

fn printed(child: Child) -> Vec<(u64, Told)> {
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    let line = |line: &str| {
        let (seed, fate) = line.split_once(' ').unwrap();
        match serde_json::from_str(fate).unwrap() {
            Fate::Finished(Ok(told)) => (seed.parse().unwrap(), told),
            Fate::Finished(Err::<_, String>(error)) => panic!("seed {seed}: {error}"),
            fate => panic!("seed {seed} {fate}"),
        }
    };
    String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        .map(line)
        .collect()
}

fn a_thousand_seeds_are_the_same_in_two_processes() {
    // One seed at a time in the one, three in the other, both at once: the load differs from moment to moment.
    let (first, second) = (start(0..1000, 1), start(0..1000, 3));
    let (first, second) = (printed(first), printed(second));
    assert_eq!(first.len(), 1000);
    for ((seed, first), (_, second)) in first.iter().zip(&second) {
        assert_eq!(
            (first.hash, first.events),
            (second.hash, second.events),
            "seed {seed}"
        );
    }
    // The hash can tell: no two seeds did the same.
    let distinct: BTreeSet<TraceHash> = first.iter().map(|(_, told)| told.hash).collect();
    assert_eq!(distinct.len(), 1000);
    let events: u64 = first.iter().map(|(_, told)| told.events).sum();
    assert!(events > 1_000_000, "{events} events in all");
}

fn every_kind_of_fault_bites() {
    let told = printed(start(0..300, 2));
    let kinds: BTreeSet<&String> = told.iter().flat_map(|(_, told)| &told.bitten).collect();
    assert_eq!(kinds.len(), 14, "{kinds:?}");
}
