//! Random histories: two to four sessions over three small tables that hang together by keys and checks.
//!
//! Statements are drawn so that an outcome never depends on the order in which a scan finds rows: a statement that locks
//! several rows does so over a range of the primary key, and the real side runs with index plans.

use fastrand::Rng;

use crate::interleave::Step;

pub(crate) const SCHEMA: &[&str] = &[
    "create table account (id int4 primary key, name text unique, balance int4 not null constraint covered check (balance >= 0))",
    "create table entry (id int4 primary key, account_id int4 not null references account, key text unique, amount int4 not null constraint nonzero check (amount <> 0))",
    "create index entry_account on entry (account_id)",
    "create table hold (id int4 primary key, account_id int4 not null references account on delete cascade, state text not null)",
    "create unique index hold_open on hold (account_id) where state = 'open'",
];

/// Back to the first rows, between histories.
pub(crate) const RESET: &str = "delete from hold; delete from entry; delete from account;
    insert into account values (1, 'a', 10), (2, 'b', 10), (3, 'c', 10);
    insert into entry values (1, 1, 'k1', 5), (2, 2, 'k2', 5);
    insert into hold values (1, 1, 'open'), (2, 2, 'done')";

/// Before a reset now and then.
pub(crate) const TRUNCATE: &str = "truncate account, entry, hold";

/// What is compared at the end of a history.
pub(crate) const FINAL_STATE: [&str; 3] = [
    "select * from account order by id",
    "select * from entry order by id",
    "select * from hold order by id",
];

/// The most sessions that a history has.
pub(crate) const SESSIONS_MAX: usize = 4;

/// Which levels the sessions run at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Mix {
    ReadCommitted,
    RepeatableRead,
    Serializable,
    /// READ COMMITTED and REPEATABLE READ side by side.
    Mixed,
}

/// A generated history.
#[derive(Clone, Debug)]
pub(crate) struct History {
    pub(crate) seed: u64,
    pub(crate) mix: Mix,
    pub(crate) steps: Vec<Step>,
}

/// The history of a seed: the same for ever, whatever ran before.
pub(crate) fn generate(seed: u64) -> History {
    let mut rng = Rng::with_seed(seed);
    let mix = match rng.u32(0..100) {
        0..40 => Mix::ReadCommitted,
        40..60 => Mix::RepeatableRead,
        60..85 => Mix::Serializable,
        _ => Mix::Mixed,
    };
    let sessions = rng.usize(2..=SESSIONS_MAX);
    let mut programs: Vec<Vec<String>> = (0..sessions).map(|_| program(&mut rng, mix)).collect();
    let mut steps = Vec::new();
    while programs.iter().any(|program| !program.is_empty()) {
        let session = rng.usize(0..sessions);
        if !programs[session].is_empty() {
            steps.push(Step::new(session, programs[session].remove(0)));
        }
    }
    History { seed, mix, steps }
}

/// What one session does, one statement after the other.
fn program(rng: &mut Rng, mix: Mix) -> Vec<String> {
    // Serial orders are checked by brute force, so there must not be many transactions.
    let transactions = if mix == Mix::Serializable {
        1
    } else {
        rng.usize(1..=2)
    };
    let mut statements = Vec::new();
    for _ in 0..transactions {
        let level = match mix {
            Mix::ReadCommitted => "read committed",
            Mix::RepeatableRead => "repeatable read",
            Mix::Serializable => "serializable",
            Mix::Mixed => ["read committed", "repeatable read"][rng.usize(0..2)],
        };
        if mix != Mix::Serializable && rng.u32(0..8) == 0 {
            statements.push(statement(rng, mix));
            continue;
        }
        statements.push(format!("begin isolation level {level}"));
        let mut savepoint = false;
        for _ in 0..rng.usize(2..=6) {
            match rng.u32(0..14) {
                0 => {
                    statements.push("savepoint s".to_owned());
                    savepoint = true;
                }
                1 if savepoint => statements.push("rollback to s".to_owned()),
                2 if savepoint => {
                    statements.push("release s".to_owned());
                    savepoint = false;
                }
                _ => statements.push(statement(rng, mix)),
            }
        }
        // After an error a savepoint brings the transaction back to life.
        if savepoint && rng.u32(0..3) == 0 {
            statements.push("rollback to s".to_owned());
        }
        statements.push(if rng.u32(0..10) == 0 {
            "rollback".to_owned()
        } else {
            "commit".to_owned()
        });
    }
    statements
}

fn statement(rng: &mut Rng, mix: Mix) -> String {
    if mix == Mix::Serializable {
        // Read dependencies are what this level is about.
        return match rng.u32(0..20) {
            0..9 => read(rng),
            9 => locking_read(rng, mix),
            10..15 => write_account(rng),
            15..18 => write_entry(rng),
            18 => write_hold(rng),
            _ => advisory(rng, mix),
        };
    }
    match rng.u32(0..20) {
        0..4 => read(rng),
        4..7 => locking_read(rng, mix),
        7..13 => write_account(rng),
        13..17 => write_entry(rng),
        17..19 => write_hold(rng),
        _ => advisory(rng, mix),
    }
}

/// A row that exists at first, the same few most of the time: histories without meetings prove nothing.
fn row(rng: &mut Rng) -> u32 {
    [1, 1, 1, 1, 2, 2, 2, 3, 3, 4][rng.usize(0..10)]
}

/// The key of a row to insert: mostly a new one, the same for everyone.
fn new_row(rng: &mut Rng) -> u32 {
    [4, 4, 4, 4, 5, 5, 6, 7, 8, 1][rng.usize(0..10)]
}

fn read(rng: &mut Rng) -> String {
    let id = row(rng);
    match rng.u32(0..8) {
        0 => format!("select * from account where id = {id}"),
        1 => format!("select id, balance from account where id >= {id} order by id"),
        2 => format!("select id, name from account where balance >= {}", rng.u32(5..20)),
        3 => "select count(*), sum(balance) from account".to_owned(),
        4 => format!("select count(*), coalesce(sum(amount), 0) from entry where account_id = {id}"),
        5 => "select a.id, count(e.id) from account a left join entry e on e.account_id = a.id group by a.id order by a.id".to_owned(),
        6 => format!("select id from account a where exists (select 1 from hold h where h.account_id = a.id and h.state = 'open') and id <> {id} order by id"),
        _ => format!("select * from hold where account_id = {id} order by id"),
    }
}

fn locking_read(rng: &mut Rng, mix: Mix) -> String {
    let strength = ["update", "no key update", "share", "key share"][rng.usize(0..4)];
    // What SKIP LOCKED and NOWAIT answer has no counterpart in a serial order.
    let wait = match rng.u32(0..6) {
        0 if mix != Mix::Serializable => " nowait",
        1 if mix != Mix::Serializable => " skip locked",
        _ => "",
    };
    let (low, high) = (row(rng), rng.u32(2..=4));
    match rng.u32(0..6) {
        0..3 => format!("select id, balance from account where id = {low} for {strength}{wait}"),
        3 => format!(
            "select id, balance from account where id between {low} and {high} order by id for {strength}{wait}"
        ),
        4 => format!("select id, amount from entry where id = {low} for {strength}{wait}"),
        _ => format!(
            "select id from account where id >= {low} and balance >= 10 order by id limit 1 for {strength}{wait}"
        ),
    }
}

fn write_account(rng: &mut Rng) -> String {
    let (id, other, new) = (row(rng), row(rng), new_row(rng));
    let amount = rng.u32(1..=8);
    let name = ["a", "d", "d", "d", "e", "e", "f", "g"][rng.usize(0..8)];
    match rng.u32(0..16) {
        0..3 => format!("update account set balance = balance - {amount} where id = {id} returning balance"),
        3 => format!("update account set balance = balance + {amount} where id = {id}"),
        4 => format!(
            "update account set balance = balance - {amount} where id = {id} and balance >= {amount} returning id, balance"
        ),
        5 => format!(
            "update account set balance = balance + 1 where id between {id} and {other} returning id, balance"
        ),
        6 => format!(
            "update account set balance = balance + (select count(*) from entry where account_id = {id}) where id = {other} returning balance"
        ),
        7 => format!("update account set name = '{name}' where id = {id}"),
        8 => format!("update account set id = {new} where id = {id}"),
        9 => format!("delete from account where id = {id}"),
        10 => format!("insert into account values ({new}, '{name}', {amount})"),
        11 => {
            format!("insert into account values ({new}, null, {amount}) on conflict do nothing returning id")
        }
        12 => format!(
            "insert into account values ({new}, '{name}', {amount}) on conflict (id) do update set balance = account.balance + excluded.balance returning balance"
        ),
        13 => format!(
            "insert into account values ({new}, '{name}', {amount}) on conflict (name) do update set balance = excluded.balance returning id"
        ),
        14 => format!(
            "with l as (select id from account where id in ({id}, {other}) order by id for update) update account a set balance = a.balance + 1 from l where a.id = l.id returning a.id, a.balance"
        ),
        _ => format!(
            "update account set balance = balance - {amount} where id = {id} and exists (select 1 from hold where account_id = {id} and state = 'open') returning balance"
        ),
    }
}

fn write_entry(rng: &mut Rng) -> String {
    let (id, new, account) = (rng.u32(1..=3), new_row(rng), row(rng));
    let amount = rng.u32(0..=24) / 2;
    let key = [2, 3, 3, 3, 4, 4, 5, 6, 7, 8][rng.usize(0..10)];
    match rng.u32(0..8) {
        0..3 => format!("insert into entry values ({new}, {account}, 'k{key}', {amount})"),
        3 => format!(
            "insert into entry values ({new}, {account}, 'k{key}', {amount}) on conflict (key) do nothing returning id"
        ),
        4 => format!(
            "insert into entry values ({new}, {account}, 'k{key}', {amount}) on conflict (id) do update set amount = entry.amount + 1 returning amount"
        ),
        5 => format!("update entry set account_id = {account} where id = {id}"),
        6 => format!("update entry set amount = amount - {amount} where id = {id} returning amount"),
        _ => format!("delete from entry where id = {id} returning account_id"),
    }
}

fn write_hold(rng: &mut Rng) -> String {
    let (id, new, account) = (rng.u32(1..=3), new_row(rng), rng.u32(1..=3));
    let state = ["open", "done"][rng.usize(0..2)];
    match rng.u32(0..5) {
        0..2 => format!("insert into hold values ({new}, {account}, '{state}')"),
        2 => format!(
            "insert into hold values ({new}, {account}, 'open') on conflict (account_id) where state = 'open' do nothing returning id"
        ),
        3 => format!("update hold set state = '{state}' where id = {id} returning account_id"),
        _ => format!("delete from hold where id = {id}"),
    }
}

fn advisory(rng: &mut Rng, mix: Mix) -> String {
    let key = rng.u32(1..=2);
    match rng.u32(0..3) {
        0 if mix != Mix::Serializable => format!("select pg_try_advisory_xact_lock({key})"),
        1 => format!("select pg_advisory_xact_lock_shared({key})"),
        _ => format!("select pg_advisory_xact_lock({key})"),
    }
}
