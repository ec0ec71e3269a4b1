//! Failures that were found once, replayed against the present build.
//!
//! A bundle is a run's folder; what it fails with is in its verdict. A bundle is fixed when its plan, performed again, shows none
//! of that. A failure that the bundle did not have is none of its own, and is named all the same.

use std::{
    collections::BTreeSet,
    fs, io,
    ops::ControlFlow,
    path::{Path, PathBuf},
};

use sumzero_sim::campaign::{Campaign, Fate};

use crate::{
    record::{Record, RecordError},
    script::Script,
    shrink::failures,
    stage,
    verdict::Verdict,
};

/// A failure that was found once.
#[derive(Clone, Debug)]
pub struct Bundle {
    /// Its folder.
    pub folder: PathBuf,
    script: Script,
    /// What it failed with.
    pub failed_with: BTreeSet<String>,
}

/// What became of a bundle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replayed {
    /// Its folder.
    pub folder: PathBuf,
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
            folder: folder.to_owned(),
            script: record.script()?,
            failed_with: failures(&fate),
        });
    }
    for folder in below.into_iter().filter(|path| path.is_dir()) {
        bundles.extend(self::bundles(&folder)?);
    }
    Ok(bundles)
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
            fate => failures(fate),
        };
        each(Replayed {
            folder: bundle.folder.clone(),
            still: bundle.failed_with.intersection(&found).cloned().collect(),
            fixed: bundle.failed_with.difference(&found).cloned().collect(),
            new: found.difference(&bundle.failed_with).cloned().collect(),
        });
        ControlFlow::Continue(())
    })?;
    Ok(())
}
