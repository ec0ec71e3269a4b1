//! Claim C21 on both sides from the same code: "a balance is the sum of entries".
//!
//! Two holds of 800 on an account with 1,000. At READ COMMITTED both read 1,000, both write, and the balance is -600.
//! SERIALIZABLE aborts one, and its retry is refused. A row lock makes the second wait and see.

use sqlx::{Connection, PgConnection, Row, postgres::PgConnectOptions};

use super::{Journal, connect, same_on_both, told};

const HOLD: i64 = 800;

/// How a hold protects itself from its rivals.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Guard {
    ReadCommitted,
    Serializable,
    RowLock,
}

async fn run(connection: &mut PgConnection, sql: &'static str) -> Result<u64, sqlx::Error> {
    sqlx::query(sql)
        .execute(connection)
        .await
        .map(|done| done.rows_affected())
}

async fn begin(connection: &mut PgConnection, guard: Guard) -> Result<(), sqlx::Error> {
    let level = match guard {
        Guard::Serializable => "begin isolation level serializable",
        Guard::ReadCommitted | Guard::RowLock => "begin isolation level read committed",
    };
    run(connection, level).await?;
    if guard == Guard::RowLock {
        run(connection, "select 1 from account where id = 1 for update").await?;
    }
    Ok(())
}

async fn balance(connection: &mut PgConnection) -> Result<i64, sqlx::Error> {
    let sum = "select coalesce(sum(amount), 0)::int8 as balance from entry where account_id = 1";
    sqlx::query(sum).fetch_one(connection).await?.try_get("balance")
}

/// Writes the hold if the balance that was read allows it.
async fn hold(connection: &mut PgConnection, id: i64, seen: i64) -> Result<&'static str, sqlx::Error> {
    if seen < HOLD {
        run(connection, "rollback").await?;
        return Ok("refused");
    }
    let insert = sqlx::query("insert into entry (id, account_id, amount) values ($1, 1, $2)")
        .bind(id)
        .bind(-HOLD);
    insert.execute(&mut *connection).await?;
    run(connection, "commit").await?;
    Ok("held")
}

async fn two_holds(options: PgConnectOptions, guard: Guard) -> Journal {
    let mut journal = Journal::new();
    let (mut first, mut second) = (connect(&options).await, connect(&options).await);
    let schema = "create table account (id int8 primary key); create table entry (id int8 primary key, account_id int8 not \
                  null references account, amount int8 not null); create index on entry (account_id); insert into \
                  account values (1); insert into entry values (1, 1, 1000)";
    sqlx::raw_sql(schema)
        .execute(&mut first)
        .await
        .expect("the schema");

    begin(&mut first, guard).await.expect("begin");
    let seen = balance(&mut first).await.expect("balance");
    let rival = async {
        begin(&mut second, guard).await?;
        let seen = balance(&mut second).await?;
        Ok::<i64, sqlx::Error>(seen)
    };
    if guard == Guard::RowLock {
        let ours = async {
            // The rival is on its way to the lock by then; if not, it finds the lock free and the outcome is the same.
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            hold(&mut first, 2, seen).await
        };
        let (ours, theirs) = tokio::join!(ours, rival);
        journal.push(format!("first: {}", ours.expect("the first hold")));
        let seen = theirs.expect("the rival's balance");
        journal.push(format!(
            "second sees {seen}: {}",
            hold(&mut second, 3, seen).await.expect("the second hold")
        ));
    } else {
        let theirs = rival.await.expect("the rival's balance");
        journal.push(format!("both see {seen} and {theirs}"));
        journal.push(format!(
            "first: {}",
            hold(&mut first, 2, seen).await.expect("the first hold")
        ));
        match hold(&mut second, 3, theirs).await {
            Ok(answer) => journal.push(format!("second: {answer}")),
            Err(error) => {
                journal.push(format!("second: {}", told(&error)));
                run(&mut second, "rollback").await.expect("rollback");
                begin(&mut second, guard).await.expect("begin again");
                let seen = balance(&mut second).await.expect("balance again");
                journal.push(format!(
                    "second again sees {seen}: {}",
                    hold(&mut second, 3, seen).await.expect("again")
                ));
            }
        }
    }
    journal.push(format!("balance {}", balance(&mut first).await.expect("the end")));
    first.close().await.expect("close");
    second.close().await.expect("close");
    journal
}

#[test]
fn c21_two_read_committed_holds_overdraw() {
    let journal = same_on_both(|options| two_holds(options, Guard::ReadCommitted));
    assert_eq!(
        journal,
        [
            "both see 1000 and 1000",
            "first: held",
            "second: held",
            "balance -600"
        ]
    );
}

#[test]
fn c21_serializable_aborts_one() {
    let journal = same_on_both(|options| two_holds(options, Guard::Serializable));
    assert!(journal[2].starts_with("second: 40001"), "{journal:?}");
    assert_eq!(journal[3..], ["second again sees 200: refused", "balance 200"]);
}

#[test]
fn c21_row_lock_makes_the_second_wait() {
    let journal = same_on_both(|options| two_holds(options, Guard::RowLock));
    assert_eq!(
        journal,
        ["first: held", "second sees 200: refused", "balance 200"]
    );
}
