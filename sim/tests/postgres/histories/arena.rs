//! A database with the tables of the histories, and sessions that play one history after the other on it.

use super::generate::{FINAL_STATE, History, RESET, SCHEMA, SESSIONS_MAX, TRUNCATE};
use crate::{
    interleave::{Stage, Transcript, shown},
    isolation::same_events,
    outcome::Rows,
    servers::Database,
    wire::{Request, Value},
};

const TRUNCATE_EVERY: u64 = 50;

/// What a history did on one side.
#[derive(Clone)]
pub(crate) struct Played {
    pub(crate) transcript: Transcript,
    /// Rows of each table at the end; empty when the server hung.
    pub(crate) state: Vec<Vec<Vec<Value>>>,
}

impl Played {
    pub(crate) fn agrees_with(&self, other: &Self) -> bool {
        same_events(&self.transcript, &other.transcript) && self.state == other.state
    }
}

/// Where histories are played.
pub(crate) struct Arena {
    make: Box<dyn Fn() -> Database>,
    database: Database,
    stage: Stage,
    resets: u64,
}

impl Arena {
    pub(crate) fn open(make: impl Fn() -> Database + 'static) -> Self {
        let (database, stage) = Self::prepare(&make);
        Self {
            make: Box::new(make),
            database,
            stage,
            resets: 0,
        }
    }

    fn prepare(make: &dyn Fn() -> Database) -> (Database, Stage) {
        let database = make();
        let mut session = database.session();
        for statement in SCHEMA {
            session.must(statement);
        }
        session.close();
        database.prefer_indexes();
        let stage = Stage::open(&database, SESSIONS_MAX);
        (database, stage)
    }

    /// Plays a history from the first rows on.
    pub(crate) fn play(&mut self, history: &History) -> Played {
        if !self.stage.is_sound() {
            (self.database, self.stage) = Self::prepare(&self.make);
        }
        self.reset();
        let transcript = self.stage.play(&history.steps);
        let state = match self.stage.is_sound() {
            true => self.state(),
            false => Vec::new(),
        };
        Played { transcript, state }
    }

    /// Deleting is faster than truncating, but what it leaves behind slows every scan.
    fn reset(&mut self) {
        self.resets += 1;
        let observer = self.stage.observer();
        if self.resets.is_multiple_of(TRUNCATE_EVERY) {
            observer.must(TRUNCATE);
        }
        observer.must(RESET);
    }

    fn state(&mut self) -> Vec<Vec<Vec<Value>>> {
        FINAL_STATE
            .iter()
            .map(|query| self.stage.observer().must(query).results[0].rows.clone())
            .collect()
    }

    /// Runs whole transactions one after the other; whether each statement that had succeeded says the same again, and the
    /// end is the same.
    pub(crate) fn explains(&mut self, order: &[&Transcript], state: &[Vec<Vec<Value>>]) -> bool {
        self.reset();
        let observer = self.stage.observer();
        for transaction in order {
            for line in *transaction {
                let again = observer.run(Request::Simple(line.sql.clone()));
                let Some(before) = line.event.outcome() else {
                    continue;
                };
                if before.failure.is_none() && !before.differences(&again, Rows::Unordered).is_empty() {
                    observer.run(Request::Simple("rollback".to_owned()));
                    return false;
                }
            }
        }
        self.state() == state
    }
}

/// Both sides for people.
pub(crate) fn side_by_side(truth: &Played, subject: &Played) -> String {
    let state = |played: &Played| {
        let text = |value: &Value| {
            value
                .as_deref()
                .map_or("NULL".into(), String::from_utf8_lossy)
                .into_owned()
        };
        let row = |row: &Vec<Value>| row.iter().map(text).collect::<Vec<_>>().join("|");
        let table = |rows: &Vec<Vec<Value>>| rows.iter().map(row).collect::<Vec<_>>().join(" ");
        played.state.iter().map(table).collect::<Vec<_>>().join("  //  ")
    };
    format!(
        "PostgreSQL:\n{}   end: {}\nengine:\n{}   end: {}\n",
        shown(&truth.transcript),
        state(truth),
        shown(&subject.transcript),
        state(subject)
    )
}
