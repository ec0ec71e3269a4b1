//! The check that a seed decides everything: the same run in two fresh processes, compared event by event.
//!
//! Two processes differ in what a deterministic program must not look at: the addresses of its memory, the numbers of
//! its threads and processes, the time of day, the load of the machine. Where it looks all the same, the first event that
//! differs is close to the place.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use crate::error::Error;
use crate::trace::{Divergence, first_divergence};

/// What two runs of one seed say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SelfCheck {
    /// The same, down to the byte.
    Same {
        /// The trace hash.
        trace_hash: String,
        /// How many events were compared.
        events: u64,
    },
    /// Not the same: the program is not deterministic.
    Diverged(Divergence),
}

/// Runs a program twice at the same time, in fresh processes, and compares what they did.
///
/// `command` makes the command that runs one seed, writes the trace as text ([`Sink::Text`](crate::trace::Sink::Text)) to
/// the file that it is given, and prints `trace-hash: HEX` as its last line. It may end with any exit code, as long as
/// both runs end with the same.
///
/// # Errors
/// [`Error::SelfCheck`] if the program prints no hash or writes no trace.
pub fn self_check(command: impl Fn(&Path) -> Command) -> Result<SelfCheck, Error> {
    let folder = Folder::new()?;
    let sides = [folder.0.join("first"), folder.0.join("second")];
    let mut children = Vec::new();
    for trace in &sides {
        let mut command = command(trace);
        let shown = format!("{command:?}");
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| Error::SelfCheck {
                command: shown.clone(),
                problem: format!("cannot be started: {error}"),
            })?;
        children.push((shown, child));
    }
    let mut outputs = Vec::new();
    for (shown, child) in children {
        // One after the other: a child whose pipe is full waits for its turn.
        let output = child.wait_with_output().map_err(|source| Error::System {
            doing: "waiting for a process",
            source,
        })?;
        outputs.push((shown, output));
    }
    let trace = |side: usize| {
        let ((shown, output), trace) = (&outputs[side], &sides[side]);
        let file = File::open(trace).map_err(|error| Error::SelfCheck {
            command: shown.clone(),
            problem: format!(
                "wrote no trace to {} ({error}); it ended with {} and said: {}",
                trace.display(),
                output.status,
                end_of(&String::from_utf8_lossy(&output.stderr))
            ),
        })?;
        Ok::<_, Error>(BufReader::new(file).lines())
    };
    let mut traces = [trace(0)?, trace(1)?];
    let hashes = [trace_hash(&outputs[0])?, trace_hash(&outputs[1])?];
    let (events, divergence) = first_divergence("event", &mut traces)?;
    if let Some(divergence) = divergence {
        return Ok(SelfCheck::Diverged(divergence));
    }
    let mut printed = [0, 1].map(|side: usize| outputs[side].1.stdout.lines());
    // The hash is the last line printed, so this also catches events that differ and print alike.
    if let (_, Some(divergence)) = first_divergence("line of output", &mut printed)? {
        return Ok(SelfCheck::Diverged(divergence));
    }
    let codes = [outputs[0].1.status, outputs[1].1.status];
    if codes[0] != codes[1] {
        return Ok(SelfCheck::Diverged(Divergence {
            what: "exit status",
            number: 1,
            before: Vec::new(),
            first: Some(codes[0].to_string()),
            second: Some(codes[1].to_string()),
        }));
    }
    let [trace_hash, _] = hashes;
    Ok(SelfCheck::Same { trace_hash, events })
}

fn trace_hash((command, output): &(String, Output)) -> Result<String, Error> {
    let printed = String::from_utf8_lossy(&output.stdout);
    let last = printed.lines().last().unwrap_or_default();
    match last.strip_prefix("trace-hash: ") {
        Some(hash) => Ok(hash.to_owned()),
        None => Err(Error::SelfCheck {
            command: command.clone(),
            problem: format!(
                "did not print `trace-hash: HEX` as its last line; it ended with {} and said: {}",
                output.status,
                end_of(&String::from_utf8_lossy(&output.stderr))
            ),
        }),
    }
}

/// The last lines of what a program said on its standard error.
fn end_of(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    let shown = &lines[lines.len().saturating_sub(5)..];
    if shown.is_empty() {
        "nothing".to_owned()
    } else {
        shown.join(" | ")
    }
}

/// A folder that goes with its owner.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Result<Folder, Error> {
        let path = std::env::temp_dir().join(format!(
            "sumzero-self-check-{}-{:x}",
            std::process::id(),
            fastrand::u64(..)
        ));
        match std::fs::create_dir(&path) {
            Ok(()) => Ok(Folder(path)),
            Err(source) => Err(Error::System {
                doing: "making a folder for traces",
                source,
            }),
        }
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
