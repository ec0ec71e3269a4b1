//! The sessions of one interleaving and what they saw.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    fmt,
    time::{Duration, Instant},
};

use crate::{
    outcome::{Aspect, Outcome, Rows},
    servers::Database,
    wire::{Request, Session, readable},
};

/// Time for an answer before anyone asks whether the session is blocked.
const ANSWER_SOON: Duration = Duration::from_millis(1);
/// All waiters must be seen blocked twice, this far apart: a deadlock is looked for after 1 ms, and a session that one
/// waker set free may wait again.
const SETTLED_AFTER: Duration = Duration::from_millis(4);
/// The same where a step has set a time-out: it must have fired by then.
const SETTLED_WITH_TIMERS_AFTER: Duration = Duration::from_millis(250);
/// Neither answered nor blocked for so long: the server hangs.
const HANGS_AFTER: Duration = Duration::from_secs(10);
/// Where the server cannot say who is blocked, silence for so long is taken for it.
const SILENT_AFTER: Duration = Duration::from_millis(25);

/// One statement of one session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Step {
    pub(crate) session: usize,
    pub(crate) sql: String,
}

impl Step {
    pub(crate) fn new(session: usize, sql: impl Into<String>) -> Self {
        Self {
            session,
            sql: sql.into(),
        }
    }
}

/// What became of a statement at one point of the interleaving.
#[derive(Clone, Debug)]
pub(crate) enum Event {
    /// It was sent and answered at once.
    Answered(Outcome),
    /// It was sent and waits.
    Blocked,
    /// It had waited; the statement before set it free.
    Resumed(Outcome),
    /// It neither answered nor was it blocked: the interleaving ended here.
    Hung,
}

impl Event {
    /// In which respects two events differ; waiting is a difference in success.
    pub(crate) fn differences(&self, other: &Self, rows: Rows) -> Vec<Aspect> {
        match (self, other) {
            (Self::Answered(left), Self::Answered(right)) | (Self::Resumed(left), Self::Resumed(right)) => {
                left.differences(right, rows)
            }
            (Self::Blocked, Self::Blocked) => Vec::new(),
            _ => vec![Aspect::Success],
        }
    }

    /// The outcome, where there is one.
    pub(crate) fn outcome(&self) -> Option<&Outcome> {
        match self {
            Self::Answered(outcome) | Self::Resumed(outcome) => Some(outcome),
            Self::Blocked | Self::Hung => None,
        }
    }
}

/// One event of one session.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    pub(crate) session: usize,
    pub(crate) sql: String,
    pub(crate) event: Event,
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = char::from(b'A' + self.session as u8);
        match &self.event {
            Event::Answered(outcome) => write!(f, "{name}: {};  -- {outcome}", self.sql),
            Event::Blocked => write!(f, "{name}: {};  -- BLOCKED", self.sql),
            Event::Hung => write!(f, "{name}: {};  -- HANGS, neither answered nor blocked", self.sql),
            Event::Resumed(outcome) => write!(f, "   -- {name} RESUMES: {outcome}   [{}]", self.sql),
        }
    }
}

/// All events in order.
pub(crate) type Transcript = Vec<Line>;

/// Sessions on one database, and an observer that tells who is blocked.
pub(crate) struct Stage {
    sessions: Vec<Session>,
    running: Vec<String>,
    observer: Session,
    /// Whether the server has `pg_blocking_pids`.
    tells_blockers: bool,
    /// Whether a step of this interleaving sets a time-out.
    has_timers: bool,
    broken: bool,
}

/// The server hangs.
struct Hang;

impl Stage {
    pub(crate) fn open(database: &Database, sessions: usize) -> Self {
        let mut observer = database.session();
        let probe = observer.run(Request::Simple(
            "select pg_blocking_pids(pg_backend_pid())".to_owned(),
        ));
        Self {
            sessions: (0..sessions).map(|_| database.session()).collect(),
            running: vec![String::new(); sessions],
            observer,
            tells_blockers: probe.failure.is_none(),
            has_timers: false,
            broken: false,
        }
    }

    /// Whether it can play on: no connection was lost and nothing hangs.
    pub(crate) fn is_sound(&self) -> bool {
        !self.broken
    }

    /// The session that takes no part in the interleaving.
    pub(crate) fn observer(&mut self) -> &mut Session {
        &mut self.observer
    }

    /// Plays the steps in order and ends all transactions. A step of a session that waits is kept back until it answers.
    pub(crate) fn play(&mut self, steps: &[Step]) -> Transcript {
        self.has_timers = steps.iter().any(|step| step.sql.contains("_timeout"));
        let mut transcript = Transcript::new();
        let mut left: VecDeque<Step> = steps.iter().cloned().collect();
        loop {
            let next = left
                .iter()
                .position(|step| !self.sessions[step.session].is_busy());
            let Some(step) = next.and_then(|next| left.remove(next)) else {
                break;
            };
            self.act(&step, &mut transcript);
            if self.broken {
                return transcript;
            }
        }
        self.end_transactions(&mut transcript);
        transcript
    }

    /// Sends one statement and waits until all is settled.
    fn act(&mut self, step: &Step, transcript: &mut Transcript) {
        self.running[step.session].clone_from(&step.sql);
        self.sessions[step.session].start(Request::Simple(step.sql.clone()));
        let line = |event| Line {
            session: step.session,
            sql: step.sql.clone(),
            event,
        };
        let Ok(mut done) = self.settle() else {
            self.broken = true;
            transcript.push(line(Event::Hung));
            return;
        };
        self.broken |= done.iter().any(|(_, outcome)| outcome.lost);
        let own = done.iter().position(|(session, _)| *session == step.session);
        transcript.push(line(match own {
            Some(own) => Event::Answered(done.remove(own).1),
            None => Event::Blocked,
        }));
        done.sort_by_key(|(session, _)| *session);
        for (session, outcome) in done {
            let sql = self.running[session].clone();
            transcript.push(Line {
                session,
                sql,
                event: Event::Resumed(outcome),
            });
        }
    }

    /// Rolls back whatever is open, those first who wait for no one. The rollbacks themselves are no news.
    fn end_transactions(&mut self, transcript: &mut Transcript) {
        let mut ended = vec![false; self.sessions.len()];
        while let Some(session) = (0..ended.len()).find(|s| !ended[*s] && !self.sessions[*s].is_busy()) {
            ended[session] = true;
            let mut lines = Transcript::new();
            self.act(&Step::new(session, "rollback"), &mut lines);
            let is_news = |line: &Line| line.session != session || line.event.outcome().is_none();
            transcript.extend(lines.into_iter().filter(is_news));
            if self.broken {
                return;
            }
        }
        if let Some(stuck) = ended.iter().position(|ended| !ended) {
            self.broken = true;
            let sql = self.running[stuck].clone();
            transcript.push(Line {
                session: stuck,
                sql,
                event: Event::Hung,
            });
        }
    }

    /// Collects the outcomes that come before everyone else is blocked.
    fn settle(&mut self) -> Result<Vec<(usize, Outcome)>, Hang> {
        let settled_after = match (self.has_timers, self.tells_blockers) {
            (true, _) => SETTLED_WITH_TIMERS_AFTER,
            (false, true) => SETTLED_AFTER,
            (false, false) => SILENT_AFTER,
        };
        let started = Instant::now();
        let mut done = Vec::new();
        let mut blocked_since: Option<(Instant, String)> = None;
        loop {
            for session in self.busy() {
                if let Some(outcome) = self.sessions[session].poll(Duration::ZERO) {
                    done.push((session, outcome));
                    blocked_since = None;
                }
            }
            let busy = self.busy();
            if busy.is_empty() {
                return Ok(done);
            }
            let descriptors: Vec<_> = busy.iter().map(|s| self.sessions[*s].descriptor()).collect();
            if readable(&descriptors, ANSWER_SOON).unwrap_or(true) {
                continue;
            }
            let seen = self.blockers(&busy);
            match (&seen, &blocked_since) {
                (Some(seen), Some((since, before))) if seen == before => {
                    if since.elapsed() >= settled_after {
                        return Ok(done);
                    }
                }
                _ => blocked_since = seen.map(|seen| (Instant::now(), seen)),
            }
            if started.elapsed() > HANGS_AFTER {
                return Err(Hang);
            }
        }
    }

    fn busy(&self) -> Vec<usize> {
        (0..self.sessions.len())
            .filter(|s| self.sessions[*s].is_busy())
            .collect()
    }

    /// Who blocks each of the sessions; `None` when one of them is not blocked, or will not be for long: sessions that wait
    /// for each other in a circle are about to be told of a deadlock, however long a busy machine takes to notice.
    fn blockers(&mut self, sessions: &[usize]) -> Option<String> {
        if !self.tells_blockers {
            return Some(String::new());
        }
        let calls: Vec<_> = sessions
            .iter()
            .map(|s| format!("pg_blocking_pids({})", self.sessions[*s].pid()))
            .collect();
        let outcome = self.observer.must(&format!("select {}", calls.join(", ")));
        let row = outcome.results[0].rows[0].iter();
        let row: Vec<_> = row
            .map(|pids| String::from_utf8_lossy(pids.as_deref().unwrap_or_default()))
            .collect();
        let waits: BTreeMap<String, Vec<String>> = sessions
            .iter()
            .zip(&row)
            .map(|(session, pids)| {
                let blockers = pids.trim_matches(['{', '}']).split(',').map(str::to_owned);
                (self.sessions[*session].pid().to_string(), blockers.collect())
            })
            .collect();
        let restless =
            row.iter().any(|pids| pids == "{}") || waits.keys().any(|pid| waits_for_itself(&waits, pid));
        (!restless).then(|| row.join(" "))
    }

    /// Says goodbye in every session.
    pub(crate) fn close(self) {
        for session in self.sessions {
            session.close();
        }
        self.observer.close();
    }
}

/// Whether a session waits, through others, for itself.
fn waits_for_itself(waits: &BTreeMap<String, Vec<String>>, pid: &str) -> bool {
    let mut seen = BTreeSet::new();
    let mut next: Vec<&str> = vec![pid];
    while let Some(waiter) = next.pop() {
        for blocker in waits.get(waiter).into_iter().flatten() {
            if blocker == pid {
                return true;
            }
            if seen.insert(blocker.as_str()) {
                next.push(blocker);
            }
        }
    }
    false
}

/// The transcript as a script that a person can read.
pub(crate) fn shown(transcript: &Transcript) -> String {
    transcript.iter().map(|line| format!("{line}\n")).collect()
}
