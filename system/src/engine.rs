//! The saga engine: carries out what the ledger intends, and books what came of it.
//!
//! The saga's state is the ledger's: each step commits together with the intent of the next, so that a process can die between
//! any two lines here and another goes on from the last commit. Nothing is kept in memory that matters.
//!
//! | outcome | what is booked |
//! |---|---|
//! | known | the step, its event, the answer to the request; the next step's intent |
//! | not said | nothing: the lease runs out and a worker asks again, under a new fence |
//! | cannot be found out | limbo: accounts frozen, an event for people, an operator's decision |

use std::{sync::Arc, time::Duration};

use time::OffsetDateTime;

use crate::{
    clock::now,
    external::{Breaker, Dependency, Open, Unknown},
    ledger::{Answer, Command, Ledger, LedgerError, Operation, OperationKind, Payment, Reply},
    variant::{Variant, as_written},
};

/// How long the engine tries.
#[derive(Clone, Copy, Debug)]
pub struct EngineConfig {
    /// How long whoever takes an operation up works on it before others may. Longer than `limit`.
    pub lease: Duration,
    /// How long one attempt tries to learn the outcome.
    pub limit: Duration,
    /// Attempts after which an operation goes to limbo.
    pub attempts_max: i32,
}

impl Default for EngineConfig {
    fn default() -> Self {
        Self {
            lease: Duration::from_secs(20),
            limit: Duration::from_secs(10),
            attempts_max: 100,
        }
    }
}

/// How an operation ended, for now.
#[derive(Clone, Debug)]
pub enum Ended {
    /// The outcome is booked; this is the answer to the request that waited for it, if one did.
    Settled(Option<Answer>),
    /// Another process settles it, or has.
    Elsewhere,
    /// The dependency is left alone.
    Parked(Open),
    /// No outcome yet. A worker will ask again.
    Open(String),
    /// An operator has to find out.
    Limbo,
}

/// The dependencies, each with its breaker.
#[derive(Clone, Debug)]
pub struct Externals {
    /// Moves money.
    pub psp: (Dependency, Breaker),
    /// Verifies payees.
    pub kyc: (Dependency, Breaker),
}

impl Externals {
    /// Who carries out operations of a kind.
    pub fn of(&self, kind: OperationKind) -> &(Dependency, Breaker) {
        match kind {
            OperationKind::Verify => &self.kyc,
            _ => &self.psp,
        }
    }

    /// For how long the one with the longest memory surely knows what it was asked for.
    pub fn memory_max(&self) -> Duration {
        self.psp.0.memory().max(self.kyc.0.memory())
    }
}

/// A process's engine. Clones share it.
#[derive(Clone, Debug)]
pub struct Engine {
    ledger: Ledger,
    externals: Arc<Externals>,
    config: EngineConfig,
}

impl Engine {
    /// An engine on a ledger.
    pub fn new(ledger: Ledger, externals: Externals, config: EngineConfig) -> Self {
        Self {
            ledger,
            externals: Arc::new(externals),
            config,
        }
    }

    /// Until when an operation taken up now is this process's.
    pub fn lease_until(&self) -> OffsetDateTime {
        now() + self.config.lease
    }

    /// The ledger that it books in.
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Whether operations of a kind can be carried out at present.
    ///
    /// # Errors
    /// When their dependency is left alone.
    pub fn admit(&self, kind: OperationKind) -> Result<(), Open> {
        self.externals.of(kind).1.admit()
    }

    /// Whether the payment service provider has been asked for something under this key.
    ///
    /// # Errors
    /// When it does not say.
    pub async fn was_called(&self, key: &str, limit: Duration) -> Result<bool, Unknown> {
        self.externals.psp.0.knows(key, limit).await
    }

    /// Carries an operation out and books the outcome. What follows from it goes on in the background. A payment that the
    /// caller does not have is read from the ledger.
    ///
    /// # Errors
    /// When the ledger cannot be written: the operation stays for a worker.
    pub async fn carry_out(
        &self,
        operation: Operation,
        payment: Option<Payment>,
    ) -> Result<Ended, LedgerError> {
        // Nothing is asked for outside by a process that could not book it.
        let epoch = self.ledger.epoch()?;
        let id = operation.id;
        let (dependency, breaker) = self.externals.of(id.kind);
        if let Err(open) = breaker.admit() {
            return Ok(Ended::Parked(open));
        }
        let payment = match payment {
            Some(payment) => payment,
            None => match self.ledger.payment(id.tenant, id.payment).await? {
                Some((payment, _)) => payment,
                None => return Ok(Ended::Elsewhere),
            },
        };
        let heard = dependency
            .carry_out(&payment, &operation, epoch, self.config.limit)
            .await;
        let failed = matches!(heard, Err(Unknown::NotSaid { .. }));
        if let Err(unknown) = &heard {
            tracing::warn!(
                payment_id = %id.payment, tenant = %id.tenant, operation = id.kind.name(), seq = id.seq,
                dependency = dependency.name(), fence = operation.fence, failed, %unknown, "outcome unknown"
            );
        }
        breaker.record(!failed || as_written(Variant::BreakerCountsSuccess));
        let command = match heard {
            Ok(outcome) => {
                tracing::info!(
                    payment_id = %id.payment, tenant = %id.tenant, operation = id.kind.name(), seq = id.seq,
                    dependency = dependency.name(), fence = operation.fence, ?outcome, "outcome known"
                );
                Command::Resolve {
                    operation: id,
                    fence: operation.fence,
                    outcome,
                    at: now(),
                    lease_until: self.lease_until(),
                }
            }
            Err(open @ (Unknown::NotSaid { .. } | Unknown::Processing { .. }))
                if operation.attempts < self.config.attempts_max =>
            {
                return Ok(Ended::Open(open.to_string()));
            }
            Err(unknown) => {
                tracing::error!(payment_id = %id.payment, tenant = %id.tenant, %unknown, "limbo: an operator has to decide");
                Command::GiveUp {
                    operation: id,
                    fence: operation.fence,
                    reason: unknown.to_string(),
                    at: now(),
                }
            }
        };
        let gave_up = matches!(command, Command::GiveUp { .. });
        Ok(match self.settle(command).await? {
            Reply::Resolved { answer, next } => {
                tracing::info!(
                    payment_id = %id.payment, tenant = %id.tenant, operation = id.kind.name(), seq = id.seq,
                    epoch, fence = operation.fence, "settled"
                );
                if let Some(next) = next {
                    self.go_on(next);
                }
                if gave_up {
                    Ended::Limbo
                } else {
                    Ended::Settled(answer)
                }
            }
            _ => {
                tracing::info!(payment_id = %id.payment, tenant = %id.tenant, operation = id.kind.name(), "settled elsewhere");
                Ended::Elsewhere
            }
        })
    }

    /// Has an operation carried out that nobody has written down.
    pub(crate) async fn call(&self, payment: &Payment, operation: &Operation) {
        let (dependency, _) = self.externals.of(operation.id.kind);
        let epoch = self.ledger.epoch().unwrap_or_default();
        let _ = dependency
            .carry_out(payment, operation, epoch, self.config.limit)
            .await;
    }

    /// Books an outcome. Asking again after an unknown commit is safe: what is settled is stale.
    async fn settle(&self, command: Command) -> Result<Reply, LedgerError> {
        match self.ledger.submit(command.clone()).await {
            Err(LedgerError::Unknown(_) | LedgerError::Unavailable(_)) => self.ledger.submit(command).await,
            result => result,
        }
    }

    /// Carries out what nobody waits for.
    pub fn go_on(&self, operation: Operation) {
        let engine = self.clone();
        tokio::spawn(async move {
            let id = operation.id;
            // Boxed: settling one operation goes on with the next.
            if let Err(error) = Box::pin(engine.carry_out(operation, None)).await {
                tracing::warn!(payment_id = %id.payment, %error, "left to a worker");
            }
        });
    }
}
