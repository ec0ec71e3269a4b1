//! What a TCP connection is made of.

use std::collections::VecDeque;
use std::ffi::c_int;
use std::net::SocketAddrV4;
use std::time::Duration;

use crate::kernel::FileId;
use crate::net::HostId;
use crate::time::Time;

/// A connection's number; never used again in its world.
pub(crate) type ConnectionId = u32;

/// One end of a connection, and the direction of the bytes that this end writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Client,
    Server,
}

impl Side {
    pub(crate) fn other(self) -> Side {
        match self {
            Side::Client => Side::Server,
            Side::Server => Side::Client,
        }
    }

    pub(crate) fn index(self) -> usize {
        self as usize
    }
}

/// What `setsockopt` can change, as far as it changes what happens.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Options {
    pub(crate) send_buffer: u64,
    pub(crate) receive_buffer: u64,
    pub(crate) nodelay: bool,
    pub(crate) reuse_address: bool,
    pub(crate) keepalive: bool,
    pub(crate) keepalive_idle: Duration,
    pub(crate) keepalive_interval: Duration,
    pub(crate) keepalive_probes: u32,
    /// `TCP_USER_TIMEOUT`: zero leaves it to the retransmission limit.
    pub(crate) user_timeout: Duration,
    /// `SO_LINGER` with a time of zero: closing sends RST.
    pub(crate) reset_on_close: bool,
}

/// Linux's defaults, the buffers apart: those Linux tunes by itself, between 16 KiB and some MiB.
impl Default for Options {
    fn default() -> Options {
        Options {
            send_buffer: 256 * 1024,
            receive_buffer: 256 * 1024,
            nodelay: false,
            reuse_address: false,
            keepalive: false,
            keepalive_idle: Duration::from_secs(7200),
            keepalive_interval: Duration::from_secs(75),
            keepalive_probes: 9,
            user_timeout: Duration::ZERO,
            reset_on_close: false,
        }
    }
}

/// A socket, as a file of a process.
pub(crate) struct Socket {
    pub(crate) state: SocketState,
    pub(crate) options: Options,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum SocketState {
    Fresh,
    Bound(SocketAddrV4),
    Listening(SocketAddrV4),
    Stream { connection: ConnectionId, side: Side },
}

/// The TCP ports of a machine.
#[derive(Default)]
pub(crate) struct Ports {
    pub(crate) listeners: std::collections::BTreeMap<u16, Listener>,
    pub(crate) ephemeral: u16,
}

pub(crate) struct Listener {
    pub(crate) file: FileId,
    pub(crate) address: SocketAddrV4,
    pub(crate) backlog: usize,
    /// Established, and not yet accepted by the program.
    pub(crate) queue: VecDeque<ConnectionId>,
}

pub(crate) struct Connection {
    pub(crate) ends: [End; 2],
    /// By the side that writes.
    pub(crate) pipes: [Pipe; 2],
    /// Both ends know of each other, on the client's side.
    pub(crate) client_established: bool,
    pub(crate) server_established: bool,
    pub(crate) started: Time,
}

impl Connection {
    pub(crate) fn established(&self, side: Side) -> bool {
        match side {
            Side::Client => self.client_established,
            Side::Server => self.server_established,
        }
    }
}

/// What a program has to do with its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Program {
    /// Not accepted yet.
    Waiting,
    Holds(FileId),
    /// Closed, killed or lost.
    Gone,
}

pub(crate) struct End {
    pub(crate) host: HostId,
    pub(crate) address: SocketAddrV4,
    pub(crate) program: Program,
    /// The machine still knows of the connection. Once it does not, it answers with RST if it is up.
    pub(crate) known: bool,
    /// What the next call will report, once.
    pub(crate) error: Option<c_int>,
    /// The program shut its writing side, or closed.
    pub(crate) write_closed: bool,
    pub(crate) read_closed: bool,
    pub(crate) options: Options,
    /// When something last came in, for keepalive.
    pub(crate) heard_at: Time,
    pub(crate) unanswered_probes: u32,
    /// Keepalive timers of an earlier epoch are void.
    pub(crate) keepalive_epoch: u32,
}

impl End {
    pub(crate) fn new(host: HostId, address: SocketAddrV4, program: Program, options: Options) -> End {
        End {
            host,
            address,
            program,
            known: true,
            error: None,
            write_closed: false,
            read_closed: false,
            options,
            heard_at: Time::ZERO,
            unanswered_probes: 0,
            keepalive_epoch: 0,
        }
    }
}

/// The bytes on their way in one direction. Positions count bytes from the connection's start:
/// `consumed <= delivered <= sent <= written`, and `acknowledged <= delivered`.
#[derive(Default)]
pub(crate) struct Pipe {
    /// From `consumed` to `written`.
    bytes: VecDeque<u8>,
    /// Read by the receiving program.
    pub(crate) consumed: u64,
    /// Arrived at the receiving machine, in order.
    pub(crate) delivered: u64,
    /// Sent at least once.
    pub(crate) sent: u64,
    /// Taken from the writing program.
    pub(crate) written: u64,
    /// Known by the sender to have arrived.
    pub(crate) acknowledged: u64,
    /// The sender may send up to here: what it knows to be read, and the receiver's buffer.
    pub(crate) window_end: u64,
    /// What the receiver last told the sender of that.
    pub(crate) announced: u64,
    /// On their way back to the sender.
    pub(crate) acknowledgements: VecDeque<Acknowledgement>,
    pub(crate) fin_written: bool,
    pub(crate) fin_sent: bool,
    pub(crate) fin_delivered: bool,
    /// Nothing overtakes: no later arrival is before this.
    pub(crate) last_arrival: Time,
    /// Something was lost, and is being sent again and again.
    pub(crate) retry: Option<Retry>,
    /// Arrivals and timers of an earlier epoch are void.
    pub(crate) epoch: u32,
    /// The program was told to wait for room.
    pub(crate) writer_waits: bool,
    pub(crate) window_update_pending: bool,
}

#[derive(Clone, Copy)]
pub(crate) struct Retry {
    pub(crate) since: Time,
    pub(crate) attempt: u32,
    pub(crate) cause: u64,
}

#[derive(Clone, Copy)]
pub(crate) struct Acknowledgement {
    pub(crate) at: Time,
    pub(crate) delivered: u64,
    pub(crate) window_end: u64,
}

impl Pipe {
    pub(crate) fn readable(&self) -> u64 {
        self.delivered - self.consumed
    }

    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend(bytes);
        self.written += bytes.len() as u64;
    }

    /// Copies what is readable; takes it away unless `peek`.
    pub(crate) fn read(&mut self, into: &mut [u8], peek: bool) -> usize {
        let length = into
            .len()
            .min(usize::try_from(self.readable()).unwrap_or(usize::MAX));
        let (front, back) = self.bytes.as_slices();
        let from_front = length.min(front.len());
        into[..from_front].copy_from_slice(&front[..from_front]);
        into[from_front..length].copy_from_slice(&back[..length - from_front]);
        if !peek {
            self.bytes.drain(..length);
            self.consumed += length as u64;
        }
        length
    }

    /// XXH3 of the bytes from position `from` to `upto`.
    pub(crate) fn digest(&self, from: u64, upto: u64) -> u64 {
        let (start, end) = ((from - self.consumed) as usize, (upto - self.consumed) as usize);
        let (front, back) = self.bytes.as_slices();
        if end <= front.len() {
            return xxhash_rust::xxh3::xxh3_64(&front[start..end]);
        }
        if start >= front.len() {
            return xxhash_rust::xxh3::xxh3_64(&back[start - front.len()..end - front.len()]);
        }
        let mut hash = xxhash_rust::xxh3::Xxh3::new();
        hash.update(&front[start..]);
        hash.update(&back[..end - front.len()]);
        hash.digest()
    }

    /// Forgets what can no longer be delivered.
    pub(crate) fn abandon_unsent(&mut self) {
        let keep = usize::try_from(self.readable()).unwrap_or(usize::MAX);
        self.bytes.truncate(keep);
        self.written = self.delivered;
        self.sent = self.delivered;
        self.retry = None;
        self.epoch += 1;
    }

    /// Takes note of the acknowledgements that have come back by now.
    pub(crate) fn settle(&mut self, now: Time) {
        while let Some(first) = self.acknowledgements.front().filter(|first| first.at <= now) {
            self.acknowledged = self.acknowledged.max(first.delivered);
            self.window_end = self.window_end.max(first.window_end);
            self.acknowledgements.pop_front();
        }
    }
}
