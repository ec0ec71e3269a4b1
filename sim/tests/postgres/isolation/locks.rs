//! The rules of locks: who waits for whom, and what a waiter finds when it is set free. Only transcripts are compared.
//!
//! The cases stand in `interleavings/*.txt`: a line `case: NAME`, then one step a line, a session's letter (A to D) and its
//! statement. A bare `begin` takes the isolation level under test. Lines that begin with # are comments.

use std::{fs, path::Path};

use super::{Case, LEVELS};
use crate::{
    interleave::Step,
    isolation::{disagreement_with_all, run::Run},
    servers::{Database, Target},
};

const ITEMS: &[&str] = &[
    "create table item (id int4 primary key, value int4 not null, code text unique)",
    "insert into item values (1, 10, 'a'), (2, 20, 'b'), (3, 30, 'c')",
    "create table part (id int4 primary key, item_id int4 references item, note text)",
    "insert into part values (1, 1, 'x')",
];

const STRENGTHS: [&str; 6] = [
    "select value from item where id = 1 for update",
    "select value from item where id = 1 for no key update",
    "select value from item where id = 1 for share",
    "select value from item where id = 1 for key share",
    "update item set value = value + 1 where id = 1",
    "update item set code = code || '!' where id = 1",
];

/// Every pair of lock strengths on one row, the second also as NOWAIT and SKIP LOCKED, and every upgrade of a lock that a
/// second session shares.
pub(crate) fn strength_matrix(subject: impl Fn() -> Database) -> Vec<String> {
    let mut found = Vec::new();
    for first in STRENGTHS {
        let mut steps = Vec::new();
        for second in STRENGTHS {
            let rival = format!("begin isolation level {}", LEVELS[1]);
            steps.extend([
                Step::new(0, rival.clone()),
                Step::new(0, first),
                Step::new(1, rival.clone()),
            ]);
            if second.starts_with("select") {
                steps.extend([Step::new(1, format!("{second} nowait")), Step::new(1, "rollback")]);
                steps.extend([
                    Step::new(1, rival.clone()),
                    Step::new(1, format!("{second} skip locked")),
                ]);
            }
            steps.extend([
                Step::new(1, second),
                Step::new(0, second),
                Step::new(0, "rollback"),
                Step::new(1, "rollback"),
            ]);
        }
        let run = Run::play(ITEMS, &steps, &subject());
        let play_truth = || Run::play(ITEMS, &steps, &Target::Postgres.database());
        found.extend(disagreement_with_all(play_truth, &run));
    }
    found
}

/// All lock cases, in the order of their files.
///
/// # Panics
/// When a file is not of the form described above, with the line.
pub(crate) fn cases() -> Vec<Case> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/postgres/interleavings");
    let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut paths: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    let read =
        |path: &Path| fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    paths.iter().flat_map(|path| parse(&read(path))).collect()
}

fn parse(text: &str) -> Vec<Case> {
    let mut cases: Vec<Case> = Vec::new();
    for line in text
        .lines()
        .filter(|line| !line.trim().is_empty() && !line.starts_with('#'))
    {
        if let Some(name) = line.strip_prefix("case: ") {
            cases.push(Case {
                name: name.to_owned(),
                setup: ITEMS,
                steps: Vec::new(),
            });
            continue;
        }
        let session = line
            .bytes()
            .next()
            .filter(|letter| (b'A'..=b'D').contains(letter));
        let (Some(session), Some(case), Some(sql)) = (session, cases.last_mut(), line.get(2..)) else {
            panic!("neither a case nor a step: {line}");
        };
        case.steps.push(Step::new(usize::from(session - b'A'), sql));
    }
    cases
}
