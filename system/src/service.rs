//! A mutation from the client's request to the answer: gate, ledger, outside, ledger, gate.

use std::time::Duration;

use crate::{
    clock::now,
    engine::{Ended, Engine},
    external::Open,
    gate::{Call, Claim, Gate, GateUnavailable, Ticket, milliseconds},
    id::PaymentId,
    ledger::{Answer, Command, LedgerError, Mutation, Refusal, Reply, Request, intent_of},
    region::{Restored, restore},
    variant::{Variant, as_written},
};

/// Why a call has no answer of its own. Only [`Failure::Unsettled`] leaves open whether money moves; the same request under
/// the same key finds out.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Failure {
    /// The key belongs to another request.
    #[error("this Idempotency-Key was used for another request")]
    KeyReused,
    /// An earlier attempt is under way.
    #[error("an earlier attempt of this request is under way")]
    InFlight {
        /// When to ask again.
        retry_after: Duration,
    },
    /// A rule stands against it. Nothing was written.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The outcome is not known yet.
    #[error("the outcome of payment {payment} is not known yet")]
    Unsettled {
        /// The payment.
        payment: PaymentId,
        /// When to ask again.
        retry_after: Duration,
    },
    /// It was booked, or may have been, and could not be confirmed.
    #[error("the answer could not be confirmed: {0}")]
    Unconfirmed(String),
    /// The provider is left alone. No money moved.
    #[error(transparent)]
    LeftAlone(#[from] Open),
    /// The gate cannot be asked. No money moved.
    #[error(transparent)]
    Gate(#[from] GateUnavailable),
    /// The ledger cannot be asked. No money moved.
    #[error("the ledger cannot be asked: {0}")]
    Ledger(LedgerError),
}

/// How soon a client may come back when something is down: long enough to matter, jittered by the server.
const COME_BACK: Duration = Duration::from_secs(2);

/// Serves mutations. Clones share it.
#[derive(Clone, Debug)]
pub struct Service {
    gate: Gate,
    engine: Engine,
}

impl Service {
    /// A service of these parts.
    pub fn new(gate: Gate, engine: Engine) -> Self {
        Self { gate, engine }
    }

    /// The engine that carries operations out.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Carries a call through to its answer, even if the caller goes away meanwhile.
    ///
    /// # Errors
    /// See [`Failure`].
    pub async fn call(&self, call: Call) -> Result<Answer, Failure> {
        let this = self.clone();
        // A task of its own: a client that hangs up must not leave a payment half done until a worker finds it.
        let done = tokio::spawn(async move { this.carry(call).await }).await;
        done.unwrap_or_else(|gone| Err(Failure::Unconfirmed(gone.to_string())))
    }

    async fn carry(&self, call: Call) -> Result<Answer, Failure> {
        let epoch = self.engine.ledger().epoch().map_err(Failure::Ledger)?;
        let asked_at = now();
        let ticket = match self.gate.claim(&call, epoch, asked_at).await? {
            Claim::Mine(ticket) => {
                let (tenant, idempotency_key) = (call.tenant, call.key.as_str());
                tracing::info!(%tenant, idempotency_key, at_ms = milliseconds(asked_at), until_ms = milliseconds(ticket.lease_until), "claimed");
                ticket
            }
            Claim::Complete(answer) => {
                tracing::info!(tenant = %call.tenant, status = answer.status, "answered again from the gate");
                return Ok(answer);
            }
            Claim::Doubtful(kept) => {
                return match restore(self.engine.ledger(), &self.gate, &kept, epoch).await {
                    Ok(Restored::Answered(answer)) => Ok(answer),
                    Ok(other) => Err(Failure::Unconfirmed(format!("not restored: {other:?}"))),
                    Err(error) => Err(Failure::Unconfirmed(error.to_string())),
                };
            }
            Claim::InFlight {
                retry_after,
                lease_until,
            } => {
                let (tenant, idempotency_key) = (call.tenant, call.key.as_str());
                tracing::info!(
                    %tenant, idempotency_key, at_ms = milliseconds(asked_at), until_ms = milliseconds(lease_until),
                    retry_after_ms = retry_after.as_millis() as u64, "an earlier attempt holds the claim"
                );
                return Err(Failure::InFlight { retry_after });
            }
            Claim::Mismatch => return Err(Failure::KeyReused),
            Claim::Superseded => {
                let replaced = LedgerError::NoAuthority("another Region has become the writer");
                return Err(Failure::Ledger(replaced));
            }
        };
        let Call {
            tenant,
            key,
            fingerprint,
            mutation,
        } = call;
        if let Some(open) = mutation
            .operation()
            .and_then(|kind| self.engine.admit(kind).err())
        {
            self.release(&ticket).await?;
            return Err(open.into());
        }
        let request = Request {
            tenant,
            key,
            fingerprint,
            at: now(),
            lease_until: self.engine.lease_until(),
        };
        if as_written(Variant::CallBeforeTheIntent)
            && let Some((payment, operation)) = intent_of(&request, &mutation)
        {
            self.engine.call(&payment, &operation).await;
        }
        let done = self.post(request, mutation).await;
        match &done {
            Ok(answer) => {
                if as_written(Variant::ToldBeforeKept) {
                    let (gate, answer) = (self.gate.clone(), answer.clone());
                    tokio::spawn(async move { gate.complete(&ticket, &answer, now()).await });
                    return done;
                }
                // Only now is the answer in a second Region.
                let kept = self.gate.complete(&ticket, answer, now()).await;
                kept.map_err(|error| Failure::Unconfirmed(error.to_string()))?;
            }
            // Nothing was written: the key is free again.
            Err(Failure::Refused(_) | Failure::Ledger(_) | Failure::KeyReused) => {
                self.release(&ticket).await?;
            }
            // Written, or perhaps: the claim goes on until its lease ends, the ledger knows the rest.
            Err(_) => {}
        }
        done
    }

    /// Gives a claim back. Only once it is gone may the client be told that nothing was done: a claim that stays is looked at
    /// after the loss of a Region, and what its client has given up must not be found then.
    async fn release(&self, ticket: &Ticket) -> Result<(), Failure> {
        let (tenant, idempotency_key) = (ticket.call.tenant, ticket.call.key.as_str());
        tracing::info!(%tenant, idempotency_key, "gives the claim back");
        let released = self.gate.release(ticket).await;
        released.map_err(|error| Failure::Unconfirmed(error.to_string()))
    }

    async fn post(&self, request: Request, mutation: Mutation) -> Result<Answer, Failure> {
        let at = request.at;
        let command = Command::Mutate(request, mutation);
        let reply = match self.engine.ledger().submit(command.clone()).await {
            // It may be written. Asking again tells; it cannot be written twice.
            Err(LedgerError::Unknown(_)) => {
                let again = self.engine.ledger().submit(command.clone()).await;
                again.map_err(|error| Failure::Unconfirmed(error.to_string()))?
            }
            reply => reply.map_err(Failure::Ledger)?,
        };
        match reply {
            Reply::Answered(answer) => Ok(answer),
            Reply::Replayed(answer) => {
                tracing::info!(tenant = %command.tenant(), status = answer.status, "answered again from the ledger");
                Ok(answer)
            }
            Reply::Started(operation, payment) => self.carry_out(operation, Some(*payment), command).await,
            // This very attempt, if its commit's answer was lost: the intent is ours.
            Reply::InFlight(operation) if operation.created_at == at => {
                tracing::info!(payment_id = %operation.id.payment, "the intent of an unanswered commit is there");
                self.carry_out(operation, None, command).await
            }
            Reply::InFlight(operation) => Err(Failure::Unsettled {
                payment: operation.id.payment,
                retry_after: (operation.lease_until - now())
                    .max(time::Duration::ZERO)
                    .unsigned_abs(),
            }),
            Reply::Resolved { answer, next } => {
                if let Some(next) = next {
                    self.engine.go_on(next);
                }
                answer.ok_or_else(|| Failure::Unconfirmed("the ledger has no answer".to_owned()))
            }
            Reply::Mismatch => Err(Failure::KeyReused),
            Reply::Refused(refusal) => {
                tracing::info!(tenant = %command.tenant(), %refusal, "refused");
                Err(Failure::Refused(refusal))
            }
            Reply::Stale | Reply::Unfounded(_) => Err(Failure::Unconfirmed(
                "the request is settled elsewhere".to_owned(),
            )),
        }
    }

    async fn carry_out(
        &self,
        operation: crate::ledger::Operation,
        payment: Option<crate::ledger::Payment>,
        command: Command,
    ) -> Result<Answer, Failure> {
        let unsettled = Failure::Unsettled {
            payment: operation.id.payment,
            retry_after: COME_BACK,
        };
        match self.engine.carry_out(operation, payment).await {
            Ok(Ended::Settled(Some(answer))) => Ok(answer),
            // Another process was faster: the ledger has the answer.
            Ok(Ended::Settled(None) | Ended::Elsewhere) => match self.engine.ledger().submit(command).await {
                Ok(Reply::Replayed(answer)) => Ok(answer),
                _ => Err(unsettled),
            },
            Ok(Ended::Parked(_) | Ended::Open(_) | Ended::Limbo) | Err(_) => Err(unsettled),
        }
    }
}
