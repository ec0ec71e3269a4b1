//! Takes up operations whose worker is gone: their lease is over and nobody has settled them.
//!
//! Taking up raises the fence, so that whoever had the operation before settles nothing any more, and asks the dependency
//! before it asks for anything. An operation whose outcome stays unknown comes back after a jittered pause; one whose
//! dependency is left alone is parked until the breaker closes.

use std::{sync::Arc, time::Duration};

use sqlx::PgPool;
use time::OffsetDateTime;
use tokio::sync::Semaphore;

use crate::{
    backoff::full_jitter,
    clock::now,
    drain::Drain,
    engine::{Ended, Engine},
    ledger::{LedgerError, Operation, due_operations, put_off},
};

/// How the sweeper works.
#[derive(Clone, Copy, Debug)]
pub struct SweeperConfig {
    /// How often it looks.
    pub interval: Duration,
    /// Operations that it takes up at a time.
    pub batch: i64,
    /// Operations under way at a time.
    pub concurrency: usize,
    /// How long it works on an operation before another may.
    pub lease: Duration,
    /// Longest pause before an operation comes back.
    pub pause_max: Duration,
}

impl Default for SweeperConfig {
    fn default() -> Self {
        Self {
            interval: Duration::from_secs(1),
            batch: 32,
            concurrency: 16,
            lease: Duration::from_secs(20),
            pause_max: Duration::from_secs(60),
        }
    }
}

/// Takes up what is due until the drain, and ends what was taken up. `pool` is of the role `payments_worker`.
pub async fn run(engine: Engine, pool: PgPool, config: SweeperConfig, mut drain: Drain) {
    let permits = Arc::new(Semaphore::new(config.concurrency));
    while !drain.begun() {
        match due_operations(&pool, now(), now() + config.lease, config.batch).await {
            Ok(operations) => {
                for operation in operations {
                    // Never closed.
                    let permit = permits.clone().acquire_owned().await;
                    let (engine, pool) = (engine.clone(), pool.clone());
                    tokio::spawn(async move {
                        let _permit = permit;
                        take_up(&engine, &pool, operation, config).await;
                    });
                }
            }
            Err(error) => tracing::warn!(%error, "cannot look for work"),
        }
        drain.sleep(config.interval.mul_f64(0.5 + fastrand::f64())).await;
    }
    // Never closed: all of them means that nothing is under way.
    let _ = permits.acquire_many(config.concurrency as u32).await;
}

async fn take_up(engine: &Engine, pool: &PgPool, operation: Operation, config: SweeperConfig) {
    let id = operation.id;
    tracing::info!(
        payment_id = %id.payment, tenant = %id.tenant, operation = id.kind.name(), fence = operation.fence, "taken up"
    );
    let attempts = operation.attempts.unsigned_abs();
    let back = match engine.carry_out(operation.clone(), None).await {
        Ok(Ended::Open(reason)) => {
            tracing::warn!(payment_id = %id.payment, reason, "no outcome yet");
            full_jitter(Duration::from_secs(1), config.pause_max, attempts)
        }
        Ok(Ended::Parked(open)) => {
            open.for_another + full_jitter(Duration::from_secs(1), config.pause_max, 1)
        }
        Ok(Ended::Settled(_) | Ended::Elsewhere | Ended::Limbo) => return,
        Err(error) => {
            tracing::warn!(payment_id = %id.payment, %error, "the outcome could not be booked");
            full_jitter(Duration::from_secs(1), config.pause_max, attempts)
        }
    };
    let until: OffsetDateTime = now() + back;
    if let Err(error) = put_off(pool, &operation, until).await {
        let error: LedgerError = error;
        tracing::warn!(payment_id = %id.payment, %error, "comes back when its lease ends");
    }
}
