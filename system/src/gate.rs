//! The idempotency gate: of all processes that hear a request, at any gateway, one goes on with it.
//!
//! An item of a DynamoDB table for each key, in a fixed number of shards a tenant. Whoever puts the item owns the request
//! until the lease ends; the answer is put there before the client is told, so that it outlives the Region (the table is
//! replicated synchronously to a second one: a global table with multi-Region strong consistency). All of it is a cache: the
//! ledger keeps every request and its answer for good, and whoever gets past the gate asks the ledger first.
//!
//! | state of the item | a request finds | and |
//! |---|---|---|
//! | none, or expired | nothing | claims it |
//! | claimed, lease running | a rival | is told when to come back |
//! | claimed, lease over | a holder that died | takes the claim over; the ledger says how far it came |
//! | complete | the answer | gives it again |
//!
//! A claim carries its owner's nonce. The SDK may retry a put that was applied and lost its answer: the condition then fails on
//! the caller's own item, and the nonce says so. Expiry is compared in conditions: DynamoDB deletes expired items late.

use std::{collections::HashMap, time::Duration};

use aws_sdk_dynamodb::{
    Client,
    error::{BuildError, DisplayErrorContext, SdkError},
    operation::put_item::PutItemError,
    types::{
        AttributeDefinition, AttributeValue, BillingMode, ConsumedCapacity,
        CreateReplicationGroupMemberAction, KeySchemaElement, KeyType, MultiRegionConsistency, ReplicaStatus,
        ReplicationGroupUpdate, ReturnConsumedCapacity, ReturnValuesOnConditionCheckFailure,
        ScalarAttributeType, TableStatus,
    },
};
use sha2::{Digest, Sha256};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    id::{Fingerprint, IdempotencyKey, TenantId},
    ledger::Answer,
    metrics::Metrics,
};

/// Partitions of a tenant's keys. It never changes: a key that moved could be claimed twice.
const SHARDS: u8 = 16;

/// How the gate behaves.
#[derive(Clone, Debug)]
pub struct GateConfig {
    /// The table: string partition key `pk`, string sort key `sk`, TTL attribute `expires_at`.
    pub table: String,
    /// How long a claim keeps others out.
    pub lease: Duration,
    /// How long an answer is kept at the gate.
    pub retention: Duration,
}

impl Default for GateConfig {
    fn default() -> Self {
        Self {
            table: "payments-idempotency".to_owned(),
            lease: Duration::from_secs(15),
            retention: Duration::from_hours(48),
        }
    }
}

/// The gate cannot be asked. No money has moved on behalf of the request.
#[derive(Clone, Debug, thiserror::Error)]
#[error("the idempotency gate cannot be asked: {0}")]
pub struct GateUnavailable(String);

/// What a request finds at the gate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claim {
    /// It goes on, and answers for the key until the lease ends.
    Mine(Ticket),
    /// It was answered before.
    Complete(Answer),
    /// An earlier attempt is under way.
    InFlight {
        /// When its lease ends, at the latest.
        retry_after: Duration,
    },
    /// The key belongs to another request.
    Mismatch,
}

/// The right to go on with a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ticket {
    tenant: TenantId,
    key: IdempotencyKey,
    fingerprint: Fingerprint,
    owner: String,
    /// Until when.
    pub lease_until: OffsetDateTime,
}

/// A gateway's way to the gate.
#[derive(Clone, Debug)]
pub struct Gate {
    client: Client,
    config: GateConfig,
    metrics: Metrics,
}

impl Gate {
    /// The gate behind a client.
    pub fn new(client: Client, config: GateConfig) -> Self {
        Self {
            client,
            config,
            metrics: Metrics::default(),
        }
    }

    /// The same gate, counting what it costs.
    pub fn counting(self, metrics: Metrics) -> Self {
        Self { metrics, ..self }
    }

    fn count(&self, kind: &'static str, consumed: Option<&ConsumedCapacity>) {
        let units = consumed.and_then(ConsumedCapacity::capacity_units);
        self.metrics.consumed_units(kind, units.unwrap_or_default());
    }

    /// Makes the table in this Region and two others, unless it is there. Without others it is an ordinary table: an answer is
    /// then only as durable as one Region.
    ///
    /// # Errors
    /// When AWS refuses, for one because the three Regions cannot hold a table with multi-Region strong consistency.
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
            Ok(_) => self.wait_until_active().await?,
            Err(SdkError::ServiceError(error)) if error.err().is_resource_in_use_exception() => return Ok(()),
            Err(error) => return Err(unavailable(&error)),
        }
        if replicas.is_empty() {
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
        self.wait_until_active().await
    }

    async fn wait_until_active(&self) -> Result<(), GateUnavailable> {
        for _ in 0..300 {
            let described = self
                .client
                .describe_table()
                .table_name(&self.config.table)
                .send()
                .await;
            let table = described.map_err(|error| unavailable(&error))?.table;
            let replicas = table.as_ref().map_or(&[][..], |table| table.replicas());
            let active = table.as_ref().and_then(|table| table.table_status()) == Some(&TableStatus::Active);
            if active
                && replicas
                    .iter()
                    .all(|replica| replica.replica_status() == Some(&ReplicaStatus::Active))
            {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        Err(GateUnavailable(
            "the table is still not active after five minutes".to_owned(),
        ))
    }

    /// Asks to go on with a request.
    ///
    /// # Errors
    /// When DynamoDB does not answer. A claim that was made all the same ends with its lease.
    pub async fn claim(
        &self,
        tenant: TenantId,
        key: &IdempotencyKey,
        fingerprint: Fingerprint,
        now: OffsetDateTime,
    ) -> Result<Claim, GateUnavailable> {
        let ticket = Ticket {
            tenant,
            key: key.clone(),
            fingerprint,
            owner: Uuid::new_v4().simple().to_string(),
            lease_until: now + self.config.lease,
        };
        let item = Item {
            ticket: &ticket,
            answer: None,
            expires_at: now + self.config.retention,
        };
        let put = self
            .client
            .put_item()
            .table_name(&self.config.table)
            .set_item(Some(item.attributes()))
            .condition_expression(
                "attribute_not_exists(pk) OR expires_at < :now_s OR (attribute_not_exists(answer_status) AND lease_until < :now_ms \
                 AND fingerprint = :fingerprint)",
            )
            .expression_attribute_values(":now_s", number(now.unix_timestamp()))
            .expression_attribute_values(":now_ms", number(milliseconds(now)))
            .expression_attribute_values(":fingerprint", hex(&fingerprint.0))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .return_consumed_capacity(ReturnConsumedCapacity::Total)
            .send()
            .await;
        match put {
            Ok(put) => {
                self.count("write", put.consumed_capacity());
                Ok(Claim::Mine(ticket))
            }
            Err(error) => match held(&error) {
                Some(held) => Ok(read(held, ticket, now)),
                None => Err(unavailable(&error)),
            },
        }
    }

    /// Puts the answer where every retry finds it. The answer is the ledger's and final, so that it does not matter whether
    /// the claim has been taken over meanwhile, or how often it is put.
    ///
    /// # Errors
    /// When DynamoDB does not confirm it. Then the client must not be told yet.
    pub async fn complete(
        &self,
        ticket: &Ticket,
        answer: &Answer,
        now: OffsetDateTime,
    ) -> Result<(), GateUnavailable> {
        let item = Item {
            ticket,
            answer: Some(answer),
            expires_at: now + self.config.retention,
        };
        let put = self
            .client
            .put_item()
            .table_name(&self.config.table)
            .set_item(Some(item.attributes()))
            .return_consumed_capacity(ReturnConsumedCapacity::Total)
            .send()
            .await;
        let put = put.map_err(|error| unavailable(&error))?;
        self.count("write", put.consumed_capacity());
        Ok(())
    }

    /// What the gate keeps under a key, expired or not.
    ///
    /// # Errors
    /// When DynamoDB does not answer.
    pub async fn look(
        &self,
        tenant: TenantId,
        key: &IdempotencyKey,
    ) -> Result<Option<Kept>, GateUnavailable> {
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
        Ok(item.as_ref().and_then(kept))
    }

    /// Puts an answer back that the ledger has and the gate has lost.
    ///
    /// # Errors
    /// When DynamoDB does not confirm it.
    pub async fn restore(
        &self,
        tenant: TenantId,
        key: &IdempotencyKey,
        fingerprint: Fingerprint,
        answer: &Answer,
        now: OffsetDateTime,
    ) -> Result<(), GateUnavailable> {
        let ticket = Ticket {
            tenant,
            key: key.clone(),
            fingerprint,
            owner: "restored".to_owned(),
            lease_until: now,
        };
        self.complete(&ticket, answer, now).await
    }

    /// A page of what the gate keeps, in its own order, and where the next one starts. None is the beginning, and the end.
    ///
    /// # Errors
    /// When DynamoDB does not answer.
    pub async fn page(
        &self,
        start: Option<PageStart>,
        count: i32,
    ) -> Result<(Vec<Kept>, Option<PageStart>), GateUnavailable> {
        let scan = self
            .client
            .scan()
            .table_name(&self.config.table)
            .limit(count)
            .set_exclusive_start_key(start.map(|start| start.0))
            .send()
            .await
            .map_err(|error| unavailable(&error))?;
        let kept = scan.items().iter().filter_map(kept).collect();
        Ok((kept, scan.last_evaluated_key.map(PageStart)))
    }

    /// For how long the gate keeps answers.
    pub fn retention(&self) -> Duration {
        self.config.retention
    }

    /// Gives the claim back: nothing was done, and the client may try again at once.
    ///
    /// # Errors
    /// When DynamoDB does not confirm it. The lease ends all the same.
    pub async fn release(&self, ticket: &Ticket) -> Result<(), GateUnavailable> {
        let (pk, sk) = address(ticket.tenant, &ticket.key);
        let delete = self
            .client
            .delete_item()
            .table_name(&self.config.table)
            .key("pk", AttributeValue::S(pk))
            .key("sk", AttributeValue::S(sk))
            .condition_expression("owner_nonce = :owner AND attribute_not_exists(answer_status)")
            .expression_attribute_values(":owner", AttributeValue::S(ticket.owner.clone()))
            .send()
            .await;
        match delete {
            Err(SdkError::ServiceError(error)) if error.err().is_conditional_check_failed_exception() => {
                Ok(())
            }
            other => other.map(|_| ()).map_err(|error| unavailable(&error)),
        }
    }
}

/// Where a page of the gate's items starts.
#[derive(Clone, Debug)]
pub struct PageStart(HashMap<String, AttributeValue>);

/// What the gate keeps under a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Whose key.
    pub tenant: TenantId,
    /// The key.
    pub key: IdempotencyKey,
    /// The answer, if there is one yet.
    pub answer: Option<Answer>,
    /// Until when the last claim holds.
    pub lease_until: OffsetDateTime,
}

/// The key that an item is about; none for items of other kinds.
fn kept(item: &HashMap<String, AttributeValue>) -> Option<Kept> {
    let (tenant, _) = item.get("pk")?.as_s().ok()?.split_once('#')?;
    let lease_until: i128 = item.get("lease_until")?.as_n().ok()?.parse().ok()?;
    Some(Kept {
        tenant: tenant.parse().ok()?,
        key: IdempotencyKey::new(item.get("sk")?.as_s().ok()?).ok()?,
        answer: answer(item),
        lease_until: OffsetDateTime::from_unix_timestamp_nanos(lease_until * 1_000_000).ok()?,
    })
}

fn answer(item: &HashMap<String, AttributeValue>) -> Option<Answer> {
    let status = item.get("answer_status")?.as_n().ok()?.parse().ok()?;
    let body = item.get("answer_body")?.as_s().ok()?.clone();
    Some(Answer { status, body })
}

/// An item of the table.
struct Item<'a> {
    ticket: &'a Ticket,
    answer: Option<&'a Answer>,
    expires_at: OffsetDateTime,
}

impl Item<'_> {
    fn attributes(&self) -> HashMap<String, AttributeValue> {
        let (pk, sk) = address(self.ticket.tenant, &self.ticket.key);
        let mut attributes = HashMap::from([
            ("pk".to_owned(), AttributeValue::S(pk)),
            ("sk".to_owned(), AttributeValue::S(sk)),
            (
                "owner_nonce".to_owned(),
                AttributeValue::S(self.ticket.owner.clone()),
            ),
            ("fingerprint".to_owned(), hex(&self.ticket.fingerprint.0)),
            (
                "lease_until".to_owned(),
                number(milliseconds(self.ticket.lease_until)),
            ),
            ("expires_at".to_owned(), number(self.expires_at.unix_timestamp())),
        ]);
        if let Some(answer) = self.answer {
            attributes.insert("answer_status".to_owned(), number(answer.status.into()));
            attributes.insert("answer_body".to_owned(), AttributeValue::S(answer.body.clone()));
        }
        attributes
    }
}

/// What the item that stands in the way means.
fn read(held: &HashMap<String, AttributeValue>, ticket: Ticket, now: OffsetDateTime) -> Claim {
    let text = |name| held.get(name).and_then(|value| value.as_s().ok());
    let count = |name| {
        held.get(name)
            .and_then(|value| value.as_n().ok()?.parse::<i64>().ok())
    };
    if text("owner_nonce") == Some(&ticket.owner) {
        return Claim::Mine(ticket);
    }
    if held.get("fingerprint") != Some(&hex(&ticket.fingerprint.0)) {
        return Claim::Mismatch;
    }
    if let Some(answer) = answer(held) {
        return Claim::Complete(answer);
    }
    let left = count("lease_until").unwrap_or_default() - milliseconds(now);
    Claim::InFlight {
        retry_after: Duration::from_millis(left.max(0).unsigned_abs()),
    }
}

/// The item that made a put's condition fail.
fn held(error: &SdkError<PutItemError>) -> Option<&HashMap<String, AttributeValue>> {
    match error.as_service_error()? {
        PutItemError::ConditionalCheckFailedException(failed) => failed.item(),
        _ => None,
    }
}

fn unavailable<E>(error: &SdkError<E>) -> GateUnavailable
where
    SdkError<E>: std::error::Error,
{
    GateUnavailable(DisplayErrorContext(error).to_string())
}

/// Where a key's item is.
fn address(tenant: TenantId, key: &IdempotencyKey) -> (String, String) {
    let shard = Sha256::digest(key.as_str())[0] % SHARDS;
    (format!("{tenant}#{shard:02}"), key.as_str().to_owned())
}

fn number(value: i64) -> AttributeValue {
    AttributeValue::N(value.to_string())
}

fn hex(bytes: &[u8]) -> AttributeValue {
    AttributeValue::S(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

fn milliseconds(at: OffsetDateTime) -> i64 {
    // Fits for the next 292 million years.
    (at.unix_timestamp_nanos() / 1_000_000) as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ticket(owner: &str, at: OffsetDateTime) -> Ticket {
        Ticket {
            tenant: TenantId(Uuid::nil()),
            key: IdempotencyKey::new("k").unwrap(),
            fingerprint: Fingerprint::of("POST", "/v1/charges", b"{}"),
            owner: owner.to_owned(),
            lease_until: at + Duration::from_secs(15),
        }
    }

    #[test]
    fn the_own_put_come_back_as_a_failed_condition_is_no_rival() {
        let now = OffsetDateTime::UNIX_EPOCH;
        let mine = ticket("a", now);
        let item = |ticket| {
            Item {
                ticket,
                answer: None,
                expires_at: now,
            }
            .attributes()
        };
        assert_eq!(read(&item(&mine), mine.clone(), now), Claim::Mine(mine.clone()));
        let later = now + Duration::from_secs(5);
        let rival = read(&item(&mine), ticket("b", later), later);
        assert_eq!(
            rival,
            Claim::InFlight {
                retry_after: Duration::from_secs(10)
            }
        );
    }

    #[test]
    fn another_request_under_the_key_is_told_even_when_the_first_is_answered() {
        let now = OffsetDateTime::UNIX_EPOCH;
        let first = ticket("a", now);
        let answer = Answer {
            status: 201,
            body: "{}".to_owned(),
        };
        let item = Item {
            ticket: &first,
            answer: Some(&answer),
            expires_at: now,
        }
        .attributes();
        assert_eq!(read(&item, ticket("b", now), now), Claim::Complete(answer));
        let mut other = ticket("b", now);
        other.fingerprint = Fingerprint::of("POST", "/v1/charges", b"{\"amount\":2}");
        assert_eq!(read(&item, other, now), Claim::Mismatch);
    }

    #[test]
    fn keys_spread_over_shards_that_never_move() {
        let shard = |key: &str| address(TenantId(Uuid::nil()), &IdempotencyKey::new(key).unwrap()).0;
        assert_eq!(shard("key-1"), "00000000-0000-0000-0000-000000000000#14");
        let shards: std::collections::BTreeSet<_> = (0..200).map(|n| shard(&format!("key-{n}"))).collect();
        assert_eq!(shards.len(), usize::from(SHARDS));
    }
}
