//! What is wrong with a scenario file, with the place and what was perhaps meant.

use std::{fmt, ops::Range};

/// What is wrong with a scenario file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Problem {
    /// The file.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
    /// The column, from 1, in characters.
    pub column: usize,
    /// What is wrong.
    pub message: String,
    /// The line as it stands in the file.
    pub text: String,
}

impl Problem {
    pub(super) fn at(file: &str, text: &str, span: Range<usize>, message: impl Into<String>) -> Self {
        let start = span.start.min(text.len());
        let before = &text[..start];
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        Self {
            file: file.to_owned(),
            line: before.matches('\n').count() + 1,
            column: text[line_start..start].chars().count() + 1,
            message: message.into(),
            text: text[line_start..].lines().next().unwrap_or_default().to_owned(),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            file,
            line,
            column,
            message,
            text,
        } = self;
        writeln!(f, "{file}:{line}:{column}: {message}")?;
        write!(f, "    {text}\n    {:>column$}", "^")
    }
}

/// Adds what was perhaps meant to a message of serde's that lists what it knows: the known name that looks most like the
/// unknown one.
pub(super) fn with_suggestion(message: &str) -> String {
    let mut names = message.split('`').skip(1).step_by(2);
    let unknown = message.starts_with("unknown ");
    let (Some(asked), true) = (names.next(), unknown) else {
        return message.to_owned();
    };
    match nearest(asked, names) {
        Some(near) => format!("{message}; did you mean `{near}`?"),
        None => message.to_owned(),
    }
}

/// The name that looks most like another, if one does at all.
pub fn nearest<'a>(asked: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let scored = known.map(|name| (strsim::jaro_winkler(asked, name), name));
    let best = scored.max_by(|one, other| one.0.total_cmp(&other.0));
    best.filter(|(score, _)| *score > 0.7).map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_place_is_shown() {
        let problem = Problem::at("a.toml", "one = 1\n  two = 2\n", 10..13, "no");
        assert_eq!(problem.to_string(), "a.toml:2:3: no\n      two = 2\n      ^");
    }

    #[test]
    fn what_was_meant_is_said() {
        let said = with_suggestion("unknown field `patiense`, expected one of `clients`, `patience`");
        assert!(said.ends_with("did you mean `patience`?"), "{said}");
        assert_eq!(with_suggestion("missing field `at`"), "missing field `at`");
    }
}
