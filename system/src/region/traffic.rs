//! Where clients go: has the routing controls of ARC follow the routing.
//!
//! **The rule.** A Region's control is On unless the routing names the Region out of service. That comes about like this:
//!
//! | a Region is | its control is Off from | until |
//! |---|---|---|
//! | the writer, and given up | the decision to give it up, before anything is promoted | it has reported for ten looks in a row (half a minute) that it is well, and a gateway of it answers |
//! | another one, and gone by the same evidence | the decision, 25 to 35 s after it fell silent | likewise |
//! | left by plan (`payments region evacuate`) | the decision | `payments region return` |
//!
//! Whoever is to write is in service from the decision on, so never are all controls Off, and an assertion rule that wants one of
//! them On is always kept. Where another safety rule forbids a change as a whole, what it would switch On is switched On alone: to
//! send clients to one Region more is never what such a rule is there against. The rest waits until the rule lets it.
//!
//! **One way only.** The routing decides, and the controls follow; nothing in here reads a control to find out who writes. So ARC
//! can be out, or be wrong, without two writers, and a failover does not wait for it: this runs beside the controllers, with which
//! it shares only what is read of the routing. Whoever switches a control by hand sees it switched back within minutes.
//!
//! **Who does it.** Every process with a controller, in every Region: any of them may be the last one that reaches ARC. They want the
//! same, since each acts on the routing alone, and only while its reading of that is good (a lease). One that was slow can undo
//! what a later version asked for, once: the others look again, soon after each change of the routing and then ever more seldom.
//! What became of a change that nobody answered shows at the next look too.

use std::{collections::BTreeMap, time::Duration};

use tokio::time::sleep;

use super::{
    arc::{ArcError, RoutingControls},
    keeper::Keeper,
    routing::Routing,
};

/// The first pause after a change; the following ones are twice as long each.
const PAUSE_MIN: Duration = Duration::from_secs(3);

/// The longest, when nothing has changed for long.
const PAUSE_MAX: Duration = Duration::from_secs(120);

/// The longest while ARC does not do what it is asked.
const PAUSE_FAILING_MAX: Duration = Duration::from_secs(15);

/// Switches routing controls, for a process of one Region.
#[derive(Debug)]
pub struct Traffic {
    keeper: Keeper,
    controls: RoutingControls,
    /// What the last look showed.
    shown: BTreeMap<String, bool>,
}

/// What a look at the controls showed.
enum Found {
    AsTheyShouldBe,
    Otherwise,
}

impl Traffic {
    /// Has these controls follow what this keeper reads.
    pub fn new(keeper: Keeper, controls: RoutingControls) -> Self {
        Self {
            keeper,
            controls,
            shown: BTreeMap::new(),
        }
    }

    /// Looks and switches, for ever.
    pub async fn run(mut self) {
        let mut changes = self.keeper.changes();
        let mut pause = PAUSE_MIN;
        loop {
            changes.mark_unchanged();
            pause = match self.look().await {
                Ok(Found::AsTheyShouldBe) => PAUSE_MAX.min(pause * 2),
                Ok(Found::Otherwise) | Err(ArcError::Outdated) => PAUSE_MIN,
                Err(error) => {
                    tracing::warn!(region = self.keeper.region(), %error, "clients go where they went before");
                    PAUSE_FAILING_MAX.min(pause * 2)
                }
            };
            tokio::select! {
                biased;
                // The keeper outlives this.
                _ = changes.changed() => pause = PAUSE_MIN,
                () = sleep(pause.mul_f64(0.75 + 0.5 * fastrand::f64())) => {}
            }
        }
    }

    async fn look(&mut self) -> Result<Found, ArcError> {
        let Some(routing) = self.keeper.current() else {
            return Err(ArcError::Outdated);
        };
        let found = self.controls.states().await?;
        if found != self.shown {
            tracing::info!(region = self.keeper.region(), on = ?found, "routing controls");
            self.shown.clone_from(&found);
        }
        let wanted = wanted(&routing, self.controls.regions());
        let differing: BTreeMap<&str, bool> = wanted
            .into_iter()
            .filter(|(region, on)| found.get(*region) != Some(on))
            .collect();
        if differing.is_empty() {
            return Ok(Found::AsTheyShouldBe);
        }
        let still = || {
            let current = self.keeper.current();
            current.is_some_and(|current| current.version == routing.version)
        };
        let switched = self.controls.set(&differing, still).await;
        let on: BTreeMap<&str, bool> = differing
            .iter()
            .filter(|(_, on)| **on)
            .map(|(region, on)| (*region, *on))
            .collect();
        if matches!(switched, Err(ArcError::Conflict(_))) && !on.is_empty() && on != differing {
            self.controls.set(&on, still).await?;
            tracing::warn!(region = self.keeper.region(), switched = ?on, "routing controls switched on alone");
        } else if switched.is_ok() {
            tracing::warn!(
                region = self.keeper.region(),
                version = routing.version,
                switched = ?differing,
                "routing controls switched"
            );
        }
        switched.map(|()| Found::Otherwise)
    }
}

/// Whether each of these Regions' control is to be On.
fn wanted<'a>(routing: &Routing, regions: impl Iterator<Item = &'a str>) -> BTreeMap<&'a str, bool> {
    let in_service = |region| !routing.out_of_service.contains_key(region);
    regions.map(|region| (region, in_service(region))).collect()
}

#[cfg(test)]
mod tests {
    use time::OffsetDateTime;

    use super::*;
    use crate::{
        ledger::Schema,
        region::{Absence, State},
    };

    const REGIONS: [&str; 3] = ["a", "b", "c"];

    fn routing(writer: &str, out_of_service: &[(&str, Absence)]) -> Routing {
        let absent = out_of_service.iter();
        Routing {
            ledger: "main".to_owned(),
            version: 2,
            writer: writer.to_owned(),
            before: None,
            epoch: 2,
            state: State::FailingOver,
            planned: false,
            schema: Schema::default(),
            lost_since: None,
            out_of_service: absent
                .map(|(region, absence)| ((*region).to_owned(), *absence))
                .collect(),
            decided_by: "test".to_owned(),
            decided_at: OffsetDateTime::UNIX_EPOCH,
            reason: String::new(),
        }
    }

    fn on(routing: &Routing) -> Vec<&'static str> {
        let wanted = wanted(routing, REGIONS.into_iter());
        assert_eq!(wanted.len(), REGIONS.len(), "each control has a state");
        let on = wanted.into_iter().filter(|(_, on)| *on);
        on.map(|(region, _)| region).collect()
    }

    #[test]
    fn every_region_in_service_is_on_whoever_writes() {
        assert_eq!(on(&routing("a", &[])), ["a", "b", "c"]);
        assert_eq!(on(&routing("c", &[])), ["a", "b", "c"]);
    }

    #[test]
    fn a_region_is_off_before_the_next_one_writes() {
        // Still failing over: clients are sent away from the decision on.
        assert_eq!(on(&routing("b", &[("a", Absence::GivenUp)])), ["b", "c"]);
        let both = [("a", Absence::GivenUp), ("c", Absence::Evacuated)];
        assert_eq!(on(&routing("b", &both)), ["b"]);
    }

    #[test]
    fn a_region_without_a_control_is_left_out() {
        let routing = routing("b", &[("a", Absence::GivenUp)]);
        let wanted = wanted(&routing, ["b"].into_iter());
        assert_eq!(wanted, BTreeMap::from([("b", true)]));
    }
}
