//! The reconciler: compares what is kept in several places, repairs what can only be meant one way, and reports the rest.
//!
//! | compared | difference | what is done |
//! |---|---|---|
//! | ledger's answers -> gate | `answer_lost`: the gate has none | put back, as the ledger has it |
//! | | `answer_differs` | reported: somebody may have been told either |
//! | gate's answers -> ledger | `answer_unfounded`: the ledger has no such request | reported: a confirmed payment is missing |
//! | ledger's outcomes -> provider, by operation key | `outcome_differs`, `outcome_unknown_outside` | reported: money |
//! | outbox | `event_parked`, `event_late` | reported: relays publish by themselves |
//! | outbox x subscribers -> inbox | `event_lost` | sent to the subscriber's queue again: only its inbox lets it have an effect |
//!
//! **What is compared** is older than a minimum age, since younger work is under way, and taken in the order of keys, page
//! by page, so that no row is starved by others. The list of subscribers is the program's, not what the inbox happens to hold: a
//! subscriber that has taken in nothing at all is missed, too.
//!
//! **Cost** of a pass is linear in the requests and operations of the windows in which gate and provider remember, and in
//! the published events. A provider is asked once for each operation and pass.
//!
//! Not modelled: a provider's list of everything that it did. Money that it moved under a key that the ledger never had is not
//! found from here.

mod events;
mod gate;
mod outside;

use std::time::Duration;

use aws_sdk_sqs::Client;
use sqlx::PgPool;
use time::OffsetDateTime;

use crate::{
    backoff::full_jitter,
    clock::now,
    drain::Drain,
    engine::Externals,
    gate::Gate,
    id::TenantId,
    ledger::{Authority, Schema},
    messages::Topology,
    metrics::Metrics,
};

/// How the reconciler works.
#[derive(Clone, Debug)]
pub struct ReconcilerConfig {
    /// From the end of a pass to the beginning of the next.
    pub interval: Duration,
    /// What is younger is under way.
    pub age_min: Duration,
    /// Rows of a page.
    pub page: i64,
    /// From page to page, so that it stays in the background.
    pub pause: Duration,
    /// Where the subscribers' queues are.
    pub topology: Topology,
}

impl Default for ReconcilerConfig {
    fn default() -> Self {
        Self {
            interval: Duration::from_secs(60),
            age_min: Duration::from_secs(120),
            page: 50,
            pause: Duration::from_millis(200),
            topology: Topology::default(),
        }
    }
}

/// A reconciler. Several may run; what one repairs, the others find whole.
#[derive(Clone, Debug)]
pub struct Reconciler {
    /// Of the role `payments_worker`.
    pub pool: PgPool,
    /// The version of the schema that is relied on.
    pub schema: Schema,
    /// The gate.
    pub gate: Gate,
    /// The providers.
    pub externals: Externals,
    /// The Region's SQS.
    pub queues: Client,
    /// How it works.
    pub config: ReconcilerConfig,
    /// What it counts.
    pub metrics: Metrics,
    /// Where another Region writes, it leaves all to that one's.
    pub authority: Authority,
}

/// Two places that do not agree.
struct Difference<'a> {
    kind: &'static str,
    tenant: TenantId,
    /// A payment, a request's key or an operation's.
    subject: &'a str,
    detail: &'a str,
    repaired: bool,
}

impl Reconciler {
    /// Compares until the drain.
    pub async fn run(self, mut drain: Drain) {
        loop {
            // Reconcilers that started together do not stay together.
            drain
                .sleep(full_jitter(self.config.interval * 2, self.config.interval * 2, 1))
                .await;
            if drain.begun() {
                return;
            }
            if self.authority.epoch().is_err() {
                continue;
            }
            for (what, done) in [
                ("gate", self.compare_answers(&mut drain).await),
                ("gate, all of it", self.compare_gate(&mut drain).await),
                ("providers", self.compare_outcomes(&mut drain).await),
                ("outbox", self.compare_outbox().await),
                ("inboxes", self.compare_inboxes(&mut drain).await),
            ] {
                match done {
                    Ok(compared) => tracing::info!(what, compared, "reconciled"),
                    // The next pass starts over.
                    Err(reason) => tracing::warn!(what, reason, "cannot be compared"),
                }
            }
        }
    }

    /// What was begun before this is finished, or somebody else's business.
    fn settled_before(&self) -> OffsetDateTime {
        now() - self.config.age_min
    }

    fn report(&self, difference: &Difference<'_>) {
        let Difference {
            kind,
            tenant,
            subject,
            detail,
            repaired,
        } = difference;
        self.metrics.found(kind, *repaired);
        if *repaired {
            tracing::warn!(difference = kind, %tenant, subject, detail, repaired, "a difference");
        } else {
            tracing::error!(difference = kind, %tenant, subject, detail, repaired, "a difference");
        }
    }
}
