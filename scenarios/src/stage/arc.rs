//! The ARC cluster on its five hosts, its routing controls as the system drives them, and DNS as clients see them.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use payments::region::RoutingControls;
use sumzero_sim::{
    Host, World,
    aws::routing::{
        Configuration, Endpoint, Options,
        config::{RuleKind, RuleType, SafetyRule},
    },
    fault::Service,
};
use tokio::{net::TcpListener, time::sleep};

use super::{
    aws::client,
    network::{self, ARC_MEMBERS, ARC_REGIONS, HTTP, REGIONS, at},
};

/// The panel of all controls.
const PANEL: &str = "default";

/// How long a client may keep what DNS told it: what AWS recommends for records that follow routing controls.
const TTL: Duration = Duration::from_secs(60);

/// One control a Region, all Off to begin with, and the rule that at least one is On once any has been.
fn configuration() -> Configuration {
    let mut configuration = Configuration::of_controls(REGIONS);
    configuration.rules.push(SafetyRule {
        panel: PANEL.to_owned(),
        name: "somewhere".to_owned(),
        kind: RuleKind::Assertion {
            asserted: REGIONS.map(str::to_owned).into(),
        },
        criteria: RuleType::AtLeast(1),
        inverted: false,
        wait_period_ms: 5_000,
    });
    configuration
}

/// The cluster.
pub(super) fn cluster(mut world: World, seed: u64) -> World {
    let members: Vec<_> = (0..ARC_REGIONS.len())
        .map(|member| at(network::arc(member), ARC_MEMBERS))
        .collect();
    for (member, region) in (0..).zip(ARC_REGIONS) {
        let options = Options {
            seed,
            ..Options::new(region, member, members.clone(), configuration())
        };
        let endpoint = Endpoint::new(options).expect("rules about controls that are there");
        world = world.service(Service::RoutingControl, region, endpoint.faults());
        let host = Host::new(format!("arc-{region}"))
            .region(region)
            .ip(network::arc(member.into()))
            .run(move || {
                let endpoint = endpoint.clone();
                async move {
                    let clients = TcpListener::bind(("0.0.0.0", HTTP)).await?;
                    let members = TcpListener::bind(("0.0.0.0", ARC_MEMBERS)).await?;
                    endpoint.serve(clients, members).await
                }
            });
        world = world.host(host.restarts_after(Duration::from_secs(1)));
    }
    world
}

/// The controls, through all endpoints.
pub(super) fn controls() -> RoutingControls {
    let endpoints = ARC_REGIONS.iter().enumerate().map(|(member, region)| {
        client!(
            aws_sdk_route53recoverycluster,
            *region,
            at(network::arc(member), HTTP)
        )
    });
    let configuration = configuration();
    let control = |region: &str| (region.to_owned(), configuration.control_arn(PANEL, region));
    let controls: BTreeMap<_, _> = REGIONS.into_iter().map(control).collect();
    RoutingControls::new(endpoints.collect(), controls).expect("five endpoints, one panel")
}

/// What a client knows from DNS. Modelled: Route 53's health checks, which follow the controls, keep their last state while ARC is
/// out, and let every Region count when none does; answers that are kept for their TTL. Not modelled: Route 53 itself, which does
/// not fail here.
#[derive(Clone, Default)]
pub(super) struct Names(Arc<Mutex<Vec<usize>>>);

impl Names {
    /// Asks again and again, for as long as the host lives.
    pub(super) async fn follow(self) {
        let controls = controls();
        loop {
            if let Ok(states) = controls.states().await {
                let on = |region: &usize| states.get(REGIONS[*region]) == Some(&true);
                *self.0.lock().unwrap_or_else(PoisonError::into_inner) =
                    (0..REGIONS.len()).filter(on).collect();
            }
            sleep(TTL).await;
        }
    }

    /// One of the Regions that clients are sent to, by chance.
    pub(super) fn region(&self) -> usize {
        let on = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match on.len() {
            0 => fastrand::usize(..REGIONS.len()),
            count => on[fastrand::usize(..count)],
        }
    }
}

#[cfg(test)]
mod tests {
    use payments::region::ArcError;
    use sumzero_sim::{
        Fault, PlannedFault, World,
        fault::{Failure, Outage, ServiceFault, Target},
    };

    use super::*;

    const AFTER: Duration = Duration::from_secs(20);

    /// What comes of a program beside a cluster that has these faults from 10 s on, at the first so many endpoints.
    fn beside<F>(fault: &ServiceFault, endpoints: usize, program: fn(RoutingControls) -> F)
    where
        F: Future<Output = ()> + 'static,
    {
        let world = cluster(World::new(3), 3);
        let world = world.client(Host::new("client").region("us-east-1").run(move || async move {
            let controls = controls();
            controls
                .set(&REGIONS.map(|region| (region, true)).into(), || true)
                .await?;
            sleep(AFTER).await;
            program(controls).await;
            Ok::<_, ArcError>(())
        }));
        let strike = |region: &str| -> PlannedFault {
            Fault::service(Service::RoutingControl, region, fault.clone()).at(Duration::from_secs(10))
        };
        let world = ARC_REGIONS[..endpoints]
            .iter()
            .fold(world, |world, region| world.fault(strike(region)));
        let outcome = world.run_until_done(Duration::from_secs(120));
        outcome.expect("the program holds");
    }

    fn silent() -> ServiceFault {
        ServiceFault::Unavailable {
            outage: Outage::Silence,
        }
    }

    #[test]
    fn one_endpoint_that_answers_is_enough() {
        for outage in [Outage::Refuse, Outage::Hangup, Outage::Silence] {
            beside(&ServiceFault::Unavailable { outage }, 4, |controls| async move {
                let off = BTreeMap::from([(REGIONS[0], false)]);
                controls.set(&off, || true).await.expect("the fifth takes it");
                sleep(AFTER).await;
                let states = controls.states().await.expect("the fifth answers");
                let states: Vec<_> = states.into_values().collect();
                assert_eq!(states, [false, true, true]);
            });
        }
    }

    #[test]
    fn without_an_endpoint_nothing_is_known() {
        beside(&silent(), 5, |controls| async move {
            let states = controls.states().await;
            assert!(matches!(states, Err(ArcError::Unavailable(_))), "{states:?}");
            let off = BTreeMap::from([(REGIONS[0], false)]);
            let set = controls.set(&off, || true).await;
            assert!(matches!(set, Err(ArcError::Unknown(_))), "{set:?}");
        });
    }

    #[test]
    fn what_was_throttled_was_not_done() {
        let throttle = ServiceFault::Throttle {
            target: Target::default(),
        };
        beside(&throttle, 5, |controls| async move {
            let off = BTreeMap::from([(REGIONS[0], false)]);
            let set = controls.set(&off, || true).await;
            assert!(matches!(set, Err(ArcError::Unavailable(_))), "{set:?}");
        });
    }

    #[test]
    fn a_change_that_was_made_and_not_answered_is_not_known_and_shows() {
        let unanswered = ServiceFault::FailAfter {
            target: Target::operation("UpdateRoutingControlStates"),
            failure: Failure::default(),
        };
        beside(&unanswered, 5, |controls| async move {
            let off = BTreeMap::from([(REGIONS[0], false)]);
            let set = controls.set(&off, || true).await;
            assert!(matches!(set, Err(ArcError::Unknown(_))), "{set:?}");
            sleep(AFTER).await;
            let states = controls.states().await.expect("questions are answered");
            assert!(!states[REGIONS[0]]);
        });
    }

    #[test]
    fn a_safety_rule_forbids_that_all_are_off() {
        beside(&silent(), 0, |controls| async move {
            let off = REGIONS.map(|region| (region, false)).into();
            let set = controls.set(&off, || true).await;
            assert!(matches!(set, Err(ArcError::Conflict(_))), "{set:?}");
        });
    }

    #[test]
    fn a_change_that_is_no_longer_wanted_is_not_asked_for() {
        beside(&silent(), 0, |controls| async move {
            let off = BTreeMap::from([(REGIONS[0], false)]);
            assert_eq!(controls.set(&off, || false).await, Err(ArcError::Outdated));
            sleep(AFTER).await;
            assert!(controls.states().await.expect("an answer")[REGIONS[0]]);
        });
    }
}
