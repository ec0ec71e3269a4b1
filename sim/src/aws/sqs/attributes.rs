//! The attributes of a queue: their ranges, their defaults, and which kind of queue has which.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Error;

/// The most a message can be: 1 MiB.
pub const MESSAGE_BYTES_MAX: usize = 1_048_576;

/// What `CreateQueue` and `SetQueueAttributes` set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attributes {
    /// Whether the queue is FIFO.
    pub fifo: bool,
    /// 0 s to 15 min; default 0.
    pub delay: Duration,
    /// 0 s to 12 h; default 30 s.
    pub visibility_timeout: Duration,
    /// 60 s to 14 days; default 4 days.
    pub retention: Duration,
    /// 1 KiB to 1 MiB; default 1 MiB.
    pub message_bytes_max: usize,
    /// 0 to 20 s; default 0.
    pub receive_wait: Duration,
    /// Where messages go that are received too often.
    pub redrive: Option<RedrivePolicy>,
    /// Which queues may name this one in their redrive policy.
    pub redrive_allow: Option<RedriveAllowPolicy>,
    /// FIFO: derive the deduplication id from the body.
    pub content_based_deduplication: bool,
    /// FIFO: deduplicate within a group rather than across the queue.
    pub deduplicate_per_group: bool,
    /// FIFO: `FifoThroughputLimit` is `perMessageGroupId`. Throughput itself is not limited.
    pub throughput_per_group: bool,
    /// Kept and given back; access is not checked.
    pub policy: Option<String>,
    /// Kept and given back.
    pub sse: bool,
}

/// `RedrivePolicy`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RedrivePolicy {
    /// The dead-letter queue, in the same Region and account.
    pub dead_letter_target_arn: String,
    /// How often a message can be received before it moves: 1 to 1,000.
    pub max_receive_count: u32,
}

/// `RedriveAllowPolicy`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RedriveAllowPolicy {
    /// Who may use this queue as a dead-letter queue.
    pub redrive_permission: RedrivePermission,
    /// The queues that may, if `byQueue`; at most ten.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub source_queue_arns: Vec<String>,
}

/// The permission in a [`RedriveAllowPolicy`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum RedrivePermission {
    /// Every queue.
    AllowAll,
    /// No queue.
    DenyAll,
    /// Those listed.
    ByQueue,
}

impl Default for Attributes {
    fn default() -> Self {
        Self {
            fifo: false,
            delay: Duration::ZERO,
            visibility_timeout: Duration::from_secs(30),
            retention: Duration::from_secs(345_600),
            message_bytes_max: MESSAGE_BYTES_MAX,
            receive_wait: Duration::ZERO,
            redrive: None,
            redrive_allow: None,
            content_based_deduplication: false,
            deduplicate_per_group: false,
            throughput_per_group: false,
            policy: None,
            sse: true,
        }
    }
}

fn seconds(name: &str, text: &str, range: std::ops::RangeInclusive<u64>) -> Result<Duration, Error> {
    number(name, text, range).map(Duration::from_secs)
}

fn number(name: &str, text: &str, range: std::ops::RangeInclusive<u64>) -> Result<u64, Error> {
    let value = text.parse().ok().filter(|n| range.contains(n));
    value.ok_or_else(|| Error::InvalidAttributeValue(name.to_owned()))
}

fn boolean(name: &str, text: &str) -> Result<bool, Error> {
    match text.to_ascii_lowercase().as_str() {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err(Error::InvalidAttributeValue(name.to_owned())),
    }
}

fn choice(name: &str, text: &str, no: &str, yes: &str) -> Result<bool, Error> {
    match text {
        _ if text == yes => Ok(true),
        _ if text == no => Ok(false),
        _ => Err(Error::InvalidAttributeValue(name.to_owned())),
    }
}

fn redrive_policy(text: &str) -> Result<Option<RedrivePolicy>, Error> {
    if text.is_empty() {
        return Ok(None);
    }
    let bad = |why: &str| {
        Error::InvalidParameterValue(format!(
            "Value {text} for parameter RedrivePolicy is invalid. Reason: {why}."
        ))
    };
    let json: BTreeMap<String, serde_json::Value> =
        serde_json::from_str(text).map_err(|_| bad("Redrive policy is not a valid JSON map"))?;
    if let Some(other) = json
        .keys()
        .find(|k| *k != "deadLetterTargetArn" && *k != "maxReceiveCount")
    {
        return Err(bad(&format!("Unknown field {other}")));
    }
    let target = json.get("deadLetterTargetArn").and_then(|v| v.as_str());
    let target = target
        .ok_or_else(|| bad("Redrive policy does not contain mandatory attribute: deadLetterTargetArn"))?;
    let count = match json.get("maxReceiveCount") {
        Some(serde_json::Value::Number(n)) => n.as_u64(),
        Some(serde_json::Value::String(s)) => s.parse().ok(),
        Some(_) => None,
        None => {
            return Err(bad(
                "Redrive policy does not contain mandatory attribute: maxReceiveCount",
            ));
        }
    };
    let count = count.filter(|n| (1..=1_000).contains(n));
    let count = count
        .ok_or_else(|| bad("Invalid value for maxReceiveCount: must be between 1 and 1000 both inclusive"))?;
    Ok(Some(RedrivePolicy {
        dead_letter_target_arn: target.to_owned(),
        max_receive_count: count as u32,
    }))
}

fn redrive_allow_policy(text: &str) -> Result<Option<RedriveAllowPolicy>, Error> {
    if text.is_empty() {
        return Ok(None);
    }
    let bad = || Error::InvalidAttributeValue("RedriveAllowPolicy".to_owned());
    let policy: RedriveAllowPolicy = serde_json::from_str(text).map_err(|_| bad())?;
    let by_queue = policy.redrive_permission == RedrivePermission::ByQueue;
    let listed = policy.source_queue_arns.len();
    if (by_queue && !(1..=10).contains(&listed)) || (!by_queue && listed > 0) {
        return Err(bad());
    }
    Ok(Some(policy))
}

impl Attributes {
    /// Applies the given attributes, all or none.
    pub fn set(&mut self, given: &BTreeMap<String, String>) -> Result<(), Error> {
        let mut next = self.clone();
        for (name, text) in given {
            next.set_one(name, text)?;
        }
        if next.throughput_per_group && !next.deduplicate_per_group {
            return Err(Error::InvalidParameterValue(
                "FifoThroughputLimit perMessageGroupId requires DeduplicationScope messageGroup.".to_owned(),
            ));
        }
        *self = next;
        Ok(())
    }

    fn set_one(&mut self, name: &str, text: &str) -> Result<(), Error> {
        match name {
            "DelaySeconds" => self.delay = seconds(name, text, 0..=900)?,
            "VisibilityTimeout" => self.visibility_timeout = seconds(name, text, 0..=43_200)?,
            "MessageRetentionPeriod" => self.retention = seconds(name, text, 60..=1_209_600)?,
            "ReceiveMessageWaitTimeSeconds" => self.receive_wait = seconds(name, text, 0..=20)?,
            "MaximumMessageSize" => {
                self.message_bytes_max = number(name, text, 1_024..=MESSAGE_BYTES_MAX as u64)? as usize;
            }
            "RedrivePolicy" => self.redrive = redrive_policy(text)?,
            "RedriveAllowPolicy" => self.redrive_allow = redrive_allow_policy(text)?,
            "Policy" => self.policy = (!text.is_empty()).then(|| text.to_owned()),
            "SqsManagedSseEnabled" => self.sse = boolean(name, text)?,
            "KmsMasterKeyId" | "KmsDataKeyReusePeriodSeconds" => {
                return Err(Error::UnsupportedOperation(format!("{name} is not simulated.")));
            }
            "FifoQueue" if self.fifo && boolean(name, text)? => {}
            _ if !self.fifo => return Err(Error::InvalidAttributeName(name.to_owned())),
            "ContentBasedDeduplication" => self.content_based_deduplication = boolean(name, text)?,
            "DeduplicationScope" => {
                self.deduplicate_per_group = choice(name, text, "queue", "messageGroup")?;
            }
            "FifoThroughputLimit" => {
                self.throughput_per_group = choice(name, text, "perQueue", "perMessageGroupId")?;
            }
            _ => return Err(Error::InvalidAttributeName(name.to_owned())),
        }
        Ok(())
    }

    /// The attributes as `GetQueueAttributes` spells them.
    pub fn to_map(&self) -> BTreeMap<String, String> {
        let mut map = BTreeMap::new();
        let mut put = |name: &str, value: String| map.insert(name.to_owned(), value);
        put("DelaySeconds", self.delay.as_secs().to_string());
        put("VisibilityTimeout", self.visibility_timeout.as_secs().to_string());
        put("MessageRetentionPeriod", self.retention.as_secs().to_string());
        put("MaximumMessageSize", self.message_bytes_max.to_string());
        put(
            "ReceiveMessageWaitTimeSeconds",
            self.receive_wait.as_secs().to_string(),
        );
        put("SqsManagedSseEnabled", self.sse.to_string());
        if let Some(policy) = self.redrive.as_ref().and_then(|p| serde_json::to_string(p).ok()) {
            put("RedrivePolicy", policy);
        }
        if let Some(policy) = self
            .redrive_allow
            .as_ref()
            .and_then(|p| serde_json::to_string(p).ok())
        {
            put("RedriveAllowPolicy", policy);
        }
        if let Some(policy) = &self.policy {
            put("Policy", policy.clone());
        }
        if self.fifo {
            let pick = |on: bool, yes: &str, no: &str| if on { yes } else { no }.to_owned();
            put("FifoQueue", "true".to_owned());
            put(
                "ContentBasedDeduplication",
                self.content_based_deduplication.to_string(),
            );
            put(
                "DeduplicationScope",
                pick(self.deduplicate_per_group, "messageGroup", "queue"),
            );
            put(
                "FifoThroughputLimit",
                pick(self.throughput_per_group, "perMessageGroupId", "perQueue"),
            );
        }
        map
    }
}
