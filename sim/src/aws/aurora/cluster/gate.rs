//! What an instance's statements and commits pass through: the faults of its cluster, the time that storage takes, and
//! the limit on how far the other Regions may lag (`rds.global_db_rpo`).

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::sleep;

use super::bell::Bell;
use super::shipping::Shipping;
use crate::Stream;
use crate::aws::aurora::engine::Engine;
use crate::aws::aurora::error::{Result, code, fail};
use crate::aws::aurora::session::signal::{Signal, terminated};
use crate::fault::{FaultHandle, Kill, Outage};
use crate::units::Span;

/// What becomes of the client of a commit that may happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::aws::aurora) enum Fate {
    /// It hears after this time.
    Answered(Duration),
    /// Its connection closes instead.
    Unanswered,
    /// The instance crashes before it could hear.
    Crashed,
}

/// What strikes a statement before it runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::aws::aurora) enum Strike {
    /// It runs after this time, and then its answer may be lost.
    Runs { delay: Duration, lost: bool },
    /// Its connection closes instead.
    HangUp,
    /// Nothing happens, ever.
    Silence,
}

/// One Region's gate, shared by its instances.
#[derive(Debug)]
pub(in crate::aws::aurora) struct Gate {
    faults: FaultHandle,
    latency: Span,
    draws: Mutex<Stream>,
    rpo: Option<Duration>,
    shipping: Arc<Shipping>,
    crashed: AtomicBool,
    /// Rings when the writer instance crashed.
    crash: Bell,
}

impl Gate {
    pub(super) fn new(
        faults: FaultHandle,
        latency: Span,
        draws: Stream,
        rpo: Option<Duration>,
        shipping: Arc<Shipping>,
    ) -> Gate {
        Gate {
            faults,
            latency,
            draws: Mutex::new(draws),
            rpo,
            shipping,
            crashed: AtomicBool::new(false),
            crash: Bell::default(),
        }
    }

    /// Tells the cluster that the writer instance crashed.
    pub(in crate::aws::aurora) fn crashed(&self) {
        self.crashed.store(true, Ordering::SeqCst);
        self.crash.ring();
    }

    /// Returns when the writer instance has crashed.
    pub(super) async fn crash(&self) {
        let crashed = || self.crashed.swap(false, Ordering::SeqCst).then_some(());
        self.crash.until(crashed).await;
    }

    /// Whether connections are let in at all.
    pub(in crate::aws::aurora) fn outage(&self) -> Option<Outage> {
        self.faults.outage()
    }

    /// Whether others hold the connections that are free.
    pub(in crate::aws::aurora) fn crowded(&self, free: usize) -> bool {
        let crowded = self.faults.storm() >= free;
        if crowded {
            self.faults.storm_bites();
        }
        crowded
    }

    /// Refuses a write when the disk is full.
    pub(in crate::aws::aurora) fn room(&self) -> Result<()> {
        if self.faults.disk_full() {
            return fail(
                code::DISK_FULL,
                "could not extend the volume: No space left on device",
            );
        }
        Ok(())
    }

    /// Judges a statement. COMMIT is judged when it commits.
    pub(in crate::aws::aurora) fn judge(&self, text: &str) -> Result<Strike> {
        let command = text.trim_start().split(|c: char| !c.is_ascii_alphabetic()).next();
        let command = command.unwrap_or_default().to_ascii_uppercase();
        match self.faults.outage() {
            Some(Outage::Silence) => return Ok(Strike::Silence),
            Some(_) => return Ok(Strike::HangUp),
            None => {}
        }
        if matches!(command.as_str(), "COMMIT" | "END") {
            return Ok(Strike::Runs {
                delay: Duration::ZERO,
                lost: false,
            });
        }
        let verdict = self.faults.judge_statement(&command);
        spared(verdict.killed)?;
        Ok(Strike::Runs {
            delay: verdict.delay,
            lost: verdict.answer_lost,
        })
    }

    /// Waits until a transaction may commit.
    ///
    /// # Errors
    /// The session was terminated meanwhile; nothing is committed.
    pub(in crate::aws::aurora) async fn pass(&self, engine: &Engine, signal: &Signal) -> Result<Fate> {
        self.room()?;
        if let Some(rpo) = self.rpo {
            tokio::select! {
                // Unbiased selection would draw from a generator that no seed controls.
                biased;
                () = self.shipping.within(rpo) => {}
                () = signal.asked() => signal.check()?,
            }
        }
        let verdict = self.faults.judge_statement("COMMIT");
        spared(verdict.killed)?;
        let (storage, share) = {
            let mut draws = self.draws.lock().unwrap_or_else(PoisonError::into_inner);
            (self.latency.draw(&mut draws), draws.fraction())
        };
        // Durable once enough of the storage has it, which the instance hears of only later.
        let total = storage + verdict.delay + self.faults.disk_delay();
        let wait = total.mul_f64(share);
        if !wait.is_zero() {
            sleep(wait).await;
        }
        match self.faults.crash_during_commit() {
            Some(applied) => {
                if !applied {
                    engine.die();
                    std::future::pending::<()>().await;
                }
                Ok(Fate::Crashed)
            }
            None if verdict.answer_lost => Ok(Fate::Unanswered),
            None => Ok(Fate::Answered(total - wait)),
        }
    }

    /// Tells those who ship the log that there is more of it.
    pub(in crate::aws::aurora) fn committed(&self) {
        self.shipping.more();
    }
}

fn spared(killed: Option<Kill>) -> Result<()> {
    match killed {
        Some(Kill::Session) => Err(terminated()),
        Some(Kill::Statement) => fail(code::QUERY_CANCELED, "canceling statement due to user request"),
        None => Ok(()),
    }
}
