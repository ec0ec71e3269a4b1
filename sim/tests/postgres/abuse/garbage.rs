//! Random bytes, with and without the shape of messages.

use std::time::Duration;

use proptest::{
    collection::vec,
    prelude::{Just, Strategy, any, prop_oneof},
    test_runner::{Config, TestCaseError, TestRunner},
};

use super::{assert_alive_and_row_free, listen, query, started, with_items};
use crate::{
    servers::{Database, Target},
    wire::{Link, frame},
};

const CASES: u32 = 150;
/// Long enough for a server that means to answer; most have closed by then.
const SILENCE: Duration = Duration::from_millis(5);

/// A piece of what a client with a fault may send.
fn piece() -> impl Strategy<Value = Vec<u8>> {
    let tag = prop_oneof![proptest::sample::select(b"QPBEDCSHXFpdcf".to_vec()), any::<u8>(),];
    prop_oneof![
        3 => vec(any::<u8>(), 0..64),
        // A message of the right shape around nonsense.
        5 => (tag.clone(), vec(any::<u8>(), 0..48)).prop_map(|(tag, body)| frame(tag, &body)),
        // A message that lies about its length.
        2 => (tag, any::<u32>(), vec(any::<u8>(), 0..32)).prop_map(|(tag, length, body)| {
            let mut bytes = vec![tag];
            bytes.extend(length.to_be_bytes());
            bytes.extend(body);
            bytes
        }),
        // Sense in between, so that the nonsense falls into a transaction with locks.
        4 => proptest::sample::select(vec![
            query("begin"),
            query("update item set value = value + 1 where id = 1"),
            query("select * from item"),
            query("select 1 / 0"),
            query("savepoint s"),
            frame(b'S', b""),
            frame(b'P', b"\0select $1::int4\0\0\0"),
            frame(b'B', b"\0\0\0\0\0\x01\0\0\0\x01\x35\0\0"),
            frame(b'E', b"\0\0\0\0\0"),
        ]),
        1 => ".{0,40}".prop_map(|sql| query(&sql.replace('\0', ""))),
        1 => Just(Vec::new()),
    ]
}

pub(super) fn run<S: Strategy>(database: &Database, strategy: S, act: impl Fn(&Database, S::Value))
where
    S::Value: std::fmt::Debug,
{
    // The seed is fixed: a failure must show again. Files of past failures would be written beside the sources.
    let config = Config {
        cases: CASES,
        failure_persistence: None,
        ..Config::default()
    };
    let mut runner = TestRunner::new_with_rng(
        config,
        proptest::test_runner::TestRng::deterministic_rng(proptest::test_runner::RngAlgorithm::ChaCha),
    );
    runner
        .run(&strategy, |value| {
            act(database, value);
            assert_alive_and_row_free(database);
            Ok::<(), TestCaseError>(())
        })
        .unwrap_or_else(|error| panic!("{error}"));
}

pub(super) fn both(act: impl Fn(Database)) {
    act(with_items(Target::Postgres.database()));
    if Target::subject() != Target::Postgres {
        act(with_items(Target::subject().database()));
    }
}

#[test]
fn garbage_instead_of_a_start() {
    both(|database| {
        run(&database, vec(any::<u8>(), 0..200), |database, bytes| {
            let mut link = Link::open(database.address()).expect("the server listens");
            let _ = link.send(&bytes);
            listen(&mut link, SILENCE, &[]);
        });
    });
}

#[test]
fn garbage_in_a_session() {
    both(|database| {
        run(&database, vec(piece(), 1..8), |database, pieces| {
            let mut link = started(database);
            for piece in pieces {
                // The server may have thrown us out already.
                let _ = link.send(&piece);
            }
            listen(&mut link, SILENCE, &[]);
        });
    });
}
