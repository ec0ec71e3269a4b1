//! Messages built by hand, right and wrong.

use super::query;
use crate::wire::{frame, startup};

pub(super) fn parse(name: &str, sql: &str, oids: &[u32]) -> Vec<u8> {
    let mut body = format!("{name}\0{sql}\0").into_bytes();
    body.extend((oids.len() as u16).to_be_bytes());
    body.extend(oids.iter().flat_map(|oid| oid.to_be_bytes()));
    frame(b'P', &body)
}

pub(super) fn bind(
    portal: &str,
    statement: &str,
    formats: &[u16],
    values: &[&[u8]],
    results: &[u16],
) -> Vec<u8> {
    let mut body = format!("{portal}\0{statement}\0").into_bytes();
    let list = |body: &mut Vec<u8>, codes: &[u16]| {
        body.extend((codes.len() as u16).to_be_bytes());
        body.extend(codes.iter().flat_map(|code| code.to_be_bytes()));
    };
    list(&mut body, formats);
    body.extend((values.len() as u16).to_be_bytes());
    for value in values {
        body.extend((value.len() as u32).to_be_bytes());
        body.extend(*value);
    }
    list(&mut body, results);
    frame(b'B', &body)
}

pub(super) fn execute(portal: &str, rows_max: u32) -> Vec<u8> {
    let mut body = format!("{portal}\0").into_bytes();
    body.extend(rows_max.to_be_bytes());
    frame(b'E', &body)
}

pub(super) fn describe(kind: char, name: &str) -> Vec<u8> {
    frame(b'D', format!("{kind}{name}\0").as_bytes())
}

pub(super) fn close(kind: char, name: &str) -> Vec<u8> {
    frame(b'C', format!("{kind}{name}\0").as_bytes())
}

pub(super) fn sync() -> Vec<u8> {
    frame(b'S', b"")
}

/// First messages of a connection.
pub(super) fn openings(database: &str) -> Vec<(&'static str, Vec<u8>)> {
    let version = |major: u16, minor: u16| {
        let mut bytes = startup("postgres", database);
        bytes[4..6].copy_from_slice(&major.to_be_bytes());
        bytes[6..8].copy_from_slice(&minor.to_be_bytes());
        bytes
    };
    let raw = |body: &[u8]| {
        let mut bytes = (body.len() as u32 + 4).to_be_bytes().to_vec();
        bytes.extend(body);
        bytes
    };
    vec![
        ("as it should be", startup("postgres", database)),
        ("protocol 3.7", version(3, 7)),
        ("protocol 4.0", version(4, 0)),
        (
            "a database that is not there",
            startup("postgres", "nosuchdatabase"),
        ),
        ("no user", raw(b"\0\x03\0\0database\0postgres\0\0")),
        ("no end of the parameters", raw(b"\0\x03\0\0user\0postgres")),
        ("too short to say a version", raw(b"\0\x03")),
        ("a length of three", vec![0, 0, 0, 3]),
        (
            "a length of two gigabytes",
            vec![0x7f, 0xff, 0xff, 0xff, 0, 3, 0, 0],
        ),
        (
            "a cancel request for no one",
            raw(b"\x04\xd2\x16\x2e\0\0\0\x01\0\0\0\x02"),
        ),
        (
            "a web browser",
            b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec(),
        ),
        ("a query instead of a start", query("select 1")),
    ]
}
