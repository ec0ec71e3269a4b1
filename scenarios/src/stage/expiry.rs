//! The gate's items live for two days, the ledger's for ever. Worlds are shorter, so that the end of some is brought about.

use std::time::Duration;

use aws_sdk_dynamodb::{Client, error::BoxError};
use payments::gate::GateConfig;
use tokio::time::timeout;

use super::{aws, network::REGIONS};

/// How long it may take in one Region.
const LIMIT: Duration = Duration::from_secs(30);

/// Half of the answers that the gate has expire: who asks again is then answered by the ledger. Nothing happens where no Region's
/// DynamoDB works.
pub(super) async fn some_answers_expire() {
    for region in 0..REGIONS.len() {
        if let Ok(Ok(())) = timeout(LIMIT, expire(&aws::clients(region).dynamodb)).await {
            return;
        }
    }
}

async fn expire(dynamodb: &Client) -> Result<(), BoxError> {
    let table = GateConfig::default().table;
    let mut items = dynamodb.scan().table_name(&table).into_paginator().items().send();
    while let Some(item) = items.try_next().await? {
        // Of what was done. A refusal is the gate's alone, and once it is forgotten the request is a new one.
        let done = item.get("answer_status").and_then(|status| status.as_n().ok());
        if done.is_some_and(|status| status.starts_with('2')) && fastrand::bool() {
            let key = ["pk", "sk"].into_iter();
            let key = key.filter_map(|name| Some((name.to_owned(), item.get(name)?.clone())));
            let delete = dynamodb.delete_item().table_name(&table);
            delete.set_key(Some(key.collect())).send().await?;
        }
    }
    Ok(())
}
