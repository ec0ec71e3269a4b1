//! What sqlx relies on: typed parameters and columns in binary, the statement cache, pools, transactions that are dropped,
//! errors by kind.

use sqlx::{
    Column, Connection, Executor, Row, Statement, TypeInfo,
    postgres::{PgConnectOptions, PgPoolOptions},
};

use super::{Journal, connect, same_on_both, told};

async fn typed_rows(options: PgConnectOptions) -> Journal {
    let mut journal = Journal::new();
    let mut connection = connect(&options).await;
    let table = "create table t (id int8 primary key, b bool, i2 int2, i4 int4, f4 float4, f8 float8, s text, v varchar(20), \
                 raw bytea, many int8[], names text[])";
    connection.execute(table).await.expect("the table");
    let insert = "insert into t values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) returning *";
    for id in 0..3i64 {
        let some = id != 2;
        let row = sqlx::query(insert)
            .bind(id)
            .bind(some.then_some(id == 0))
            .bind(some.then_some(-7i16))
            .bind(some.then_some(i32::MIN))
            .bind(some.then_some(1.5f32))
            .bind(some.then_some(f64::MAX))
            .bind(some.then_some("text with ünïcödé and 'quotes'"))
            .bind(some.then_some(String::new()))
            .bind(some.then_some(vec![0u8, 255, 1]))
            .bind(some.then_some(vec![1i64, i64::MAX]))
            .bind(some.then_some(vec![Some("a,b".to_owned()), None, Some(String::new())]))
            .fetch_one(&mut connection)
            .await;
        let row = match row {
            Ok(row) => row,
            Err(error) => {
                journal.push(told(&error));
                continue;
            }
        };
        let columns: Vec<String> = row
            .columns()
            .iter()
            .map(|c| format!("{}:{}", c.name(), c.type_info().name()))
            .collect();
        journal.push(columns.join(" "));
        journal.push(format!(
            "{:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?}",
            row.try_get::<i64, _>(0),
            row.try_get::<Option<bool>, _>("b"),
            row.try_get::<Option<i16>, _>("i2"),
            row.try_get::<Option<i32>, _>("i4"),
            row.try_get::<Option<f32>, _>("f4"),
            row.try_get::<Option<f64>, _>("f8"),
            row.try_get::<Option<String>, _>("s"),
            row.try_get::<Option<String>, _>("v"),
            row.try_get::<Option<Vec<u8>>, _>("raw"),
            row.try_get::<Option<Vec<i64>>, _>("many"),
            row.try_get::<Option<Vec<Option<String>>>, _>("names")
        ));
    }
    let unnest = "insert into t (id, s) select * from unnest($1::int8[], $2::text[]) on conflict (id) do update set s = \
                  excluded.s returning id, s";
    let rows = sqlx::query_as::<_, (i64, Option<String>)>(unnest)
        .bind(vec![0i64, 10, 11])
        .bind(vec![Some("zero"), None, Some("eleven")])
        .fetch_all(&mut connection)
        .await;
    journal.push(rows.map_or_else(|error| told(&error), |rows| format!("{rows:?}")));
    let any = sqlx::query_scalar::<_, i64>("select id from t where id = any($1) order by id")
        .bind(vec![11i64, 0, 99]);
    journal.push(
        any.fetch_all(&mut connection)
            .await
            .map_or_else(|error| told(&error), |ids| format!("{ids:?}")),
    );
    let wrong = sqlx::query("select id from t where s = $1")
        .bind(5i32)
        .fetch_all(&mut connection)
        .await;
    journal.push(wrong.map_or_else(|error| told(&error), |rows| format!("{} rows", rows.len())));
    journal
}

async fn statement_cache(options: PgConnectOptions) -> Journal {
    let mut journal = Journal::new();
    let (mut connection, mut other) = (connect(&options).await, connect(&options).await);
    connection
        .execute("create table t (id int8 primary key, s text)")
        .await
        .expect("the table");
    for id in 0..3i64 {
        let insert = sqlx::query("insert into t values ($1, $2)").bind(id).bind("s");
        journal.push(format!(
            "{:?}",
            insert
                .execute(&mut connection)
                .await
                .map(|done| done.rows_affected())
        ));
    }
    for change in [
        "select 1",
        "alter table t add column n int4 default 7",
        "create index on t (s)",
        "alter table t drop column s",
    ] {
        other.execute(change).await.expect("the change");
        let rows = sqlx::query("select * from t where id = $1")
            .bind(1i64)
            .fetch_all(&mut connection)
            .await;
        journal.push(rows.map_or_else(
            |error| told(&error),
            |rows| format!("{} columns", rows[0].columns().len()),
        ));
    }
    let twice = sqlx::query("insert into t (id) values ($1)")
        .bind(1i64)
        .execute(&mut connection)
        .await;
    journal.push(told(&twice.expect_err("a duplicate")));
    let again = sqlx::query("insert into t (id) values ($1)")
        .bind(50i64)
        .execute(&mut connection)
        .await;
    journal.push(format!("{:?}", again.map(|done| done.rows_affected())));
    journal.push(format!("{:?}", connection.cached_statements_size() > 0));
    journal.push(format!(
        "{:?}",
        connection.clear_cached_statements().await.is_ok()
    ));
    connection.ping().await.expect("alive");
    journal
}

async fn transactions(options: PgConnectOptions) -> Journal {
    let mut journal = Journal::new();
    let pool = PgPoolOptions::new()
        .max_connections(2)
        .connect_with(options)
        .await
        .expect("a pool");
    let schema = "create table p (id int8 primary key); create table t (id int8 primary key, p int8 references p, n int4 not \
                  null default 0, constraint n_ok check (n < 10))";
    sqlx::raw_sql(schema).execute(&pool).await.expect("the schema");
    let mut kept = pool.begin().await.expect("begin");
    sqlx::query("insert into t (id) values (1)")
        .execute(&mut *kept)
        .await
        .expect("insert");
    let mut nested = kept.begin().await.expect("a savepoint");
    sqlx::query("insert into t (id) values (2)")
        .execute(&mut *nested)
        .await
        .expect("insert");
    nested.rollback().await.expect("back to the savepoint");
    let mut nested = kept.begin().await.expect("a savepoint");
    let failed = sqlx::query("insert into t (id) values (1)")
        .execute(&mut *nested)
        .await;
    journal.push(told(&failed.expect_err("a duplicate")));
    drop(nested);
    sqlx::query("insert into t (id) values (3)")
        .execute(&mut *kept)
        .await
        .expect("insert");
    kept.commit().await.expect("commit");
    {
        let mut dropped = pool
            .begin_with("begin isolation level repeatable read")
            .await
            .expect("begin");
        sqlx::query("insert into t (id) values (4)")
            .execute(&mut *dropped)
            .await
            .expect("insert");
    }
    let ids = sqlx::query_scalar::<_, i64>("select id from t order by id")
        .fetch_all(&pool)
        .await;
    journal.push(format!("{:?}", ids.map_err(|error| told(&error))));
    for sql in [
        "insert into t (id, n) values (5, 10)",
        "insert into t (id, p) values (5, 5)",
        "insert into t (id, n) values (5, null)",
        "insert into t (id) values (1)",
        "select 1 / 0",
        "selec 1",
        "select * from nosuch",
        "select $1",
    ] {
        let outcome = sqlx::query(sql).execute(&pool).await;
        journal.push(outcome.map_or_else(
            |error| told(&error),
            |done| format!("{} rows", done.rows_affected()),
        ));
    }
    let optional = sqlx::query_scalar::<_, i64>("select id from t order by id")
        .fetch_optional(&pool)
        .await;
    journal.push(format!("{:?}", optional.map_err(|error| told(&error))));
    let none = sqlx::query("select id from t where id = 77")
        .fetch_one(&pool)
        .await;
    journal.push(none.map_or_else(|error| error.to_string(), |_| "a row".to_owned()));
    let many = sqlx::query_scalar::<_, i32>("select g from generate_series(1, 5000) g")
        .fetch_all(&pool)
        .await;
    journal.push(format!(
        "{:?}",
        many.map(|rows| (rows.len(), rows.iter().sum::<i32>()))
            .map_err(|error| told(&error))
    ));
    let long = "x".repeat(300_000);
    let echoed = sqlx::query_scalar::<_, String>("select $1 || '!'")
        .bind(&long)
        .fetch_one(&pool)
        .await;
    journal.push(format!(
        "{:?}",
        echoed.map(|text| text.len()).map_err(|error| told(&error))
    ));
    pool.close().await;
    journal
}

async fn described(options: PgConnectOptions) -> Journal {
    let mut journal = Journal::new();
    let mut connection = connect(&options).await;
    let table = "create table t (id int8 primary key, s text, v varchar(5) not null, n numeric(10, 2), at timestamptz, u uuid, j jsonb)";
    connection.execute(table).await.expect("the table");
    for sql in [
        "select * from t where id = $1 and s = $2 and n > $3 and at < $4 and u = $5 and j @> $6",
        "insert into t (id, v) values ($1, $2) on conflict (id) do update set v = $2 returning id, v",
        "select count(*), sum(n), max(at) from t limit $1",
        "select s || $1 as joined, coalesce(id, $2) from t",
        "update t set n = n + $1 where id = any($2)",
        "select nosuch from t",
    ] {
        let described = connection.prepare(sqlx::SqlStr::from_static(sql)).await;
        journal.push(match described {
            Ok(described) => {
                let columns: Vec<String> = described
                    .columns()
                    .iter()
                    .map(|c| format!("{}:{}", c.name(), c.type_info().name()))
                    .collect();
                format!(
                    "{:?} -> {}",
                    described.parameters().map(|p| format!("{p:?}")),
                    columns.join(" ")
                )
            }
            Err(error) => told(&error),
        });
    }
    journal
}

#[test]
fn rows_are_typed() {
    same_on_both(typed_rows);
}

#[test]
fn statements_are_cached() {
    same_on_both(statement_cache);
}

#[test]
fn transactions_nest_and_drop() {
    same_on_both(transactions);
}

#[test]
fn statements_are_described() {
    same_on_both(described);
}
