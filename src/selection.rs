//! Which scenarios a command is about: by name from the catalogue, or by the path of a file.

use std::{error::Error, fs, path::Path};

use scenarios::scenario::{Scenario, catalogue, nearest};

/// The scenarios of these names and paths; all of the catalogue if there are none.
pub(crate) fn select(wanted: &[String]) -> Result<Vec<Scenario>, Box<dyn Error>> {
    let known = catalogue();
    if wanted.is_empty() {
        return Ok(known);
    }
    wanted.iter().map(|wanted| find(wanted, &known)).collect()
}

/// The scenario of this name or path.
pub(crate) fn select_one(wanted: &str) -> Result<Scenario, Box<dyn Error>> {
    find(wanted, &catalogue())
}

fn find(wanted: &str, known: &[Scenario]) -> Result<Scenario, Box<dyn Error>> {
    if let Some(scenario) = known.iter().find(|scenario| scenario.name == wanted) {
        return Ok(scenario.clone());
    }
    let path = Path::new(wanted);
    if path.extension().is_some_and(|extension| extension == "toml") {
        let text = fs::read_to_string(path).map_err(|error| format!("{wanted}: {error}"))?;
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        return Ok(Scenario::read(&name, wanted, &text)?);
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
