//! The trace: what it says, and that asking for it changes nothing.

use std::collections::BTreeMap;
use std::io::{self, BufRead};
use std::sync::{Arc, Mutex};

use sumzero_sim::trace::{Event, Kind, Sink, first_divergence};
use sumzero_sim::{Fault, Outcome, Skew};

use crate::support::{connect, echo_world, ping, secs};

fn run(sink: Sink) -> Outcome {
    echo_world(|| async {
        let mut stream = connect().await?;
        for _ in 0..10 {
            ping(&mut stream).await?;
            tokio::time::sleep(secs(1.0)).await;
        }
        Ok::<_, io::Error>(())
    })
    .fault(Fault::partition("east", "west").at(secs(2.0)).lasting(secs(2.0)))
    .fault(Fault::clock_offset("client", Skew::behind(secs(6.0))).at(secs(3.0)))
    .trace(sink)
    .run_until_done(secs(100.0))
    .unwrap()
}

#[derive(Clone, Default)]
struct Shared(Arc<Mutex<Vec<u8>>>);

impl io::Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Shared {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

#[test]
fn the_hash_is_the_same_wherever_the_events_go() {
    let hashes = [
        run(Sink::Off),
        run(Sink::Memory),
        run(Sink::Text(Box::new(Shared::default()))),
        run(Sink::JsonLines(Box::new(Shared::default()))),
    ]
    .map(|outcome| (outcome.trace_hash, outcome.events));
    assert!(hashes.iter().all(|hash| *hash == hashes[0]), "{hashes:?}");
}

#[test]
fn every_event_has_a_cause_that_came_before_it() {
    let trace = run(Sink::Memory).trace;
    let mut known = BTreeMap::from([(0, None)]);
    for event in &trace {
        let cause = known
            .get(&event.cause)
            .unwrap_or_else(|| panic!("{event} has no cause"));
        assert!(cause.is_none_or(|at| at <= event.at), "{event}");
        known.insert(event.id, Some(event.at));
    }
    // A delivery leads back to the sending, and that to what made the sender write.
    let delivery = trace
        .iter()
        .rfind(|event| matches!(event.kind, Kind::Deliver { bytes: 1, .. }))
        .unwrap();
    let sending = &trace[delivery.cause as usize - 1];
    assert!(matches!(sending.kind, Kind::Send { bytes: 1, .. }), "{sending}");
    assert_eq!((&sending.host, &sending.peer), (&delivery.peer, &delivery.host));
    assert!(matches!(
        trace[sending.cause as usize - 1].kind,
        Kind::Wake { .. }
    ));
}

#[test]
fn the_text_reads_well_and_shows_a_clock_that_is_off() {
    let text = Shared::default();
    let outcome = run(Sink::Text(Box::new(text.clone())));
    let text = text.text();
    assert_eq!(text.lines().count() as u64, outcome.events);
    assert!(text.contains("FAULT 0: partition east <-> west"), "{text}");
    assert!(text.contains("HEAL 0: partition east <-> west"));
    assert!(
        text.lines()
            .any(|line| line.contains("client") && line.contains("(clock -6.000000 s)")),
        "{text}"
    );
}

#[test]
fn json_lines_are_json_with_the_documented_keys() {
    let json = Shared::default();
    run(Sink::JsonLines(Box::new(json.clone())));
    for line in json.text().lines() {
        let event: serde_json::Value = serde_json::from_str(line).unwrap();
        assert!(
            event["id"].is_u64() && event["at_ns"].is_u64() && event["cause"].is_u64(),
            "{line}"
        );
        assert!(event["event"].is_string(), "{line}");
    }
}

#[test]
fn a_sink_that_fails_is_told_at_the_end() {
    struct Full;
    impl io::Write for Full {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::Error::other("disk full"))
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let world = echo_world(|| async {}).trace(Sink::Text(Box::new(Full)));
    assert!(
        world
            .run_until(secs(1.0))
            .unwrap_err()
            .to_string()
            .contains("disk full")
    );
}

/// What is written is what is read, and two traces differ where the worlds do.
#[test]
fn a_written_trace_reads_back_and_can_be_compared() {
    let lines = Shared::default();
    run(Sink::JsonLines(Box::new(lines.clone())));
    let written = lines.text();
    let read: Vec<Event> = written
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(read, run(Sink::Memory).trace);
    assert!(
        read.iter()
            .any(|event| event.skew_nanos() == Some(-6_000_000_000))
    );

    let compare = |first: &str, second: &str| {
        first_divergence(
            "event",
            &mut [first.as_bytes().lines(), second.as_bytes().lines()],
        )
        .unwrap()
    };
    let events = read.len() as u64;
    assert_eq!(compare(&written, &written), (events, None));
    let changed = written.replacen("\"bytes\":", "\"bytes\":1", 1);
    let (same, divergence) = compare(&written, &changed);
    let divergence = divergence.unwrap();
    assert_eq!(divergence.number, same + 1);
    assert_eq!(divergence.before.len(), 5);
    assert_eq!(divergence.first, Some(read[same as usize].to_string()));
    assert!(divergence.second.unwrap().contains(" sends 1"));
    let cut = &written[..written.rfind("{\"id\"").unwrap()];
    let (same, divergence) = compare(&written, cut);
    assert_eq!((same, divergence.unwrap().second), (events - 1, None));
}
