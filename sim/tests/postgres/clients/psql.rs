//! psql connects, runs a script, and shows what it got.

use std::{
    io::Write,
    process::{Command, Stdio},
};

use crate::{
    servers::{Database, Target},
    wire::Address,
};

const SCRIPT: &str = r"
\set ON_ERROR_STOP off
create table item (id int4 primary key, name text not null, price numeric(8, 2) default 0);
insert into item values (1, 'one', 1.5), (2, 'two', null);
select * from item order by id;
\pset null '(null)'
\x on
select * from item order by id;
\x off
begin;
insert into item values (1, 'dup', 0);
select 1;
rollback;
select count(*), sum(price) from item \gset got_
\echo :got_count :got_sum
prepare p as select name from item where id = $1;
execute p(2);
";

fn psql(database: &Database, script: &str) -> String {
    let (host, port) = match database.address() {
        Address::Unix { directory, port } => (directory.display().to_string(), *port),
        Address::Tcp(address) => (address.ip().to_string(), address.port()),
    };
    let mut child = Command::new("psql")
        .args([
            "-X",
            "-q",
            "-U",
            "postgres",
            "-h",
            &host,
            "-p",
            &port.to_string(),
            "-d",
            database.name(),
        ])
        .args(["-v", "VERBOSITY=sqlstate"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("psql ({error}). Install it with: apt-get install postgresql-client"));
    child
        .stdin
        .take()
        .expect("piped")
        .write_all(script.as_bytes())
        .expect("psql reads");
    let output = child.wait_with_output().expect("psql ends");
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

fn same_on_both(script: &str) {
    let truth = psql(&Target::Postgres.database(), script);
    let subject = psql(&Target::subject().database(), script);
    assert!(subject == truth, "engine:\n{subject}\nPostgreSQL:\n{truth}");
}

#[test]
fn psql_runs_a_script() {
    same_on_both(SCRIPT);
}

#[test]
fn psql_lists_tables() {
    same_on_both("create table item (id int4 primary key, name text);\n\\dt\n");
}

/// `\d` asks a dozen questions of pg_catalog: columns, defaults, indexes, checks, foreign keys both ways, policies.
#[test]
fn psql_describes_tables() {
    same_on_both(
        "create table parent (id int8 generated always as identity primary key, code varchar(10) unique);
create table child (id serial primary key, parent_id int8 not null references parent on delete cascade, amount numeric(10,2) default 0, note text);
create index child_note on child (note) where note is not null;
alter table child enable row level security;
create sequence counter;
create view notes as select id, note from child;
\\d
\\d parent
\\d child
\\d child_note
\\d notes
\\ds
\\dv
",
    );
}
