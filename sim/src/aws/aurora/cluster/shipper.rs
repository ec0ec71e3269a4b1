//! Shipping the writer's log to one other Region, for as long as this Region is the writer's.
//!
//! A connection begins with the writer's history. The other Region answers from where it can follow, or that it must begin
//! anew with a copy; or that it knows a later writer, and then this Region's time is over.

use std::io;
use std::time::Duration;

use tokio::time::sleep;

use super::copy::Copy;
use super::message::{Peer, Reply, Request};
use super::region::Region;
use crate::aws::aurora::storage::Volume;
use crate::aws::aurora::storage::log::Lsn;
use crate::aws::aurora::storage::volume::Epoch;

const RECONNECT_PAUSE: Duration = Duration::from_millis(500);
/// As much of the log as goes at once.
const BATCH_BYTES_MAX: u64 = 256 * 1024;

impl Region {
    /// Ships until dropped.
    pub(super) async fn ship(&self, to: &str) {
        let mut lags = self.global.config.stream(self.name(), &format!("lag/{to}"));
        loop {
            self.shipping
                .news
                .until(|| self.state().writer.then_some(()))
                .await;
            // A broken connection is tried again, whatever broke it.
            let _ = self.ship_on_a_connection(to, &mut lags).await;
            sleep(RECONNECT_PAUSE).await;
        }
    }

    async fn ship_on_a_connection(&self, to: &str, lags: &mut crate::Stream) -> io::Result<()> {
        let Some(member) = self.global.member(to) else {
            return Ok(());
        };
        self.unpaused(to).await;
        let mut peer = Peer::connect(member.replication).await?;
        let Some(volume) = self.own_volume() else {
            return Ok(());
        };
        let epoch = volume.epoch();
        let timeline = volume.timeline();
        let region = self.name().to_owned();
        let mut at = match peer.ask(&Request::Follow { region, timeline }, 0).await? {
            Reply::At { lsn } if volume.reaches_back_to(lsn) => lsn,
            Reply::At { .. } | Reply::NeedsCopy => self.send_copy(&mut peer, &volume, to).await?,
            Reply::Superseded { epoch: later } if later > epoch => {
                let mut state = self.state();
                if state.writer && state.volume.epoch() == epoch {
                    self.demote(&mut state);
                }
                return Ok(());
            }
            _ => return Ok(()),
        };
        self.shipping.acknowledged(to, at, 0);
        while let Some(end) = self.next_batch(&volume, epoch, to, at, lags).await {
            let request = Request::Log {
                region: self.name().to_owned(),
                epoch,
                from: at,
                to: end,
                keep: volume.needed(),
            };
            match peer.ask(&request, end - at).await? {
                Reply::At { lsn } if lsn == end => {
                    self.shipping.acknowledged(to, end, end - at);
                    at = end;
                }
                _ => return Ok(()),
            }
        }
        Ok(())
    }

    /// The volume, if it is the writer's.
    fn own_volume(&self) -> Option<Volume> {
        let state = self.state();
        state.writer.then(|| state.volume.clone())
    }

    async fn send_copy(&self, peer: &mut Peer, volume: &Volume, to: &str) -> io::Result<Lsn> {
        let (image, timeline) = (volume.image(), volume.timeline());
        let (bytes, lsn) = (image.bytes(), image.lsn);
        // What is committed from here on must not be lost while the copy is on its way.
        volume.need(to, lsn);
        let number = self.global.copies.send(Copy { image, timeline });
        match peer.ask(&Request::Copy { number }, bytes).await {
            Ok(Reply::At { .. }) => {
                self.shipping.count(|counters| counters.copies += 1);
                Ok(lsn)
            }
            answer => {
                _ = self.global.copies.take(number);
                answer.and(Err(io::Error::other("the copy was refused")))
            }
        }
    }

    /// Returns when replication to a Region is not paused.
    async fn unpaused(&self, to: &str) {
        loop {
            let news = self.faults.news();
            tokio::pin!(news);
            news.as_mut().enable();
            if !self.faults.replication_paused(to, "") {
                return;
            }
            news.await;
        }
    }

    /// Where the next batch ends, once it is due. None when this Region is the writer's no more.
    async fn next_batch(
        &self,
        volume: &Volume,
        epoch: Epoch,
        to: &str,
        at: Lsn,
        lags: &mut crate::Stream,
    ) -> Option<Lsn> {
        let mut lag = None;
        loop {
            let more = || {
                let state = self.state();
                if !state.writer || state.volume.epoch() != epoch {
                    return Some(false);
                }
                (volume.end() > at).then_some(true)
            };
            if !self.shipping.news.until(more).await {
                return None;
            }
            let due = *lag
                .get_or_insert_with(|| self.global.config.lag.draw(lags) + self.faults.replication_delay(to));
            match volume.batch(at, due, BATCH_BYTES_MAX)? {
                Err(wait) => sleep(wait).await,
                Ok(end) => {
                    self.unpaused(to).await;
                    return Some(end);
                }
            }
        }
    }
}
