//! The trace as it is drawn: lines for hosts, arrows for messages, marks, and who brought what about.
//!
//! What a host's program did between two waits is one instant of true time, so what the system said of a payment belongs to
//! the messages of that instant. Each event has one cause; the causes of an answer, back to the request, are the messages
//! that it took. Two causes are not the trace's own: an answer on a connection is brought about by the last that was heard on
//! it, however long a server took, and behind a timer one does not look, since nobody knows who set it.

use std::collections::{BTreeMap, BTreeSet};

use scenarios::{history::History, verdict::Verdict};
use sumzero_sim::trace::{Event, Kind};

use crate::names::Names;

/// So far back are the causes of one event followed.
const LONGEST_CHAIN: usize = 400;

/// Clocks are drawn to the millisecond.
const CLOCK_NANOS: i64 = 1_000_000;

/// A host's line.
#[derive(Debug)]
pub(crate) struct Line {
    pub(crate) name: String,
    pub(crate) region: String,
    /// Nanoseconds: from, to, and whether it was down (or only paused).
    pub(crate) spells: Vec<(u64, u64, bool)>,
    /// Nanoseconds of true time, and how far ahead its wall clock was: the corners of a line.
    pub(crate) clock: Vec<(u64, i64)>,
}

/// Bytes on their way. Times in nanoseconds.
#[derive(Debug)]
pub(crate) struct Message {
    pub(crate) id: u64,
    pub(crate) at: u64,
    /// None if it never arrived.
    pub(crate) took: Option<u64>,
    pub(crate) from: usize,
    pub(crate) to: usize,
    pub(crate) bytes: u64,
}

/// Something on a host's line.
#[derive(Debug)]
pub(crate) struct Mark {
    pub(crate) at: u64,
    pub(crate) host: usize,
    /// `life` or `trouble`.
    pub(crate) kind: &'static str,
    pub(crate) text: String,
}

#[derive(Clone, Copy, Debug, Default)]
struct Node {
    cause: u64,
    at: u64,
    message: Option<usize>,
}

/// The trace as it is drawn.
#[derive(Debug, Default)]
pub(crate) struct Timeline {
    pub(crate) hosts: Vec<Line>,
    pub(crate) messages: Vec<Message>,
    pub(crate) marks: Vec<Mark>,
    /// By number of the event, from 1.
    nodes: Vec<Node>,
    /// The last event of a host at an instant.
    instants: BTreeMap<(usize, u64), u64>,
    places: BTreeMap<String, usize>,
    /// By number of the connection: the host that asked for it.
    clients: BTreeMap<u32, usize>,
    /// The last event in which a host heard something on a connection.
    heard: BTreeMap<(u32, usize), u64>,
}

impl Timeline {
    pub(crate) fn new(verdict: &Verdict, trace: &[Event]) -> Timeline {
        let mut timeline = Timeline::default();
        let mut hosts: Vec<(String, String)> = verdict
            .hosts
            .iter()
            .map(|host| (host.name.clone(), host.region.clone()))
            .collect();
        // Hosts of one Region stand together, in the order in which the world has them.
        let mut regions: Vec<String> = Vec::new();
        for (_, region) in &hosts {
            if !regions.contains(region) {
                regions.push(region.clone());
            }
        }
        hosts.sort_by_key(|(_, region)| regions.iter().position(|known| known == region));
        for (name, region) in hosts {
            timeline.add_host(&name, &region);
        }
        timeline.nodes.push(Node::default());
        for event in trace {
            timeline.add(event);
        }
        let end = verdict.measures.finished_at_nanos;
        for line in &mut timeline.hosts {
            for spell in line.spells.iter_mut().filter(|spell| spell.1 == u64::MAX) {
                spell.1 = end.max(spell.0);
            }
        }
        timeline
    }

    fn add_host(&mut self, name: &str, region: &str) -> usize {
        let place = self.hosts.len();
        self.places.insert(name.to_owned(), place);
        self.hosts.push(Line {
            name: name.to_owned(),
            region: region.to_owned(),
            spells: Vec::new(),
            clock: Vec::new(),
        });
        place
    }

    /// A host's place; none for a name that no event and no verdict has.
    pub(crate) fn host(&self, name: &str) -> Option<usize> {
        self.places.get(name).copied()
    }

    fn place(&mut self, name: &str) -> usize {
        self.host(name)
            .unwrap_or_else(|| self.add_host(name, "elsewhere"))
    }

    fn add(&mut self, event: &Event) {
        let at = event.at.as_nanos();
        let host = event.host.as_deref().map(|name| self.place(name));
        let cause = self.nodes.get(event.cause as usize).copied().unwrap_or_default();
        let (mut because, mut message) = (event.cause, None);
        if let (Some(host), Some(skew)) = (host, event.skew_nanos()) {
            self.add_clock(host, at, skew);
        }
        match (&event.kind, host) {
            (Kind::Syn { connection, .. }, Some(client)) => {
                self.clients.insert(*connection, client);
            }
            (Kind::Wake { timer: true }, _) => because = 0,
            (
                Kind::Send {
                    bytes, connection, ..
                },
                Some(from),
            ) => {
                if self.clients.get(connection) != Some(&from) {
                    because = self.heard.get(&(*connection, from)).copied().unwrap_or(because);
                }
                let to = event.peer.as_deref().map_or(from, |peer| self.place(peer));
                message = Some(self.messages.len());
                self.messages.push(Message {
                    id: event.id,
                    at,
                    took: None,
                    from,
                    to,
                    bytes: *bytes,
                });
            }
            (Kind::Deliver { connection, .. }, _) => {
                message = cause.message;
                if let Some(host) = host {
                    self.heard.insert((*connection, host), event.id);
                }
                if let Some(message) = message.map(|place| &mut self.messages[place]) {
                    message.took.get_or_insert(at.saturating_sub(message.at));
                }
            }
            // What was lost and sent again is the same message.
            (Kind::Lost { .. } | Kind::Retransmit { .. }, _) => message = cause.message,
            _ => {}
        }
        if let Some(host) = host {
            self.add_mark(host, at, event);
            self.instants.insert((host, at), event.id);
        }
        self.nodes.push(Node {
            cause: because,
            at,
            message,
        });
    }

    fn add_clock(&mut self, host: usize, at: u64, skew: i64) {
        let clock = &mut self.hosts[host].clock;
        match clock.as_mut_slice() {
            [.., (_, before), (until, same)] if *before == *same && (skew - *same).abs() < CLOCK_NANOS => {
                *until = at
            }
            [.., (_, last)] if (skew - *last).abs() < CLOCK_NANOS => {
                let last = *last;
                clock.push((at, last));
            }
            _ => clock.push((at, skew)),
        }
    }

    fn add_mark(&mut self, host: usize, at: u64, event: &Event) {
        let kind = match event.kind {
            Kind::Boot { .. } | Kind::Resume => {
                if let Some(spell) = self.hosts[host]
                    .spells
                    .iter_mut()
                    .rfind(|spell| spell.1 == u64::MAX)
                {
                    spell.1 = at;
                }
                "life"
            }
            Kind::Kill | Kind::Lose { .. } | Kind::Exit { ok: false } | Kind::Pause => {
                let down = event.kind != Kind::Pause;
                self.hosts[host].spells.push((at, u64::MAX, down));
                "life"
            }
            Kind::Exit { ok: true } | Kind::Note { .. } => "life",
            Kind::Refused { .. } | Kind::Reset { .. } | Kind::TimedOut { .. } | Kind::Retransmit { .. } => {
                "trouble"
            }
            Kind::Syn { attempt, .. } if attempt > 0 => "trouble",
            _ => return,
        };
        let with = event
            .peer
            .as_deref()
            .map(|peer| format!(" ({peer})"))
            .unwrap_or_default();
        self.marks.push(Mark {
            at,
            host,
            kind,
            text: format!("{}{with}", event.kind),
        });
    }

    /// How far ahead a host's clock was, in nanoseconds.
    pub(crate) fn skew(&self, host: usize, at: u64) -> i64 {
        let clock = &self.hosts[host].clock;
        let after = clock.partition_point(|(corner, _)| *corner <= at);
        match (
            after.checked_sub(1).and_then(|before| clock.get(before)),
            clock.get(after),
        ) {
            (Some((_, skew)), _) | (None, Some((_, skew))) => *skew,
            (None, None) => 0,
        }
    }

    /// The messages that led to what happened on a host at an instant, the latest first, back to `since`.
    pub(crate) fn messages_before(&self, host: usize, at: u64, since: u64) -> Vec<usize> {
        let mut led = Vec::new();
        let mut event = self.instants.get(&(host, at)).copied().unwrap_or_default();
        for _ in 0..LONGEST_CHAIN {
            let Some(node) = self
                .nodes
                .get(event as usize)
                .filter(|node| event > 0 && node.at >= since)
            else {
                break;
            };
            if let Some(message) = node.message.filter(|message| led.last() != Some(message)) {
                led.push(message);
            }
            event = node.cause;
        }
        led
    }

    /// What a host sent at an instant.
    fn messages_at(&self, host: usize, at: u64) -> impl Iterator<Item = usize> {
        let first = self.messages.partition_point(|message| message.at < at);
        let same = self.messages[first..]
            .iter()
            .take_while(move |message| message.at == at);
        let places = same.enumerate().filter(move |(_, message)| message.from == host);
        places.map(move |(place, _)| first + place)
    }

    /// The messages of each payment, since a client first asked for it: those that led to what was said of it and were sent
    /// at that instant, to what the provider did, and to the answers that clients got.
    pub(crate) fn messages_of(&self, history: &History, names: &Names) -> Vec<BTreeSet<usize>> {
        let mut ends: Vec<Vec<(usize, u64)>> = vec![Vec::new(); names.payments.len()];
        let mut since = vec![u64::MAX; names.payments.len()];
        for attempt in &history.attempts {
            if let (Some(payment), Some(host)) = (names.payment(&attempt.key), self.host(&attempt.client)) {
                since[payment] = since[payment].min(attempt.at_nanos);
                ends[payment].push((host, attempt.at_nanos));
                ends[payment].push((host, attempt.at_nanos + attempt.took.as_nanos() as u64));
            }
        }
        for said in &history.telemetry {
            let payment = said
                .fields
                .get("payment_id")
                .and_then(|id| names.payment(id.as_str()?));
            if let (Some(payment), Some(host)) = (payment, self.host(&said.host)) {
                ends[payment].push((host, said.at_nanos));
            }
        }
        for effect in &history.effects {
            if let (Some(payment), Some(host)) = (names.payment(&effect.payment), self.host("psp")) {
                ends[payment].push((host, effect.at_nanos));
            }
        }
        let of = |(ends, since): (Vec<(usize, u64)>, u64)| {
            let since = if since == u64::MAX { 0 } else { since };
            let chains = ends.into_iter().flat_map(|(host, at)| {
                let led = self.messages_before(host, at, since);
                led.into_iter().chain(self.messages_at(host, at))
            });
            chains.collect()
        };
        ends.into_iter().zip(since).map(of).collect()
    }
}
