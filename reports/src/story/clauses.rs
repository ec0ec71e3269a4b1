//! The events that a story rests on: what was recorded of the payment, the account, the calls or the requests that failed.

use std::collections::BTreeMap;

use scenarios::{
    externals::Kind,
    history::{Books, Telemetry, Told, Transfer, TransferLeg},
    properties::Violation,
};

use super::{Clause, Teller, done, plain, short};
use crate::money::{amount, since_start};

/// So many events are told; the rest is in the diagram.
const MOST_CLAUSES: usize = 14;

/// What is said of one operation more often than this is only repeated.
const MOST_REPEATS: usize = 3;

impl Teller<'_> {
    /// What a violation rests on.
    pub(super) fn evidence(&self, violation: &Violation, payment: Option<usize>) -> Vec<Clause> {
        if let Some(payment) = payment {
            return self.of_payment(payment, violation);
        }
        if violation.property == "breakers" {
            return self.of_calls(violation);
        }
        if violation.property == "books" {
            return match self.names.account_in(&violation.evidence) {
                Some(account) => self.of_account(account, violation),
                None => self.of_books(),
            };
        }
        self.of_keys(violation)
    }

    /// Everything that was recorded of a payment.
    fn of_payment(&self, payment: usize, violation: &Violation) -> Vec<Clause> {
        let mut clauses = Vec::new();
        let history = &self.run.history;
        let is_it = |id: &str| self.names.payment(id) == Some(payment);
        for attempt in history.attempts.iter().filter(|attempt| is_it(&attempt.key)) {
            let answer = match attempt.status {
                Some(status) => format!("answered {status} after {}", short(attempt.took)),
                None => format!("no answer in {}", short(attempt.took)),
            };
            clauses.push(Clause {
                at_nanos: attempt.at_nanos,
                host: Some(attempt.client.clone()),
                text: format!("asks {} under {}; {answer}", attempt.gateway, attempt.key),
                decisive: false,
            });
        }
        for effect in history.effects.iter().filter(|effect| is_it(&effect.payment)) {
            clauses.push(Clause {
                at_nanos: effect.at_nanos,
                host: Some("psp".to_owned()),
                text: format!(
                    "{}: {} under the key {}",
                    done(effect.kind),
                    amount(effect.amount, &effect.currency),
                    self.names.say(&effect.key)
                ),
                decisive: match violation.place.as_str() {
                    "captured-differs" => [Kind::Sale, Kind::Capture].contains(&effect.kind),
                    "refunded-differs" => effect.kind == Kind::Refund,
                    "paid-out-differs" => effect.kind == Kind::Payout,
                    "unknown-to-the-ledger" => true,
                    _ => violation.subjects.contains(&effect.key),
                },
            });
        }
        // The gate knows requests, and the payment only once it is answered.
        let telemetry = history.telemetry.iter();
        let telemetry = telemetry
            .filter(|said| said.text("payment_id").is_some_and(is_it) || of_request(said, violation));
        clauses.extend(self.telemetry(telemetry, violation));
        // What is asked again in the end matters where it was answered otherwise, or done again.
        let again: &[Told] = match violation.place.as_str() {
            "another-answer" | "unknown-to-the-ledger" => &history.told_again,
            _ => &[],
        };
        let first = history.told.iter().map(|told| (told, ""));
        let told = first.chain(again.iter().map(|told| (told, ", asked again in the end,")));
        let matters =
            |key: &String| violation.subjects.contains(key) || violation.place == "unknown-to-the-ledger";
        for (told, when) in told.filter(|(told, _)| is_it(&told.key) && matters(&told.key)) {
            clauses.push(Clause {
                at_nanos: told.at_nanos,
                host: None,
                text: format!(
                    "{}{when} is told {} {}",
                    told.key,
                    told.status,
                    self.names.say(&told.body)
                ),
                decisive: true,
            });
        }
        clauses
    }

    /// What processes said. Of what they said of one operation again and again only the beginning and the end are told.
    fn telemetry<'a>(
        &self,
        telemetry: impl Iterator<Item = &'a Telemetry>,
        violation: &Violation,
    ) -> Vec<Clause> {
        let mut told: BTreeMap<_, Vec<&Telemetry>> = BTreeMap::new();
        let mut clauses = Vec::new();
        for said in telemetry {
            match said.text("key").or(said.text("operation")) {
                Some(of) => told.entry((&said.message, of)).or_default().push(said),
                None => clauses.push(self.said(said, decides(violation, said))),
            }
        }
        for said in told.into_values() {
            let said = said
                .into_iter()
                .map(|said| self.said(said, decides(violation, said)));
            clauses.extend(abridged(said.collect(), MOST_REPEATS, 1));
        }
        clauses
    }

    /// What a process said.
    fn said(&self, said: &Telemetry, decisive: bool) -> Clause {
        let fields = said
            .fields
            .iter()
            .filter(|(name, _)| !["payment_id", "tenant"].contains(&name.as_str()));
        let fields = fields.map(|(name, value)| format!("{name} {}", self.names.say(&plain(value))));
        let fields = fields.collect::<Vec<_>>().join(", ");
        let host = self.timeline.host(&said.host);
        let off = host.map(|host| self.off(host, said.at_nanos)).unwrap_or_default();
        Clause {
            at_nanos: said.at_nanos,
            host: Some(said.host.clone()),
            text: format!(
                "{}{}{}{off}",
                said.message,
                if fields.is_empty() { "" } else { ": " },
                fields
            ),
            decisive,
        }
    }

    /// What became of the calls that a process made to a provider.
    fn of_calls(&self, violation: &Violation) -> Vec<Clause> {
        let is_subject = |name: &str| violation.subjects.iter().any(|subject| subject == name);
        let telemetry = self.run.history.telemetry.iter();
        let calls = telemetry.filter(|said| {
            is_subject(&said.host)
                && said.text("dependency").is_some_and(is_subject)
                && !said.message.starts_with("asks")
        });
        calls
            .map(|said| self.said(said, said.flag("failed") == Some(true)))
            .collect()
    }

    /// What was booked on an account, and what its row makes of it.
    fn of_account(&self, account: &str, violation: &Violation) -> Vec<Clause> {
        let Some(books) = &self.run.history.books else {
            return Vec::new();
        };
        let name = self.names.say(account);
        let entries = legs(books).filter_map(|(transfer, leg)| {
            let (place, sign) = match account {
                _ if leg.debit == account => (leg.debit_place, -1),
                _ if leg.credit == account => (leg.credit_place, 1),
                _ => return None,
            };
            Some((transfer, leg, place, sign))
        });
        let mut entries: Vec<_> = entries.collect();
        entries.sort_by_key(|(_, _, place, _)| *place);
        let alone = |place: i64| entries.iter().filter(|(_, _, other, _)| *other == place).count() == 1;
        let overdrawn = violation.evidence.contains("overdrawn");
        let mut sum = 0;
        let mut clauses = Vec::new();
        for (transfer, leg, place, sign) in &entries {
            sum += if leg.phase == "posted" {
                sign * leg.amount
            } else {
                0
            };
            clauses.push(Clause {
                at_nanos: booked_at(transfer),
                host: None,
                text: format!(
                    "entry {place} of {name}: {} {}, {} of {}; that makes {}",
                    amount(sign * leg.amount, &leg.currency),
                    leg.phase,
                    transfer.step,
                    self.payment_name(&transfer.payment),
                    amount(sum, &leg.currency)
                ),
                // Two bookings on the same state of the account: one does not know of the other.
                decisive: !alone(*place) || overdrawn && sum < 0,
            });
        }
        let row = books.accounts.iter().find(|row| row.id == account);
        if let Some(row) = row.filter(|row| row.balance != sum) {
            clauses.push(Clause {
                at_nanos: clauses
                    .iter()
                    .map(|clause| clause.at_nanos)
                    .max()
                    .unwrap_or_default(),
                host: None,
                text: format!(
                    "in the end {name} has a balance of {}, and its posted entries come to {}",
                    amount(row.balance, &row.currency),
                    amount(sum, &row.currency)
                ),
                decisive: true,
            });
        }
        clauses
    }

    /// What was booked from accounts of one currency to those of another: the same number of minor units of both.
    fn of_books(&self) -> Vec<Clause> {
        let Some(books) = &self.run.history.books else {
            return Vec::new();
        };
        let rows = books.accounts.iter().map(|row| (row.id.as_str(), row));
        let rows: BTreeMap<_, _> = rows.collect();
        let strange = legs(books).filter_map(|(transfer, leg)| {
            let (from, to) = (rows.get(leg.debit.as_str())?, rows.get(leg.credit.as_str())?);
            (from.currency != to.currency).then(|| Clause {
                at_nanos: booked_at(transfer),
                host: None,
                text: format!(
                    "{} of {}: {} from {} to {}",
                    transfer.step,
                    self.payment_name(&transfer.payment),
                    amount(leg.amount, &leg.currency),
                    self.names.say(&leg.debit),
                    self.names.say(&leg.credit)
                ),
                decisive: true,
            })
        });
        strange.collect()
    }

    /// What was recorded of requests that belong to no payment.
    fn of_keys(&self, violation: &Violation) -> Vec<Clause> {
        let attempts = self.run.history.attempts.iter();
        let attempts = attempts.filter(|attempt| violation.subjects.contains(&attempt.key));
        let attempts = attempts.map(|attempt| {
            let answer = match attempt.status {
                Some(status) => format!("answered {status}"),
                None => "no answer".to_owned(),
            };
            Clause {
                at_nanos: attempt.at_nanos,
                host: Some(attempt.client.clone()),
                text: format!("asks {} under {}; {answer}", attempt.gateway, attempt.key),
                decisive: true,
            }
        });
        let mut clauses = abridged(attempts.collect(), MOST_CLAUSES, MOST_REPEATS);
        let telemetry = self.run.history.telemetry.iter();
        let telemetry = telemetry.filter(|said| of_request(said, violation));
        clauses.extend(self.telemetry(telemetry, violation));
        clauses
    }

    /// Faults that bit and began in this time.
    pub(super) fn faults(&self, from: u64, to: u64) -> Vec<Clause> {
        let planned = self.run.planned();
        let bit = planned.filter(|(_, bites)| *bites > 0).map(|(planned, _)| {
            let lasting = match planned.lasting {
                Some(lasting) => format!(", for {}", short(lasting)),
                None if planned.fault.is_instant() => String::new(),
                None => ", to the end".to_owned(),
            };
            (planned.at, format!("{}{lasting}", planned.fault))
        });
        let spells = self.spells().map(|(provider, spell)| {
            let what = provider.misbehaves(&spell.behaviour);
            (spell.at, format!("{what}, for {}", short(spell.lasting)))
        });
        let all = bit.chain(spells).map(|(at, what)| Clause {
            at_nanos: at.as_nanos() as u64,
            host: None,
            text: format!("fault: {what}"),
            decisive: false,
        });
        all.filter(|clause| (from..=to).contains(&clause.at_nanos))
            .collect()
    }
}

/// All legs of the books, each with its transfer.
fn legs(books: &Books) -> impl Iterator<Item = (&Transfer, &TransferLeg)> {
    let transfers = books.transfers.iter();
    transfers.flat_map(|transfer| transfer.legs.iter().map(move |leg| (transfer, leg)))
}

/// When a transfer was booked, in nanoseconds since the world began.
fn booked_at(transfer: &Transfer) -> u64 {
    since_start(transfer.posted_at_nanos)
        .try_into()
        .unwrap_or_default()
}

/// What was repeated more than `most` times: the first `begin` of it and the last, which says how often it was.
fn abridged(mut clauses: Vec<Clause>, most: usize, begin: usize) -> Vec<Clause> {
    let times = clauses.len();
    if times > most {
        clauses.drain(begin..times - 1);
        if let Some(last) = clauses.last_mut() {
            last.text += &format!(" (the last of {times} times)");
        }
    }
    clauses
}

/// Whether a process said it of a request that failed.
fn of_request(said: &Telemetry, violation: &Violation) -> bool {
    let key = said.text("idempotency_key");
    key.is_some_and(|key| violation.subjects.iter().any(|subject| subject == key))
}

/// Whether the failure is in what a process said here.
fn decides(violation: &Violation, said: &Telemetry) -> bool {
    let names = |part: &str| violation.subjects.iter().any(|subject| subject.contains(part));
    let declined = || {
        said.text("outcome")
            .is_some_and(|outcome| !outcome.starts_with("Succeeded"))
    };
    let subject = match violation.place.as_str() {
        "stale-holder" => {
            let operation = said.text("operation").map(|kind| format!("-{kind}-"));
            ["taken up", "settled"].contains(&said.message.as_str())
                && operation.is_some_and(|operation| names(&operation))
        }
        "shared-fence" => said.text("dependency").is_some() && said.text("key").is_some_and(names),
        "claimed-twice" => said.message == "claimed",
        "never-delivered" | "effect-missing" | "audit" => {
            let number = event_number(&violation.evidence);
            let event = match said.message.as_str() {
                "payment committed" => said.number("version"),
                message if message.starts_with("event ") => said.number("seq"),
                _ => None,
            };
            event.is_some() && event == number
        }
        _ => violation.property == "captures" && declined(),
    };
    subject || said.level == "ERROR"
}

/// Which event of its payment a sentence speaks of: `event 4 of payment ..`, `.. has 7 events of 8`. It has the number of the
/// payment's version.
fn event_number(evidence: &str) -> Option<i64> {
    let after = ["event ", "events of "].into_iter();
    let rest = after
        .filter_map(|words| Some(evidence.split_once(words)?.1))
        .next()?;
    let digits = rest.split(|letter: char| !letter.is_ascii_digit()).next()?;
    digits.parse().ok()
}

/// The decisive events and, as far as there is room, those around them.
pub(super) fn shortened(clauses: Vec<Clause>) -> Vec<Clause> {
    let mut room = MOST_CLAUSES.saturating_sub(clauses.iter().filter(|clause| clause.decisive).count());
    let near = |place: usize| {
        let decisive = clauses.iter().enumerate().filter(|(_, clause)| clause.decisive);
        // What came afterwards explains less than what led to it.
        let distance = decisive.map(|(at, _)| if place > at { 3 * (place - at) } else { at - place });
        distance.min().unwrap_or(place)
    };
    let mut places: Vec<usize> = (0..clauses.len()).collect();
    places.sort_by_key(|place| (near(*place), *place));
    let mut kept: Vec<usize> = Vec::new();
    for place in places {
        if clauses[place].decisive {
            kept.push(place);
        } else if room > 0 {
            room -= 1;
            kept.push(place);
        }
    }
    kept.sort_unstable();
    kept.truncate(2 * MOST_CLAUSES);
    kept.into_iter().map(|place| clauses[place].clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_event_that_a_sentence_speaks_of_is_known() {
        for (evidence, number) in [
            ("event 4 of payment x is pending", Some(4)),
            ("payment x has 7 events of 18", Some(18)),
            ("the books in EUR sum to 5", None),
        ] {
            assert_eq!(event_number(evidence), number);
        }
    }

    #[test]
    fn what_is_repeated_is_told_in_the_beginning_and_in_the_end() {
        let told = |times: u64, most, begin| {
            let clauses = (0..times).map(|number| Clause {
                at_nanos: number,
                host: None,
                text: number.to_string(),
                decisive: false,
            });
            let told = abridged(clauses.collect(), most, begin).into_iter();
            told.map(|clause| clause.text).collect::<Vec<_>>()
        };
        assert_eq!(told(3, 3, 1), ["0", "1", "2"]);
        assert_eq!(told(4, 3, 1), ["0", "3 (the last of 4 times)"]);
        assert_eq!(told(9, 4, 2), ["0", "1", "8 (the last of 9 times)"]);
        assert!(told(0, 3, 1).is_empty());
    }

    #[test]
    fn decisive_events_are_told_however_many_there_are_around() {
        let clause = |place: u64| Clause {
            at_nanos: place,
            host: None,
            text: String::new(),
            decisive: place == 3 || place == 90,
        };
        let told = shortened((0..100).map(clause).collect());
        assert_eq!(told.len(), MOST_CLAUSES);
        assert_eq!(told.iter().filter(|clause| clause.decisive).count(), 2);
        assert!(told.is_sorted_by_key(|clause| clause.at_nanos));
    }
}
