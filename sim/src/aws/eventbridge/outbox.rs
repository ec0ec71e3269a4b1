//! Deliveries that are owed to targets: kept until a queue took them, a dead-letter queue did, or all is tried.
//!
//! The outbox is the durable part of EventBridge: a server that is stopped and served again goes on with it.
//! AWS does not say how it spaces its attempts, only "exponential backoff and jitter" within 24 hours and 185 of them:
//! [`Backoff`] is a knob.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;
use serde_json::{Value, json};

use super::target::Target;
use crate::Stream;

/// One event on its way to one target.
#[derive(Debug, Clone)]
pub struct Delivery {
    /// The event's id.
    pub event: String,
    /// The rule's ARN.
    pub rule: String,
    /// The queue's name.
    pub queue: String,
    /// What is sent.
    pub body: String,
    /// When the event came.
    pub since: Duration,
    /// Attempts made.
    pub attempts: u32,
    /// The target as it was when the event came.
    pub target: Target,
}

/// How a failed attempt ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failed {
    /// As in the dead letter's `ERROR_CODE`.
    pub code: String,
    /// As in the dead letter's `ERROR_MESSAGE`.
    pub message: String,
    /// Whether another attempt may succeed. A queue that does not exist, or refuses the message, is not asked again.
    pub retryable: bool,
}

/// What to do after a failed attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Try again after this long.
    Retry(Duration),
    /// Give up, for the reason that a dead letter tells as `EXHAUSTED_RETRY_CONDITION`; none for an error that no retry
    /// would mend.
    GiveUp(Option<&'static str>),
}

/// The spacing of attempts.
#[derive(Debug, Clone, Copy)]
pub struct Backoff {
    /// After the first failure. Default 1 s.
    pub first: Duration,
    /// At most; each failure doubles up to it. Default 10 min.
    pub max: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self {
            first: Duration::from_secs(1),
            max: Duration::from_secs(600),
        }
    }
}

impl Backoff {
    /// After this many attempts: between half the step and the step.
    pub fn after(&self, attempts: u32, jitter: &mut Stream) -> Duration {
        let doubled = self.first.saturating_mul(1 << attempts.saturating_sub(1).min(20));
        let step = doubled.min(self.max);
        jitter.between(step / 2, step)
    }
}

impl Delivery {
    /// Decides after `attempts` have failed, the last as given, at `now`.
    pub fn next(&self, failed: &Failed, now: Duration, backoff: &Backoff, jitter: &mut Stream) -> Next {
        let policy = self.target.retry_policy.unwrap_or_default();
        let wait = backoff.after(self.attempts, jitter);
        if !failed.retryable {
            Next::GiveUp(None)
        } else if self.attempts > policy.maximum_retry_attempts {
            Next::GiveUp(Some("MaximumRetryAttempts"))
        } else if now + wait > self.since + policy.age_max() {
            Next::GiveUp(Some("MaximumEventAgeInSeconds"))
        } else {
            Next::Retry(wait)
        }
    }

    /// The `SendMessage` that delivers it.
    pub fn message(&self, account: &str) -> Value {
        let mut message =
            json!({ "QueueUrl": format!("/{account}/{}", self.queue), "MessageBody": self.body });
        let group = self
            .target
            .sqs_parameters
            .as_ref()
            .and_then(|p| p.message_group_id.as_ref());
        if let Some(group) = group {
            message["MessageGroupId"] = json!(group);
        }
        message
    }

    /// The `SendMessage` that gives it up to the dead-letter queue, if there is one.
    pub fn dead_letter(&self, account: &str, failed: &Failed, condition: Option<&str>) -> Option<Value> {
        let arn = self.target.dead_letter_config.as_ref()?.arn.as_ref()?;
        let name = arn.rsplit(':').next()?;
        let text = |value: &str| json!({ "DataType": "String", "StringValue": value });
        let mut attributes = json!({
            "RULE_ARN": text(&self.rule),
            "TARGET_ARN": text(&self.target.arn),
            "ERROR_CODE": text(&failed.code),
            "ERROR_MESSAGE": text(&failed.message),
            "RETRY_ATTEMPTS": { "DataType": "Number", "StringValue": (self.attempts - 1).to_string() },
        });
        if let Some(condition) = condition {
            attributes["EXHAUSTED_RETRY_CONDITION"] = text(condition);
        }
        Some(json!({
            "QueueUrl": format!("/{account}/{name}"),
            "MessageBody": self.body,
            "MessageAttributes": attributes,
        }))
    }
}

/// What has happened so far, for a judge that knows everything.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Entries accepted.
    pub accepted: u64,
    /// Entries refused, by a fault or for good reason.
    pub refused: u64,
    /// Accepted entries that no rule's target took: lost, as far as anyone can see.
    pub unmatched: u64,
    /// Deliveries begun, second ones included.
    pub owed: u64,
    /// Second deliveries made by the duplicate fault.
    pub duplicated: u64,
    /// Attempts that failed.
    pub failed_attempts: u64,
    /// Deliveries that a queue took.
    pub delivered: u64,
    /// Deliveries that a dead-letter queue took.
    pub dead_lettered: u64,
    /// Deliveries given up, with no dead-letter queue or with one that did not take them.
    pub dropped: u64,
}

/// The deliveries owed.
#[derive(Debug, Default)]
pub struct Outbox {
    owed: BTreeMap<u64, (Delivery, Duration)>,
    next: u64,
    /// Those that no task works on yet.
    new: Vec<u64>,
}

impl Outbox {
    /// Owes a delivery, to be begun after a wait.
    pub fn owe(&mut self, delivery: Delivery, wait: Duration) {
        self.next += 1;
        self.owed.insert(self.next, (delivery, wait));
        self.new.push(self.next);
    }

    /// How many are owed.
    pub fn len(&self) -> usize {
        self.owed.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.owed.is_empty()
    }

    /// Everything owed is to be worked on again: whoever did is gone.
    pub(super) fn resume(&mut self) {
        self.new = self.owed.keys().copied().collect();
    }

    pub(super) fn take_new(&mut self) -> Vec<u64> {
        std::mem::take(&mut self.new)
    }

    pub(super) fn get(&self, number: u64) -> Option<(Delivery, Duration)> {
        self.owed.get(&number).cloned()
    }

    /// Counts an attempt.
    pub(super) fn attempted(&mut self, number: u64) {
        if let Some((delivery, _)) = self.owed.get_mut(&number) {
            delivery.attempts += 1;
        }
    }

    /// It is owed no longer.
    pub(super) fn settle(&mut self, number: u64) {
        self.owed.remove(&number);
    }
}

#[cfg(test)]
mod tests {
    use super::super::target::RetryPolicy;
    use super::*;
    use crate::Seed;

    fn delivery() -> Delivery {
        Delivery {
            event: "e".into(),
            rule: "r".into(),
            queue: "q".into(),
            body: "{}".into(),
            since: Duration::ZERO,
            attempts: 0,
            target: Target {
                arn: "arn:q".into(),
                ..Target::default()
            },
        }
    }

    /// Attempts and the time of the last, against a queue that is never reachable.
    fn exhaust(policy: RetryPolicy) -> (u32, Duration, Option<&'static str>) {
        let mut delivery = delivery();
        delivery.target.retry_policy = Some(policy);
        let failed = Failed {
            code: "X".into(),
            message: String::new(),
            retryable: true,
        };
        let (mut now, mut jitter) = (Duration::ZERO, Seed(1).stream("jitter"));
        loop {
            delivery.attempts += 1;
            match delivery.next(&failed, now, &Backoff::default(), &mut jitter) {
                Next::Retry(wait) => now += wait,
                Next::GiveUp(reason) => return (delivery.attempts, now, reason),
            }
        }
    }

    #[test]
    fn attempts_end_with_the_policy() {
        let (attempts, _, reason) = exhaust(RetryPolicy {
            maximum_retry_attempts: 4,
            ..RetryPolicy::default()
        });
        assert_eq!((attempts, reason), (5, Some("MaximumRetryAttempts")));
        let (attempts, at, reason) = exhaust(RetryPolicy {
            maximum_event_age_in_seconds: 60,
            ..RetryPolicy::default()
        });
        assert!(attempts > 4 && at <= Duration::from_secs(60));
        assert_eq!(reason, Some("MaximumEventAgeInSeconds"));
        let (attempts, at, _) = exhaust(RetryPolicy::default());
        assert!(attempts <= 186 && at <= Duration::from_secs(86_400) && at > Duration::from_secs(70_000));
    }

    #[test]
    fn an_error_that_no_retry_mends_is_given_up_at_once() {
        let failed = Failed {
            code: "X".into(),
            message: String::new(),
            retryable: false,
        };
        let next = delivery().next(
            &failed,
            Duration::ZERO,
            &Backoff::default(),
            &mut Seed(1).stream("j"),
        );
        assert_eq!(next, Next::GiveUp(None));
    }
}
