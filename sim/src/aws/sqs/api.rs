//! The operations of SQS between their JSON and [`Queues`]. Nothing here waits: a long poll is the server's.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::entry::{Receive, Received, Sent};
use super::message::{Attribute, Outgoing, md5_of_attributes, md5_of_body};
use super::queues::Queues;
use super::{Error, Moment};
use crate::aws::wire::{self, parse};

/// Entries of a batch, and messages of one receive, at most.
const BATCH_MAX: usize = 10;
/// The bytes of all messages of a batch together, at most.
const BATCH_BYTES_MAX: usize = 1_048_576;

fn required<T>(value: Option<T>, name: &'static str) -> Result<T, Error> {
    value.ok_or(Error::MissingParameter(name))
}

fn out_of_range(value: i64, name: &str, range: &str) -> Error {
    Error::InvalidParameterValue(format!(
        "Value {value} for parameter {name} is invalid. Reason: Must be {range}, if provided."
    ))
}

/// The parameters of every operation on a queue that have no place of their own below.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Common {
    queue_url: Option<String>,
    queue_name: Option<String>,
    #[serde(rename = "QueueOwnerAWSAccountId")]
    queue_owner: Option<String>,
    queue_name_prefix: Option<String>,
    attributes: BTreeMap<String, String>,
    attribute_names: Vec<String>,
    #[serde(alias = "tags")]
    tags: BTreeMap<String, String>,
    tag_keys: Vec<String>,
    max_results: Option<i64>,
    next_token: Option<String>,
    receipt_handle: Option<String>,
    visibility_timeout: Option<i64>,
    entries: Option<Vec<Value>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct SendParameters {
    message_body: Option<String>,
    delay_seconds: Option<i64>,
    message_attributes: BTreeMap<String, Attribute>,
    message_system_attributes: BTreeMap<String, Attribute>,
    message_group_id: Option<String>,
    message_deduplication_id: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Entry {
    id: Option<String>,
    receipt_handle: Option<String>,
    visibility_timeout: Option<i64>,
}

/// What `ReceiveMessage` asks for.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct ReceiveParameters {
    queue_url: Option<String>,
    attribute_names: Vec<String>,
    message_system_attribute_names: Vec<String>,
    message_attribute_names: Vec<String>,
    max_number_of_messages: Option<i64>,
    visibility_timeout: Option<i64>,
    wait_time_seconds: Option<i64>,
    receive_request_attempt_id: Option<String>,
}

/// A receive, checked and ready to be tried as often as its wait allows.
#[derive(Debug)]
pub(super) struct Poll {
    pub(super) queue: String,
    pub(super) ask: Receive,
    pub(super) wait: Duration,
    system: BTreeSet<String>,
    attributes: Vec<String>,
}

/// The name in a queue URL, whatever the host: the last two parts of its path are the account and the name.
fn queue_name(queues: &Queues, url: Option<&str>) -> Result<String, Error> {
    let url = required(url.filter(|url| !url.is_empty()), "QueueUrl")?;
    let mut parts = url.rsplit('/');
    match (parts.next(), parts.next()) {
        (Some(name), Some(account)) if account == queues.account() => Ok(name.to_owned()),
        _ => Err(Error::QueueDoesNotExist),
    }
}

fn url(base: &str, queues: &Queues, name: &str) -> String {
    format!("{base}/{}/{name}", queues.account())
}

/// Performs any operation but `ReceiveMessage`. `base` is how the client reached us: `http://host:port`.
pub(super) fn perform(
    queues: &mut Queues,
    operation: &str,
    body: Value,
    base: &str,
    now: Moment,
) -> Result<Value, wire::Error> {
    if operation == "SendMessage" {
        return send(queues, body, now);
    }
    let given: Common = parse(body)?;
    match operation {
        "CreateQueue" => {
            let name = required(given.queue_name.as_deref(), "QueueName")?;
            queues.create(name, &given.attributes, given.tags, now)?;
            return Ok(json!({ "QueueUrl": url(base, queues, name) }));
        }
        "GetQueueUrl" => {
            let name = required(given.queue_name.as_deref(), "QueueName")?;
            let elsewhere = given
                .queue_owner
                .as_deref()
                .is_some_and(|owner| owner != queues.account());
            if elsewhere {
                return Err(Error::QueueDoesNotExist.into());
            }
            queues.queue(name)?;
            return Ok(json!({ "QueueUrl": url(base, queues, name) }));
        }
        "ListQueues" => {
            let prefix = given.queue_name_prefix.clone().unwrap_or_default();
            let names = queues
                .names()
                .filter(|name| name.starts_with(&prefix))
                .map(str::to_owned)
                .collect();
            return list(queues, "QueueUrls", names, &given, base);
        }
        _ => {}
    }
    let name = match OPERATIONS.contains(&operation) {
        true => queue_name(queues, given.queue_url.as_deref())?,
        false if REFUSED.contains(&operation) => {
            return Err(Error::UnsupportedOperation(format!("{operation} is not simulated.")).into());
        }
        false => return Err(wire::Error::unknown_operation()),
    };
    match operation {
        "DeleteQueue" => queues.delete_queue(&name, now)?,
        "PurgeQueue" => queues.purge(&name, now)?,
        "SetQueueAttributes" => queues.set_attributes(&name, &given.attributes, now)?,
        "GetQueueAttributes" => {
            let attributes = queues.attributes(&name, &given.attribute_names, now)?;
            return Ok(if attributes.is_empty() {
                json!({})
            } else {
                json!({ "Attributes": attributes })
            });
        }
        "ListDeadLetterSourceQueues" => {
            let names = queues
                .dead_letter_sources(&name)?
                .into_iter()
                .map(str::to_owned)
                .collect();
            return list(queues, "queueUrls", names, &given, base);
        }
        "ListQueueTags" => return Ok(json!({ "Tags": queues.tags(&name)? })),
        "TagQueue" => queues.tags(&name)?.extend(given.tags),
        "UntagQueue" => queues.tags(&name)?.retain(|key, _| !given.tag_keys.contains(key)),
        "DeleteMessage" => {
            let handle = required(given.receipt_handle, "ReceiptHandle")?;
            queues.delete(&name, &handle, now)?;
        }
        "ChangeMessageVisibility" => {
            let handle = required(given.receipt_handle, "ReceiptHandle")?;
            let timeout = required(given.visibility_timeout, "VisibilityTimeout")?;
            queues.change_visibility(&name, &handle, timeout, now)?;
        }
        batch => return perform_batch(queues, &name, batch, given.entries, now),
    }
    Ok(json!({}))
}

/// Operations that name a queue by its URL.
const OPERATIONS: [&str; 13] = [
    "DeleteQueue",
    "PurgeQueue",
    "SetQueueAttributes",
    "GetQueueAttributes",
    "ListDeadLetterSourceQueues",
    "ListQueueTags",
    "TagQueue",
    "UntagQueue",
    "DeleteMessage",
    "ChangeMessageVisibility",
    "SendMessageBatch",
    "DeleteMessageBatch",
    "ChangeMessageVisibilityBatch",
];

/// Operations of AWS that are not simulated.
const REFUSED: [&str; 5] = [
    "AddPermission",
    "RemovePermission",
    "StartMessageMoveTask",
    "CancelMessageMoveTask",
    "ListMessageMoveTasks",
];

fn list(
    queues: &Queues,
    member: &str,
    names: Vec<String>,
    given: &Common,
    base: &str,
) -> Result<Value, wire::Error> {
    let max = match given.max_results {
        None => 1_000,
        Some(max @ 1..=1_000) => max as usize,
        Some(max) => return Err(out_of_range(max, "MaxResults", "between 1 and 1000").into()),
    };
    // The token is the name after which to go on: opaque to the client, and right even if queues came and went.
    let after = given.next_token.clone().unwrap_or_default();
    let mut rest = names.into_iter().filter(|name| *name > after).peekable();
    let page: Vec<String> = rest.by_ref().take(max).collect();
    let mut answer = json!({});
    if !page.is_empty() || member != "QueueUrls" {
        answer[member] = page.iter().map(|name| url(base, queues, name)).collect();
    }
    if rest.peek().is_some() && given.max_results.is_some() {
        answer["NextToken"] = json!(page.last());
    }
    Ok(answer)
}

fn outgoing(given: SendParameters) -> Result<Outgoing, Error> {
    Ok(Outgoing {
        body: required(given.message_body, "MessageBody")?,
        attributes: given.message_attributes,
        system_attributes: given.message_system_attributes,
        delay_seconds: given.delay_seconds,
        group: given.message_group_id,
        deduplication: given.message_deduplication_id,
    })
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct SendResult {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    message_id: String,
    #[serde(rename = "MD5OfMessageBody")]
    md5_of_body: String,
    #[serde(rename = "MD5OfMessageAttributes", skip_serializing_if = "Option::is_none")]
    md5_of_attributes: Option<String>,
    #[serde(
        rename = "MD5OfMessageSystemAttributes",
        skip_serializing_if = "Option::is_none"
    )]
    md5_of_system_attributes: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sequence_number: Option<String>,
}

fn send_one(
    queues: &mut Queues,
    name: &str,
    id: Option<String>,
    message: Outgoing,
    now: Moment,
) -> Result<Value, Error> {
    // Of what was sent now, even if deduplication answers with an earlier message: the client compares.
    let md5_of_body = md5_of_body(&message.body);
    let md5_of_attributes_sent = md5_of_attributes(&message.attributes);
    let md5_of_system_attributes = md5_of_attributes(&message.system_attributes);
    let Sent {
        message_id,
        sequence_number,
    } = queues.send(name, message, now)?;
    Ok(json!(SendResult {
        id,
        message_id,
        md5_of_body,
        md5_of_attributes: md5_of_attributes_sent,
        md5_of_system_attributes,
        sequence_number,
    }))
}

fn send(queues: &mut Queues, body: Value, now: Moment) -> Result<Value, wire::Error> {
    let name = queue_name(queues, body.get("QueueUrl").and_then(Value::as_str))?;
    queues.queue(&name)?;
    let message = outgoing(parse(body)?)?;
    Ok(send_one(queues, &name, None, message, now)?)
}

/// A batch: refused whole for its shape, then entry by entry, each failing alone.
fn perform_batch(
    queues: &mut Queues,
    name: &str,
    operation: &str,
    entries: Option<Vec<Value>>,
    now: Moment,
) -> Result<Value, wire::Error> {
    queues.queue(name)?;
    let kind = match operation {
        "SendMessageBatch" => "SendMessageBatch",
        "DeleteMessageBatch" => "DeleteMessageBatch",
        _ => "ChangeMessageVisibilityBatch",
    };
    let entries = entries.unwrap_or_default();
    if entries.is_empty() {
        return Err(Error::EmptyBatchRequest(kind).into());
    }
    if entries.len() > BATCH_MAX {
        return Err(Error::TooManyEntriesInBatchRequest(entries.len()).into());
    }
    let mut ids = BTreeSet::new();
    let mut parsed = Vec::with_capacity(entries.len());
    let mut bytes = 0;
    for entry in entries {
        let common: Entry = parse(entry.clone())?;
        let id = required(common.id.clone(), "Id")?;
        let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
        if !(1..=80).contains(&id.len()) || !id.bytes().all(plain) {
            return Err(Error::InvalidBatchEntryId.into());
        }
        if !ids.insert(id.clone()) {
            return Err(Error::BatchEntryIdsNotDistinct(id).into());
        }
        let message = match kind {
            "SendMessageBatch" => Some(outgoing(parse(entry)?)?),
            _ => None,
        };
        bytes += message.as_ref().map_or(0, Outgoing::size);
        parsed.push((id, common, message));
    }
    if bytes > BATCH_BYTES_MAX {
        return Err(Error::BatchRequestTooLong {
            limit: BATCH_BYTES_MAX,
            sent: bytes,
        }
        .into());
    }
    let (mut successful, mut failed) = (Vec::new(), Vec::new());
    for (id, entry, message) in parsed {
        let handle = required(entry.receipt_handle, "ReceiptHandle");
        let result = match (message, kind) {
            (Some(message), _) => send_one(queues, name, Some(id.clone()), message, now),
            (None, "DeleteMessageBatch") => handle
                .and_then(|handle| queues.delete(name, &handle, now))
                .map(|()| json!({ "Id": id })),
            (None, _) => handle
                .and_then(|handle| {
                    let timeout = required(entry.visibility_timeout, "VisibilityTimeout")?;
                    queues.change_visibility(name, &handle, timeout, now)
                })
                .map(|()| json!({ "Id": id })),
        };
        match result {
            Ok(result) => successful.push(result),
            Err(error) => failed.push(json!({
                "Id": id,
                "SenderFault": error.sender_fault(),
                "Code": error.code(),
                "Message": error.to_string(),
            })),
        }
    }
    let mut answer = json!({});
    for (member, list) in [("Successful", successful), ("Failed", failed)] {
        if !list.is_empty() {
            answer[member] = Value::Array(list);
        }
    }
    Ok(answer)
}

impl Poll {
    /// Checks a `ReceiveMessage`.
    pub(super) fn new(queues: &Queues, body: Value) -> Result<Self, wire::Error> {
        let given: ReceiveParameters = parse(body)?;
        let name = queue_name(queues, given.queue_url.as_deref())?;
        let queue = queues.queue(&name)?;
        let max = given.max_number_of_messages.unwrap_or(1);
        if !(1..=BATCH_MAX as i64).contains(&max) {
            return Err(out_of_range(max, "MaxNumberOfMessages", "between 1 and 10").into());
        }
        let seconds = |value: Option<i64>, name: &str, most: i64| match value {
            None => Ok(None),
            Some(value) if (0..=most).contains(&value) => Ok(Some(Duration::from_secs(value as u64))),
            Some(value) => Err(out_of_range(value, name, &format!(">= 0 and <= {most}"))),
        };
        let visibility_timeout = seconds(given.visibility_timeout, "VisibilityTimeout", 43_200)?;
        let wait = seconds(given.wait_time_seconds, "WaitTimeSeconds", 20)?;
        if given.receive_request_attempt_id.is_some() && !queue.attributes.fifo {
            return Err(Error::InvalidParameterValue(
                "The request include parameter ReceiveRequestAttemptId which is not valid for this queue type"
                    .to_owned(),
            )
            .into());
        }
        let system: BTreeSet<String> = given
            .attribute_names
            .into_iter()
            .chain(given.message_system_attribute_names)
            .collect();
        if let Some(unknown) = system
            .iter()
            .find(|name| !SYSTEM_ATTRIBUTES.contains(&name.as_str()))
        {
            return Err(Error::InvalidAttributeName(unknown.clone()).into());
        }
        Ok(Self {
            wait: wait.unwrap_or(queue.attributes.receive_wait),
            queue: name,
            ask: Receive {
                messages_max: max as usize,
                visibility_timeout,
                attempt: given.receive_request_attempt_id,
            },
            system,
            attributes: given.message_attribute_names,
        })
    }

    /// The answer with these messages, each with what was asked for of it.
    pub(super) fn answer(&self, received: &[Received]) -> Value {
        if received.is_empty() {
            return json!({});
        }
        let all = self.system.contains("All");
        let messages = received.iter().map(|m| {
            let mut message = json!({
                "MessageId": m.message_id,
                "ReceiptHandle": m.receipt_handle,
                "MD5OfBody": md5_of_body(&m.message.body),
                "Body": m.message.body,
            });
            let system = m
                .system_attributes
                .iter()
                .filter(|(name, _)| all || self.system.contains(**name));
            let system: BTreeMap<_, _> = system.collect();
            if !system.is_empty() {
                message["Attributes"] = json!(system);
            }
            let wanted = m.message.attributes.iter().filter(|(name, _)| self.wants(name));
            let wanted: BTreeMap<_, _> = wanted.collect();
            if let Some(md5) = md5_of_attributes(wanted.iter().map(|(name, value)| (*name, *value))) {
                message["MD5OfMessageAttributes"] = json!(md5);
                message["MessageAttributes"] = json!(wanted);
            }
            message
        });
        json!({ "Messages": messages.collect::<Vec<_>>() })
    }

    fn wants(&self, name: &str) -> bool {
        self.attributes
            .iter()
            .any(|asked| match asked.strip_suffix(".*") {
                Some(prefix) => name.starts_with(prefix),
                None => asked == "All" || asked == name,
            })
    }
}

const SYSTEM_ATTRIBUTES: [&str; 11] = [
    "All",
    "AWSTraceHeader",
    "ApproximateFirstReceiveTimestamp",
    "ApproximateReceiveCount",
    "DeadLetterQueueSourceArn",
    "MessageDeduplicationId",
    "MessageGroupId",
    "SenderId",
    "SentTimestamp",
    "SequenceNumber",
    "SqsManagedSseEnabled",
];
