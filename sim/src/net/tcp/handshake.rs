//! Listening, connecting, accepting.

use std::collections::VecDeque;
use std::ffi::c_int;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;

use super::connection::{Connection, End, Pipe};
use super::{ConnectionId, Listener, Options, Program, Side, Socket, SocketState};
use crate::kernel::{Action, Breach, FileId, Kernel, Object};
use crate::net::HostId;
use crate::trace::Kind;

/// How often a SYN is sent again (`tcp_syn_retries`); the wait doubles from 1 s, and the last one runs out at 127 s.
const SYN_RETRIES: u32 = 6;

/// Linux's `net.core.somaxconn`.
const BACKLOG_MAX: usize = 4096;

impl Kernel {
    fn socket_mut(&mut self, file: FileId) -> Result<&mut Socket, c_int> {
        match self.descriptors.get_mut(file).map(|file| &mut file.object) {
            Some(Object::Socket(socket)) => Ok(socket),
            Some(_) => Err(libc::ENOTSOCK),
            None => Err(libc::EBADF),
        }
    }

    /// `bind`: an address of this host, or any (0.0.0.0); port 0 picks one.
    pub(crate) fn tcp_bind(&mut self, file: FileId, address: SocketAddrV4) -> Result<(), c_int> {
        let host = self.running();
        let own = self.topology.ip(host);
        if !address.ip().is_unspecified() && !address.ip().is_loopback() && *address.ip() != own {
            return Err(libc::EADDRNOTAVAIL);
        }
        let port = match address.port() {
            0 => self.ephemeral_port(host),
            port => port,
        };
        let taken = self.machine(host).ports.listeners.contains_key(&port);
        let socket = self.socket_mut(file)?;
        if !matches!(socket.state, SocketState::Fresh) {
            return Err(libc::EINVAL);
        }
        if taken {
            return Err(libc::EADDRINUSE);
        }
        socket.state = SocketState::Bound(SocketAddrV4::new(*address.ip(), port));
        Ok(())
    }

    pub(crate) fn tcp_listen(&mut self, file: FileId, backlog: c_int) -> Result<(), c_int> {
        let host = self.running();
        let address = match self.socket_mut(file)?.state {
            SocketState::Bound(address) => address,
            SocketState::Fresh => SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, self.ephemeral_port(host)),
            SocketState::Listening(_) => return Ok(()),
            SocketState::Stream { .. } => return Err(libc::EINVAL),
        };
        let ports = &mut self.machine_mut(host).ports;
        if ports.listeners.contains_key(&address.port()) {
            return Err(libc::EADDRINUSE);
        }
        let backlog = usize::try_from(backlog).unwrap_or(BACKLOG_MAX).min(BACKLOG_MAX);
        ports.listeners.insert(
            address.port(),
            Listener {
                file,
                address,
                backlog,
                queue: VecDeque::new(),
            },
        );
        self.socket_mut(file)?.state = SocketState::Listening(address);
        self.record(Some(host), None, &Kind::Listen { address });
        Ok(())
    }

    fn ephemeral_port(&mut self, host: HostId) -> u16 {
        let ports = &mut self.machine_mut(host).ports;
        loop {
            // Linux's range.
            ports.ephemeral = if (32_768..60_999).contains(&ports.ephemeral) {
                ports.ephemeral + 1
            } else {
                32_768
            };
            if !ports.listeners.contains_key(&ports.ephemeral) {
                return ports.ephemeral;
            }
        }
    }

    /// `connect` on a non-blocking socket: starts the handshake.
    pub(crate) fn tcp_connect(&mut self, file: FileId, to: SocketAddrV4) -> Result<(), c_int> {
        let host = self.running();
        let socket = self.socket_mut(file)?;
        let options = socket.options;
        let bound = match socket.state {
            SocketState::Fresh => None,
            SocketState::Bound(address) => Some(address),
            SocketState::Listening(_) => return Err(libc::EISCONN),
            SocketState::Stream { connection, side } => {
                return Err(match self.connection(connection) {
                    Some(connection) if connection.established(side) => libc::EISCONN,
                    _ => libc::EALREADY,
                });
            }
        };
        let own = self.topology.ip(host);
        // Linux takes 0.0.0.0 for the machine itself.
        let local_only = to.ip().is_loopback() || to.ip().is_unspecified();
        let peer = if local_only {
            Some(host)
        } else {
            self.topology.at_ip(*to.ip())
        };
        let Some(peer) = peer else {
            self.violate(format!("connect to {to}"), Breach::RealAddress);
            return Err(libc::ENETUNREACH);
        };
        let port = match bound {
            Some(address) if address.port() != 0 => address.port(),
            _ => self.ephemeral_port(host),
        };
        let near = SocketAddrV4::new(if to.ip().is_loopback() { *to.ip() } else { own }, port);
        let far = SocketAddrV4::new(if to.ip().is_unspecified() { own } else { *to.ip() }, to.port());
        let id = self.connections.len() as ConnectionId;
        let mut server = End::new(peer, far, Program::Waiting, Options::default());
        server.known = false;
        self.connections.push(Some(Box::new(Connection {
            ends: [End::new(host, near, Program::Holds(file), options), server],
            pipes: [Pipe::default(), Pipe::default()],
            client_established: false,
            server_established: false,
            started: self.now,
        })));
        self.socket_mut(file)?.state = SocketState::Stream {
            connection: id,
            side: Side::Client,
        };
        self.send_syn(id, 0);
        Ok(())
    }

    pub(crate) fn send_syn(&mut self, id: ConnectionId, attempt: u32) {
        let now = self.now;
        let Some(connection) = self.connection(id) else {
            return;
        };
        let (client, server) = (&connection.ends[0], &connection.ends[1]);
        if connection.client_established || !client.known {
            return;
        }
        let (host, peer, to, started) = (client.host, server.host, server.address, connection.started);
        if attempt > SYN_RETRIES {
            self.fail_side(
                id,
                Side::Client,
                libc::ETIMEDOUT,
                &Kind::TimedOut { connection: id },
            );
            return;
        }
        let cause = self.record(
            Some(host),
            Some(peer),
            &Kind::Syn {
                connection: id,
                to,
                attempt,
            },
        );
        let again = started + Duration::from_secs((1 << (attempt + 1)) - 1);
        self.queue.push(
            again.max(now),
            cause,
            Action::Syn {
                connection: id,
                attempt: attempt + 1,
            },
        );
        let Some(route) = self.route(id, Side::Client) else {
            return;
        };
        if !self.links.lost(route) {
            self.caused_by(cause, |kernel| {
                kernel.send_packet(id, Side::Client, Action::SynArrives { connection: id })
            });
        }
    }

    pub(crate) fn syn_arrives(&mut self, id: ConnectionId) {
        let Some(route) = self.route(id, Side::Client) else {
            return;
        };
        let Some(connection) = self.connection(id) else {
            return;
        };
        let (near, far) = (connection.ends[0].address, connection.ends[1].address);
        let already_known = connection.ends[1].known;
        if connection.server_established || !self.gets_through(id, Side::Client) {
            return;
        }
        let reachable = |listening: &SocketAddrV4| {
            listening.ip().is_unspecified()
                || listening.ip() == far.ip()
                || (near.ip() == far.ip() && listening.ip().is_loopback())
        };
        match self.machine(route.to).ports.listeners.get(&far.port()) {
            Some(listener) if reachable(&listener.address) => {
                if listener.queue.len() > listener.backlog {
                    return;
                }
                let now = self.now;
                let options = match self.descriptors.get(listener.file).map(|file| &file.object) {
                    Some(Object::Socket(socket)) => socket.options,
                    _ => Options::default(),
                };
                if let Some(connection) = self.connection(id)
                    && !already_known
                {
                    let server = &mut connection.ends[1];
                    server.known = true;
                    server.heard_at = now;
                    server.options = options;
                    for (writer, room) in [
                        (0, options.receive_buffer),
                        (1, connection.ends[0].options.receive_buffer),
                    ] {
                        connection.pipes[writer].window_end = room;
                        connection.pipes[writer].announced = room;
                    }
                }
                self.send_packet(id, Side::Server, Action::SynAckArrives { connection: id });
            }
            _ => {
                self.send_packet(id, Side::Server, Action::RefusalArrives { connection: id });
            }
        }
    }

    pub(crate) fn refusal_arrives(&mut self, id: ConnectionId) {
        if !self.gets_through(id, Side::Server) {
            return;
        }
        if self
            .connection(id)
            .is_some_and(|connection| !connection.client_established)
        {
            self.fail_side(
                id,
                Side::Client,
                libc::ECONNREFUSED,
                &Kind::Refused { connection: id },
            );
        }
    }

    pub(crate) fn syn_ack_arrives(&mut self, id: ConnectionId) {
        if !self.gets_through(id, Side::Server) {
            return;
        }
        let now = self.now;
        let Some(connection) = self.connection(id) else {
            return;
        };
        if connection.client_established {
            return;
        }
        let client = &mut connection.ends[0];
        if !client.known {
            self.send_reset(id, Side::Client);
            return;
        }
        client.heard_at = now;
        connection.client_established = true;
        let cause = self.trace_side(id, Side::Client, &Kind::Established { connection: id });
        self.caused_by(cause, |kernel| {
            kernel.notify_side(id, Side::Client, libc::EPOLLOUT);
            kernel.arm_keepalive(id, Side::Client);
            kernel.transmit_acknowledgement(id);
        });
    }

    /// The client's ACK, or data that stands in for it, has arrived: the connection is ready to be accepted.
    pub(crate) fn establish_server(&mut self, id: ConnectionId) -> bool {
        let Some(connection) = self.connection(id) else {
            return false;
        };
        let server = &connection.ends[1];
        let (host, port) = (server.host, server.address.port());
        let Some(listener) = self.machine_mut(host).ports.listeners.get_mut(&port) else {
            if let Some(connection) = self.connection(id) {
                connection.ends[1].known = false;
                connection.ends[1].program = Program::Gone;
            }
            self.send_reset(id, Side::Server);
            return false;
        };
        listener.queue.push_back(id);
        let file = listener.file;
        if let Some(connection) = self.connection(id) {
            connection.server_established = true;
        }
        let cause = self.trace_side(id, Side::Server, &Kind::Established { connection: id });
        self.caused_by(cause, |kernel| {
            kernel.notify(file, libc::EPOLLIN as u32);
            kernel.arm_keepalive(id, Side::Server);
        });
        true
    }

    /// `accept`: the file descriptor and the peer's address.
    pub(crate) fn tcp_accept(
        &mut self,
        file: FileId,
        nonblocking: bool,
    ) -> Result<(c_int, SocketAddrV4), c_int> {
        let host = self.running();
        let socket = self.socket_mut(file)?;
        let SocketState::Listening(address) = socket.state else {
            return Err(libc::EINVAL);
        };
        let options = socket.options;
        loop {
            let listener = self
                .machine_mut(host)
                .ports
                .listeners
                .get_mut(&address.port())
                .ok_or(libc::EINVAL)?;
            let id = listener.queue.pop_front().ok_or(libc::EAGAIN)?;
            let Some(connection) = self.connection(id) else {
                continue;
            };
            let peer = connection.ends[0].address;
            let state = SocketState::Stream {
                connection: id,
                side: Side::Server,
            };
            let fd = self.open(Object::Socket(Socket { state, options }), nonblocking);
            let file = self.file(fd)?;
            if let Some(connection) = self.connection(id) {
                connection.ends[1].program = Program::Holds(file);
            }
            return Ok((fd, peer));
        }
    }

    /// `getsockname` and `getpeername`.
    pub(crate) fn tcp_address(&mut self, file: FileId, of_peer: bool) -> Result<SocketAddrV4, c_int> {
        let unspecified = SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0);
        match (self.socket_mut(file)?.state, of_peer) {
            (SocketState::Stream { connection, side }, of_peer) => {
                let connection = self.connection(connection).ok_or(libc::ENOTCONN)?;
                if !of_peer {
                    return Ok(connection.ends[side.index()].address);
                }
                // A connection that never stood, or that is gone for good, has no peer.
                if !connection.established(side) || !connection.ends[side.index()].known {
                    return Err(libc::ENOTCONN);
                }
                Ok(connection.ends[side.other().index()].address)
            }
            (_, true) => Err(libc::ENOTCONN),
            (SocketState::Bound(address) | SocketState::Listening(address), false) => Ok(address),
            (SocketState::Fresh, false) => Ok(unspecified),
        }
    }
}
