//! A new version of the system takes the place of the one before, process by process, while clients go on.
//!
//! What an orchestrator does and an operator: once the schema is expanded, each process is drained at its time and started as the
//! new version, and so is whichever died meanwhile; when all have been replaced, the schema is contracted.

use std::{convert::Infallible, error::Error, future::Future, time::Duration};

use payments::{
    ledger::{Schema, Target, contracts_to, migrate},
    region::{KeeperConfig, retire},
};
use sqlx::types::time::OffsetDateTime;
use sumzero_sim::{Seed, aws::aurora::cluster::GlobalCluster, here};
use tokio::time::{Instant, sleep, timeout};

use crate::script::{Rollout, Script};

use super::{
    Notes,
    network::REGIONS,
    operator::{routing, superuser},
};

/// How long one attempt of the operator may take.
const ATTEMPT: Duration = Duration::from_secs(120);

/// The version of the schema that a process writes which is started now, and when it is to be drained for the next version.
pub(super) fn process(
    script: &Script,
    notes: &Notes,
    name: &str,
) -> (Schema, impl Future<Output = ()> + Send + 'static + use<>) {
    let replaced_at = script
        .rollout
        .as_ref()
        .map(|rollout| replaced_at(rollout, script.seed, name));
    let notes = notes.clone();
    let due = move || replaced_at.is_none_or(|at| now() >= at && notes.lock().expanded);
    let new = due();
    let schema = if new { Schema::default() } else { Schema::V1 };
    let drained = async move {
        if new {
            std::future::pending::<()>().await;
        }
        while !due() {
            sleep(Duration::from_millis(500)).await;
        }
    };
    (schema, drained)
}

fn now() -> Duration {
    here().map_or(Duration::ZERO, |here| Duration::from_nanos(here.at.as_nanos()))
}

fn replaced_at(rollout: &Rollout, seed: u64, name: &str) -> Duration {
    let share = Seed(seed).stream(&format!("rollout/{name}")).next_u64() % 1_000;
    rollout.at + rollout.over.mul_f64(share as f64 / 1_000.0)
}

/// Expands the schema, waits until processes have been replaced, and contracts it. Does not end.
pub(super) async fn operate(
    script: &Script,
    database: &GlobalCluster,
    notes: &Notes,
    started: Instant,
) -> Infallible {
    let steps = script.rollout.iter().flat_map(|rollout| {
        let over = rollout.at + rollout.over;
        [(rollout.at, Target::Expanded), (over, Target::Contracted)]
    });
    for (at, target) in steps {
        sleep(at.saturating_sub(started.elapsed())).await;
        let mut attempt = 0;
        while !matches!(
            timeout(ATTEMPT, bring(database, target, attempt)).await,
            Ok(Ok(()))
        ) {
            attempt += 1;
            sleep(Duration::from_secs(5)).await;
        }
        let mut notes = notes.lock();
        match target {
            Target::Contracted => notes.contracted = true,
            _ => notes.expanded = true,
        }
    }
    std::future::pending().await
}

/// As `payments migrate` does, through whichever Region's DynamoDB answers.
async fn bring(
    database: &GlobalCluster,
    target: Target,
    attempt: usize,
) -> Result<(), Box<dyn Error + Send + Sync>> {
    if target == Target::Contracted
        && let Some(oldest) = contracts_to(&mut superuser(database).await?).await?
    {
        let table = routing(attempt % REGIONS.len());
        retire(&table, oldest, KeeperConfig::default(), OffsetDateTime::now_utc).await?;
    }
    migrate(&mut superuser(database).await?, REGIONS[0], target).await?;
    Ok(())
}
