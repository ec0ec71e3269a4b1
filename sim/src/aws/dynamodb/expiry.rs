//! Deletion of expired items.
//!
//! A sweep deletes what has been expired for a drawn time, so items linger as they do on AWS; a client that relies on
//! TTL alone is found out. Deletions of replicated items replicate like any other. A Region with no table that expires
//! sets no timer.

use super::global::tables::Mode;
use super::region::{Region, lock};
use tokio::time::sleep;

impl Region {
    /// Sweeps until dropped.
    pub(super) async fn expire(&self) {
        loop {
            let expiring: Vec<String> = self
                .engine
                .tables()
                .into_iter()
                .filter(|table| self.engine.expires(table))
                .collect();
            if expiring.is_empty() {
                self.expiry_news.notified().await;
                continue;
            }
            sleep(self.config.ttl.sweep_every).await;
            let linger = self.config.ttl.linger.draw(&mut lock(&self.expiry_draws));
            let replicated: Vec<String> = expiring
                .into_iter()
                .filter(|table| self.mode(table) == Some(Mode::Mrec))
                .collect();
            // A table deleted meanwhile has nothing to expire: the next round sees it gone.
            if let Ok((_, deleted)) = self
                .engine
                .watching(&replicated, || self.engine.sweep_expired(linger))
            {
                let _ = self.replicate(&deleted);
            }
        }
    }
}
