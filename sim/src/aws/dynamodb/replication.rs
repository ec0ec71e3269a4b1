//! The work between Regions: sending changes as they fall due, and answering other Regions.

use super::global::counters::Counters;
use super::global::message::Chosen;
use super::global::message::{Envelope, Reply, Request, read_frame, write_frame};
use super::global::mrec::{Arrival, Change};
use super::global::outbox::Due;
use super::region::{Outbound, Region, lock};
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

/// How many changes travel in one frame.
const BATCH_LEN: usize = 50;
/// How long a batch may go unacknowledged before it is sent again.
const ACKNOWLEDGE_LIMIT: Duration = Duration::from_secs(10);
/// The pause after a batch that was not acknowledged, or that a fault holds back.
const RETRY_PAUSE: Duration = Duration::from_millis(250);

impl Region {
    /// Sends this Region's changes to one other, as they fall due, until dropped.
    pub(super) async fn ship(&self, region: &str, outbound: &Outbound) {
        loop {
            let (first, changes, chosen) = self.ready(region, outbound);
            if changes.is_empty() && chosen.is_empty() {
                let held_back = first.is_some_and(|first| first <= Instant::now());
                match first {
                    // Due but paused: nobody will say when the pause ends.
                    _ if held_back => sleep(RETRY_PAUSE).await,
                    Some(first) => {
                        tokio::select! {
                            biased;
                            () = outbound.news.notified() => {}
                            () = sleep_until(first) => {}
                        }
                    }
                    None => outbound.news.notified().await,
                }
                continue;
            }
            let mut sent = true;
            if !chosen.is_empty() {
                let list = chosen.iter().map(|due| due.parcel.clone()).collect();
                sent &= self.sent(outbound, Request::Learn { chosen: list }).await;
                if sent {
                    lock(&outbound.chosen).acknowledge(&chosen, |one, other| one == other);
                }
            }
            if sent && !changes.is_empty() {
                let list = changes.iter().map(|due| due.parcel.clone()).collect();
                sent &= self.sent(outbound, Request::Apply { changes: list }).await;
                if sent {
                    lock(&outbound.changes).acknowledge(&changes, |one, other| one.stamp == other.stamp);
                    self.note_delivered(&changes);
                }
            }
            if !sent {
                sleep(RETRY_PAUSE).await;
            }
        }
    }

    fn ready(
        &self,
        region: &str,
        outbound: &Outbound,
    ) -> (Option<Instant>, Vec<Due<Change>>, Vec<Due<Chosen>>) {
        let now = Instant::now();
        let changes = lock(&outbound.changes);
        let chosen = lock(&outbound.chosen);
        let first = [changes.next_due(), chosen.next_due()]
            .into_iter()
            .flatten()
            .min();
        // An idle outbox asks no fault: a pause bites only if it holds something back.
        if first.is_none_or(|first| first > now) {
            return (first, Vec::new(), Vec::new());
        }
        let due = changes.due(now, BATCH_LEN, |change| {
            !self.faults.replication_paused(region, &change.key.table)
        });
        let agreed = chosen.due(now, BATCH_LEN, |chosen| {
            !self.faults.replication_paused(region, &chosen.key.table)
        });
        (first, due, agreed)
    }

    async fn sent(&self, outbound: &Outbound, request: Request) -> bool {
        matches!(
            outbound.link.call(request, ACKNOWLEDGE_LIMIT).await,
            Some(Reply::Done)
        )
    }

    fn note_delivered(&self, sent: &[Due<Change>]) {
        let mut counters = lock(&self.counters);
        for due in sent {
            let lag = due.committed.elapsed();
            counters.delivered += 1;
            counters.lag_total += lag;
            counters.lag_max = counters.lag_max.max(lag);
        }
    }

    /// This Region's account of replication.
    pub(super) fn account(&self) -> Counters {
        let mut counters = lock(&self.counters).clone();
        for outbound in self.outbound.values() {
            counters.pending += (lock(&outbound.changes).len() + lock(&outbound.chosen).len()) as u64;
        }
        counters
    }

    /// Accepts other Regions' connections until dropped.
    pub(super) async fn answer_regions(self: &Arc<Self>, listener: TcpListener) -> io::Result<()> {
        // Dropping the set ends its connections.
        let mut connections = JoinSet::new();
        loop {
            let (tcp, _) = listener.accept().await?;
            while connections.try_join_next().is_some() {}
            let region = Arc::clone(self);
            connections.spawn(async move {
                // A connection that breaks is the asker's to mend.
                let _ = region.answer_region(tcp).await;
            });
        }
    }

    async fn answer_region(&self, mut tcp: TcpStream) -> io::Result<()> {
        tcp.set_nodelay(true)?;
        loop {
            let asked: Envelope<Request> = read_frame(&mut tcp).await?;
            let content = self.answer(&asked.from, asked.content);
            let answer = Envelope {
                id: asked.id,
                from: self.config.region.clone(),
                content,
            };
            write_frame(&mut tcp, &answer).await?;
        }
    }

    /// Performs one request of another Region in one step.
    fn answer(&self, from: &str, request: Request) -> Reply {
        let done = |result: Result<(), super::super::wire::Error>| match result {
            Ok(()) => Reply::Done,
            Err(error) => Reply::Refused {
                message: error.message().to_owned(),
            },
        };
        let table = match &request {
            Request::Prepare { key, .. } | Request::Accept { key, .. } | Request::Read { key, .. } => {
                Some(&key.table)
            }
            Request::Since { table, .. } => Some(table),
            Request::Apply { changes } => changes.first().map(|change| &change.key.table),
            Request::Learn { chosen } => chosen.first().map(|chosen| &chosen.key.table),
            _ => None,
        };
        if table.is_some_and(|table| self.faults.replication_paused(from, table)) {
            return Reply::Paused;
        }
        match request {
            Request::Apply { changes } => done(changes.into_iter().try_for_each(|change| self.apply(change))),
            Request::Learn { chosen } => done(
                chosen
                    .into_iter()
                    .filter(|chosen| self.mode(&chosen.key.table).is_some())
                    .try_for_each(|chosen| self.learn(&chosen.key, chosen.accepted, false)),
            ),
            Request::Prepare { key, .. } | Request::Accept { key, .. }
                if lock(&self.globals).get(&key.table).is_none() =>
            {
                Reply::Refused {
                    message: format!("'{}' is no global table here", key.table),
                }
            }
            Request::CreateReplica { definition, global } => done(self.create_replica(definition, global)),
            Request::DeleteReplica { table } => done(self.delete_replica(&table)),
            Request::Members { global } => done(self.become_member(&serde_json::Value::Null, global)),
            Request::Table { operation, body } => done(self.perform_forwarded(&operation, &body)),
            agreement => lock(&self.acceptors)
                .answer(agreement)
                .unwrap_or_else(|| Reply::Refused {
                    message: "not a request between Regions".to_owned(),
                }),
        }
    }

    /// Takes in one eventually consistent change.
    fn apply(&self, change: Change) -> Result<(), super::super::wire::Error> {
        // A replica that is gone wants no news; its table was global before any change could be sent here.
        if self.mode(&change.key.table).is_none() {
            return Ok(());
        }
        let arrival = lock(&self.replica).arrive(&change);
        let mut counters = lock(&self.counters);
        let conflict = match arrival {
            Arrival::Known => {
                counters.repeated += 1;
                return Ok(());
            }
            Arrival::Loses { conflict } => Some(conflict),
            Arrival::Applies { conflict } => {
                counters.applied += 1;
                self.engine.set_image(&change.key, change.image.as_ref())?;
                conflict
            }
        };
        if let Some(conflict) = conflict {
            counters.conflicts += 1;
            counters.lost_updates.insert(conflict);
        }
        Ok(())
    }
}
