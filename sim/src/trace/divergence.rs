//! The first place where two traces differ.

use std::fmt;
use std::io::{BufRead, Lines};

use super::Event;
use crate::error::Error;

/// So many events before the first that differs are shown.
const CONTEXT_EVENTS: usize = 5;

/// The first place where two runs differ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Divergence {
    /// What differs: `event`, or `line of output` if all events are the same.
    pub what: &'static str,
    /// Its number, from 1.
    pub number: u64,
    /// The last ones that are the same.
    pub before: Vec<String>,
    /// What the first run has there; none if it had come to its end.
    pub first: Option<String>,
    /// What the second run has there; none if it had come to its end.
    pub second: Option<String>,
}

impl fmt::Display for Divergence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "the first difference is {} {}", self.what, self.number)?;
        for event in &self.before {
            writeln!(f, "    both    {event}")?;
        }
        let end = "(nothing more)";
        writeln!(f, "    first   {}", self.first.as_deref().unwrap_or(end))?;
        write!(f, "    second  {}", self.second.as_deref().unwrap_or(end))
    }
}

/// Compares two traces line by line, whether they were written as text or as JSON; the events of either are shown as text.
/// Answers how many are the same, and the first that are not.
///
/// # Errors
/// When one of them cannot be read.
pub fn first_divergence(
    what: &'static str,
    sides: &mut [Lines<impl BufRead>; 2],
) -> Result<(u64, Option<Divergence>), Error> {
    let mut before: Vec<String> = Vec::new();
    for number in 1.. {
        let mut line = |side: usize| {
            sides[side].next().transpose().map_err(|source| Error::System {
                doing: "reading a trace",
                source,
            })
        };
        let (first, second) = (line(0)?, line(1)?);
        match (first, second) {
            (None, None) => return Ok((number - 1, None)),
            (Some(first), Some(second)) if first == second => {
                if before.len() == CONTEXT_EVENTS {
                    before.remove(0);
                }
                before.push(first);
            }
            (first, second) => {
                let divergence = Divergence {
                    what,
                    number,
                    before: before.into_iter().map(readable).collect(),
                    first: first.map(readable),
                    second: second.map(readable),
                };
                return Ok((number - 1, Some(divergence)));
            }
        }
    }
    unreachable!("a file has an end")
}

fn readable(line: String) -> String {
    match serde_json::from_str::<Event>(&line) {
        Ok(event) => event.to_string(),
        Err(_) => line,
    }
}
