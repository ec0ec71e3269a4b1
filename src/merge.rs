//! `sumzero merge`: the results of shards, taken together.

use std::{
    fs::File,
    io::{BufRead, BufReader},
    path::PathBuf,
    process::ExitCode,
};

use clap::Args;
use scenarios::survey::{Survey, SurveyLine};

use crate::{Done, show};

/// Take the results of several shards together
///
/// Reads the results.jsonl of each folder that `sumzero explore --out DIR` wrote.
#[derive(Args)]
pub(crate) struct Arguments {
    /// The folders of the shards
    #[arg(required = true, value_name = "DIR")]
    folders: Vec<PathBuf>,
}

pub(crate) fn run(arguments: &Arguments) -> Done {
    let mut survey = Survey::default();
    let mut seen = std::collections::BTreeSet::new();
    for folder in &arguments.folders {
        let path = folder.join("results.jsonl");
        let file = File::open(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        for (number, line) in BufReader::new(file).lines().enumerate() {
            let place = format!("{}:{}", path.display(), number + 1);
            let line: SurveyLine = serde_json::from_str(&line?)
                .map_err(|error| format!("{place}: this is not a result of this build: {error}"))?;
            if !seen.insert((line.scenario.clone(), line.seed)) {
                let seed = format!("seed {} of {}", line.seed, line.scenario);
                return Err(format!("{place}: {seed} is there twice; give each shard once").into());
            }
            survey.add(&line);
        }
    }
    show::survey(&survey);
    println!("\n{} seeds of {} shards", survey.seeds(), arguments.folders.len());
    Ok(ExitCode::from(survey.exit_code()))
}
