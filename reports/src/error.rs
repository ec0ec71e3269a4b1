//! Why there is no report.

use std::path::PathBuf;

use scenarios::record::RecordError;

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A run's folder cannot be read.
    #[error("{0}. A run's folder is what `sumzero run SCENARIO --seed N --out DIR` leaves")]
    Record(#[from] RecordError),
    /// A folder holds parts of two runs.
    #[error(
        "{}: the verdict is on seed {} of {}, and the plan is seed {} of {}; run one of them again into a folder of its own",
        folder.display(), verdict.1, verdict.0, plan.1, plan.0
    )]
    TwoRuns {
        /// The folder.
        folder: PathBuf,
        /// Scenario and seed of the verdict.
        verdict: (String, u64),
        /// Scenario and seed of the plan.
        plan: (String, u64),
    },
    /// A campaign's results cannot be read.
    #[error("{}: {problem}", path.display())]
    Results {
        /// The file.
        path: PathBuf,
        /// What is wrong with it, and what to do.
        problem: String,
    },
    /// A run could not be written down.
    #[error("{}: {problem}", folder.display())]
    Unperformed {
        /// The folder.
        folder: PathBuf,
        /// Why.
        problem: String,
    },
    /// A file could not be written.
    #[error("{}: {source}", path.display())]
    Unwritable {
        /// The file.
        path: PathBuf,
        /// The operating system's answer.
        source: std::io::Error,
    },
    /// No process could be started for a run.
    #[error(transparent)]
    Campaign(#[from] sumzero_sim::Error),
}
