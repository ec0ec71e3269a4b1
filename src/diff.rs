//! `sumzero diff`: where two traces part.

use std::{
    fs::File,
    io::{BufRead, BufReader, Lines},
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::Args;
use sumzero_sim::trace::first_divergence;

use crate::Done;

/// Show the first event in which two runs differ
///
/// Exits with 0 if they are the same, with 1 if they are not.
#[derive(Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Arguments {
    /// A run's folder, or its trace.jsonl
    first: PathBuf,

    /// Another one
    second: PathBuf,
}

pub(crate) fn run(arguments: &Arguments) -> Done {
    let mut sides = [open(&arguments.first)?, open(&arguments.second)?];
    let (same, divergence) = first_divergence("event", &mut sides)?;
    match divergence {
        None => println!("All {same} events are the same."),
        Some(divergence) => {
            println!("{divergence}");
            return Ok(ExitCode::FAILURE);
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn open(path: &Path) -> Result<Lines<BufReader<File>>, String> {
    let file = match path.is_dir() {
        true => path.join("trace.jsonl"),
        false => path.to_owned(),
    };
    let opened = File::open(&file).map_err(|error| format!("{}: {error}", file.display()))?;
    Ok(BufReader::new(opened).lines())
}
