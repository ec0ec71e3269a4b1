//! SQS through the official SDK with its default retries.

use std::collections::{BTreeSet, HashMap};
use std::net::SocketAddr;
use std::time::Duration;

use aws_sdk_sqs::Client;
use aws_sdk_sqs::types::{
    DeleteMessageBatchRequestEntry, MessageAttributeValue, MessageSystemAttributeName, QueueAttributeName,
    SendMessageBatchRequestEntry,
};
use sumzero_sim::aws::sqs::{Options, Sqs};
use sumzero_sim::fault::{Outage, ServiceFault, Target};
use tokio::time::Instant;

use crate::clients::{self, REGION, code};
use crate::stage::{Stage, Trouble, in_both_places};

in_both_places!(one_region =>
    a_long_poll_ends_with_the_message,
    a_lost_answer_makes_the_sdk_send_twice_and_fifo_absorbs_it,
    a_standard_queue_may_deliver_twice_and_a_fifo_queue_never_does,
    batches_fail_entry_by_entry,
    fifo_deduplicates_and_blocks_a_group_in_flight,
    moves_what_is_received_too_often,
    queues_are_made_found_and_purged,
    sends_receives_deletes,
    throttling_and_outages_reach_the_caller_once_retries_are_spent,
    too_much_is_refused,
    only_the_queue_that_a_fault_names_is_throttled,
    what_was_sent_outlives_the_server,
);

/// An SQS and where it is.
#[derive(Clone)]
struct Endpoint {
    sqs: Sqs,
    address: SocketAddr,
    trouble: Trouble,
}

fn one_region(stage: &mut Stage) -> Endpoint {
    let address = stage.reserve(REGION, "sqs", 1)[0];
    let sqs = Sqs::new(Options::new(REGION));
    let served = sqs.clone();
    stage.serve("sqs", move |mut listeners| {
        served.clone().serve(listeners.remove(0))
    });
    Endpoint {
        sqs,
        address,
        trouble: stage.trouble(),
    }
}

async fn queue(client: &Client, name: &str, attributes: &[(QueueAttributeName, &str)]) -> String {
    let mut create = client.create_queue().queue_name(name);
    if name.ends_with(".fifo") {
        create = create.attributes(QueueAttributeName::FifoQueue, "true");
    }
    for (name, value) in attributes {
        create = create.attributes(name.clone(), *value);
    }
    create.send().await.unwrap().queue_url.unwrap()
}

async fn attribute(client: &Client, url: &str, name: QueueAttributeName) -> Option<String> {
    let got = client
        .get_queue_attributes()
        .queue_url(url)
        .attribute_names(name.clone())
        .send()
        .await
        .unwrap();
    got.attributes.and_then(|map| map.get(&name).cloned())
}

async fn bodies(client: &Client, url: &str, wait: i32) -> Vec<(String, String)> {
    let got = client
        .receive_message()
        .queue_url(url)
        .max_number_of_messages(10)
        .wait_time_seconds(wait)
        .send()
        .await
        .unwrap();
    got.messages
        .unwrap_or_default()
        .into_iter()
        .map(|m| (m.body.unwrap(), m.receipt_handle.unwrap()))
        .collect()
}

async fn sends_receives_deletes(endpoint: Endpoint) {
    let client = &clients::sqs(endpoint.address);
    let url = queue(client, "plain", &[]).await;
    let attribute = |kind: &str| MessageAttributeValue::builder().data_type(kind);
    let sent = client
        .send_message()
        .queue_url(&url)
        .message_body("hello")
        .message_attributes("a", attribute("String").string_value("v").build().unwrap())
        .message_attributes(
            "b",
            attribute("Binary")
                .binary_value(aws_sdk_sqs::primitives::Blob::new([1, 2]))
                .build()
                .unwrap(),
        )
        .send()
        .await
        .unwrap();
    assert_eq!(
        sent.md5_of_message_body(),
        Some("5d41402abc4b2a76b9719d911017c592")
    );
    assert_eq!(sent.sequence_number(), None);
    let receive = client
        .receive_message()
        .queue_url(&url)
        .message_attribute_names("All")
        .message_system_attribute_names(MessageSystemAttributeName::All);
    let got = receive.clone().send().await.unwrap();
    let message = &got.messages()[0];
    assert_eq!(message.message_id(), sent.message_id());
    assert_eq!(
        message.md5_of_message_attributes(),
        sent.md5_of_message_attributes()
    );
    let received = message.message_attributes().unwrap();
    assert_eq!(received["b"].binary_value().unwrap().as_ref(), [1, 2]);
    let system = message.attributes().unwrap();
    assert_eq!(system[&MessageSystemAttributeName::ApproximateReceiveCount], "1");
    assert_eq!(
        receive.clone().send().await.unwrap().messages().len(),
        0,
        "in flight"
    );

    let handle = message.receipt_handle().unwrap();
    client
        .change_message_visibility()
        .queue_url(&url)
        .receipt_handle(handle)
        .visibility_timeout(0)
        .send()
        .await
        .unwrap();
    let again = receive.clone().send().await.unwrap();
    let system = again.messages()[0].attributes().unwrap();
    assert_eq!(system[&MessageSystemAttributeName::ApproximateReceiveCount], "2");
    // The stale handle is accepted and does nothing; the latest deletes.
    client
        .delete_message()
        .queue_url(&url)
        .receipt_handle(handle)
        .send()
        .await
        .unwrap();
    let counted = QueueAttributeName::ApproximateNumberOfMessagesNotVisible;
    assert_eq!(
        self::attribute(client, &url, counted.clone()).await.as_deref(),
        Some("1")
    );
    let latest = again.messages()[0].receipt_handle().unwrap();
    client
        .delete_message()
        .queue_url(&url)
        .receipt_handle(latest)
        .send()
        .await
        .unwrap();
    assert_eq!(self::attribute(client, &url, counted).await.as_deref(), Some("0"));
    let forged = client
        .delete_message()
        .queue_url(&url)
        .receipt_handle("forged")
        .send()
        .await
        .unwrap_err();
    assert_eq!(code(&forged), "ReceiptHandleIsInvalid");
}

async fn fifo_deduplicates_and_blocks_a_group_in_flight(endpoint: Endpoint) {
    let client = &clients::sqs(endpoint.address);
    let url = queue(client, "orders.fifo", &[]).await;
    let send = |body: &str, group: &str, id: &str| {
        client
            .send_message()
            .queue_url(&url)
            .message_body(body)
            .message_group_id(group)
            .message_deduplication_id(id)
            .send()
    };
    let first = send("a1", "a", "1").await.unwrap();
    let again = send("a1 again", "a", "1").await.unwrap();
    assert_eq!(
        (first.message_id(), first.sequence_number()),
        (again.message_id(), again.sequence_number())
    );
    let second = send("a2", "a", "2").await.unwrap();
    assert!(first.sequence_number() < second.sequence_number());
    send("b1", "b", "3").await.unwrap();
    let one = client.receive_message().queue_url(&url);
    let a1 = one.clone().send().await.unwrap().messages.unwrap().remove(0);
    assert_eq!(a1.body(), Some("a1"));
    let rest = bodies(client, &url, 0).await;
    assert_eq!(rest.len(), 1, "a2 waits for a1");
    assert_eq!(rest[0].0, "b1");
    let handle = a1.receipt_handle().unwrap();
    client
        .delete_message()
        .queue_url(&url)
        .receipt_handle(handle)
        .send()
        .await
        .unwrap();
    assert_eq!(bodies(client, &url, 0).await[0].0, "a2");
    // Deleting does not make the queue forget.
    send("a1 once more", "a", "1").await.unwrap();
    assert!(bodies(client, &url, 0).await.is_empty());
    let ungrouped = client
        .send_message()
        .queue_url(&url)
        .message_body("x")
        .send()
        .await
        .unwrap_err();
    assert_eq!(code(&ungrouped), "MissingParameter");
}

async fn moves_what_is_received_too_often(endpoint: Endpoint) {
    let client = &clients::sqs(endpoint.address);
    let dead = queue(client, "redrive-dead", &[]).await;
    let arn = attribute(client, &dead, QueueAttributeName::QueueArn)
        .await
        .unwrap();
    let policy = format!(r#"{{"deadLetterTargetArn":"{arn}","maxReceiveCount":"2"}}"#);
    let source = queue(
        client,
        "redrive-source",
        &[
            (QueueAttributeName::RedrivePolicy, &policy),
            (QueueAttributeName::VisibilityTimeout, "0"),
        ],
    )
    .await;
    let sent = client
        .send_message()
        .queue_url(&source)
        .message_body("poison")
        .send()
        .await
        .unwrap();
    for _ in 0..2 {
        assert_eq!(bodies(client, &source, 0).await.len(), 1);
    }
    assert!(bodies(client, &source, 0).await.is_empty());
    let got = client
        .receive_message()
        .queue_url(&dead)
        .message_system_attribute_names(MessageSystemAttributeName::All)
        .send()
        .await
        .unwrap();
    assert_eq!(got.messages()[0].message_id(), sent.message_id());
    let system = got.messages()[0].attributes().unwrap();
    assert!(system[&MessageSystemAttributeName::DeadLetterQueueSourceArn].ends_with(":redrive-source"));
    let sources = client
        .list_dead_letter_source_queues()
        .queue_url(&dead)
        .send()
        .await
        .unwrap();
    assert_eq!(sources.queue_urls(), [source]);
    let missing = r#"{"deadLetterTargetArn":"arn:aws:sqs:us-east-1:000000000000:none","maxReceiveCount":1}"#;
    let refused = client
        .create_queue()
        .queue_name("other")
        .attributes(QueueAttributeName::RedrivePolicy, missing)
        .send()
        .await
        .unwrap_err();
    assert_eq!(code(&refused), "InvalidParameterValue");
}

async fn a_long_poll_ends_with_the_message(endpoint: Endpoint) {
    let client = &clients::sqs(endpoint.address);
    let url = queue(client, "poll", &[]).await;
    let began = Instant::now();
    assert!(bodies(client, &url, 1).await.is_empty());
    assert!(began.elapsed() >= Duration::from_secs(1));
    let began = Instant::now();
    let later = async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        client
            .send_message()
            .queue_url(&url)
            .message_body("now")
            .send()
            .await
            .unwrap();
    };
    let (got, ()) = tokio::join!(bodies(client, &url, 20), later);
    assert_eq!(got[0].0, "now");
    assert!(began.elapsed() < Duration::from_secs(5));
    // A delayed message ends the poll when its delay does.
    client
        .send_message()
        .queue_url(&url)
        .message_body("soon")
        .delay_seconds(1)
        .send()
        .await
        .unwrap();
    let began = Instant::now();
    assert_eq!(bodies(client, &url, 20).await[0].0, "soon");
    assert!((900..5_000).contains(&began.elapsed().as_millis()));
}

async fn batches_fail_entry_by_entry(endpoint: Endpoint) {
    let client = &clients::sqs(endpoint.address);
    let url = queue(client, "batch", &[]).await;
    let entry = |id: &str| SendMessageBatchRequestEntry::builder().id(id).message_body(id);
    let sent = client
        .send_message_batch()
        .queue_url(&url)
        .entries(entry("good").build().unwrap())
        .entries(entry("bad").delay_seconds(901).build().unwrap())
        .send()
        .await
        .unwrap();
    assert_eq!(sent.successful()[0].id(), "good");
    let failed = &sent.failed()[0];
    assert_eq!(
        (failed.id(), failed.code(), failed.sender_fault()),
        ("bad", "InvalidParameterValue", true)
    );
    let handle = bodies(client, &url, 0).await.remove(0).1;
    let delete = |id: &str, handle: &str| {
        DeleteMessageBatchRequestEntry::builder()
            .id(id)
            .receipt_handle(handle)
            .build()
            .unwrap()
    };
    let deleted = client
        .delete_message_batch()
        .queue_url(&url)
        .entries(delete("x", &handle))
        .entries(delete("y", "forged"))
        .send()
        .await
        .unwrap();
    assert_eq!(
        (deleted.successful()[0].id(), deleted.failed()[0].id()),
        ("x", "y")
    );
    let empty = client
        .send_message_batch()
        .queue_url(&url)
        .set_entries(Some(Vec::new()));
    assert!(code(&empty.send().await.unwrap_err()).contains("EmptyBatchRequest"));
    let eleven = (0..11).map(|n| entry(&n.to_string()).build().unwrap()).collect();
    let many = client
        .send_message_batch()
        .queue_url(&url)
        .set_entries(Some(eleven));
    assert!(code(&many.send().await.unwrap_err()).contains("TooManyEntriesInBatchRequest"));
    let twice = client.send_message_batch().queue_url(&url).set_entries(Some(vec![
        entry("a").build().unwrap(),
        entry("a").build().unwrap(),
    ]));
    assert!(code(&twice.send().await.unwrap_err()).contains("BatchEntryIdsNotDistinct"));
}

async fn queues_are_made_found_and_purged(endpoint: Endpoint) {
    let client = &clients::sqs(endpoint.address);
    let url = queue(client, "life", &[(QueueAttributeName::DelaySeconds, "5")]).await;
    assert_eq!(queue(client, "life", &[]).await, url, "asking again is no error");
    let other = client
        .create_queue()
        .queue_name("life")
        .attributes(QueueAttributeName::DelaySeconds, "6");
    assert!(
        other
            .send()
            .await
            .unwrap_err()
            .as_service_error()
            .unwrap()
            .is_queue_name_exists()
    );
    let found = client.get_queue_url().queue_name("life").send().await.unwrap();
    assert_eq!(found.queue_url(), Some(url.as_str()));
    let none = client
        .get_queue_url()
        .queue_name("none")
        .send()
        .await
        .unwrap_err();
    assert!(none.as_service_error().unwrap().is_queue_does_not_exist());
    client
        .send_message()
        .queue_url(&url)
        .message_body("x")
        .send()
        .await
        .unwrap();
    client.purge_queue().queue_url(&url).send().await.unwrap();
    let soon = client.purge_queue().queue_url(&url).send().await.unwrap_err();
    assert!(soon.as_service_error().unwrap().is_purge_queue_in_progress());
    let delayed = QueueAttributeName::ApproximateNumberOfMessagesDelayed;
    assert_eq!(attribute(client, &url, delayed).await.as_deref(), Some("0"));
    let mut seen = BTreeSet::new();
    let mut pages = client
        .list_queues()
        .queue_name_prefix("li")
        .max_results(1)
        .into_paginator()
        .send();
    while let Some(page) = pages.next().await {
        seen.extend(page.unwrap().queue_urls.unwrap_or_default());
    }
    assert!(seen.contains(&url));
    client
        .tag_queue()
        .queue_url(&url)
        .tags("k", "v")
        .send()
        .await
        .unwrap();
    let tags = client
        .list_queue_tags()
        .queue_url(&url)
        .send()
        .await
        .unwrap()
        .tags;
    assert_eq!(tags, Some(HashMap::from([("k".to_owned(), "v".to_owned())])));
    client.delete_queue().queue_url(&url).send().await.unwrap();
    let again = client.create_queue().queue_name("life").send().await.unwrap_err();
    assert!(again.as_service_error().unwrap().is_queue_deleted_recently());
}

async fn too_much_is_refused(endpoint: Endpoint) {
    let client = &clients::sqs(endpoint.address);
    let url = queue(
        client,
        "limits",
        &[(QueueAttributeName::MaximumMessageSize, "1024")],
    )
    .await;
    let large = client
        .send_message()
        .queue_url(&url)
        .message_body("x".repeat(1025))
        .send()
        .await
        .unwrap_err();
    assert_eq!(code(&large), "InvalidParameterValue");
    let control = client
        .send_message()
        .queue_url(&url)
        .message_body("\u{1}")
        .send()
        .await
        .unwrap_err();
    assert!(control.as_service_error().unwrap().is_invalid_message_contents());
    let many = client
        .receive_message()
        .queue_url(&url)
        .max_number_of_messages(11)
        .send()
        .await
        .unwrap_err();
    assert_eq!(code(&many), "InvalidParameterValue");
    let range = client
        .create_queue()
        .queue_name("r")
        .attributes(QueueAttributeName::DelaySeconds, "901");
    assert!(
        range
            .send()
            .await
            .unwrap_err()
            .as_service_error()
            .unwrap()
            .is_invalid_attribute_value()
    );
    let moved = client
        .start_message_move_task()
        .source_arn("arn")
        .send()
        .await
        .unwrap_err();
    assert!(moved.as_service_error().unwrap().is_unsupported_operation());
}

async fn a_lost_answer_makes_the_sdk_send_twice_and_fifo_absorbs_it(endpoint: Endpoint) {
    let (sqs, client) = (endpoint.sqs, clients::sqs(endpoint.address));
    let plain = queue(&client, "plain", &[]).await;
    let fifo = queue(&client, "safe.fifo", &[]).await;
    let target = Target::operation("SendMessage").probability(0.5);
    let lost = sqs.faults().begin(ServiceFault::LoseAnswer { target }).unwrap();
    let mut answered = 0;
    for n in 0..6 {
        let to_plain = client
            .send_message()
            .queue_url(&plain)
            .message_body(n.to_string());
        let to_fifo = client
            .send_message()
            .queue_url(&fifo)
            .message_body(n.to_string())
            .message_group_id("g")
            .message_deduplication_id(n.to_string());
        answered += u64::from(to_plain.send().await.is_ok());
        let _ = to_fifo.send().await;
    }
    sqs.faults().end(lost);
    assert!(sqs.faults().bites(lost) > 0);
    assert!(
        sqs.counts("plain").unwrap().sent > answered,
        "the SDK's retries left duplicates"
    );
    assert_eq!(sqs.counts("safe.fifo").unwrap().sent, 6);
    assert!(sqs.counts("safe.fifo").unwrap().deduplicated > 0);
}

async fn throttling_and_outages_reach_the_caller_once_retries_are_spent(endpoint: Endpoint) {
    let (sqs, client) = (endpoint.sqs, clients::sqs(endpoint.address));
    let url = queue(&client, "q", &[]).await;
    let throttle = ServiceFault::Throttle {
        target: Target::default(),
    };
    let throttle = sqs.faults().begin(throttle).unwrap();
    let refused = client
        .send_message()
        .queue_url(&url)
        .message_body("x")
        .send()
        .await
        .unwrap_err();
    assert_eq!(code(&refused), "RequestThrottled");
    assert_eq!(sqs.faults().bites(throttle), 3, "three attempts");
    sqs.faults().end(throttle);
    let refuse = ServiceFault::Unavailable {
        outage: Outage::Refuse,
    };
    sqs.faults().begin(refuse).unwrap();
    let out = client
        .send_message()
        .queue_url(&url)
        .message_body("x")
        .send()
        .await
        .unwrap_err();
    assert_eq!(out.raw_response().unwrap().status().as_u16(), 503);
    assert_eq!(sqs.counts("q").unwrap().sent, 0);
}

async fn a_standard_queue_may_deliver_twice_and_a_fifo_queue_never_does(endpoint: Endpoint) {
    let (sqs, client) = (endpoint.sqs, clients::sqs(endpoint.address));
    let duplicate = ServiceFault::DuplicateMessages {
        probability: 0.5,
        within: Duration::ZERO,
    };
    sqs.faults().begin(duplicate).unwrap();
    let plain = queue(&client, "plain", &[]).await;
    let fifo = queue(
        &client,
        "once.fifo",
        &[(QueueAttributeName::ContentBasedDeduplication, "true")],
    )
    .await;
    for n in 0..20 {
        let n = n.to_string();
        client
            .send_message()
            .queue_url(&plain)
            .message_body(&n)
            .send()
            .await
            .unwrap();
        client
            .send_message()
            .queue_url(&fifo)
            .message_body(&n)
            .message_group_id(&n)
            .send()
            .await
            .unwrap();
    }
    for (url, exactly) in [(&plain, false), (&fifo, true)] {
        let mut seen = Vec::new();
        loop {
            let got = bodies(&client, url, 0).await;
            if got.is_empty() {
                break;
            }
            for (body, handle) in got {
                client
                    .delete_message()
                    .queue_url(url)
                    .receipt_handle(handle)
                    .send()
                    .await
                    .unwrap();
                seen.push(body);
            }
        }
        let distinct: BTreeSet<_> = seen.iter().collect();
        assert_eq!(distinct.len(), 20);
        assert_eq!(seen.len() == 20, exactly, "{} deliveries", seen.len());
    }
}

async fn what_was_sent_outlives_the_server(endpoint: Endpoint) {
    let client = clients::sqs(endpoint.address);
    let url = queue(&client, "kept", &[(QueueAttributeName::VisibilityTimeout, "3")]).await;
    for body in ["in-flight", "waiting"] {
        client
            .send_message()
            .queue_url(&url)
            .message_body(body)
            .send()
            .await
            .unwrap();
    }
    let receive = client.receive_message().queue_url(&url).max_number_of_messages(1);
    assert_eq!(receive.send().await.unwrap().messages().len(), 1);
    endpoint.trouble.lose("sqs", Duration::from_millis(500)).await;
    let mut seen = BTreeSet::new();
    while seen.len() < 2 {
        let receive = client.receive_message().queue_url(&url).wait_time_seconds(5);
        // While the server is down the SDK's retries may be spent.
        let Ok(got) = receive.send().await else { continue };
        seen.extend(
            got.messages()
                .iter()
                .filter_map(|message| message.body().map(str::to_owned)),
        );
    }
    assert!(seen.contains("in-flight") && seen.contains("waiting"));
}

async fn only_the_queue_that_a_fault_names_is_throttled(endpoint: Endpoint) {
    let (sqs, client) = (endpoint.sqs, clients::sqs(endpoint.address));
    let hot = queue(&client, "hot", &[]).await;
    let cold = queue(&client, "cold", &[]).await;
    let target = Target::resource("hot");
    sqs.faults().begin(ServiceFault::Throttle { target }).unwrap();
    let send = |url: &str| client.send_message().queue_url(url).message_body("x").send();
    send(&cold).await.unwrap();
    assert_eq!(code(&send(&hot).await.unwrap_err()), "RequestThrottled");
}
