//! Requests on strongly consistent global tables.
//!
//! A write is evaluated on a scratch engine, in which the item is first brought to its latest agreed version, and takes
//! effect in the real engine only once it is agreed: an eventually consistent read never sees a write that may yet fail.
//! Other items of the scratch engine are of any version: a write looks at none but its own.

use super::super::wire::Error;
use super::error;
use super::global::message::{Chosen, Reply, Request as Asked};
use super::global::mrsc::Accepted;
use super::global::proposer::{Failure, Step};
use super::key::ItemKey;
use super::region::{Region, lock};
use super::request::Request;
use serde_json::Value;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};

impl Region {
    /// `PutItem`, `UpdateItem`, `DeleteItem`.
    pub(super) async fn write_strongly(&self, request: &Request) -> Result<Value, Error> {
        let Some(touch) = request.touches.first() else {
            // The key does not fit the table: the engine says how.
            return self.scratch()?.perform(&request.operation, request.body.clone());
        };
        let key = &touch.key;
        let performed = self
            .proposer
            .change(key, |latest| {
                self.evaluate(key, latest, &request.operation, &request.body)
            })
            .await;
        let (answer, chosen) = performed.map_err(|failure| self.refusal(failure))?;
        if let Some(chosen) = chosen {
            self.learn(key, chosen, true)?;
        }
        lock(&self.counters).writes += u64::from(answer.is_ok());
        answer
    }

    /// One write of a batch, as `{"PutRequest": ...}` or `{"DeleteRequest": ...}`.
    pub(super) async fn put_or_delete_strongly(&self, key: &ItemKey, write: &Value) -> Result<(), Error> {
        let (operation, member, attributes) = match write["PutRequest"].get("Item") {
            Some(item) => ("PutItem", "Item", item.clone()),
            None => ("DeleteItem", "Key", key.attributes()),
        };
        let body = serde_json::json!({"TableName": key.table, member: attributes});
        let performed = self
            .proposer
            .change(key, |latest| self.evaluate(key, latest, operation, &body))
            .await;
        let (answer, chosen) = performed.map_err(|failure| self.refusal(failure))?;
        if let Some(chosen) = chosen {
            self.learn(key, chosen, true)?;
        }
        answer.map(drop)
    }

    /// What `operation` makes of the latest version.
    fn evaluate(
        &self,
        key: &ItemKey,
        latest: Option<&Value>,
        operation: &str,
        body: &Value,
    ) -> Step<Result<Value, Error>> {
        let scratch = match self.scratch() {
            Ok(scratch) => scratch,
            Err(error) => return Step::Keep(Err(error)),
        };
        let run = || {
            if scratch.image(key)?.as_ref() != latest {
                scratch.set_image(key, latest)?;
            }
            let answer = scratch.perform(operation, body.clone())?;
            Ok((answer, scratch.image(key)?))
        };
        match run() {
            Ok((answer, image)) if image.as_ref() == latest => Step::Keep(Ok(answer)),
            Ok((answer, image)) => Step::Write(Ok(answer), image),
            Err(error) => Step::Keep(Err(error)),
        }
    }

    /// `GetItem` with `ConsistentRead`.
    pub(super) async fn get_strongly(&self, request: Request) -> Result<Value, Error> {
        if let Some(touch) = request.touches.first() {
            self.refresh(&touch.key).await?;
        }
        self.engine.perform("GetItem", request.body)
    }

    /// Makes this Region's item be the latest agreed version.
    pub(super) async fn refresh(&self, key: &ItemKey) -> Result<(), Error> {
        let latest = self
            .proposer
            .read(key)
            .await
            .map_err(|failure| self.refusal(failure))?;
        match latest {
            Some(chosen) => self.learn(key, chosen, false),
            None => Ok(()),
        }
    }

    /// Makes this Region's whole table be at least as new as the call: asks one other Region what changed there since
    /// last time, and refreshes that and whatever is unsettled here.
    pub(super) async fn catch_up(&self, table: &str) -> Result<(), Error> {
        let regions: Vec<String> = match lock(&self.globals).get(table) {
            Some(global) => {
                let members = global.members().into_iter();
                members.filter(|region| *region != self.config.region).collect()
            }
            None => return Ok(()),
        };
        let (sink, mut answers) = mpsc::unbounded_channel();
        let mut wait = Duration::ZERO;
        for (tag, region) in regions.iter().enumerate() {
            let Some(outbound) = self.outbound.get(region) else {
                continue;
            };
            if !self.faults.replication_paused(region, table) {
                let position = lock(&outbound.read_up_to).get(table).copied().unwrap_or(0);
                let table = table.to_owned();
                outbound.ask_after(wait, Asked::Since { table, position }, tag, sink.clone());
                wait += self.config.mrsc.read_patience;
            }
        }
        drop(sink);
        let deadline = Instant::now() + self.config.mrsc.quorum_timeout;
        while let Ok(Some((tag, reply))) = timeout_at(deadline, answers.recv()).await {
            let Some(Reply::Changed { position, items }) = reply else {
                continue;
            };
            let mut stale = lock(&self.acceptors).unlearned(table);
            for (key, ballot) in items {
                let here = lock(&self.acceptors).accepted(&key);
                // The same ballot here and there is two Regions: agreed.
                match here.filter(|accepted| accepted.ballot == ballot) {
                    Some(chosen) => self.learn(&key, chosen, false)?,
                    None => stale.push(key),
                }
            }
            for key in stale {
                self.refresh(&key).await?;
            }
            if let Some(outbound) = self.outbound.get(&regions[tag]) {
                lock(&outbound.read_up_to).insert(table.to_owned(), position);
            }
            return Ok(());
        }
        Err(self.refusal(Failure::Alone))
    }

    /// Puts an agreed version into the engine, and tells the others if it is news of this Region's making.
    pub(super) fn learn(&self, key: &ItemKey, chosen: Accepted, tell: bool) -> Result<(), Error> {
        let changes = {
            let mut acceptors = lock(&self.acceptors);
            acceptors.adopt(key, chosen.clone());
            acceptors.learn(key, &chosen)
        };
        if !changes {
            return Ok(());
        }
        if self.engine.image(key)? != chosen.value.image {
            self.engine.set_image(key, chosen.value.image.as_ref())?;
        }
        if tell {
            self.tell(key, &chosen);
        }
        Ok(())
    }

    fn tell(&self, key: &ItemKey, chosen: &Accepted) {
        let regions = lock(&self.globals)
            .get(&key.table)
            .map(|global| global.regions.clone())
            .unwrap_or_default();
        for region in regions.iter().filter(|region| **region != self.config.region) {
            let Some(outbound) = self.outbound.get(region) else {
                continue;
            };
            let now = Instant::now();
            let chosen = Chosen {
                key: key.clone(),
                accepted: chosen.clone(),
            };
            // Only the latest matters, and it is wanted at once.
            lock(&outbound.chosen).add(chosen, now, now, true);
            outbound.news.notify_one();
        }
    }

    fn refusal(&self, failure: Failure) -> Error {
        match failure {
            Failure::Conflict => {
                lock(&self.counters).write_conflicts += 1;
                error::replicated_write_conflict()
            }
            Failure::Alone => error::unavailable(),
            Failure::Unknown => error::internal(),
        }
    }
}
