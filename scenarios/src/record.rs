//! What one run leaves behind: a folder from which it can be looked at, judged again, run again and shrunk.
//!
//! | file | what |
//! |---|---|
//! | `plan.json` | the [`Script`]: every drawn value; replayable alone |
//! | `history.json` | the [`History`]: what clients, provider, ledger and the system itself say happened |
//! | `trace.jsonl` | the world's events, one JSON object a line |
//! | `verdict.json` | the [`Verdict`] |

use std::{
    fs::{self, File},
    io::BufWriter,
    path::{Path, PathBuf},
};

use serde::{Serialize, de::DeserializeOwned};
use sumzero_sim::trace::{Event, Sink};

use crate::{history::History, script::Script, stage::perform, verdict::Verdict};

/// Why a folder cannot be written or read.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// A file cannot be written or read.
    #[error("{path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file is not what it should be.
    #[error("{path} is not a {what} that this build can read: {problem}")]
    Content {
        /// The file.
        path: PathBuf,
        /// What it should be.
        what: &'static str,
        /// Why it is not.
        problem: String,
    },
}

/// A run's folder.
#[derive(Clone, Debug)]
pub struct Record(PathBuf);

impl Record {
    /// The record in a folder.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self(folder.into())
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.0
    }

    /// Performs a script, judges it, and writes all of it down.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn perform(&self, script: &Script) -> Result<Verdict, RecordError> {
        fs::create_dir_all(&self.0).map_err(|source| self.file_error("", source))?;
        self.write_text("plan.json", &script.to_json())?;
        let trace = File::create(self.0.join("trace.jsonl"));
        let trace = trace.map_err(|source| self.file_error("trace.jsonl", source))?;
        let performed = perform(script, Sink::JsonLines(Box::new(BufWriter::new(trace))));
        let verdict = Verdict::of(script, &performed);
        let empty = History::default();
        let history = performed
            .as_ref()
            .map_or(&empty, |performance| &performance.history);
        self.write("history.json", history)?;
        self.write("verdict.json", &verdict)?;
        Ok(verdict)
    }

    /// The script.
    ///
    /// # Errors
    /// When the file is missing, or of another format.
    pub fn script(&self) -> Result<Script, RecordError> {
        read_script(&self.0.join("plan.json"))
    }

    /// The history.
    ///
    /// # Errors
    /// When the file is missing, cut off or of another version.
    pub fn history(&self) -> Result<History, RecordError> {
        self.read("history.json", "history")
    }

    /// The verdict that was reached then.
    ///
    /// # Errors
    /// When the file is missing, cut off or of another version.
    pub fn verdict(&self) -> Result<Verdict, RecordError> {
        self.read("verdict.json", "verdict")
    }

    /// The world's events.
    ///
    /// # Errors
    /// When the file is missing, cut off or of another version; in words that name the line.
    pub fn trace(&self) -> Result<Vec<Event>, RecordError> {
        let path = self.0.join("trace.jsonl");
        let text = read_text(&path)?;
        let events = text.lines().enumerate().map(|(number, line)| {
            serde_json::from_str(line).map_err(|error| RecordError::Content {
                path: path.clone(),
                what: "trace",
                problem: format!("line {}: {}", number + 1, problem(&error)),
            })
        });
        events.collect()
    }

    fn file_error(&self, name: &str, source: std::io::Error) -> RecordError {
        RecordError::File {
            path: self.0.join(name),
            source,
        }
    }

    fn write_text(&self, name: &str, text: &str) -> Result<(), RecordError> {
        fs::write(self.0.join(name), text).map_err(|source| self.file_error(name, source))
    }

    fn write(&self, name: &str, value: &impl Serialize) -> Result<(), RecordError> {
        let text = serde_json::to_string_pretty(value).map_err(|error| RecordError::Content {
            path: self.0.join(name),
            what: "file",
            problem: error.to_string(),
        })?;
        self.write_text(name, &(text + "\n"))
    }

    fn read<T: DeserializeOwned>(&self, name: &str, what: &'static str) -> Result<T, RecordError> {
        let path = self.0.join(name);
        let text = read_text(&path)?;
        serde_json::from_str(&text).map_err(|error| RecordError::Content {
            path,
            what,
            problem: problem(&error),
        })
    }
}

/// What is wrong with JSON, and what to do.
fn problem(error: &serde_json::Error) -> String {
    match error.is_eof() {
        true => format!("it ends in the middle ({error}): the run was interrupted; run its seed again"),
        false => format!("{error}; run its seed again with this build"),
    }
}

/// Reads a script from a file.
///
/// # Errors
/// When the file is missing, or of another format.
pub fn read_script(path: &Path) -> Result<Script, RecordError> {
    Script::from_json(&read_text(path)?).map_err(|problem| RecordError::Content {
        path: path.to_owned(),
        what: "plan",
        problem,
    })
}

fn read_text(path: &Path) -> Result<String, RecordError> {
    fs::read_to_string(path).map_err(|source| RecordError::File {
        path: path.to_owned(),
        source,
    })
}
