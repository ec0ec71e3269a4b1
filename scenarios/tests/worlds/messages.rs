//! Worlds in which the broker fails, messages come twice, late and in any order, and whoever carries them dies.

use std::time::Duration;

use scenarios::{script::Script, stage::REGIONS};
use sumzero_sim::{
    Fault,
    fault::{Outage, Service, ServiceFault, Target},
};

use crate::{
    Test,
    faults::{always, bitten, hold, seeds, swarm, unreliable},
};

pub(crate) const TESTS: &[Test] = &[
    ("the_broker_fails", the_broker_fails),
    (
        "messages_come_twice_late_and_in_any_order",
        messages_come_twice_late_and_in_any_order,
    ),
    ("whoever_carries_events_dies", whoever_carries_events_dies),
    ("all_of_it_at_once", all_of_it_at_once),
];

fn eventbridge(fault: ServiceFault) -> Fault {
    Fault::service(Service::Eventbridge, REGIONS[0], fault)
}

fn sqs(fault: ServiceFault) -> Fault {
    Fault::service(Service::Sqs, REGIONS[0], fault)
}

fn often() -> Target {
    Target::default().probability(0.3)
}

fn broker() -> Vec<Fault> {
    let each = |service: fn(ServiceFault) -> Fault| {
        [
            service(ServiceFault::Unavailable {
                outage: Outage::Refuse,
            }),
            service(ServiceFault::Unavailable {
                outage: Outage::Silence,
            }),
            service(ServiceFault::Throttle { target: often() }),
            service(ServiceFault::FailBefore {
                target: often(),
                failure: Default::default(),
            }),
            service(ServiceFault::FailAfter {
                target: often(),
                failure: Default::default(),
            }),
            service(ServiceFault::LoseAnswer { target: often() }),
        ]
    };
    let mut faults = [each(eventbridge), each(sqs)].concat();
    faults.push(eventbridge(ServiceFault::FailEntries { probability: 0.3 }));
    faults.push(Fault::kill("eventbridge-us-east-1"));
    faults.push(Fault::kill("sqs-us-east-1"));
    faults
}

fn disorder() -> Vec<Fault> {
    let seconds = Duration::from_secs;
    vec![
        eventbridge(ServiceFault::DuplicateEvents { probability: 0.5 }),
        eventbridge(ServiceFault::DelayEvents {
            min: seconds(0),
            max: seconds(60),
        }),
        eventbridge(ServiceFault::LoseTarget {
            queue: "payments-volume".to_owned(),
        }),
        sqs(ServiceFault::DuplicateMessages {
            probability: 0.5,
            within: seconds(120),
        }),
        sqs(ServiceFault::ReorderMessages { probability: 0.8 }),
        sqs(ServiceFault::MissMessages { probability: 0.5 }),
    ]
}

fn carriers() -> Vec<Fault> {
    vec![
        Fault::kill("worker-0"),
        Fault::kill("worker-1"),
        Fault::kill("worker-0"),
        Fault::pause("worker-0"),
        Fault::pause("worker-1"),
        Fault::partition("worker-0", "aurora-us-east-1"),
        Fault::partition_one_way("aurora-us-east-1", "worker-1"),
        Fault::partition("worker-0", "eventbridge-us-east-1"),
        Fault::partition_one_way("eventbridge-us-east-1", "worker-1"),
        Fault::partition_one_way("sqs-us-east-1", "worker-0"),
        Fault::partition("sqs-us-east-1", "eventbridge-us-east-1"),
    ]
}

fn the_broker_fails() {
    let verdicts = hold(seeds(6), |seed| Script {
        plan: swarm(seed, &broker()),
        ..Script::calm(seed)
    });
    assert!(verdicts.iter().any(|verdict| bitten(verdict) > 0));
}

fn messages_come_twice_late_and_in_any_order() {
    let verdicts = hold(seeds(6), |seed| Script {
        plan: swarm(seed, &disorder()),
        ..Script::calm(seed)
    });
    assert!(verdicts.iter().any(|verdict| bitten(verdict) > 0));
}

fn whoever_carries_events_dies() {
    let verdicts = hold(seeds(6), |seed| Script {
        plan: swarm(seed, &carriers()),
        ..Script::calm(seed)
    });
    assert!(verdicts.iter().any(|verdict| bitten(verdict) > 0));
}

fn all_of_it_at_once() {
    hold(seeds(8), |seed| Script {
        psp: always(unreliable()),
        plan: swarm(seed, &[broker(), disorder(), carriers()].concat()),
        ..Script::calm(seed)
    });
}
