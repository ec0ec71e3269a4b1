//! TCP as programs see it: a stream of bytes that is late, cut off or reset, but never wrong.
//!
//! Modelled, after Linux's behaviour and with its default time-outs:
//! - the handshake: SYN, SYN/ACK, ACK; a SYN without an answer again after 1, 3, 7, 15, 31 and 63 s, `ETIMEDOUT` at
//!   127 s; refusal by RST; a backlog that drops SYNs when full; a stopped process whose machine still accepts;
//! - data: in order, at the link's delay, jitter and bandwidth; loss as retransmission delay; a cut holds data back and
//!   sends it again after 200 ms + round trip, each wait twice the one before up to 120 s, until it gets through or the
//!   connection times out (924.6 s, or `TCP_USER_TIMEOUT`; about 50 s once the program has closed); a lost
//!   acknowledgement does the same to data that did arrive;
//! - flow control: a send buffer, a receive buffer, and a window that opens when the program reads; a writer that is
//!   told to wait, and woken when a third of its buffer is free;
//! - the end: FIN after the data; half-closed streams; RST for a close with unread data, for data to a program that has
//!   closed, to a machine that knows nothing of the connection, and on demand; data that arrived before a RST
//!   stays readable; `ECONNRESET` once, `EPIPE` for writes after it; keepalive with its three times;
//! - machines: a lost one is silent and leaves half-open connections; back again, it answers them with RST.
//!
//! Not modelled: congestion control (a window's worth may be in flight from the start), packets (a write travels
//! as one), Nagle's algorithm, duplicates and reordering (TCP hides them), `SO_LINGER` with a time, urgent data,
//! TIME_WAIT and the want of ports, path MTU, TCP Fast Open, unreachable messages by ICMP, UDP, IPv6, UNIX sockets.

mod connection;
mod handshake;
mod stream;
mod teardown;

pub(crate) use connection::{
    Connection, ConnectionId, Listener, Options, Ports, Program, Side, Socket, SocketState,
};

use std::ffi::c_int;

use crate::kernel::{Action, Kernel};
use crate::net::{HostId, Route};
use crate::trace::Kind;

impl Kernel {
    pub(crate) fn connection(&mut self, id: ConnectionId) -> Option<&mut Connection> {
        self.connections
            .get_mut(id as usize)
            .and_then(Option::as_deref_mut)
    }

    /// The way that a packet from this side takes.
    pub(crate) fn route(&self, id: ConnectionId, from: Side) -> Option<Route> {
        let connection = self.connections.get(id as usize)?.as_deref()?;
        let (near, far) = (
            &connection.ends[from.index()],
            &connection.ends[from.other().index()],
        );
        Some(Route {
            from: near.host,
            to: far.host,
            to_port: far.address.port(),
        })
    }

    /// Whether a packet from this side would reach the other machine now.
    pub(crate) fn gets_through(&mut self, id: ConnectionId, from: Side) -> bool {
        let Some(route) = self.route(id, from) else {
            return false;
        };
        self.links.open(route) && self.machine(route.to).up
    }

    /// Sends a packet of this many bytes from this side, if it gets through; `action` happens when it arrives.
    pub(crate) fn send_packet(&mut self, id: ConnectionId, from: Side, action: Action) -> bool {
        let Some(route) = self.route(id, from) else {
            return false;
        };
        if !self.gets_through(id, from) {
            return false;
        }
        let at = self.links.arrival(self.now, route, 0);
        self.schedule(at, action);
        true
    }

    /// Records an event on this side of a connection.
    pub(crate) fn trace_side(&mut self, id: ConnectionId, side: Side, kind: &Kind) -> u64 {
        let Some(route) = self.route(id, side) else {
            return 0;
        };
        self.record(Some(route.from), Some(route.to), kind)
    }

    /// Tells the program that holds this side that something changed.
    pub(crate) fn notify_side(&mut self, id: ConnectionId, side: Side, changed: c_int) {
        if let Some(connection) = self.connection(id)
            && let Program::Holds(file) = connection.ends[side.index()].program
        {
            self.notify(file, changed as u32);
        }
    }

    pub(crate) fn socket_readiness(&self, host: HostId, socket: &Socket) -> u32 {
        let bits = match socket.state {
            SocketState::Fresh | SocketState::Bound(_) => libc::EPOLLOUT | libc::EPOLLHUP,
            SocketState::Listening(address) => {
                match self.machine(host).ports.listeners.get(&address.port()) {
                    Some(listener) if !listener.queue.is_empty() => libc::EPOLLIN,
                    _ => 0,
                }
            }
            SocketState::Stream { connection, side } => self.stream_readiness(connection, side),
        };
        bits as u32
    }

    fn stream_readiness(&self, id: ConnectionId, side: Side) -> c_int {
        let Some(connection) = self.connections.get(id as usize).and_then(Option::as_deref) else {
            return libc::EPOLLHUP;
        };
        let end = &connection.ends[side.index()];
        let (outgoing, incoming) = (
            &connection.pipes[side.index()],
            &connection.pipes[side.other().index()],
        );
        let mut bits = 0;
        if end.error.is_some() {
            bits |= libc::EPOLLERR;
        }
        if !end.known {
            return bits | libc::EPOLLIN | libc::EPOLLOUT | libc::EPOLLHUP | libc::EPOLLRDHUP;
        }
        if !connection.established(side) {
            return bits;
        }
        let ended = incoming.fin_delivered || end.read_closed;
        if incoming.readable() > 0 || ended {
            bits |= libc::EPOLLIN;
        }
        if ended {
            bits |= libc::EPOLLRDHUP;
        }
        if end.write_closed && incoming.fin_delivered {
            bits |= libc::EPOLLHUP;
        }
        if end.write_closed || self.room(outgoing, end.options.send_buffer) > 0 {
            bits |= libc::EPOLLOUT;
        }
        bits
    }
}
