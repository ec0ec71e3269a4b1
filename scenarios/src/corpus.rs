//! Failures that were found once, replayed against the present build.
//!
//! A bundle is a run's folder; what it fails with is in its verdict. A bundle is fixed when its plan, performed again, shows none
//! of that. A failure that the bundle did not have is none of its own, and is named all the same. A list names bugs that are
//! fixed, in words, each with the world that showed it: whatever such a world fails with is new.

use std::{
    collections::BTreeSet,
    fs, io,
    ops::ControlFlow,
    path::{Path, PathBuf},
};

use serde::Deserialize;
use sumzero_sim::campaign::{Campaign, Fate};

use crate::{
    record::{Record, RecordError, read_script},
    scenario::catalogue,
    script::Script,
    shrink::failures,
    stage,
    verdict::Verdict,
};

/// A failure that was found once.
#[derive(Clone, Debug)]
pub struct Bundle {
    /// Its folder, or the bug in words.
    pub name: String,
    script: Script,
    /// What it failed with.
    pub failed_with: BTreeSet<String>,
}

/// What became of a bundle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replayed {
    /// Its folder, or the bug in words.
    pub name: String,
    /// What it still fails with. Empty: it is fixed.
    pub still: BTreeSet<String>,
    /// What it failed with and does no more.
    pub fixed: BTreeSet<String>,
    /// What it did not fail with before.
    pub new: BTreeSet<String>,
}

/// All bundles below a folder, in the order of their names.
///
/// # Errors
/// When a folder cannot be read, a plan is of another version, or a verdict is missing.
pub fn bundles(folder: &Path) -> Result<Vec<Bundle>, RecordError> {
    let unreadable = |source: io::Error| RecordError::File {
        path: folder.to_owned(),
        source,
    };
    let mut below = Vec::new();
    for entry in fs::read_dir(folder).map_err(unreadable)? {
        below.push(entry.map_err(unreadable)?.path());
    }
    below.sort();
    let mut bundles = Vec::new();
    if folder.join("plan.json").is_file() {
        let record = Record::new(folder);
        let fate = Fate::Finished(Some(record.verdict()?));
        bundles.push(Bundle {
            name: folder.display().to_string(),
            script: record.script()?,
            failed_with: failures(&fate).into_iter().collect(),
        });
    }
    for folder in below.into_iter().filter(|path| path.is_dir()) {
        bundles.extend(self::bundles(&folder)?);
    }
    Ok(bundles)
}

/// A list of bugs, as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct List {
    bug: Vec<Bug>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Bug {
    what: String,
    scenario: Option<String>,
    seed: Option<u64>,
    plan: Option<PathBuf>,
}

/// The bugs of a list in TOML, in its order. Plans are looked for beside it.
///
/// # Errors
/// When the list or a plan of it cannot be read, or a world is not named by a scenario and a seed or by a plan.
pub fn bugs(list: &Path) -> Result<Vec<Bundle>, RecordError> {
    let wrong = |problem: String| RecordError::Content {
        path: list.to_owned(),
        what: "list of bugs",
        problem,
    };
    let text = fs::read_to_string(list).map_err(|source| RecordError::File {
        path: list.to_owned(),
        source,
    })?;
    let written: List = toml::from_str(&text).map_err(|error| wrong(error.to_string()))?;
    let scenarios = catalogue();
    let bundle = |bug: Bug| {
        let (script, world) = match (&bug.plan, &bug.scenario, bug.seed) {
            (Some(plan), None, None) => {
                let path = list.with_file_name("").join(plan);
                (read_script(&path)?, path.display().to_string())
            }
            (None, Some(name), Some(seed)) => {
                let known = scenarios.iter().find(|scenario| scenario.name == *name);
                let known =
                    known.ok_or_else(|| wrong(format!("{:?}: there is no scenario {name}", bug.what)))?;
                (known.draw(seed), format!("{name} {seed}"))
            }
            _ => {
                let remedy = "give either a scenario and a seed, or a plan";
                return Err(wrong(format!("{:?}: {remedy}", bug.what)));
            }
        };
        Ok(Bundle {
            name: format!("{world}: {}", bug.what),
            script,
            failed_with: BTreeSet::new(),
        })
    };
    written.bug.into_iter().map(bundle).collect()
}

/// Performs all bundles again, and hands over what became of each, in order.
///
/// # Errors
/// Those of a campaign.
pub fn replay(bundles: &[Bundle], mut each: impl FnMut(Replayed)) -> Result<(), sumzero_sim::Error> {
    stage::listen();
    let run = |number: u64| {
        let script = &bundles[number as usize].script;
        stage::check(script).is_ok().then(|| Verdict::reach(script))
    };
    Campaign::new(0..bundles.len() as u64).run(run, |result| {
        let bundle = &bundles[result.seed as usize];
        let found = match &result.fate {
            // A stage that has not the places of its faults any more says nothing about it.
            Fate::Finished(None) => BTreeSet::from(["unknown/the stage is not the plan's".to_owned()]),
            fate => failures(fate).into_iter().collect(),
        };
        each(Replayed {
            name: bundle.name.clone(),
            still: bundle.failed_with.intersection(&found).cloned().collect(),
            fixed: bundle.failed_with.difference(&found).cloned().collect(),
            new: found.difference(&bundle.failed_with).cloned().collect(),
        });
        ControlFlow::Continue(())
    })?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_of_bugs_can_be_read() {
        let list = Path::new(env!("CARGO_MANIFEST_DIR")).join("regressions/bugs.toml");
        for bug in bugs(&list).unwrap() {
            assert!(stage::check(&bug.script).is_ok(), "{}", bug.name);
        }
    }

    #[test]
    fn a_world_that_nothing_names_is_refused_in_words() {
        let list = std::env::temp_dir().join(format!("sumzero-bugs-{}.toml", std::process::id()));
        let refused = |text: &str| {
            fs::write(&list, text).unwrap();
            bugs(&list).unwrap_err().to_string()
        };
        let bug = "[[bug]]\nwhat = \"gone\"\n";
        for (text, expected) in [
            (format!("{bug}scenario = \"crash\""), "\"gone\": give either"),
            (
                format!("{bug}scenario = \"crush\"\nseed = 1"),
                "there is no scenario crush",
            ),
            (format!("{bug}plan = \"no-such.json\""), "no-such.json"),
            (format!("{bug}sede = 1"), "sede"),
        ] {
            let said = refused(&text);
            assert!(said.contains(expected), "{said}");
        }
        fs::remove_file(&list).unwrap();
    }
}
