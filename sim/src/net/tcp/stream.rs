//! Bytes on an established connection: writing, travelling, being lost and sent again, being read.

use std::ffi::c_int;
use std::time::Duration;

use super::connection::{Acknowledgement, Pipe, Retry};
use super::{ConnectionId, Program, Side};
use crate::kernel::{Action, Kernel};
use crate::net::RETRANSMISSION_FLOOR;
use crate::trace::Kind;

/// Linux's `TCP_RTO_MAX`.
const RETRANSMISSION_CEILING: Duration = Duration::from_secs(120);

/// How long Linux goes on sending data that nobody acknowledges: `tcp_retries2` = 15, from 200 ms on.
const GIVE_UP_AFTER: Duration = Duration::from_millis(924_600);

/// The same once the program has closed: `tcp_orphan_retries` = 8.
const ORPHAN_GIVES_UP_AFTER: Duration = Duration::from_millis(51_000);

impl Kernel {
    /// How much more the writing program may hand over.
    pub(crate) fn room(&self, pipe: &Pipe, send_buffer: u64) -> u64 {
        let on_record = pipe.acknowledgements.iter().take_while(|ack| ack.at <= self.now);
        let acknowledged = on_record
            .map(|ack| ack.delivered)
            .fold(pipe.acknowledged, u64::max);
        send_buffer.saturating_sub(pipe.written - acknowledged)
    }

    /// Takes bytes from the program; answers how many.
    pub(crate) fn tcp_write(&mut self, id: ConnectionId, side: Side, bytes: &[u8]) -> Result<usize, c_int> {
        let now = self.now;
        let Some(connection) = self.connection(id) else {
            return Err(libc::EPIPE);
        };
        let established = connection.established(side);
        let end = &mut connection.ends[side.index()];
        if let Some(error) = end.error.take() {
            return Err(error);
        }
        if !end.known || end.write_closed {
            return Err(libc::EPIPE);
        }
        if !established {
            return Err(libc::EAGAIN);
        }
        let send_buffer = end.options.send_buffer;
        let pipe = &mut connection.pipes[side.index()];
        pipe.settle(now);
        let room = usize::try_from(send_buffer.saturating_sub(pipe.written - pipe.acknowledged)).unwrap_or(0);
        let taken = room.min(bytes.len());
        pipe.push(&bytes[..taken]);
        if taken < bytes.len() {
            pipe.writer_waits = true;
            let first_back = pipe.acknowledgements.front().map(|ack| ack.at);
            if let Some(at) = first_back {
                self.schedule(at, Action::Acknowledged { connection: id, side });
            }
        }
        self.transmit(id, side);
        if taken == 0 && !bytes.is_empty() {
            Err(libc::EAGAIN)
        } else {
            Ok(taken)
        }
    }

    /// Sends what may be sent: up to the window's end, and the FIN behind the last byte.
    pub(crate) fn transmit(&mut self, id: ConnectionId, side: Side) {
        let now = self.now;
        let Some(connection) = self.connection(id) else {
            return;
        };
        if !connection.established(side) || !connection.ends[side.index()].known {
            return;
        }
        let pipe = &mut connection.pipes[side.index()];
        // What is lost goes first; this goes with it.
        if pipe.retry.is_some() {
            return;
        }
        pipe.settle(now);
        let upto = pipe.written.min(pipe.window_end);
        if upto < pipe.written
            && let Some(at) = pipe.acknowledgements.front().map(|next| next.at)
        {
            self.schedule(at, Action::Acknowledged { connection: id, side });
        }
        let Some(connection) = self.connection(id) else {
            return;
        };
        let pipe = &mut connection.pipes[side.index()];
        let fin = pipe.fin_written && upto == pipe.written;
        if upto <= pipe.sent && (!fin || pipe.fin_sent) {
            return;
        }
        let from = pipe.sent.min(upto);
        let digest = pipe.digest(from.max(pipe.consumed), upto);
        pipe.sent = pipe.sent.max(upto);
        pipe.fin_sent |= fin;
        let kind = Kind::Send {
            connection: id,
            bytes: upto - from,
            digest,
            fin,
        };
        let cause = self.trace_side(id, side, &kind);
        self.stats.messages += 1;
        self.stats.bytes += upto - from;
        self.caused_by(cause, |kernel| kernel.launch(id, side, upto, fin, upto - from));
    }

    /// The client's bare ACK that ends the handshake: without it the server's program never sees the connection.
    pub(crate) fn transmit_acknowledgement(&mut self, id: ConnectionId) {
        let Some(connection) = self.connection(id) else {
            return;
        };
        let upto = connection.pipes[Side::Client.index()].sent;
        self.launch(id, Side::Client, upto, false, 0);
    }

    /// Puts bytes on the way, or starts to retry when the way is cut.
    fn launch(&mut self, id: ConnectionId, side: Side, upto: u64, fin: bool, bytes: u64) {
        let now = self.now;
        if !self.gets_through(id, side) {
            self.lose(id, side);
            return;
        }
        let Some(route) = self.route(id, side) else { return };
        let at = self.links.arrival(now, route, bytes);
        let Some(connection) = self.connection(id) else {
            return;
        };
        let pipe = &mut connection.pipes[side.index()];
        let at = at.max(pipe.last_arrival);
        pipe.last_arrival = at;
        let epoch = pipe.epoch;
        self.schedule(
            at,
            Action::Arrives {
                connection: id,
                from: side,
                upto,
                fin,
                epoch,
            },
        );
    }

    /// What this side sent, or its acknowledgement, is lost: the retransmission timer will run out.
    fn lose(&mut self, id: ConnectionId, side: Side) {
        let now = self.now;
        let cause = self.trace_side(id, side, &Kind::Lost { connection: id });
        let Some(connection) = self.connection(id) else {
            return;
        };
        let pipe = &mut connection.pipes[side.index()];
        if pipe.retry.is_none() {
            pipe.epoch += 1;
            pipe.retry = Some(Retry {
                since: now,
                attempt: 0,
                cause,
            });
            self.arm_retransmission(id, side);
        }
    }

    fn arm_retransmission(&mut self, id: ConnectionId, side: Side) {
        let now = self.now;
        let Some(route) = self.route(id, side) else { return };
        let round_trip = self.links.round_trip(route.from, route.to);
        let Some(connection) = self.connection(id) else {
            return;
        };
        let gives_up_after = Self::patience(&connection.ends[side.index()]);
        let pipe = &connection.pipes[side.index()];
        let Some(retry) = pipe.retry else { return };
        let wait = (RETRANSMISSION_FLOOR + round_trip)
            .saturating_mul(1 << retry.attempt.min(16))
            .min(RETRANSMISSION_CEILING);
        let at = (now + wait).min((retry.since + gives_up_after).max(now));
        let epoch = pipe.epoch;
        self.queue.push(
            at,
            retry.cause,
            Action::Retransmit {
                connection: id,
                side,
                epoch,
            },
        );
    }

    fn patience(end: &super::connection::End) -> Duration {
        if !end.options.user_timeout.is_zero() {
            end.options.user_timeout
        } else if end.program == Program::Gone {
            ORPHAN_GIVES_UP_AFTER
        } else {
            GIVE_UP_AFTER
        }
    }

    pub(crate) fn retransmit(&mut self, id: ConnectionId, side: Side, epoch: u32) {
        let now = self.now;
        let Some(connection) = self.connection(id) else {
            return;
        };
        let patience = Self::patience(&connection.ends[side.index()]);
        let known = connection.ends[side.index()].known;
        let pipe = &mut connection.pipes[side.index()];
        if pipe.epoch != epoch || !known {
            return;
        }
        let Some(retry) = &mut pipe.retry else { return };
        if now >= retry.since + patience {
            self.fail_side(id, side, libc::ETIMEDOUT, &Kind::TimedOut { connection: id });
            return;
        }
        retry.attempt += 1;
        let attempt = retry.attempt;
        // Everything that waits goes along: what the other side has already is dropped there.
        let upto = pipe.written.min(pipe.window_end).max(pipe.sent);
        let fin = pipe.fin_written && upto == pipe.written;
        let bytes = upto - pipe.delivered.min(upto);
        pipe.sent = upto;
        pipe.fin_sent |= fin;
        let cause = self.trace_side(
            id,
            side,
            &Kind::Retransmit {
                connection: id,
                attempt,
            },
        );
        self.caused_by(cause, |kernel| {
            if kernel.gets_through(id, side) {
                kernel.launch(id, side, upto, fin, bytes);
            }
            kernel.arm_retransmission(id, side);
        });
    }

    /// Bytes reach the other machine.
    pub(crate) fn arrives(&mut self, id: ConnectionId, from: Side, upto: u64, fin: bool, epoch: u32) {
        let now = self.now;
        let to = from.other();
        let Some(connection) = self.connection(id) else {
            return;
        };
        // Behind something that was lost, this is not in order; the retransmission brings it along.
        if connection.pipes[from.index()].epoch != epoch {
            return;
        }
        if !self.gets_through(id, from) {
            self.lose(id, from);
            return;
        }
        let Some(connection) = self.connection(id) else {
            return;
        };
        if !connection.ends[to.index()].known {
            self.send_reset(id, to);
            return;
        }
        if to == Side::Server && !connection.server_established && !self.establish_server(id) {
            return;
        }
        let Some(connection) = self.connection(id) else {
            return;
        };
        let end = &mut connection.ends[to.index()];
        end.heard_at = now;
        end.unanswered_probes = 0;
        let (gone, receive_buffer) = (end.program == Program::Gone, end.options.receive_buffer);
        let pipe = &mut connection.pipes[from.index()];
        let new_bytes = upto.saturating_sub(pipe.delivered);
        let new_fin = fin && !pipe.fin_delivered;
        if new_bytes > 0 && gone {
            // Nobody will ever read this.
            self.forget_side(id, to);
            self.send_reset(id, to);
            return;
        }
        pipe.delivered = pipe.delivered.max(upto);
        pipe.fin_delivered |= fin;
        pipe.announced = pipe.consumed + receive_buffer;
        if new_bytes > 0 || new_fin {
            let kind = Kind::Deliver {
                connection: id,
                bytes: new_bytes,
                fin: new_fin,
            };
            let cause = self.trace_side(id, to, &kind);
            self.caused_by(cause, |kernel| {
                let hang_up = if new_fin { libc::EPOLLRDHUP } else { 0 };
                kernel.notify_side(id, to, libc::EPOLLIN | hang_up);
            });
        }
        if self.acknowledge(id, from) {
            if let Some(connection) = self.connection(id) {
                connection.pipes[from.index()].retry = None;
            }
            self.transmit(id, from);
        } else {
            self.lose(id, from);
        }
        self.collect_garbage(id);
    }

    /// The receiving machine tells the sender what has arrived and how much room there is. The sender takes note when
    /// it next has reason to; only one that waits is woken by an event of its own. False when the way back is cut.
    fn acknowledge(&mut self, id: ConnectionId, sender: Side) -> bool {
        if !self.gets_through(id, sender.other()) {
            return false;
        }
        let now = self.now;
        let Some(route) = self.route(id, sender.other()) else {
            return false;
        };
        let at = self.links.arrival(now, route, 0);
        let Some(connection) = self.connection(id) else {
            return false;
        };
        let pipe = &mut connection.pipes[sender.index()];
        pipe.settle(now);
        // Acknowledgements add up: one that would overtake an earlier one only repeats it.
        let at = pipe.acknowledgements.back().map_or(at, |last| last.at.max(at));
        let (delivered, window_end) = (pipe.delivered, pipe.announced);
        pipe.acknowledgements.push_back(Acknowledgement {
            at,
            delivered,
            window_end,
        });
        if pipe.writer_waits || pipe.sent < pipe.written {
            self.schedule(
                at,
                Action::Acknowledged {
                    connection: id,
                    side: sender,
                },
            );
        }
        true
    }

    pub(crate) fn acknowledged(&mut self, id: ConnectionId, side: Side) {
        let now = self.now;
        let Some(connection) = self.connection(id) else {
            return;
        };
        let send_buffer = connection.ends[side.index()].options.send_buffer;
        let pipe = &mut connection.pipes[side.index()];
        pipe.settle(now);
        let free = send_buffer.saturating_sub(pipe.written - pipe.acknowledged);
        // As Linux does it: waking a writer for a few bytes of room would make it write a few bytes at a time.
        if pipe.writer_waits && free * 3 >= send_buffer {
            pipe.writer_waits = false;
            self.notify_side(id, side, libc::EPOLLOUT);
        } else if pipe.writer_waits
            && let Some(next) = pipe.acknowledgements.front().map(|ack| ack.at)
        {
            self.schedule(next, Action::Acknowledged { connection: id, side });
        }
        self.transmit(id, side);
    }

    /// Hands what has arrived to the program: 0 is the end of the stream.
    pub(crate) fn tcp_read(
        &mut self,
        id: ConnectionId,
        side: Side,
        into: &mut [u8],
        peek: bool,
    ) -> Result<usize, c_int> {
        let Some(connection) = self.connection(id) else {
            return Ok(0);
        };
        let end = &mut connection.ends[side.index()];
        let receive_buffer = end.options.receive_buffer;
        let pipe = &mut connection.pipes[side.other().index()];
        // What arrived before a RST is still there to be read.
        if pipe.readable() > 0 && !end.read_closed {
            let length = pipe.read(into, peek);
            // Half a buffer of news is worth telling, as Linux sees it.
            let news = pipe.consumed + receive_buffer - pipe.announced;
            if news * 2 >= receive_buffer && !pipe.window_update_pending {
                self.announce_window(id, side.other(), 0);
            }
            return Ok(length);
        }
        if let Some(error) = end.error.take() {
            return Err(error);
        }
        if !end.known || end.read_closed || pipe.fin_delivered {
            return Ok(0);
        }
        Err(libc::EAGAIN)
    }

    /// The reader's machine tells the writer's that there is room again, however often it takes: in truth it is the
    /// writer's window probes that make sure of it.
    pub(crate) fn announce_window(&mut self, id: ConnectionId, writer: Side, attempt: u32) {
        let Some(connection) = self.connection(id) else {
            return;
        };
        let reader = &connection.ends[writer.other().index()];
        if !reader.known || !connection.ends[writer.index()].known {
            return;
        }
        let receive_buffer = reader.options.receive_buffer;
        let pipe = &mut connection.pipes[writer.index()];
        pipe.announced = pipe.consumed + receive_buffer;
        let told = self.acknowledge(id, writer);
        if let Some(connection) = self.connection(id) {
            connection.pipes[writer.index()].window_update_pending = !told;
        }
        if !told {
            let wait = RETRANSMISSION_FLOOR
                .saturating_mul(1 << attempt.min(16))
                .min(RETRANSMISSION_CEILING);
            let action = Action::WindowOpens {
                connection: id,
                side: writer,
                attempt: attempt + 1,
            };
            self.schedule(self.now + wait, action);
        }
    }
}
