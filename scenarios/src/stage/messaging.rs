//! EventBridge and SQS in every Region, and the processes that publish and consume.

use std::{collections::BTreeSet, time::Duration};

use payments::node::{self, Role};
use sumzero_sim::{
    Host, World,
    aws::{
        eventbridge::{self, EventBridge},
        sqs::{self, Sqs},
    },
    fault::Service,
};
use tokio::net::TcpListener;

use crate::script::Script;

use super::{
    Notes, aws,
    network::{self, HTTP, REGIONS, at},
    rollout, system,
};

/// The Regions of the processes that publish and consume: those of a Region work while it writes.
const WORKERS: [usize; 4] = [0, 0, 1, 2];

/// The services. What they were given outlives their processes.
pub(super) fn services(mut world: World, seed: u64) -> World {
    for (number, region) in REGIONS.iter().enumerate() {
        let queues = Sqs::new(sqs::Options {
            seed,
            ..sqs::Options::new(*region)
        });
        let buses = EventBridge::new(eventbridge::Options {
            seed,
            ..eventbridge::Options::new(*region, at(network::sqs(number), HTTP))
        });
        world = world.service(Service::Sqs, *region, queues.faults()).service(
            Service::Eventbridge,
            *region,
            buses.faults(),
        );
        let host = Host::new(format!("sqs-{region}"))
            .region(*region)
            .ip(network::sqs(number))
            .run(move || {
                let queues = queues.clone();
                async move { queues.serve(TcpListener::bind(("0.0.0.0", HTTP)).await?).await }
            });
        world = world.host(host.restarts_after(Duration::from_secs(1)));
        let host = Host::new(format!("eventbridge-{region}"))
            .region(*region)
            .ip(network::eventbridge(number))
            .run(move || {
                let buses = buses.clone();
                async move { buses.serve(TcpListener::bind(("0.0.0.0", HTTP)).await?).await }
            });
        world = world.host(host.restarts_after(Duration::from_secs(1)));
    }
    world
}

/// The processes that publish the ledger's events and take them in.
pub(super) fn workers(mut world: World, script: &Script, notes: &Notes) -> World {
    for (number, region) in (0..).zip(WORKERS) {
        let name = format!("worker-{number}");
        let host = Host::new(name.clone())
            .region(REGIONS[region])
            .ip(network::worker(region, number));
        let (script, notes) = (script.clone(), notes.clone());
        let host = host.run(move || {
            let (schema, drained) = rollout::process(&script, &notes, &name);
            let mut roles = BTreeSet::from([Role::Relay, Role::Consumer]);
            if script.tuning.reconcile {
                roles.insert(Role::Reconciler);
            }
            let config = node::NodeConfig {
                schema,
                roles,
                ..system::config(region, &script)
            };
            async move {
                let listener = TcpListener::bind(("0.0.0.0", HTTP)).await?;
                node::run(config, aws::clients(region), listener, drained).await
            }
        });
        world = world.host(host.restarts_after(Duration::from_secs(2)));
    }
    world
}
