//! Clients that go without a word: idle in a transaction, half-way through a message, while they wait for a lock, while
//! others wait for them.

use std::time::Duration;

use super::{assert_alive_and_row_free, query, started, wait_until_blocked, with_items};
use crate::{
    servers::{Database, Target},
    wire::{Request, frame},
};

fn both(act: impl Fn(&Database)) {
    act(&with_items(Target::Postgres.database()));
    if Target::subject() != Target::Postgres {
        act(&with_items(Target::subject().database()));
    }
}

const LOCK: &str = "update item set value = 0 where id = 1";

#[test]
fn idle_in_a_transaction() {
    both(|database| {
        let mut session = database.session();
        session.must("begin");
        session.must(LOCK);
        session.must("select pg_advisory_lock(42)");
        drop(session);
        assert_alive_and_row_free(database);
        let mut next = database.session();
        assert_eq!(
            next.must("select value from item where id = 1").single_text(),
            "11",
            "rolled back, then ours"
        );
        next.must("set statement_timeout = '10s'");
        next.must("select pg_advisory_lock(42)");
        next.close();
    });
}

#[test]
fn half_way_through_a_message() {
    both(|database| {
        for bytes in [&b"Q"[..], b"Q\0\0", b"Q\0\0\x01\0select", b"P\0\0\0\x20\0selec"] {
            let mut link = started(database);
            link.send(&query("begin")).expect("it reads");
            link.send(&query(LOCK)).expect("it reads");
            link.send(bytes).expect("it reads");
            std::thread::sleep(Duration::from_millis(20));
            drop(link);
            assert_alive_and_row_free(database);
        }
    });
}

#[test]
fn half_way_through_a_pipeline() {
    both(|database| {
        let mut link = started(database);
        link.send(&frame(b'P', format!("\0{LOCK}\0\0\0").as_bytes()))
            .expect("it reads");
        link.send(&frame(b'B', b"\0\0\0\0\0\0\0\0")).expect("it reads");
        link.send(&frame(b'E', b"\0\0\0\0\0")).expect("it reads");
        link.send(&frame(b'H', b"")).expect("it reads");
        std::thread::sleep(Duration::from_millis(20));
        drop(link);
        assert_alive_and_row_free(database);
        let mut next = database.session();
        assert_eq!(
            next.must("select value from item where id = 1").single_text(),
            "11",
            "no Sync, no commit"
        );
        next.close();
    });
}

#[test]
fn while_it_waits_for_a_lock() {
    both(|database| {
        let (mut holder, mut waiter, mut observer) =
            (database.session(), database.session(), database.session());
        holder.must("begin");
        holder.must(LOCK);
        waiter.must("begin");
        waiter.must("update item set value = 0 where id = 2");
        waiter.start(Request::Simple(LOCK.to_owned()));
        wait_until_blocked(&mut observer, waiter.pid());
        drop(waiter);
        holder.must("commit");
        assert_alive_and_row_free(database);
        observer.must("set statement_timeout = '10s'");
        observer.must("update item set value = 5 where id = 2");
        holder.close();
        observer.close();
    });
}

#[test]
fn while_others_wait_for_it() {
    both(|database| {
        let (mut holder, mut waiter, mut observer) =
            (database.session(), database.session(), database.session());
        holder.must("begin");
        holder.must(LOCK);
        waiter.start(Request::Simple(
            "update item set value = value + 1 where id = 1 returning value".to_owned(),
        ));
        wait_until_blocked(&mut observer, waiter.pid());
        drop(holder);
        let outcome = waiter
            .poll(super::NOTICED_WITHIN)
            .expect("the waiter is set free");
        assert_eq!(outcome.single_text(), "11");
        waiter.close();
        observer.close();
    });
}

#[test]
fn with_answers_unread() {
    both(|database| {
        let mut link = started(database);
        link.send(&query("begin")).expect("it reads");
        link.send(&query(LOCK)).expect("it reads");
        link.send(&query("select repeat('x', 1000) from generate_series(1, 20000)"))
            .expect("it reads");
        std::thread::sleep(Duration::from_millis(50));
        drop(link);
        assert_alive_and_row_free(database);
    });
}

#[test]
fn many_at_once() {
    both(|database| {
        for _ in 0..30 {
            let mut link = started(database);
            link.send(&query("begin")).expect("it reads");
            link.send(&query(
                "select pg_advisory_xact_lock_shared(1), * from item for key share",
            ))
            .expect("it reads");
        }
        assert_alive_and_row_free(database);
    });
}
