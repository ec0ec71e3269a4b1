//! The statement suite: every script of the corpus on both sides, over both protocols, each time in a fresh database.
//!
//! Text answers over the simple protocol, binary answers over the extended one. A script is one session; it goes on after
//! errors, so a script's later statements depend on what its earlier ones left behind.

mod corpus;
mod differences;

pub(crate) use corpus::{Script, Statement, parse};
pub(crate) use differences::Found;

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::{
    outcome::Outcome,
    servers::{Database, Target},
    wire::Request,
};

/// Fewer statements than this are no conformance suite.
const STATEMENTS_MIN: usize = 1_000;

/// How statements travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    Simple,
    Extended,
}

impl Protocol {
    pub(crate) const ALL: [Self; 2] = [Self::Simple, Self::Extended];

    fn name(self) -> &'static str {
        match self {
            Self::Simple => "simple",
            Self::Extended => "extended",
        }
    }

    fn carries(self, statement: &Statement) -> bool {
        match self {
            Self::Simple => statement.simple,
            Self::Extended => statement.extended,
        }
    }
}

/// Outcomes of the statements that the protocol can carry.
pub(crate) fn run(script: &Script, protocol: Protocol, database: &Database) -> Vec<Outcome> {
    let mut session = database.session();
    let mut outcomes = Vec::new();
    for statement in script
        .statements
        .iter()
        .filter(|statement| protocol.carries(statement))
    {
        let request = match protocol {
            Protocol::Simple => Request::Simple(statement.sql.clone()),
            Protocol::Extended => Request::Extended(statement.sql.clone(), statement.parameters.clone()),
        };
        let outcome = session.run(request);
        let lost = outcome.lost;
        outcomes.push(outcome);
        if lost {
            session = database.session();
        }
    }
    session.close();
    outcomes
}

/// Held while scripts may make roles: those belong to the whole server.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// All differences of one script between real PostgreSQL and a subject. One after the other, because roles belong to the
/// whole server and the subject may be on the same one.
pub(crate) fn compare(script: &Script, protocol: Protocol, subject: impl Fn() -> Database) -> Vec<Found> {
    let run_alone = |database: Database| {
        let outcomes = run(script, protocol, &database);
        database.drop_with_roles();
        outcomes
    };
    let _alone = alone();
    let expected = run_alone(Target::Postgres.database());
    let got = run_alone(subject());
    let statements = script
        .statements
        .iter()
        .filter(|statement| protocol.carries(statement));
    let mut found = Vec::new();
    for ((statement, expected), got) in statements.zip(&expected).zip(&got) {
        let aspects = expected.differences(got, statement.rows);
        if !aspects.is_empty() {
            found.push(Found {
                script: script.name.clone(),
                statement: statement.sql.clone(),
                protocol: protocol.name(),
                aspects,
                shown: format!(
                    "  line {}\n  PostgreSQL: {expected}\n  engine:     {got}\n",
                    statement.line
                ),
            });
        }
    }
    found
}

/// Runs scripts whose name contains SUMZERO_PG_SCRIPT, or all.
#[test]
fn statements_agree() {
    let chosen = std::env::var("SUMZERO_PG_SCRIPT").ok();
    let mut corpus = corpus::read_corpus();
    let total: usize = corpus.iter().map(|script| script.statements.len()).sum();
    assert!(total >= STATEMENTS_MIN, "the corpus has only {total} statements");
    let mut list = differences::read_list();
    if let Some(chosen) = &chosen {
        corpus.retain(|script| script.name.contains(chosen.as_str()));
        list.retain(|entry| entry.script.contains(chosen.as_str()));
    }

    let mut found = Vec::new();
    let mut compared = 0;
    for script in &corpus {
        for protocol in Protocol::ALL {
            found.extend(compare(script, protocol, || Target::subject().database()));
            compared += script
                .statements
                .iter()
                .filter(|statement| protocol.carries(statement))
                .count();
        }
    }
    let differ = found.len();
    let complaints = differences::unexplained(&list, &found);
    println!(
        "{total} statements in the corpus; {compared} comparisons over both protocols: {} agree, {differ} differ, {} \
         differences are explained, {} complaints",
        compared - differ,
        list.len(),
        complaints.len()
    );
    assert!(
        complaints.is_empty(),
        "{} complaints\n\n{}",
        complaints.len(),
        complaints.join("\n")
    );
}
