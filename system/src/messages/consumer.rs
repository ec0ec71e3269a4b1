//! Consumes a subscriber's queue. Any number of consumers may run on it.
//!
//! A message is deleted once its event is in the inbox. One whose predecessor is missing is put back for some seconds: not
//! long, since whatever follows it waits as well. One that is no event, or that the database refuses, is put back until SQS
//! moves it to the dead-letter queue by its receive count.

use std::time::Duration;

use aws_sdk_sqs::{
    Client,
    error::DisplayErrorContext,
    types::{
        ChangeMessageVisibilityBatchRequestEntry, DeleteMessageBatchRequestEntry, Message,
        MessageSystemAttributeName,
    },
};
use sqlx::PgPool;

use crate::{
    backoff::full_jitter,
    clock::now,
    drain::Drain,
    ledger::{Authority, LedgerError},
    metrics::Metrics,
    variant::{Variant, as_written},
};

use super::{
    event::Event,
    inbox::{Taken, take_in},
    subscriber::Subscriber,
    topology::Topology,
};

/// Messages of one call to SQS, at most.
const BATCH_MAX: usize = 10;
/// Longest time for which a message that is no event is put back.
const MALFORMED_MAX: Duration = Duration::from_secs(2);

/// How a consumer works.
#[derive(Clone, Debug)]
pub struct ConsumerConfig {
    /// Where its queue is.
    pub topology: Topology,
    /// How long it waits for messages, in whole seconds up to 20.
    pub wait: Duration,
    /// Messages of one transaction.
    pub group_max: usize,
    /// Longest time for which a message is put back, in whole seconds.
    pub put_back_max: Duration,
}

impl Default for ConsumerConfig {
    fn default() -> Self {
        Self {
            topology: Topology::default(),
            wait: Duration::from_secs(10),
            group_max: 100,
            put_back_max: Duration::from_secs(10),
        }
    }
}

/// A consumer.
#[derive(Clone, Debug)]
pub struct Consumer {
    /// For whom.
    pub subscriber: Subscriber,
    /// Of the role `payments_consumer`.
    pub pool: PgPool,
    /// The Region's SQS. A receive may take as long as `wait`.
    pub queues: Client,
    /// How it works.
    pub config: ConsumerConfig,
    /// What it counts.
    pub metrics: Metrics,
    /// Where another Region writes, it leaves all to that one's.
    pub authority: Authority,
}

impl Consumer {
    /// Consumes until the drain.
    pub async fn run(self, mut drain: Drain) {
        let mut failures = 0;
        let mut queue = None;
        while !drain.begun() {
            if self.authority.epoch().is_err() {
                drain.sleep(Duration::from_secs(1)).await;
                continue;
            }
            match self.round(&mut queue, &mut drain).await {
                Ok(()) => failures = 0,
                Err(reason) => {
                    failures += 1;
                    tracing::warn!(
                        subscriber = self.subscriber.name(),
                        reason,
                        failures,
                        "messages wait"
                    );
                    let pause = full_jitter(Duration::from_millis(200), Duration::from_secs(30), failures);
                    drain.sleep(pause).await;
                }
            }
        }
    }

    /// Takes in what is there, or waits for it.
    async fn round(&self, queue: &mut Option<String>, drain: &mut Drain) -> Result<(), String> {
        let queue = match queue {
            Some(queue) => queue,
            None => queue.insert(self.queue().await?),
        };
        let messages = tokio::select! {
            biased;
            messages = self.receive(queue) => messages?,
            // What is received all the same is visible again soon.
            () = drain.begins() => return Ok(()),
        };
        if messages.is_empty() {
            return Ok(());
        }
        let (messages, events) = self.understood(queue, messages).await?;
        if events.is_empty() {
            return Ok(());
        }
        let taken = self
            .take_in(events.clone())
            .await
            .map_err(|error| error.to_string())?;
        let mut done = Vec::new();
        let mut back = Vec::new();
        for ((message, event), taken) in messages.into_iter().zip(&events).zip(taken) {
            let outcome = match taken {
                Some(Taken::Applied) => "applied",
                Some(Taken::Known) => "known",
                Some(Taken::Gap) => "gap",
                None => "refused",
            };
            self.metrics.consumed(self.subscriber.name(), outcome);
            tracing::debug!(
                payment_id = %event.payment.payment_id, tenant = %event.tenant_id, seq = event.sequence,
                subscriber = self.subscriber.name(), outcome, "consumed"
            );
            let done_with = matches!(taken, Some(Taken::Applied | Taken::Known));
            if done_with || as_written(Variant::GapThrownAway) {
                done.push(message);
            } else {
                back.push(message);
            }
        }
        self.delete(queue, done).await?;
        self.put_back(queue, back, self.config.put_back_max).await
    }

    /// The queue's URL.
    async fn queue(&self) -> Result<String, String> {
        let name = self.config.topology.queue(self.subscriber);
        let found = self.queues.get_queue_url().queue_name(&name).send().await;
        let found = found.map_err(|error| DisplayErrorContext(error).to_string())?;
        found
            .queue_url
            .ok_or_else(|| format!("the queue {name} has no URL"))
    }

    /// Waits for messages, and takes up to a group of them if there are many.
    async fn receive(&self, queue: &str) -> Result<Vec<Message>, String> {
        let mut messages = Vec::new();
        let mut wait = self.config.wait.as_secs();
        loop {
            let receive = self
                .queues
                .receive_message()
                .queue_url(queue)
                .max_number_of_messages(BATCH_MAX as i32)
                .message_system_attribute_names(MessageSystemAttributeName::ApproximateReceiveCount)
                .wait_time_seconds(wait.min(20) as i32);
            let received = match receive.send().await {
                Ok(received) => received.messages.unwrap_or_default(),
                // What came before is not thrown away.
                Err(_) if !messages.is_empty() => Vec::new(),
                Err(error) => return Err(DisplayErrorContext(error).to_string()),
            };
            let full = received.len() == BATCH_MAX;
            messages.extend(received);
            if !full || messages.len() + BATCH_MAX > self.config.group_max {
                return Ok(messages);
            }
            wait = 0;
        }
    }

    /// The messages that hold an event, and their events. The others are put back, on their way to the dead-letter queue.
    async fn understood(
        &self,
        queue: &str,
        messages: Vec<Message>,
    ) -> Result<(Vec<Message>, Vec<Event>), String> {
        let (mut good, mut events, mut bad) = (Vec::new(), Vec::new(), Vec::new());
        for message in messages {
            match Event::parse(message.body().unwrap_or_default()) {
                Ok(event) => {
                    good.push(message);
                    events.push(event);
                }
                Err(error) => {
                    let (subscriber, message_id) = (self.subscriber.name(), message.message_id());
                    tracing::warn!(subscriber, message_id, %error, "a poison message");
                    self.metrics.consumed(subscriber, "malformed");
                    bad.push(message);
                }
            }
        }
        // Time does not make it better: the dead-letter queue, soon.
        self.put_back(queue, bad, MALFORMED_MAX).await?;
        Ok((good, events))
    }

    /// Takes events in, one by one if the database refuses them together; none stands for one that it refuses alone.
    async fn take_in(&self, events: Vec<Event>) -> Result<Vec<Option<Taken>>, LedgerError> {
        let together = take_in(&self.pool, self.subscriber, events.clone(), now()).await;
        if !matches!(together, Err(LedgerError::Rejected(_))) {
            return Ok(together?.into_iter().map(Some).collect());
        }
        let mut taken = Vec::with_capacity(events.len());
        for event in events {
            let (payment_id, tenant, seq) = (event.payment.payment_id, event.tenant_id, event.sequence);
            match take_in(&self.pool, self.subscriber, vec![event], now()).await {
                Ok(one) => taken.extend(one.into_iter().map(Some)),
                Err(LedgerError::Rejected(reason)) => {
                    let subscriber = self.subscriber.name();
                    tracing::warn!(subscriber, %payment_id, %tenant, seq, reason, "an event without an effect");
                    taken.push(None);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(taken)
    }

    async fn delete(&self, queue: &str, messages: Vec<Message>) -> Result<(), String> {
        for batch in messages.chunks(BATCH_MAX) {
            let entries = batch.iter().zip(0..).filter_map(|(message, number): (_, u8)| {
                let entry = DeleteMessageBatchRequestEntry::builder().id(number.to_string());
                entry.receipt_handle(message.receipt_handle()?).build().ok()
            });
            let entries = Some(entries.collect());
            let deleted = self
                .queues
                .delete_message_batch()
                .queue_url(queue)
                .set_entries(entries);
            // One that is not deleted comes again, and is known.
            deleted
                .send()
                .await
                .map_err(|error| DisplayErrorContext(error).to_string())?;
        }
        Ok(())
    }

    async fn put_back(&self, queue: &str, messages: Vec<Message>, max: Duration) -> Result<(), String> {
        for batch in messages.chunks(BATCH_MAX) {
            let entries = batch.iter().zip(0..).filter_map(|(message, number): (_, u8)| {
                let received = message.attributes().and_then(|attributes| {
                    attributes
                        .get(&MessageSystemAttributeName::ApproximateReceiveCount)?
                        .parse()
                        .ok()
                });
                let pause = full_jitter(Duration::from_secs(1), max, received.unwrap_or(1));
                let entry = ChangeMessageVisibilityBatchRequestEntry::builder().id(number.to_string());
                let entry = entry.visibility_timeout(pause.as_secs() as i32);
                entry.receipt_handle(message.receipt_handle()?).build().ok()
            });
            let entries = Some(entries.collect());
            let changed = self
                .queues
                .change_message_visibility_batch()
                .queue_url(queue)
                .set_entries(entries);
            changed
                .send()
                .await
                .map_err(|error| DisplayErrorContext(error).to_string())?;
        }
        Ok(())
    }
}
