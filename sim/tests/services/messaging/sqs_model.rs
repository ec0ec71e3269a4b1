//! What SQS promises, checked over generated histories of the queue engine: nothing is lost, and FIFO keeps the order of
//! each group. The checks read only what a client sees; each is shown to fail on a history that breaks it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use proptest::prelude::*;
use sumzero_sim::aws::sqs::message::Outgoing;
use sumzero_sim::aws::sqs::queues::Queues;
use sumzero_sim::aws::sqs::{Moment, Receive};
use sumzero_sim::fault::ServiceFault;

const START: u64 = 1_790_000_000;

#[derive(Debug, Clone)]
enum Step {
    Send {
        group: u8,
        delay: u16,
        repeat: bool,
    },
    Receive {
        max: usize,
        visibility: u16,
    },
    Delete {
        which: prop::sample::Index,
    },
    ChangeVisibility {
        which: prop::sample::Index,
        seconds: u16,
    },
    Wait {
        seconds: u16,
    },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (0..3_u8, 0..20_u16, prop::bool::weighted(0.2))
            .prop_map(|(group, delay, repeat)| Step::Send { group, delay, repeat }),
        4 => (1..=10_usize, 0..60_u16).prop_map(|(max, visibility)| Step::Receive { max, visibility }),
        3 => any::<prop::sample::Index>().prop_map(|which| Step::Delete { which }),
        1 => (any::<prop::sample::Index>(), 0..40_u16)
            .prop_map(|(which, seconds)| Step::ChangeVisibility { which, seconds }),
        2 => (0..40_u16).prop_map(|seconds| Step::Wait { seconds }),
    ];
    prop::collection::vec(step, 1..80)
}

#[derive(Debug, Clone, PartialEq)]
enum Event {
    Sent {
        id: String,
        group: u8,
    },
    Received {
        queue: &'static str,
        id: String,
        group: u8,
        handle: String,
    },
    /// The queue confirmed a delete by this handle; only for standard queues may that have done nothing.
    Deleted {
        handle: String,
    },
}

/// Runs the steps, then drains both queues, long enough for every message to become visible again.
fn history(fifo: bool, faults: &[ServiceFault], max_receives: Option<u32>, steps: &[Step]) -> Vec<Event> {
    let (main, dead): (&'static str, &'static str) = if fifo {
        ("main.fifo", "dead.fifo")
    } else {
        ("main", "dead")
    };
    let mut clock = Duration::ZERO;
    let at = |elapsed: Duration| Moment {
        elapsed,
        wall: Duration::from_secs(START) + elapsed,
    };
    let mut queues = Queues::new("us-east-1", "000000000000", 7);
    for fault in faults {
        queues.faults().begin(fault.clone()).unwrap();
    }
    let mut attributes = BTreeMap::new();
    if fifo {
        attributes.insert("FifoQueue".to_owned(), "true".to_owned());
    }
    queues
        .create(dead, &attributes, BTreeMap::new(), at(clock))
        .unwrap();
    if let Some(max) = max_receives {
        let policy = format!(
            r#"{{"deadLetterTargetArn":"{}","maxReceiveCount":{max}}}"#,
            queues.arn(dead)
        );
        attributes.insert("RedrivePolicy".to_owned(), policy);
    }
    queues
        .create(main, &attributes, BTreeMap::new(), at(clock))
        .unwrap();

    let mut events = Vec::new();
    let mut handles: Vec<String> = Vec::new();
    let mut last_key = 0;
    let take = |queues: &mut Queues, queue, max, visibility, now, events: &mut Vec<Event>| -> Vec<String> {
        let ask = Receive {
            messages_max: max,
            visibility_timeout: Some(visibility),
            attempt: None,
        };
        let received = queues.receive(queue, &ask, true, now).unwrap();
        received
            .into_iter()
            .map(|m| {
                let group = m.message.body.parse().unwrap();
                let handle = m.receipt_handle.clone();
                events.push(Event::Received {
                    queue,
                    id: m.message_id,
                    group,
                    handle: m.receipt_handle,
                });
                handle
            })
            .collect()
    };
    for step in steps {
        match step {
            Step::Send { group, delay, repeat } => {
                let mut message = Outgoing::new(group.to_string());
                if fifo {
                    last_key += u64::from(!repeat);
                    message.group = Some(format!("g{group}"));
                    message.deduplication = Some(format!("k{last_key}"));
                } else {
                    message.delay_seconds = Some(i64::from(*delay));
                }
                let sent = queues.send(main, message, at(clock)).unwrap();
                let again = events
                    .iter()
                    .any(|e| matches!(e, Event::Sent { id, .. } if *id == sent.message_id));
                if !again {
                    events.push(Event::Sent {
                        id: sent.message_id,
                        group: *group,
                    });
                }
            }
            Step::Receive { max, visibility } => {
                let visibility = Duration::from_secs(u64::from(*visibility));
                handles.extend(take(&mut queues, main, *max, visibility, at(clock), &mut events));
            }
            Step::Delete { which } if !handles.is_empty() => {
                let handle = handles[which.index(handles.len())].clone();
                if queues.delete(main, &handle, at(clock)).is_ok() {
                    events.push(Event::Deleted { handle });
                }
            }
            Step::ChangeVisibility { which, seconds } if !handles.is_empty() => {
                let handle = &handles[which.index(handles.len())];
                let _ = queues.change_visibility(main, handle, i64::from(*seconds), at(clock));
            }
            Step::Wait { seconds } => clock += Duration::from_secs(u64::from(*seconds)),
            Step::Delete { .. } | Step::ChangeVisibility { .. } => {}
        }
    }
    for _ in 0..400 {
        clock += Duration::from_secs(60);
        for queue in [main, dead] {
            let visibility = Duration::from_secs(30);
            for handle in take(&mut queues, queue, 10, visibility, at(clock), &mut events) {
                queues.delete(queue, &handle, at(clock)).unwrap();
                events.push(Event::Deleted { handle });
            }
        }
        let (m, d) = (
            queues.queue(main).unwrap().depth(),
            queues.queue(dead).unwrap().depth(),
        );
        if m == (0, 0, 0) && d == (0, 0, 0) {
            break;
        }
    }
    events
}

/// Every message sent was received, at least until someone deleted it; and nobody received what was not sent.
fn nothing_lost(events: &[Event]) -> Result<(), String> {
    let mut sent = BTreeSet::new();
    let mut received = BTreeSet::new();
    for event in events {
        match event {
            Event::Sent { id, .. } => {
                sent.insert(id);
            }
            Event::Received { id, .. } => {
                received.insert(id);
            }
            Event::Deleted { .. } => {}
        }
    }
    match sent.symmetric_difference(&received).next() {
        None => Ok(()),
        Some(id) => Err(format!("{id} was sent or received, not both")),
    }
}

/// Within a queue, the first deliveries of a group's messages come in the order in which they were sent.
fn group_order_kept(events: &[Event]) -> Result<(), String> {
    let mut order = BTreeMap::new();
    let mut newest: BTreeMap<(&str, u8), usize> = BTreeMap::new();
    let mut seen = BTreeSet::new();
    for event in events {
        match event {
            Event::Sent { id, .. } => {
                order.insert(id.clone(), order.len());
            }
            Event::Received { queue, id, group, .. } if seen.insert((*queue, id.clone())) => {
                let at = order[id];
                let newest = newest.entry((*queue, *group)).or_insert(at);
                if at < *newest {
                    return Err(format!("{id} came after a later message of group {group}"));
                }
                *newest = at;
            }
            _ => {}
        }
    }
    Ok(())
}

/// Once deleted by its latest handle, a message never comes again from that queue. (A delete that comes after the message
/// moved to the dead-letter queue is confirmed too, and does not reach it there.)
fn no_delivery_after_delete(events: &[Event]) -> Result<(), String> {
    let mut latest = BTreeMap::new();
    let mut of_handle = BTreeMap::new();
    let mut gone = BTreeSet::new();
    for event in events {
        match event {
            Event::Received {
                queue, id, handle, ..
            } => {
                if gone.contains(&(queue, id)) {
                    return Err(format!("{id} came again after it was deleted"));
                }
                latest.insert((queue, id), handle);
                of_handle.insert(handle, (queue, id));
            }
            Event::Deleted { handle } => {
                let message = of_handle[handle];
                if latest.get(&message) == Some(&handle) {
                    gone.insert(message);
                }
            }
            Event::Sent { .. } => {}
        }
    }
    Ok(())
}

fn duplicates(probability: f64) -> ServiceFault {
    ServiceFault::DuplicateMessages {
        probability,
        within: Duration::from_secs(60),
    }
}

fn wild() -> [ServiceFault; 3] {
    [
        duplicates(0.3),
        ServiceFault::ReorderMessages { probability: 0.7 },
        ServiceFault::MissMessages { probability: 0.3 },
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn standard_never_loses(steps in steps(), max in prop::option::of(1..4_u32)) {
        let events = history(false, &[], max, &steps);
        prop_assert_eq!(nothing_lost(&events), Ok(()));
        prop_assert_eq!(no_delivery_after_delete(&events), Ok(()));
    }

    #[test]
    fn standard_never_loses_whatever_the_delivery_faults(steps in steps(), max in prop::option::of(1..4_u32)) {
        let events = history(false, &wild(), max, &steps);
        prop_assert_eq!(nothing_lost(&events), Ok(()));
    }

    #[test]
    fn fifo_never_loses_and_keeps_group_order(steps in steps(), max in prop::option::of(1..4_u32)) {
        let events = history(true, &wild(), max, &steps);
        prop_assert_eq!(nothing_lost(&events), Ok(()));
        prop_assert_eq!(group_order_kept(&events), Ok(()));
        prop_assert_eq!(no_delivery_after_delete(&events), Ok(()));
    }
}

fn busy() -> Vec<Step> {
    let mut steps: Vec<Step> = (0..30)
        .map(|n| Step::Send {
            group: n % 2,
            delay: 0,
            repeat: false,
        })
        .collect();
    steps.extend((0..10).map(|_| Step::Receive {
        max: 3,
        visibility: 5,
    }));
    steps
}

#[test]
fn a_lost_message_is_noticed() {
    let mut events = history(false, &[], None, &busy());
    assert_eq!(nothing_lost(&events), Ok(()));
    let Event::Received { id: lost, .. } = events
        .iter()
        .find(|e| matches!(e, Event::Received { .. }))
        .unwrap()
        .clone()
    else {
        unreachable!()
    };
    events.retain(|e| !matches!(e, Event::Received { id, .. } if *id == lost));
    assert!(nothing_lost(&events).is_err());
}

#[test]
fn disorder_is_noticed() {
    let reorder = ServiceFault::ReorderMessages { probability: 1.0 };
    let events = history(false, &[reorder], None, &busy());
    assert!(
        group_order_kept(&events).is_err(),
        "a reordering standard queue must not pass for FIFO"
    );
    assert_eq!(group_order_kept(&history(true, &[], None, &busy())), Ok(()));
}

#[test]
fn a_second_delivery_is_noticed() {
    let events = history(false, &[duplicates(0.5)], None, &busy());
    assert!(no_delivery_after_delete(&events).is_err());
}
