//! EventBridge through the official SDK with its default retries, delivering over the network to the simulated SQS.

use std::net::SocketAddr;
use std::time::Duration;

use aws_sdk_eventbridge::types::{
    DeadLetterConfig, PutEventsRequestEntry, RetryPolicy, RuleState, SqsParameters, Target,
};
use aws_sdk_sqs::types::QueueAttributeName;
use serde_json::Value;
use sumzero_sim::aws::eventbridge::outbox::Backoff;
use sumzero_sim::aws::eventbridge::{EventBridge, Options};
use sumzero_sim::aws::sqs::{self, Sqs};
use sumzero_sim::fault::{self, Outage, ServiceFault};

use crate::clients::{self, REGION, code};
use crate::stage::{Stage, Trouble, in_both_places};

in_both_places!(one_region =>
    a_queue_that_is_cut_off_gets_its_events_late_but_gets_them,
    an_entry_failure_is_not_retried_by_the_sdk,
    an_event_reaches_the_queues_whose_rules_match,
    an_outage_of_the_target_delays_and_does_not_lose,
    buses_and_rules_are_kept,
    delivery_is_at_least_once,
    entries_fail_one_by_one,
    what_cannot_be_delivered_becomes_a_dead_letter,
    what_is_owed_outlives_the_server,
);

/// An EventBridge with its SQS, and where they are.
#[derive(Clone)]
struct Endpoints {
    sqs: Sqs,
    events: EventBridge,
    queues: SocketAddr,
    buses: SocketAddr,
    trouble: Trouble,
}

/// The same with clients.
struct Place {
    sqs: Sqs,
    events: EventBridge,
    trouble: Trouble,
    queues: aws_sdk_sqs::Client,
    buses: aws_sdk_eventbridge::Client,
}

fn one_region(stage: &mut Stage) -> Endpoints {
    let queues = stage.reserve(REGION, "sqs", 1)[0];
    let buses = stage.reserve(REGION, "eventbridge", 1)[0];
    let sqs = Sqs::new(sqs::Options::new(REGION));
    let options = Options {
        backoff: Backoff {
            first: Duration::from_millis(50),
            max: Duration::from_millis(200),
        },
        ..Options::new(REGION, stage.way("eventbridge", "sqs", queues))
    };
    let events = EventBridge::new(options);
    let (served_queues, served_buses) = (sqs.clone(), events.clone());
    stage.serve("sqs", move |mut listeners| {
        served_queues.clone().serve(listeners.remove(0))
    });
    stage.serve("eventbridge", move |mut listeners| {
        served_buses.clone().serve(listeners.remove(0))
    });
    Endpoints {
        sqs,
        events,
        queues,
        buses,
        trouble: stage.trouble(),
    }
}

impl Endpoints {
    fn place(self) -> Place {
        Place {
            sqs: self.sqs,
            events: self.events,
            trouble: self.trouble,
            queues: clients::sqs(self.queues),
            buses: clients::eventbridge(self.buses),
        }
    }
}

impl Place {
    /// Makes a queue; gives its URL and ARN.
    async fn queue(&self, name: &str) -> (String, String) {
        let mut create = self.queues.create_queue().queue_name(name);
        if name.ends_with(".fifo") {
            create = create
                .attributes(QueueAttributeName::FifoQueue, "true")
                .attributes(QueueAttributeName::ContentBasedDeduplication, "true");
        }
        let url = create.send().await.unwrap().queue_url.unwrap();
        (url, format!("arn:aws:sqs:{REGION}:000000000000:{name}"))
    }

    async fn rule(&self, name: &str, pattern: &str, target: Target) {
        self.buses
            .put_rule()
            .name(name)
            .event_pattern(pattern)
            .send()
            .await
            .unwrap();
        let put = self
            .buses
            .put_targets()
            .rule(name)
            .targets(target)
            .send()
            .await
            .unwrap();
        assert_eq!(put.failed_entry_count(), 0);
    }

    async fn put(&self, detail: &str) -> Option<String> {
        let put = self
            .buses
            .put_events()
            .entries(entry(detail))
            .send()
            .await
            .unwrap();
        put.entries()[0].event_id().map(str::to_owned)
    }

    /// Receives and deletes one message within 10 s.
    async fn take(&self, url: &str) -> Option<aws_sdk_sqs::types::Message> {
        let receive = self
            .queues
            .receive_message()
            .queue_url(url)
            .message_attribute_names("All");
        let message = receive
            .wait_time_seconds(10)
            .send()
            .await
            .unwrap()
            .messages?
            .remove(0);
        let handle = message.receipt_handle().unwrap();
        self.queues
            .delete_message()
            .queue_url(url)
            .receipt_handle(handle)
            .send()
            .await
            .unwrap();
        Some(message)
    }
}

fn entry(detail: &str) -> PutEventsRequestEntry {
    PutEventsRequestEntry::builder()
        .source("shop")
        .detail_type("Paid")
        .detail(detail)
        .build()
}

fn target(arn: &str) -> aws_sdk_eventbridge::types::builders::TargetBuilder {
    Target::builder().id("queue").arn(arn)
}

async fn an_event_reaches_the_queues_whose_rules_match(endpoints: Endpoints) {
    let place = &endpoints.place();
    let (url, arn) = place.queue("matched").await;
    let (other, other_arn) = place.queue("unmatched").await;
    let pattern = r#"{"source":["shop"],"detail":{"amount":[{"numeric":[">",100]}]}}"#;
    place.rule("large", pattern, target(&arn).build().unwrap()).await;
    place
        .rule(
            "small",
            r#"{"detail":{"amount":[1]}}"#,
            target(&other_arn).build().unwrap(),
        )
        .await;
    let id = place.put(r#"{"amount":250}"#).await.unwrap();
    let message = place.take(&url).await.unwrap();
    let event: Value = serde_json::from_str(message.body().unwrap()).unwrap();
    assert_eq!(event["id"], Value::from(id));
    assert_eq!(event["detail"]["amount"], 250);
    assert_eq!(event["detail-type"], "Paid");
    assert_eq!(event["region"], REGION);
    place.buses.disable_rule().name("large").send().await.unwrap();
    place.put(r#"{"amount":251}"#).await.unwrap();
    place.put(r#"{"amount":1}"#).await.unwrap();
    assert!(
        place
            .take(&other)
            .await
            .unwrap()
            .body()
            .unwrap()
            .contains(r#""amount":1"#)
    );
    let rule = place.buses.describe_rule().name("large").send().await.unwrap();
    assert_eq!(
        (rule.state(), rule.event_pattern()),
        (Some(&RuleState::Disabled), Some(pattern))
    );
    let received = place
        .queues
        .receive_message()
        .queue_url(&url)
        .send()
        .await
        .unwrap();
    assert_eq!(received.messages().len(), 0, "the rule was off");
}

async fn entries_fail_one_by_one(endpoints: Endpoints) {
    let place = &endpoints.place();
    let bad = PutEventsRequestEntry::builder().source("shop").detail_type("t");
    let put = place
        .buses
        .put_events()
        .entries(entry(r#"{"n":1}"#))
        .entries(bad.clone().build())
        .entries(bad.clone().detail("{").build())
        .entries(bad.source("aws.ec2").detail("{}").build())
        .send()
        .await
        .unwrap();
    assert_eq!(put.failed_entry_count(), 3);
    let codes: Vec<_> = put.entries().iter().map(|e| e.error_code()).collect();
    assert_eq!(
        codes,
        [
            None,
            Some("InvalidArgument"),
            Some("MalformedDetail"),
            Some("NotAuthorizedForSource")
        ]
    );
    assert!(put.entries()[0].event_id().is_some());
    let eleven = (0..11).map(|_| entry("{}")).collect();
    let refused = place
        .buses
        .put_events()
        .set_entries(Some(eleven))
        .send()
        .await
        .unwrap_err();
    assert_eq!(code(&refused), "ValidationException");
    let large = entry(&format!(r#"{{"x":"{}"}}"#, "x".repeat(600_000)));
    let refused = place
        .buses
        .put_events()
        .entries(large.clone())
        .entries(large)
        .send()
        .await
        .unwrap_err();
    assert_eq!(code(&refused), "ValidationException");
    // As in AWS: accepted, and lost.
    let nowhere = PutEventsRequestEntry::builder()
        .source("s")
        .detail_type("t")
        .detail("{}")
        .event_bus_name("none");
    let put = place
        .buses
        .put_events()
        .entries(nowhere.build())
        .send()
        .await
        .unwrap();
    assert_eq!(put.failed_entry_count(), 0);
}

async fn buses_and_rules_are_kept(endpoints: Endpoints) {
    let place = &endpoints.place();
    let buses = &place.buses;
    let (url, arn) = place.queue("orders.fifo").await;
    let bus = buses
        .create_event_bus()
        .name("orders")
        .send()
        .await
        .unwrap()
        .event_bus_arn
        .unwrap();
    let twice = buses.create_event_bus().name("orders").send().await.unwrap_err();
    assert!(
        twice
            .as_service_error()
            .unwrap()
            .is_resource_already_exists_exception()
    );
    let rule = buses
        .put_rule()
        .name("all")
        .event_bus_name(&bus)
        .event_pattern(r#"{"source":[{"prefix":"s"}]}"#);
    assert!(
        rule.send()
            .await
            .unwrap()
            .rule_arn()
            .unwrap()
            .ends_with(":rule/orders/all")
    );
    let group = SqsParameters::builder().message_group_id("g").build();
    let to = target(&arn)
        .sqs_parameters(group)
        .input_path("$.detail")
        .build()
        .unwrap();
    buses
        .put_targets()
        .event_bus_name("orders")
        .rule("all")
        .targets(to)
        .send()
        .await
        .unwrap();
    let put = PutEventsRequestEntry::builder()
        .source("s")
        .detail_type("t")
        .event_bus_name(&bus);
    buses
        .put_events()
        .entries(put.detail(r#"{"a":1}"#).build())
        .send()
        .await
        .unwrap();
    assert_eq!(place.take(&url).await.unwrap().body(), Some(r#"{"a":1}"#));
    let listed = buses
        .list_targets_by_rule()
        .event_bus_name("orders")
        .rule("all")
        .send()
        .await
        .unwrap();
    assert_eq!(listed.targets()[0].arn(), arn);
    let named = buses
        .list_rule_names_by_target()
        .event_bus_name("orders")
        .target_arn(&arn)
        .send()
        .await
        .unwrap();
    assert_eq!(named.rule_names(), ["all"]);
    let used = buses
        .delete_rule()
        .event_bus_name("orders")
        .name("all")
        .send()
        .await
        .unwrap_err();
    assert_eq!(code(&used), "ValidationException");
    let removed = buses
        .remove_targets()
        .event_bus_name("orders")
        .rule("all")
        .ids("queue")
        .ids("none");
    assert_eq!(removed.send().await.unwrap().failed_entry_count(), 1);
    buses
        .delete_rule()
        .event_bus_name("orders")
        .name("all")
        .send()
        .await
        .unwrap();
    buses.delete_event_bus().name("orders").send().await.unwrap();
    let gone = buses
        .list_rules()
        .event_bus_name("orders")
        .send()
        .await
        .unwrap_err();
    assert!(gone.as_service_error().unwrap().is_resource_not_found_exception());
    let bad = buses
        .put_rule()
        .name("bad")
        .event_pattern(r#"{"a":"x"}"#)
        .send()
        .await
        .unwrap_err();
    assert!(
        bad.as_service_error()
            .unwrap()
            .is_invalid_event_pattern_exception()
    );
    let lambda = target("arn:aws:lambda:us-east-1:1:function:f").build().unwrap();
    let refused = buses
        .put_targets()
        .rule("large")
        .targets(lambda)
        .send()
        .await
        .unwrap_err();
    assert_eq!(code(&refused), "ValidationException");
    let archive = buses
        .create_archive()
        .archive_name("a")
        .event_source_arn("arn")
        .send()
        .await
        .unwrap_err();
    assert_eq!(code(&archive), "ValidationException");
    let test = buses
        .test_event_pattern()
        .event_pattern(r#"{"a":[1]}"#)
        .event(r#"{"a":1}"#);
    assert!(test.send().await.unwrap().result());
}

async fn an_outage_of_the_target_delays_and_does_not_lose(endpoints: Endpoints) {
    let place = endpoints.place();
    let (url, arn) = place.queue("q").await;
    place
        .rule("r", r#"{"source":["shop"]}"#, target(&arn).build().unwrap())
        .await;
    let lost = ServiceFault::LoseTarget {
        queue: "q".to_owned(),
    };
    let lost = place.events.faults().begin(lost).unwrap();
    place.put(r#"{"n":1}"#).await.unwrap();
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!((place.events.owed(), place.events.counts().delivered), (1, 0));
    assert!(place.events.counts().failed_attempts >= 2);
    place.events.faults().end(lost);
    assert!(place.take(&url).await.is_some());
    // The same for a fault on the queue's own side.
    let refuse = ServiceFault::Unavailable {
        outage: Outage::Refuse,
    };
    let out = place.sqs.faults().begin(refuse).unwrap();
    place.put(r#"{"n":2}"#).await.unwrap();
    tokio::time::sleep(Duration::from_millis(300)).await;
    place.sqs.faults().end(out);
    assert!(
        place
            .take(&url)
            .await
            .unwrap()
            .body()
            .unwrap()
            .contains(r#""n":2"#)
    );
}

async fn what_cannot_be_delivered_becomes_a_dead_letter(endpoints: Endpoints) {
    let place = endpoints.place();
    let (dead, dead_arn) = place.queue("dead").await;
    let dead_letters = || DeadLetterConfig::builder().arn(&dead_arn).build();
    let missing = format!("arn:aws:sqs:{REGION}:000000000000:missing");
    let to_nowhere = target(&missing)
        .dead_letter_config(dead_letters())
        .build()
        .unwrap();
    place
        .rule("nowhere", r#"{"detail":{"to":["nowhere"]}}"#, to_nowhere)
        .await;
    place.put(r#"{"to":"nowhere"}"#).await.unwrap();
    let letter = place.take(&dead).await.unwrap();
    assert!(letter.body().unwrap().contains("nowhere"));
    let attributes = letter.message_attributes().unwrap();
    assert_eq!(attributes["ERROR_CODE"].string_value(), Some("NO_RESOURCE"));
    assert_eq!(attributes["TARGET_ARN"].string_value(), Some(missing.as_str()));
    assert_eq!(
        attributes["RETRY_ATTEMPTS"].string_value(),
        Some("0"),
        "no retry would mend it"
    );

    let (_, slow_arn) = place.queue("slow").await;
    let twice = RetryPolicy::builder()
        .maximum_retry_attempts(2)
        .maximum_event_age_in_seconds(60)
        .build();
    let to_slow = target(&slow_arn)
        .dead_letter_config(dead_letters())
        .retry_policy(twice)
        .build()
        .unwrap();
    place.rule("slow", r#"{"detail":{"to":["slow"]}}"#, to_slow).await;
    let lost = ServiceFault::LoseTarget {
        queue: "slow".to_owned(),
    };
    place.events.faults().begin(lost).unwrap();
    place.put(r#"{"to":"slow"}"#).await.unwrap();
    let letter = place.take(&dead).await.unwrap();
    let attributes = letter.message_attributes().unwrap();
    assert_eq!(
        attributes["EXHAUSTED_RETRY_CONDITION"].string_value(),
        Some("MaximumRetryAttempts")
    );
    assert_eq!(attributes["RETRY_ATTEMPTS"].string_value(), Some("2"));
    assert_eq!(place.events.counts().dead_lettered, 2);
}

async fn delivery_is_at_least_once(endpoints: Endpoints) {
    let place = endpoints.place();
    let (url, arn) = place.queue("q").await;
    place
        .rule("r", r#"{"source":["shop"]}"#, target(&arn).build().unwrap())
        .await;
    let twice = ServiceFault::DuplicateEvents { probability: 1.0 };
    let twice = place.events.faults().begin(twice).unwrap();
    place.put("{}").await.unwrap();
    let (first, second) = (place.take(&url).await.unwrap(), place.take(&url).await.unwrap());
    assert_eq!(first.body(), second.body(), "the same event");
    assert_ne!(first.message_id(), second.message_id(), "two messages");
    // A lost answer of the queue does the same without any fault of EventBridge.
    place.events.faults().end(twice);
    let target = fault::Target::operation("SendMessage").times(3);
    let lost = place
        .sqs
        .faults()
        .begin(ServiceFault::LoseAnswer { target })
        .unwrap();
    for _ in 0..10 {
        place.put("{}").await.unwrap();
    }
    while place.events.owed() > 0 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(place.events.counts().delivered, 12);
    assert_eq!(place.sqs.faults().bites(lost), 3);
    assert_eq!(
        place.sqs.counts("q").unwrap().sent,
        15,
        "one more for every answer lost"
    );
}

async fn an_entry_failure_is_not_retried_by_the_sdk(endpoints: Endpoints) {
    let place = endpoints.place();
    let fail = ServiceFault::FailEntries { probability: 1.0 };
    place.events.faults().begin(fail).unwrap();
    let put = place
        .buses
        .put_events()
        .entries(entry("{}"))
        .send()
        .await
        .unwrap();
    assert_eq!(put.failed_entry_count(), 1);
    assert_eq!(put.entries()[0].error_code(), Some("InternalFailure"));
    assert_eq!(place.events.counts().refused, 1, "one attempt: HTTP said 200");
}

async fn what_is_owed_outlives_the_server(endpoints: Endpoints) {
    let place = endpoints.place();
    let (queue, arn) = place.queue("q").await;
    place
        .rule("r", r#"{"source":["shop"]}"#, target(&arn).build().unwrap())
        .await;
    let late = ServiceFault::DelayEvents {
        min: Duration::from_millis(300),
        max: Duration::from_millis(300),
    };
    place.events.faults().begin(late).unwrap();
    place.put("{}").await.unwrap();
    place.trouble.lose("eventbridge", Duration::from_secs(1)).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!((place.events.owed(), place.sqs.depth("q")), (1, Some((0, 0, 0))));
    assert!(place.take(&queue).await.is_some());
}

async fn a_queue_that_is_cut_off_gets_its_events_late_but_gets_them(endpoints: Endpoints) {
    let place = endpoints.place();
    let (queue, arn) = place.queue("q").await;
    place
        .rule("r", r#"{"source":["shop"]}"#, target(&arn).build().unwrap())
        .await;
    place
        .trouble
        .cut("eventbridge", &["sqs"], Duration::from_secs(1))
        .await;
    place.put("{}").await.unwrap();
    tokio::time::sleep(Duration::from_millis(400)).await;
    assert_eq!((place.events.owed(), place.sqs.depth("q")), (1, Some((0, 0, 0))));
    assert!(place.take(&queue).await.is_some());
}
