//! A key behaves like one register that is written once.
//!
//! Reads every attempt that clients made. Fails when an attempt that began after the answer to its key had been told was told
//! that the request is still under way, or was refused, as if nothing had happened: somebody looked at an old state of the gate.

use std::collections::BTreeMap;

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
    for attempt in &history.attempts {
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
    let contradictions = history.attempts.iter().filter(contradiction);
    let found = contradictions.map(|attempt| {
        let (_, answer) = told[&*attempt.key];
        let status = attempt.status.unwrap_or_default();
        let evidence = format!(
            "{} was answered {answer}, and {} was told {status} by {} when it asked later",
            attempt.key, attempt.client, attempt.gateway
        );
        Finding::new("old-state", evidence, [&attempt.key, &attempt.gateway])
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
            key: "k".to_owned(),
            client: "c".to_owned(),
            gateway: "g".to_owned(),
            at_nanos: at_s * 1_000_000_000,
            took: Duration::from_secs(2),
            status: Some(status),
        }
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
