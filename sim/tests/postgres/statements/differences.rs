//! The list of explained differences, `differences.txt`, which must be exact: a difference that is not in it fails, and
//! one in it that no longer occurs fails too.
//!
//! Entries are separated by empty lines and read
//!
//!     script: numeric
//!     statement: select 1 / 3.0
//!     protocol: both            (or simple, extended)
//!     aspects: rows, tag        (as `Aspect` prints them)
//!     reason: why this is right, or not worth being right
//!
//! The statement is compared with runs of white space folded into one blank.

use std::{fmt, fs, path::Path};

use crate::outcome::Aspect;

/// One explained difference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) script: String,
    pub(crate) statement: String,
    pub(crate) protocol: String,
    pub(crate) aspects: String,
    pub(crate) reason: String,
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "script: {}\nstatement: {}", self.script, self.statement)?;
        write!(
            f,
            "protocol: {}\naspects: {}\nreason: {}",
            self.protocol, self.aspects, self.reason
        )
    }
}

/// What was found for one statement over one protocol.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    pub(crate) script: String,
    pub(crate) statement: String,
    pub(crate) protocol: &'static str,
    pub(crate) aspects: Vec<Aspect>,
    /// Both outcomes, for people.
    pub(crate) shown: String,
}

impl Found {
    fn aspects(&self) -> String {
        self.aspects
            .iter()
            .map(Aspect::to_string)
            .collect::<Vec<_>>()
            .join(", ")
    }
}

/// Reads the checked-in list.
pub(crate) fn read_list() -> Vec<Entry> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/postgres/differences.txt");
    parse(&fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display())))
}

/// # Panics
/// When an entry lacks a field or gives no reason.
pub(crate) fn parse(text: &str) -> Vec<Entry> {
    let is_entry = |block: &&str| {
        block
            .lines()
            .any(|line| !line.starts_with('#') && !line.trim().is_empty())
    };
    let entry = |block: &str| {
        let field = |name: &str| {
            let line = block.lines().find_map(|line| line.strip_prefix(name));
            let value = line.map(str::trim).filter(|value| !value.is_empty());
            value
                .unwrap_or_else(|| panic!("an explained difference lacks {name}\n{block}"))
                .to_owned()
        };
        Entry {
            script: field("script:"),
            statement: fold(&field("statement:")),
            protocol: field("protocol:"),
            aspects: field("aspects:"),
            reason: field("reason:"),
        }
    };
    text.split("\n\n").filter(is_entry).map(entry).collect()
}

/// Runs of white space as one blank.
pub(crate) fn fold(sql: &str) -> String {
    sql.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// What stands in the way of agreement: unexplained findings and entries without a finding.
pub(crate) fn unexplained(list: &[Entry], found: &[Found]) -> Vec<String> {
    let explains = |entry: &Entry, found: &Found| {
        entry.script == found.script
            && entry.statement == fold(&found.statement)
            && (entry.protocol == "both" || entry.protocol == found.protocol)
            && entry.aspects == found.aspects()
    };
    let mut complaints = Vec::new();
    for finding in found {
        if !list.iter().any(|entry| explains(entry, finding)) {
            complaints.push(format!(
                "{} [{}] differs in {}:\n  {};\n{}",
                finding.script,
                finding.protocol,
                finding.aspects(),
                finding.statement,
                finding.shown
            ));
        }
    }
    for entry in list {
        let protocols = found
            .iter()
            .filter(|finding| explains(entry, finding))
            .map(|finding| finding.protocol);
        let protocols: std::collections::BTreeSet<_> = protocols.collect();
        let expected = if entry.protocol == "both" { 2 } else { 1 };
        if protocols.len() < expected {
            complaints.push(format!(
                "this difference no longer occurs (over {}):\n{entry}",
                entry.protocol
            ));
        }
    }
    complaints
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found() -> Found {
        let aspects = vec![Aspect::Rows, Aspect::Tag];
        let (script, statement) = ("numeric".to_owned(), "select\n  1".to_owned());
        Found {
            script,
            statement,
            protocol: "simple",
            aspects,
            shown: String::new(),
        }
    }

    const ENTRY: &str = "# a comment\nscript: numeric\nstatement: select 1\nprotocol: simple\naspects: rows, tag\nreason: so\n";

    #[test]
    fn an_exact_entry_explains() {
        assert!(unexplained(&parse(ENTRY), &[found()]).is_empty());
    }

    #[test]
    fn an_unlisted_difference_is_a_complaint() {
        assert_eq!(unexplained(&[], &[found()]).len(), 1);
    }

    #[test]
    fn an_entry_that_no_longer_occurs_is_a_complaint() {
        assert_eq!(unexplained(&parse(ENTRY), &[]).len(), 1);
        let both = ENTRY.replace("simple", "both");
        assert_eq!(
            unexplained(&parse(&both), &[found()]).len(),
            1,
            "it occurs over one protocol of two"
        );
    }

    #[test]
    fn another_aspect_is_not_explained() {
        let other = ENTRY.replace("rows, tag", "rows");
        assert_eq!(unexplained(&parse(&other), &[found()]).len(), 2);
    }
}
