//! A key behaves like one register that is written once.
//!
//! Reads every attempt that clients made, and the telemetry for who was kept out. Fails when an attempt that began after the
//! answer to its key had been told was told that the request is still under way, or was refused, as if nothing had happened:
//! somebody looked at an old state of the gate. Fails also when an attempt was kept out by an earlier one and there was none:
//! somebody took their own claim for a rival's. Fails when a key was claimed twice at a time, by the clocks of those who claimed
//! it, unless the gate had forgotten it in between; and when an attempt was told to come back in a while, and the same claim
//! still held after that while, by the same clock.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    history::{History, Telemetry},
    script::Limits,
};

use super::{Finding, Property};

pub(super) const PROPERTY: Property = Property {
    name: "gate",
    meaning: "once a key's answer was told, nobody who asks later is told anything else (linearizable for each key)",
    check,
};

fn check(history: &History, _: &Limits) -> Vec<Finding> {
    let mut told: BTreeMap<&str, (u64, u16)> = BTreeMap::new();
    let is_answer = |status: u16| status < 300 || status == 402;
    // By mistake it is two requests, and two answers are right; `answers` judges them.
    let mut asked = BTreeMap::new();
    let reused = history
        .told
        .iter()
        .filter(|told| *asked.entry(&told.key).or_insert(&told.asked) != &told.asked);
    let reused: BTreeSet<&String> = reused.map(|told| &told.key).collect();
    let attempts = || {
        let attempts = history.attempts.iter();
        attempts.filter(|attempt| !reused.contains(&attempt.key))
    };
    for attempt in attempts() {
        let Some(status) = attempt.status.filter(|status| is_answer(*status)) else {
            continue;
        };
        let ended = attempt.at_nanos + u64::try_from(attempt.took.as_nanos()).unwrap_or(u64::MAX);
        let first = told.entry(&attempt.key).or_insert((ended, status));
        if ended < first.0 {
            *first = (ended, status);
        }
    }
    let contradiction = |attempt: &&crate::history::Attempt| {
        let (Some(status), Some((ended, answer))) = (attempt.status, told.get(&*attempt.key)) else {
            return false;
        };
        // Down is no answer, and neither is "too many".
        attempt.at_nanos > *ended && status < 500 && status != 429 && status != *answer
    };
    let contradictions = attempts().filter(contradiction);
    let found = contradictions.map(|attempt| {
        let (_, answer) = told[&*attempt.key];
        let status = attempt.status.unwrap_or_default();
        let evidence = format!(
            "{} was answered {answer}, and {} was told {status} by {} when it asked later",
            attempt.key, attempt.client, attempt.gateway
        );
        Finding::new("old-state", evidence, [&attempt.key, &attempt.gateway])
    });
    let mut found: Vec<Finding> = found.chain(kept_out(history)).collect();
    found.extend(claimed_twice(history));
    found.extend(told_too_soon(history));
    found
}

const CLAIMED: &str = "claimed";
const HELD: &str = "an earlier attempt holds the claim";
const RELEASED: &str = "gives the claim back";

/// The events of this message, with the key that each is about.
fn said<'a>(history: &'a History, message: &'a str) -> impl Iterator<Item = (&'a str, &'a Telemetry)> {
    let said = history.said(message);
    said.filter_map(|said| Some((said.text("idempotency_key")?, said)))
}

/// Keys with two claims of which one began before the other's lease had ended, and none was given back.
fn claimed_twice(history: &History) -> Vec<Finding> {
    let released: BTreeSet<&str> = said(history, RELEASED).map(|(key, _)| key).collect();
    let mut claims: BTreeMap<&str, Vec<(i64, i64, &str)>> = BTreeMap::new();
    let forgotten_at = history.forgotten_at_nanos.unwrap_or(u64::MAX);
    let rivals = said(history, CLAIMED).filter(|(_, claim)| claim.at_nanos < forgotten_at);
    for (key, claim) in rivals.filter(|(key, _)| !released.contains(key)) {
        if let (Some(at), Some(until)) = (claim.number("at_ms"), claim.number("until_ms")) {
            claims.entry(key).or_default().push((at, until, &claim.host));
        }
    }
    let twice = claims.into_iter().filter_map(|(key, mut claims)| {
        claims.sort();
        let (earlier, later) = claims
            .iter()
            .zip(claims.iter().skip(1))
            .find(|((_, until, _), (at, _, _))| at < until)?;
        let evidence = format!(
            "{key} was claimed by {} until {} ms, and by {} {} ms before that",
            earlier.2,
            earlier.1,
            later.2,
            earlier.1 - later.0
        );
        Some(Finding::new("claimed-twice", evidence, [key, earlier.2, later.2]))
    });
    twice.collect()
}

/// Keys whose claim still held when it had been said, by the same clock, that it would hold no longer.
fn told_too_soon(history: &History) -> Vec<Finding> {
    // By key, host and end of the claim: until when it was said to hold, at the earliest.
    let mut promised: BTreeMap<(&str, &str, i64), i64> = BTreeMap::new();
    let mut found = BTreeMap::new();
    for (key, held) in said(history, HELD) {
        let (Some(at), Some(until), Some(pause)) = (
            held.number("at_ms"),
            held.number("until_ms"),
            held.number("retry_after_ms"),
        ) else {
            continue;
        };
        let end = promised.entry((key, &held.host, until)).or_insert(at + pause);
        if at > *end {
            found.entry(key).or_insert((&*held.host, at - *end));
        }
        *end = (*end).min(at + pause);
    }
    let found = found.into_iter().map(|(key, (host, late))| {
        let evidence = format!(
            "{host} said when the claim on {key} would end, and {late} ms after that it was held by the same attempt"
        );
        Finding::new("told-too-soon", evidence, [key, host])
    });
    found.collect()
}

/// Keys whose only attempt was told that an earlier one is under way.
fn kept_out(history: &History) -> Vec<Finding> {
    let mut begun: BTreeMap<&str, Vec<u64>> = BTreeMap::new();
    for attempt in &history.attempts {
        begun.entry(&attempt.key).or_default().push(attempt.at_nanos);
    }
    // What is asked again in the end is no attempt of a client's.
    let forgotten_at = history.forgotten_at_nanos.unwrap_or(u64::MAX);
    let mut found = BTreeMap::new();
    for (key, said) in said(history, HELD).filter(|(_, said)| said.at_nanos < forgotten_at) {
        let before = begun.get(key).into_iter().flatten();
        if before.filter(|at| **at <= said.at_nanos).count() == 1 {
            found.insert(key, &*said.host);
        }
    }
    let found = found.into_iter().map(|(key, host)| {
        let evidence = format!("the only attempt of {key} so far was kept out by itself, at {host}");
        Finding::new("kept-out-by-itself", evidence, [key, host])
    });
    found.collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::history::Attempt;

    fn attempt(at_s: u64, status: u16) -> Attempt {
        Attempt {
            at_nanos: at_s * 1_000_000_000,
            took: Duration::from_secs(2),
            ..Attempt::sample(Some(status))
        }
    }

    fn event(host: &str, message: &str, at_ms: i64, until_ms: i64, retry_after_ms: i64) -> Telemetry {
        let numbers = [
            ("at_ms", at_ms),
            ("until_ms", until_ms),
            ("retry_after_ms", retry_after_ms),
        ];
        let mut said = Telemetry {
            at_nanos: 1_500_000_000,
            host: host.to_owned(),
            ..Telemetry::sample(message, [("idempotency_key", "k")])
        };
        let numbers = numbers.map(|(name, value)| (name.to_owned(), value.into()));
        said.fields.extend(numbers);
        said
    }

    fn places(telemetry: Vec<Telemetry>) -> Vec<&'static str> {
        let history = History {
            telemetry,
            ..History::default()
        };
        let found = claimed_twice(&history).into_iter().chain(told_too_soon(&history));
        found.map(|finding| finding.place).collect()
    }

    #[test]
    fn a_key_that_is_claimed_twice_at_a_time_is_found() {
        let claim = |host, at| event(host, CLAIMED, at, at + 15_000, 0);
        // One after the other; and one that was given back.
        assert!(places(vec![claim("a", 0), claim("b", 15_001)]).is_empty());
        let released = event("a", RELEASED, 0, 0, 0);
        assert!(places(vec![claim("a", 0), released, claim("b", 3_000)]).is_empty());
        assert_eq!(places(vec![claim("a", 0), claim("b", 3_000)]), ["claimed-twice"]);
        // One that expired in between.
        let mut expired = History {
            telemetry: vec![claim("a", 0), claim("b", 3_000)],
            ..History::default()
        };
        assert_eq!(claimed_twice(&expired).len(), 1);
        expired.forgotten_at_nanos = Some(expired.telemetry[1].at_nanos);
        assert_eq!(claimed_twice(&expired).len(), 0);
    }

    #[test]
    fn a_lease_that_does_not_end_when_it_was_said_to_is_found() {
        let held = |host, at, pause| event(host, HELD, at, 15_000, pause);
        // Said truly; and by another's clock.
        assert!(places(vec![held("a", 1_000, 14_000), held("a", 14_999, 1)]).is_empty());
        assert!(places(vec![held("a", 1_000, 1_000), held("b", 3_000, 12_000)]).is_empty());
        assert_eq!(
            places(vec![held("a", 1_000, 1_000), held("a", 3_000, 1_000)]),
            ["told-too-soon"]
        );
    }

    #[test]
    fn an_attempt_that_was_kept_out_by_itself_is_found() {
        let said = event("gateway-0", HELD, 0, 15_000, 14_000);
        let found = |attempts: &[Attempt], forgotten_at_nanos| {
            let history = History {
                attempts: attempts.to_vec(),
                telemetry: vec![said.clone()],
                forgotten_at_nanos,
                ..History::default()
            };
            check(&history, &Limits::default()).len()
        };
        assert_eq!(found(&[attempt(0, 503), attempt(1, 409)], None), 0);
        let alone = [attempt(1, 409), attempt(9, 201)];
        assert_eq!(found(&alone, None), 1);
        // What is asked again once the gate has forgotten is kept out by what was asked again before.
        assert_eq!(found(&alone, Some(said.at_nanos)), 0);
        assert_eq!(found(&alone, Some(said.at_nanos + 1)), 1);
    }

    #[test]
    fn a_look_at_an_old_state_is_found() {
        let found = |attempts: &[Attempt]| {
            let history = History {
                attempts: attempts.to_vec(),
                ..History::default()
            };
            check(&history, &Limits::default()).len()
        };
        // At the same time, down, or the same answer: all as it should be.
        let good = [attempt(0, 201), attempt(1, 409), attempt(5, 503), attempt(6, 201)];
        assert_eq!(found(&good), 0);
        assert_eq!(found(&[attempt(0, 201), attempt(5, 409)]), 1);
        assert_eq!(found(&[attempt(0, 402), attempt(5, 201)]), 1);
    }
}
