//! Do both sides agree on a history? If not, which is the smallest one on which they do not?
//!
//! Real PostgreSQL leaves some choices open: when a commit wakes two waiters, either may go first. So the engine's outcome
//! must be one that real PostgreSQL has, and real PostgreSQL is asked several times before an outcome counts as foreign to it.
//!
//! Under SERIALIZABLE either side may refuse more than it must (real PostgreSQL keeps its read locks per index page). When
//! the first difference is such a refusal (40001), what the engine committed must equal some serial order of the same
//! transactions, tried one by one on real PostgreSQL.

use super::{
    arena::{Arena, Played},
    generate::{History, Mix},
};
use crate::interleave::{Event, Line, Transcript};

/// How often real PostgreSQL is asked before an outcome counts as foreign to it.
const REPLAYS: usize = 12;
/// So often a disagreement must show again to count. PostgreSQL itself is not sure of every outcome: when a row's updater
/// rolls back, now and then the second in the queue gets the row before the first, as in seed 4339, and once in dozens of
/// times it is the other way round.
const CONFIRMATIONS: usize = 8;
const SHRINK_TRIES_MAX: usize = 400;
/// Serial orders grow with the factorial.
const SERIAL_TRANSACTIONS_MAX: usize = 6;

/// The judgement on one history.
pub(crate) enum Verdict {
    /// Event by event the same.
    Agree,
    /// The same as another of real PostgreSQL's own outcomes.
    AgreeOnReplay,
    /// One side alone refused with 40001, and what the engine committed is serializable.
    Serializable {
        refused_by_engine: bool,
    },
    Disagree(Box<(Played, Played)>),
}

/// Both sides.
pub(crate) struct Judge {
    pub(crate) truth: Arena,
    pub(crate) subject: Arena,
}

impl Judge {
    /// Plays the history on both sides. The second value is what the engine did.
    pub(crate) fn judge(&mut self, history: &History) -> (Verdict, Played) {
        let subject = self.subject.play(history);
        let truth = self.truth.play(history);
        if truth.agrees_with(&subject) {
            return (Verdict::Agree, subject);
        }
        if history.mix == Mix::Serializable
            && let Some(refused_by_engine) = refused_by_one(&truth.transcript, &subject.transcript)
            && self.is_serializable(&subject)
        {
            return (Verdict::Serializable { refused_by_engine }, subject);
        }
        for _ in 1..REPLAYS {
            if self.truth.play(history).agrees_with(&subject) {
                return (Verdict::AgreeOnReplay, subject);
            }
        }
        (Verdict::Disagree(Box::new((truth, subject.clone()))), subject)
    }

    /// Whether the sides, which disagreed, do so each time again, as servers that are sure of themselves do.
    pub(crate) fn disagrees_again(&mut self, history: &History) -> bool {
        (0..CONFIRMATIONS).all(|_| matches!(self.judge(history).0, Verdict::Disagree(_)))
    }

    /// Whether some serial order of the committed transactions explains all that they read and the end.
    pub(crate) fn is_serializable(&mut self, played: &Played) -> bool {
        if played.state.is_empty() {
            return false;
        }
        let committed = committed_transactions(&played.transcript);
        assert!(
            committed.len() <= SERIAL_TRANSACTIONS_MAX,
            "too many transactions for brute force"
        );
        let mut order: Vec<usize> = (0..committed.len()).collect();
        // The order of the commits comes first: it is nearly always the one.
        loop {
            let transactions: Vec<&Transcript> = order.iter().map(|index| &committed[*index]).collect();
            if self.truth.explains(&transactions, &played.state) {
                return true;
            }
            if !next_permutation(&mut order) {
                return false;
            }
        }
    }

    /// The smallest history found on which the sides disagree.
    pub(crate) fn shrink(&mut self, history: &History) -> History {
        let mut best = history.clone();
        let mut tries = 0;
        loop {
            let before = best.steps.len();
            let sessions: std::collections::BTreeSet<usize> =
                best.steps.iter().map(|step| step.session).collect();
            for session in sessions {
                let candidate = without(&best, |_, index| best.steps[index].session != session);
                self.keep_if_it_disagrees(candidate, &mut best, &mut tries);
            }
            for length in [4, 2, 1] {
                let mut at = 0;
                while at < best.steps.len() && tries < SHRINK_TRIES_MAX {
                    let candidate = without(&best, |_, index| index < at || index >= at + length);
                    if !self.keep_if_it_disagrees(candidate, &mut best, &mut tries) {
                        at += 1;
                    }
                }
            }
            if best.steps.len() == before || tries >= SHRINK_TRIES_MAX {
                return best;
            }
        }
    }

    fn keep_if_it_disagrees(&mut self, candidate: History, best: &mut History, tries: &mut usize) -> bool {
        *tries += 1;
        let disagrees = !candidate.steps.is_empty()
            && candidate.steps.len() < best.steps.len()
            && matches!(self.judge(&candidate).0, Verdict::Disagree(_));
        if disagrees {
            *best = candidate;
        }
        disagrees
    }
}

fn without(history: &History, keep: impl Fn(&History, usize) -> bool) -> History {
    let steps = history
        .steps
        .iter()
        .enumerate()
        .filter(|(index, _)| keep(history, *index));
    History {
        steps: steps.map(|(_, step)| step.clone()).collect(),
        ..*history
    }
}

/// Whether the first difference is that one side alone refused with 40001, and if so, whether it was the engine.
fn refused_by_one(truth: &Transcript, subject: &Transcript) -> Option<bool> {
    let refused = |line: &Line| line.event.outcome().and_then(|outcome| outcome.sqlstate()) == Some("40001");
    let differ = |(left, right): &(&Line, &Line)| !crate::isolation::same_event(left, right);
    let (left, right) = truth.iter().zip(subject).find(differ)?;
    match (refused(left), refused(right)) {
        (false, true) => Some(true),
        (true, false) => Some(false),
        _ => None,
    }
}

/// Statements of each committed transaction with their outcomes, in the order of the commits. A statement outside
/// BEGIN .. COMMIT that succeeded is a transaction of its own.
fn committed_transactions(transcript: &Transcript) -> Vec<Transcript> {
    let sessions = transcript
        .iter()
        .map(|line| line.session + 1)
        .max()
        .unwrap_or_default();
    let mut open: Vec<Option<Transcript>> = vec![None; sessions];
    let mut committed = Vec::new();
    for line in transcript
        .iter()
        .filter(|line| !matches!(line.event, Event::Blocked | Event::Hung))
    {
        let tag = line
            .event
            .outcome()
            .and_then(|outcome| outcome.results.first()?.tag.as_deref());
        match (&mut open[line.session], tag) {
            (slot @ None, Some("BEGIN")) => *slot = Some(vec![line.clone()]),
            (None, Some("ROLLBACK" | "COMMIT") | None) => {}
            (None, Some(_)) => committed.push(vec![line.clone()]),
            (slot @ Some(_), Some("COMMIT")) => {
                let mut transaction = slot.take().unwrap_or_default();
                transaction.push(line.clone());
                committed.push(transaction);
            }
            (slot @ Some(_), Some("ROLLBACK")) if !line.sql.starts_with("rollback to") => *slot = None,
            // A failed COMMIT ends the transaction too.
            (slot @ Some(_), None) if line.sql == "commit" => *slot = None,
            (Some(transaction), _) => transaction.push(line.clone()),
        }
    }
    committed
}

/// The next order in the dictionary; `false` after the last.
fn next_permutation(order: &mut [usize]) -> bool {
    let Some(pivot) = (1..order.len()).rev().find(|at| order[at - 1] < order[*at]) else {
        return false;
    };
    let last = (pivot..order.len())
        .rev()
        .find(|at| order[*at] > order[pivot - 1])
        .unwrap_or(pivot);
    order.swap(pivot - 1, last);
    order[pivot..].reverse();
    true
}

#[cfg(test)]
mod tests {
    use super::next_permutation;

    #[test]
    fn all_orders_are_tried() {
        let mut order = [0, 1, 2, 3];
        let mut count = 1;
        while next_permutation(&mut order) {
            count += 1;
        }
        assert_eq!((count, order), (24, [3, 2, 1, 0]));
    }
}
