//! The window that a promotion may have lost: what the gate knows is compared with the ledger, and restored there.
//!
//! The gate holds every request before anything is done for it, and every answer before a client is told. So after a failover:
//!
//! | the gate has | the ledger has | what is done |
//! |---|---|---|
//! | an answer | it too | nothing |
//! | an answer | less | the request is booked again as a fact, under its own ids, with the answer to the byte |
//! | no answer | anything | the claim is taken from whoever had it, then the provider is asked by the call's key |
//! | .. and the provider knows the call | nothing | it is booked as begun, and settled with what the provider did |
//! | | it as begun | a worker takes it up, once the ledger is open |
//! | .. and it does not | anything | nothing has happened; the client may ask again |
//!
//! What builds on something that is still missing waits for the next pass; passes go on as long as they get anywhere. What is
//! left then is named as suspect, and tried again for a while after the ledger is open. In the end it is for people: in limbo,
//! with its accounts frozen and an event that says so, as far as the ledger has the payment that it is about.
//!
//! Past the window nothing is lost either: a request that meets an answer of an earlier epoch at the gate has it restored
//! first ([`restore`]).

use std::time::Duration;

use sqlx::PgPool;
use time::OffsetDateTime;
use tokio::task::JoinSet;

use crate::{
    clock::now,
    engine::{Ended, Engine},
    gate::{Gate, GateUnavailable, Kept},
    id::PaymentId,
    ledger::{
        Answer, Command, Ledger, LedgerError, Mutation, OperationKind, Reply, Request, call_key, last_beat,
    },
};

/// How the lost window is looked at.
#[derive(Clone, Debug)]
pub struct RepairConfig {
    /// How much earlier than the replica's last heartbeat the window begins: for clocks that disagree.
    pub margin: Duration,
    /// Requests looked at together.
    pub together: usize,
    /// How long the provider may take to say whether it knows a call.
    pub inquiry: Duration,
}

impl Default for RepairConfig {
    fn default() -> Self {
        Self {
            margin: Duration::from_secs(120),
            together: 64,
            inquiry: Duration::from_secs(5),
        }
    }
}

/// What became of a request that the ledger may have lost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Restored {
    /// The ledger has it, with this answer.
    Answered(Answer),
    /// The ledger has it, and will settle it.
    Begun,
    /// Nothing had happened.
    Nothing,
    /// The ledger cannot have it, for this reason.
    Suspect(String),
}

/// A request whose effect may be lost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Suspect {
    /// Which; its client may have been told if it has an answer.
    pub kept: Kept,
    /// What stands against restoring it.
    pub reason: String,
}

/// A request could not be looked at. Nothing is lost by that: it can be again.
#[derive(Clone, Debug, thiserror::Error)]
pub enum RepairError {
    /// The gate.
    #[error(transparent)]
    Gate(#[from] GateUnavailable),
    /// The ledger.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

fn request(kept: &Kept) -> Request {
    Request {
        tenant: kept.call.tenant,
        key: kept.call.key.clone(),
        fingerprint: kept.call.fingerprint,
        at: kept.asked_at,
        // Nobody is at it: a worker may take up what it starts at once.
        lease_until: kept.asked_at,
    }
}

/// Has the ledger restore a request that has an answer, and the gate note that it did.
///
/// # Errors
/// See [`RepairError`].
pub async fn restore(ledger: &Ledger, gate: &Gate, kept: &Kept, epoch: i64) -> Result<Restored, RepairError> {
    let Some(told) = &kept.answer else {
        return Ok(Restored::Suspect("it has no answer".to_owned()));
    };
    let command = Command::Restore(request(kept), kept.call.mutation.clone(), Some(told.clone()));
    match ledger.submit(command).await? {
        reply @ (Reply::Answered(_) | Reply::Replayed(_)) if reply.answer() == Some(told) => {
            let (tenant, key) = (kept.call.tenant, kept.call.key.as_str());
            if matches!(reply, Reply::Answered(_)) {
                tracing::warn!(%tenant, request = key, epoch, status = told.status, "restored what the ledger had lost");
            }
            let answer = told.clone();
            gate.complete(&kept.ticket(epoch), &answer, now()).await?;
            Ok(Restored::Answered(answer))
        }
        Reply::Answered(other) | Reply::Replayed(other) => Ok(Restored::Suspect(format!(
            "its client may have been told {} {}, the ledger says {} {}",
            told.status, told.body, other.status, other.body
        ))),
        Reply::Unfounded(reason) => Ok(Restored::Suspect(reason)),
        other => Ok(Restored::Suspect(format!("the ledger says {other:?}"))),
    }
}

/// Restores a window. Clones share it.
#[derive(Clone, Debug)]
pub struct Repair {
    gate: Gate,
    /// With the right to write in quarantine.
    engine: Engine,
    config: RepairConfig,
}

impl Repair {
    /// Between this gate and this engine's ledger.
    pub fn new(gate: Gate, engine: Engine, config: RepairConfig) -> Self {
        Self { gate, engine, config }
    }

    /// Where the window of a database begins that has just been promoted, read before anything is written to it.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn lost_since(&self, pool: &PgPool) -> Result<OffsetDateTime, LedgerError> {
        Ok(last_beat(pool).await? - self.config.margin)
    }

    /// Restores what it can of the window under `epoch`. What is left is suspect.
    ///
    /// # Errors
    /// When gate or ledger cannot be asked. What has been restored stays so.
    pub async fn run(&self, epoch: i64, since: OffsetDateTime) -> Result<Vec<Suspect>, RepairError> {
        loop {
            let window = self.gate.window(epoch, since).await?;
            let before = window.len();
            let suspects = self.pass(window, epoch).await?;
            if suspects.is_empty() || suspects.len() == before {
                return Ok(suspects);
            }
        }
    }

    /// Leaves what could not be restored to people: in limbo, with its accounts frozen, as far as the ledger has what it is about.
    ///
    /// # Errors
    /// When gate or ledger cannot be asked. Giving up again is safe.
    pub async fn give_up(&self, suspects: Vec<Suspect>, epoch: i64) -> Result<(), RepairError> {
        for Suspect { kept, reason } in suspects {
            let (tenant, confirmed) = (kept.call.tenant, kept.answer.is_some());
            let command = Command::Suspect {
                request: request(&kept),
                mutation: kept.call.mutation.clone(),
                reason: reason.clone(),
                at: now(),
            };
            let reply = self.engine.ledger().submit(command).await?;
            if matches!(reply, Reply::Resolved { .. }) {
                let request = kept.call.key.as_str();
                tracing::error!(%tenant, request, confirmed, reason, "limbo after a failover: an operator has to decide");
            }
            // The ledger has it, or has nothing that it could be about. An answer stays, for people to see.
            if !confirmed && !matches!(reply, Reply::Unfounded(_)) {
                self.gate.clear(&kept, epoch).await?;
            }
        }
        Ok(())
    }

    async fn pass(&self, window: Vec<Kept>, epoch: i64) -> Result<Vec<Suspect>, RepairError> {
        // Of freezes the last one counts: one after the other, when the accounts are there.
        let freezes = |kept: &Kept| matches!(kept.call.mutation, Mutation::SetFrozen { .. });
        let (freezes, others): (Vec<_>, Vec<_>) = window.into_iter().partition(freezes);
        let mut suspects = Vec::new();
        for group in others.chunks(self.config.together.max(1)) {
            suspects.extend(self.group(group, epoch).await?);
        }
        for freeze in &freezes {
            suspects.extend(self.group(std::slice::from_ref(freeze), epoch).await?);
        }
        Ok(suspects)
    }

    async fn group(&self, group: &[Kept], epoch: i64) -> Result<Vec<Suspect>, RepairError> {
        let mut looking = JoinSet::new();
        for kept in group {
            let (this, kept) = (self.clone(), kept.clone());
            looking.spawn(async move {
                let restored = this.look(&kept, epoch).await;
                (kept, restored)
            });
        }
        let mut suspects = Vec::new();
        while let Some(looked) = looking.join_next().await {
            let Ok((kept, restored)) = looked else { continue };
            let restored = restored?;
            match restored {
                Restored::Suspect(reason) => suspects.push(Suspect { kept, reason }),
                restored => {
                    let (tenant, request) = (kept.call.tenant, kept.call.key.as_str());
                    let confirmed = kept.answer.is_some();
                    tracing::info!(%tenant, request, confirmed, epoch, ?restored, "looked at after a failover");
                }
            }
        }
        Ok(suspects)
    }

    async fn look(&self, kept: &Kept, epoch: i64) -> Result<Restored, RepairError> {
        let ledger = self.engine.ledger();
        if kept.answer.is_some() {
            return restore(ledger, &self.gate, kept, epoch).await;
        }
        if !self.gate.suspect(kept, epoch).await? {
            return Ok(Restored::Suspect("it changed meanwhile".to_owned()));
        }
        match self.was_called(kept).await {
            Err(reason) => return Ok(Restored::Suspect(reason)),
            Ok(false) => {
                self.gate.clear(kept, epoch).await?;
                return Ok(Restored::Nothing);
            }
            Ok(true) => {}
        }
        let command = Command::Restore(request(kept), kept.call.mutation.clone(), None);
        let operation = match ledger.submit(command).await? {
            Reply::Started(operation, _) => operation,
            // It was not lost. Its fence is somebody's already: whoever goes on with it takes it up first, as workers do.
            Reply::InFlight(_) => return self.begun(kept, epoch).await,
            Reply::Answered(answer) | Reply::Replayed(answer) => {
                return self.answered(kept, answer, epoch).await;
            }
            Reply::Resolved {
                answer: Some(answer), ..
            } => return self.answered(kept, answer, epoch).await,
            Reply::Unfounded(reason) => return Ok(Restored::Suspect(reason)),
            other => return Ok(Restored::Suspect(format!("the ledger says {other:?}"))),
        };
        match self.engine.carry_out(operation, None).await? {
            Ended::Settled(Some(answer)) => self.answered(kept, answer, epoch).await,
            _ => self.begun(kept, epoch).await,
        }
    }

    /// The ledger has it: a worker goes on with it.
    async fn begun(&self, kept: &Kept, epoch: i64) -> Result<Restored, RepairError> {
        self.gate.clear(kept, epoch).await?;
        Ok(Restored::Begun)
    }

    async fn answered(&self, kept: &Kept, answer: Answer, epoch: i64) -> Result<Restored, RepairError> {
        self.gate.complete(&kept.ticket(epoch), &answer, now()).await?;
        Ok(Restored::Answered(answer))
    }

    /// Whether the provider has been asked for what a request leads to: only then can money have moved.
    async fn was_called(&self, kept: &Kept) -> Result<bool, String> {
        let call = &kept.call;
        let own = PaymentId::of_request(call.tenant, &call.key);
        let key = match (&call.mutation, call.mutation.operation()) {
            (mutation, Some(kind)) => call_key(mutation.payment().unwrap_or(own), kind, Some(&call.key)),
            (Mutation::Settle { .. }, None) => call_key(own, OperationKind::Payout, None),
            _ => return Ok(false),
        };
        let known = self.engine.was_called(&key, self.config.inquiry).await;
        known.map_err(|unknown| unknown.to_string())
    }
}
