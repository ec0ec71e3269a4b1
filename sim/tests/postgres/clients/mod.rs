//! What real clients do, the same code on both sides: sqlx, `sqlx migrate`, psql.
//!
//! Each check writes a journal of what it saw. The journals must be equal; where a claim is at stake the journal is held
//! against the claim too.

mod driver;
mod ledger;
mod migrate;
mod psql;

use sqlx::{Connection, PgConnection, postgres::PgConnectOptions};

use crate::servers::{Database, Target};

/// What a check saw, line by line.
pub(crate) type Journal = Vec<String>;

async fn connect(options: &PgConnectOptions) -> PgConnection {
    PgConnection::connect_with(options)
        .await
        .unwrap_or_else(|error| panic!("sqlx cannot connect: {error}"))
}

/// The comparable part of an sqlx error.
fn told(error: &sqlx::Error) -> String {
    match error.as_database_error() {
        Some(error) => format!(
            "{} constraint={:?} table={:?} {:?}",
            error.code().unwrap_or_default(),
            error.constraint(),
            error.table(),
            error.kind()
        ),
        None => format!("not a database error: {error}"),
    }
}

/// Runs a check on both sides and compares the journals.
fn same_on_both<F: Future<Output = Journal>>(check: impl Fn(PgConnectOptions) -> F) -> Journal {
    let run = |database: Database| {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        runtime.block_on(check(database.options()))
    };
    let truth = run(Target::Postgres.database());
    let subject = run(Target::subject().database());
    println!("{}", truth.join("\n"));
    assert_eq!(subject, truth, "the engine (left) and PostgreSQL (right) differ");
    subject
}
