//! A rule's target: which queue, what of the event it gets, how long to try, and where to give up to.
//!
//! Modelled: SQS queues of the same Region, `Input`, `InputPath`, `RetryPolicy`, `DeadLetterConfig`, `SqsParameters`.
//! Refused by name: every other kind of target, `InputTransformer`, roles.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::error::Error;
use super::event::Event;

/// A target as `PutTargets` gives it.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Target {
    /// Its name within the rule.
    pub id: String,
    /// The queue's ARN.
    pub arn: String,
    /// Sent in the event's place.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub input: Option<String>,
    /// The part of the event to send.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub input_path: Option<String>,
    /// Refused: not simulated.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub input_transformer: Option<Value>,
    /// How long to try.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_policy: Option<RetryPolicy>,
    /// Where to give up to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dead_letter_config: Option<DeadLetterConfig>,
    /// The group, for a FIFO queue.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sqs_parameters: Option<SqsParameters>,
    /// Refused: queues take none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role_arn: Option<String>,
}

/// How long a delivery is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct RetryPolicy {
    /// Attempts after the first: 0 to 185.
    pub maximum_retry_attempts: u32,
    /// Seconds since the event came: 60 to 86,400.
    pub maximum_event_age_in_seconds: u64,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            maximum_retry_attempts: 185,
            maximum_event_age_in_seconds: 86_400,
        }
    }
}

impl RetryPolicy {
    /// The most time from the event's arrival to the last attempt.
    pub fn age_max(&self) -> Duration {
        Duration::from_secs(self.maximum_event_age_in_seconds)
    }
}

/// `DeadLetterConfig`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct DeadLetterConfig {
    /// A standard queue of the same Region.
    pub arn: Option<String>,
}

/// `SqsParameters`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct SqsParameters {
    /// The group of each message, in a FIFO queue.
    pub message_group_id: Option<String>,
}

/// The queue's name in an ARN of SQS in this Region and account.
pub fn queue_name(arn: &str, region: &str, account: &str) -> Option<String> {
    let name = arn.strip_prefix(&format!("arn:aws:sqs:{region}:{account}:"))?;
    (!name.is_empty() && !name.contains(':')).then(|| name.to_owned())
}

impl Target {
    /// Refuses what AWS refuses, and what is not simulated.
    ///
    /// # Errors
    /// What is wrong, by name.
    pub fn check(&self, region: &str, account: &str) -> Result<(), Error> {
        let bad = |reason: String| Err(Error::Validation(reason));
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
        if !(1..=64).contains(&self.id.len()) || !self.id.chars().all(plain) {
            return bad(format!(
                "Value '{}' at 'targets.id' failed to satisfy constraint.",
                self.id
            ));
        }
        let Some(name) = queue_name(&self.arn, region, account) else {
            return bad(format!(
                "Provided Arn {} is not simulated: targets are SQS queues of {region}.",
                self.arn
            ));
        };
        let group = self
            .sqs_parameters
            .as_ref()
            .and_then(|p| p.message_group_id.as_ref());
        if name.ends_with(".fifo") != group.is_some() {
            return bad(format!(
                "Parameter(s) MessageGroupId must be specified for target {} if and only if its queue is FIFO.",
                self.id
            ));
        }
        let dead = self
            .dead_letter_config
            .as_ref()
            .and_then(|config| config.arn.as_ref());
        let dead = dead.map(|arn| queue_name(arn, region, account).filter(|name| !name.ends_with(".fifo")));
        if dead == Some(None) {
            return bad("DeadLetterConfig.Arn must name a standard SQS queue of the same Region.".to_owned());
        }
        if self.input_transformer.is_some() {
            return bad("InputTransformer is not simulated.".to_owned());
        }
        if self.role_arn.is_some() {
            return bad(format!("RoleArn is not supported for target {}.", self.arn));
        }
        if self.input.is_some() && self.input_path.is_some() {
            return bad(
                "Only one of Input, InputPath, or InputTransformer must be provided for target.".to_owned(),
            );
        }
        if self
            .input
            .as_ref()
            .is_some_and(|text| serde_json::from_str::<Value>(text).is_err())
        {
            return bad(format!("JSON syntax error in input for target {}", self.id));
        }
        if self.input_path.as_ref().is_some_and(|path| steps(path).is_none()) {
            return bad("Invalid InputPath: only $, .name and [index] are simulated.".to_owned());
        }
        let retry = self.retry_policy.unwrap_or_default();
        if retry.maximum_retry_attempts > 185 || !(60..=86_400).contains(&retry.maximum_event_age_in_seconds)
        {
            return bad("RetryPolicy is out of range: 0 to 185 attempts, 60 to 86400 seconds.".to_owned());
        }
        Ok(())
    }

    /// What the target gets of an event; none if `InputPath` points at nothing, which AWS does not deliver.
    pub fn input(&self, event: &Event) -> Option<String> {
        if let Some(input) = &self.input {
            return Some(input.clone());
        }
        let Some(path) = self.input_path.as_deref().filter(|path| *path != "$") else {
            return Some(event.text.clone());
        };
        let found = steps(path)?
            .into_iter()
            .try_fold(&event.value, |value, step| match step {
                Step::Name(name) => value.get(name),
                Step::Index(index) => value.get(index),
            });
        found.map(Value::to_string)
    }
}

enum Step<'a> {
    Name(&'a str),
    Index(usize),
}

/// `$.detail.items[0]` taken apart.
fn steps(path: &str) -> Option<Vec<Step<'_>>> {
    let mut rest = path.strip_prefix('$')?;
    let mut steps = Vec::new();
    while !rest.is_empty() {
        if let Some(tail) = rest.strip_prefix('.') {
            let end = tail.find(['.', '[']).unwrap_or(tail.len());
            let name = &tail[..end];
            if name.is_empty() || name.contains(['*', '\'', '"', '?', '@']) {
                return None;
            }
            steps.push(Step::Name(name));
            rest = &tail[end..];
        } else {
            let tail = rest.strip_prefix('[')?;
            let (index, tail) = tail.split_once(']')?;
            steps.push(Step::Index(index.parse().ok()?));
            rest = tail;
        }
    }
    Some(steps)
}

#[cfg(test)]
mod tests {
    use super::super::event::Entry;
    use super::*;

    fn event() -> Event {
        let entry = Entry {
            source: Some("s".into()),
            detail_type: Some("t".into()),
            detail: Some(r#"{"items":[{"sku":"a"}]}"#.into()),
            ..Entry::default()
        };
        entry
            .accept("id".into(), "r", "1", Duration::ZERO)
            .expect("event")
    }

    #[test]
    fn a_path_takes_a_part() {
        let input = |path: &str| {
            Target {
                input_path: Some(path.into()),
                ..Target::default()
            }
            .input(&event())
        };
        assert_eq!(input("$.detail.items[0].sku").as_deref(), Some(r#""a""#));
        assert_eq!(input("$.source").as_deref(), Some(r#""s""#));
        assert_eq!(input("$"), Some(event().text));
        assert_eq!(input("$.detail.none"), None);
    }

    #[test]
    fn what_is_not_simulated_is_refused() {
        let good = Target {
            id: "1".into(),
            arn: "arn:aws:sqs:r:1:q".into(),
            ..Target::default()
        };
        assert_eq!(good.check("r", "1"), Ok(()));
        let with = |change: fn(&mut Target)| {
            let mut target = good.clone();
            change(&mut target);
            target.check("r", "1")
        };
        assert!(with(|t| t.arn = "arn:aws:lambda:r:1:function:f".into()).is_err());
        assert!(with(|t| t.arn = "arn:aws:sqs:elsewhere:1:q".into()).is_err());
        assert!(
            with(|t| t.arn = "arn:aws:sqs:r:1:q.fifo".into()).is_err(),
            "no group"
        );
        assert!(with(|t| t.id = "sp ace".into()).is_err());
        assert!(with(|t| t.input_transformer = Some(Value::Null)).is_err());
        assert!(with(|t| t.input_path = Some("$..x".into())).is_err());
        assert!(with(|t| t.input = Some("{".into())).is_err());
        let policy = RetryPolicy {
            maximum_retry_attempts: 186,
            ..RetryPolicy::default()
        };
        assert!(
            Target {
                retry_policy: Some(policy),
                ..good.clone()
            }
            .check("r", "1")
            .is_err()
        );
        let dead = DeadLetterConfig {
            arn: Some("arn:aws:sqs:r:1:d.fifo".into()),
        };
        assert!(
            Target {
                dead_letter_config: Some(dead),
                ..good.clone()
            }
            .check("r", "1")
            .is_err()
        );
    }
}
