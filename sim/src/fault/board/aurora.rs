//! What faults decide for an Aurora cluster beyond its requests.

use std::time::Duration;

use tokio::sync::futures::Notified;

use super::{FaultHandle, Touched};
use crate::fault::service::{Outage, ServiceFault};

/// How a statement is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kill {
    /// The statement alone.
    Statement,
    /// Its session with it.
    Session,
}

/// What is to happen to one statement.
#[derive(Debug, Default)]
pub(crate) struct StatementVerdict {
    /// Killed before it does anything.
    pub(crate) killed: Option<Kill>,
    /// Waits before it runs.
    pub(crate) delay: Duration,
    /// Gets no answer although it took effect.
    pub(crate) answer_lost: bool,
}

/// A failover that a fault asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failover {
    /// To another instance of the Region.
    Instance,
    /// To this Region.
    Global {
        /// Or else a switchover.
        allow_data_loss: bool,
    },
}

impl FaultHandle {
    /// Ends when a fault begins or ends after this was enabled.
    pub(crate) fn news(&self) -> Notified<'_> {
        self.0.news.notified()
    }

    /// The failovers asked for that have not been told yet.
    pub(crate) fn new_failovers(&self) -> Vec<Failover> {
        let mut failovers = Vec::new();
        self.board().each(|_, fault, dice| {
            let failover = match fault {
                ServiceFault::FailOverCluster {} => Failover::Instance,
                ServiceFault::FailOverGlobalCluster { allow_data_loss } => Failover::Global {
                    allow_data_loss: *allow_data_loss,
                },
                _ => return,
            };
            if *dice.bites == 0 {
                dice.bite();
                failovers.push(failover);
            }
        });
        failovers
    }

    /// Whether the instance crashes during this commit, and if so, whether the commit is durable.
    pub(crate) fn crash_during_commit(&self) -> Option<bool> {
        let mut crash = None;
        self.board().each(|_, fault, dice| {
            if let ServiceFault::CrashDuringCommit {
                probability,
                applied,
                times,
            } = fault
                && times.is_none_or(|times| *dice.bites < times)
                && dice.chance(*probability)
            {
                crash = Some(dice.draws.chance(*applied));
            }
        });
        crash
    }

    /// Connections that others hold.
    pub(crate) fn storm(&self) -> usize {
        let mut connections = 0;
        self.board().each(|_, fault, _| {
            if let ServiceFault::ConnectionStorm { connections: more } = fault {
                connections += *more as usize;
            }
        });
        connections
    }

    /// Notes that a storm kept a client out.
    pub(crate) fn storm_bites(&self) {
        self.board().each(|_, fault, dice| {
            if let ServiceFault::ConnectionStorm { .. } = fault {
                dice.bite();
            }
        });
    }

    /// The additional time of one commit.
    pub(crate) fn disk_delay(&self) -> Duration {
        let mut total = Duration::ZERO;
        self.board().each(|_, fault, dice| {
            if let ServiceFault::SlowDisk { min, max } = fault {
                dice.bite();
                total += dice.draws.between(*min, *max);
            }
        });
        total
    }

    /// Whether a write finds no room.
    pub(crate) fn disk_full(&self) -> bool {
        let mut full = false;
        self.board().each(|_, fault, dice| {
            if let ServiceFault::DiskFull {} = fault {
                dice.bite();
                full = true;
            }
        });
        full
    }

    /// Whether connections and statements are taken at all.
    pub(crate) fn outage(&self) -> Option<Outage> {
        let mut out = None;
        self.board().each(|_, fault, dice| {
            if let ServiceFault::Unavailable { outage } = fault {
                dice.bite();
                out = Some(*outage);
            }
        });
        out
    }

    /// What is to happen to a statement with this command word.
    pub(crate) fn judge_statement(&self, command: &str) -> StatementVerdict {
        let mut verdict = StatementVerdict::default();
        let nothing = Touched::default();
        self.board().each(|service, fault, dice| match fault {
            ServiceFault::KillStatement { target, session }
                if dice.strikes(service, target, command, &nothing) =>
            {
                verdict.killed = Some(if *session { Kill::Session } else { Kill::Statement });
            }
            ServiceFault::LoseAnswer { target } => {
                verdict.answer_lost |= dice.strikes(service, target, command, &nothing);
            }
            ServiceFault::Slow { target, min, max } if dice.strikes(service, target, command, &nothing) => {
                verdict.delay += dice.draws.between(*min, *max);
            }
            _ => {}
        });
        verdict
    }
}
