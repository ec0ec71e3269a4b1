//! A key behaves like one register that is written once.
//!
//! Reads every attempt that clients made, and the telemetry for who was kept out. Fails when an attempt that began after the
//! answer to its key had been told was told that the request is still under way, or was refused, as if nothing had happened:
//! somebody looked at an old state of the gate. Fails also when an attempt was kept out by an earlier one and there was none:
//! somebody took their own claim for a rival's.

use std::collections::{BTreeMap, BTreeSet};

use crate::{history::History, script::Limits};

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
    found.chain(kept_out(history)).collect()
}

/// Keys whose only attempt was told that an earlier one is under way.
fn kept_out(history: &History) -> Vec<Finding> {
    let mut begun: BTreeMap<&str, Vec<u64>> = BTreeMap::new();
    for attempt in &history.attempts {
        begun.entry(&attempt.key).or_default().push(attempt.at_nanos);
    }
    let mut found = BTreeMap::new();
    for said in &history.telemetry {
        let text = |name| said.fields.get(name).and_then(serde_json::Value::as_str);
        let (Some(key), Some(_)) = (text("idempotency_key"), text("retry_after")) else {
            continue;
        };
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
    use crate::history::{Attempt, Telemetry};

    fn attempt(at_s: u64, status: u16) -> Attempt {
        Attempt {
            at_nanos: at_s * 1_000_000_000,
            took: Duration::from_secs(2),
            ..Attempt::sample(Some(status))
        }
    }

    #[test]
    fn an_attempt_that_was_kept_out_by_itself_is_found() {
        let said = Telemetry {
            at_nanos: 1_500_000_000,
            ..Telemetry::sample(
                "an earlier attempt holds the claim",
                [("idempotency_key", "k"), ("retry_after", "14s")],
            )
        };
        let found = |attempts: &[Attempt]| {
            let history = History {
                attempts: attempts.to_vec(),
                telemetry: vec![said.clone()],
                ..History::default()
            };
            check(&history, &Limits::default()).len()
        };
        assert_eq!(found(&[attempt(0, 503), attempt(1, 409)]), 0);
        assert_eq!(found(&[attempt(1, 409), attempt(9, 201)]), 1);
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
