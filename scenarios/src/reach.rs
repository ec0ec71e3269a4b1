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

/// A point that one of the functions below decides, of what.
macro_rules! point {
    ($name:literal, $meaning:literal, $reached:ident $what:expr) => {
        ReachPoint {
            name: $name,
            meaning: $meaning,
            reached: |history| $reached(history, $what),
        }
    };
}

/// Whether the system said something that begins so.
fn says(history: &History, beginning: &str) -> bool {
    said(history, beginning).next().is_some()
}

fn said<'a>(history: &'a History, beginning: &'a str) -> impl Iterator<Item = &'a Telemetry> {
    let heard = history.telemetry.iter();
    heard.filter(move |heard| heard.message.starts_with(beginning))
}

/// Whether a payment ended in this state.
fn ended(history: &History, state: &str) -> bool {
    history.payments().iter().any(|payment| payment.state == state)
}

/// Whether a request was refused in words that contain these.
fn refused(history: &History, part: &str) -> bool {
    said(history, "refused").any(|heard| {
        heard
            .text("refusal")
            .is_some_and(|refusal| refusal.contains(part))
    })
}

/// Whether a client was answered so, or not at all.
fn answered(history: &History, status: Option<u16>) -> bool {
    history.attempts.iter().any(|attempt| attempt.status == status)
}

/// Whether another Region began to write, by plan or for want of the one before.
fn becomes_writer(history: &History, planned: bool) -> bool {
    said(history, "decided").any(|heard| {
        let as_planned = heard.flag("planned");
        as_planned == Some(planned) && heard.text("state") == Some("open")
    })
}

/// Whether the system switched a routing control so.
fn switched(history: &History, on: bool) -> bool {
    said(history, "routing controls switched").any(|heard| {
        let switched = heard.fields.get("switched").and_then(|field| field.as_str());
        switched.is_some_and(|states| states.contains(&format!(": {on}")))
    })
}

/// All reach points.
pub const REACH_POINTS: &[ReachPoint] = &[
    point!(
        "gate-replay",
        "a retry got its earlier answer from the gate",
        says "answered again from the gate"
    ),
    point!(
        "ledger-replay",
        "a retry got past the gate and its earlier answer from the ledger",
        says "answered again from the ledger"
    ),
    point!(
        "claim-held",
        "two attempts of one request met at the gate",
        says "an earlier attempt holds the claim"
    ),
    point!("commit-unanswered", "a commit was sent and its answer lost", says "commit unanswered"),
    point!(
        "intent-found",
        "a commit without an answer turned out to be there",
        says "the intent of an unanswered commit"
    ),
    point!("taken-up", "an operation outlived its worker's lease", says "taken up"),
    point!(
        "asked-what-became",
        "a provider was asked what became of an operation",
        says "asks what became of it"
    ),
    point!("no-outcome", "an outcome stayed unknown for now", says "no outcome yet"),
    point!(
        "stale-outcome",
        "somebody came to book an outcome and found it booked, or the operation taken over",
        says "settled elsewhere"
    ),
    point!("group-split", "a group of postings was refused and posted one by one", says "group refused"),
    point!("region-given-up", "a Region was given up and another became the writer", becomes_writer false),
    point!("handed-over", "another Region became the writer by plan", becomes_writer true),
    point!(
        "clients-sent-away",
        "a routing control was switched Off, so that clients left a Region",
        switched false
    ),
    point!(
        "tail-restored",
        "a promotion had lost a confirmed request, and it was restored",
        says "restored what the ledger had lost"
    ),
    point!(
        "schema-contracted",
        "a release was rolled out, and the version before came to its end",
        says "oldest version of the schema"
    ),
    point!("breaker-open", "a circuit breaker opened", says "breaker opened"),
    point!(
        "ledger-away",
        "work was left to a worker because the ledger could not be written",
        says "left to a worker"
    ),
    point!("conflict", "a client was answered 409", answered Some(409)),
    point!("unavailable", "a client was answered 503", answered Some(503)),
    point!("no-answer", "a client got no answer", answered None),
    point!("declined", "a provider declined", ended "declined"),
    point!("voided", "what was held was given up", ended "voided"),
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
    point!("settled", "a settlement was paid out", ended "settled"),
    point!("reversed", "a settlement was compensated", ended "reversed"),
    point!("limbo", "an outcome could not be found out", says "limbo"),
    point!("insufficient-funds", "an account would have been overdrawn", refused "does not have the amount"),
    point!("frozen", "a frozen account was asked to pay", refused "is frozen"),
    point!("busy", "two operations wanted one payment at once", refused "is under way"),
];

/// The points that a history reaches.
pub fn reached(history: &History) -> Vec<String> {
    let points = REACH_POINTS.iter().filter(|point| (point.reached)(history));
    points.map(|point| point.name.to_owned()).collect()
}
