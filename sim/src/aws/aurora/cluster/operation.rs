//! Changes of writer, carried out by the Region that becomes it.
//!
//! A switchover has the old writer stop, waits for the rest of its log and only then takes over; if that takes too long it
//! is given up and the old writer goes on. A failover tells the old writer to stop as well, but waits for nothing but its
//! own time. Whether an operation is done or given up is decided once, by the control plane.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until, timeout_at};

use super::control::{Operation, Refusal};
use super::message::{Peer, Reply, Request};
use super::region::Region;
use crate::aws::aurora::storage::log::Lsn;
use crate::fault::Failover;

const RETRY_PAUSE: Duration = Duration::from_secs(1);
/// How much longer than the switchover itself the old writer stays quiet before it asks what became of it.
const QUIESCED_MARGIN: Duration = Duration::from_secs(5);

impl Region {
    /// Begins a change of writer and hands it to the Region that is to become the writer.
    pub(super) async fn begin_operation(
        self: &Arc<Self>,
        to: &str,
        allow_data_loss: bool,
    ) -> Result<Operation, Refusal> {
        let operation = self.global.begin(to, allow_data_loss)?;
        if to == self.name() {
            self.queue(operation.clone());
            return Ok(operation);
        }
        let Some(member) = self.global.member(to) else {
            return Err(Refusal::NotMember(to.to_owned()));
        };
        let Ok(mut peer) = Peer::connect(member.replication).await else {
            self.global.cancel(operation.id);
            return Err(Refusal::Unreachable(to.to_owned()));
        };
        if peer.ask(&Request::Operate, 0).await.is_err() {
            // It may have begun, so it is too late for a refusal.
            tokio::spawn(Arc::clone(self).insist(operation.clone()));
        }
        Ok(operation)
    }

    /// Reminds a Region of what it is to carry out until it has heard.
    async fn insist(self: Arc<Self>, operation: Operation) {
        while self.global.operation().as_ref() == Some(&operation) {
            sleep(RETRY_PAUSE).await;
            if let Some(member) = self.global.member(&operation.to)
                && Peer::once(member.replication, &Request::Operate).await.is_ok()
            {
                return;
            }
        }
    }

    fn queue(&self, operation: Operation) {
        let mut state = self.state();
        if !state.operations.contains(&operation) {
            state.operations.push_back(operation);
        }
        drop(state);
        self.news.ring();
    }

    /// Takes up what the control plane has for this Region.
    pub(super) fn take_operation_up(&self) {
        if let Some(operation) = self.global.operation()
            && operation.to == self.name()
        {
            self.queue(operation);
        }
    }

    /// Carries out changes of writer until dropped.
    pub(super) async fn operate(&self) {
        // A server that died may have left one half done.
        self.take_operation_up();
        loop {
            let next = || self.state().operations.pop_front();
            let operation = self.news.until(next).await;
            if self.global.operation().as_ref() != Some(&operation) {
                // Heard of twice, and done or given up meanwhile.
                continue;
            }
            if operation.allow_data_loss {
                self.fail_over(&operation).await;
            } else {
                self.switch_over(&operation).await;
            }
        }
    }

    async fn fail_over(&self, operation: &Operation) {
        let deadline = Instant::now() + self.draw(self.global.config.global_failover);
        let epoch = self.state().volume.epoch();
        // Best effort: the old writer may be out of reach.
        let fenced = self.tell(&operation.from, Request::Fence { epoch });
        _ = timeout_at(deadline, fenced).await;
        sleep_until(deadline).await;
        if let Some(epoch) = self.global.complete(operation) {
            self.promote(epoch);
        }
    }

    async fn switch_over(&self, operation: &Operation) {
        let id = operation.id;
        let deadline = Instant::now() + self.global.config.switchover_timeout;
        let synchronised = async {
            let end = loop {
                match self
                    .tell(&operation.from, Request::Quiesce { operation: id })
                    .await
                {
                    Reply::At { lsn } => break lsn,
                    // It has no instance at the moment, or is not the writer yet.
                    _ => sleep(RETRY_PAUSE).await,
                }
            };
            let here = || (self.state().volume.end() >= end).then_some(());
            self.news.until(here).await;
        };
        if timeout_at(deadline, synchronised).await.is_err() {
            self.global.cancel(id);
            if let Some(member) = self.global.member(&operation.from) {
                _ = Peer::once(member.replication, &Request::Resume { operation: id }).await;
            }
            return;
        }
        sleep(self.draw(self.global.config.switchover)).await;
        if let Some(epoch) = self.global.complete(operation) {
            self.promote(epoch);
        }
    }

    /// Asks a Region again and again until it answers.
    async fn tell(&self, region: &str, request: Request) -> Reply {
        loop {
            if let Some(member) = self.global.member(region)
                && let Ok(reply) = Peer::once(member.replication, &request).await
            {
                return reply;
            }
            sleep(RETRY_PAUSE).await;
        }
    }

    /// Stops writes for a switchover; answers where the log ends.
    pub(super) fn quiesce(self: &Arc<Self>, operation: u64) -> Option<Lsn> {
        let mut state = self.state();
        let head = state.head.clone().filter(|_| state.writer)?;
        head.fence();
        state.quiesced = Some(operation);
        let end = state.volume.end();
        drop(state);
        tokio::spawn(Arc::clone(self).await_switchover(operation));
        Some(end)
    }

    /// Goes on with writes if a switchover has not come about in time.
    async fn await_switchover(self: Arc<Self>, operation: u64) {
        let config = &self.global.config;
        sleep(config.switchover_timeout + config.switchover.max + QUIESCED_MARGIN).await;
        self.global.cancel(operation);
        self.resume(operation);
    }

    /// Goes on with writes if this switchover was given up.
    pub(super) fn resume(&self, operation: u64) {
        let mut state = self.state();
        let given_up = self.global.writer() == self.name()
            && self
                .global
                .operation()
                .is_none_or(|running| running.id != operation);
        if state.quiesced == Some(operation) && given_up {
            state.quiesced = None;
            if let Some(head) = &state.head {
                head.unfence();
            }
        }
    }

    /// After a restart: waits again for the switchover that writes wait for.
    pub(super) fn await_switchover_again(self: &Arc<Self>) {
        let quiesced = self.state().quiesced;
        if let Some(operation) = quiesced {
            tokio::spawn(Arc::clone(self).await_switchover(operation));
        }
    }

    /// Carries out the failovers that faults ask for.
    pub(super) async fn watch_faults(self: &Arc<Self>) {
        loop {
            let news = self.faults.news();
            tokio::pin!(news);
            news.as_mut().enable();
            for failover in self.faults.new_failovers() {
                match failover {
                    Failover::Instance => self.reboot(),
                    // Refused where there is nothing to do: the writer is here, or another operation is under way.
                    Failover::Global { allow_data_loss } => {
                        _ = self.begin_operation(self.name(), allow_data_loss).await;
                    }
                }
            }
            news.await;
        }
    }
}
