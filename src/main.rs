//! The `sumzero` command: one file for each subcommand, and no logic of its own.
//!
//! Exit status: 0 done, 2 could not be done (bad input, a port that is taken).

mod local;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Puts multi-Region systems on trial: the services of AWS, simulated.
#[derive(Parser)]
#[command(name = "sumzero", version, arg_required_else_help = true, max_term_width = 80)]
struct Command {
    #[command(subcommand)]
    subcommand: Subcommands,
}

#[derive(Subcommand)]
enum Subcommands {
    Local(local::Arguments),
}

fn main() -> ExitCode {
    let done = match Command::parse().subcommand {
        Subcommands::Local(arguments) => local::run(arguments),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("sumzero: {error}");
            ExitCode::from(2)
        }
    }
}
