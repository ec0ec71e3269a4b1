//! Which versions of the schema the processes of all Regions write, next to the routing; and how a version comes to its end.
//!
//! Every process counts its version up, at least once in the time in which [`retire`] looks. So a version that is written is seen. A
//! process that cannot be seen, because it sleeps or is cut off, cannot write either: the routing names the oldest version that
//! may still be written, and who has not read it within the lease has no right to write.

use aws_sdk_dynamodb::{error::DisplayErrorContext, types::AttributeValue};
use time::OffsetDateTime;
use tokio::time::sleep;

use crate::ledger::Schema;

use super::{
    keeper::KeeperConfig,
    operator::Operator,
    routing::{Routing, RoutingError, RoutingTable},
};

/// Why versions of the schema were not brought to their end. Nothing was changed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum RetireError {
    /// Somebody writes one.
    #[error(
        "processes that write version {} of the schema are running: replace them with processes that write version {}, then try again",
        found.number(), wanted.number()
    )]
    InUse {
        /// The version.
        found: Schema,
        /// The oldest version that is to stay.
        wanted: Schema,
    },
    /// The routing could not be read or changed.
    #[error(transparent)]
    Routing(#[from] RoutingError),
}

/// Says that a process is running that writes a version.
///
/// # Errors
/// When DynamoDB does not confirm it.
pub(super) async fn report(table: &RoutingTable, schema: Schema) -> Result<(), RoutingError> {
    let sent = table
        .client()
        .update_item()
        .table_name(table.table())
        .key("pk", table.partition())
        .key("sk", sort_key(schema))
        .update_expression("ADD reports :one")
        .expression_attribute_values(":one", AttributeValue::N("1".to_owned()))
        .send()
        .await;
    sent.map(|_| ())
        .map_err(|error| RoutingError::Unavailable(DisplayErrorContext(&error).to_string()))
}

/// How often processes have said that they write a version.
async fn reports(table: &RoutingTable, schema: Schema) -> Result<i64, RoutingError> {
    let got = table
        .client()
        .get_item()
        .table_name(table.table())
        .key("pk", table.partition())
        .key("sk", sort_key(schema))
        .consistent_read(true)
        .send()
        .await
        .map_err(|error| RoutingError::Unavailable(DisplayErrorContext(&error).to_string()))?;
    let reports = got.item.and_then(|mut item| item.remove("reports"));
    let number = reports.and_then(|value| value.as_n().ok()?.parse().ok());
    Ok(number.unwrap_or_default())
}

fn sort_key(schema: Schema) -> AttributeValue {
    AttributeValue::S(format!("schema#{}", schema.number()))
}

/// Makes `wanted` the oldest version of the schema that may be written. When it returns, no process writes an older one, nor
/// will. Takes 11.5 leases; of the processes, the one with the longest lease counts.
///
/// # Errors
/// See [`RetireError`]. [`RetireError::InUse`] when there is a process that would have to stop.
pub async fn retire(
    table: &RoutingTable,
    wanted: Schema,
    keeper: KeeperConfig,
    now: impl Fn() -> OffsetDateTime,
) -> Result<(), RetireError> {
    if table.read().await?.schema < wanted {
        let older = || Schema::ALL.into_iter().filter(|schema| *schema < wanted);
        let mut before = Vec::new();
        for schema in older() {
            before.push(reports(table, schema).await?);
        }
        sleep(keeper.report_interval() * 2).await;
        for (found, before) in older().zip(before) {
            if reports(table, found).await? != before {
                return Err(RetireError::InUse { found, wanted });
            }
        }
        refuse_older(table, wanted, now()).await?;
    }
    sleep(keeper.surely_over()).await;
    Ok(())
}

async fn refuse_older(table: &RoutingTable, wanted: Schema, now: OffsetDateTime) -> Result<(), RoutingError> {
    let operator = Operator::new(table.clone(), "payments migrate");
    let next = Routing {
        schema: wanted,
        ..operator.open().await?
    };
    let reason = format!("version {} of the schema is the oldest one now", wanted.number());
    operator.decide(next, reason, now).await?;
    tracing::warn!(schema = wanted.number(), "oldest version of the schema");
    Ok(())
}
