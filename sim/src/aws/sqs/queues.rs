//! The queues of one account in one Region, and what goes between them: dead letters.
//!
//! Nothing here waits or reads a clock: every operation is given the moment at which it happens.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::attributes::{Attributes, RedrivePermission};
use super::entry::{Receive, Received, Sent};
use super::message::Outgoing;
use super::queue::Queue;
use super::{Error, Moment};
use crate::fault::{FaultHandle, Service};
use crate::{Seed, Stream};

/// How long a deleted queue's name, or another purge, is refused.
pub const DELETED_OR_PURGED_WAIT: Duration = Duration::from_secs(60);

/// All queues of an account in a Region.
#[derive(Debug)]
pub struct Queues {
    region: String,
    account: String,
    queues: BTreeMap<String, Queue>,
    deleted: BTreeMap<String, Duration>,
    ids: Stream,
    next_uid: u64,
    touched: BTreeSet<String>,
    faults: FaultHandle,
}

impl Queues {
    /// None yet. The seed decides message ids and the draws of faults.
    pub fn new(region: impl Into<String>, account: impl Into<String>, seed: u64) -> Self {
        let (region, account) = (region.into(), account.into());
        let faults = FaultHandle::new(seed, Service::Sqs, &region);
        let place = format!("sqs/{region}/{account}");
        let mut ids = Seed(seed).stream(&format!("{place}/id"));
        let next_uid = ids.next_u64();
        Self {
            region,
            account,
            queues: BTreeMap::new(),
            deleted: BTreeMap::new(),
            ids,
            next_uid,
            touched: BTreeSet::new(),
            faults,
        }
    }

    /// The ARN of a queue of this name here.
    pub fn arn(&self, name: &str) -> String {
        format!("arn:aws:sqs:{}:{}:{name}", self.region, self.account)
    }

    /// The faults of requests and of deliveries.
    pub fn faults(&self) -> &FaultHandle {
        &self.faults
    }

    /// The account whose queues these are.
    pub fn account(&self) -> &str {
        &self.account
    }

    /// The names of all queues, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.queues.keys().map(String::as_str)
    }

    /// A queue.
    pub fn queue(&self, name: &str) -> Result<&Queue, Error> {
        self.queues.get(name).ok_or(Error::QueueDoesNotExist)
    }

    /// A queue that is about to change.
    fn queue_mut(&mut self, name: &str) -> Result<&mut Queue, Error> {
        let queue = self.queues.get_mut(name).ok_or(Error::QueueDoesNotExist)?;
        self.touched.insert(name.to_owned());
        Ok(queue)
    }

    /// The queues that may have something to deliver now that they did not have when this was last asked.
    pub(super) fn take_touched(&mut self) -> BTreeSet<String> {
        std::mem::take(&mut self.touched)
    }

    /// When the next hidden message of a queue becomes visible, if nothing else happens.
    pub(super) fn next_change(&self, name: &str) -> Option<Duration> {
        self.queues.get(name)?.next_change()
    }

    /// Makes a queue; asking again for the same one is no error.
    pub fn create(
        &mut self,
        name: &str,
        attributes: &BTreeMap<String, String>,
        tags: BTreeMap<String, String>,
        now: Moment,
    ) -> Result<(), Error> {
        let fifo = name.ends_with(".fifo");
        let stem = name.strip_suffix(".fifo").unwrap_or(name);
        let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
        if stem.is_empty() || name.len() > 80 || !stem.bytes().all(plain) {
            return Err(Error::InvalidParameterValue(
                "Can only include alphanumeric characters, hyphens, or underscores. 1 to 80 in length"
                    .to_owned(),
            ));
        }
        match attributes.get("FifoQueue").map(String::as_str) {
            Some("true") if !fifo => {
                return Err(Error::InvalidParameterValue(
                    "The name of a FIFO queue can only include alphanumeric characters, hyphens, or underscores, must \
                     end with .fifo suffix and be 1 to 80 in length."
                        .to_owned(),
                ));
            }
            Some("true") | None if fifo == attributes.contains_key("FifoQueue") => {}
            None => {
                return Err(Error::InvalidParameterValue(
                    "Can only include alphanumeric characters, hyphens, or underscores. 1 to 80 in length"
                        .to_owned(),
                ));
            }
            Some(_) => return Err(Error::InvalidAttributeName("FifoQueue".to_owned())),
        }
        let mut wanted = Attributes {
            fifo,
            ..Attributes::default()
        };
        wanted.set(attributes)?;
        if let Some(queue) = self.queues.get(name) {
            let (have, want) = (queue.attributes.to_map(), wanted.to_map());
            let differs = attributes.keys().find(|key| have.get(*key) != want.get(*key));
            return match differs {
                Some(attribute) => Err(Error::QueueNameExists {
                    attribute: attribute.clone(),
                }),
                None => Ok(()),
            };
        }
        let recently = |at: &Duration| now.elapsed < *at + DELETED_OR_PURGED_WAIT;
        if self.deleted.get(name).is_some_and(recently) {
            return Err(Error::QueueDeletedRecently);
        }
        self.check_redrive(name, &wanted)?;
        self.deleted.remove(name);
        self.next_uid = self.next_uid.wrapping_add(1);
        let mut queue = Queue::new(self.next_uid, wanted, now.wall);
        queue.tags = tags;
        self.queues.insert(name.to_owned(), queue);
        Ok(())
    }

    /// A redrive policy must name a queue of the same kind, here, that lets itself be used.
    fn check_redrive(&self, name: &str, attributes: &Attributes) -> Result<(), Error> {
        let Some(policy) = &attributes.redrive else {
            return Ok(());
        };
        let bad = |why: &str| {
            let text = serde_json::to_string(policy).unwrap_or_default();
            Error::InvalidParameterValue(format!(
                "Value {text} for parameter RedrivePolicy is invalid. Reason: {why}."
            ))
        };
        let target = self.by_arn(&policy.dead_letter_target_arn);
        let target = target.ok_or_else(|| bad("Dead letter target does not exist"))?;
        let target = self.queue(target)?;
        if target.attributes.fifo != attributes.fifo {
            return Err(bad("Dead-letter queue must be same type of queue as the source"));
        }
        let allow = target.attributes.redrive_allow.as_ref();
        let allowed = allow.is_none_or(|allow| match allow.redrive_permission {
            RedrivePermission::AllowAll => true,
            RedrivePermission::DenyAll => false,
            RedrivePermission::ByQueue => allow.source_queue_arns.contains(&self.arn(name)),
        });
        if allowed {
            Ok(())
        } else {
            Err(bad(
                "Queue does not have permission to redrive to the dead letter queue",
            ))
        }
    }

    /// The name of the queue with this ARN, if it is one of these.
    fn by_arn<'a>(&self, arn: &'a str) -> Option<&'a str> {
        let name = arn.rsplit(':').next()?;
        (self.queues.contains_key(name) && self.arn(name) == arn).then_some(name)
    }

    /// Deletes a queue and what is in it.
    pub fn delete_queue(&mut self, name: &str, now: Moment) -> Result<(), Error> {
        self.queues.remove(name).ok_or(Error::QueueDoesNotExist)?;
        self.deleted.insert(name.to_owned(), now.elapsed);
        Ok(())
    }

    /// Sets attributes, all or none.
    pub fn set_attributes(
        &mut self,
        name: &str,
        given: &BTreeMap<String, String>,
        now: Moment,
    ) -> Result<(), Error> {
        let mut attributes = self.queue(name)?.attributes.clone();
        attributes.set(given)?;
        if given.contains_key("RedrivePolicy") {
            self.check_redrive(name, &attributes)?;
        }
        self.queue_mut(name)?.set(attributes, now);
        Ok(())
    }

    /// The attributes asked for, or `All`.
    pub fn attributes(
        &mut self,
        name: &str,
        asked: &[String],
        now: Moment,
    ) -> Result<BTreeMap<String, String>, Error> {
        let arn = self.arn(name);
        let queue = self.queue_mut(name)?;
        queue.advance(now);
        let mut map = queue.attributes.to_map();
        let (visible, in_flight, delayed) = queue.depth();
        map.extend([
            ("QueueArn".to_owned(), arn),
            ("ApproximateNumberOfMessages".to_owned(), visible.to_string()),
            (
                "ApproximateNumberOfMessagesNotVisible".to_owned(),
                in_flight.to_string(),
            ),
            (
                "ApproximateNumberOfMessagesDelayed".to_owned(),
                delayed.to_string(),
            ),
            ("CreatedTimestamp".to_owned(), queue.created.as_secs().to_string()),
            (
                "LastModifiedTimestamp".to_owned(),
                queue.modified.as_secs().to_string(),
            ),
        ]);
        if let Some(unknown) = asked.iter().find(|name| *name != "All" && !known(name)) {
            return Err(Error::InvalidAttributeName(unknown.clone()));
        }
        if !asked.iter().any(|name| name == "All") {
            map.retain(|name, _| asked.contains(name));
        }
        Ok(map)
    }

    /// The queues whose redrive policy names this one.
    pub fn dead_letter_sources(&self, name: &str) -> Result<Vec<&str>, Error> {
        self.queue(name)?;
        let arn = self.arn(name);
        let names_it = |q: &Queue| {
            q.attributes
                .redrive
                .as_ref()
                .is_some_and(|r| r.dead_letter_target_arn == arn)
        };
        Ok(self
            .queues
            .iter()
            .filter(|(_, q)| names_it(q))
            .map(|(n, _)| n.as_str())
            .collect())
    }

    /// The tags of a queue, to read or change.
    pub fn tags(&mut self, name: &str) -> Result<&mut BTreeMap<String, String>, Error> {
        Ok(&mut self.queue_mut(name)?.tags)
    }

    /// Drops all messages of a queue.
    pub fn purge(&mut self, name: &str, now: Moment) -> Result<(), Error> {
        let queue = self.queue_mut(name)?;
        if queue
            .purged
            .is_some_and(|at| now.elapsed < at + DELETED_OR_PURGED_WAIT)
        {
            return Err(Error::PurgeQueueInProgress {
                queue: name.to_owned(),
            });
        }
        queue.purged = Some(now.elapsed);
        queue.purge(now);
        Ok(())
    }

    /// Sends a message.
    pub fn send(&mut self, name: &str, message: Outgoing, now: Moment) -> Result<Sent, Error> {
        self.queue(name)?;
        let id = self.ids.uuid();
        self.queue_mut(name)?.send(message, id, now)
    }

    /// Receives what there is; never waits. `short_poll` says that the caller will not wait either.
    pub fn receive(
        &mut self,
        name: &str,
        ask: &Receive,
        short_poll: bool,
        now: Moment,
    ) -> Result<Vec<Received>, Error> {
        let policy = self.queue(name)?.attributes.redrive.as_ref();
        let target = policy
            .and_then(|p| self.by_arn(&p.dead_letter_target_arn))
            .map(str::to_owned);
        let queue = self.queues.get_mut(name).ok_or(Error::QueueDoesNotExist)?;
        let waiting = !short_poll;
        let (received, dead) = queue.receive(ask, target.is_some(), waiting, &self.faults, now)?;
        let source = self.arn(name);
        if let Some(target) = target.filter(|_| !dead.is_empty()) {
            let queue = self.queue_mut(&target)?;
            for entry in dead {
                queue.take_dead_letter(entry, source.clone(), now);
            }
        }
        Ok(received)
    }

    /// Deletes a received message.
    pub fn delete(&mut self, name: &str, handle: &str, now: Moment) -> Result<(), Error> {
        self.queue_mut(name)?.delete(handle, now)
    }

    /// Changes how long a received message stays in flight, from now.
    pub fn change_visibility(
        &mut self,
        name: &str,
        handle: &str,
        seconds: i64,
        now: Moment,
    ) -> Result<(), Error> {
        let queue = self.queue_mut(name)?;
        let timeout = u64::try_from(seconds).ok().filter(|s| *s <= 43_200).ok_or_else(|| {
            Error::InvalidParameterValue(format!(
                "Value {seconds} for parameter VisibilityTimeout is invalid. Reason: Must be between 0 and 43200."
            ))
        })?;
        queue.change_visibility(handle, Duration::from_secs(timeout), now)
    }
}

fn known(attribute: &str) -> bool {
    const KNOWN: [&str; 22] = [
        "ApproximateNumberOfMessages",
        "ApproximateNumberOfMessagesDelayed",
        "ApproximateNumberOfMessagesNotVisible",
        "ContentBasedDeduplication",
        "CreatedTimestamp",
        "DeduplicationScope",
        "DelaySeconds",
        "FifoQueue",
        "FifoThroughputLimit",
        "KmsDataKeyReusePeriodSeconds",
        "KmsMasterKeyId",
        "LastModifiedTimestamp",
        "MaximumMessageSize",
        "MessageRetentionPeriod",
        "Policy",
        "QueueArn",
        "ReceiveMessageWaitTimeSeconds",
        "RedriveAllowPolicy",
        "RedrivePolicy",
        "SqsManagedSseEnabled",
        "VisibilityTimeout",
        "All",
    ];
    KNOWN.contains(&attribute)
}
