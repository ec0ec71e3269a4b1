//! The isolation suite: the anomalies of the Hermitage table and the rules of locks, as scripted interleavings.
//!
//! Every case is played at every isolation level on both sides. The transcripts must agree event by event, and so must the
//! table of which anomaly occurs where; real PostgreSQL's table is also held against the one that is known of it, so that
//! a case which proves nothing cannot pass.
//!
//! Case names follow Martin Kleppmann's Hermitage and, behind it, Adya's phenomena; the schedules and data are our own.

mod anomalies;
mod locks;
mod run;

pub(crate) use anomalies::tabulate;
pub(crate) use locks::strength_matrix;

use crate::{
    interleave::{Line, Step, Transcript, shown},
    isolation::run::Run,
    outcome::Rows,
    servers::{Database, Target},
};

/// The levels as SQL spells them.
pub(crate) const LEVELS: [&str; 4] = [
    "read uncommitted",
    "read committed",
    "repeatable read",
    "serializable",
];

/// How often real PostgreSQL is asked before an outcome counts as one that it never has.
const REPLAYS: usize = 8;

/// One scripted interleaving.
pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) setup: &'static [&'static str],
    /// A bare `begin` takes the level under test.
    pub(crate) steps: Vec<Step>,
}

impl Case {
    /// Plays the case in an empty database.
    pub(crate) fn play(&self, level: &str, database: &Database) -> Run {
        let mut steps = self.steps.clone();
        for step in steps.iter_mut().filter(|step| step.sql == "begin") {
            step.sql = format!("begin isolation level {level}");
        }
        Run::play(self.setup, &steps, database)
    }
}

/// Whether two lines of transcripts tell the same.
pub(crate) fn same_event(left: &Line, right: &Line) -> bool {
    let same_statement = left.session == right.session && left.sql == right.sql;
    same_statement && left.event.differences(&right.event, Rows::Unordered).is_empty()
}

/// Whether two transcripts tell the same.
pub(crate) fn same_events(truth: &Transcript, subject: &Transcript) -> bool {
    truth.len() == subject.len()
        && truth
            .iter()
            .zip(subject)
            .all(|(left, right)| same_event(left, right))
}

/// How two transcripts differ, for people; `None` when they agree.
pub(crate) fn disagreement(truth: &Transcript, subject: &Transcript) -> Option<String> {
    let agree = same_events(truth, subject);
    (!agree).then(|| format!("PostgreSQL:\n{}engine:\n{}", shown(truth), shown(subject)))
}

/// How a run differs from everything that real PostgreSQL was seen to do: when a commit wakes two waiters, either may win.
fn disagreement_with_all(play_truth: impl Fn() -> Run, run: &Run) -> Option<String> {
    let mut first = None;
    for _ in 0..REPLAYS {
        let truth = play_truth();
        match disagreement(&truth.transcript, &run.transcript) {
            Some(how) => _ = first.get_or_insert(how),
            None if truth.rows_at_end != run.rows_at_end => {
                _ = first.get_or_insert("other rows at the end".to_owned())
            }
            None => return None,
        }
    }
    first
}

/// Disagreements of all cases at all levels.
pub(crate) fn compare(cases: &[Case], subject: impl Fn() -> Database) -> Vec<String> {
    let mut found = Vec::new();
    for case in cases {
        for level in LEVELS {
            let run = case.play(level, &subject());
            let play_truth = || case.play(level, &Target::Postgres.database());
            if let Some(how) = disagreement_with_all(play_truth, &run) {
                found.push(format!("{} at {level}\n{how}", case.name));
            }
        }
    }
    found
}

#[test]
fn hermitage_table_is_postgresqls_own() {
    let (table, found) = anomalies::tabulate(|| Target::subject().database());
    println!("{table}");
    assert!(found.is_empty(), "{table}\n{}", found.join("\n"));
}

#[test]
fn locks_agree() {
    let cases = locks::cases();
    let found = compare(&cases, || Target::subject().database());
    println!(
        "{} lock cases at {} levels, {} disagree",
        cases.len(),
        LEVELS.len(),
        found.len()
    );
    assert!(
        found.is_empty(),
        "{} disagreements\n{}",
        found.len(),
        found.join("\n")
    );
}

#[test]
fn lock_strengths_conflict_as_in_postgresql() {
    let found = locks::strength_matrix(|| Target::subject().database());
    assert!(found.is_empty(), "{}", found.join("\n"));
}
