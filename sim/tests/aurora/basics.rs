//! Statements, transactions, waits, errors.

use std::time::Duration;

use sqlx::postgres::PgConnection;
use sqlx::{Connection, Row};
use tokio::time::timeout;

use crate::support::{code, connect, number, run, start};

async fn accounts(c: &mut PgConnection) {
    run(c, "CREATE TABLE t (id int PRIMARY KEY, v bigint NOT NULL)").await;
    run(c, "INSERT INTO t VALUES (1, 10), (2, 20)").await;
}

#[tokio::test]
async fn prepared_statements_and_types_round_trip() {
    let mut c = connect(start().await).await;
    run(
        &mut c,
        "CREATE TABLE p (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text NOT NULL, \
         amount numeric(12,2) DEFAULT 0, at timestamptz DEFAULT now(), doc jsonb, raw bytea, UNIQUE (name))",
    )
    .await;
    let id: i64 =
        sqlx::query("INSERT INTO p (name, amount, raw) VALUES ($1, $2::text::numeric, $3) RETURNING id")
            .bind("a")
            .bind("12.345")
            .bind(vec![1u8, 2])
            .fetch_one(&mut c)
            .await
            .unwrap()
            .get(0);
    assert_eq!(id, 1);
    let row = sqlx::query("SELECT name, amount::text, raw FROM p WHERE id = $1")
        .bind(1i64)
        .fetch_one(&mut c)
        .await
        .unwrap();
    assert_eq!(row.get::<String, _>(0), "a");
    assert_eq!(row.get::<String, _>(1), "12.35");
    assert_eq!(row.get::<Vec<u8>, _>(2), vec![1, 2]);
    let e = sqlx::query("INSERT INTO p (name) VALUES ($1)")
        .bind("a")
        .execute(&mut c)
        .await
        .unwrap_err();
    let e = e.as_database_error().unwrap();
    assert_eq!(
        (e.code().unwrap().as_ref(), e.constraint(), e.table()),
        ("23505", Some("p_name_key"), Some("p"))
    );
    run(
        &mut c,
        "INSERT INTO p (name) SELECT 'n' || g FROM generate_series(1, 5) g ON CONFLICT (name) DO NOTHING",
    )
    .await;
    assert_eq!(number(&mut c, "SELECT count(*) FROM p").await, 6);
    assert_eq!(
        number(
            &mut c,
            "SELECT count(*) FROM p a JOIN p b ON a.id = b.id WHERE b.name LIKE 'n%'"
        )
        .await,
        5
    );
    let sum = "WITH d AS (DELETE FROM p WHERE id = 1 RETURNING id) SELECT sum(id)::bigint FROM d";
    assert_eq!(number(&mut c, sum).await, 1);
}

#[tokio::test]
async fn errors_have_postgres_codes_and_fail_the_block() {
    let mut c = connect(start().await).await;
    accounts(&mut c).await;
    assert_eq!(code(&mut c, "SELEC 1").await, "42601");
    assert_eq!(code(&mut c, "SELECT 1/0").await, "22012");
    assert_eq!(code(&mut c, "SELECT nope FROM t").await, "42703");
    assert_eq!(code(&mut c, "SELECT * FROM nope").await, "42P01");
    assert_eq!(code(&mut c, "SELECT 2147483647 + 1").await, "22003");
    assert_eq!(code(&mut c, "SELECT 'x'::int").await, "22P02");
    assert_eq!(code(&mut c, "INSERT INTO t VALUES (3, NULL)").await, "23502");
    assert_eq!(
        code(
            &mut c,
            "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'select 1'"
        )
        .await,
        "0A000"
    );
    run(&mut c, "BEGIN").await;
    run(&mut c, "UPDATE t SET v = 0").await;
    run(&mut c, "SAVEPOINT s").await;
    assert_eq!(code(&mut c, "SELECT 1/0").await, "22012");
    assert_eq!(code(&mut c, "SELECT 1").await, "25P02");
    run(&mut c, "ROLLBACK TO s").await;
    assert_eq!(number(&mut c, "SELECT sum(v)::bigint FROM t").await, 0);
    run(&mut c, "ROLLBACK").await;
    assert_eq!(number(&mut c, "SELECT sum(v)::bigint FROM t").await, 30);
}

#[tokio::test]
async fn read_committed_waits_and_checks_the_row_again() {
    let port = start().await;
    let (mut a, mut b) = (connect(port).await, connect(port).await);
    accounts(&mut a).await;
    run(&mut a, "BEGIN; UPDATE t SET v = v + 1 WHERE id = 1").await;
    let waiting = tokio::spawn(async move {
        let n = run(&mut b, "UPDATE t SET v = v * 2 WHERE v = 11").await;
        (n, run(&mut b, "UPDATE t SET v = v * 2 WHERE id = 1").await)
    });
    tokio::time::sleep(Duration::from_millis(50)).await;
    run(&mut a, "COMMIT").await;
    let counts = timeout(Duration::from_secs(5), waiting).await.unwrap().unwrap();
    // The first statement's snapshot still had 10: no match, no wait. It may also have started after the commit.
    assert!(counts.0 <= 1 && counts.1 == 1);
    assert!([22, 44].contains(&number(&mut a, "SELECT v FROM t WHERE id = 1").await));
}

#[tokio::test]
async fn repeatable_read_fails_the_second_updater() {
    let port = start().await;
    let (mut a, mut b) = (connect(port).await, connect(port).await);
    accounts(&mut a).await;
    run(&mut b, "BEGIN ISOLATION LEVEL REPEATABLE READ").await;
    assert_eq!(number(&mut b, "SELECT v FROM t WHERE id = 1").await, 10);
    run(&mut a, "UPDATE t SET v = 11 WHERE id = 1").await;
    assert_eq!(number(&mut b, "SELECT v FROM t WHERE id = 1").await, 10);
    assert_eq!(code(&mut b, "UPDATE t SET v = 12 WHERE id = 1").await, "40001");
}

/// C21: a balance that is a sum of entries, and two holds of 800 on 1,000.
async fn two_holds(level: &str) -> (usize, i64) {
    let port = start().await;
    let (mut a, mut b) = (connect(port).await, connect(port).await);
    run(
        &mut a,
        "CREATE TABLE e (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, amount bigint NOT NULL)",
    )
    .await;
    run(&mut a, "INSERT INTO e (amount) VALUES (1000)").await;
    let balance = "SELECT sum(amount)::bigint FROM e";
    let mut committed = 0;
    for c in [&mut a, &mut b] {
        run(c, &format!("BEGIN ISOLATION LEVEL {level}")).await;
        assert_eq!(number(c, balance).await, 1000);
    }
    for c in [&mut a, &mut b] {
        let held = sqlx::raw_sql("INSERT INTO e (amount) VALUES (-800)")
            .execute(&mut *c)
            .await;
        if held.is_ok() && sqlx::raw_sql("COMMIT").execute(&mut *c).await.is_ok() {
            committed += 1;
        }
    }
    let mut fresh = connect(port).await;
    (committed, number(&mut fresh, balance).await)
}

#[tokio::test]
async fn two_holds_pass_under_read_committed_and_one_is_aborted_under_serializable() {
    assert_eq!(two_holds("READ COMMITTED").await, (2, -600));
    assert_eq!(two_holds("REPEATABLE READ").await, (2, -600));
    assert_eq!(two_holds("SERIALIZABLE").await, (1, 200));
}

#[tokio::test]
async fn a_deadlock_ends_with_one_victim() {
    let port = start().await;
    let (mut a, mut b) = (connect(port).await, connect(port).await);
    accounts(&mut a).await;
    run(&mut a, "BEGIN; UPDATE t SET v = 1 WHERE id = 1").await;
    run(&mut b, "BEGIN; UPDATE t SET v = 2 WHERE id = 2").await;
    let one = tokio::spawn(async move {
        sqlx::raw_sql("UPDATE t SET v = 1 WHERE id = 2")
            .execute(&mut a)
            .await
            .err()
    });
    tokio::time::sleep(Duration::from_millis(50)).await;
    let two = sqlx::raw_sql("UPDATE t SET v = 2 WHERE id = 1")
        .execute(&mut b)
        .await
        .err();
    _ = b.close().await;
    let one = timeout(Duration::from_secs(5), one).await.unwrap().unwrap();
    let codes: Vec<String> = [one, two]
        .iter()
        .flatten()
        .map(|e| e.as_database_error().unwrap().code().unwrap().to_string())
        .collect();
    assert_eq!(codes, ["40P01"]);
}

#[tokio::test]
async fn locking_reads_skip_or_refuse_held_rows() {
    let port = start().await;
    let (mut a, mut b) = (connect(port).await, connect(port).await);
    accounts(&mut a).await;
    run(&mut a, "BEGIN").await;
    assert_eq!(
        number(
            &mut a,
            "SELECT v FROM t ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED"
        )
        .await,
        10
    );
    assert_eq!(
        number(
            &mut b,
            "SELECT v FROM t ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED"
        )
        .await,
        20
    );
    assert_eq!(
        code(&mut b, "SELECT v FROM t WHERE id = 1 FOR NO KEY UPDATE NOWAIT").await,
        "55P03"
    );
    assert_eq!(
        code(
            &mut b,
            "SET lock_timeout = '50ms'; UPDATE t SET v = 0 WHERE id = 1"
        )
        .await,
        "55P03"
    );
}

#[tokio::test]
async fn a_unique_key_waits_for_its_first_writer() {
    for (end, wanted) in [("COMMIT", Some("23505")), ("ROLLBACK", None)] {
        let port = start().await;
        let (mut a, mut b) = (connect(port).await, connect(port).await);
        accounts(&mut a).await;
        run(&mut a, "BEGIN; INSERT INTO t VALUES (3, 1)").await;
        let other = tokio::spawn(async move {
            sqlx::raw_sql("INSERT INTO t VALUES (3, 2)")
                .execute(&mut b)
                .await
                .err()
        });
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert!(!other.is_finished());
        run(&mut a, end).await;
        let e = timeout(Duration::from_secs(5), other).await.unwrap().unwrap();
        let code = e.map(|e| e.as_database_error().unwrap().code().unwrap().to_string());
        assert_eq!(code.as_deref(), wanted);
    }
}

#[tokio::test]
async fn foreign_keys_lock_and_refuse() {
    let port = start().await;
    let (mut a, mut b) = (connect(port).await, connect(port).await);
    accounts(&mut a).await;
    run(
        &mut a,
        "CREATE TABLE c (id int PRIMARY KEY, t_id int REFERENCES t (id))",
    )
    .await;
    assert_eq!(code(&mut a, "INSERT INTO c VALUES (1, 9)").await, "23503");
    run(&mut a, "BEGIN; INSERT INTO c VALUES (1, 1)").await;
    // KEY SHARE lets an update of other columns through, but not a delete.
    run(&mut b, "UPDATE t SET v = 5 WHERE id = 1").await;
    let delete = tokio::spawn(async move {
        sqlx::raw_sql("DELETE FROM t WHERE id = 1")
            .execute(&mut b)
            .await
            .err()
    });
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(!delete.is_finished());
    run(&mut a, "COMMIT").await;
    let e = timeout(Duration::from_secs(5), delete)
        .await
        .unwrap()
        .unwrap()
        .unwrap();
    assert_eq!(e.as_database_error().unwrap().constraint(), Some("c_t_id_fkey"));
}
