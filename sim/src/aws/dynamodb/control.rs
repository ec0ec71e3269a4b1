//! Operations on tables: creation, description, deletion, TTL settings.
//!
//! Simplified: settings that hold for all replicas (indexes, billing, TTL) are forwarded once, and not reconciled later.

use super::super::wire::Error;
use super::error;
use super::global::message::Request as Asked;
use super::global::tables::Mode;
use super::region::{Region, lock};
use super::request::Request;
use serde_json::{Value, json};
use std::sync::Arc;

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
                    self.scratch()?.perform(&operation, body.clone())?;
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
    pub(super) fn describe_replicas(&self, description: &mut Value) {
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
        if let Some(witness) = &global.witness {
            let witness = json!({"RegionName": witness, "WitnessStatus": "ACTIVE"});
            description["GlobalTableWitnesses"] = Value::Array(vec![witness]);
        }
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

    /// Performs a table operation that another Region forwarded.
    pub(super) fn perform_forwarded(&self, operation: &str, body: &Value) -> Result<(), Error> {
        let table = body["TableName"].as_str().unwrap_or_default();
        self.engine.perform(operation, body.clone())?;
        if self.mode(table) == Some(Mode::Mrsc) {
            self.scratch()?.perform(operation, body.clone())?;
        }
        self.expiry_news.notify_one();
        Ok(())
    }
}
