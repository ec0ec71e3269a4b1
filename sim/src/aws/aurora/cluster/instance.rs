//! A Region's instances: starting, failing over, following.

use std::sync::Arc;

use tokio::time::sleep;

use super::region::{Region, fits};
use crate::aws::aurora::engine::Engine;

impl Region {
    /// Starts the first instance, after a while if this is not the first time, and replaces it whenever it crashes or is
    /// told to fail over.
    pub(super) async fn supervise(&self) {
        let restarted = std::mem::replace(&mut self.state().started, true);
        if restarted {
            self.take_down();
            sleep(self.draw(self.global.config.restart)).await;
        }
        self.bring_up();
        loop {
            tokio::select! {
                // Unbiased selection would draw from a generator that no seed controls.
                biased;
                () = self.gate.crash() => {}
                () = self.news.until(|| self.take_reboot()) => {}
            }
            self.shipping.count(|counters| counters.failovers += 1);
            self.take_down();
            sleep(self.draw(self.global.config.failover)).await;
            self.bring_up();
        }
    }

    fn take_reboot(&self) -> Option<()> {
        let mut state = self.state();
        state.reboots = state.reboots.checked_sub(1)?;
        Some(())
    }

    /// Asks for an in-Region failover.
    pub(super) fn reboot(&self) {
        self.state().reboots += 1;
        self.news.ring();
    }

    fn take_down(&self) {
        let mut state = self.state();
        if let Some(head) = state.head.take() {
            head.crash();
        }
        self.drop_reader(&mut state);
    }

    fn bring_up(&self) {
        let mut state = self.state();
        self.replace_head(&mut state);
    }

    /// The instance behind the cluster endpoint; none while one takes over.
    pub(super) fn head(&self) -> Option<Engine> {
        self.state().head.clone()
    }

    /// The instance behind the reader endpoint.
    pub(super) fn reader(&self) -> Option<Engine> {
        let mut state = self.state();
        if !self.global.config.reader || !state.writer || state.head.is_none() {
            return state.head.clone();
        }
        if state.reader.is_none() {
            let reader = self.instance(&state, true);
            state.volume.need("reader", reader.position());
            state.reader = Some(reader);
            self.shipping.more();
        }
        state.reader.clone()
    }

    /// Keeps the reader instance in step with the writer.
    pub(super) async fn follow_writer(self: Arc<Self>) {
        loop {
            let behind = || {
                let state = self.state();
                let reader = state.reader.clone()?;
                (reader.position() < state.volume.end()).then_some(())
            };
            self.shipping.news.until(behind).await;
            sleep(self.draw(self.global.config.reader_lag)).await;
            let state = self.state();
            let Some(reader) = &state.reader else { continue };
            let records = state.volume.after(reader.position());
            fits(reader.follow(&records));
            state.volume.need("reader", reader.position());
        }
    }
}
