//! Where events go: a bus, a rule and a queue for each subscriber, and what each may not lose a dead-letter queue for.

use aws_sdk_eventbridge::{
    error::{DisplayErrorContext, SdkError},
    types::{DeadLetterConfig, Target},
};
use aws_sdk_sqs::types::QueueAttributeName;
use serde_json::json;

use super::{relay::SOURCE, subscriber::Subscriber};

/// Receives after which a message goes to the dead-letter queue. One that waits for its predecessor is received every few
/// seconds: this gives the predecessor some minutes.
const RECEIVES_MAX: u32 = 100;
/// Seconds for which a received message is its consumer's: longer than a group takes.
const VISIBILITY_S: u32 = 30;
/// Seconds for which queues keep messages: the most that SQS allows.
const RETENTION_S: u32 = 14 * 24 * 60 * 60;

/// The names of the bus, the rules and the queues in a Region.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topology {
    /// The event bus.
    pub bus: String,
    /// What the names of rules and queues begin with.
    pub prefix: String,
}

impl Default for Topology {
    fn default() -> Self {
        Self {
            bus: "payments".to_owned(),
            prefix: "payments".to_owned(),
        }
    }
}

/// AWS would not make it.
#[derive(Debug, thiserror::Error)]
#[error("making {what}: {reason}")]
pub struct TopologyError {
    what: String,
    reason: String,
}

fn failed<E>(what: &str) -> impl FnOnce(E) -> TopologyError
where
    E: std::error::Error,
{
    move |error| TopologyError {
        what: what.to_owned(),
        reason: DisplayErrorContext(error).to_string(),
    }
}

struct Queue {
    url: String,
    arn: String,
}

impl Topology {
    /// The name of a subscriber's queue, and of its rule.
    pub fn queue(&self, subscriber: Subscriber) -> String {
        format!("{}-{}", self.prefix, subscriber.name())
    }

    /// The name of its dead-letter queue.
    pub fn dead_letters(&self, subscriber: Subscriber) -> String {
        format!("{}-dead-letters", self.queue(subscriber))
    }

    /// Makes everything that is not there yet.
    ///
    /// # Errors
    /// When AWS refuses. What was made before stays.
    pub async fn create(
        &self,
        events: &aws_sdk_eventbridge::Client,
        queues: &aws_sdk_sqs::Client,
    ) -> Result<(), TopologyError> {
        match events.create_event_bus().name(&self.bus).send().await {
            Ok(_) => {}
            Err(SdkError::ServiceError(error)) if error.err().is_resource_already_exists_exception() => {}
            Err(error) => return Err(failed(&self.bus)(error)),
        }
        for subscriber in Subscriber::ALL {
            self.subscribe(events, queues, subscriber).await?;
        }
        Ok(())
    }

    async fn subscribe(
        &self,
        events: &aws_sdk_eventbridge::Client,
        queues: &aws_sdk_sqs::Client,
        subscriber: Subscriber,
    ) -> Result<(), TopologyError> {
        let name = self.queue(subscriber);
        let letters = queue(queues, &self.dead_letters(subscriber), None).await?;
        let queue = queue(queues, &name, Some(&letters.arn)).await?;
        let pattern = json!({"source": [SOURCE]}).to_string();
        let rule = events
            .put_rule()
            .event_bus_name(&self.bus)
            .name(&name)
            .event_pattern(pattern);
        let rule = rule.send().await.map_err(failed(&name))?;
        for queue in [&queue, &letters] {
            let policy = policy(&queue.arn, rule.rule_arn().unwrap_or_default());
            let set = queues.set_queue_attributes().queue_url(&queue.url);
            let set = set.attributes(QueueAttributeName::Policy, policy);
            set.send().await.map_err(failed(&name))?;
        }
        let letters = DeadLetterConfig::builder().arn(&letters.arn).build();
        let target = Target::builder()
            .id(subscriber.name())
            .arn(&queue.arn)
            .dead_letter_config(letters);
        let target = target.build().map_err(failed(&name))?;
        let put = events
            .put_targets()
            .event_bus_name(&self.bus)
            .rule(&name)
            .targets(target);
        let put = put.send().await.map_err(failed(&name))?;
        match put.failed_entries().first() {
            None => Ok(()),
            Some(entry) => Err(TopologyError {
                what: name,
                reason: entry
                    .error_message()
                    .unwrap_or("the target was refused")
                    .to_owned(),
            }),
        }
    }
}

async fn queue(
    queues: &aws_sdk_sqs::Client,
    name: &str,
    letters: Option<&str>,
) -> Result<Queue, TopologyError> {
    let mut create = queues
        .create_queue()
        .queue_name(name)
        .attributes(QueueAttributeName::VisibilityTimeout, VISIBILITY_S.to_string())
        .attributes(
            QueueAttributeName::MessageRetentionPeriod,
            RETENTION_S.to_string(),
        );
    if let Some(letters) = letters {
        let redrive = json!({"deadLetterTargetArn": letters, "maxReceiveCount": RECEIVES_MAX.to_string()});
        create = create.attributes(QueueAttributeName::RedrivePolicy, redrive.to_string());
    }
    let url = create
        .send()
        .await
        .map_err(failed(name))?
        .queue_url
        .unwrap_or_default();
    let get = queues.get_queue_attributes().queue_url(&url);
    let got = get
        .attribute_names(QueueAttributeName::QueueArn)
        .send()
        .await
        .map_err(failed(name))?;
    let arn = got
        .attributes
        .and_then(|mut attributes| attributes.remove(&QueueAttributeName::QueueArn));
    Ok(Queue {
        url,
        arn: arn.unwrap_or_default(),
    })
}

/// The rule, and nobody else, may send.
fn policy(queue: &str, rule: &str) -> String {
    let statement = json!({
        "Effect": "Allow", "Principal": {"Service": "events.amazonaws.com"}, "Action": "sqs:SendMessage",
        "Resource": queue, "Condition": {"ArnEquals": {"aws:SourceArn": rule}}
    });
    json!({"Version": "2012-10-17", "Statement": [statement]}).to_string()
}
