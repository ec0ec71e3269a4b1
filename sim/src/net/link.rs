//! The way from one host to another: how long it takes, what it loses, what is wrong with it at the moment.

use std::sync::Arc;
use std::time::Duration;

use super::topology::{HostId, Topology};
use crate::error::Error;
use crate::kernel::{Seed, Stream};
use crate::time::Time;

/// The payload of one packet. Only loss is counted in packets; all else is counted in bytes.
const MAXIMUM_SEGMENT_BYTES: u64 = 1448;

/// The smallest retransmission time-out of Linux (`TCP_RTO_MIN`), which it adds to the measured round trip.
pub(crate) const RETRANSMISSION_FLOOR: Duration = Duration::from_millis(200);

/// What one direction of a way between two hosts is like when nothing is wrong with it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Link {
    /// One way.
    pub delay: Duration,
    /// Added to the delay: drawn evenly from zero to this, for each message.
    pub jitter: Duration,
    /// The probability that a packet is lost, from 0 to 1.
    pub loss: f64,
    /// Bytes a second; none is no limit. Each pair of hosts has the whole of it.
    pub bandwidth: Option<u64>,
}

impl Link {
    /// A loss-free link of this one-way delay, without jitter and without a limit on bandwidth.
    pub const fn delay(delay: Duration) -> Link {
        Link {
            delay,
            jitter: Duration::ZERO,
            loss: 0.0,
            bandwidth: None,
        }
    }

    /// With up to this much added to the delay of each message.
    pub const fn jitter(self, jitter: Duration) -> Link {
        Link { jitter, ..self }
    }

    /// With this probability of losing a packet, from 0 to 1.
    pub const fn loss(self, loss: f64) -> Link {
        Link { loss, ..self }
    }

    /// With this many bytes a second.
    pub const fn bandwidth(self, bytes_per_second: u64) -> Link {
        Link {
            bandwidth: Some(bytes_per_second),
            ..self
        }
    }

    pub(crate) fn check(&self, name: &str) -> Result<(), Error> {
        let wrong = |field: &'static str, value: String, range: &'static str| {
            Err(Error::OutOfRange {
                what: name.to_owned(),
                field,
                value,
                range,
            })
        };
        if !(0.0..=1.0).contains(&self.loss) {
            return wrong("loss", self.loss.to_string(), "0 to 1");
        }
        if self.bandwidth == Some(0) {
            return wrong("bandwidth", "0".to_owned(), "at least 1 byte a second");
        }
        let longest = Duration::from_secs(600);
        for (field, value) in [("delay", self.delay), ("jitter", self.jitter)] {
            if value > longest {
                return wrong(field, format!("{value:?}"), "0s to 10m");
            }
        }
        Ok(())
    }

    /// The links that a world has where its builder says nothing: figures of the order that AWS shows.
    fn standard(topology: &Topology, from: HostId, to: HostId) -> Link {
        if from == to {
            return Link::delay(Duration::from_micros(10));
        }
        let micros = Duration::from_micros;
        if topology.same_zone(from, to) {
            return Link::delay(micros(150)).jitter(micros(100));
        }
        if topology.same_region(from, to) {
            return Link::delay(micros(500)).jitter(micros(300));
        }
        Link::delay(micros(30_000)).jitter(micros(3_000))
    }
}

/// Which packets a black-holed port swallows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Traffic {
    /// Those that come to the host, addressed to this port of it.
    Ingress,
    /// Those that leave the host, addressed to this port of a peer.
    Egress,
}

/// What a fault does to the links, while it lasts.
#[derive(Clone, Debug)]
pub(crate) enum Effect {
    Cut {
        ways: Vec<(HostId, HostId)>,
    },
    Slow {
        ways: Vec<(HostId, HostId)>,
        delay: Duration,
        jitter: Duration,
    },
    Lossy {
        ways: Vec<(HostId, HostId)>,
        loss: f64,
    },
    Narrow {
        ways: Vec<(HostId, HostId)>,
        bytes_per_second: u64,
    },
    Hole {
        hosts: Vec<HostId>,
        port: u16,
        traffic: Traffic,
    },
}

/// One direction between two hosts, as it is now.
struct Way {
    link: Link,
    now: Link,
    /// The fault that cut it, if one did.
    cut_by: Option<u32>,
    /// The faults that slow it or narrow it or lose on it.
    touched_by: Vec<u32>,
    /// When its last byte will have left, where bandwidth is limited.
    free_at: Time,
    stream: Option<Box<Stream>>,
}

/// Every way between every two hosts.
pub(crate) struct Links {
    ways: Vec<Way>,
    hosts: usize,
    effects: Vec<(u32, Effect)>,
    /// By fault: how often it touched a message.
    bites: Vec<u64>,
    seed: Seed,
    names: Vec<Arc<str>>,
}

/// Where a packet goes.
#[derive(Clone, Copy)]
pub(crate) struct Route {
    pub(crate) from: HostId,
    pub(crate) to: HostId,
    pub(crate) to_port: u16,
}

impl Route {
    fn stream(self, seed: Seed, names: &[Arc<str>]) -> Box<Stream> {
        Box::new(seed.stream(&format!(
            "net/{}->{}",
            names[self.from.index()],
            names[self.to.index()]
        )))
    }
}

impl Links {
    pub(crate) fn new(
        topology: &Topology,
        seed: Seed,
        overrides: &[(String, String, Link)],
    ) -> Result<Links, Error> {
        let hosts = topology.len();
        let mut ways = Vec::with_capacity(hosts * hosts);
        for from in topology.hosts() {
            for to in topology.hosts() {
                let link = Link::standard(topology, from, to);
                ways.push(Way {
                    link,
                    now: link,
                    cut_by: None,
                    touched_by: Vec::new(),
                    free_at: Time::ZERO,
                    stream: None,
                });
            }
        }
        let mut links = Links {
            ways,
            hosts,
            effects: Vec::new(),
            bites: Vec::new(),
            seed,
            names: topology.names(),
        };
        for (a, b, link) in overrides {
            link.check(&format!("the link between {a} and {b}"))?;
            for &from in topology.place(a)? {
                for &to in topology.place(b)? {
                    if from != to {
                        for index in [links.index(from, to), links.index(to, from)] {
                            links.ways[index].link = *link;
                            links.ways[index].now = *link;
                        }
                    }
                }
            }
        }
        Ok(links)
    }

    fn index(&self, from: HostId, to: HostId) -> usize {
        from.index() * self.hosts + to.index()
    }

    /// Adds the effect of fault `index`.
    pub(crate) fn impose(&mut self, index: u32, effect: Effect) {
        self.effects.push((index, effect));
        self.refresh();
    }

    /// Takes the effects of fault `index` away, and leaves every other as it is.
    pub(crate) fn lift(&mut self, index: u32) {
        self.effects.retain(|(of, _)| *of != index);
        self.refresh();
    }

    fn refresh(&mut self) {
        for way in &mut self.ways {
            way.now = way.link;
            way.cut_by = None;
            way.touched_by.clear();
        }
        let effects = std::mem::take(&mut self.effects);
        for (index, effect) in &effects {
            let (Effect::Cut { ways }
            | Effect::Slow { ways, .. }
            | Effect::Lossy { ways, .. }
            | Effect::Narrow { ways, .. }) = effect
            else {
                continue;
            };
            for &(from, to) in ways {
                let place = self.index(from, to);
                let way = &mut self.ways[place];
                match effect {
                    Effect::Cut { .. } => {
                        way.cut_by.get_or_insert(*index);
                        continue;
                    }
                    Effect::Slow { delay, jitter, .. } => {
                        way.now.delay += *delay;
                        way.now.jitter += *jitter;
                    }
                    // Two lossy stretches in a row: a packet survives if it survives both.
                    Effect::Lossy { loss, .. } => way.now.loss = 1.0 - (1.0 - way.now.loss) * (1.0 - loss),
                    Effect::Narrow { bytes_per_second, .. } => {
                        let narrowest = way.now.bandwidth.unwrap_or(u64::MAX).min(*bytes_per_second);
                        way.now.bandwidth = Some(narrowest);
                    }
                    Effect::Hole { .. } => {}
                }
                way.touched_by.push(*index);
            }
        }
        self.effects = effects;
    }

    /// Whether a packet gets through at this moment; notes which fault stopped it.
    pub(crate) fn open(&mut self, route: Route) -> bool {
        if route.from == route.to {
            return true;
        }
        let blocked_by = self.ways[self.index(route.from, route.to)].cut_by.or_else(|| {
            self.effects.iter().find_map(|(index, effect)| match effect {
                Effect::Hole { hosts, port, traffic } if *port == route.to_port => {
                    let end = match traffic {
                        Traffic::Ingress => route.to,
                        Traffic::Egress => route.from,
                    };
                    hosts.contains(&end).then_some(*index)
                }
                _ => None,
            })
        });
        if let Some(index) = blocked_by {
            self.bite(index);
        }
        blocked_by.is_none()
    }

    /// When `bytes` that leave now will have arrived, losses and their retransmission included.
    pub(crate) fn arrival(&mut self, now: Time, route: Route, bytes: u64) -> Time {
        let round_trip = self.round_trip(route.from, route.to);
        let index = self.index(route.from, route.to);
        let way = &mut self.ways[index];
        let mut left = now;
        if let Some(bytes_per_second) = way.now.bandwidth {
            let nanos = u128::from(bytes) * 1_000_000_000 / u128::from(bytes_per_second);
            left = left.max(way.free_at) + Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
            way.free_at = left;
        }
        let mut flight = way.now.delay;
        if !way.now.jitter.is_zero() || way.now.loss > 0.0 {
            let stream = way
                .stream
                .get_or_insert_with(|| route.stream(self.seed, &self.names));
            flight += Duration::from_nanos(stream.below(way.now.jitter.as_nanos() as u64 + 1));
            if way.now.loss > 0.0 {
                flight += loss_delay(stream, way.now.loss, bytes, round_trip);
            }
        }
        for place in 0..self.ways[index].touched_by.len() {
            let fault = self.ways[index].touched_by[place];
            self.bite(fault);
        }
        left + flight
    }

    /// One packet's fate on a lossy way, for packets whose loss is not made good by TCP itself (a SYN).
    pub(crate) fn lost(&mut self, route: Route) -> bool {
        let index = self.index(route.from, route.to);
        let way = &mut self.ways[index];
        if way.now.loss <= 0.0 {
            return false;
        }
        let loss = way.now.loss;
        way.stream
            .get_or_insert_with(|| route.stream(self.seed, &self.names))
            .chance(loss)
    }

    /// The delay there and back, without jitter.
    pub(crate) fn round_trip(&self, a: HostId, b: HostId) -> Duration {
        self.ways[self.index(a, b)].now.delay + self.ways[self.index(b, a)].now.delay
    }

    pub(crate) fn bite(&mut self, fault: u32) {
        let place = fault as usize;
        if self.bites.len() <= place {
            self.bites.resize(place + 1, 0);
        }
        self.bites[place] += 1;
    }

    pub(crate) fn bites(&self, fault: u32) -> u64 {
        self.bites.get(fault as usize).copied().unwrap_or(0)
    }
}

/// How much later a message is whole when packets of it are lost: one retransmission time-out for each time in a
/// row that something of it is lost again, each twice the one before.
fn loss_delay(stream: &mut Stream, loss: f64, bytes: u64, round_trip: Duration) -> Duration {
    let mut missing = bytes.div_ceil(MAXIMUM_SEGMENT_BYTES).max(1);
    let mut wait = RETRANSMISSION_FLOOR + round_trip;
    let mut delay = Duration::ZERO;
    // Linux gives up after 15; a world with that much loss wants a cut, which does time out.
    for _ in 0..15 {
        let survives = (1.0 - loss).powi(missing.min(1 << 20) as i32);
        if stream.fraction() < survives {
            break;
        }
        delay += wait;
        wait = (wait * 2).min(Duration::from_secs(120));
        // Of what was sent, only the lost part goes again.
        missing = ((missing as f64 * loss).ceil() as u64).max(1);
    }
    delay
}
