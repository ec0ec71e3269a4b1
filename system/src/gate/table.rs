//! Making the gate's table.

use std::time::Duration;

use aws_sdk_dynamodb::{
    error::{BuildError, SdkError},
    types::{
        AttributeDefinition, BillingMode, CreateReplicationGroupMemberAction, KeySchemaElement, KeyType,
        MultiRegionConsistency, ReplicaStatus, ReplicationGroupUpdate, ScalarAttributeType, TableDescription,
        TableStatus,
    },
};

use super::{Gate, GateUnavailable, unavailable};

impl Gate {
    /// Makes the table in this Region and two others, unless it is there. Without others it is an ordinary table: an answer is
    /// then only as durable as one Region. One that is there and in this Region alone, since an earlier attempt did not get
    /// further, is extended to the others.
    ///
    /// # Errors
    /// When AWS refuses, for one because the three Regions cannot hold a table with multi-Region strong consistency, or because a
    /// table that is in one Region holds something.
    pub async fn create_table(&self, replicas: &[String]) -> Result<(), GateUnavailable> {
        let attribute = |name| {
            AttributeDefinition::builder()
                .attribute_name(name)
                .attribute_type(ScalarAttributeType::S)
                .build()
        };
        let key = |name, kind| {
            KeySchemaElement::builder()
                .attribute_name(name)
                .key_type(kind)
                .build()
        };
        let built = |error: BuildError| GateUnavailable(error.to_string());
        let table = &self.config.table;
        let create = self
            .client
            .create_table()
            .table_name(table)
            .attribute_definitions(attribute("pk").map_err(built)?)
            .attribute_definitions(attribute("sk").map_err(built)?)
            .key_schema(key("pk", KeyType::Hash).map_err(built)?)
            .key_schema(key("sk", KeyType::Range).map_err(built)?)
            .billing_mode(BillingMode::PayPerRequest)
            .send()
            .await;
        match create {
            Ok(_) => {}
            Err(SdkError::ServiceError(error)) if error.err().is_resource_in_use_exception() => {}
            Err(error) => return Err(unavailable(&error)),
        }
        let made = self.wait_until_active().await?;
        let strong = made.multi_region_consistency() == Some(&MultiRegionConsistency::Strong);
        if replicas.is_empty() || strong {
            return Ok(());
        }
        let mut update = self
            .client
            .update_table()
            .table_name(table)
            .multi_region_consistency(MultiRegionConsistency::Strong);
        for region in replicas {
            let create = CreateReplicationGroupMemberAction::builder()
                .region_name(region)
                .build()
                .map_err(built)?;
            update = update.replica_updates(ReplicationGroupUpdate::builder().create(create).build());
        }
        update.send().await.map_err(|error| unavailable(&error))?;
        self.wait_until_active().await.map(|_| ())
    }

    async fn wait_until_active(&self) -> Result<TableDescription, GateUnavailable> {
        for _ in 0..300 {
            let described = self
                .client
                .describe_table()
                .table_name(&self.config.table)
                .send()
                .await;
            let table = described.map_err(|error| unavailable(&error))?.table;
            let active = |table: &TableDescription| {
                let mut replicas = table.replicas().iter();
                table.table_status() == Some(&TableStatus::Active)
                    && replicas.all(|replica| replica.replica_status() == Some(&ReplicaStatus::Active))
            };
            if let Some(table) = table.filter(active) {
                return Ok(table);
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        Err(GateUnavailable(
            "the table is still not active after five minutes".to_owned(),
        ))
    }
}
