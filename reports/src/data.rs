//! What the page of a run draws from: the data that its script reads.
//!
//! Times are microseconds of true time; hosts, payments and messages are places in their lists.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use sumzero_sim::Fault;

use crate::{
    Run, Story,
    money::amount,
    names::Names,
    providers::spells,
    story::{asked, plain},
    timeline::Timeline,
};

/// So many messages a page can hold and still open at once. Of more, it holds those of payments and a part of the others.
const MOST_MESSAGES: usize = 100_000;

/// What the data is made from.
pub(crate) struct Data<'a> {
    pub(crate) run: &'a Run,
    pub(crate) names: &'a Names,
    pub(crate) timeline: &'a Timeline,
    pub(crate) story: &'a Story,
}

fn micros(nanos: u64) -> u64 {
    nanos / 1_000
}

impl Data<'_> {
    /// The data, and a note if not all of it is there.
    pub(crate) fn all(&self) -> (Value, String) {
        let history = &self.run.history;
        let host = |name: &str| self.timeline.host(name).map_or(-1, |host| host as i64);
        let payment = |key: &str| self.names.payment(key).map_or(-1, |payment| payment as i64);
        let of_payments = self.timeline.messages_of(history, self.names);
        let (kept, sampled) = self.sample(&of_payments);
        let places: BTreeMap<usize, usize> = kept
            .iter()
            .enumerate()
            .map(|(place, message)| (*message, place))
            .collect();
        let messages: Vec<i64> = kept
            .iter()
            .map(|place| &self.timeline.messages[*place])
            .flat_map(|message| {
                [
                    message.id as i64,
                    micros(message.at) as i64,
                    message.took.map_or(-1, |took| micros(took) as i64),
                    message.from as i64,
                    message.to as i64,
                    message.bytes as i64,
                ]
            })
            .collect();
        // What is drawn as an arrow has to be looked for as far back as it took; few take longer than this.
        let longest = self
            .timeline
            .messages
            .iter()
            .filter_map(|message| message.took)
            .max()
            .unwrap_or(0);
        let states: BTreeMap<&str, &str> = history
            .payments()
            .iter()
            .map(|payment| (payment.id.as_str(), payment.state.as_str()))
            .collect();
        let payments = self.names.payments.iter().enumerate().map(|(place, id)| {
            json!({
                "id": id,
                "name": Names::name(place),
                "state": states.get(id.as_str()).copied().unwrap_or("not in the ledger"),
                "messages": of_payments[place].iter().filter_map(|message| places.get(message)).collect::<Vec<_>>(),
            })
        });
        let end = self
            .run
            .verdict
            .measures
            .finished_at_nanos
            .max(self.run.trace.last().map_or(0, |last| last.at.as_nanos()));
        let data = json!({
            "end": micros(end).max(1),
            "subject": self.story.payment.map_or(-1, |payment| payment as i64),
            "longest": micros(longest),
            "hosts": self.timeline.hosts.iter().map(|line| json!({
                "name": line.name, "region": line.region,
                "spells": line.spells.iter().map(|(from, to, down)| json!([micros(*from), micros(*to), if *down { "down" } else { "paused" }])).collect::<Vec<_>>(),
            })).collect::<Vec<_>>(),
            "clocks": self.timeline.hosts.iter().map(|line| {
                let off = line.clock.iter().any(|(_, skew)| *skew != 0);
                let corners = line.clock.iter().filter(|_| off).map(|(at, skew)| json!([micros(*at), skew / 1_000]));
                corners.collect::<Vec<_>>()
            }).collect::<Vec<_>>(),
            "faults": self.faults(),
            "messages": messages,
            "marks": self.timeline.marks.iter().map(|mark| json!({
                "t": micros(mark.at), "host": mark.host, "kind": mark.kind, "text": mark.text,
            })).collect::<Vec<_>>(),
            "telemetry": history.telemetry.iter().map(|said| {
                let id = said.text("payment_id");
                let fields = said.fields.iter().filter(|(name, _)| !["payment_id", "tenant"].contains(&name.as_str()));
                json!({
                    "t": micros(said.at_nanos), "host": host(&said.host), "level": said.level, "message": said.message,
                    "fields": fields.map(|(name, value)| format!("{name}={}", self.names.say(&plain(value)))).collect::<Vec<_>>().join(" "),
                    "payment": id.map_or(-1, payment),
                })
            }).collect::<Vec<_>>(),
            "attempts": history.attempts.iter().map(|attempt| json!({
                "t": micros(attempt.at_nanos), "took": attempt.took.as_micros() as u64, "host": host(&attempt.client),
                "gateway": attempt.gateway, "key": attempt.key, "status": attempt.status, "payment": payment(&attempt.key),
            })).collect::<Vec<_>>(),
            "effects": history.effects.iter().map(|effect| json!({
                "t": micros(effect.at_nanos), "host": host("psp"), "payment": payment(&effect.payment),
                "text": format!("the provider does it: {:?} of {}\nunder the key {}", effect.kind, amount(effect.amount, &effect.currency), self.names.say(&effect.key)),
            })).collect::<Vec<_>>(),
            "told": self.told(),
            "payments": payments.collect::<Vec<_>>(),
            "clauses": self.story.clauses.iter().enumerate().map(|(place, clause)| json!({
                "n": place + 1, "t": micros(clause.at_nanos), "host": clause.host.as_deref().map_or(-1, host),
                "text": clause.text, "decisive": clause.decisive,
            })).collect::<Vec<_>>(),
        });
        (data, sampled)
    }

    fn told(&self) -> Vec<Value> {
        let payment = |key: &str| self.names.payment(key).map_or(-1, |payment| payment as i64);
        let told = self.run.history.told.iter().map(|told| {
            json!({
                "t": micros(told.at_nanos), "key": told.key, "path": told.path, "status": told.status, "attempts": told.attempts,
                "took": told.took.as_micros() as u64, "payment": payment(&told.key), "body": self.names.say(&told.body),
            })
        });
        let unanswered = self.run.history.unanswered.iter().map(|key| {
            let attempts = self.run.history.attempts.iter().filter(|attempt| attempt.key == *key).count();
            json!({
                "t": null, "key": key, "path": "", "status": null, "attempts": attempts, "took": 0, "payment": payment(key),
                "body": "",
            })
        });
        told.chain(unanswered).collect()
    }

    fn faults(&self) -> Vec<Value> {
        let lines = &self.timeline.hosts;
        let planned = self.run.planned().map(|(planned, bites)| {
            let places = planned.fault.places();
            let service = match &planned.fault {
                Fault::Service { service, .. } => serde_json::to_value(service).ok(),
                _ => None,
            };
            let is_struck = |name: &str, region: &str| match &service {
                // A simulated service stands on a host of its own in each Region.
                Some(service) => service.as_str().is_some_and(|service| {
                    name.starts_with(service) && (places.contains(&region) || places.contains(&"*"))
                }),
                None => places.contains(&name) || places.contains(&region) || places.contains(&"*"),
            };
            let struck = lines
                .iter()
                .enumerate()
                .filter(|(_, line)| is_struck(&line.name, &line.region));
            let kind = match (places.len(), &service) {
                (_, Some(_)) => "service",
                (2, _) => "link",
                _ if lines.iter().any(|line| places.contains(&line.region.as_str())) => "Region",
                _ => "host",
            };
            let end = match planned.lasting {
                Some(lasting) => Some(planned.at + lasting),
                None => planned.fault.is_instant().then_some(planned.at),
            };
            json!({
                "what": planned.fault.to_string(), "kind": kind,
                "from": planned.at.as_micros() as u64, "to": end.map(|end| end.as_micros() as u64),
                "hosts": struck.map(|(host, _)| host).collect::<Vec<_>>(),
                "bites": bites,
            })
        });
        let spells = spells(&self.run.script).map(|(provider, spell)| {
            json!({
                "what": provider.misbehaves(&spell.behaviour), "kind": "provider",
                "from": spell.at.as_micros() as u64, "to": spell.at.saturating_add(spell.lasting).as_micros() as u64,
                "hosts": self.timeline.host(provider.host).into_iter().collect::<Vec<_>>(), "bites": 1,
            })
        });
        let asked = asked(&self.run.script).map(|(at, lasting, what)| {
            let to = at + lasting.unwrap_or_default();
            json!({
                "what": what, "kind": "operator", "from": at.as_micros() as u64, "to": to.as_micros() as u64,
                "hosts": [], "bites": 1,
            })
        });
        planned.chain(spells).chain(asked).collect()
    }

    /// The messages that the page holds: all, or those of payments and every so manyth of the others.
    fn sample(&self, of_payments: &[BTreeSet<usize>]) -> (Vec<usize>, String) {
        let count = self.timeline.messages.len();
        if count <= MOST_MESSAGES {
            return ((0..count).collect(), String::new());
        }
        let mut of_any: Vec<usize> = of_payments.iter().flatten().copied().collect();
        of_any.sort_unstable();
        of_any.dedup();
        let step = count.div_ceil(MOST_MESSAGES.saturating_sub(of_any.len()).max(1));
        let kept = (0..count).filter(|place| place % step == 0 || of_any.binary_search(place).is_ok());
        let note = format!(
            "<p class=\"soft\">There were {count} messages. All those of payments are here, and one in {step} of the others.</p>"
        );
        (kept.collect(), note)
    }
}
