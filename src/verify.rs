//! `sumzero verify`: the same seed is the same, byte for byte.

use std::{
    error::Error,
    num::NonZeroUsize,
    ops::ControlFlow,
    process::{Command, ExitCode},
};

use clap::Args;
use scenarios::{stage, survey::replay, verdict::Verdict};
use sumzero_sim::campaign::{Campaign, SelfCheck, self_check};

use crate::{Done, selection::select};

/// Check that a seed decides everything
///
/// Runs each seed in a forked process among others, and again in a fresh process
/// by itself, and compares the hashes over all events. Where they differ, two more
/// fresh processes are compared event by event, and the first difference is shown.
#[derive(Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Arguments {
    /// Names from `sumzero list`, or paths of .toml files; none: all
    scenarios: Vec<String>,

    /// Seeds of each scenario, from 0
    #[arg(long, value_name = "COUNT", default_value_t = 5)]
    seeds: u64,

    /// Seeds at a time in the first run [default: one a core]
    #[arg(long, value_name = "COUNT")]
    jobs: Option<NonZeroUsize>,
}

pub(crate) fn run(arguments: Arguments) -> Done {
    let scenarios = select(&arguments.scenarios)?;
    let (mut same, mut different) = (0, 0);
    stage::listen();
    for scenario in &scenarios {
        let mut campaign = Campaign::new(0..arguments.seeds);
        if let Some(jobs) = arguments.jobs {
            campaign = campaign.jobs(jobs);
        }
        let mut failed = None;
        campaign.run(
            |seed| Verdict::reach(&scenario.draw(seed)).trace_hash,
            |result| {
                let forked = result.fate.answer().cloned().flatten();
                match compare(&scenario.name, result.seed, forked) {
                    Ok(true) => same += 1,
                    Ok(false) => different += 1,
                    Err(error) => {
                        failed = Some(error);
                        return ControlFlow::Break(());
                    }
                }
                ControlFlow::Continue(())
            },
        )?;
        if let Some(error) = failed {
            return Err(error);
        }
        println!("{:<20} {} seeds", scenario.name, arguments.seeds);
    }
    println!("\n{same} seeds are the same in two processes, {different} are not");
    Ok(ExitCode::from(u8::from(different > 0)))
}

/// Whether a fresh process comes to the same hash.
fn compare(scenario: &str, seed: u64, forked: Option<String>) -> Result<bool, Box<dyn Error>> {
    let program = std::env::current_exe()?;
    let command = || {
        let mut command = Command::new(&program);
        command.args(["run", scenario, "--seed", &seed.to_string()]);
        command
    };
    let output = command().output()?;
    let printed = String::from_utf8_lossy(&output.stdout);
    let fresh = printed
        .lines()
        .rev()
        .find_map(|line| line.strip_prefix("trace-hash: "));
    if fresh.is_some() && fresh.map(str::to_owned) == forked {
        return Ok(true);
    }
    println!(
        "{}: a forked process says {forked:?}, a fresh one {fresh:?}",
        replay(scenario, seed)
    );
    let checked = self_check(|trace| {
        let mut command = command();
        command.arg("--trace-file").arg(trace);
        command
    })?;
    match checked {
        SelfCheck::Same { events, .. } => println!("two fresh processes agree on all {events} events"),
        SelfCheck::Diverged(divergence) => println!("{divergence}"),
    }
    Ok(false)
}
