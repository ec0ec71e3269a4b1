//! `sumzero bisect`: which commit changed the verdict.

use std::process::ExitCode;

use clap::Args;
use scenarios::bisect::Bisect;

use crate::{
    Done,
    selection::{Named, World},
};

/// Find the commit that changed the verdict on a seed
///
/// Builds and runs the seed at commits that `git bisect` picks, in a work tree of
/// its own. A commit that does not build, or does not know the scenario, is
/// skipped. The seed draws its plan anew at each commit: where scenario files have
/// changed meanwhile, give --plan.
#[derive(Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Arguments {
    #[command(flatten)]
    world: World,

    /// A commit at which the seed holds
    #[arg(long, value_name = "REVISION")]
    good: String,

    /// A later one at which it does not
    #[arg(long, value_name = "REVISION", default_value = "HEAD")]
    bad: String,

    /// What cargo is told for each build, such as a profile or features
    #[arg(
        long,
        value_name = "OPTIONS",
        default_value = "--release",
        allow_hyphen_values = true
    )]
    cargo: String,
}

pub(crate) fn run(arguments: Arguments) -> Done {
    let what = match arguments.world.named()? {
        Named::Plan(plan) => {
            let plan = plan
                .canonicalize()
                .map_err(|error| format!("{}: {error}", plan.display()))?;
            format!("--plan {}", quoted(&plan.to_string_lossy()))
        }
        Named::Seed(scenario, seed) => format!("{} --seed {seed}", quoted(scenario)),
    };
    let repository = std::env::current_dir()?;
    // One folder of build results for all commits: most of what they build is the same.
    let target = std::env::temp_dir().join("sumzero-bisect-target");
    let bisect = Bisect {
        repository,
        good: arguments.good,
        bad: arguments.bad,
        command: format!(
            "export CARGO_TARGET_DIR={}; cargo build --quiet --bin sumzero {} || exit 125; cargo run --quiet --bin sumzero {} -- run {what}",
            quoted(&target.to_string_lossy()),
            arguments.cargo,
            arguments.cargo
        ),
    };
    let culprit = bisect.run(|step| eprintln!("{step}"))?;
    match culprit.commits.as_slice() {
        [commit] => println!("The verdict changed with\n  {commit}"),
        commits => {
            println!("The verdict changed with one of these; the others could not be tried:");
            commits.iter().for_each(|commit| println!("  {commit}"));
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// A word as a shell reads it.
fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', "'\\''"))
}
