//! Reach points: interesting things that a campaign must have seen somewhere. One that is never reached means that what it stands
//! for was not tried, however green everything is.

use crate::history::{History, Telemetry};

/// Something interesting that can happen.
#[derive(Clone, Copy, Debug)]
pub struct ReachPoint {
    /// Its name.
    pub name: &'static str,
    /// What has happened.
    pub meaning: &'static str,
    reached: fn(&History) -> bool,
}

/// Says whether the system said something of which this is the beginning.
macro_rules! said {
    ($name:literal, $meaning:literal, $beginning:literal) => {
        ReachPoint {
            name: $name,
            meaning: $meaning,
            reached: |history| said(history, $beginning).next().is_some(),
        }
    };
}

fn said<'a>(history: &'a History, beginning: &'a str) -> impl Iterator<Item = &'a Telemetry> {
    let heard = history.telemetry.iter();
    heard.filter(move |heard| heard.message.starts_with(beginning))
}

fn state(history: &History, state: &str) -> bool {
    history.payments().iter().any(|payment| payment.state == state)
}

fn refused(history: &History, part: &str) -> bool {
    said(history, "refused").any(|heard| {
        let refusal = heard.fields.get("refusal").and_then(|refusal| refusal.as_str());
        refusal.is_some_and(|refusal| refusal.contains(part))
    })
}

/// All reach points.
pub const REACH_POINTS: &[ReachPoint] = &[
    said!(
        "gate-replay",
        "a retry got its earlier answer from the gate",
        "answered again from the gate"
    ),
    said!(
        "ledger-replay",
        "a retry got past the gate and its earlier answer from the ledger",
        "answered again from the ledger"
    ),
    said!(
        "claim-held",
        "two attempts of one request met at the gate",
        "an earlier attempt holds the claim"
    ),
    said!(
        "commit-unanswered",
        "a commit was sent and its answer lost",
        "commit unanswered"
    ),
    said!(
        "intent-found",
        "a commit without an answer turned out to be there",
        "the intent of an unanswered commit"
    ),
    said!("taken-up", "an operation outlived its worker's lease", "taken up"),
    said!(
        "asked-what-became",
        "a provider was asked what became of an operation",
        "asks what became of it"
    ),
    said!(
        "no-outcome",
        "an outcome stayed unknown for now",
        "no outcome yet"
    ),
    said!(
        "stale-outcome",
        "somebody came to book an outcome and found it booked, or the operation taken over",
        "settled elsewhere"
    ),
    said!(
        "group-split",
        "a group of postings was refused and posted one by one",
        "group refused"
    ),
    ReachPoint {
        name: "region-given-up",
        meaning: "a Region was given up and another became the writer",
        reached: |history| {
            let decided = said(history, "decided");
            decided.into_iter().any(|heard| {
                let field = |name: &str| heard.fields.get(name);
                field("planned").and_then(|planned| planned.as_bool()) == Some(false)
                    && field("state").and_then(|state| state.as_str()) == Some("open")
            })
        },
    },
    ReachPoint {
        name: "handed-over",
        meaning: "another Region became the writer by plan",
        reached: |history| {
            let decided = said(history, "decided");
            decided.into_iter().any(|heard| {
                let field = |name: &str| heard.fields.get(name);
                field("planned").and_then(|planned| planned.as_bool()) == Some(true)
                    && field("state").and_then(|state| state.as_str()) == Some("open")
            })
        },
    },
    said!(
        "tail-restored",
        "a promotion had lost a confirmed request, and it was restored",
        "restored what the ledger had lost"
    ),
    said!(
        "schema-contracted",
        "a release was rolled out, and the version before came to its end",
        "oldest version of the schema"
    ),
    said!("breaker-open", "a circuit breaker opened", "breaker opened"),
    said!(
        "ledger-away",
        "work was left to a worker because the ledger could not be written",
        "left to a worker"
    ),
    ReachPoint {
        name: "conflict",
        meaning: "a client was answered 409",
        reached: |history| history.attempts.iter().any(|attempt| attempt.status == Some(409)),
    },
    ReachPoint {
        name: "unavailable",
        meaning: "a client was answered 503",
        reached: |history| history.attempts.iter().any(|attempt| attempt.status == Some(503)),
    },
    ReachPoint {
        name: "no-answer",
        meaning: "a client got no answer",
        reached: |history| history.attempts.iter().any(|attempt| attempt.status.is_none()),
    },
    ReachPoint {
        name: "declined",
        meaning: "a provider declined",
        reached: |history| state(history, "declined"),
    },
    ReachPoint {
        name: "voided",
        meaning: "what was held was given up",
        reached: |history| state(history, "voided"),
    },
    ReachPoint {
        name: "partial-capture",
        meaning: "less was captured than authorized",
        reached: |history| {
            let mut told = history.told.iter();
            told.any(|told| {
                told.path.ends_with("/capture") && told.asked["amount"].is_i64() && told.status < 300
            })
        },
    },
    ReachPoint {
        name: "refunded",
        meaning: "something was given back",
        reached: |history| history.payments().iter().any(|payment| payment.refunded > 0),
    },
    ReachPoint {
        name: "settled",
        meaning: "a settlement was paid out",
        reached: |history| state(history, "settled"),
    },
    ReachPoint {
        name: "reversed",
        meaning: "a settlement was compensated",
        reached: |history| state(history, "reversed"),
    },
    ReachPoint {
        name: "limbo",
        meaning: "an outcome could not be found out",
        reached: |history| said(history, "limbo").next().is_some(),
    },
    ReachPoint {
        name: "insufficient-funds",
        meaning: "an account would have been overdrawn",
        reached: |history| refused(history, "does not have the amount"),
    },
    ReachPoint {
        name: "frozen",
        meaning: "a frozen account was asked to pay",
        reached: |history| refused(history, "is frozen"),
    },
    ReachPoint {
        name: "busy",
        meaning: "two operations wanted one payment at once",
        reached: |history| refused(history, "is under way"),
    },
];

/// The points that a history reaches.
pub fn reached(history: &History) -> Vec<String> {
    let points = REACH_POINTS.iter().filter(|point| (point.reached)(history));
    points.map(|point| point.name.to_owned()).collect()
}
