//! `sumzero shrink`: the shortest story of a failure.

use std::{num::NonZeroUsize, path::PathBuf, process::ExitCode, time::Duration};

use clap::Args;
use indicatif::ProgressBar;
use scenarios::{shrink::shrink, stage};
use sumzero_sim::campaign::shrink::{Budget, Shrinker};

use crate::{Done, selection::World};

/// Find the shortest story of a failure
///
/// Takes away whatever the failure does not need: faults, their durations, times
/// and magnitudes, misbehaviour of the providers, clients, requests, gateways.
/// Every candidate is run, on all cores, and only one that fails in the same way
/// (property and place) is kept. Where more than two faults are left, each also
/// goes with other seeds: what fails without it did not need it. Ends when nothing
/// more can be taken away.
///
/// DIR gets the smallest plan with its history, trace, verdict and report.html.
#[derive(Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Arguments {
    #[command(flatten)]
    world: World,

    /// The failure to keep, as a verdict names it [default: the gravest]
    #[arg(long, value_name = "PROPERTY/PLACE")]
    failure: Option<String>,

    /// Candidates at a time [default: one a core]
    #[arg(long, value_name = "COUNT")]
    jobs: Option<NonZeroUsize>,

    /// Stop after so many candidates
    #[arg(long, value_name = "COUNT", default_value_t = 2_000)]
    candidates: u64,

    /// Stop after so long: 60s, 10m
    #[arg(long = "for", value_name = "TIME", value_parser = humantime::parse_duration, default_value = "1h")]
    real_time: Duration,

    /// Where to leave the smallest run
    #[arg(long, value_name = "DIR", default_value = "smallest")]
    out: PathBuf,
}

pub(crate) fn run(arguments: Arguments) -> Done {
    let script = arguments.world.script()?;
    stage::check(&script)?;
    let mut shrinker = Shrinker::default().budget(Budget {
        candidates: arguments.candidates,
        real_time: arguments.real_time,
    });
    if let Some(jobs) = arguments.jobs {
        shrinker = shrinker.jobs(jobs);
    }
    stage::listen();
    let bar = ProgressBar::new_spinner();
    let shrunk = shrink(
        script.clone(),
        arguments.failure.as_deref(),
        shrinker,
        |progress| {
            bar.set_message(format!(
                "{}: {} tried, {} kept",
                progress.pass, progress.tried, progress.kept
            ));
            bar.tick();
        },
    )?;
    bar.finish_and_clear();
    println!("{}, {} candidates tried", shrunk.fingerprint, shrunk.tried);
    for kept in &shrunk.kept {
        println!("  {}", kept.edit);
    }
    // What the operator asks for counts: it goes as faults do.
    let faults = |script: &scenarios::script::Script| {
        let spells = script.psp.len() + script.kyc.len();
        let asked = script.handovers.len() + usize::from(script.rollout.is_some());
        script.plan.faults.len() + spells + asked
    };
    println!(
        "\n{} of {} faults are left:",
        faults(&shrunk.smallest),
        faults(&script)
    );
    for line in reports::needed(&shrunk.smallest) {
        println!("  {line}");
    }
    for (other, candidates) in &shrunk.others {
        println!("{candidates} candidates failed otherwise, as {other}, and were not taken");
    }
    println!("Stopped: {}.", shrunk.stopped.reason());
    if reports::bundle(&arguments.out, &shrunk.smallest)?.is_some() {
        println!("\n{}", arguments.out.join("report.html").display());
    }
    println!("sumzero run --plan {}", arguments.out.join("plan.json").display());
    Ok(ExitCode::SUCCESS)
}
