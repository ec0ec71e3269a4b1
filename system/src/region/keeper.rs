//! A process's knowledge of who writes, and its own right to: both read from the routing, the right good for a lease.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::watch,
    time::{Instant, sleep, timeout},
};

use crate::ledger::{Authority, Grant, Schema};

use super::{
    routing::{Routing, RoutingError, RoutingTable, State},
    schemas,
};

/// How the routing is followed.
#[derive(Clone, Copy, Debug)]
pub struct KeeperConfig {
    /// How long a process may act on what it has read, from when it asked.
    pub lease: Duration,
    /// How often it asks.
    pub interval: Duration,
}

impl Default for KeeperConfig {
    fn default() -> Self {
        Self {
            lease: Duration::from_secs(6),
            interval: Duration::from_secs(2),
        }
    }
}

impl KeeperConfig {
    /// With this lease, and questions often enough that one or two may be lost.
    pub fn of(lease: Duration) -> Self {
        Self {
            lease,
            interval: lease / 4,
        }
    }

    /// After this time by one's own clock, every lease from before has run out, by clocks of which one runs half as fast again
    /// as the other.
    pub fn surely_over(&self) -> Duration {
        self.lease.mul_f64(1.5)
    }

    /// How often a process says which version of the schema it writes.
    pub fn report_interval(&self) -> Duration {
        self.lease * 5
    }
}

/// Follows the routing for a process of one Region. Clones share it.
#[derive(Clone, Debug)]
pub struct Keeper(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    table: RoutingTable,
    region: String,
    schema: Schema,
    config: KeeperConfig,
    known: watch::Sender<Option<Routing>>,
    /// When the last read began that was answered.
    read_at: watch::Sender<Option<Instant>>,
    open: watch::Sender<Option<Grant>>,
    repair: watch::Sender<Option<Grant>>,
}

impl Keeper {
    /// Starts to follow, for a process that writes this version of the schema.
    pub fn start(
        table: RoutingTable,
        region: impl Into<String>,
        schema: Schema,
        config: KeeperConfig,
    ) -> Self {
        let shared = Shared {
            table,
            region: region.into(),
            schema,
            config,
            known: watch::Sender::new(None),
            read_at: watch::Sender::new(None),
            open: watch::Sender::new(None),
            repair: watch::Sender::new(None),
        };
        let keeper = Self(Arc::new(shared));
        tokio::spawn(keeper.clone().report());
        let following = keeper.clone();
        tokio::spawn(async move {
            loop {
                if let Err(error) = following.refresh().await {
                    tracing::warn!(%error, region = following.0.region, "who writes cannot be read");
                }
                sleep(following.0.config.interval.mul_f64(0.75 + 0.5 * fastrand::f64())).await;
            }
        });
        keeper
    }

    /// Says again and again which version of the schema this process writes, from when it knows who writes: before that it writes
    /// nothing, and the table may still be empty, as it has to be until it is strongly consistent.
    async fn report(self) {
        let _ = self.changes().wait_for(Option::is_some).await;
        let interval = self.0.config.report_interval();
        loop {
            let reported = timeout(interval / 2, schemas::report(&self.0.table, self.0.schema)).await;
            if !matches!(reported, Ok(Ok(()))) {
                tracing::debug!(region = self.0.region, "no report");
            }
            sleep(interval.mul_f64(0.75 + 0.5 * fastrand::f64())).await;
        }
    }

    /// The Region of this process.
    pub fn region(&self) -> &str {
        &self.0.region
    }

    /// Where the routing is.
    pub fn table(&self) -> &RoutingTable {
        &self.0.table
    }

    /// How it is followed.
    pub fn config(&self) -> KeeperConfig {
        self.0.config
    }

    /// What was read last, however long ago: good enough to ask the right one, not to act.
    pub fn known(&self) -> Option<Routing> {
        self.0.known.borrow().clone()
    }

    /// Notices changes of what is known.
    pub(super) fn changes(&self) -> watch::Receiver<Option<Routing>> {
        self.0.known.subscribe()
    }

    /// What was read within the lease.
    pub fn current(&self) -> Option<Routing> {
        let read_at = *self.0.read_at.borrow();
        let current = read_at.is_some_and(|at| at.elapsed() < self.0.config.lease);
        self.known().filter(|_| current)
    }

    /// The right to write while the ledger is open here.
    pub fn authority(&self) -> Authority {
        Authority::new(self.0.open.subscribe())
    }

    /// The right to restore: while the ledger is open here, and in quarantine before.
    pub fn repair_authority(&self) -> Authority {
        Authority::new(self.0.repair.subscribe())
    }

    /// Reads who writes now.
    ///
    /// # Errors
    /// When it cannot be read within the lease. What was known stays known, and its lease goes on running out.
    pub async fn refresh(&self) -> Result<Routing, RoutingError> {
        let asked = Instant::now();
        let read = timeout(self.0.config.lease, self.0.table.read()).await;
        let late = |_| RoutingError::Unavailable("no answer within the lease".to_owned());
        let routing = read.map_err(late)??;
        self.learn(&routing, asked);
        Ok(routing)
    }

    fn learn(&self, routing: &Routing, asked: Instant) {
        let shared = &self.0;
        let (mut old, mut changed) = (false, false);
        shared.known.send_if_modified(|known| {
            // Two reads may overtake each other.
            old = known
                .as_ref()
                .is_some_and(|known| known.version > routing.version);
            changed = !old && known.as_ref() != Some(routing);
            if changed {
                tracing::info!(
                    region = shared.region,
                    writer = routing.writer,
                    epoch = routing.epoch,
                    version = routing.version,
                    state = routing.state.name(),
                    reason = routing.reason,
                    "routing"
                );
                *known = Some(routing.clone());
            }
            changed
        });
        if old {
            return;
        }
        if changed && routing.schema > shared.schema {
            tracing::error!(
                region = shared.region,
                writes = shared.schema.number(),
                oldest = routing.schema.number(),
                "this process has no right to write: start it with a later version of the schema"
            );
        }
        shared.read_at.send_modify(|at| *at = (*at).max(Some(asked)));
        let until = asked + shared.config.lease;
        let here = routing.writer == shared.region && routing.schema <= shared.schema;
        let open = here && routing.state == State::Open;
        let repair = open || here && routing.state == State::Quarantined;
        for (mine, grants) in [(open, &shared.open), (repair, &shared.repair)] {
            grants.send_modify(|grant| {
                let later = |grant: &Grant| grant.epoch == routing.epoch && grant.until > Some(until);
                *grant = match grant {
                    Some(longer) if mine && later(longer) => Some(*longer),
                    _ => mine.then_some(Grant {
                        epoch: routing.epoch,
                        until: Some(until),
                    }),
                };
            });
        }
    }
}
