//! What a trace is made of.

use std::fmt;
use std::net::SocketAddrV4;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::time::Time;

/// One thing that happened in a world.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Its number: events are numbered from 1 in the order in which they happened.
    pub id: u64,
    /// True time.
    #[serde(rename = "at_ns")]
    pub at: Time,
    /// The host on which it happened; none for what happens to the world, such as a fault on a link.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<Arc<str>>,
    /// Nanoseconds since 1970 on that host's own wall clock.
    #[serde(rename = "clock_ns", default, skip_serializing_if = "Option::is_none")]
    pub clock_nanos: Option<i64>,
    /// The event that brought it about; 0 for what was planned from outside.
    pub cause: u64,
    /// The host at the other end, for what happens on a connection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer: Option<Arc<str>>,
    /// What happened.
    #[serde(flatten)]
    pub kind: Kind,
}

impl Event {
    /// How far the host's wall clock was ahead of the true time, in nanoseconds.
    pub fn skew_nanos(&self) -> Option<i64> {
        let truth = crate::kernel::EPOCH.as_nanos() as i64 + self.at.as_nanos() as i64;
        self.clock_nanos.map(|shown| shown - truth)
    }
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Kind {
    /// A host's process started, for the n-th time.
    Boot {
        /// 1 for the first start.
        incarnation: u32,
    },
    /// A host's program ended by itself.
    Exit {
        /// Whether it ended without an error.
        ok: bool,
    },
    /// A process was killed: its sockets were closed for it.
    Kill,
    /// A machine was lost: it fell silent.
    Lose {
        /// Whether its disk was lost with it.
        disk_lost: bool,
    },
    /// A process was stopped in its tracks.
    Pause,
    /// A paused process went on.
    Resume,
    /// A host's runtime was run.
    Wake {
        /// Whether a timer of its own was due; otherwise the outside woke it.
        timer: bool,
    },
    /// A port was opened for connections.
    Listen {
        /// The address listened on.
        address: SocketAddrV4,
    },
    /// A connection was asked for, or asked for again.
    Syn {
        /// The connection's number.
        connection: u32,
        /// The address asked.
        to: SocketAddrV4,
        /// 0 for the first try.
        attempt: u32,
    },
    /// A connection stands, on this host's side.
    Established {
        /// The connection's number.
        connection: u32,
    },
    /// Nothing listens at the address: connection refused.
    Refused {
        /// The connection's number.
        connection: u32,
    },
    /// Bytes left this host.
    Send {
        /// The connection's number.
        connection: u32,
        /// How many bytes.
        bytes: u64,
        /// XXH3 of the bytes.
        digest: u64,
        /// Whether the sender's FIN went with them.
        fin: bool,
    },
    /// Bytes on their way from this host were lost: a cut, a black hole or a dead machine.
    Lost {
        /// The connection's number.
        connection: u32,
    },
    /// Lost bytes were sent again.
    Retransmit {
        /// The connection's number.
        connection: u32,
        /// How many times in a row.
        attempt: u32,
    },
    /// Bytes arrived at this host.
    Deliver {
        /// The connection's number.
        connection: u32,
        /// How many bytes.
        bytes: u64,
        /// Whether the peer's FIN came with them.
        fin: bool,
    },
    /// This host learned that the connection was reset.
    Reset {
        /// The connection's number.
        connection: u32,
    },
    /// This host gave the connection up.
    TimedOut {
        /// The connection's number.
        connection: u32,
    },
    /// A host's program closed its side.
    Close {
        /// The connection's number.
        connection: u32,
    },
    /// A file's content was made durable.
    Sync {
        /// The file's path on the host's own disk.
        path: String,
        /// Its length in bytes.
        bytes: u64,
    },
    /// A fault set in.
    Fault {
        /// Its place in the plan.
        index: u32,
        /// The fault, in words.
        what: String,
    },
    /// A fault ended.
    Heal {
        /// Its place in the plan.
        index: u32,
        /// The fault, in words.
        what: String,
    },
    /// Something worth knowing, such as a panic's message.
    Note {
        /// The text.
        text: String,
    },
}

impl Kind {
    /// The event as numbers, for the rolling hash: a tag that is never reused, then every field.
    pub(crate) fn words(&self) -> [u64; 5] {
        use xxhash_rust::xxh3::xxh3_64;
        let text = |text: &str| xxh3_64(text.as_bytes());
        let address =
            |address: &SocketAddrV4| (u64::from(address.ip().to_bits()) << 16) | u64::from(address.port());
        match self {
            Kind::Boot { incarnation } => [1, u64::from(*incarnation), 0, 0, 0],
            Kind::Exit { ok } => [2, u64::from(*ok), 0, 0, 0],
            Kind::Kill => [3, 0, 0, 0, 0],
            Kind::Lose { disk_lost } => [4, u64::from(*disk_lost), 0, 0, 0],
            Kind::Pause => [5, 0, 0, 0, 0],
            Kind::Resume => [6, 0, 0, 0, 0],
            Kind::Wake { timer } => [7, u64::from(*timer), 0, 0, 0],
            Kind::Listen { address: on } => [8, address(on), 0, 0, 0],
            Kind::Syn {
                connection,
                to,
                attempt,
            } => [9, u64::from(*connection), address(to), u64::from(*attempt), 0],
            Kind::Established { connection } => [10, u64::from(*connection), 0, 0, 0],
            Kind::Refused { connection } => [11, u64::from(*connection), 0, 0, 0],
            Kind::Send {
                connection,
                bytes,
                digest,
                fin,
            } => [12, u64::from(*connection), *bytes, *digest, u64::from(*fin)],
            Kind::Lost { connection } => [13, u64::from(*connection), 0, 0, 0],
            Kind::Retransmit { connection, attempt } => {
                [14, u64::from(*connection), u64::from(*attempt), 0, 0]
            }
            Kind::Deliver {
                connection,
                bytes,
                fin,
            } => [15, u64::from(*connection), *bytes, u64::from(*fin), 0],
            Kind::Reset { connection } => [16, u64::from(*connection), 0, 0, 0],
            Kind::TimedOut { connection } => [17, u64::from(*connection), 0, 0, 0],
            Kind::Close { connection } => [18, u64::from(*connection), 0, 0, 0],
            Kind::Sync { path, bytes } => [19, text(path), *bytes, 0, 0],
            Kind::Fault { index, what } => [20, u64::from(*index), text(what), 0, 0],
            Kind::Heal { index, what } => [21, u64::from(*index), text(what), 0, 0],
            Kind::Note { text: note } => [22, text(note), 0, 0, 0],
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let with_fin = |fin: &bool| if *fin { " and FIN" } else { "" };
        match self {
            Kind::Boot { incarnation: 1 } => write!(f, "process started"),
            Kind::Boot { incarnation } => write!(f, "process restarted (start {incarnation})"),
            Kind::Exit { ok: true } => write!(f, "program ended"),
            Kind::Exit { ok: false } => write!(f, "program ended with an error"),
            Kind::Kill => write!(f, "process killed"),
            Kind::Lose { disk_lost: false } => write!(f, "machine lost"),
            Kind::Lose { disk_lost: true } => write!(f, "machine lost with its disk"),
            Kind::Pause => write!(f, "process paused"),
            Kind::Resume => write!(f, "process resumed"),
            Kind::Wake { timer: true } => write!(f, "wakes: a timer is due"),
            Kind::Wake { timer: false } => write!(f, "wakes: something arrived"),
            Kind::Listen { address } => write!(f, "listens on {address}"),
            Kind::Syn {
                connection,
                to,
                attempt: 0,
            } => write!(f, "#{connection} connects to {to}"),
            Kind::Syn {
                connection,
                to,
                attempt,
            } => {
                write!(f, "#{connection} connects to {to}, SYN retry {attempt}")
            }
            Kind::Established { connection } => write!(f, "#{connection} established"),
            Kind::Refused { connection } => write!(f, "#{connection} refused"),
            Kind::Send {
                connection,
                bytes,
                digest,
                fin,
            } => {
                write!(
                    f,
                    "#{connection} sends {bytes} B{} (xxh3 {digest:016x})",
                    with_fin(fin)
                )
            }
            Kind::Lost { connection } => write!(f, "#{connection} loses what it sent"),
            Kind::Retransmit { connection, attempt } => write!(f, "#{connection} retransmits, try {attempt}"),
            Kind::Deliver {
                connection,
                bytes,
                fin,
            } => {
                write!(f, "#{connection} receives {bytes} B{}", with_fin(fin))
            }
            Kind::Reset { connection } => write!(f, "#{connection} is reset"),
            Kind::TimedOut { connection } => write!(f, "#{connection} times out"),
            Kind::Close { connection } => write!(f, "#{connection} closed by the program"),
            Kind::Sync { path, bytes } => write!(f, "syncs {path} ({bytes} B)"),
            Kind::Fault { index, what } => write!(f, "FAULT {index}: {what}"),
            Kind::Heal { index, what } => write!(f, "HEAL {index}: {what}"),
            Kind::Note { text } => write!(f, "{text}"),
        }
    }
}

/// One line, columns aligned: true time, number, cause, host, what happened, how far the host's clock is off.
impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>16} {:>7} <- {:<7} ", self.at, self.id, self.cause)?;
        write!(
            f,
            "{:<16} {}",
            self.host.as_deref().unwrap_or("(world)"),
            self.kind
        )?;
        if let Some(peer) = &self.peer {
            write!(f, " [{peer}]")?;
        }
        match self.skew_nanos() {
            None | Some(0) => Ok(()),
            Some(skew) => write!(
                f,
                " (clock {}{:.6} s)",
                if skew < 0 { '-' } else { '+' },
                skew.unsigned_abs() as f64 / 1e9
            ),
        }
    }
}
