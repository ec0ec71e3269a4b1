//! Interleavings: several sessions, one statement at a time, with "blocked" as a fact.
//!
//! After each statement the stage is left to settle: every session has answered or waits for a lock that it will not get
//! before someone else acts. Only then does the next statement go out, so that the outcome follows from the locks and not
//! from the machine's mood. Where PostgreSQL itself leaves a choice (several waiters woken at once by one commit), two
//! runs may differ; who compares must allow for it.
//!
//! Not modelled: two statements on their way at once, cancel requests, which of two timers
//! fires first.

mod stage;

pub(crate) use stage::{Event, Line, Stage, Step, Transcript, shown};
