//! A server that was started elsewhere: an engine under development, `sumzero local`, another real PostgreSQL.
//!
//! Each script gets a database of a new name. A server without CREATE DATABASE may refuse the statement and give every new
//! name an empty database by itself. What is left behind goes where the server allows it.

use std::{
    net::SocketAddr,
    sync::atomic::{AtomicU32, Ordering},
};

use crate::wire::{Address, Request, Session};

fn session(address: SocketAddr) -> Session {
    Session::open(&Address::Tcp(address), "postgres", "postgres", None)
        .unwrap_or_else(|error| panic!("connecting to {address}: {error}"))
}

/// Runs statements that the server may refuse.
pub(super) fn try_each(address: SocketAddr, statements: &[String]) {
    let mut session = session(address);
    for statement in statements {
        session.run(Request::Simple(statement.clone()));
    }
    session.close();
}

/// A database that no one has used.
pub(super) fn create_database(address: SocketAddr) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let name = format!(
        "suite_{}_{}",
        std::process::id(),
        NEXT.fetch_add(1, Ordering::Relaxed)
    );
    try_each(address, &[format!("create database {name} template template0")]);
    name
}

pub(super) fn drop_database(address: SocketAddr, name: &str) {
    try_each(address, &[format!("drop database {name} with (force)")]);
}

/// Drops every role but the superuser and PostgreSQL's own: scripts begin without any.
pub(super) fn drop_roles(address: SocketAddr) {
    let mut session = session(address);
    let names = "select rolname from pg_roles where rolname <> 'postgres' and rolname not like 'pg\\_%'";
    let roles = session.run(Request::Simple(names.to_owned()));
    for row in roles.results.iter().flat_map(|result| &result.rows) {
        let name = String::from_utf8_lossy(row[0].as_deref().unwrap_or_default()).into_owned();
        session.run(Request::Simple(format!("drop role \"{name}\"")));
    }
    session.close();
}
