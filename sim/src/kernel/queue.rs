//! What is going to happen: a heap ordered by time, and by order of scheduling where times are equal.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;

use crate::net::{ConnectionId, HostId, Side};
use crate::time::Time;

/// Something that happens to the world rather than inside a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// The client's end sends its SYN, for the `attempt`-th time from 0.
    Syn { connection: ConnectionId, attempt: u32 },
    /// The SYN reaches the server's machine.
    SynArrives { connection: ConnectionId },
    /// The SYN/ACK reaches the client's machine.
    SynAckArrives { connection: ConnectionId },
    /// The RST that answers a SYN reaches the client's machine.
    RefusalArrives { connection: ConnectionId },
    /// The bytes up to `upto` that `from` sent reach the other machine.
    Arrives {
        connection: ConnectionId,
        from: Side,
        upto: u64,
        fin: bool,
        epoch: u32,
    },
    /// The retransmission timer of `side` runs out.
    Retransmit {
        connection: ConnectionId,
        side: Side,
        epoch: u32,
    },
    /// `side`, whose program waits for room, learns what the other machine has received.
    Acknowledged { connection: ConnectionId, side: Side },
    /// `side` learns that the other program has read, so that there is room to send.
    WindowOpens {
        connection: ConnectionId,
        side: Side,
        attempt: u32,
    },
    /// A RST reaches `side`.
    ResetArrives { connection: ConnectionId, side: Side },
    /// The keepalive timer of `side` runs out.
    Keepalive {
        connection: ConnectionId,
        side: Side,
        epoch: u32,
    },
    /// A host whose program ended is started again.
    Boot { host: HostId },
    /// Fault `index` of the plan sets in.
    FaultStarts { index: u32 },
    /// Fault `index` of the plan ends.
    FaultEnds { index: u32 },
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Scheduled {
    pub(crate) at: Time,
    order: u64,
    /// The event that brought it about.
    pub(crate) cause: u64,
    pub(crate) action: Action,
}

impl PartialEq for Scheduled {
    fn eq(&self, other: &Scheduled) -> bool {
        self.order == other.order
    }
}

impl Eq for Scheduled {}

impl PartialOrd for Scheduled {
    fn partial_cmp(&self, other: &Scheduled) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Scheduled {
    fn cmp(&self, other: &Scheduled) -> Ordering {
        (self.at, self.order).cmp(&(other.at, other.order))
    }
}

#[derive(Default)]
pub(crate) struct Queue {
    heap: BinaryHeap<Reverse<Scheduled>>,
    scheduled: u64,
}

impl Queue {
    pub(crate) fn push(&mut self, at: Time, cause: u64, action: Action) {
        // What never happens takes no room.
        if at < Time::NEVER {
            self.scheduled += 1;
            self.heap.push(Reverse(Scheduled {
                at,
                order: self.scheduled,
                cause,
                action,
            }));
        }
    }

    pub(crate) fn next_at(&self) -> Time {
        self.heap.peek().map_or(Time::NEVER, |Reverse(next)| next.at)
    }

    /// The next action, if it is due.
    pub(crate) fn pop_due(&mut self, now: Time) -> Option<Scheduled> {
        if self.next_at() > now {
            return None;
        }
        self.heap.pop().map(|Reverse(next)| next)
    }
}
