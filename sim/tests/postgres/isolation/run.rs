//! One played case and questions about it.

use crate::{
    interleave::{Stage, Step, Transcript},
    outcome::Outcome,
    servers::Database,
    wire::Value,
};

/// What a case did.
pub(crate) struct Run {
    pub(crate) transcript: Transcript,
    /// Rows of `item` at the end, if the case has that table.
    pub(crate) rows_at_end: Vec<Vec<Value>>,
    /// Outcome of each step, where it ever came.
    outcomes: Vec<Option<Outcome>>,
}

impl Run {
    pub(crate) fn play(setup: &[&str], steps: &[Step], database: &Database) -> Self {
        let mut session = database.session();
        for statement in setup {
            session.must(statement);
        }
        let sessions = steps
            .iter()
            .map(|step| step.session + 1)
            .max()
            .unwrap_or_default();
        let mut stage = Stage::open(database, sessions);
        let transcript = stage.play(steps);
        stage.close();
        let rows_at_end = match setup.iter().any(|statement| statement.contains("table item")) {
            true => session.must("select * from item order by id").results[0]
                .rows
                .clone(),
            false => Vec::new(),
        };
        session.close();
        let outcomes = outcomes_of(steps, &transcript);
        Self {
            transcript,
            rows_at_end,
            outcomes,
        }
    }

    /// Whether the step succeeded; a commit that rolled back did not.
    pub(crate) fn succeeded(&self, step: usize) -> bool {
        let outcome = self.outcomes[step].as_ref();
        outcome.is_some_and(|outcome| outcome.failure.is_none() && self.tag(step) != "ROLLBACK")
    }

    /// Command tag of a step, empty if it has none.
    pub(crate) fn tag(&self, step: usize) -> &str {
        let outcome = self.outcomes[step].as_ref();
        outcome
            .and_then(|outcome| outcome.results.first()?.tag.as_deref())
            .unwrap_or_default()
    }

    /// Whether the step read the value, in any column.
    pub(crate) fn read(&self, step: usize, value: &str) -> bool {
        let results = self.outcomes[step].iter().flat_map(|outcome| &outcome.results);
        let mut values = results.flat_map(|result| &result.rows).flatten().flatten();
        values.any(|read| read.as_slice() == value.as_bytes())
    }

    /// Whether the table ended with these values, in order of ids.
    pub(crate) fn ended_with(&self, values: &[&str]) -> bool {
        let last = self
            .rows_at_end
            .iter()
            .map(|row| row.last().cloned().flatten().unwrap_or_default());
        last.eq(values.iter().map(|value| value.as_bytes().to_vec()))
    }
}

/// Sessions answer in the order in which they asked, so the n-th answer of a session belongs to its n-th step.
fn outcomes_of(steps: &[Step], transcript: &Transcript) -> Vec<Option<Outcome>> {
    let mut taken = vec![
        0;
        steps
            .iter()
            .map(|step| step.session + 1)
            .max()
            .unwrap_or_default()
    ];
    let of_session = |step: &Step| {
        let nth = taken[step.session];
        taken[step.session] += 1;
        let lines = transcript.iter().filter(|line| line.session == step.session);
        lines.filter_map(|line| line.event.outcome()).nth(nth).cloned()
    };
    steps.iter().map(of_session).collect()
}
