//! The `sumzero` command: one file for each subcommand, and no logic of its own.
//!
//! Exit status: 0 held, or done; 1 violated; 2 could not tell, or could not be done (bad input, a port that is taken).

mod bisect;
mod check;
mod corpus;
mod diff;
mod explore;
mod list;
mod local;
mod merge;
mod report;
mod run;
mod score;
mod selection;
mod show;
mod shrink;
mod verify;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// What a subcommand comes to: an exit code, or why it could not be done.
type Done = Result<ExitCode, Box<dyn std::error::Error>>;

/// Puts a multi-Region payment system on trial: thousands of seeded failures in a
/// simulated world, and what became of the money.
///
/// Exit status: 0 all properties held, 1 some did not, 2 it could not be told.
#[derive(Parser)]
#[command(name = "sumzero", version, max_term_width = 80, verbatim_doc_comment)]
struct Command {
    #[command(subcommand)]
    subcommand: Option<Subcommands>,
}

#[derive(Subcommand)]
enum Subcommands {
    Explore(explore::Arguments),
    Run(run::Arguments),
    Verify(verify::Arguments),
    Score(score::Arguments),
    List(list::Arguments),
    Check(check::Arguments),
    Shrink(shrink::Arguments),
    Report(report::Arguments),
    Diff(diff::Arguments),
    Bisect(bisect::Arguments),
    Corpus(corpus::Arguments),
    Merge(merge::Arguments),
    Local(local::Arguments),
}

const FIRST_STEPS: &str = "\
Sumzero puts a payment system on trial in a seeded, faulty, deterministic world.

  sumzero explore --seeds 20            try 20 seeds of every scenario
  sumzero run everything --seed 7       one world: its faults, payments, verdict
  sumzero verify everything --seeds 5   the same seed is the same, byte for byte
  sumzero shrink everything --seed 7    the shortest story of a failing seed
  sumzero list                          scenarios, properties, faults
  sumzero local                         simulated AWS on ports of this machine

`sumzero COMMAND --help` says more. From the source: cargo run --release -- ...";

fn main() -> ExitCode {
    let done = match Command::parse().subcommand {
        None => {
            println!("{FIRST_STEPS}");
            Ok(ExitCode::SUCCESS)
        }
        Some(Subcommands::Explore(arguments)) => explore::run(arguments),
        Some(Subcommands::Run(arguments)) => run::run(arguments),
        Some(Subcommands::Verify(arguments)) => verify::run(arguments),
        Some(Subcommands::Score(arguments)) => score::run(&arguments),
        Some(Subcommands::List(arguments)) => list::run(&arguments),
        Some(Subcommands::Check(arguments)) => check::run(&arguments),
        Some(Subcommands::Shrink(arguments)) => shrink::run(arguments),
        Some(Subcommands::Report(arguments)) => report::run(&arguments),
        Some(Subcommands::Diff(arguments)) => diff::run(&arguments),
        Some(Subcommands::Bisect(arguments)) => bisect::run(arguments),
        Some(Subcommands::Corpus(arguments)) => corpus::run(&arguments),
        Some(Subcommands::Merge(arguments)) => merge::run(&arguments),
        Some(Subcommands::Local(arguments)) => local::run(arguments).map(|()| ExitCode::SUCCESS),
    };
    done.unwrap_or_else(|error| {
        eprintln!("sumzero: {error}");
        ExitCode::from(2)
    })
}
