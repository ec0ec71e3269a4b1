//! Making a table global, and taking replicas away.
//!
//! Simplified: a replica is there when `UpdateTable` answers, where AWS takes minutes.

use super::super::wire::Error;
use super::error;
use super::global::message::{Reply, Request as Asked};
use super::global::tables::{GlobalTable, Mode};
use super::key::ItemKey;
use super::region::{Region, lock};
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

/// How long another Region may take to perform a table operation.
const TABLE_OPERATION_LIMIT: Duration = Duration::from_secs(10);

impl Region {
    /// `UpdateTable` with `ReplicaUpdates`. One at a time for each table, as on AWS.
    pub(super) async fn update_replicas(self: &Arc<Self>, table: &str, body: &Value) -> Result<Value, Error> {
        if !lock(&self.updating).insert(table.to_owned()) {
            return Err(error::resource_in_use(format!(
                "Attempt to change a resource which is still in use: Table is being updated: {table}"
            )));
        }
        let result = self.update_replicas_alone(table, body).await;
        lock(&self.updating).remove(table);
        result
    }

    async fn update_replicas_alone(self: &Arc<Self>, table: &str, body: &Value) -> Result<Value, Error> {
        let mut description = self.describe(table)?;
        let plan = self.plan(table, body, &description)?;
        if plan.mode == Mode::Mrec {
            self.enable_stream(table, &mut description)?;
        }
        let before = lock(&self.globals)
            .get(table)
            .map(|global| global.regions.clone())
            .unwrap_or_default();
        let mut regions = before.clone();
        regions.insert(self.config.region.clone());
        regions.extend(plan.create.iter().cloned());
        regions.retain(|region| !plan.delete.contains(region));
        let global = GlobalTable {
            table: table.to_owned(),
            mode: plan.mode,
            regions,
            witness: plan.witness.clone(),
        };
        let definition = definition(&description);
        self.create_replicas(&definition, &global, &plan.create).await?;
        let witness_before = lock(&self.globals)
            .get(table)
            .and_then(|global| global.witness.clone());
        self.tell_witness(&global, witness_before).await?;
        for region in &plan.delete {
            let asked = Asked::DeleteReplica {
                table: table.to_owned(),
            };
            if !matches!(self.ask(region, asked).await, Some(Reply::Done)) {
                return Err(error::internal());
            }
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
        let mut description = self.describe(table)?;
        self.describe_replicas(&mut description);
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

    /// Has the witness, the one that was or the one that will be, know of the table as it will be.
    async fn tell_witness(&self, global: &GlobalTable, before: Option<String>) -> Result<(), Error> {
        let Some(witness) = global.witness.as_ref().or(before.as_ref()) else {
            return Ok(());
        };
        let asked = Asked::Members {
            global: global.clone(),
        };
        match self.ask(witness, asked).await {
            Some(Reply::Done) => Ok(()),
            _ => {
                for region in &global.regions {
                    let table = global.table.clone();
                    self.ask(region, Asked::DeleteReplica { table }).await;
                }
                Err(error::internal())
            }
        }
    }

    /// All of them, or none.
    async fn create_replicas(
        &self,
        definition: &Value,
        global: &GlobalTable,
        regions: &BTreeSet<String>,
    ) -> Result<(), Error> {
        let table = &global.table;
        let mut created = Vec::new();
        let mut failure = None;
        for region in regions {
            let asked = Asked::CreateReplica {
                definition: definition.clone(),
                global: global.clone(),
            };
            match self.ask(region, asked).await {
                Some(Reply::Done) => created.push(region),
                Some(Reply::Refused { message }) => {
                    let message =
                        format!("Failed to create the replica of '{table}' in '{region}': {message}");
                    failure = Some(error::validation(message));
                    break;
                }
                _ => {
                    failure = Some(error::internal());
                    break;
                }
            }
        }
        // Others may have written to the table meanwhile.
        if failure.is_none() && global.mode == Mode::Mrsc && !regions.is_empty() {
            failure = self.check_empty(table).err();
        }
        let Some(failure) = failure else { return Ok(()) };
        for region in created {
            self.ask(region, Asked::DeleteReplica { table: table.clone() })
                .await;
        }
        Err(failure)
    }

    fn describe(&self, table: &str) -> Result<Value, Error> {
        Ok(self
            .engine
            .perform("DescribeTable", json!({"TableName": table}))?["Table"]
            .take())
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
        if global.witness.as_ref() == Some(&self.config.region) {
            lock(&self.globals).set(global);
            return Ok(());
        }
        if global.mode == Mode::Mrsc && self.scratch()?.schema(&table).is_none() {
            let mut evaluated = definition.clone();
            if let Some(members) = evaluated.as_object_mut() {
                members.remove("StreamSpecification");
            }
            self.scratch()?.perform("CreateTable", evaluated)?;
        }
        for region in self
            .outbound
            .keys()
            .filter(|region| !global.regions.contains(*region))
        {
            self.stop_sending(region, &table);
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

    /// Forgets that a table was global.
    pub(super) fn forget(&self, table: &str) {
        let mode = self.mode(table);
        lock(&self.globals).remove(table);
        lock(&self.replica).forget(table);
        lock(&self.acceptors).forget(table);
        self.proposer.forget(table);
        for region in self.outbound.keys() {
            self.stop_sending(region, table);
        }
        if mode == Some(Mode::Mrsc)
            && let Ok(scratch) = self.scratch()
        {
            // It holds nothing, and a table that is gone is all that is wanted.
            let _ = scratch.perform("DeleteTable", json!({"TableName": table}));
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

    pub(super) async fn ask(&self, region: &str, request: Asked) -> Option<Reply> {
        self.outbound
            .get(region)?
            .link
            .call(request, TABLE_OPERATION_LIMIT)
            .await
    }
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
