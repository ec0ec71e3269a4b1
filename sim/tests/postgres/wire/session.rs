//! One session: a statement is started, and its outcome is collected when it comes.

use std::{
    os::fd::BorrowedFd,
    time::{Duration, Instant},
};

use super::{
    frame::{Answer, Request, frame, startup},
    link::{Address, Error, Link},
};
use crate::outcome::{Outcome, ResultSet};

/// No statement of the suites runs this long unless it is blocked.
const ANSWER_WITHIN: Duration = Duration::from_secs(20);

/// A deliberate falsification of statements on their way to the server, for the negative controls.
pub(crate) type Bend = fn(&str) -> String;

/// A session with at most one statement in flight.
pub(crate) struct Session {
    link: Link,
    pid: i32,
    bend: Option<Bend>,
    in_flight: Option<Outcome>,
}

impl Session {
    /// Connects and waits until the server is ready for queries.
    pub(crate) fn open(
        address: &Address,
        user: &str,
        database: &str,
        bend: Option<Bend>,
    ) -> Result<Self, Error> {
        let mut link = Link::open(address)?;
        link.send(&startup(user, database))?;
        let mut pid = 0;
        loop {
            match link.receive(ANSWER_WITHIN)?.ok_or(Error::Silent(ANSWER_WITHIN))? {
                Answer::Authentication(0) | Answer::Other(_) => {}
                Answer::Authentication(method) => {
                    return Err(Error::Refused(format!("it asks for authentication {method}")));
                }
                Answer::KeyData { pid: given } => pid = given,
                Answer::Ready(_) => {
                    return Ok(Self {
                        link,
                        pid,
                        bend,
                        in_flight: None,
                    });
                }
                Answer::Failed(failure) => return Err(Error::Refused(failure.to_string())),
                answer => return Err(Error::Malformed(format!("{answer:?} before ReadyForQuery"))),
            }
        }
    }

    /// The server's number for this session.
    pub(crate) fn pid(&self) -> i32 {
        self.pid
    }

    pub(crate) fn descriptor(&self) -> BorrowedFd<'_> {
        self.link.descriptor()
    }

    /// Whether a statement is unanswered.
    pub(crate) fn is_busy(&self) -> bool {
        self.in_flight.is_some()
    }

    /// Sends a statement and does not wait. A broken connection shows in the outcome.
    pub(crate) fn start(&mut self, mut request: Request) {
        assert!(!self.is_busy(), "a statement is already in flight");
        if let Some(bend) = self.bend {
            let sql = request.sql_mut();
            *sql = bend(sql);
        }
        let mut outcome = Outcome::default();
        if self.link.send(&request.encode()).is_err() {
            outcome.lost = true;
        }
        self.in_flight = Some(outcome);
    }

    /// The outcome of the statement in flight, or `None` when it is not complete within the time.
    pub(crate) fn poll(&mut self, within: Duration) -> Option<Outcome> {
        let deadline = Instant::now() + within;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let answer = match self.link.receive(left) {
                Ok(Some(answer)) => answer,
                Ok(None) => return None,
                Err(error) => {
                    let mut outcome = self.in_flight.take()?;
                    outcome.lost = true;
                    outcome.note = error.to_string();
                    return Some(outcome);
                }
            };
            let outcome = self.in_flight.as_mut()?;
            match answer {
                Answer::Columns(columns) => {
                    outcome.results.push(ResultSet {
                        columns: Some(columns),
                        ..ResultSet::default()
                    });
                }
                Answer::Parameters(oids) => outcome.parameters = Some(oids),
                Answer::Row(row) => outcome.open_result().rows.push(row),
                Answer::Complete(tag) => outcome.open_result().tag = Some(tag),
                Answer::EmptyQuery => outcome.open_result().tag = Some(String::new()),
                Answer::Failed(failure) => outcome.failure = Some(failure),
                Answer::Ready(status) => {
                    outcome.status = char::from(status);
                    return self.in_flight.take();
                }
                Answer::Authentication(_) | Answer::KeyData { .. } | Answer::Other(_) => {}
            }
        }
    }

    /// Runs a statement to its end.
    ///
    /// # Panics
    /// When no answer comes: nothing that is run this way may be blocked.
    pub(crate) fn run(&mut self, request: Request) -> Outcome {
        let shown = format!("{request:?}");
        self.start(request);
        self.poll(ANSWER_WITHIN)
            .unwrap_or_else(|| panic!("no answer within {ANSWER_WITHIN:?} to {shown}"))
    }

    /// Runs a statement of a test's own set-up.
    ///
    /// # Panics
    /// When it fails.
    pub(crate) fn must(&mut self, sql: &str) -> Outcome {
        let outcome = self.run(Request::Simple(sql.to_owned()));
        assert!(outcome.failure.is_none() && !outcome.lost, "{sql}: {outcome}");
        outcome
    }

    /// Takes leave as a well-behaved client does.
    pub(crate) fn close(mut self) {
        // The server may be gone already; then there is no one to tell.
        let _ = self.link.send(&frame(b'X', b""));
    }
}
