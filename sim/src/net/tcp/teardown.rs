//! How connections end: FIN, RST, time-out, and the loss of a machine.

use std::ffi::c_int;

use super::{ConnectionId, Program, Side, Socket, SocketState};
use crate::kernel::{Action, FileId, Kernel};
use crate::net::HostId;
use crate::trace::Kind;

impl Kernel {
    /// `shutdown`.
    pub(crate) fn tcp_shutdown(&mut self, id: ConnectionId, side: Side, how: c_int) -> Result<(), c_int> {
        let Some(connection) = self.connection(id) else {
            return Err(libc::ENOTCONN);
        };
        if !connection.established(side) || !connection.ends[side.index()].known {
            return Err(libc::ENOTCONN);
        }
        let (reading, writing) = match how {
            libc::SHUT_RD => (true, false),
            libc::SHUT_WR => (false, true),
            libc::SHUT_RDWR => (true, true),
            _ => return Err(libc::EINVAL),
        };
        let end = &mut connection.ends[side.index()];
        end.read_closed |= reading;
        if writing && !end.write_closed {
            end.write_closed = true;
            connection.pipes[side.index()].fin_written = true;
            self.transmit(id, side);
        }
        self.notify_side(
            id,
            side,
            if reading {
                libc::EPOLLIN | libc::EPOLLRDHUP
            } else {
                0
            },
        );
        Ok(())
    }

    /// The last descriptor of a socket is closed, by its program or for it.
    pub(crate) fn socket_closed(&mut self, host: HostId, socket: Socket) {
        match socket.state {
            SocketState::Fresh | SocketState::Bound(_) => {}
            SocketState::Listening(address) => {
                if let Some(listener) = self.machine_mut(host).ports.listeners.remove(&address.port()) {
                    for id in listener.queue {
                        self.abort(id, Side::Server);
                    }
                }
            }
            SocketState::Stream { connection, side } => self.close_side(connection, side),
        }
    }

    fn close_side(&mut self, id: ConnectionId, side: Side) {
        let Some(connection) = self.connection(id) else {
            return;
        };
        let established = connection.established(side);
        let end = &mut connection.ends[side.index()];
        end.program = Program::Gone;
        if !end.known {
            self.collect_garbage(id);
            return;
        }
        if !established {
            // A handshake that nobody waits for any more.
            end.known = false;
            return;
        }
        let unread = connection.pipes[side.other().index()].readable() > 0;
        let end = &mut connection.ends[side.index()];
        if end.options.reset_on_close || unread {
            self.abort(id, side);
            return;
        }
        let already_shut = std::mem::replace(&mut end.write_closed, true);
        connection.pipes[side.index()].fin_written = true;
        self.trace_side(id, side, &Kind::Close { connection: id });
        if !already_shut {
            self.transmit(id, side);
        }
        self.collect_garbage(id);
    }

    /// Ends this side at once and tells the other with a RST.
    fn abort(&mut self, id: ConnectionId, side: Side) {
        self.trace_side(id, side, &Kind::Close { connection: id });
        if let Some(connection) = self.connection(id) {
            connection.ends[side.index()].program = Program::Gone;
        }
        self.forget_side(id, side);
        self.send_reset(id, side);
    }

    /// A RST leaves this side; whether it arrives is up to the way. It is never sent again by itself.
    pub(crate) fn send_reset(&mut self, id: ConnectionId, from: Side) {
        let to = from.other();
        self.send_packet(
            id,
            from,
            Action::ResetArrives {
                connection: id,
                side: to,
            },
        );
        self.collect_garbage(id);
    }

    pub(crate) fn reset_arrives(&mut self, id: ConnectionId, side: Side) {
        if self.gets_through(id, side.other()) {
            self.reset_side(id, side);
        }
    }

    /// This side learns of a RST.
    fn reset_side(&mut self, id: ConnectionId, side: Side) {
        let Some(connection) = self.connection(id) else {
            return;
        };
        if !connection.ends[side.index()].known {
            return;
        }
        // Linux reports EPIPE where the peer had said its FIN before.
        let peer_had_finished = connection.pipes[side.other().index()].fin_delivered;
        let error = if peer_had_finished {
            libc::EPIPE
        } else {
            libc::ECONNRESET
        };
        self.fail_side(id, side, error, &Kind::Reset { connection: id });
    }

    /// Resets a connection at both ends, as a middlebox that forgot it would.
    fn reset_both(&mut self, id: ConnectionId) {
        for side in [Side::Client, Side::Server] {
            self.reset_side(id, side);
        }
    }

    /// Resets every connection between these pairs of hosts; answers how many.
    pub(crate) fn reset_all(&mut self, ways: &[(HostId, HostId)]) -> u64 {
        let mut reset = 0;
        for id in 0..self.connections.len() as ConnectionId {
            let Some(connection) = self.connection(id) else {
                continue;
            };
            let (client, server) = (&connection.ends[0], &connection.ends[1]);
            if connection.client_established && ways.contains(&(client.host, server.host)) {
                self.reset_both(id);
                reset += 1;
            }
        }
        reset
    }

    /// This side is over, with an error that the program's next call reports.
    pub(crate) fn fail_side(&mut self, id: ConnectionId, side: Side, error: c_int, kind: &Kind) {
        let cause = self.trace_side(id, side, kind);
        if let Some(connection) = self.connection(id) {
            connection.ends[side.index()].error = Some(error);
        }
        self.forget_side(id, side);
        self.caused_by(cause, |kernel| {
            let all = libc::EPOLLIN | libc::EPOLLOUT | libc::EPOLLERR | libc::EPOLLHUP | libc::EPOLLRDHUP;
            kernel.notify_side(id, side, all);
        });
        self.collect_garbage(id);
    }

    /// This side's machine knows nothing of the connection any more.
    pub(crate) fn forget_side(&mut self, id: ConnectionId, side: Side) {
        if let Some(connection) = self.connection(id) {
            connection.ends[side.index()].known = false;
            connection.pipes[side.index()].abandon_unsent();
        }
    }

    /// A machine lost power: whatever it knew is gone, and nobody is told.
    pub(crate) fn lose_connections(&mut self, host: HostId) {
        self.machine_mut(host).ports.listeners.clear();
        for id in 0..self.connections.len() {
            let Some(connection) = self.connections[id].as_deref_mut() else {
                continue;
            };
            for side in [Side::Client, Side::Server] {
                let end = &mut connection.ends[side.index()];
                if end.host == host {
                    end.program = Program::Gone;
                    end.known = false;
                    connection.pipes[side.index()].abandon_unsent();
                }
            }
            self.collect_garbage(id as ConnectionId);
        }
    }

    /// Drops a connection that nobody can learn anything of any more.
    pub(crate) fn collect_garbage(&mut self, id: ConnectionId) {
        let Some(connection) = self.connection(id) else {
            return;
        };
        let over = |side: Side| {
            let end = &connection.ends[side.index()];
            let incoming = &connection.pipes[side.other().index()];
            let outgoing = &connection.pipes[side.index()];
            let closed_cleanly = incoming.fin_delivered && outgoing.fin_delivered;
            end.program == Program::Gone && (!end.known || closed_cleanly)
        };
        if over(Side::Client)
            && (over(Side::Server) || !connection.server_established && !connection.ends[1].known)
        {
            self.connections[id as usize] = None;
        }
    }

    pub(crate) fn arm_keepalive(&mut self, id: ConnectionId, side: Side) {
        let now = self.now;
        let Some(connection) = self.connection(id) else {
            return;
        };
        if !connection.established(side) {
            return;
        }
        let end = &mut connection.ends[side.index()];
        end.keepalive_epoch += 1;
        let epoch = end.keepalive_epoch;
        if end.options.keepalive && end.known {
            let due = if end.unanswered_probes > 0 {
                now + end.options.keepalive_interval
            } else {
                (end.heard_at + end.options.keepalive_idle).max(now)
            };
            self.schedule(
                due,
                Action::Keepalive {
                    connection: id,
                    side,
                    epoch,
                },
            );
        }
    }

    pub(crate) fn keepalive(&mut self, id: ConnectionId, side: Side, epoch: u32) {
        let now = self.now;
        let Some(connection) = self.connection(id) else {
            return;
        };
        let end = &connection.ends[side.index()];
        if !end.known || end.keepalive_epoch != epoch {
            return;
        }
        let quiet_since = end.heard_at;
        if end.unanswered_probes == 0 && now < quiet_since + end.options.keepalive_idle {
            self.arm_keepalive(id, side);
            return;
        }
        let (probes, probes_max, user_timeout) = (
            end.unanswered_probes,
            end.options.keepalive_probes,
            end.options.user_timeout,
        );
        // With a user time-out set, Linux counts time and not probes.
        let gives_up = if user_timeout.is_zero() {
            probes >= probes_max
        } else {
            probes > 0 && now >= quiet_since + user_timeout
        };
        if gives_up {
            self.fail_side(id, side, libc::ETIMEDOUT, &Kind::TimedOut { connection: id });
            return;
        }
        // A probe and its answer as one step: nothing but the two ways decides whether it comes back.
        let answered = self.gets_through(id, side) && self.gets_through(id, side.other());
        let Some(connection) = self.connection(id) else {
            return;
        };
        let peer_knows = connection.ends[side.other().index()].known;
        let end = &mut connection.ends[side.index()];
        match (answered, peer_knows) {
            (true, true) => {
                end.heard_at = now;
                end.unanswered_probes = 0;
            }
            (true, false) => {
                self.send_reset(id, side.other());
                return;
            }
            (false, _) => end.unanswered_probes += 1,
        }
        self.arm_keepalive(id, side);
    }

    /// Applies a change of options to a connection that already stands.
    pub(crate) fn options_changed(&mut self, file: FileId) {
        let Some(crate::kernel::Object::Socket(socket)) = self.descriptors.get(file).map(|file| &file.object)
        else {
            return;
        };
        let (options, state) = (socket.options, socket.state);
        if let SocketState::Stream { connection: id, side } = state
            && let Some(connection) = self.connection(id)
        {
            connection.ends[side.index()].options = options;
            self.arm_keepalive(id, side);
        }
    }
}
