//! The value that the cluster agrees on: the states of all routing controls, how they change, and what an endpoint shows
//! of them while a change converges.
//!
//! A change is chosen by a majority at once; that it has happened shows at each endpoint only after a delay of that
//! endpoint's own. So two endpoints can answer differently for a while, as AWS warns, but never longer than 15 s.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::config::{Configuration, ControlState, RuleKind};
use super::error::Error;
use crate::{Seed, units};

/// No endpoint shows an older state than one that is this old.
pub const CONVERGENCE_MAX: Duration = Duration::from_secs(15);

/// One change of one control.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// What it changed to.
    pub state: ControlState,
    /// When, since 1970, by the clock of the endpoint that took it.
    pub at: Duration,
    /// The version of [`States`] that it made.
    pub version: u64,
}

/// All states, with the changes recent enough that an endpoint may not show them yet.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct States {
    /// Counts changes.
    pub version: u64,
    /// By ARN, oldest change first; a control never changed is not here.
    pub changes: BTreeMap<String, Vec<Change>>,
}

/// How long a change takes to show.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Convergence {
    /// At least. Default 0.
    #[serde(with = "units::duration")]
    pub min: Duration,
    /// At most, 15 s; drawn evenly for each change and endpoint. Default 10 s, so that the mean is AWS's "about 5 s".
    #[serde(with = "units::duration")]
    pub max: Duration,
}

impl Default for Convergence {
    fn default() -> Self {
        Self {
            min: Duration::ZERO,
            max: Duration::from_secs(10),
        }
    }
}

impl Convergence {
    /// When this change shows at an endpoint. The same whenever it is asked.
    fn delay(&self, seed: u64, endpoint: &str, version: u64) -> Duration {
        let mut stream = Seed(seed).stream(&format!("routing/{endpoint}/convergence/{version}"));
        stream.between(self.min, self.max).min(CONVERGENCE_MAX)
    }
}

/// An endpoint's eye.
#[derive(Debug, Clone)]
pub struct View {
    /// Which endpoint.
    pub endpoint: String,
    /// How fast changes show.
    pub convergence: Convergence,
    /// Decides the draws.
    pub seed: u64,
}

impl View {
    /// What the endpoint shows of a control at this time.
    pub fn state(&self, states: &States, arn: &str, wall: Duration) -> ControlState {
        let changes = states.changes.get(arn).map_or(&[][..], Vec::as_slice);
        let shows = |change: &&Change| {
            wall >= change.at + self.convergence.delay(self.seed, &self.endpoint, change.version)
        };
        // A later change that shows hides an earlier one that would show later.
        changes
            .iter()
            .rev()
            .find(shows)
            .map(|change| change.state)
            .unwrap_or_default()
    }
}

impl States {
    /// The agreed state of a control.
    pub fn state(&self, arn: &str) -> ControlState {
        self.changes
            .get(arn)
            .and_then(|changes| changes.last())
            .map(|c| c.state)
            .unwrap_or_default()
    }

    /// Changes controls, if every safety rule that is not overridden lets it.
    ///
    /// # Errors
    /// A control or an overridden rule that is not there, or a rule that forbids the change.
    pub fn update(
        &self,
        configuration: &Configuration,
        wanted: &BTreeMap<String, ControlState>,
        overridden: &BTreeSet<String>,
        wall: Duration,
    ) -> Result<Self, Error> {
        let known = configuration.controls();
        if let Some(unknown) = wanted.keys().find(|arn| !known.contains_key(*arn)) {
            return Err(Error::control_not_found(unknown));
        }
        let rules: BTreeSet<_> = configuration
            .rules
            .iter()
            .map(|rule| configuration.rule_arn(rule))
            .collect();
        if let Some(unknown) = overridden.difference(&rules).next() {
            return Err(Error::ResourceNotFound {
                id: unknown.clone(),
                kind: "SafetyRule",
            });
        }
        let mut next = self.clone();
        next.version += 1;
        for (arn, state) in wanted {
            let changes = next.changes.entry(arn.clone()).or_default();
            // What every endpoint has come to show by now hides all before it.
            let settled = changes
                .iter()
                .rposition(|change| wall >= change.at + CONVERGENCE_MAX);
            changes.drain(..settled.unwrap_or(0));
            changes.push(Change {
                state: *state,
                at: wall,
                version: next.version,
            });
        }
        for rule in &configuration.rules {
            let arn = configuration.rule_arn(rule);
            let (watched, guarded) = rule.kind.controls();
            let control = |name: &String| configuration.control_arn(&rule.panel, name);
            let concerned = guarded.iter().map(control).any(|arn| wanted.contains_key(&arn));
            if !concerned || overridden.contains(&arn) {
                continue;
            }
            let wait = Duration::from_millis(rule.wait_period_ms);
            let last = |arn: String| {
                self.changes
                    .get(&arn)
                    .and_then(|changes| changes.last())
                    .map(|c| c.at)
            };
            if guarded
                .iter()
                .map(control)
                .filter_map(last)
                .any(|at| wall < at + wait)
            {
                return Err(Error::conflict(
                    &arn,
                    format!("wait period of safety rule {}", rule.name),
                ));
            }
            let holds = |states: &Self| rule.holds(watched.iter().map(|name| states.state(&control(name))));
            let allowed = match rule.kind {
                RuleKind::Assertion { .. } => holds(&next),
                // Both, so that no request can open the gate for itself, or close it behind itself.
                RuleKind::Gating { .. } => holds(self) && holds(&next),
            };
            if !allowed {
                return Err(Error::conflict(&arn, format!("safety rule {}", rule.name)));
            }
        }
        Ok(next)
    }
}

#[cfg(test)]
mod tests {
    use super::super::config::{RuleType, SafetyRule};
    use super::ControlState::{Off, On};
    use super::*;

    fn rule(name: &str, kind: RuleKind, criteria: RuleType) -> SafetyRule {
        SafetyRule {
            panel: "default".into(),
            name: name.into(),
            kind,
            criteria,
            inverted: false,
            wait_period_ms: 0,
        }
    }

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    struct Bench(Configuration, States, Duration);

    impl Bench {
        fn set(&mut self, wanted: &[(&str, ControlState)], overridden: &[&str]) -> Result<(), String> {
            self.2 += Duration::from_secs(1);
            let arn = |name: &str| self.0.control_arn("default", name);
            let wanted = wanted.iter().map(|(name, state)| (arn(name), *state)).collect();
            let rules = self
                .0
                .rules
                .iter()
                .filter(|rule| overridden.contains(&rule.name.as_str()));
            let overridden = rules.map(|rule| self.0.rule_arn(rule)).collect();
            self.1 = self
                .1
                .update(&self.0, &wanted, &overridden, self.2)
                .map_err(|error| error.to_string())?;
            Ok(())
        }
    }

    #[test]
    fn an_assertion_keeps_traffic_flowing_somewhere() {
        let mut configuration = Configuration::of_controls(["a", "b"]);
        let asserted = names(&["a", "b"]);
        configuration.rules.push(rule(
            "one",
            RuleKind::Assertion { asserted },
            RuleType::AtLeast(1),
        ));
        let mut bench = Bench(configuration, States::default(), Duration::from_secs(1_000));
        bench.set(&[("a", On)], &[]).expect("one on");
        assert!(
            bench
                .set(&[("a", Off)], &[])
                .expect_err("none on")
                .contains("one")
        );
        bench.set(&[("a", Off), ("b", On)], &[]).expect("moved at once");
        bench.set(&[("b", Off)], &["one"]).expect("overridden");
    }

    #[test]
    fn a_gate_holds_its_targets() {
        let mut configuration = Configuration::of_controls(["gate", "a"]);
        let kind = RuleKind::Gating {
            gating: names(&["gate"]),
            targets: names(&["a"]),
        };
        configuration.rules.push(rule("gated", kind, RuleType::Or));
        let mut bench = Bench(configuration, States::default(), Duration::from_secs(1_000));
        assert!(bench.set(&[("a", On)], &[]).is_err());
        assert!(
            bench.set(&[("gate", On), ("a", On)], &[]).is_err(),
            "it cannot open the gate for itself"
        );
        bench.set(&[("gate", On)], &[]).expect("the gate is free");
        bench.set(&[("a", On)], &[]).expect("open");
        bench.set(&[("gate", Off)], &[]).expect("the gate is free");
        assert!(bench.set(&[("a", Off)], &[]).is_err());
    }

    #[test]
    fn a_wait_period_stops_flapping_and_inversion_turns_round() {
        let mut configuration = Configuration::of_controls(["a"]);
        let mut waits = rule(
            "r",
            RuleKind::Assertion {
                asserted: names(&["a"]),
            },
            RuleType::And,
        );
        (waits.wait_period_ms, waits.inverted) = (1_500, true);
        configuration.rules.push(waits);
        let mut bench = Bench(configuration, States::default(), Duration::from_secs(1_000));
        assert!(bench.set(&[("a", On)], &[]).is_err(), "inverted: not all on");
        bench.set(&[("a", Off)], &[]).expect("not all are on");
        assert!(
            bench
                .set(&[("a", Off)], &[])
                .expect_err("too soon")
                .contains("wait period")
        );
        bench.set(&[("a", Off)], &[]).expect("2 s later");
    }

    #[test]
    fn a_change_shows_within_fifteen_seconds_and_never_goes_back() {
        let configuration = Configuration::of_controls(["a"]);
        let arn = configuration.control_arn("default", "a");
        let mut bench = Bench(configuration, States::default(), Duration::from_secs(1_000));
        for (n, state) in [On, Off, On, Off, On].into_iter().enumerate() {
            bench.set(&[("a", state)], &[]).expect("no rules");
            bench.2 += Duration::from_secs(n as u64 * 4);
        }
        let changes = &bench.1.changes[&arn];
        for endpoint in ["x", "y", "z"] {
            let max = Duration::from_secs(60);
            let convergence = Convergence {
                min: Duration::ZERO,
                max,
            };
            let view = View {
                endpoint: endpoint.into(),
                convergence,
                seed: 5,
            };
            let first = changes[0].at;
            let mut shown = 0;
            for ms in (0..80_000).step_by(97) {
                let at = first + Duration::from_millis(ms);
                let now = changes.iter().filter(|c| c.at + CONVERGENCE_MAX <= at).count();
                let state = view.state(&bench.1, &arn, at);
                // The newest change that must show does, or a newer one.
                shown = shown.max(now);
                let possible = changes[shown.saturating_sub(1)..]
                    .iter()
                    .any(|c| c.state == state);
                assert!(possible || (now == 0 && state == Off));
            }
            assert_eq!(view.state(&bench.1, &arn, first + Duration::from_secs(100)), On);
        }
    }
}
