//! What the recovery-control configuration of AWS sets up and the cluster then serves: control panels, routing controls,
//! and the safety rules that guard changes of their states.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_128;

/// Whether traffic flows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
pub enum ControlState {
    /// It does.
    On,
    /// It does not. Every control starts so.
    #[default]
    Off,
}

/// The criteria of a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum RuleType {
    /// At least so many controls are On.
    AtLeast(usize),
    /// All are.
    And,
    /// At least one is.
    Or,
}

/// What a safety rule guards.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RuleKind {
    /// A change of any of these controls must leave the criteria true of them.
    Assertion {
        /// Names of controls of the rule's panel.
        asserted: Vec<String>,
    },
    /// Target controls can change only while the criteria are true of the gating controls.
    Gating {
        /// Names of controls of the rule's panel.
        gating: Vec<String>,
        /// Names of controls of the rule's panel.
        targets: Vec<String>,
    },
}

/// A safety rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SafetyRule {
    /// The panel it belongs to.
    pub panel: String,
    /// Its name, which decides its ARN.
    pub name: String,
    /// What it guards.
    pub kind: RuleKind,
    /// The criteria.
    pub criteria: RuleType,
    /// Whether the criteria's outcome is turned round.
    #[serde(default)]
    pub inverted: bool,
    /// Milliseconds after a change of a guarded control during which no other is taken. AWS: 5,000 by default.
    #[serde(default = "wait_period_default")]
    pub wait_period_ms: u64,
}

fn wait_period_default() -> u64 {
    5_000
}

/// A cluster's configuration, the same at all its endpoints.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Configuration {
    /// The account, as in ARNs.
    pub account: String,
    /// The names of routing controls, by the name of their panel. Names have no white space and at most 64 characters.
    pub panels: BTreeMap<String, BTreeSet<String>>,
    /// The safety rules.
    #[serde(default)]
    pub rules: Vec<SafetyRule>,
}

/// A routing control.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Control {
    /// Its ARN.
    pub arn: String,
    /// Its name.
    pub name: String,
    /// Its panel's name.
    pub panel: String,
    /// Its panel's ARN.
    pub panel_arn: String,
}

/// Why a configuration is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Invalid {
    /// A name that AWS would not take.
    #[error("{0:?} is no name: 1 to 64 characters without white space")]
    Name(String),
    /// A rule names a panel or a control that is not there.
    #[error("safety rule {rule} names {missing}, which its panel does not have")]
    Rule {
        /// The rule.
        rule: String,
        /// What it names.
        missing: String,
    },
}

fn id(parts: &[&str]) -> String {
    format!("{:032x}", xxh3_128(parts.join("/").as_bytes()))
}

impl Configuration {
    /// One panel named `default` with these controls and no rules, in account `000000000000`.
    pub fn of_controls<'a>(controls: impl IntoIterator<Item = &'a str>) -> Self {
        let controls = controls.into_iter().map(str::to_owned).collect();
        Self {
            account: "000000000000".to_owned(),
            panels: BTreeMap::from([("default".to_owned(), controls)]),
            rules: Vec::new(),
        }
    }

    /// Refuses names that AWS would not take, and rules about controls that are not there.
    ///
    /// # Errors
    /// The first fault found.
    pub fn check(&self) -> Result<(), Invalid> {
        let names = self
            .panels
            .iter()
            .flat_map(|(panel, controls)| controls.iter().chain([panel]));
        for name in names.chain(self.rules.iter().map(|rule| &rule.name)) {
            if name.is_empty() || name.chars().count() > 64 || name.contains(char::is_whitespace) {
                return Err(Invalid::Name(name.clone()));
            }
        }
        for rule in &self.rules {
            let panel = self.panels.get(&rule.panel);
            let known = |name: &String| panel.is_some_and(|controls| controls.contains(name));
            let (watched, guarded) = rule.kind.controls();
            if let Some(missing) = watched.iter().chain(guarded).find(|name| !known(name)) {
                return Err(Invalid::Rule {
                    rule: rule.name.clone(),
                    missing: missing.clone(),
                });
            }
        }
        Ok(())
    }

    fn panel_arn(&self, panel: &str) -> String {
        format!(
            "arn:aws:route53-recovery-control::{}:controlpanel/{}",
            self.account,
            id(&[&self.account, panel])
        )
    }

    /// The ARN of a routing control.
    pub fn control_arn(&self, panel: &str, name: &str) -> String {
        let id = id(&[&self.account, panel, "control", name]);
        format!("{}/routingcontrol/{}", self.panel_arn(panel), &id[..16])
    }

    /// The ARN of a safety rule.
    pub fn rule_arn(&self, rule: &SafetyRule) -> String {
        let id = id(&[&self.account, &rule.panel, "rule", &rule.name]);
        format!("{}/safetyrule/{}", self.panel_arn(&rule.panel), &id[..16])
    }

    /// All routing controls, by ARN.
    pub fn controls(&self) -> BTreeMap<String, Control> {
        let all = self
            .panels
            .iter()
            .flat_map(|(panel, names)| names.iter().map(move |name| (panel, name)));
        all.map(|(panel, name)| {
            let arn = self.control_arn(panel, name);
            let panel_arn = self.panel_arn(panel);
            (
                arn.clone(),
                Control {
                    arn,
                    name: name.clone(),
                    panel: panel.clone(),
                    panel_arn,
                },
            )
        })
        .collect()
    }
}

impl RuleKind {
    /// The controls whose states the criteria are about, and those whose changes the rule guards.
    pub(super) fn controls(&self) -> (&[String], &[String]) {
        match self {
            Self::Assertion { asserted } => (asserted, asserted),
            Self::Gating { gating, targets } => (gating, targets),
        }
    }
}

impl SafetyRule {
    /// Whether the criteria hold of these states of the watched controls.
    pub(super) fn holds(&self, states: impl Iterator<Item = ControlState>) -> bool {
        let (mut on, mut all) = (0, 0);
        for state in states {
            all += 1;
            on += usize::from(state == ControlState::On);
        }
        let plain = match self.criteria {
            RuleType::AtLeast(threshold) => on >= threshold,
            RuleType::And => on == all,
            RuleType::Or => on >= 1,
        };
        plain != self.inverted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arns_differ_and_stay() {
        let configuration = Configuration::of_controls(["a", "b"]);
        assert_eq!(configuration.check(), Ok(()));
        let controls = configuration.controls();
        assert_eq!(controls.len(), 2);
        assert!(controls.contains_key(&configuration.control_arn("default", "a")));
        assert!(
            controls
                .keys()
                .all(|arn| arn.len() <= 255 && arn.starts_with("arn:aws:route53-recovery-control::"))
        );
    }

    #[test]
    fn rules_speak_of_controls_that_exist() {
        let mut configuration = Configuration::of_controls(["a"]);
        configuration.rules.push(SafetyRule {
            panel: "default".into(),
            name: "r".into(),
            kind: RuleKind::Assertion {
                asserted: vec!["a".into(), "b".into()],
            },
            criteria: RuleType::Or,
            inverted: false,
            wait_period_ms: 0,
        });
        assert!(matches!(configuration.check(), Err(Invalid::Rule { missing, .. }) if missing == "b"));
        assert!(matches!(
            Configuration::of_controls(["a b"]).check(),
            Err(Invalid::Name(_))
        ));
    }
}
