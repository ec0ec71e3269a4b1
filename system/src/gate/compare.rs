//! The gate as a reconciler sees it: what it keeps, page by page, and what it lost put back.

use std::{collections::HashMap, time::Duration};

use aws_sdk_dynamodb::types::AttributeValue;
use time::OffsetDateTime;

use crate::{
    id::{Fingerprint, IdempotencyKey, TenantId},
    ledger::Answer,
};

use super::{
    Gate, GateUnavailable,
    item::{address, entry, hex, milliseconds, number},
    unavailable,
};

/// Where a page of the gate's items starts.
#[derive(Clone, Debug)]
pub struct PageStart(HashMap<String, AttributeValue>);

/// What the gate keeps under a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Whose key.
    pub tenant: TenantId,
    /// The key.
    pub key: IdempotencyKey,
    /// The answer, if there is one yet.
    pub answer: Option<Answer>,
    /// Until when the last claim holds.
    pub lease_until: OffsetDateTime,
}

impl Gate {
    /// What the gate keeps under a key, expired or not.
    ///
    /// # Errors
    /// When DynamoDB does not answer.
    pub async fn look(
        &self,
        tenant: TenantId,
        key: &IdempotencyKey,
    ) -> Result<Option<Entry>, GateUnavailable> {
        let (pk, sk) = address(tenant, key);
        let get = self
            .client
            .get_item()
            .table_name(&self.config.table)
            .key("pk", AttributeValue::S(pk))
            .key("sk", AttributeValue::S(sk))
            .consistent_read(true)
            .send()
            .await;
        let item = get.map_err(|error| unavailable(&error))?.item;
        Ok(item.as_ref().and_then(entry))
    }

    /// Puts an answer back that the ledger has under `epoch` and the gate has lost.
    ///
    /// # Errors
    /// When DynamoDB does not confirm it, or the gate has an answer after all.
    pub async fn put_back(
        &self,
        (tenant, key, fingerprint): (TenantId, &IdempotencyKey, Fingerprint),
        answer: &Answer,
        epoch: i64,
        now: OffsetDateTime,
    ) -> Result<(), GateUnavailable> {
        let (pk, sk) = address(tenant, key);
        let put = self
            .client
            .put_item()
            .table_name(&self.config.table)
            .item("pk", AttributeValue::S(pk))
            .item("sk", AttributeValue::S(sk))
            .item("owner_nonce", AttributeValue::S("put back".to_owned()))
            .item("fingerprint", hex(&fingerprint.0))
            .item("epoch", number(epoch))
            .item("asked_at", number(milliseconds(now)))
            .item("changed_at", number(milliseconds(now)))
            .item("lease_until", number(milliseconds(now)))
            .item(
                "expires_at",
                number((now + self.config.retention).unix_timestamp()),
            )
            .item("answer_status", number(answer.status.into()))
            .item("answer_body", AttributeValue::S(answer.body.clone()))
            .condition_expression(
                "attribute_not_exists(pk) OR (epoch <= :epoch AND attribute_not_exists(answer_status))",
            )
            .expression_attribute_values(":epoch", number(epoch))
            .send()
            .await;
        put.map(|_| ()).map_err(|error| unavailable(&error))
    }

    /// A page of what the gate keeps, in its own order, and where the next one starts. None is the beginning, and the end.
    ///
    /// # Errors
    /// When DynamoDB does not answer.
    pub async fn page(
        &self,
        start: Option<PageStart>,
        count: i32,
    ) -> Result<(Vec<Entry>, Option<PageStart>), GateUnavailable> {
        let scan = self
            .client
            .scan()
            .table_name(&self.config.table)
            .limit(count)
            .set_exclusive_start_key(start.map(|start| start.0))
            .send()
            .await
            .map_err(|error| unavailable(&error))?;
        let entries = scan.items().iter().filter_map(entry).collect();
        Ok((entries, scan.last_evaluated_key.map(PageStart)))
    }

    /// For how long the gate keeps answers.
    pub fn retention(&self) -> Duration {
        self.config.retention
    }
}
