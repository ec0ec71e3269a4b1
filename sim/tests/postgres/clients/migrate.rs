//! `sqlx migrate`: applied, applied again, changed after the fact, broken half-way, two at a time.

use std::{borrow::Cow, path::Path};

use sqlx::{
    Row, SqlStr,
    migrate::{Migration, MigrationType, Migrator},
    postgres::PgConnectOptions,
};

use super::{Journal, connect, same_on_both, told};

async fn checked_in() -> Migrator {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/postgres/migrations");
    Migrator::new(folder.as_path())
        .await
        .expect("the migrations can be read")
}

fn migration(version: i64, sql: &'static str) -> Migration {
    let no_tx = false;
    Migration::new(
        version,
        Cow::Borrowed("made up"),
        MigrationType::Simple,
        SqlStr::from_static(sql),
        no_tx,
    )
}

async fn applied(options: &PgConnectOptions) -> String {
    let mut connection = connect(options).await;
    let query = "select version, description, success, length(checksum) as size, execution_time > 0 as timed from \
                 _sqlx_migrations order by version";
    let rows = sqlx::query(query)
        .fetch_all(&mut connection)
        .await
        .expect("the list of migrations");
    let row = |row: &sqlx::postgres::PgRow| {
        let (version, size): (i64, i32) = (row.get("version"), row.get("size"));
        let (success, timed): (bool, bool) = (row.get("success"), row.get("timed"));
        format!(
            "{version} {} {success} {size} {timed}",
            row.get::<String, _>("description")
        )
    };
    rows.iter().map(row).collect::<Vec<_>>().join(", ")
}

async fn migrate(options: PgConnectOptions) -> Journal {
    let mut journal = Journal::new();
    let migrator = checked_in().await;
    let mut connection = connect(&options).await;
    for _ in 0..2 {
        let outcome = migrator.run(&mut connection).await;
        journal.push(format!("{outcome:?}; {}", applied(&options).await));
    }
    for sql in [
        "select code from account order by id",
        "insert into account (id, code) values (3, 'CA') returning code",
        "insert into entry (account_id, amount) values (1, 0) returning id::text",
        "insert into entry (account_id, amount) values (1, 2000000) returning id::text",
        "insert into entry (account_id, amount) values (1, 5) returning id::text",
    ] {
        let rows = sqlx::query_scalar::<_, String>(sql)
            .fetch_all(&mut connection)
            .await;
        journal.push(rows.map_or_else(|error| told(&error), |rows| rows.join(" ")));
    }

    let changed = Migrator::with_migrations(vec![migration(1, "select 1")]);
    journal.push(format!(
        "{:?}",
        changed
            .run(&mut connection)
            .await
            .map_err(|error| error.to_string())
    ));

    let mut all: Vec<Migration> = migrator.iter().cloned().collect();
    all.push(migration(
        4,
        "create table half (id int8); insert into half values (1); insert into half values ('x');",
    ));
    let broken = Migrator::with_migrations(all);
    let outcome = broken.run(&mut connection).await;
    journal.push(match outcome {
        Err(sqlx::migrate::MigrateError::ExecuteMigration(error, version)) => {
            format!("{version}: {}", told(&error))
        }
        other => format!("{other:?}"),
    });
    let half = sqlx::query("select * from half").fetch_all(&mut connection).await;
    journal.push(half.map_or_else(|error| told(&error), |rows| format!("{} rows", rows.len())));
    journal.push(applied(&options).await);
    journal
}

/// Two processes start at once: the advisory lock lets one migrate, the other finds it done.
async fn two_at_once(options: PgConnectOptions) -> Journal {
    let migrator = checked_in().await;
    let (mut first, mut second) = (connect(&options).await, connect(&options).await);
    let (left, right) = tokio::join!(migrator.run(&mut first), migrator.run(&mut second));
    vec![format!("{left:?} {right:?} {}", applied(&options).await)]
}

#[test]
fn migrations_apply() {
    let journal = same_on_both(migrate);
    assert!(journal[0].starts_with("Ok(())"), "{journal:?}");
    assert_eq!(journal[0], journal[1], "a second run changes nothing");
}

#[test]
fn two_processes_migrate_at_once() {
    let journal = same_on_both(two_at_once);
    assert!(journal[0].starts_with("Ok(()) Ok(())"), "{journal:?}");
}
