//! Conversations out of turn, byte by byte, and what the server says to each.

use std::time::Duration;

use super::{
    listen,
    messages::{bind, close, describe, execute, openings, parse, sync},
    query, started, with_items,
};
use crate::{
    servers::{Database, Target},
    wire::{Link, frame, startup},
};

/// A server that has said nothing for so long has nothing to say.
const SILENCE: Duration = Duration::from_millis(150);

/// Conversations after the start-up. Each is sent as one piece.
fn conversations() -> Vec<(&'static str, Vec<Vec<u8>>)> {
    let select = |sql: &str| parse("", sql, &[]);
    vec![
        ("sync alone", vec![sync()]),
        ("flush alone", vec![frame(b'H', b""), sync()]),
        ("an empty query", vec![query("")]),
        (
            "a query of blanks and comments",
            vec![query("  -- nothing\n /* here */ ")],
        ),
        (
            "an empty statement",
            vec![select(""), bind("", "", &[], &[], &[]), execute("", 0), sync()],
        ),
        (
            "describe an empty statement",
            vec![select(""), describe('S', ""), sync()],
        ),
        (
            "a statement without rows",
            vec![
                select("begin"),
                describe('S', ""),
                bind("", "", &[], &[], &[]),
                execute("", 0),
                sync(),
            ],
        ),
        (
            "describe a portal",
            vec![
                select("select 1, 2"),
                bind("", "", &[], &[], &[]),
                describe('P', ""),
                execute("", 0),
                sync(),
            ],
        ),
        (
            "bind to no statement",
            vec![bind("", "nosuch", &[], &[], &[]), sync()],
        ),
        ("execute no portal", vec![execute("nosuch", 0), sync()]),
        ("describe no statement", vec![describe('S', "nosuch"), sync()]),
        ("describe no portal", vec![describe('P', "nosuch"), sync()]),
        ("describe neither", vec![describe('X', "nosuch"), sync()]),
        (
            "close what is not there",
            vec![close('S', "nosuch"), close('P', "nosuch"), sync()],
        ),
        ("close neither", vec![close('X', "nosuch"), sync()]),
        (
            "the same name twice",
            vec![parse("s", "select 1", &[]), parse("s", "select 2", &[]), sync()],
        ),
        (
            "the same name again after close",
            vec![
                parse("s", "select 1", &[]),
                close('S', "s"),
                parse("s", "select 2", &[]),
                sync(),
            ],
        ),
        (
            "the same portal twice",
            vec![
                select("select 1"),
                sync(),
                query("begin"),
                bind("p", "", &[], &[], &[]),
                bind("p", "", &[], &[], &[]),
                sync(),
            ],
        ),
        (
            "two statements in one parse",
            vec![select("select 1; select 2"), sync()],
        ),
        (
            "a syntax error, the rest skipped",
            vec![
                select("selec"),
                bind("", "", &[], &[], &[]),
                execute("", 0),
                sync(),
                query("select 1"),
            ],
        ),
        (
            "an error in execute",
            vec![
                select("select 1/0"),
                bind("", "", &[], &[], &[]),
                execute("", 0),
                execute("", 0),
                sync(),
            ],
        ),
        (
            "too few values",
            vec![
                select("select $1::int4, $2::int4"),
                bind("", "", &[], &[b"1"], &[]),
                sync(),
            ],
        ),
        (
            "too many values",
            vec![
                select("select $1::int4"),
                bind("", "", &[], &[b"1", b"2"], &[]),
                sync(),
            ],
        ),
        (
            "a wrong number of formats",
            vec![
                select("select $1::int4, $2::int4, $3::int4"),
                bind("", "", &[0, 0], &[b"1", b"2", b"3"], &[]),
                sync(),
            ],
        ),
        (
            "a wrong number of result formats",
            vec![
                select("select 1, 2, 3"),
                bind("", "", &[], &[], &[0, 0]),
                execute("", 0),
                sync(),
            ],
        ),
        (
            "an unknown format",
            vec![
                select("select $1::int4"),
                bind("", "", &[7], &[b"1"], &[]),
                sync(),
            ],
        ),
        (
            "an unknown result format",
            vec![
                select("select 1"),
                bind("", "", &[], &[], &[7]),
                execute("", 0),
                sync(),
            ],
        ),
        (
            "a binary int4 of three bytes",
            vec![
                select("select $1::int4"),
                bind("", "", &[1], &[b"123"], &[]),
                sync(),
            ],
        ),
        (
            "a binary int4 of five bytes",
            vec![
                select("select $1::int4"),
                bind("", "", &[1], &[b"12345"], &[]),
                sync(),
            ],
        ),
        (
            "a binary bool",
            vec![
                select("select $1::bool"),
                bind("", "", &[1], &[b"\x01"], &[1]),
                execute("", 0),
                sync(),
            ],
        ),
        (
            "a binary uuid too short",
            vec![
                select("select $1::uuid"),
                bind("", "", &[1], &[b"123"], &[]),
                sync(),
            ],
        ),
        (
            "a binary jsonb of an unknown version",
            vec![
                select("select $1::jsonb"),
                bind("", "", &[1], &[b"\x09{}"], &[]),
                sync(),
            ],
        ),
        (
            "a binary array that lies",
            vec![
                select("select $1::int4[]"),
                bind(
                    "",
                    "",
                    &[1],
                    &[b"\0\0\0\x01\0\0\0\0\0\0\0\x17\x7f\xff\xff\xff\0\0\0\x01"],
                    &[],
                ),
                sync(),
            ],
        ),
        (
            "text that is not UTF-8",
            vec![
                select("select $1::text"),
                bind("", "", &[], &[b"\xff\xfe"], &[]),
                execute("", 0),
                sync(),
            ],
        ),
        (
            "a query that is not UTF-8",
            vec![frame(b'Q', b"select '\xff'\0"), query("select 1")],
        ),
        (
            "a query with a zero inside",
            vec![frame(b'Q', b"select 1\0; select 2\0"), query("select 1")],
        ),
        (
            "a query without its zero",
            vec![frame(b'Q', b"select 1"), query("select 1")],
        ),
        ("a parse that ends early", vec![frame(b'P', b"name"), sync()]),
        ("a bind that ends early", vec![frame(b'B', b"\0\0\0\x05"), sync()]),
        ("an execute that ends early", vec![frame(b'E', b"\0"), sync()]),
        (
            "a bind with a negative length",
            vec![
                select("select $1::text"),
                frame(b'B', b"\0\0\0\0\0\x01\xff\xff\xff\xf0\0\0"),
                sync(),
            ],
        ),
        (
            "a bind with a length beyond its end",
            vec![
                select("select $1::text"),
                frame(b'B', b"\0\0\0\0\0\x01\0\0\xff\xff\0\0"),
                sync(),
            ],
        ),
        ("more than the message needs", vec![frame(b'S', b"surplus")]),
        (
            "an unknown message",
            vec![frame(b'y', b"what"), query("select 1")],
        ),
        ("a zero tag", vec![frame(0, b""), query("select 1")]),
        (
            "a length below four",
            vec![vec![b'Q', 0, 0, 0, 3], query("select 1")],
        ),
        (
            "a negative length",
            vec![vec![b'Q', 0xff, 0xff, 0xff, 0xff], query("select 1")],
        ),
        (
            "a length of two gigabytes",
            vec![vec![b'Q', 0x7f, 0xff, 0xff, 0xff], query("select 1")],
        ),
        (
            "a sync of sixteen megabytes",
            vec![vec![b'S', 0x01, 0, 0, 0], query("select 1")],
        ),
        (
            "copy data outside of a copy",
            vec![
                frame(b'd', b"data"),
                frame(b'c', b""),
                frame(b'f', b"no\0"),
                query("select 1"),
            ],
        ),
        (
            "a password that no one asked for",
            vec![frame(b'p', b"secret\0"), query("select 1")],
        ),
        ("terminate", vec![frame(b'X', b"")]),
        (
            "terminate inside a transaction",
            vec![
                query("begin"),
                query("update item set value = 0"),
                frame(b'X', b""),
            ],
        ),
        (
            "a portal in pieces",
            vec![
                query("begin"),
                select("select generate_series(1, 5)"),
                bind("p", "", &[], &[], &[]),
                execute("p", 2),
                execute("p", 2),
                execute("p", 2),
                execute("p", 2),
                sync(),
                query("commit"),
            ],
        ),
        (
            "a portal does not outlive its transaction",
            vec![
                select("select generate_series(1, 5)"),
                bind("p", "", &[], &[], &[]),
                execute("p", 2),
                sync(),
                execute("p", 2),
                sync(),
            ],
        ),
        (
            "a statement outlives its transaction",
            vec![
                query("begin"),
                parse("s", "select 1", &[]),
                sync(),
                query("rollback"),
                bind("", "s", &[], &[], &[]),
                execute("", 0),
                sync(),
            ],
        ),
        (
            "a pipeline is one transaction",
            vec![
                select("insert into item values (7, 7)"),
                bind("", "", &[], &[], &[]),
                execute("", 0),
                select("select 1/0"),
                bind("", "", &[], &[], &[]),
                execute("", 0),
                sync(),
                query("select 1 from item where id = 7"),
            ],
        ),
        (
            "syncs end the pipeline's transaction",
            vec![
                select("insert into item values (8, 8)"),
                bind("", "", &[], &[], &[]),
                execute("", 0),
                sync(),
                select("select 1/0"),
                bind("", "", &[], &[], &[]),
                execute("", 0),
                sync(),
                query("select 1 from item where id = 8"),
            ],
        ),
        (
            "bind in a failed transaction",
            vec![
                parse("s", "select 1", &[]),
                sync(),
                query("begin"),
                query("select 1/0"),
                bind("", "s", &[], &[], &[]),
                execute("", 0),
                sync(),
            ],
        ),
        (
            "rollback in a failed transaction",
            vec![
                query("begin"),
                query("select 1/0"),
                select("rollback"),
                bind("", "", &[], &[], &[]),
                execute("", 0),
                sync(),
            ],
        ),
        (
            "a table changes under a statement",
            vec![
                query("create table c (a int4)"),
                parse("s", "select * from c", &[]),
                describe('S', "s"),
                sync(),
                query("alter table c add column b int4"),
                bind("", "s", &[], &[], &[]),
                execute("", 0),
                sync(),
            ],
        ),
        (
            "a table goes under a statement",
            vec![
                query("create table g (a int4)"),
                parse("s", "select * from g", &[]),
                sync(),
                query("drop table g"),
                bind("", "s", &[], &[], &[]),
                execute("", 0),
                sync(),
            ],
        ),
        (
            "types given with the statement",
            vec![parse("", "select $1, $2", &[20, 25]), describe('S', ""), sync()],
        ),
        (
            "an unknown type given",
            vec![parse("", "select $1", &[999_999]), sync()],
        ),
        (
            "a parameter with a gap",
            vec![select("select $2::int4"), describe('S', ""), sync()],
        ),
        (
            "a parameter of the wrong type",
            vec![parse("", "select length($1)", &[20]), sync()],
        ),
        (
            "parameters in a simple query",
            vec![query("select $1"), query("select 1")],
        ),
        (
            "a savepoint in a pipeline",
            vec![
                select("begin"),
                bind("", "", &[], &[], &[]),
                execute("", 0),
                select("savepoint s"),
                bind("", "", &[], &[], &[]),
                execute("", 0),
                select("select 1/0"),
                bind("", "", &[], &[], &[]),
                execute("", 0),
                sync(),
                query("rollback to s"),
                query("commit"),
            ],
        ),
    ]
}

/// Sent after every conversation: two queries of nothing, which every state of a session answers alike.
fn end() -> Vec<u8> {
    [query(""), query("")].concat()
}

fn talk(database: Database) -> Vec<String> {
    let database = with_items(database);
    let mut heard = Vec::new();
    for (name, messages) in conversations() {
        let mut link = started(&database);
        // The server may close in the middle: then what it said before counts.
        let _ = link.send(&[messages.concat(), end()].concat());
        heard.push(format!(
            "{name}: {}",
            listen(&mut link, SILENCE, &["I", "Z", "I", "Z"]).join(" ")
        ));
    }
    for (name, bytes) in openings(database.name()) {
        let mut link = Link::open(database.address()).expect("the server listens");
        let _ = link.send(&bytes);
        heard.push(format!(
            "{name}: {}",
            listen(&mut link, SILENCE, &["Z"]).join(" ")
        ));
    }
    heard.push(format!("ssl: {}", refusal_byte(&database, 80_877_103)));
    heard.push(format!("gss: {}", refusal_byte(&database, 80_877_104)));
    heard
}

/// The single byte that answers a request for encryption.
fn refusal_byte(database: &Database, code: u32) -> String {
    let mut link = Link::open(database.address()).expect("the server listens");
    let mut bytes = 8u32.to_be_bytes().to_vec();
    bytes.extend(code.to_be_bytes());
    // The answer is one bare byte; a start-up after it shows that the connection goes on in the clear.
    link.send(&bytes).expect("it reads");
    let byte = link.receive_byte(SILENCE * 10).expect("it answers");
    link.send(&startup("postgres", database.name()))
        .expect("it reads");
    let words = listen(&mut link, SILENCE, &["Z"]);
    format!("{byte:?} {}", words.join(" "))
}

#[test]
fn the_server_says_what_postgresql_says() {
    let truth = talk(Target::Postgres.database());
    let subject = talk(Target::subject().database());
    let differ: Vec<String> = truth
        .iter()
        .zip(&subject)
        .filter(|(left, right)| left != right)
        .map(|(left, right)| format!("PostgreSQL: {left}\nengine:     {right}\n"))
        .collect();
    println!(
        "{}\n{} conversations, {} differ",
        truth.join("\n"),
        truth.len(),
        differ.len()
    );
    assert!(differ.is_empty(), "{}", differ.join("\n"));
}
