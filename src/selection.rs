//! What a command is about: scenarios, by name from the catalogue or by the path of a file, or one world of one of them.

use std::{
    error::Error,
    fs,
    path::{Path, PathBuf},
};

use clap::Args;
use scenarios::{
    record::read_script,
    scenario::{Scenario, catalogue, nearest},
    script::Script,
};

// One world: what a seed draws from a scenario, or a plan. (Not a doc comment: a command's help would begin with it.)
#[derive(Args)]
pub(crate) struct World {
    /// A name from `sumzero list`, or the path of a .toml file
    #[arg(required_unless_present = "plan")]
    scenario: Option<String>,

    /// What picks every value
    #[arg(long, value_name = "NUMBER", required_unless_present = "plan")]
    seed: Option<u64>,

    /// Take this plan.json instead of picking values
    #[arg(long, value_name = "FILE", conflicts_with_all = ["scenario", "seed"])]
    plan: Option<PathBuf>,

    /// With an unsound variant of the system, from `sumzero list variants`
    #[cfg(feature = "as-written")]
    #[arg(long, value_name = "NAME", value_parser = crate::score::variant)]
    variant: Option<scenarios::score::Variant>,
}

impl World {
    /// Everything that decides it.
    pub(crate) fn script(&self) -> Result<Script, Box<dyn Error>> {
        let script = match self.named()? {
            Named::Seed(scenario, seed) => select_one(scenario)?.draw(seed),
            Named::Plan(plan) => read_script(plan)?,
        };
        #[cfg(feature = "as-written")]
        if let Some(variant) = self.variant {
            let variant = Some(variant.name().to_owned());
            return Ok(Script { variant, ..script });
        }
        Ok(script)
    }

    /// As it was asked for.
    pub(crate) fn named(&self) -> Result<Named<'_>, &'static str> {
        match (&self.plan, &self.scenario, self.seed) {
            (Some(plan), ..) => Ok(Named::Plan(plan)),
            (None, Some(scenario), Some(seed)) => Ok(Named::Seed(scenario, seed)),
            _ => Err("give a scenario and --seed, or --plan"),
        }
    }
}

/// How a world is asked for.
pub(crate) enum Named<'a> {
    /// What this seed draws from this scenario.
    Seed(&'a str, u64),
    /// What this file says.
    Plan(&'a Path),
}

/// The scenarios of these names and paths; all of the catalogue if there are none.
pub(crate) fn select(wanted: &[String]) -> Result<Vec<Scenario>, Box<dyn Error>> {
    let known = catalogue();
    if wanted.is_empty() {
        return Ok(known);
    }
    wanted.iter().map(|wanted| find(wanted, &known)).collect()
}

/// The scenario of this name or path.
fn select_one(wanted: &str) -> Result<Scenario, Box<dyn Error>> {
    find(wanted, &catalogue())
}

fn find(wanted: &str, known: &[Scenario]) -> Result<Scenario, Box<dyn Error>> {
    if let Some(scenario) = known.iter().find(|scenario| scenario.name == wanted) {
        return Ok(scenario.clone());
    }
    let path = Path::new(wanted);
    if path.extension().is_some_and(|extension| extension == "toml") {
        let text = fs::read_to_string(path).map_err(|error| format!("{wanted}: {error}"))?;
        // Its name is what it was asked for by, so that a command that is printed for it finds it again.
        return Ok(Scenario::read(wanted, wanted, &text)?);
    }
    let near = nearest(wanted, known.iter().map(|scenario| &*scenario.name));
    let near = near
        .map(|near| format!("; did you mean {near}?"))
        .unwrap_or_default();
    Err(
        format!("there is no scenario {wanted}{near} (`sumzero list` shows all, a path ends in .toml)")
            .into(),
    )
}
