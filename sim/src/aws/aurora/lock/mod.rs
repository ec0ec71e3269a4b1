//! The lock manager: heavyweight locks with fair queues, and deadlock detection over them.
//!
//! Modelled: relation locks in all eight modes, tuple locks (they only order the waiters for one row), waits for a
//! transaction's end, advisory locks. A request waits when it conflicts with a holder or with an earlier waiter; a
//! backend that already blocks an earlier waiter goes ahead of it, as PostgreSQL does to avoid needless deadlocks.
//! Row locks proper live in the tuples (`storage::heap`).

mod deadlock;
mod manager;

pub(super) use manager::{Locks, Mode, Pid, Requested, Tag};
