//! Scenarios: files that say what is put on the stage and what may go wrong, as ranges. The seed picks a [`Script`] from them.
//!
//! `scenarios/SCHEMA.md` lists every key with its unit, range and default. Each thing that goes wrong is drawn from a stream of
//! its own, so that adding or removing one leaves the others as they were.

mod catalogue;
mod problem;
mod template;

use std::{ops::Range, time::Duration};

use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;
use sumzero_sim::{Fault, Plan, PlannedFault, Seed, units};
use toml::de::DeTable;

use crate::{
    properties::PROPERTIES,
    script::{FORMAT, Handover, Limits, Rollout, Script, Spell, Tuning, Workload},
    stage,
};

pub use catalogue::catalogue;
use problem::with_suggestion;
pub use problem::{Problem, nearest};
use template::{End, Pick, Template};

/// A scenario, read and checked.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// Its name: the file's, without `.toml`.
    pub name: String,
    /// What it is about, in a sentence.
    pub about: String,
    template: Template,
    digest: u64,
}

/// The file, with everything drawn but spells and faults, which are drawn one by one.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Drawn {
    #[serde(rename = "about")]
    _about: String,
    #[serde(default = "two")]
    gateways: u8,
    #[serde(default)]
    tuning: Tuning,
    #[serde(default)]
    workload: Workload,
    #[serde(default)]
    rollout: Option<Rollout>,
    #[serde(default)]
    limits: Limits,
    #[serde(default)]
    properties: Vec<String>,
    #[serde(default)]
    psp: Vec<Value>,
    #[serde(default)]
    kyc: Vec<Value>,
    #[serde(default)]
    handover: Vec<Value>,
    #[serde(default)]
    fault: Vec<Value>,
}

fn two() -> u8 {
    2
}

/// Whether and when something goes wrong; what, is the rest of its table.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct When {
    #[serde(with = "units::duration")]
    at: Duration,
    #[serde(with = "units::optional_duration", default)]
    lasting: Option<Duration>,
}

/// Where in the file a value cannot be what it is.
type Misfit = (Range<usize>, String);

impl Scenario {
    /// Reads a scenario and checks it: every key, every end of every range, every place that it names.
    ///
    /// # Errors
    /// The first thing that is wrong, and where.
    pub fn read(name: &str, file: &str, text: &str) -> Result<Self, Problem> {
        let scenario = Self::parse(name, file, text)?;
        let problem = |(span, message): Misfit| Problem::at(file, text, span, message);
        for choice in 0..scenario.template.choices() {
            for high in [false, true] {
                let (script, origins) = scenario.pick(0, |_| End { high, choice }).map_err(problem)?;
                scenario.check(&script, &origins).map_err(problem)?;
            }
        }
        Ok(scenario)
    }

    /// Reads a scenario that is known to be right.
    fn parse(name: &str, file: &str, text: &str) -> Result<Self, Problem> {
        let problem = |(span, message): Misfit| Problem::at(file, text, span, message);
        let parsed = DeTable::parse(text).map_err(|error| {
            let span = error.span().unwrap_or_default();
            problem((span, error.message().to_owned()))
        })?;
        let template = Template::file(&parsed).map_err(problem)?;
        let about = match template.get("about").map(|about| {
            about.draw(&mut End {
                high: false,
                choice: 0,
            })
        }) {
            Some(Value::String(about)) => about,
            _ => {
                return Err(problem((
                    0..0,
                    "`about` is missing: say in a sentence what it is about".to_owned(),
                )));
            }
        };
        Ok(Self {
            name: name.to_owned(),
            about,
            template,
            digest: xxhash_rust::xxh3::xxh3_64(text.as_bytes()),
        })
    }

    /// A hash of the file, in hexadecimal: another one picks other values.
    pub fn digest(&self) -> String {
        format!("{:016x}", self.digest)
    }

    /// What this seed picks.
    pub fn draw(&self, seed: u64) -> Script {
        let picked = self.pick(seed, |purpose| Seed(seed).stream(&format!("scenario/{purpose}")));
        picked
            .expect("every end of every range was tried when the file was read")
            .0
    }

    /// Picks with a picker for each purpose. Says also which `[[fault]]` each fault of the plan is from.
    fn pick<P: Pick>(
        &self,
        seed: u64,
        picker: impl Fn(&str) -> P,
    ) -> Result<(Script, Vec<&Template>), Misfit> {
        let drawn: Drawn = fit(&self.template, self.template.draw(&mut picker("stage")))?;
        let faults = self.happenings("fault", &picker, fault)?;
        let (faults, origins) = faults.into_iter().unzip();
        let spells = |name: &str| self.happenings::<Spell, P>(name, &picker, fit);
        let handovers = self.happenings::<Handover, P>("handover", &picker, fit)?;
        for (handover, template) in &handovers {
            if !stage::REGIONS.contains(&handover.to.as_str()) {
                let near = suggestion(&handover.to, stage::REGIONS.iter().copied());
                let message = format!("there is no Region {:?}{near}", handover.to);
                return Err((template.span.clone(), message));
            }
        }
        let script = Script {
            format: FORMAT,
            scenario: self.name.clone(),
            seed,
            variant: None,
            gateways: drawn.gateways,
            tuning: drawn.tuning,
            workload: drawn.workload,
            psp: values(spells("psp")?),
            kyc: values(spells("kyc")?),
            handovers: values(handovers),
            rollout: drawn.rollout,
            plan: Plan { faults },
            limits: drawn.limits,
            properties: drawn.properties,
        };
        let _ = (drawn.psp, drawn.kyc, drawn.handover, drawn.fault);
        Ok((script, origins))
    }

    /// What the tables of this name came to, each with the table that it is from.
    fn happenings<T, P: Pick>(
        &self,
        name: &str,
        picker: &impl Fn(&str) -> P,
        read: fn(&Template, Value) -> Result<T, Misfit>,
    ) -> Result<Vec<(T, &Template)>, Misfit> {
        let mut values = Vec::new();
        for (number, template) in self.list(name).iter().enumerate() {
            for value in happenings(template, &mut picker(&format!("{name}/{number}")))? {
                values.push((read(template, value)?, template));
            }
        }
        Ok(values)
    }

    fn list(&self, name: &str) -> &[Template] {
        self.template.get(name).map_or(&[], Template::items)
    }

    /// Checks values against each other, and places against the stage.
    fn check(&self, script: &Script, origins: &[&Template]) -> Result<(), Misfit> {
        let misfit = |keys: [&str; 2], message: String| {
            let table = self.template.get(keys[0]).unwrap_or(&self.template);
            let span = table.key(keys[1]).or_else(|| self.template.key(keys[1]));
            Err((span.unwrap_or(0..0), message))
        };
        for (keys, value, low, high) in [
            (["", "gateways"], u32::from(script.gateways), 1, 8),
            (
                ["tuning", "attempts_max"],
                u32::from(script.tuning.attempts_max),
                1,
                10_000,
            ),
            (
                ["tuning", "breaker_failures"],
                u32::from(script.tuning.breaker_failures),
                1,
                10,
            ),
            (
                ["tuning", "group_max"],
                u32::from(script.tuning.group_max),
                1,
                1_000,
            ),
            (["workload", "clients"], u32::from(script.workload.clients), 1, 64),
            (["workload", "requests"], script.workload.requests, 1, 10_000),
            (
                ["workload", "accounts"],
                u32::from(script.workload.accounts),
                1,
                64,
            ),
            (
                ["workload", "duplicate_ppm"],
                script.workload.duplicate_ppm,
                0,
                1_000_000,
            ),
            (
                ["workload", "collide_ppm"],
                script.workload.collide_ppm,
                0,
                1_000_000,
            ),
            (["workload", "reuse_ppm"], script.workload.reuse_ppm, 0, 1_000_000),
            (["workload", "rival_ppm"], script.workload.rival_ppm, 0, 1_000_000),
        ] {
            if !(low..=high).contains(&value) {
                return misfit(
                    keys,
                    format!("{} is {value}, but must be {low} to {high}", keys[1]),
                );
            }
        }
        if !(0.0..=5.0).contains(&script.workload.zipf) {
            let message = format!("zipf is {}, but must be 0 to 5", script.workload.zipf);
            return misfit(["workload", "zipf"], message);
        }
        let must_let_through = 2 * u32::from(script.tuning.breaker_failures) - 1;
        if script.limits.failures < must_let_through {
            let message = format!(
                "failures is {}, but must be {must_let_through} or more: a sound breaker of {} failures lets so many through",
                script.limits.failures, script.tuning.breaker_failures
            );
            return misfit(["limits", "failures"], message);
        }
        for (name, lease) in [
            ("gate_lease", script.tuning.gate_lease),
            ("operation_lease", script.tuning.operation_lease),
        ] {
            if lease < Duration::from_secs(1) {
                return misfit(["tuning", name], format!("{name} must be 1s or longer"));
            }
        }
        if script.workload.patience.is_zero() {
            return misfit(
                ["workload", "patience"],
                "a client must wait for its answer".to_owned(),
            );
        }
        let known = || PROPERTIES.iter().map(|property| property.name);
        if let Some(unknown) = script
            .properties
            .iter()
            .find(|name| known().all(|known| known != *name))
        {
            let near = suggestion(unknown, known());
            return misfit(
                ["", "properties"],
                format!("there is no property {unknown:?}{near}"),
            );
        }
        let Err(error) = stage::check(script) else {
            return Ok(());
        };
        let span = match &error {
            sumzero_sim::Error::Fault { index, .. } => {
                origins.get(*index).map(|template| template.span.clone())
            }
            _ => None,
        };
        Err((span.unwrap_or(0..0), error.to_string()))
    }
}

/// How often something happens, by its `chance` and `times`, and what it is each time: its table without these two.
fn happenings(template: &Template, pick: &mut impl Pick) -> Result<Vec<Value>, Misfit> {
    let number = |key: &str, pick: &mut dyn Pick, otherwise: f64, range: std::ops::RangeInclusive<f64>| {
        let Some(value) = template.get(key) else {
            return Ok(otherwise);
        };
        let (drawn, span) = (value.draw(pick), value.span.clone());
        let fits = drawn.as_f64().filter(|number| range.contains(number));
        fits.ok_or_else(|| {
            (
                span,
                format!("{key} must be {} to {}", range.start(), range.end()),
            )
        })
    };
    let chance = number("chance", pick, 1.0, 0.0..=1.0)?;
    let times = number("times", pick, 1.0, 0.0..=100.0)? as u32;
    if !pick.happens(chance) {
        return Ok(Vec::new());
    }
    let happenings = (0..times).map(|_| {
        let mut value = template.draw(pick);
        if let Some(table) = value.as_object_mut() {
            table.remove("chance");
            table.remove("times");
        }
        value
    });
    Ok(happenings.collect())
}

fn values<T>(happenings: Vec<(T, &Template)>) -> Vec<T> {
    happenings.into_iter().map(|(value, _)| value).collect()
}

/// What was perhaps meant, to be put behind what is unknown.
fn suggestion<'a>(unknown: &str, known: impl Iterator<Item = &'a str>) -> String {
    let near = nearest(unknown, known);
    near.map(|near| format!("; did you mean {near:?}?"))
        .unwrap_or_default()
}

fn fault(template: &Template, mut value: Value) -> Result<PlannedFault, Misfit> {
    let mut when = serde_json::Map::new();
    if let Some(table) = value.as_object_mut() {
        for key in ["at", "lasting"] {
            when.extend(table.remove(key).map(|value| (key.to_owned(), value)));
        }
        if table.len() != 1 {
            let names: Vec<_> = table.keys().map(String::as_str).collect();
            let message = format!(
                "a fault is one thing that goes wrong, such as process-kill = {{ place = \"psp\" }}; here are {} ({})",
                names.len(),
                names.join(", ")
            );
            return Err((template.span.clone(), message));
        }
    }
    let when: When = fit(template, Value::Object(when))?;
    let fault: Fault = fit(template, value)?;
    Ok(PlannedFault {
        at: when.at,
        lasting: when.lasting.filter(|_| !fault.is_instant()),
        fault,
    })
}

/// Makes a value of what was drawn; what does not fit is found again in the file.
fn fit<T: DeserializeOwned>(template: &Template, value: Value) -> Result<T, Misfit> {
    serde_path_to_error::deserialize(value).map_err(|error| {
        let message = error.inner().to_string();
        let name = message
            .starts_with("unknown ")
            .then(|| message.split('`').nth(1))
            .flatten();
        let place = template.place(error.path(), name);
        (place, with_suggestion(&message))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"
about = "A test"
[workload]
clients = "2..3"
[[fault]]
chance = 0.5
times = "1..3"
at = "5s..50s"
lasting = "1s..2s"
process-kill = { place = { any = ["gateway-us-east-1-0", "psp"] } }
[[psp]]
at = "0s"
lasting = "10s..20s"
behaviour = { jitter_ms = "0..3000" }
[[handover]]
at = "5s..9s"
to = "us-east-2"
"#;

    fn problem(from: &str, to: &str) -> String {
        let text = GOOD.replacen(from, to, 1);
        assert_ne!(text, GOOD);
        let problem = Scenario::read("test", "test.toml", &text).unwrap_err();
        problem.to_string()
    }

    #[test]
    fn a_seed_picks_the_same_again_and_another_seed_something_else() {
        let scenario = Scenario::read("test", "test.toml", GOOD).unwrap();
        assert_eq!(scenario.draw(3), scenario.draw(3));
        let counts: std::collections::BTreeSet<_> = (0..32)
            .map(|seed| scenario.draw(seed).plan.faults.len())
            .collect();
        assert_eq!(Vec::from_iter(counts), [0, 1, 2, 3]);
    }

    #[test]
    fn taking_one_fault_away_leaves_the_others() {
        let more = "[[fault]]\nat = \"1s..9s\"\nclock-jump = { place = \"psp\", by = \"-9s..9s\" }\n";
        let both = Scenario::read("test", "test.toml", &format!("{GOOD}{more}")).unwrap();
        let one = Scenario::read("test", "test.toml", GOOD).unwrap();
        for seed in 0..16 {
            let (both, one) = (both.draw(seed).plan.faults, one.draw(seed).plan.faults);
            assert_eq!(both[..both.len() - 1], one);
        }
    }

    #[test]
    fn what_is_wrong_is_named_with_its_place() {
        let said = problem("clients", "cleints");
        assert!(
            said.starts_with("test.toml:4:1: unknown field `cleints`"),
            "{said}"
        );
        assert!(said.contains("did you mean `clients`?"), "{said}");
        let said = problem("process-kill", "process-kil");
        assert!(
            said.contains("test.toml:10:1") && said.contains("did you mean `process-kill`?"),
            "{said}"
        );
        let said = problem("\"gateway-us-east-1-0\"", "\"gatway-us-east-1-0\"");
        assert!(said.contains("did you mean \"gateway-us-east-1-0\"?"), "{said}");
        let said = problem("\"2..3\"", "\"0..3\"");
        assert!(
            said.starts_with("test.toml:4:1: clients is 0, but must be 1 to 64"),
            "{said}"
        );
        let said = problem("chance = 0.5", "chance = 1.5");
        assert!(
            said.starts_with("test.toml:6:10: chance must be 0 to 1"),
            "{said}"
        );
        let said = problem("\"5s..50s\"", "\"50s..5s\"");
        assert!(
            said.starts_with("test.toml:8:6: the range ends before it begins"),
            "{said}"
        );
        let said = problem("jitter_ms = \"0..3000\"", "jitter_ms = \"soon\"");
        assert!(said.contains("test.toml:14:"), "{said}");
        let said = problem("\"us-east-2\"", "\"us-east2\"");
        assert!(
            said.starts_with("test.toml:15:1: there is no Region \"us-east2\"; did you mean \"us-east-2\"?"),
            "{said}"
        );
        let said = problem("[workload]", "[tuning]\nbreaker_failures = 6\n[workload]");
        assert!(said.contains("failures is 9, but must be 11 or more"), "{said}");
        let said = problem("about = \"A test\"", "");
        assert!(said.contains("`about` is missing"), "{said}");
        let said = problem("[workload]", "properties = [\"boks\"]\n[workload]");
        assert!(said.contains("did you mean \"books\"?"), "{said}");
        let said = problem("[workload]", "[workload");
        assert!(said.starts_with("test.toml:3:"), "{said}");
    }
}
