//! Requests that one Region performs alone: tables without replicas, and eventually consistent global tables.
//!
//! Conditions, strong reads and transactions see this Region only. What they changed goes to the other replicas
//! afterwards, item by item: a transaction has no cross-item order elsewhere.

use super::super::wire::Error;
use super::error::{self, Reason};
use super::global::outbox::Parcel;
use super::global::tables::Mode;
use super::key::ItemKey;
use super::overlap::Token;
use super::region::{Region, lock};
use super::request::{Access, Request, Touch};
use serde_json::{Map, Value, json};
use std::sync::Arc;
use tokio::time::{Instant, sleep};

/// The longest `ClientRequestToken`, in bytes.
const TOKEN_LEN_MAX: usize = 36;

/// A call that is to be performed.
struct Tokened {
    /// Where its answer is to be remembered.
    key: Option<String>,
    started: Instant,
}

impl Region {
    /// `PutItem`, `UpdateItem`, `DeleteItem`.
    pub(super) fn write_locally(&self, request: Request) -> Result<Value, Error> {
        if request
            .touches
            .iter()
            .any(|touch| lock(&self.overlap).is_held(&touch.key))
        {
            return Err(error::transaction_conflict());
        }
        let effective = self.effective(&request.touches);
        let answer = self.engine.perform(&request.operation, request.body)?;
        self.replicate(&effective)?;
        Ok(answer)
    }

    /// `BatchWriteItem`: each item for itself. Those that are throttled, held by a transaction, or contended in a
    /// strongly consistent table come back as unprocessed.
    pub(super) async fn batch_write(
        self: &Arc<Self>,
        request: Request,
        throttled: &[bool],
    ) -> Result<Value, Error> {
        let all_throttled = !throttled.is_empty() && throttled.iter().all(|struck| *struck);
        if all_throttled {
            return Err(error::throughput_exceeded());
        }
        let mut body = request.body;
        let mut unprocessed = Map::new();
        let mut strong = Vec::new();
        let mut local = Vec::new();
        let mut position = 0;
        if !request.touches.is_empty()
            && let Some(tables) = body["RequestItems"].as_object_mut()
        {
            for (table, writes) in tables.iter_mut() {
                let mode = self.mode(table);
                let Some(writes) = writes.as_array_mut() else {
                    continue;
                };
                let mut kept = Vec::new();
                for write in writes.drain(..) {
                    let touch = &request.touches[position];
                    let struck = throttled.get(position).copied().unwrap_or(false);
                    position += 1;
                    if struck || lock(&self.overlap).is_held(&touch.key) {
                        put_back(&mut unprocessed, table, write);
                    } else if mode == Some(Mode::Mrsc) {
                        strong.push((touch.clone(), write));
                    } else {
                        local.push(touch.clone());
                        kept.push(write);
                    }
                }
                *writes = kept;
            }
            tables.retain(|_, writes| writes.as_array().is_none_or(|writes| !writes.is_empty()));
        }
        let nothing_local =
            body["RequestItems"].as_object().is_some_and(Map::is_empty) && !request.touches.is_empty();
        let mut answer = if nothing_local {
            json!({"UnprocessedItems": {}})
        } else {
            let effective = self.effective(&local);
            let answer = self.engine.perform("BatchWriteItem", body)?;
            self.replicate(&effective)?;
            answer
        };
        for (touch, write) in strong {
            if self.put_or_delete_strongly(&touch.key, &write).await.is_err() {
                put_back(&mut unprocessed, &touch.key.table, write);
            }
        }
        if !unprocessed.is_empty() {
            answer["UnprocessedItems"] = Value::Object(unprocessed);
        }
        Ok(answer)
    }

    /// `BatchGetItem`: throttled keys come back as unprocessed.
    pub(super) async fn batch_get(
        self: &Arc<Self>,
        request: Request,
        throttled: &[bool],
    ) -> Result<Value, Error> {
        if !throttled.is_empty() && throttled.iter().all(|struck| *struck) {
            return Err(error::throughput_exceeded());
        }
        let mut body = request.body;
        let mut unprocessed = Map::new();
        let mut position = 0;
        if !request.touches.is_empty()
            && let Some(tables) = body["RequestItems"].as_object_mut()
        {
            for (table, read) in tables.iter_mut() {
                let strong = self.mode(table) == Some(Mode::Mrsc) && read["ConsistentRead"] == true;
                let mut rest = read.clone();
                let Some(keys) = read["Keys"].as_array_mut() else {
                    continue;
                };
                let mut left = Vec::new();
                let mut kept = Vec::new();
                for key in keys.drain(..) {
                    let touch = &request.touches[position];
                    let struck = throttled.get(position).copied().unwrap_or(false);
                    position += 1;
                    if struck || (strong && self.refresh(&touch.key).await.is_err()) {
                        left.push(key);
                    } else {
                        kept.push(key);
                    }
                }
                *keys = kept;
                if !left.is_empty() {
                    rest["Keys"] = Value::Array(left);
                    unprocessed.insert(table.clone(), rest);
                }
            }
            tables.retain(|_, read| read["Keys"].as_array().is_none_or(|keys| !keys.is_empty()));
        }
        let nothing_left =
            body["RequestItems"].as_object().is_some_and(Map::is_empty) && !request.touches.is_empty();
        let mut answer = if nothing_left {
            json!({"Responses": {}, "UnprocessedKeys": {}})
        } else {
            self.engine.perform("BatchGetItem", body)?
        };
        if !unprocessed.is_empty() {
            answer["UnprocessedKeys"] = Value::Object(unprocessed);
        }
        Ok(answer)
    }

    /// `TransactWriteItems`: holds its items for a while, then takes effect in one step.
    pub(super) async fn transact_write(
        self: &Arc<Self>,
        request: Request,
        throttled: &[bool],
    ) -> Result<Value, Error> {
        let asked = request.body["TransactItems"].clone();
        let Tokened { key, started } = match self.begin_token(&request, &asked)? {
            Ok(tokened) => tokened,
            Err(answer) => return Ok(answer),
        };
        let result = self.transact_write_once(request, throttled).await;
        if let Some(key) = &key {
            lock(&self.overlap).end_token(key, result.as_ref().ok(), started);
        }
        result
    }

    /// Whether a request with a token is to be performed, or is answered already.
    fn begin_token(&self, request: &Request, asked: &Value) -> Result<Result<Tokened, Value>, Error> {
        let started = Instant::now();
        let Some(token) = request.body["ClientRequestToken"].as_str() else {
            return Ok(Ok(Tokened { key: None, started }));
        };
        if token.len() > TOKEN_LEN_MAX {
            return Err(error::validation(format!(
                "1 validation error detected: Value '{token}' at 'clientRequestToken' failed to satisfy constraint: \
                 Member must have length less than or equal to {TOKEN_LEN_MAX}"
            )));
        }
        // One token may serve one call of each operation.
        let key = format!("{}/{token}", request.operation);
        match lock(&self.overlap).begin_token(&key, asked, started) {
            Token::Running => Err(error::transaction_in_progress()),
            Token::Mismatch => Err(error::idempotent_parameter_mismatch()),
            Token::Done(answer) => Ok(Err(answer)),
            Token::Fresh => Ok(Ok(Tokened {
                key: Some(key),
                started,
            })),
        }
    }

    async fn transact_write_once(
        self: &Arc<Self>,
        request: Request,
        throttled: &[bool],
    ) -> Result<Value, Error> {
        let keys: Vec<ItemKey> = request.touches.iter().map(|touch| touch.key.clone()).collect();
        self.check_overlap(&keys, throttled)?;
        lock(&self.overlap).hold(keys.iter().cloned());
        let hold = self.draw_hold();
        if !hold.is_zero() {
            sleep(hold).await;
        }
        let effective = self.effective(&request.touches);
        let result = self.engine.perform("TransactWriteItems", request.body);
        lock(&self.overlap).release(&keys);
        let answer = result?;
        self.replicate(&effective)?;
        Ok(answer)
    }

    /// `TransactGetItems`.
    pub(super) fn transact_get(&self, request: Request, throttled: &[bool]) -> Result<Value, Error> {
        let keys: Vec<ItemKey> = request.touches.iter().map(|touch| touch.key.clone()).collect();
        self.check_overlap(&keys, throttled)?;
        self.engine.perform("TransactGetItems", request.body)
    }

    fn check_overlap(&self, keys: &[ItemKey], throttled: &[bool]) -> Result<(), Error> {
        let overlap = lock(&self.overlap);
        let reasons: Vec<Reason> = keys
            .iter()
            .enumerate()
            .map(|(position, key)| match throttled.get(position) {
                Some(true) => Reason::THROTTLED,
                _ if overlap.is_held(key) => Reason::CONFLICT,
                _ => Reason::CLEAN,
            })
            .collect();
        if reasons.iter().any(|reason| reason.message.is_some()) {
            return Err(error::transaction_canceled(&reasons));
        }
        Ok(())
    }

    /// PartiQL. What a statement changes is known only from the table's stream, which every eventually consistent
    /// replica has.
    pub(super) async fn execute_statements(
        self: &Arc<Self>,
        request: Request,
        strong: bool,
    ) -> Result<Value, Error> {
        if !request.statement_writes() {
            if strong && request.consistent() {
                for table in &request.tables {
                    self.catch_up(table).await?;
                }
            }
            return self.engine.perform(&request.operation, request.body);
        }
        if strong {
            return Err(error::validation(
                "PartiQL writes are not supported on a global table with multi-Region strong consistency",
            ));
        }
        if request
            .tables
            .iter()
            .any(|table| lock(&self.overlap).holds_in(table))
        {
            return Err(error::transaction_conflict());
        }
        let replicated: Vec<String> = request
            .tables
            .iter()
            .filter(|table| self.mode(table) == Some(Mode::Mrec))
            .cloned()
            .collect();
        let asked = request.body["TransactStatements"].clone();
        let Tokened { key, started } = match self.begin_token(&request, &asked)? {
            Ok(tokened) => tokened,
            Err(answer) => return Ok(answer),
        };
        let performed = self.engine.watching(&replicated, || {
            self.engine.perform(&request.operation, request.body)
        });
        let answer = performed.and_then(|(answer, changed)| self.replicate(&changed).and(answer));
        if let Some(key) = &key {
            lock(&self.overlap).end_token(key, answer.as_ref().ok(), started);
        }
        answer
    }

    /// Of the items that a request is about to write in replicated tables, those that it will change: deleting what
    /// does not exist is no change.
    fn effective(&self, touches: &[Touch]) -> Vec<ItemKey> {
        let changes = |touch: &&Touch| match touch.access {
            Access::Read => false,
            _ if self.mode(&touch.key.table) != Some(Mode::Mrec) => false,
            Access::Write => true,
            Access::Delete => self.engine.image(&touch.key).is_ok_and(|image| image.is_some()),
        };
        touches
            .iter()
            .filter(changes)
            .map(|touch| touch.key.clone())
            .collect()
    }

    /// Sends items of eventually consistent tables, as they now stand, on their way to the other replicas.
    pub(super) fn replicate(&self, keys: &[ItemKey]) -> Result<(), Error> {
        for key in keys {
            let image = self.engine.image(key)?;
            let change = lock(&self.replica).write(key, image, Self::now());
            lock(&self.counters).writes += 1;
            self.post(change.key(), &change);
        }
        Ok(())
    }

    /// Puts a change in the outbox of every other replica of its table.
    fn post(&self, key: &ItemKey, change: &super::global::mrec::Change) {
        let regions = match lock(&self.globals).get(&key.table) {
            Some(global) => global.regions.clone(),
            None => return,
        };
        for region in regions.iter().filter(|region| **region != self.config.region) {
            self.post_to(region, change.clone());
        }
    }

    /// Puts a change in one Region's outbox, due after that Region's lag.
    pub(super) fn post_to(&self, region: &str, change: super::global::mrec::Change) {
        let Some(outbound) = self.outbound.get(region) else {
            return;
        };
        let now = Instant::now();
        let lag = self
            .config
            .mrec
            .lag_to
            .get(region)
            .unwrap_or(&self.config.mrec.lag);
        let drawn = lag.draw(&mut lock(&outbound.lag)) + self.faults.replication_delay(region);
        let coalesce = self.draw_coalesce();
        if lock(&outbound.changes).add(change, now, now + drawn, coalesce) {
            lock(&self.counters).coalesced += 1;
        }
        outbound.news.notify_one();
    }
}

fn put_back(unprocessed: &mut Map<String, Value>, table: &str, request: Value) {
    let listed = unprocessed
        .entry(table.to_owned())
        .or_insert_with(|| Value::Array(Vec::new()));
    if let Some(listed) = listed.as_array_mut() {
        listed.push(request);
    }
}
