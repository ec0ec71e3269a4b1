//! Bad clients: garbage, impossible lengths, messages out of turn, vanishing in the middle of things.
//!
//! Conversations that the protocol gives a definite answer to are compared with real PostgreSQL's. Random garbage is held
//! against what must always be true: the server lives, serves the next client, and keeps no lock of a client that is gone.
//!
//! Real PostgreSQL serves each client by a process of its own; it is put through the same only to show that the demands
//! are fair.

mod conversations;
mod damage;
mod garbage;
mod messages;
mod vanishing;

use std::time::{Duration, Instant};

use crate::{
    servers::Database,
    wire::{Answer, Error, Link, Request, Session, startup},
};

/// By then a server has noticed that a client is gone.
const NOTICED_WITHIN: Duration = Duration::from_secs(10);

/// A new client is served, and by then no one else holds the row.
fn assert_alive_and_row_free(database: &Database) {
    let mut session = database.session();
    session.must("set statement_timeout = '10s'");
    session.must("update item set value = value + 1 where id = 1");
    assert_eq!(session.must("select count(*) from item").single_text(), "2");
    session.close();
}

fn with_items(database: Database) -> Database {
    let mut session = database.session();
    session.must("create table item (id int4 primary key, value int4)");
    session.must("insert into item values (1, 10), (2, 20)");
    session.close();
    database
}

/// One answer as a word: errors by SQLSTATE, the rest by its tag.
fn word(answer: &Answer) -> Option<String> {
    Some(match answer {
        Answer::Authentication(method) => format!("R{method}"),
        Answer::KeyData { .. } => "K".to_owned(),
        Answer::Ready(status) => format!("Z{}", char::from(*status)),
        Answer::Columns(columns) => format!("T{}", columns.len()),
        Answer::Parameters(oids) => format!("t{oids:?}"),
        Answer::Row(row) => format!("D{}", row.len()),
        Answer::Complete(tag) => format!("C({tag})"),
        Answer::EmptyQuery => "I".to_owned(),
        Answer::Failed(failure) => format!("{} {}", failure.severity, failure.sqlstate),
        // Which settings are reported, and notices, are not compared.
        Answer::Other(b'S' | b'N') => return None,
        Answer::Other(tag) => char::from(*tag).to_string(),
    })
}

/// Everything that comes until words with these beginnings come last, or the server closes or falls silent.
fn listen(link: &mut Link, silence: Duration, last: &[&str]) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    loop {
        let mut tail = words.iter().rev().zip(last.iter().rev());
        if !last.is_empty() && words.len() >= last.len() && tail.all(|(word, end)| word.starts_with(end)) {
            return words;
        }
        match link.receive(silence) {
            Ok(Some(answer)) => words.extend(word(&answer)),
            Ok(None) => return words,
            // A reset and an orderly end are the same to a client that is being thrown out.
            Err(Error::Closed | Error::Io(_)) => {
                words.push("closed".to_owned());
                return words;
            }
            Err(error) => {
                words.push(error.to_string());
                return words;
            }
        }
    }
}

/// A link that is through with the start-up.
fn started(database: &Database) -> Link {
    let mut link = Link::open(database.address()).expect("the server listens");
    link.send(&startup("postgres", database.name()))
        .expect("it reads");
    let deadline = Instant::now() + NOTICED_WITHIN;
    loop {
        let answer = link.receive(NOTICED_WITHIN).expect("it answers");
        if matches!(answer, Some(Answer::Ready(_))) {
            return link;
        }
        assert!(Instant::now() < deadline, "no ReadyForQuery");
    }
}

fn query(sql: &str) -> Vec<u8> {
    Request::Simple(sql.to_owned()).encode()
}

/// Waits until the observer sees the session blocked, or a moment where the server cannot tell.
fn wait_until_blocked(observer: &mut Session, pid: i32) {
    let deadline = Instant::now() + NOTICED_WITHIN;
    while Instant::now() < deadline {
        let outcome = observer.run(Request::Simple(format!("select pg_blocking_pids({pid})")));
        if outcome.failure.is_some() {
            std::thread::sleep(Duration::from_millis(50));
            return;
        }
        if outcome.single_text() != "{}" {
            return;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    panic!("session {pid} is not blocked");
}
