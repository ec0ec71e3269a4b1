//! An item of the gate's table, and what it means to whoever meets it.

use std::{collections::HashMap, time::Duration};

use aws_sdk_dynamodb::{error::SdkError, operation::update_item::UpdateItemError, types::AttributeValue};
use sha2::{Digest, Sha256};
use time::OffsetDateTime;

use crate::{
    id::{Fingerprint, IdempotencyKey, TenantId},
    ledger::Answer,
    variant::{Variant, as_written},
};

use super::{Call, Claim, Entry, Kept, Ticket};

/// Partitions of a tenant's keys. It never changes: a key that moved could be claimed twice.
const SHARDS: u8 = 16;

/// What is put.
pub(super) struct Item<'a> {
    pub ticket: &'a Ticket,
    pub answer: Option<&'a Answer>,
    pub expires_at: OffsetDateTime,
    pub changed_at: OffsetDateTime,
}

impl Item<'_> {
    pub(super) fn attributes(&self) -> HashMap<String, AttributeValue> {
        let Ticket { call, .. } = self.ticket;
        let (pk, sk) = address(call.tenant, &call.key);
        let text = AttributeValue::S;
        let mut attributes = vec![
            ("pk", text(pk)),
            ("sk", text(sk)),
            ("owner_nonce", text(self.ticket.owner.clone())),
            ("fingerprint", hex(&call.fingerprint.0)),
            (
                "mutation",
                text(serde_json::to_string(&call.mutation).expect("plain data")),
            ),
            ("epoch", number(self.ticket.epoch)),
            ("asked_at", number(milliseconds(self.ticket.asked_at))),
            ("changed_at", number(milliseconds(self.changed_at))),
            ("lease_until", number(milliseconds(self.ticket.lease_until))),
            ("expires_at", number(self.expires_at.unix_timestamp())),
        ];
        if let Some(answer) = self.answer {
            attributes.push(("answer_status", number(answer.status.into())));
            attributes.push(("answer_body", text(answer.body.clone())));
        }
        attributes
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value))
            .collect()
    }
}

/// What the item that stands in the way means.
pub(super) fn read(held: &HashMap<String, AttributeValue>, ticket: Ticket, now: OffsetDateTime) -> Claim {
    if text(held, "owner_nonce") == Some(&ticket.owner) && !as_written(Variant::OwnPutARival) {
        return Claim::Mine(ticket);
    }
    let same = held.get("fingerprint") == Some(&hex(&ticket.call.fingerprint.0));
    if !same && !as_written(Variant::FingerprintIgnored) {
        return Claim::Mismatch;
    }
    let epoch = count(held, "epoch").unwrap_or_default();
    match answer(held) {
        Some(answer) if epoch == ticket.epoch => Claim::Complete(answer),
        Some(answer) if epoch < ticket.epoch => Claim::Doubtful(Kept {
            asked_at: count(held, "asked_at").map_or(now, instant),
            owner: text(held, "owner_nonce").cloned().unwrap_or_default(),
            call: ticket.call,
            answer: Some(answer),
            epoch,
        }),
        _ if epoch > ticket.epoch => Claim::Superseded,
        _ => {
            let lease_until = count(held, "lease_until").unwrap_or_default();
            let left = lease_until - milliseconds(now);
            let left = if as_written(Variant::RetryAfterASecond) {
                1_000
            } else {
                left
            };
            Claim::InFlight {
                retry_after: Duration::from_millis(left.max(0).unsigned_abs()),
                lease_until: instant(lease_until),
            }
        }
    }
}

/// The request that an item of any tenant holds; none of an item that is something else.
pub(super) fn kept(item: &HashMap<String, AttributeValue>) -> Option<Kept> {
    let tenant: TenantId = text(item, "pk")?.split('#').next()?.parse().ok()?;
    let fingerprint = unhex(text(item, "fingerprint")?)?;
    Some(Kept {
        call: Call {
            tenant,
            key: IdempotencyKey::new(text(item, "sk")?.as_str()).ok()?,
            fingerprint: Fingerprint(fingerprint.try_into().ok()?),
            mutation: serde_json::from_str(text(item, "mutation")?).ok()?,
        },
        asked_at: instant(count(item, "asked_at")?),
        answer: answer(item),
        owner: text(item, "owner_nonce")?.clone(),
        epoch: count(item, "epoch")?,
    })
}

fn answer(item: &HashMap<String, AttributeValue>) -> Option<Answer> {
    Some(Answer {
        status: u16::try_from(count(item, "answer_status")?).ok()?,
        body: text(item, "answer_body")?.clone(),
    })
}

fn text<'a>(item: &'a HashMap<String, AttributeValue>, name: &str) -> Option<&'a String> {
    item.get(name)?.as_s().ok()
}

fn count(item: &HashMap<String, AttributeValue>, name: &str) -> Option<i64> {
    item.get(name)?.as_n().ok()?.parse().ok()
}

/// The item that made a claim's condition fail.
pub(super) fn held(error: &SdkError<UpdateItemError>) -> Option<&HashMap<String, AttributeValue>> {
    match error.as_service_error()? {
        UpdateItemError::ConditionalCheckFailedException(failed) => failed.item(),
        _ => None,
    }
}

/// The key that an item is about; none for items of other kinds.
pub(super) fn entry(item: &HashMap<String, AttributeValue>) -> Option<Entry> {
    let (tenant, _) = text(item, "pk")?.split_once('#')?;
    Some(Entry {
        tenant: tenant.parse().ok()?,
        key: IdempotencyKey::new(text(item, "sk")?.as_str()).ok()?,
        answer: answer(item),
        lease_until: instant(count(item, "lease_until")?),
    })
}

/// Where a key's item is.
pub(super) fn address(tenant: TenantId, key: &IdempotencyKey) -> (String, String) {
    let shard = Sha256::digest(key.as_str())[0] % SHARDS;
    (format!("{tenant}#{shard:02}"), key.as_str().to_owned())
}

pub(super) fn number(value: i64) -> AttributeValue {
    AttributeValue::N(value.to_string())
}

pub(super) fn hex(bytes: &[u8]) -> AttributeValue {
    AttributeValue::S(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let pairs = text.as_bytes().chunks(2);
    pairs
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
        .collect()
}

/// As items and telemetry keep an instant: since 1970.
pub(crate) fn milliseconds(at: OffsetDateTime) -> i64 {
    // Fits for the next 292 million years.
    (at.unix_timestamp_nanos() / 1_000_000) as i64
}

fn instant(milliseconds: i64) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(milliseconds) * 1_000_000)
        .unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::Mutation;
    use uuid::Uuid;

    fn call(key: &str) -> Call {
        Call {
            tenant: TenantId(Uuid::nil()),
            key: IdempotencyKey::new(key).unwrap(),
            fingerprint: Fingerprint::of("POST", "/v1/accounts", b"{}"),
            mutation: Mutation::OpenAccount {
                currency: "EUR".parse().unwrap(),
                overdraft_limit: 0,
            },
        }
    }

    fn ticket(owner: &str, at: OffsetDateTime) -> Ticket {
        Ticket {
            call: call("k"),
            owner: owner.to_owned(),
            epoch: 1,
            asked_at: at,
            lease_until: at + Duration::from_secs(15),
        }
    }

    fn item(ticket: &Ticket, answer: Option<&Answer>) -> HashMap<String, AttributeValue> {
        Item {
            ticket,
            answer,
            expires_at: ticket.asked_at,
            changed_at: ticket.asked_at,
        }
        .attributes()
    }

    #[test]
    fn the_own_put_come_back_as_a_failed_condition_is_no_rival() {
        let now = OffsetDateTime::UNIX_EPOCH;
        let mine = ticket("a", now);
        assert_eq!(
            read(&item(&mine, None), mine.clone(), now),
            Claim::Mine(mine.clone())
        );
        let later = now + Duration::from_secs(5);
        let rival = read(&item(&mine, None), ticket("b", later), later);
        let retry_after = Duration::from_secs(10);
        let lease_until = mine.lease_until;
        assert_eq!(
            rival,
            Claim::InFlight {
                retry_after,
                lease_until
            }
        );
    }

    #[test]
    fn a_complete_item_gives_its_answer_to_the_same_request_only() {
        let now = OffsetDateTime::UNIX_EPOCH;
        let answer = Answer {
            status: 201,
            body: "{}".to_owned(),
        };
        let item = item(&ticket("a", now), Some(&answer));
        assert_eq!(read(&item, ticket("b", now), now), Claim::Complete(answer));
        let mut other = ticket("b", now);
        other.call.fingerprint = Fingerprint::of("POST", "/v1/accounts", b"{\"currency\":\"EUR\"}");
        assert_eq!(read(&item, other, now), Claim::Mismatch);
    }

    #[test]
    fn an_answer_of_an_earlier_epoch_is_in_doubt_and_one_of_a_later_epoch_is_not_for_here() {
        let now = OffsetDateTime::UNIX_EPOCH;
        let answer = Answer {
            status: 201,
            body: "{}".to_owned(),
        };
        let item = item(&ticket("a", now), Some(&answer));
        let mut later = ticket("b", now);
        later.epoch = 2;
        match read(&item, later, now) {
            Claim::Doubtful(kept) => assert_eq!(Some(kept), super::kept(&item)),
            other => panic!("{other:?}"),
        }
        let mut earlier = ticket("b", now);
        earlier.epoch = 0;
        assert_eq!(read(&item, earlier, now), Claim::Superseded);
    }

    #[test]
    fn keys_spread_over_shards_that_never_move() {
        let shard = |key: &str| address(TenantId(Uuid::nil()), &IdempotencyKey::new(key).unwrap()).0;
        assert_eq!(shard("key-1"), "00000000-0000-0000-0000-000000000000#14");
        let shards: std::collections::BTreeSet<_> = (0..200).map(|n| shard(&format!("key-{n}"))).collect();
        assert_eq!(shards.len(), usize::from(SHARDS));
    }
}
