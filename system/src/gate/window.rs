//! What the gate knows that a ledger may have lost: the requests that were last written under an earlier writer epoch.
//!
//! Read by a strongly consistent scan with a filter, once a promotion: its cost is that of the whole table, not of the window.

use aws_sdk_dynamodb::{error::SdkError, types::AttributeValue};
use time::OffsetDateTime;

use super::{
    Gate, GateUnavailable, Kept,
    item::{address, kept, milliseconds, number},
    unavailable,
};

impl Gate {
    /// The requests that changed at `since` or later and that nobody has looked at under `epoch` yet, the oldest first.
    ///
    /// # Errors
    /// When DynamoDB does not answer.
    pub async fn window(&self, epoch: i64, since: OffsetDateTime) -> Result<Vec<Kept>, GateUnavailable> {
        let pages = self
            .client
            .scan()
            .table_name(&self.config.table)
            .consistent_read(true)
            .filter_expression("(epoch < :epoch AND changed_at >= :since) OR attribute_exists(suspect)")
            .expression_attribute_values(":epoch", number(epoch))
            .expression_attribute_values(":since", number(milliseconds(since)));
        let mut requests = Vec::new();
        let mut from = None;
        loop {
            let page = pages.clone().set_exclusive_start_key(from).send().await;
            let page = page.map_err(|error| unavailable(&error))?;
            requests.extend(page.items().iter().filter_map(kept));
            from = page.last_evaluated_key().cloned();
            if from.is_none() {
                break;
            }
        }
        requests.sort_by(|one, other| {
            let order = |kept: &Kept| (kept.asked_at, kept.call.tenant, kept.call.key.clone());
            order(one).cmp(&order(other))
        });
        Ok(requests)
    }

    /// Takes a request without an answer from whoever had it: under an earlier epoch it cannot be completed any more. Whether
    /// it could be taken: not if it has been answered or claimed anew meanwhile.
    ///
    /// # Errors
    /// When DynamoDB does not answer.
    pub async fn suspect(&self, kept: &Kept, epoch: i64) -> Result<bool, GateUnavailable> {
        let (pk, sk) = address(kept.call.tenant, &kept.call.key);
        let update = self
            .client
            .update_item()
            .table_name(&self.config.table)
            .key("pk", AttributeValue::S(pk))
            .key("sk", AttributeValue::S(sk))
            .update_expression("SET epoch = :epoch, suspect = :yes, lease_until = :at")
            .condition_expression(
                "epoch <= :epoch AND attribute_not_exists(answer_status) AND owner_nonce = :owner",
            )
            .expression_attribute_values(":owner", AttributeValue::S(kept.owner.clone()))
            .expression_attribute_values(":epoch", number(epoch))
            .expression_attribute_values(":at", number(milliseconds(kept.asked_at)))
            .expression_attribute_values(":yes", AttributeValue::Bool(true))
            .send()
            .await;
        match update {
            Ok(_) => Ok(true),
            Err(SdkError::ServiceError(error)) if error.err().is_conditional_check_failed_exception() => {
                Ok(false)
            }
            Err(error) => Err(unavailable(&error)),
        }
    }

    /// Clears a request that turned out to have had no effect. It stays claimed, so that whoever had it before completes
    /// nothing, and can be claimed anew.
    ///
    /// # Errors
    /// When DynamoDB does not answer.
    pub async fn clear(&self, kept: &Kept, epoch: i64) -> Result<(), GateUnavailable> {
        let (pk, sk) = address(kept.call.tenant, &kept.call.key);
        let update = self
            .client
            .update_item()
            .table_name(&self.config.table)
            .key("pk", AttributeValue::S(pk))
            .key("sk", AttributeValue::S(sk))
            .update_expression("REMOVE suspect")
            .condition_expression("epoch = :epoch AND owner_nonce = :owner")
            .expression_attribute_values(":epoch", number(epoch))
            .expression_attribute_values(":owner", AttributeValue::S(kept.owner.clone()))
            .send()
            .await;
        match update {
            Err(SdkError::ServiceError(error)) if error.err().is_conditional_check_failed_exception() => {
                Ok(())
            }
            other => other.map(|_| ()).map_err(|error| unavailable(&error)),
        }
    }
}
