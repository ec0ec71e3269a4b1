//! Negative controls: every comparison of these suites is shown to fail on a target that is wrong on purpose.
//!
//! The wrong target is real PostgreSQL behind a client that falsifies statements on their way: it weakens isolation levels,
//! forgets locks, or swaps types.

use crate::{
    histories::{self, Mix, Verdict, generate},
    interleave::Step,
    isolation,
    outcome::{Aspect, Outcome, ResultSet, Rows},
    servers::{Database, Target},
    statements::{self, Protocol, Script, parse},
    wire::{Bend, Column, Failure},
};

/// A wrong server must be found out within so many histories.
const SEEDS_MAX: u64 = 300;
/// A disagreement must shrink to no more than this.
const SHRUNK_STEPS_MAX: usize = 12;

fn bent(bend: Bend) -> impl Fn() -> Database {
    move || Target::Postgres.database().bent(bend)
}

fn repeatable_read_is_read_committed(sql: &str) -> String {
    sql.replace("repeatable read", "read committed")
}

fn serializable_is_repeatable_read(sql: &str) -> String {
    sql.replace("serializable", "repeatable read")
}

fn no_row_locks(sql: &str) -> String {
    let strengths = [
        " for update",
        " for no key update",
        " for share",
        " for key share",
    ];
    let lockless = strengths
        .iter()
        .fold(sql.to_owned(), |sql, strength| sql.replace(strength, ""));
    lockless.replace(" nowait", "").replace(" skip locked", "")
}

fn waits_for_no_one(sql: &str) -> String {
    sql.replace(" for update", " for update skip locked")
}

fn no_foreign_keys(sql: &str) -> String {
    sql.replace("references account on delete cascade", "")
        .replace("references account", "")
}

fn no_checks(sql: &str) -> String {
    sql.replace("constraint covered check (balance >= 0)", "")
}

fn other_constraint_name(sql: &str) -> String {
    sql.replace("constraint covered", "constraint uncovered")
}

fn no_partial_index(sql: &str) -> String {
    sql.replace(
        "create unique index hold_open on hold (account_id) where state = 'open'",
        "select 1",
    )
}

/// The first seed of a mix on which the bent target is found out, and the explanation.
fn first_disagreement(bend: Bend, mixes: &[Mix]) -> (u64, String) {
    let mut judge = histories::judge(bent(bend));
    for history in (1..=SEEDS_MAX)
        .map(generate)
        .filter(|history| mixes.contains(&history.mix))
    {
        // One that does not last is PostgreSQL's own doing, not the bent target's.
        if let (Verdict::Disagree(_), _) = judge.judge(&history)
            && judge.disagrees_again(&history)
        {
            let small = judge.shrink(&history);
            assert!(
                small.steps.len() <= SHRUNK_STEPS_MAX,
                "{} steps left of seed {}",
                small.steps.len(),
                history.seed
            );
            let shown = histories::explain(&mut judge, &history);
            return (history.seed, shown);
        }
    }
    panic!("{SEEDS_MAX} histories did not find it out");
}

const ALL_MIXES: [Mix; 4] = [
    Mix::ReadCommitted,
    Mix::RepeatableRead,
    Mix::Serializable,
    Mix::Mixed,
];

#[test]
fn histories_find_weak_isolation() {
    let (seed, shown) = first_disagreement(repeatable_read_is_read_committed, &[Mix::RepeatableRead]);
    println!("{shown}");
    assert!(
        shown.contains(&format!("SUMZERO_PG_SEED={seed}")),
        "the seed is told"
    );
    assert!(
        shown.contains("PostgreSQL:") && shown.contains("engine:"),
        "both sides are shown"
    );
}

#[test]
fn histories_find_unserializable_commits() {
    let (_, shown) = first_disagreement(serializable_is_repeatable_read, &[Mix::Serializable]);
    println!("{shown}");
}

#[test]
fn histories_find_forgotten_locks_and_constraints() {
    for bend in [
        no_row_locks as Bend,
        waits_for_no_one,
        no_foreign_keys,
        no_checks,
        other_constraint_name,
        no_partial_index,
    ] {
        let (_, shown) = first_disagreement(bend, &ALL_MIXES);
        println!("{shown}");
    }
}

/// Brute force must tell a write skew from what a serial order explains.
#[test]
fn brute_force_refutes_a_write_skew() {
    let skew = |level: &str| {
        let mut history = generate(1);
        history.mix = Mix::Serializable;
        let step = |session, sql: &str| Step::new(session, sql);
        history.steps = vec![
            step(0, &format!("begin isolation level {level}")),
            step(1, &format!("begin isolation level {level}")),
            step(0, "select sum(balance) from account"),
            step(1, "select sum(balance) from account"),
            step(0, "update account set balance = balance - 10 where id = 1"),
            step(1, "update account set balance = balance - 10 where id = 2"),
            step(0, "commit"),
            step(1, "commit"),
        ];
        history
    };
    let mut judge = histories::judge(|| Target::Postgres.database());
    let played = judge.subject.play(&skew("repeatable read"));
    assert!(
        !judge.is_serializable(&played),
        "two sums of 30 before two withdrawals"
    );
    let played = judge.subject.play(&skew("serializable"));
    assert!(judge.is_serializable(&played), "one of the two was refused");
}

#[test]
fn isolation_suite_finds_weak_isolation() {
    for bend in [
        repeatable_read_is_read_committed as Bend,
        serializable_is_repeatable_read,
    ] {
        let (table, found) = isolation::tabulate(bent(bend));
        assert!(
            found
                .iter()
                .any(|complaint| complaint.contains("PostgreSQL false, engine true")),
            "{table}"
        );
    }
}

#[test]
fn isolation_suite_finds_forgotten_locks() {
    let (_, found) = isolation::tabulate(bent(no_row_locks));
    assert!(
        found
            .iter()
            .any(|complaint| complaint.starts_with("P4 under FOR UPDATE")),
        "{found:?}"
    );
    assert!(!isolation::strength_matrix(bent(no_row_locks)).is_empty());
}

/// Differences of a small script when the subject's statements are bent.
fn differences(text: &str, bend: Bend) -> Vec<Vec<Aspect>> {
    let script = Script {
        name: "control".to_owned(),
        statements: parse("control", text),
    };
    let both = Protocol::ALL.into_iter();
    both.flat_map(|protocol| statements::compare(&script, protocol, bent(bend)))
        .map(|found| found.aspects)
        .collect()
}

#[test]
fn statement_suite_finds_each_aspect() {
    let twice = |aspects: &[Aspect]| vec![aspects.to_vec(), aspects.to_vec()];
    let cases: [(&str, Bend, Vec<Vec<Aspect>>); 9] = [
        (
            "select 1 as a;",
            |sql| sql.replace("as a", "as b"),
            twice(&[Aspect::ColumnNames]),
        ),
        (
            "select null::int4 as n;",
            |sql| sql.replace("int4", "int8"),
            twice(&[Aspect::ColumnTypes]),
        ),
        (
            "select null::varchar(5);",
            |sql| sql.replace('5', "6"),
            twice(&[Aspect::ColumnTypes]),
        ),
        ("select 5;", |sql| sql.replace('5', "6"), twice(&[Aspect::Rows])),
        (
            "select g from generate_series(1, 2) g order by g;",
            |sql| sql.replace("order by g", "order by -g"),
            twice(&[Aspect::Rows]),
        ),
        (
            "select 1 / 0;",
            |sql| sql.replace("1 / 0", "nosuch"),
            twice(&[Aspect::Sqlstate]),
        ),
        (
            "select 1;",
            |sql| sql.replace('1', "1 / 0"),
            twice(&[Aspect::Success]),
        ),
        (
            "begin;",
            |sql| sql.replace("begin", "start transaction"),
            twice(&[Aspect::Tag]),
        ),
        (
            "begin;\ncommit;",
            |sql| sql.replace("commit", "savepoint s"),
            twice(&[Aspect::Status, Aspect::Tag]),
        ),
    ];
    for (text, bend, expected) in cases {
        let mut found = differences(text, bend);
        found.iter_mut().for_each(|aspects| aspects.sort());
        let mut expected = expected;
        expected.iter_mut().for_each(|aspects| aspects.sort());
        assert_eq!(found, expected, "{text}");
    }
    let inferred = differences("--@ bind 5\nselect $1::int4 + 1;", |sql| {
        sql.replace("int4", "int8")
    });
    assert_eq!(
        inferred,
        [[Aspect::ColumnTypes, Aspect::ParameterTypes, Aspect::Rows]],
        "extended protocol only"
    );
    let place = "create table t (n int4 constraint a check (n > 0));\ninsert into t values (0);";
    assert_eq!(
        differences(place, |sql| sql.replace("constraint a", "constraint b")),
        twice(&[Aspect::Place])
    );
}

#[test]
fn unordered_rows_are_compared_as_multisets() {
    let reversed: Bend = |sql| sql.replace("generate_series(1, 2)", "generate_series(2, 1, -1)");
    assert!(differences("select * from generate_series(1, 2);", reversed).is_empty());
    let doubled: Bend = |sql| sql.replace("values (1), (1), (2)", "values (1), (2), (2)");
    assert_eq!(
        differences("values (1), (1), (2);", doubled).len(),
        2,
        "not as sets"
    );
    let later: Bend = |sql| sql.replace("1", "2");
    assert!(differences("--@ volatile\nselect 1;", later).is_empty());
    let null: Bend = |sql| sql.replace("1", "null::int4");
    assert_eq!(
        differences("--@ volatile\nselect 1;", null).len(),
        2,
        "NULL is no volatile value"
    );
}

/// Aspects that no falsified statement can bring about.
#[test]
fn lost_connections_and_severities_differ() {
    let fine = Outcome {
        results: vec![ResultSet::default()],
        status: 'I',
        ..Outcome::default()
    };
    let lost = Outcome {
        lost: true,
        ..fine.clone()
    };
    assert_eq!(fine.differences(&lost, Rows::Ordered), [Aspect::Connection]);
    let failed = |severity: &str| Outcome {
        failure: Some(Failure {
            severity: severity.to_owned(),
            sqlstate: "57P01".to_owned(),
            ..Failure::default()
        }),
        ..fine.clone()
    };
    assert_eq!(
        failed("ERROR").differences(&failed("FATAL"), Rows::Ordered),
        [Aspect::Severity]
    );
    let named = |name: &str| {
        let column = Column {
            name: name.to_owned(),
            type_oid: 23,
            type_modifier: -1,
        };
        let result = ResultSet {
            columns: Some(vec![column]),
            ..ResultSet::default()
        };
        Outcome {
            results: vec![result],
            ..fine.clone()
        }
    };
    assert_eq!(
        fine.differences(&named("a"), Rows::Ordered),
        [Aspect::ColumnNames, Aspect::ColumnTypes]
    );
    assert!(named("a").differences(&named("a"), Rows::Ordered).is_empty());
}
