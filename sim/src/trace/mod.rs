//! The trace of a world: every event with true time, host, the host's own clock and a cause.
//!
//! A rolling hash over the events is always kept; two runs with the same hash did the same things in the same
//! order with the same bytes. The events themselves are kept or written only when asked for: without that, an
//! event costs one hash of 80 bytes and no allocation.

mod divergence;
mod event;

pub use divergence::{Divergence, first_divergence};
pub use event::{Event, Kind};

use std::fmt;
use std::io::Write;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::net::HostId;
use crate::time::Time;

/// The rolling hash of a trace. Prints as 16 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TraceHash(pub u64);

impl fmt::Display for TraceHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// Where the events of a world go, besides into its hash.
#[derive(Default)]
pub enum Sink {
    /// Nowhere.
    #[default]
    Off,
    /// Into [`Outcome::trace`](crate::Outcome::trace).
    Memory,
    /// As lines for people to read.
    Text(Box<dyn Write + Send>),
    /// As one JSON object a line.
    JsonLines(Box<dyn Write + Send>),
}

impl fmt::Debug for Sink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Sink::Off => "Off",
            Sink::Memory => "Memory",
            Sink::Text(_) => "Text",
            Sink::JsonLines(_) => "JsonLines",
        })
    }
}

pub(crate) struct Trace {
    hash: u64,
    count: u64,
    names: Vec<Arc<str>>,
    sink: Sink,
    kept: Vec<Event>,
    /// The first failure to write; the world goes on, and says so at its end.
    failed: Option<std::io::Error>,
}

/// An event before it has a number.
pub(crate) struct Happening<'a> {
    pub(crate) at: Time,
    pub(crate) host: Option<(HostId, i64)>,
    pub(crate) peer: Option<HostId>,
    pub(crate) cause: u64,
    pub(crate) kind: &'a Kind,
}

impl Trace {
    pub(crate) fn new(seed: u64, names: Vec<Arc<str>>, sink: Sink) -> Trace {
        let hash = xxh3_64_with_seed(b"sumzero trace 1", seed);
        Trace {
            hash,
            count: 0,
            names,
            sink,
            kept: Vec::new(),
            failed: None,
        }
    }

    /// Adds an event and answers its number.
    pub(crate) fn record(&mut self, happening: &Happening<'_>) -> u64 {
        self.count += 1;
        let (host, clock_nanos) = match happening.host {
            Some((host, clock_nanos)) => (host.index() as u64 + 1, clock_nanos),
            None => (0, 0),
        };
        let peer = happening.peer.map_or(0, |peer| peer.index() as u64 + 1);
        let [a, b, c, d, e] = happening.kind.words();
        let words = [
            happening.at.as_nanos(),
            host,
            clock_nanos as u64,
            happening.cause,
            peer,
            a,
            b,
            c,
            d,
            e,
        ];
        let mut bytes = [0; 80];
        for (place, word) in bytes.chunks_exact_mut(8).zip(words) {
            place.copy_from_slice(&word.to_le_bytes());
        }
        self.hash = xxh3_64_with_seed(&bytes, self.hash);
        if !matches!(self.sink, Sink::Off) {
            self.emit(happening);
        }
        self.count
    }

    #[cold]
    fn emit(&mut self, happening: &Happening<'_>) {
        let name = |host: HostId| self.names[host.index()].clone();
        let event = Event {
            id: self.count,
            at: happening.at,
            host: happening.host.map(|(host, _)| name(host)),
            clock_nanos: happening.host.map(|(_, clock_nanos)| clock_nanos),
            cause: happening.cause,
            peer: happening.peer.map(name),
            kind: happening.kind.clone(),
        };
        let written = match &mut self.sink {
            Sink::Off => Ok(()),
            Sink::Memory => {
                self.kept.push(event);
                Ok(())
            }
            Sink::Text(to) => writeln!(to, "{event}"),
            Sink::JsonLines(to) => serde_json::to_writer(&mut *to, &event)
                .map_err(Into::into)
                .and_then(|()| writeln!(to)),
        };
        if let Err(error) = written {
            self.failed.get_or_insert(error);
        }
    }

    pub(crate) fn hash(&self) -> TraceHash {
        TraceHash(self.hash)
    }

    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    /// Flushes and closes the sink; answers the events kept in memory.
    pub(crate) fn finish(&mut self) -> std::io::Result<Vec<Event>> {
        match std::mem::take(&mut self.sink) {
            Sink::Text(mut to) | Sink::JsonLines(mut to) => to.flush()?,
            Sink::Off | Sink::Memory => {}
        }
        match self.failed.take() {
            Some(error) => Err(error),
            None => Ok(std::mem::take(&mut self.kept)),
        }
    }
}
