//! The storage engine of one Region: `dynoxide` over SQLite in memory, spoken to in DynamoDB JSON.
//!
//! Every call runs to its end on the caller's thread without waiting: one call is one atomic step of the Region. The
//! engine's operations are used over its storage directly, not through its own front, for two reasons: the stream's
//! table needs an index, without which each write costs time linear in all earlier ones; and request tokens are kept by
//! `overlap`, which knows what is still under way. The engine takes wall time from [`RegionClock`], which is `std::time`, and everything it answers passes through a JSON
//! tree with sorted members, so no answer depends on the order of a hash map.
//!
//! What the engine does not do is done by its callers: overlap in time, replication, faults, and when TTL strikes.

use super::super::wire::Error;
use super::error;
use super::key::{ItemKey, KeySchema};
use super::plain;
use dynoxide::actions::{self, vector_lifecycle::VectorIndexLifecycle};
use dynoxide::storage::{Storage, TableMetadata};
use dynoxide::storage_backend::Clock;
use dynoxide::ttl;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The Region and account that the engine writes into every ARN.
const ENGINE_ARN: &str = ":dynoxide:000000000000:";

/// For the two questions that every write and every reader of a stream asks: the last position, and what follows one.
const STREAM_INDEX: &str = "CREATE INDEX IF NOT EXISTS stream_positions
    ON _stream_records (table_name, CAST(sequence_number AS INTEGER))";

/// The operations that the engine performs.
pub(super) const OPERATIONS: &[&str] = &[
    "BatchExecuteStatement",
    "BatchGetItem",
    "BatchWriteItem",
    "CreateTable",
    "DeleteItem",
    "DeleteTable",
    "DescribeStream",
    "DescribeTable",
    "DescribeTimeToLive",
    "ExecuteStatement",
    "ExecuteTransaction",
    "GetItem",
    "GetRecords",
    "GetShardIterator",
    "ListStreams",
    "ListTables",
    "ListTagsOfResource",
    "PutItem",
    "Query",
    "Scan",
    "TagResource",
    "TransactGetItems",
    "TransactWriteItems",
    "UntagResource",
    "UpdateItem",
    "UpdateTable",
    "UpdateTimeToLive",
];

/// Wall time for the engine: `std::time`, except that the first reading after [`RegionClock::lag_next`] is that much
/// earlier. A TTL sweep reads the clock first to decide what has expired, so this is how expired items linger.
#[derive(Debug, Default)]
struct RegionClock {
    lag_next_secs: AtomicU64,
}

impl RegionClock {
    fn lag_next(&self, lag: Duration) {
        self.lag_next_secs.store(lag.as_secs(), Ordering::Relaxed);
    }

    fn now(&self) -> Duration {
        let lag = Duration::from_secs(self.lag_next_secs.swap(0, Ordering::Relaxed));
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default()
            .saturating_sub(lag)
    }
}

impl Clock for RegionClock {
    fn now_unix_secs(&self) -> u64 {
        self.now().as_secs()
    }

    fn now_unix_secs_f64(&self) -> f64 {
        self.now().as_secs_f64()
    }
}

/// One Region's tables.
pub(super) struct Engine {
    storage: Mutex<Storage>,
    /// Asked for by operations on tables; says nothing where there are no vector indexes.
    lifecycle: VectorIndexLifecycle,
    clock: Arc<RegionClock>,
    /// `:us-east-1:123456789012:`, in place of [`ENGINE_ARN`].
    arn_scope: String,
    region: String,
    schemas: Mutex<BTreeMap<String, KeySchema>>,
}

impl Engine {
    pub(super) fn new(region: &str, account: &str) -> Result<Self, Error> {
        let clock = Arc::new(RegionClock::default());
        let shared = Arc::clone(&clock) as Arc<dyn Clock>;
        let failed = |error| error::of_engine("CreateTable", error);
        let storage = Storage::memory().map_err(failed)?.with_clock(shared);
        storage
            .conn()
            .execute_batch(STREAM_INDEX)
            .map_err(|_| error::internal())?;
        Ok(Self {
            storage: Mutex::new(storage),
            lifecycle: VectorIndexLifecycle::new(),
            clock,
            arn_scope: format!(":{region}:{account}:"),
            region: region.to_owned(),
            schemas: Mutex::default(),
        })
    }

    /// Performs one operation and returns its JSON answer, members sorted.
    pub(super) fn perform(&self, operation: &str, mut body: Value) -> Result<Value, Error> {
        self.accept_arns(operation, &mut body)?;
        let mut answer = self.dispatch(operation, body)?;
        if matches!(operation, "CreateTable" | "DeleteTable" | "UpdateTable") {
            self.schemas().clear();
        }
        self.present_arns(operation, &mut answer);
        Ok(answer)
    }

    fn dispatch(&self, operation: &str, body: Value) -> Result<Value, Error> {
        if operation == "GetItem"
            && let Some(schema) = body["TableName"].as_str().and_then(|table| self.schema(table))
            && let Some(answer) = plain::read(&self.storage(), &schema, &body)
        {
            return Ok(answer);
        }
        let storage = &*self.storage();
        macro_rules! route {
            ($($name:literal => $module:ident $(with $extra:expr)?),* $(,)?) => {
                match operation {
                    $($name => {
                        let request = read(operation, body)?;
                        let answer = finish(actions::$module::execute(storage, request $(, $extra)?))?;
                        let answer = answer.map_err(|error| error::of_engine(operation, error))?;
                        serde_json::to_value(&answer).map_err(|_| error::internal())
                    })*
                    _ => Err(error::unknown_operation()),
                }
            };
        }
        route! {
            "BatchExecuteStatement" => batch_execute_statement,
            "BatchGetItem" => batch_get_item,
            "BatchWriteItem" => batch_write_item,
            "CreateTable" => create_table,
            "DeleteItem" => delete_item,
            "DeleteTable" => delete_table with &self.lifecycle,
            "DescribeStream" => describe_stream,
            "DescribeTable" => describe_table with &self.lifecycle,
            "DescribeTimeToLive" => describe_time_to_live,
            "ExecuteStatement" => execute_statement,
            "ExecuteTransaction" => execute_transaction,
            "GetItem" => get_item,
            "GetRecords" => get_records,
            "GetShardIterator" => get_shard_iterator,
            "ListStreams" => list_streams,
            "ListTables" => list_tables,
            "ListTagsOfResource" => list_tags_of_resource,
            "PutItem" => put_item,
            "Query" => query,
            "Scan" => scan,
            "TagResource" => tag_resource,
            "TransactGetItems" => transact_get_items,
            "TransactWriteItems" => transact_write_items,
            "UntagResource" => untag_resource,
            "UpdateItem" => update_item,
            "UpdateTable" => update_table with &self.lifecycle,
            "UpdateTimeToLive" => update_time_to_live,
        }
    }

    /// The table's key schema; `None` if there is no such table.
    pub(super) fn schema(&self, table: &str) -> Option<KeySchema> {
        if let Some(schema) = self.schemas().get(table) {
            return Some(schema.clone());
        }
        let metadata = self.metadata(table)?;
        let schema = KeySchema::parse(&metadata.key_schema)?;
        self.schemas().insert(table.to_owned(), schema.clone());
        Some(schema)
    }

    /// The item as it stands, or `None`.
    pub(super) fn image(&self, key: &ItemKey) -> Result<Option<Value>, Error> {
        let body = json!({"TableName": key.table, "Key": key.attributes(), "ConsistentRead": true});
        Ok(self.dispatch("GetItem", body)?.get_mut("Item").map(Value::take))
    }

    /// Makes the item be exactly `image`; `None` deletes it. Stream records follow as for a client's write.
    pub(super) fn set_image(&self, key: &ItemKey, image: Option<&Value>) -> Result<(), Error> {
        if let Some(item) = image
            && let Some(schema) = self.schema(&key.table)
            && plain::write(&self.storage(), &schema, &key.table, item).is_some()
        {
            return Ok(());
        }
        match image {
            Some(item) => self.dispatch("PutItem", json!({"TableName": key.table, "Item": item}))?,
            None => self.dispatch(
                "DeleteItem",
                json!({"TableName": key.table, "Key": key.attributes()}),
            )?,
        };
        Ok(())
    }

    /// Every item of the table, in the engine's order.
    pub(super) fn items(&self, table: &str) -> Result<Vec<Value>, Error> {
        let mut items = Vec::new();
        let mut start = Value::Null;
        loop {
            let mut body = json!({"TableName": table, "ConsistentRead": true});
            if !start.is_null() {
                body["ExclusiveStartKey"] = start;
            }
            let mut page = self.dispatch("Scan", body)?;
            if let Some(found) = page["Items"].as_array_mut() {
                items.append(found);
            }
            start = page["LastEvaluatedKey"].take();
            if start.is_null() {
                return Ok(items);
            }
        }
    }

    /// The names of all tables, sorted.
    pub(super) fn tables(&self) -> Result<Vec<String>, Error> {
        let mut names: Vec<String> = Vec::new();
        loop {
            let mut body = json!({});
            if let Some(last) = names.last() {
                body["ExclusiveStartTableName"] = json!(last);
            }
            let page = self.dispatch("ListTables", body)?;
            let listed = page["TableNames"].as_array().into_iter().flatten();
            names.extend(listed.filter_map(Value::as_str).map(str::to_owned));
            if page["LastEvaluatedTableName"].is_null() {
                return Ok(names);
            }
        }
    }

    /// Whether the table deletes expired items.
    pub(super) fn expires(&self, table: &str) -> bool {
        self.metadata(table).is_some_and(|metadata| metadata.ttl_enabled)
    }

    /// Deletes what had expired `linger` ago, in every table. The number of items deleted.
    pub(super) fn sweep_expired(&self, linger: Duration) -> usize {
        self.clock.lag_next(linger);
        let deleted = finish(ttl::sweep_expired_items(&*self.storage()))
            .ok()
            .and_then(Result::ok)
            .unwrap_or(0);
        self.clock.lag_next(Duration::ZERO);
        deleted
    }

    /// Runs `step` and returns, besides its result, the keys of all items of these tables that it changed, as the tables'
    /// streams tell them. Their streams must be enabled.
    pub(super) fn watching<T>(
        &self,
        tables: &[String],
        step: impl FnOnce() -> T,
    ) -> Result<(T, Vec<ItemKey>), Error> {
        let iterators: Vec<Value> = tables
            .iter()
            .map(|table| self.latest(table))
            .collect::<Result<_, _>>()?;
        let result = step();
        let mut keys = Vec::new();
        for (table, mut iterator) in tables.iter().zip(iterators) {
            // A step that deleted the table leaves nothing to tell.
            let Some(schema) = self.schema(table) else {
                continue;
            };
            loop {
                let mut page = self.dispatch("GetRecords", json!({"ShardIterator": iterator}))?;
                let records = page["Records"].as_array().map(Vec::as_slice).unwrap_or_default();
                if records.is_empty() {
                    break;
                }
                keys.extend(
                    records
                        .iter()
                        .filter_map(|record| schema.item_key(table, &record["dynamodb"]["Keys"])),
                );
                iterator = page["NextShardIterator"].take();
            }
        }
        keys.sort();
        keys.dedup();
        Ok((result, keys))
    }

    /// An iterator at the end of the table's stream.
    fn latest(&self, table: &str) -> Result<Value, Error> {
        let metadata = self.metadata(table).ok_or_else(error::resource_not_found)?;
        let label = metadata.stream_label.unwrap_or_default();
        let body = json!({
            "StreamArn": format!("arn:aws:dynamodb{ENGINE_ARN}table/{table}/stream/{label}"),
            "ShardId": dynoxide::streams::shard_id(table),
            "ShardIteratorType": "LATEST",
        });
        Ok(self.dispatch("GetShardIterator", body)?["ShardIterator"].take())
    }

    /// The request names resources by this Region's ARNs, the engine knows only its own.
    fn accept_arns(&self, operation: &str, body: &mut Value) -> Result<(), Error> {
        if let Some(table) = body
            .get("TableName")
            .and_then(Value::as_str)
            .and_then(|name| name.strip_prefix("arn:"))
        {
            let Some(name) = table
                .split_once(&self.arn_scope)
                .and_then(|(_, tail)| tail.strip_prefix("table/"))
            else {
                return Err(error::resource_not_found());
            };
            body["TableName"] = Value::String(name.to_owned());
        }
        for member in ["ResourceArn", "StreamArn", "ExclusiveStartStreamArn"] {
            if let Some(Value::String(arn)) = body.get_mut(member) {
                if !arn.contains(&self.arn_scope) && operation.ends_with("Resource") {
                    return Err(validation_of_arn(arn));
                }
                *arn = arn.replacen(&self.arn_scope, ENGINE_ARN, 1);
            }
        }
        Ok(())
    }

    /// Only operations that describe resources carry ARNs; a client's items are left as they are.
    fn present_arns(&self, operation: &str, answer: &mut Value) {
        match operation {
            "CreateTable" | "DeleteTable" | "DescribeStream" | "DescribeTable" | "ListStreams"
            | "UpdateTable" => {
                rewrite_arns(answer, &self.arn_scope);
            }
            "GetRecords" => {
                for record in answer["Records"].as_array_mut().into_iter().flatten() {
                    record["awsRegion"] = Value::String(self.region.clone());
                }
            }
            _ => {}
        }
    }

    /// The row of a table that has one, as it is stored.
    #[cfg(test)]
    pub(super) fn row(&self, table: &str) -> (String, String, Value, i64, String) {
        let sql = format!("SELECT pk, sk, item_json, item_size, hash_prefix FROM \"{table}\"");
        let row = self.storage().conn().query_row(&sql, [], |row| {
            let json: String = row.get(2)?;
            let item = serde_json::from_str(&json).unwrap_or_default();
            Ok((row.get(0)?, row.get(1)?, item, row.get(3)?, row.get(4)?))
        });
        row.expect("a row")
    }

    fn metadata(&self, table: &str) -> Option<TableMetadata> {
        self.storage().get_table_metadata(table).ok().flatten()
    }

    pub(super) fn storage(&self) -> std::sync::MutexGuard<'_, Storage> {
        self.storage.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn schemas(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, KeySchema>> {
        self.schemas.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn validation_of_arn(arn: &str) -> Error {
    error::validation(format!(
        "Invalid TableArn: Invalid ResourceArn provided as input {arn}"
    ))
}

fn rewrite_arns(value: &mut Value, scope: &str) {
    match value {
        Value::String(text) if text.starts_with("arn:") => *text = text.replacen(ENGINE_ARN, scope, 1),
        Value::Array(items) => items.iter_mut().for_each(|item| rewrite_arns(item, scope)),
        Value::Object(members) => members
            .values_mut()
            .for_each(|member| rewrite_arns(member, scope)),
        _ => {}
    }
}

/// Runs one of the engine's operations. They are written as futures for another storage; over this one they never wait.
fn finish<F: Future>(operation: F) -> Result<F::Output, Error> {
    match pin!(operation).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => Ok(output),
        Poll::Pending => Err(error::internal()),
    }
}

fn read<T: DeserializeOwned>(operation: &str, body: Value) -> Result<T, Error> {
    serde_json::from_value(body).map_err(|error| error::of_request(operation, &error))
}
