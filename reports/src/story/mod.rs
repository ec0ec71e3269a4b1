//! What a run came to, in words: one sentence, and the events that it rests on.
//!
//! The sentence says what should not be, then who did what when, by whose clock, and what was wrong with the world meanwhile.
//! It is made from the verdict's evidence, from what clients, provider and ledger recorded and from the system's own
//! telemetry; from the trace it takes only what each host's clock showed.

mod clauses;

use std::time::Duration;

use scenarios::{
    externals::{Behaviour, Effect, Kind},
    properties::Violation,
    script::{Script, Spell, behaviour_at},
    verdict::Conclusion,
};

use clauses::shortened;

use crate::{
    Run,
    money::amount,
    names::Names,
    providers::{Provider, spells},
    timeline::Timeline,
};

/// An event that the sentence rests on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Clause {
    /// When, in nanoseconds of true time since the world began.
    pub at_nanos: u64,
    /// On which host; none for what happened to the world.
    pub host: Option<String>,
    /// What happened.
    pub text: String,
    /// Whether the failure is in this very event.
    pub decisive: bool,
}

/// A run in words.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Story {
    /// What it came to, in one sentence.
    pub headline: String,
    /// What that rests on, in order of time.
    pub clauses: Vec<Clause>,
    /// The payment that it is about, by the order in which payments were first heard of, from 0.
    pub payment: Option<usize>,
}

/// Tells what a run came to.
pub fn story(run: &Run) -> Story {
    tell(
        run,
        &Names::new(&run.history),
        &Timeline::new(&run.verdict, &run.trace),
    )
}

pub(crate) fn tell(run: &Run, names: &Names, timeline: &Timeline) -> Story {
    let teller = Teller { run, names, timeline };
    match (&run.verdict.conclusion, run.verdict.violations().first()) {
        (_, Some(violation)) => teller.violated(violation),
        (Conclusion::Unknown(why), _) => Story {
            headline: format!("It could not be told whether the properties hold: {why}."),
            clauses: teller.faults(0, u64::MAX),
            payment: None,
        },
        _ => {
            let measures = &run.verdict.measures;
            let bit = run.verdict.faults.iter().filter(|fault| fault.bites > 0).count();
            Story {
                headline: format!(
                    "All properties held: {} confirmed, {} refused, {bit} of {} faults bit.",
                    counted(measures.confirmed, "request"),
                    measures.refused,
                    run.verdict.faults.len()
                ),
                ..Story::default()
            }
        }
    }
}

struct Teller<'a> {
    run: &'a Run,
    names: &'a Names,
    timeline: &'a Timeline,
}

impl Teller<'_> {
    fn violated(&self, violation: &Violation) -> Story {
        let payment = violation
            .subjects
            .iter()
            .find_map(|subject| self.names.payment(subject))
            .or_else(|| self.names.payment_in(&violation.evidence));
        let mut clauses = self.evidence(violation, payment);
        clauses.sort_by_key(|clause| clause.at_nanos);
        let (from, to) = match (clauses.first(), clauses.last()) {
            (Some(first), Some(last)) => (first.at_nanos, last.at_nanos),
            _ => (0, self.run.history.quiet_from_nanos),
        };
        let mut headline = self.headline(violation);
        let meanwhile = self.meanwhile(from, to);
        if !meanwhile.is_empty() {
            headline += &format!("; meanwhile {meanwhile}");
        }
        let more = self.run.verdict.violations().len() - 1;
        headline += ".";
        if more > 0 {
            headline += &format!(" ({} listed below.)", counted(more as u64, "more violation"));
        }
        clauses.extend(self.faults(from, to));
        clauses.sort_by_key(|clause| clause.at_nanos);
        Story {
            headline: capitalized(&headline),
            clauses: shortened(clauses),
            payment,
        }
    }

    fn headline(&self, violation: &Violation) -> String {
        let twice: Vec<&Effect> = match violation.place.as_str() {
            "done-twice" => {
                let effects = self.run.history.effects.iter();
                effects
                    .filter(|effect| violation.subjects.contains(&effect.key))
                    .collect()
            }
            _ => Vec::new(),
        };
        let [first, .., last] = twice.as_slice() else {
            return self.names.say(&violation.evidence);
        };
        let times = match twice.len() {
            2 => "twice".to_owned(),
            times => format!("{times} times"),
        };
        let mut said = format!(
            "{} was {} {times}, {} each time: ",
            self.payment_name(&first.payment),
            done(first.kind),
            amount(first.amount, &first.currency)
        );
        let mut since = 0;
        for (number, effect) in twice.iter().enumerate() {
            let again = if number == 0 { "" } else { "again " };
            let asked = self.asked(effect, since).map(|(host, at)| {
                format!(
                    "{} asked {again}{} and ",
                    self.timeline.hosts[host].name,
                    self.when(host, at)
                )
            });
            let joint = if number == 0 { "" } else { ", then " };
            let did = format!("the provider did it {again}at {}", seconds(effect.at_nanos));
            said += &format!("{joint}{}{did}", asked.unwrap_or_default());
            since = effect.at_nanos;
        }
        let between = Duration::from_nanos(last.at_nanos - first.at_nanos);
        let window = behaviour_at(&self.run.script.psp, Duration::from_nanos(last.at_nanos)).key_window_s;
        if between >= Duration::from_secs(window) {
            said += &format!(
                ", {} later, when it had forgotten the key (it remembers keys for {window} s)",
                short(between)
            );
        }
        said
    }

    /// Who asked the provider last for what it then did, and when, as far as they said so.
    fn asked(&self, effect: &Effect, since: u64) -> Option<(usize, u64)> {
        let mut said = self.run.history.telemetry.iter().rev();
        let asked = said.find(|said| {
            (since..=effect.at_nanos).contains(&said.at_nanos)
                && said.text("key") == Some(&effect.key)
                && said.message == "asks for it"
        })?;
        Some((self.timeline.host(&asked.host)?, asked.at_nanos))
    }

    fn spells(&self) -> impl Iterator<Item = (Provider, &Spell)> {
        spells(&self.run.script).filter(|(_, spell)| spell.behaviour != Behaviour::default())
    }

    /// What was wrong with the world in this time, in a few words.
    fn meanwhile(&self, from: u64, to: u64) -> String {
        let overlaps = |at: Duration, lasting: Option<Duration>| {
            let end = lasting.map_or(u64::MAX, |lasting| (at + lasting).as_nanos() as u64);
            at.as_nanos() as u64 <= to && end >= from
        };
        let planned = self.run.planned();
        let mut all: Vec<String> = planned
            .filter(|(planned, bites)| *bites > 0 && overlaps(planned.at, planned.lasting))
            .map(|(planned, _)| planned.fault.to_string())
            .collect();
        let spells = self
            .spells()
            .filter(|(_, spell)| overlaps(spell.at, Some(spell.lasting)));
        all.extend(spells.map(|(provider, spell)| provider.misbehaves(&spell.behaviour)));
        let more = all.len().saturating_sub(3);
        all.truncate(3);
        let mut said = all.join(", and ");
        if more > 0 {
            said += &format!(", and {} more", counted(more as u64, "fault"));
        }
        said
    }

    fn payment_name(&self, id: &str) -> String {
        self.names
            .payment(id)
            .map_or_else(|| format!("payment {id}"), Names::name)
    }

    /// At which time, by whose clock.
    fn when(&self, host: usize, at: u64) -> String {
        format!("at {}{}", seconds(at), self.off(host, at))
    }

    /// What a host's own clock said, if it was off.
    fn off(&self, host: usize, at: u64) -> String {
        let skew = self.timeline.skew(host, at);
        if skew.abs() < 1_000_000 {
            return String::new();
        }
        let own = (at as i64 + skew) as f64 / 1e9;
        let by = short(Duration::from_nanos(skew.unsigned_abs()));
        let side = if skew < 0 { "behind" } else { "ahead" };
        format!(" ({own:.3} s by its own clock, {by} {side})")
    }
}

/// What the operator asks for: from when, for how long where it takes its time, and in words.
pub(crate) fn asked(script: &Script) -> impl Iterator<Item = (Duration, Option<Duration>, String)> {
    let handovers = script.handovers.iter().map(|handover| {
        let what = format!("the operator has {} write", handover.to);
        (handover.at, None, what)
    });
    let rollout = script.rollout.iter().map(|rollout| {
        let what = "the operator rolls a release out".to_owned();
        (rollout.at, Some(rollout.over), what)
    });
    handovers.chain(rollout)
}

/// What a provider did, of a payment.
fn done(kind: Kind) -> &'static str {
    match kind {
        Kind::Authorize => "authorized",
        Kind::Sale | Kind::Capture => "captured",
        Kind::Void => "voided",
        Kind::Refund => "refunded",
        Kind::Verify => "verified",
        Kind::Payout => "paid out",
    }
}

/// A value of a telemetry field without quotes.
pub(crate) fn plain(value: &serde_json::Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

pub(crate) fn seconds(nanos: u64) -> String {
    format!("{:.3} s", nanos as f64 / 1e9)
}

/// A duration to three digits.
pub(crate) fn short(duration: Duration) -> String {
    let seconds = duration.as_secs_f64();
    let (value, unit) = match seconds {
        s if s >= 1.0 => (s, "s"),
        s if s >= 1e-3 => (s * 1e3, "ms"),
        s => (s * 1e6, "\u{b5}s"),
    };
    let text = format!(
        "{value:.*}",
        if value < 10.0 {
            2
        } else {
            usize::from(value < 100.0)
        }
    );
    let text = match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.'),
        false => &text,
    };
    format!("{text} {unit}")
}

pub(crate) fn counted(count: u64, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

fn capitalized(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().map(char::to_uppercase);
    first.into_iter().flatten().chain(letters).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_said_shortly() {
        let said = [6_000, 250, 1_234, 61_000, 125_400].map(|ms| short(Duration::from_millis(ms)));
        assert_eq!(said, ["6 s", "250 ms", "1.23 s", "61 s", "125 s"]);
        assert_eq!(short(Duration::from_micros(42)), "42 \u{b5}s");
    }
}
