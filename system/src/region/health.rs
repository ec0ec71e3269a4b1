//! What each Region's controllers say about it, next to the routing: whoever cannot reach a Region can still read that it is
//! well.

use std::collections::{BTreeMap, HashMap};

use aws_sdk_dynamodb::{error::DisplayErrorContext, types::AttributeValue};
use time::OffsetDateTime;

use super::routing::{RoutingError, RoutingTable};

/// A Region's own word.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Health {
    /// Counts its reports: as long as it grows, somebody there is alive and reaches the table.
    pub beats: i64,
    /// Whether the ledger can be written there; whether a replica can be read, where the writer is elsewhere.
    pub well: bool,
    /// The last heartbeat of the writer that its database has, in milliseconds since the epoch of Unix: how far it has come.
    pub beat_at: i64,
}

/// The reports of all Regions. Clones share it.
#[derive(Clone, Debug)]
pub struct HealthTable(RoutingTable);

impl HealthTable {
    /// Next to the routing.
    pub fn new(table: RoutingTable) -> Self {
        Self(table)
    }

    /// Reports for a Region.
    ///
    /// # Errors
    /// When DynamoDB does not confirm it.
    pub async fn report(
        &self,
        region: &str,
        well: bool,
        beat_at: Option<OffsetDateTime>,
    ) -> Result<(), RoutingError> {
        let mut set = "ADD beats :one SET well = :well".to_owned();
        let mut update = self
            .0
            .client()
            .update_item()
            .table_name(self.0.table())
            .key("pk", self.0.partition())
            .key("sk", sort_key(region))
            .expression_attribute_values(":one", AttributeValue::N("1".to_owned()))
            .expression_attribute_values(":well", AttributeValue::Bool(well));
        if let Some(at) = beat_at {
            set.push_str(", beat_at = :beat_at");
            let milliseconds = at.unix_timestamp_nanos() / 1_000_000;
            update =
                update.expression_attribute_values(":beat_at", AttributeValue::N(milliseconds.to_string()));
        }
        let sent = update.update_expression(set).send().await;
        sent.map(|_| ())
            .map_err(|error| RoutingError::Unavailable(DisplayErrorContext(&error).to_string()))
    }

    /// What each Region that ever reported reported last.
    ///
    /// # Errors
    /// When DynamoDB does not answer.
    pub async fn all(&self) -> Result<BTreeMap<String, Health>, RoutingError> {
        let found = self
            .0
            .client()
            .query()
            .table_name(self.0.table())
            .consistent_read(true)
            .key_condition_expression("pk = :ledger AND begins_with(sk, :health)")
            .expression_attribute_values(":ledger", self.0.partition())
            .expression_attribute_values(":health", AttributeValue::S(PREFIX.to_owned()))
            .send()
            .await
            .map_err(|error| RoutingError::Unavailable(DisplayErrorContext(&error).to_string()))?;
        let region = |item: &HashMap<String, AttributeValue>| {
            let name = item.get("sk")?.as_s().ok()?.strip_prefix(PREFIX)?;
            Some((name.to_owned(), health(item)))
        };
        Ok(found.items().iter().filter_map(region).collect())
    }
}

const PREFIX: &str = "health#";

fn health(item: &HashMap<String, AttributeValue>) -> Health {
    let number = |name| item.get(name).and_then(|value| value.as_n().ok()?.parse().ok());
    Health {
        beats: number("beats").unwrap_or_default(),
        well: item.get("well").and_then(|value| value.as_bool().ok()) == Some(&true),
        beat_at: number("beat_at").unwrap_or_default(),
    }
}

fn sort_key(region: &str) -> AttributeValue {
    AttributeValue::S(format!("{PREFIX}{region}"))
}
