//! The anomalies: for each a schedule, and how one sees that it happened.

use std::fmt::Write;

use super::{Case, LEVELS, disagreement, run::Run};
use crate::{
    interleave::Step,
    servers::{Database, Target},
};

const ITEMS: &[&str] = &[
    "create table item (id int4 primary key, value int4 not null)",
    "insert into item values (1, 10), (2, 20)",
];

/// An anomaly, and at which of the levels real PostgreSQL is known to let it happen.
struct Anomaly {
    case: Case,
    happened: fn(&Run) -> bool,
    known: [bool; 4],
}

const NEVER: [bool; 4] = [false; 4];
const BELOW_SNAPSHOT: [bool; 4] = [true, true, false, false];
const BELOW_SERIALIZABLE: [bool; 4] = [true, true, true, false];

/// The table for people, and every disagreement.
pub(crate) fn tabulate(subject: impl Fn() -> Database) -> (String, Vec<String>) {
    let mut table = format!("{:<34}", "anomaly");
    for level in LEVELS {
        let _ = write!(table, "{level:>22}");
    }
    table.push('\n');
    let mut found = Vec::new();
    for anomaly in anomalies() {
        let _ = write!(table, "{:<34}", anomaly.case.name);
        for (level, known) in LEVELS.into_iter().zip(anomaly.known) {
            let truth = anomaly.case.play(level, &Target::Postgres.database());
            let run = anomaly.case.play(level, &subject());
            let (expected, got) = ((anomaly.happened)(&truth), (anomaly.happened)(&run));
            let cell = |happened: bool| if happened { "happens" } else { "prevented" };
            let shown = if expected == got {
                cell(got).to_owned()
            } else {
                format!("{}!={}", cell(got), cell(expected))
            };
            let _ = write!(table, "{shown:>22}");
            if expected != known {
                found.push(format!(
                    "{} at {level}: the case proves nothing: real PostgreSQL: {expected}",
                    anomaly.case.name
                ));
            }
            if expected != got {
                found.push(format!(
                    "{} at {level}: PostgreSQL {expected}, engine {got}",
                    anomaly.case.name
                ));
            }
            if let Some(how) = disagreement(&truth.transcript, &run.transcript) {
                found.push(format!("{} at {level}\n{how}", anomaly.case.name));
            }
        }
        table.push('\n');
    }
    (table, found)
}

macro_rules! anomaly {
    ($name:literal, $known:expr, [$(($session:literal, $sql:literal)),* $(,)?], $happened:expr) => {
        Anomaly {
            case: Case { name: $name.to_owned(), setup: ITEMS, steps: vec![$(Step::new($session, $sql)),*] },
            happened: $happened,
            known: $known,
        }
    };
}

fn anomalies() -> Vec<Anomaly> {
    let mut all = dirty();
    all.extend(skewed());
    all.extend(unserializable());
    all
}

/// Reads and writes of what is not committed.
fn dirty() -> Vec<Anomaly> {
    vec![
        anomaly!(
            "G0 dirty write",
            NEVER,
            [
                (0, "begin"),
                (1, "begin"),
                (0, "update item set value = 11 where id = 1"),
                (1, "update item set value = 12 where id = 1"),
                (0, "update item set value = 21 where id = 2"),
                (0, "commit"),
                (1, "update item set value = 22 where id = 2"),
                (1, "commit"),
            ],
            |run| run.ended_with(&["11", "22"]) || run.ended_with(&["12", "21"])
        ),
        anomaly!(
            "G1a aborted read",
            NEVER,
            [
                (0, "begin"),
                (1, "begin"),
                (0, "update item set value = 101 where id = 1"),
                (1, "select * from item"),
                (0, "rollback"),
                (1, "select * from item"),
                (1, "commit"),
            ],
            |run| run.read(3, "101") || run.read(5, "101")
        ),
        anomaly!(
            "G1b intermediate read",
            NEVER,
            [
                (0, "begin"),
                (1, "begin"),
                (0, "update item set value = 101 where id = 1"),
                (1, "select * from item"),
                (0, "update item set value = 11 where id = 1"),
                (0, "commit"),
                (1, "select * from item"),
                (1, "commit"),
            ],
            |run| run.read(3, "101") || run.read(6, "101")
        ),
        anomaly!(
            "G1c circular information flow",
            NEVER,
            [
                (0, "begin"),
                (1, "begin"),
                (0, "update item set value = 11 where id = 1"),
                (1, "update item set value = 22 where id = 2"),
                (0, "select * from item where id = 2"),
                (1, "select * from item where id = 1"),
                (0, "commit"),
                (1, "commit"),
            ],
            |run| run.read(4, "22") || run.read(5, "11")
        ),
        anomaly!(
            "OTV observed transaction vanishes",
            NEVER,
            [
                (0, "begin"),
                (1, "begin"),
                (2, "begin"),
                (0, "update item set value = 11 where id = 1"),
                (0, "update item set value = 19 where id = 2"),
                (1, "update item set value = 12 where id = 1"),
                (0, "commit"),
                (2, "select value from item where id = 1"),
                (1, "update item set value = 18 where id = 2"),
                (2, "select value from item where id = 2"),
                (1, "commit"),
                (2, "select value from item where id = 2"),
                (2, "select value from item where id = 1"),
                (2, "commit"),
            ],
            |run| (run.read(7, "12") && run.read(9, "19")) || (run.read(11, "18") && run.read(12, "11"))
        ),
    ]
}

/// Reads that do not belong to one point in time, and updates built on them.
fn skewed() -> Vec<Anomaly> {
    vec![
        anomaly!(
            "PMP predicate-many-preceders",
            BELOW_SNAPSHOT,
            [
                (0, "begin"),
                (1, "begin"),
                (0, "select * from item where value = 30"),
                (1, "insert into item values (3, 30)"),
                (1, "commit"),
                (0, "select * from item where value % 3 = 0"),
                (0, "commit"),
            ],
            |run| run.read(5, "30")
        ),
        anomaly!(
            "PMP for write predicates",
            BELOW_SNAPSHOT,
            [
                (0, "begin"),
                (1, "begin"),
                (0, "update item set value = value + 10"),
                (1, "select * from item where value = 20"),
                (1, "delete from item where value = 20"),
                (0, "commit"),
                (1, "select * from item where value = 20"),
                (1, "commit"),
            ],
            |run| run.tag(4) == "DELETE 0" && run.read(6, "20")
        ),
        anomaly!(
            "P4 lost update",
            BELOW_SNAPSHOT,
            [
                (0, "begin"),
                (1, "begin"),
                (0, "select value from item where id = 1"),
                (1, "select value from item where id = 1"),
                (0, "update item set value = 11 where id = 1"),
                (1, "update item set value = 11 where id = 1"),
                (0, "commit"),
                (1, "commit"),
            ],
            |run| run.succeeded(6) && run.succeeded(7)
        ),
        anomaly!(
            "P4 under FOR UPDATE",
            NEVER,
            [
                (0, "begin"),
                (1, "begin"),
                (0, "select value from item where id = 1 for update"),
                (1, "select value from item where id = 1 for update"),
                (0, "update item set value = 11 where id = 1"),
                (0, "commit"),
                (1, "update item set value = value + 1 where id = 1"),
                (1, "commit"),
            ],
            |run| run.read(3, "10") && run.succeeded(7)
        ),
        anomaly!(
            "P4 with increments in place",
            NEVER,
            [
                (0, "begin"),
                (1, "begin"),
                (0, "update item set value = value + 1 where id = 1"),
                (1, "update item set value = value + 1 where id = 1"),
                (0, "commit"),
                (1, "commit"),
            ],
            |run| run.succeeded(4) && run.succeeded(5) && !run.ended_with(&["12", "20"])
        ),
        anomaly!(
            "G-single read skew",
            BELOW_SNAPSHOT,
            [
                (0, "begin"),
                (1, "begin"),
                (0, "select * from item where id = 1"),
                (1, "select * from item where id = 1"),
                (1, "select * from item where id = 2"),
                (1, "update item set value = 12 where id = 1"),
                (1, "update item set value = 18 where id = 2"),
                (1, "commit"),
                (0, "select * from item where id = 2"),
                (0, "commit"),
            ],
            |run| run.read(2, "10") && run.read(8, "18")
        ),
        anomaly!(
            "G-single by predicates",
            BELOW_SNAPSHOT,
            [
                (0, "begin"),
                (1, "begin"),
                (0, "select * from item where value % 5 = 0"),
                (1, "update item set value = 12 where value = 10"),
                (1, "commit"),
                (0, "select * from item where value % 3 = 0"),
                (0, "commit"),
            ],
            |run| run.read(2, "10") && run.read(5, "12")
        ),
        anomaly!(
            "G-single by a write predicate",
            BELOW_SNAPSHOT,
            [
                (0, "begin"),
                (1, "begin"),
                (0, "select * from item where id = 1"),
                (1, "select * from item"),
                (1, "update item set value = 12 where id = 1"),
                (1, "update item set value = 18 where id = 2"),
                (1, "commit"),
                (0, "delete from item where value = 20"),
                (0, "commit"),
            ],
            |run| run.read(2, "10") && run.tag(7) == "DELETE 0" && run.succeeded(8)
        ),
        anomaly!(
            "G-single by a waiting write",
            BELOW_SNAPSHOT,
            [
                (0, "begin"),
                (1, "begin"),
                (0, "select * from item where id = 1"),
                (1, "update item set value = 12 where id = 1"),
                (1, "update item set value = 18 where id = 2"),
                (0, "delete from item where value = 20"),
                (1, "commit"),
                (0, "commit"),
            ],
            |run| run.read(2, "10") && run.tag(5) == "DELETE 0" && run.succeeded(7)
        ),
    ]
}

/// What only SERIALIZABLE prevents.
fn unserializable() -> Vec<Anomaly> {
    vec![
        anomaly!(
            "G2-item anti-dependency cycle",
            BELOW_SERIALIZABLE,
            [
                (0, "begin"),
                (1, "begin"),
                (0, "select * from item where id in (1, 2)"),
                (1, "select * from item where id in (1, 2)"),
                (0, "update item set value = 11 where id = 1"),
                (1, "update item set value = 21 where id = 2"),
                (0, "commit"),
                (1, "commit"),
            ],
            |run| run.succeeded(6) && run.succeeded(7)
        ),
        anomaly!(
            "G2 by predicates",
            BELOW_SERIALIZABLE,
            [
                (0, "begin"),
                (1, "begin"),
                (0, "select * from item where value % 3 = 0"),
                (1, "select * from item where value % 3 = 0"),
                (0, "insert into item values (3, 30)"),
                (1, "insert into item values (4, 42)"),
                (0, "commit"),
                (1, "commit"),
            ],
            |run| run.succeeded(6) && run.succeeded(7)
        ),
        anomaly!(
            "G2 with two edges",
            BELOW_SERIALIZABLE,
            [
                (0, "begin"),
                (1, "begin"),
                (2, "begin"),
                (0, "select * from item"),
                (1, "update item set value = value + 5 where id = 2"),
                (1, "commit"),
                (2, "select * from item"),
                (2, "commit"),
                (0, "update item set value = 0 where id = 1"),
                (0, "commit"),
            ],
            |run| run.read(6, "25") && run.read(6, "10") && run.succeeded(9)
        ),
        anomaly!(
            "write skew on a shared limit",
            BELOW_SERIALIZABLE,
            [
                (0, "begin"),
                (1, "begin"),
                (0, "select sum(value) from item"),
                (1, "select sum(value) from item"),
                (0, "update item set value = value - 25 where id = 1"),
                (1, "update item set value = value - 25 where id = 2"),
                (0, "commit"),
                (1, "commit"),
            ],
            |run| run.ended_with(&["-15", "-5"])
        ),
        anomaly!(
            "write skew by counting",
            BELOW_SERIALIZABLE,
            [
                (0, "begin"),
                (1, "begin"),
                (0, "select count(*) from item where value > 0"),
                (1, "select count(*) from item where value > 0"),
                (0, "update item set value = 0 where id = 1"),
                (0, "commit"),
                (1, "update item set value = 0 where id = 2"),
                (1, "commit"),
            ],
            |run| run.ended_with(&["0", "0"])
        ),
        anomaly!(
            "read-only transaction anomaly",
            BELOW_SERIALIZABLE,
            [
                (0, "begin"),
                (1, "begin"),
                (1, "select value from item where id = 2"),
                (0, "select value from item where id = 1"),
                (0, "update item set value = 30 where id = 1"),
                (0, "commit"),
                (2, "begin"),
                (2, "select value from item where id in (1, 2) order by id"),
                (2, "commit"),
                (1, "select value from item where id = 1"),
                (1, "update item set value = 9 where id = 2"),
                (1, "commit"),
            ],
            |run| run.read(7, "30") && run.succeeded(11) && run.ended_with(&["30", "9"])
        ),
    ]
}
