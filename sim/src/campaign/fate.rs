//! What becomes of a seed.

use std::fmt;
use std::time::Duration;

use nix::sys::signal::Signal;
use nix::sys::wait::WaitStatus;
use serde::{Deserialize, Serialize};

use super::Limits;
use crate::units;

/// How a seed's process ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fate<T> {
    /// It came to its end and answered this, which may well be a failure of what was tried.
    Finished(T),
    /// It panicked outside any host's program.
    Panicked {
        /// The panic's message and place.
        message: String,
    },
    /// It called itself until its stack was full.
    StackOverflow,
    /// It asked for more memory than it may have.
    OutOfMemory {
        /// What it may have beyond its parent's, in bytes.
        limit_bytes: u64,
    },
    /// It took longer than it may, and was killed. On a slower machine the same seed may have this fate and on a faster one
    /// not: raise [`Limits::real_time`] and try it again.
    Hung {
        /// What it may take, in real time.
        #[serde(with = "units::duration")]
        limit: Duration,
    },
    /// A signal ended it.
    Signalled {
        /// The signal's name: `SIGABRT`.
        signal: String,
    },
    /// It ended itself before it had an answer.
    Exited {
        /// Its exit code.
        code: i32,
    },
}

impl<T> Fate<T> {
    /// The answer, if there is one.
    pub fn answer(&self) -> Option<&T> {
        match self {
            Fate::Finished(answer) => Some(answer),
            _ => None,
        }
    }
}

impl<T> fmt::Display for Fate<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fate::Finished(_) => f.write_str("finished"),
            Fate::Panicked { message } => write!(f, "panicked: {message}"),
            Fate::StackOverflow => f.write_str("overflowed its stack"),
            Fate::OutOfMemory { limit_bytes } => {
                write!(f, "needed more than {} MiB of memory", limit_bytes >> 20)
            }
            Fate::Hung { limit } => write!(f, "took more than {}", humantime::format_duration(*limit)),
            Fate::Signalled { signal } => write!(f, "was ended by {signal}"),
            Fate::Exited { code } => write!(f, "exited with {code} before it had an answer"),
        }
    }
}

/// What a seed's process says of itself before it ends.
#[derive(Serialize, Deserialize)]
pub(super) enum Report<T> {
    Finished(T),
    Panicked(String),
}

/// The fate of a process that ended with this status, reported this, and printed this.
pub(super) fn fate_of<T>(
    report: Option<Report<T>>,
    status: WaitStatus,
    timed_out: bool,
    output: &str,
    limits: &Limits,
) -> Fate<T> {
    match (report, status) {
        (Some(Report::Finished(answer)), WaitStatus::Exited(_, 0)) => Fate::Finished(answer),
        (Some(Report::Panicked(message)), _) => Fate::Panicked { message },
        (_, WaitStatus::Signaled(_, Signal::SIGKILL, _)) if timed_out => Fate::Hung {
            limit: limits.real_time,
        },
        // The standard library and the C library abort after saying why, and say it nowhere but here.
        (_, WaitStatus::Signaled(_, Signal::SIGABRT, _)) if output.contains("has overflowed its stack") => {
            Fate::StackOverflow
        }
        (_, WaitStatus::Signaled(_, Signal::SIGABRT, _)) if output.contains("memory allocation of") => {
            Fate::OutOfMemory {
                limit_bytes: limits.memory_bytes,
            }
        }
        (_, WaitStatus::Signaled(_, signal, _)) => Fate::Signalled {
            signal: signal.to_string(),
        },
        (_, WaitStatus::Exited(_, code)) => Fate::Exited { code },
        (_, other) => unreachable!("waited for the end of a process and got {other:?}"),
    }
}
