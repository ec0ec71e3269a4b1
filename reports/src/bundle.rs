//! All that there is to see of a run, in a folder: its record and its page.

use std::{fs, ops::ControlFlow, path::Path};

use scenarios::{record::Record, script::Script, verdict::Verdict};
use sumzero_sim::campaign::{Campaign, Fate};

use crate::{Error, Run, run_page};

/// Performs a script in a process of its own and leaves in a folder what [`Record::perform`] leaves, and `report.html`. None
/// if the process did not come to its end, as one does not whose failure is that it crashes: then the plan is there, and what
/// else there was in time.
///
/// # Errors
/// When a file cannot be written, or no process can be started: by none that has another thread.
pub fn bundle(folder: &Path, script: &Script) -> Result<Option<Verdict>, Error> {
    let record = Record::new(folder);
    let mut fate = None;
    Campaign::new(script.seed..script.seed.saturating_add(1)).run(
        |_| record.perform(script).map_err(|error| error.to_string()),
        |result| {
            fate = Some(result.fate);
            ControlFlow::Continue(())
        },
    )?;
    match fate {
        Some(Fate::Finished(Ok(verdict))) => {
            let path = folder.join("report.html");
            let page = run_page(&Run::read(&record)?);
            fs::write(&path, page).map_err(|source| Error::Unwritable { path, source })?;
            Ok(Some(verdict))
        }
        Some(Fate::Finished(Err(problem))) => Err(Error::Unperformed {
            folder: folder.to_owned(),
            problem,
        }),
        _ => Ok(None),
    }
}
