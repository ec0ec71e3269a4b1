//! The idempotency gate: of all processes that hear a request, at any gateway, one goes on with it.
//!
//! An item of a DynamoDB table for each key, in a fixed number of shards a tenant. Whoever puts the item owns the request
//! until the lease ends; the answer is put there before the client is told. The table is replicated synchronously to a second
//! Region (a global table with multi-Region strong consistency), and the item holds the request itself: so the intent and the
//! answer outlive the Region, and a ledger that lost the tail of its log has both again from here ([`window`](self)). Apart
//! from that all of it is a cache: the ledger keeps every request that it accepted and the answer for good, and whoever gets past
//! the gate asks the ledger first. A refusal wrote nothing there; it is remembered as long as its item.
//!
//! | state of the item | a request finds | and |
//! |---|---|---|
//! | none, or expired | nothing | claims it |
//! | claimed, lease running | a rival | is told when to come back |
//! | claimed, lease over | a holder that died | takes the claim over; the ledger says how far it came |
//! | complete | the answer | gives it again |
//! | complete, under an earlier writer epoch | an answer that the ledger may have lost | has the ledger restore it first |
//!
//! A claim carries its owner's nonce. The SDK may retry a put that was applied and lost its answer: the condition then fails on
//! the caller's own item, and the nonce says so. Expiry is compared in conditions: DynamoDB deletes expired items late.
//!
//! Every item has the writer epoch under which it was last written, and none is written under an earlier one: a process that
//! has been replaced completes nothing that its successors have looked at.

mod compare;
mod item;
mod table;
mod window;

use std::{collections::HashMap, time::Duration};

use aws_sdk_dynamodb::{
    Client,
    error::{DisplayErrorContext, SdkError},
    types::{AttributeValue, ConsumedCapacity, ReturnConsumedCapacity, ReturnValuesOnConditionCheckFailure},
};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    id::{Fingerprint, IdempotencyKey, TenantId},
    ledger::{Answer, Mutation},
    metrics::Metrics,
    variant::{Variant, as_written},
};

pub use compare::{Entry, PageStart};
pub(crate) use item::milliseconds;
use item::{Item, address, held, number, read};

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

/// What a client asks for, and as whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// Who asks.
    pub tenant: TenantId,
    /// The client's name for the request.
    pub key: IdempotencyKey,
    /// What is asked for, to tell one request from another under the same key.
    pub fingerprint: Fingerprint,
    /// What is asked for.
    pub mutation: Mutation,
}

/// What a request finds at the gate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claim {
    /// It goes on, and answers for the key until the lease ends.
    Mine(Ticket),
    /// It was answered before.
    Complete(Answer),
    /// It was answered under an earlier writer epoch: the ledger may have lost it since.
    Doubtful(Kept),
    /// An earlier attempt is under way.
    InFlight {
        /// When its lease ends, at the latest.
        retry_after: Duration,
        /// The same by the clock of whoever made the claim.
        lease_until: OffsetDateTime,
    },
    /// The key belongs to another request.
    Mismatch,
    /// It was written under a later writer epoch: whoever asks has been replaced.
    Superseded,
}

/// The right to go on with a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ticket {
    pub(crate) call: Call,
    owner: String,
    /// The writer epoch under which it goes on.
    epoch: i64,
    /// When it was first asked for.
    asked_at: OffsetDateTime,
    /// Until when.
    pub lease_until: OffsetDateTime,
}

/// A request as the gate keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// The request.
    pub call: Call,
    /// When it was first asked for.
    pub asked_at: OffsetDateTime,
    /// Its answer, if it has one: its client may have been told.
    pub answer: Option<Answer>,
    owner: String,
    /// Under which it was last written.
    epoch: i64,
}

impl Kept {
    /// The right to complete it under a later epoch.
    pub fn ticket(&self, epoch: i64) -> Ticket {
        Ticket {
            call: self.call.clone(),
            owner: self.owner.clone(),
            epoch,
            asked_at: self.asked_at,
            lease_until: self.asked_at,
        }
    }
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

    /// Asks to go on with a request under a writer epoch.
    ///
    /// # Errors
    /// When DynamoDB does not answer. A claim that was made all the same ends with its lease.
    pub async fn claim(
        &self,
        call: &Call,
        epoch: i64,
        now: OffsetDateTime,
    ) -> Result<Claim, GateUnavailable> {
        let ticket = Ticket {
            call: call.clone(),
            owner: Uuid::new_v4().simple().to_string(),
            epoch,
            asked_at: now,
            lease_until: now + self.config.lease,
        };
        let item = Item {
            ticket: &ticket,
            answer: None,
            expires_at: now + self.config.retention,
            changed_at: now,
        };
        if as_written(Variant::CheckThenAct) {
            return self.check_then_act(&item, now).await;
        }
        let mut update = self
            .client
            .update_item()
            .table_name(&self.config.table)
            .condition_expression(
                "attribute_not_exists(pk) OR (epoch <= :epoch AND (expires_at < :now_s OR \
                 (attribute_not_exists(answer_status) AND lease_until < :changed_at AND fingerprint = :fingerprint)))",
            )
            .expression_attribute_values(":now_s", number(now.unix_timestamp()))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .return_consumed_capacity(ReturnConsumedCapacity::Total);
        let mut set = "SET asked_at = if_not_exists(asked_at, :asked_at)".to_owned();
        let (keys, attributes): (Vec<_>, Vec<_>) = item
            .attributes()
            .into_iter()
            .partition(|(name, _)| ["pk", "sk"].contains(&name.as_str()));
        for (name, value) in keys {
            update = update.key(name, value);
        }
        for (name, value) in attributes {
            if name != "asked_at" {
                set.push_str(&format!(", {name} = :{name}"));
            }
            update = update.expression_attribute_values(format!(":{name}"), value);
        }
        set.push_str(" REMOVE answer_status, answer_body");
        match update.update_expression(set).send().await {
            Ok(claimed) => {
                self.count("write", claimed.consumed_capacity());
                Ok(Claim::Mine(ticket))
            }
            Err(error) => match held(&error) {
                Some(held) => Ok(read(held, ticket, now)),
                None => Err(unavailable(&error)),
            },
        }
    }

    /// Looks the key up, and then puts what may by now be no longer true.
    async fn check_then_act(&self, item: &Item<'_>, now: OffsetDateTime) -> Result<Claim, GateUnavailable> {
        let (ticket, table) = (item.ticket.clone(), &self.config.table);
        let mut get = self.client.get_item().table_name(table).consistent_read(true);
        for (name, value) in item.attributes() {
            if ["pk", "sk"].contains(&name.as_str()) {
                get = get.key(name, value);
            }
        }
        let held = get.send().await.map_err(|error| unavailable(&error))?.item;
        let taken = |held: &HashMap<_, _>| match read(held, ticket.clone(), now) {
            Claim::InFlight { retry_after, .. } if retry_after.is_zero() => None,
            claim => Some(claim),
        };
        if let Some(claim) = held.as_ref().and_then(taken) {
            return Ok(claim);
        }
        let put = self.client.put_item().table_name(table);
        let put = put.set_item(Some(item.attributes())).send().await;
        put.map_err(|error| unavailable(&error))?;
        Ok(Claim::Mine(ticket))
    }

    /// Puts the answer where every retry finds it. The answer is the ledger's and final, so that it does not matter whether
    /// the claim has been taken over meanwhile, or how often it is put.
    ///
    /// # Errors
    /// When DynamoDB does not confirm it, or the item has been looked at under a later epoch. Then the client must not be told.
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
            changed_at: now,
        };
        let put = self
            .client
            .put_item()
            .table_name(&self.config.table)
            .set_item(Some(item.attributes()))
            .condition_expression("epoch <= :epoch")
            .expression_attribute_values(":epoch", number(ticket.epoch))
            .return_consumed_capacity(ReturnConsumedCapacity::Total)
            .send()
            .await;
        let put = put.map_err(|error| unavailable(&error))?;
        self.count("write", put.consumed_capacity());
        Ok(())
    }

    /// Gives the claim back: nothing was done, and the client may try again at once.
    ///
    /// # Errors
    /// When DynamoDB does not confirm it. The lease ends all the same.
    pub async fn release(&self, ticket: &Ticket) -> Result<(), GateUnavailable> {
        let (pk, sk) = address(ticket.call.tenant, &ticket.call.key);
        let delete = self
            .client
            .delete_item()
            .table_name(&self.config.table)
            .key("pk", AttributeValue::S(pk))
            .key("sk", AttributeValue::S(sk))
            .condition_expression(
                "owner_nonce = :owner AND attribute_not_exists(answer_status) AND attribute_not_exists(suspect)",
            )
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

fn unavailable<E>(error: &SdkError<E>) -> GateUnavailable
where
    SdkError<E>: std::error::Error,
{
    GateUnavailable(DisplayErrorContext(error).to_string())
}
