//! `sumzero merge`: the results of shards, taken together.

use std::{collections::BTreeSet, fs, path::PathBuf, process::ExitCode};

use clap::Args;
use reports::{read_results, write_campaign};
use scenarios::survey::Survey;

use crate::{Done, show};

/// Take the results of several shards together
///
/// Reads the results.jsonl of each folder that `sumzero explore --out DIR` wrote.
/// With --out, DIR gets one results.jsonl of all, report.html and junit.xml.
#[derive(Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Arguments {
    /// The folders of the shards
    #[arg(required = true, value_name = "DIR")]
    folders: Vec<PathBuf>,

    /// Where to leave the results of all
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

pub(crate) fn run(arguments: &Arguments) -> Done {
    let (mut lines, mut seen) = (Vec::new(), BTreeSet::new());
    for folder in &arguments.folders {
        let path = folder.join("results.jsonl");
        for line in read_results(&path)? {
            if !seen.insert((line.scenario.clone(), line.seed)) {
                let seed = format!("seed {} of {}", line.seed, line.scenario);
                let path = path.display();
                return Err(format!("{path}: {seed} is there twice; give each shard once").into());
            }
            lines.push(line);
        }
    }
    let mut survey = Survey::default();
    lines.iter().for_each(|line| survey.add(line));
    if let Some(out) = &arguments.out {
        fs::create_dir_all(out).map_err(|error| format!("{}: {error}", out.display()))?;
        let mut text = String::new();
        for line in &lines {
            text += &serde_json::to_string(line)?;
            text.push('\n');
        }
        fs::write(out.join("results.jsonl"), text)?;
        write_campaign(out, &lines, None)?;
    }
    show::survey(&survey);
    println!("\n{} seeds of {} shards", survey.seeds(), arguments.folders.len());
    Ok(ExitCode::from(survey.exit_code()))
}
