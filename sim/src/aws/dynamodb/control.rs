//! Operations on tables: creation, description, deletion, TTL settings, and making a table global.
//!
//! Simplified: a replica is there when `UpdateTable` answers, where AWS takes minutes; settings that hold for all
//! replicas (indexes, billing, TTL) are forwarded once and not reconciled later. Witnesses are not modelled, and are
//! refused.

use super::super::wire::Error;
use super::engine::Engine;
use super::error;
use super::global::message::{Reply, Request as Asked};
use super::global::tables::{GlobalTable, Mode};
use super::key::ItemKey;
use super::region::{Region, lock};
use super::request::Request;
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

/// How long another Region may take to perform a table operation.
const TABLE_OPERATION_LIMIT: Duration = Duration::from_secs(10);

impl Region {
    /// Every operation that is not on items.
    pub(super) async fn control(self: &Arc<Self>, request: Request) -> Result<Value, Error> {
        let Request { operation, body, .. } = request;
        let table = body["TableName"].as_str().unwrap_or_default().to_owned();
        let mode = self.mode(&table);
        match operation.as_str() {
            "DescribeTable" => {
                let mut answer = self.engine.perform(&operation, body)?;
                self.describe_replicas(&mut answer["Table"]);
                Ok(answer)
            }
            "UpdateTable"
                if [
                    "ReplicaUpdates",
                    "MultiRegionConsistency",
                    "GlobalTableWitnessUpdates",
                ]
                .iter()
                .any(|member| body.get(member).is_some_and(|value| !value.is_null())) =>
            {
                self.update_replicas(&table, &body).await
            }
            "UpdateTable" => {
                if mode == Some(Mode::Mrec) && body["StreamSpecification"]["StreamEnabled"] == false {
                    return Err(error::validation(
                        "Streams cannot be disabled on a global table with multi-Region eventual consistency",
                    ));
                }
                let mut answer = self.engine.perform(&operation, body.clone())?;
                if mode == Some(Mode::Mrsc) {
                    // The scratch table follows in what matters for evaluation.
                    self.scratch.perform(&operation, body.clone())?;
                }
                if body.get("StreamSpecification").is_none() {
                    self.forward(&table, &operation, &body).await;
                }
                self.describe_replicas(&mut answer["TableDescription"]);
                Ok(answer)
            }
            "UpdateTimeToLive" => {
                if mode == Some(Mode::Mrsc) {
                    return Err(error::validation(
                        "Time to Live is not supported on a global table with multi-Region strong consistency",
                    ));
                }
                let answer = self.engine.perform(&operation, body.clone())?;
                self.expiry_news.notify_one();
                self.forward(&table, &operation, &body).await;
                Ok(answer)
            }
            "DeleteTable" => self.delete_table(&table, body).await,
            _ => self.engine.perform(&operation, body),
        }
    }

    /// Adds what only a global table's description has.
    fn describe_replicas(&self, description: &mut Value) {
        let globals = lock(&self.globals);
        let Some(global) = description["TableName"]
            .as_str()
            .and_then(|table| globals.get(table))
        else {
            return;
        };
        let others = global
            .regions
            .iter()
            .filter(|region| **region != self.config.region);
        let replicas = others
            .map(|region| json!({"RegionName": region, "ReplicaStatus": "ACTIVE"}))
            .collect();
        description["GlobalTableVersion"] = json!("2019.11.21");
        description["MultiRegionConsistency"] = json!(global.mode.name());
        description["Replicas"] = Value::Array(replicas);
    }

    async fn update_replicas(self: &Arc<Self>, table: &str, body: &Value) -> Result<Value, Error> {
        let mut description = self
            .engine
            .perform("DescribeTable", json!({"TableName": table}))?["Table"]
            .take();
        let plan = self.plan(table, body, &description)?;
        if plan.mode == Mode::Mrec {
            self.enable_stream(table, &mut description)?;
        }
        let mut regions = lock(&self.globals)
            .get(table)
            .map(|global| global.regions.clone())
            .unwrap_or_default();
        let before = regions.clone();
        regions.insert(self.config.region.clone());
        regions.extend(plan.create.iter().cloned());
        regions.retain(|region| !plan.delete.contains(region));
        let global = GlobalTable {
            table: table.to_owned(),
            mode: plan.mode,
            regions,
        };
        let definition = definition(&description);
        let mut created = Vec::new();
        for region in &plan.create {
            let asked = Asked::CreateReplica {
                definition: definition.clone(),
                global: global.clone(),
            };
            let failure = match self.ask(region, asked).await {
                Some(Reply::Done) => {
                    created.push(region);
                    continue;
                }
                Some(Reply::Refused { message }) => error::validation(format!(
                    "Failed to create the new replica of table '{table}' in Region '{region}': {message}"
                )),
                _ => error::internal(),
            };
            for region in created {
                self.ask(
                    region,
                    Asked::DeleteReplica {
                        table: table.to_owned(),
                    },
                )
                .await;
            }
            return Err(failure);
        }
        for region in &plan.delete {
            if !matches!(
                self.ask(
                    region,
                    Asked::DeleteReplica {
                        table: table.to_owned()
                    }
                )
                .await,
                Some(Reply::Done)
            ) {
                return Err(error::internal());
            }
            self.stop_sending(region, table);
        }
        self.become_member(&definition, global.clone())?;
        let kept = before
            .iter()
            .filter(|region| **region != self.config.region && !plan.delete.contains(*region));
        for region in kept {
            self.ask(
                region,
                Asked::Members {
                    global: global.clone(),
                },
            )
            .await;
        }
        if plan.mode == Mode::Mrec {
            self.backfill(table, &plan.create)?;
        }
        let mut answer = self
            .engine
            .perform("DescribeTable", json!({"TableName": table}))?;
        self.describe_replicas(&mut answer["Table"]);
        let mut description = answer["Table"].take();
        description["TableStatus"] = json!("UPDATING");
        for replica in description["Replicas"].as_array_mut().into_iter().flatten() {
            if plan
                .create
                .iter()
                .any(|region| replica["RegionName"] == region.as_str())
            {
                replica["ReplicaStatus"] = json!("CREATING");
            }
        }
        Ok(json!({"TableDescription": description}))
    }

    /// Checks a change of the replica set against everything AWS refuses.
    fn plan(&self, table: &str, body: &Value, description: &Value) -> Result<Plan, Error> {
        let refuse = |message: String| Err(error::validation(message));
        if body
            .get("GlobalTableWitnessUpdates")
            .is_some_and(|value| !value.is_null())
        {
            return refuse("GlobalTableWitnessUpdates is not supported: use three replicas".to_owned());
        }
        let updates = body["ReplicaUpdates"]
            .as_array()
            .map(Vec::as_slice)
            .unwrap_or_default();
        let named = |action: &str| -> BTreeSet<String> {
            updates
                .iter()
                .filter_map(|update| update[action]["RegionName"].as_str())
                .map(str::to_owned)
                .collect()
        };
        let (create, delete) = (named("Create"), named("Delete"));
        if create.len() + delete.len() != updates.len() || updates.is_empty() {
            return refuse(
                "Each ReplicaUpdate must create or delete one replica, each in a Region of its own"
                    .to_owned(),
            );
        }
        let existing = lock(&self.globals).get(table).cloned();
        let members = existing
            .as_ref()
            .map(|global| global.regions.clone())
            .unwrap_or_default();
        for region in create.iter().chain(&delete) {
            if *region == self.config.region {
                return refuse(
                    "Cannot add, delete, or update the local region through ReplicaUpdates. Use CreateTable, \
                     DeleteTable, or UpdateTable as required."
                        .to_owned(),
                );
            }
            if !self.outbound.contains_key(region) {
                return refuse(format!("Unsupported Region '{region}'"));
            }
        }
        if let Some(region) = create.iter().find(|region| members.contains(*region)) {
            return refuse(format!("Replica already exists in Region '{region}'"));
        }
        if let Some(region) = delete.iter().find(|region| !members.contains(*region)) {
            return refuse(format!("Replica not found in Region '{region}'"));
        }
        let mode = match (body["MultiRegionConsistency"].as_str(), &existing) {
            (Some("STRONG"), None) => Mode::Mrsc,
            (Some("EVENTUAL") | None, None) => Mode::Mrec,
            (None, Some(global)) => global.mode,
            (Some(name), Some(global)) if name == global.mode.name() => global.mode,
            (Some("STRONG" | "EVENTUAL"), Some(_)) => {
                return refuse("The consistency mode of a global table cannot be changed".to_owned());
            }
            (Some(other), _) => {
                return refuse(format!(
                    "1 validation error detected: Value '{other}' at 'multiRegionConsistency' failed to satisfy \
                     constraint: Member must satisfy enum value set: [EVENTUAL, STRONG]"
                ));
            }
        };
        if mode == Mode::Mrsc {
            self.plan_strong(table, &create, &delete, existing.is_some(), description)?;
        }
        Ok(Plan { mode, create, delete })
    }

    fn plan_strong(
        &self,
        table: &str,
        create: &BTreeSet<String>,
        delete: &BTreeSet<String>,
        exists: bool,
        description: &Value,
    ) -> Result<(), Error> {
        let refuse = |message: &str| Err(error::validation(message));
        if exists {
            return match (create.len(), delete.len()) {
                (0, 2) => Ok(()),
                _ => refuse("A global table with multi-Region strong consistency has exactly three replicas"),
            };
        }
        if create.len() != 2 || !delete.is_empty() {
            return refuse(
                "A global table with multi-Region strong consistency must have exactly three replicas",
            );
        }
        let in_set =
            |set: &Vec<String>| set.contains(&self.config.region) && create.iter().all(|r| set.contains(r));
        if !self.config.mrsc.region_sets.iter().any(in_set) {
            return refuse(
                "The Regions of a global table with multi-Region strong consistency must be of one Region set",
            );
        }
        if description["LocalSecondaryIndexes"].is_array() {
            return refuse("Local secondary indexes are not supported with multi-Region strong consistency");
        }
        if self.engine.expires(table) {
            return refuse("Time to Live is not supported with multi-Region strong consistency");
        }
        let page = self
            .engine
            .perform("Scan", json!({"TableName": table, "Limit": 1}))?;
        if page["Count"] != 0 {
            return refuse(
                "The table must be empty to become a global table with multi-Region strong consistency",
            );
        }
        Ok(())
    }

    /// AWS enables the stream of every eventually consistent replica by itself.
    fn enable_stream(&self, table: &str, description: &mut Value) -> Result<(), Error> {
        let wanted = json!({"StreamEnabled": true, "StreamViewType": "NEW_AND_OLD_IMAGES"});
        let stream = &description["StreamSpecification"];
        if stream["StreamEnabled"] != true {
            let body = json!({"TableName": table, "StreamSpecification": wanted});
            self.engine.perform("UpdateTable", body)?;
            description["StreamSpecification"] = wanted;
        } else if stream["StreamViewType"] != "NEW_AND_OLD_IMAGES" {
            return Err(error::validation(
                "Table must have a stream with the view type NEW_AND_OLD_IMAGES",
            ));
        }
        Ok(())
    }

    /// Becomes a replica: called in the Region that adds others, and in each that is added.
    pub(super) fn become_member(&self, definition: &Value, global: GlobalTable) -> Result<(), Error> {
        let table = global.table.clone();
        if global.regions.len() < 2 {
            self.forget(&table);
            return Ok(());
        }
        if global.mode == Mode::Mrsc && self.scratch.schema(&table).is_none() {
            let mut scratch = definition.clone();
            if let Some(members) = scratch.as_object_mut() {
                members.remove("StreamSpecification");
            }
            self.scratch.perform("CreateTable", scratch)?;
        }
        lock(&self.globals).set(global);
        Ok(())
    }

    /// Creates this Region's replica of another Region's table.
    pub(super) fn create_replica(&self, definition: Value, global: GlobalTable) -> Result<(), Error> {
        if self.engine.schema(&global.table).is_some() {
            return Err(error::resource_in_use(format!(
                "Table already exists: {}",
                global.table
            )));
        }
        self.engine.perform("CreateTable", definition.clone())?;
        self.become_member(&definition, global)
    }

    /// Deletes this Region's replica.
    pub(super) fn delete_replica(&self, table: &str) -> Result<(), Error> {
        self.engine.perform("DeleteTable", json!({"TableName": table}))?;
        self.forget(table);
        Ok(())
    }

    async fn delete_table(self: &Arc<Self>, table: &str, body: Value) -> Result<Value, Error> {
        let global = lock(&self.globals).get(table).cloned();
        if global.as_ref().is_some_and(|global| global.mode == Mode::Mrsc) {
            return Err(error::validation(
                "A replica of a global table with multi-Region strong consistency cannot be deleted by itself: delete \
                 the other two with UpdateTable first",
            ));
        }
        let answer = self.engine.perform("DeleteTable", body)?;
        if let Some(mut global) = global {
            global.regions.remove(&self.config.region);
            for region in &global.regions {
                self.ask(
                    region,
                    Asked::Members {
                        global: global.clone(),
                    },
                )
                .await;
            }
        }
        self.forget(table);
        Ok(answer)
    }

    /// Forgets that a table was global.
    fn forget(&self, table: &str) {
        lock(&self.globals).remove(table);
        lock(&self.replica).forget(table);
        lock(&self.acceptors).forget(table);
        self.proposer.forget(table);
        for region in self.outbound.keys() {
            self.stop_sending(region, table);
        }
        if self.scratch.schema(table).is_some() {
            // It holds nothing, and a table that is gone is all that is wanted.
            let _ = self.scratch.perform("DeleteTable", json!({"TableName": table}));
        }
    }

    fn stop_sending(&self, region: &str, table: &str) {
        if let Some(outbound) = self.outbound.get(region) {
            lock(&outbound.changes).forget(table);
            lock(&outbound.chosen).forget(table);
            lock(&outbound.read_up_to).remove(table);
        }
    }

    /// Sends every item to replicas that are new.
    fn backfill(&self, table: &str, regions: &BTreeSet<String>) -> Result<(), Error> {
        let Some(schema) = self.engine.schema(table) else {
            return Ok(());
        };
        for item in self.engine.items(table)? {
            let Some(key) = schema.item_key(table, &item) else {
                continue;
            };
            let known = lock(&self.replica).current(&key, Some(item.clone()));
            let change = known.unwrap_or_else(|| lock(&self.replica).write(&key, Some(item), Self::now()));
            regions
                .iter()
                .for_each(|region| self.post_to(region, change.clone()));
        }
        let deleted: Vec<ItemKey> = {
            let replica = lock(&self.replica);
            replica.keys(table)
        };
        for key in deleted {
            if self.engine.image(&key)?.is_none()
                && let Some(change) = lock(&self.replica).current(&key, None)
            {
                regions
                    .iter()
                    .for_each(|region| self.post_to(region, change.clone()));
            }
        }
        Ok(())
    }

    /// Performs a table operation in every other replica too, as far as they can be reached.
    async fn forward(self: &Arc<Self>, table: &str, operation: &str, body: &Value) {
        let regions = lock(&self.globals)
            .get(table)
            .map(|global| global.regions.clone())
            .unwrap_or_default();
        for region in regions.iter().filter(|region| **region != self.config.region) {
            self.ask(
                region,
                Asked::Table {
                    operation: operation.to_owned(),
                    body: body.clone(),
                },
            )
            .await;
        }
    }

    async fn ask(&self, region: &str, request: Asked) -> Option<Reply> {
        self.outbound
            .get(region)?
            .link
            .call(request, TABLE_OPERATION_LIMIT)
            .await
    }
}

#[derive(Debug)]
struct Plan {
    mode: Mode,
    create: BTreeSet<String>,
    delete: BTreeSet<String>,
}

/// The `CreateTable` request that makes a table like the one described.
fn definition(description: &Value) -> Value {
    let mut request = Map::new();
    let mut take = |member: &str, value: Value| {
        if !value.is_null() {
            request.insert(member.to_owned(), value);
        }
    };
    for member in [
        "TableName",
        "KeySchema",
        "AttributeDefinitions",
        "StreamSpecification",
    ] {
        take(member, description[member].clone());
    }
    let provisioned = description["BillingModeSummary"]["BillingMode"] != "PAY_PER_REQUEST";
    take(
        "BillingMode",
        json!(if provisioned {
            "PROVISIONED"
        } else {
            "PAY_PER_REQUEST"
        }),
    );
    let throughput = |of: &Value| match provisioned {
        true => json!({
            "ReadCapacityUnits": of["ProvisionedThroughput"]["ReadCapacityUnits"],
            "WriteCapacityUnits": of["ProvisionedThroughput"]["WriteCapacityUnits"],
        }),
        false => Value::Null,
    };
    take("ProvisionedThroughput", throughput(description));
    for (member, is_global) in [("GlobalSecondaryIndexes", true), ("LocalSecondaryIndexes", false)] {
        let Some(indexes) = description[member].as_array() else {
            continue;
        };
        let indexes = indexes.iter().map(|index| {
            let mut copy = json!({
                "IndexName": index["IndexName"],
                "KeySchema": index["KeySchema"],
                "Projection": index["Projection"],
            });
            if is_global && provisioned {
                copy["ProvisionedThroughput"] = throughput(index);
            }
            copy
        });
        take(member, indexes.collect());
    }
    Value::Object(request)
}

/// Performs a table operation that another Region forwarded.
pub(super) fn perform_forwarded(engine: &Engine, operation: &str, body: Value) -> Result<(), Error> {
    engine.perform(operation, body).map(drop)
}
