//! `sumzero corpus`: failures that were found once.

use std::{path::PathBuf, process::ExitCode};

use clap::Args;
use scenarios::corpus::{bugs, bundles, replay};

use crate::Done;

/// Replay failures that were found once
///
/// Performs the plan of every run's folder below a folder with this build, and says
/// which are fixed; or the worlds of a list of bugs that are fixed. Exits with 1 if
/// one still fails, or fails in another way.
#[derive(Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Arguments {
    /// A folder, such as `failures` of a campaign, or a list in TOML
    folder: PathBuf,
}

pub(crate) fn run(arguments: &Arguments) -> Done {
    let bundles = match arguments.folder.is_file() {
        true => bugs(&arguments.folder)?,
        false => bundles(&arguments.folder)?,
    };
    if bundles.is_empty() {
        return Err(format!("{}: there is no plan.json in it", arguments.folder.display()).into());
    }
    let (mut fixed, mut failing) = (0, 0);
    replay(&bundles, |replayed| {
        match replayed.still.is_empty() && replayed.new.is_empty() {
            true => fixed += 1,
            false => failing += 1,
        }
        println!("{}", replayed.name);
        for (what, fingerprints) in [
            ("still", &replayed.still),
            ("fixed", &replayed.fixed),
            ("new", &replayed.new),
        ] {
            fingerprints
                .iter()
                .for_each(|fingerprint| println!("  {what:<6} {fingerprint}"));
        }
        if replayed.still.is_empty() && replayed.new.is_empty() && replayed.fixed.is_empty() {
            println!("  holds");
        }
    })?;
    println!("\n{fixed} of {} hold now", fixed + failing);
    Ok(ExitCode::from(u8::from(failing > 0)))
}
