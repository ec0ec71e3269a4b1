//! The schema between two versions of the system.

use std::time::Duration;

use payments::ledger::{
    Command, Grouping, LedgerError, Operation, Schema, SchemaError, Target, contracts_to, migrate,
};
use sqlx::{Connection, Executor, PgConnection, postgres::PgConnectOptions};
use tokio::time::timeout;

use crate::books::{Books, charge, done, refused};

/// Of every outcome, in the order of their intents: whether its time is missing, whether that is the time of the intent.
async fn times(books: &Books) -> Vec<(bool, bool)> {
    let query = "select settled_at is null, coalesce(settled_at = created_at, false) from operation \
                 where state in ('succeeded', 'declined') order by created_at, kind";
    let mut superuser = books.superuser().await;
    sqlx::query_as(query).fetch_all(&mut superuser).await.unwrap()
}

async fn bring(books: &Books, target: Target) -> Schema {
    migrate(&mut books.superuser().await, "us-east-1", target)
        .await
        .unwrap()
}

/// Books another charge's outcome through a process that writes a version of the schema.
async fn settle(books: &mut Books, schema: Schema, operation: Operation) -> Result<(), LedgerError> {
    let at = operation.created_at + Duration::from_secs(1);
    let command = Command::Resolve {
        operation: operation.id,
        fence: operation.fence,
        outcome: done(),
        at,
        lease_until: at,
    };
    books.process(schema).submit(command).await.map(|_| ())
}

#[tokio::test]
async fn both_versions_write_to_the_expanded_schema_and_only_the_later_one_to_the_contracted() {
    let mut books = Books::at(Target::Step(1), Schema::V1, Grouping::default()).await;
    let wallet = books.wallet("EUR").await;
    let oldest = books.start(charge(wallet, 100, "EUR", true)).await;
    books.resolve(&oldest, refused()).await;
    let (one, other) = (
        books.start(charge(wallet, 20, "EUR", true)).await,
        books.start(charge(wallet, 3, "EUR", true)).await,
    );
    let late = books.start(charge(wallet, 1, "EUR", true)).await;
    // The version after does not work on what is not expanded yet, and writes nothing.
    let early = settle(&mut books, Schema::V2, one.clone()).await;
    assert!(matches!(early, Err(LedgerError::Rejected(_))), "{early:?}");

    assert_eq!(bring(&books, Target::Expanded).await, Schema::V1);
    settle(&mut books, Schema::V1, one).await.unwrap();
    settle(&mut books, Schema::V2, other).await.unwrap();
    let mut found = times(&books).await;
    found.sort_unstable();
    assert_eq!(found, [(false, false), (true, false), (true, false)]);
    // Again: what is left contracts, and is not for this.
    assert_eq!(bring(&books, Target::Expanded).await, Schema::V1);
    let due = contracts_to(&mut books.superuser().await).await.unwrap();
    assert_eq!(due, Some(Schema::V2));

    // Too early, by force: the version before cannot book an outcome any more. Nothing is half done by that.
    assert_eq!(bring(&books, Target::Contracted).await, Schema::V2);
    let mut found = times(&books).await;
    found.sort_unstable();
    assert_eq!(found, [(false, false), (false, true), (false, true)]);
    let too_late = settle(&mut books, Schema::V1, late.clone()).await;
    assert!(matches!(too_late, Err(LedgerError::Rejected(_))), "{too_late:?}");
    assert_eq!(books.balance(wallet).await, 23);
    settle(&mut books, Schema::V2, late).await.unwrap();
    assert_eq!(books.balance(wallet).await, 24);
    assert_eq!(contracts_to(&mut books.superuser().await).await.unwrap(), None);
    books.audit().await;
}

#[tokio::test]
async fn a_database_that_nobody_writes_to_yet_is_brought_to_the_end_at_once() {
    let books = Books::open().await;
    assert_eq!(contracts_to(&mut books.superuser().await).await.unwrap(), None);
}

/// Migrates while another connection has done this and commits it only once the migration waits for it.
async fn migrate_beside(
    superuser: &PgConnectOptions,
    statement: &'static str,
) -> Result<Schema, SchemaError> {
    let connect = || async { PgConnection::connect_with(superuser).await.unwrap() };
    let (mut other, mut own, mut observer) = (connect().await, connect().await, connect().await);
    let mut transaction = other.begin().await.unwrap();
    transaction.execute(statement).await.unwrap();
    let commit_once_it_waits = async {
        let waits = "select exists (select from pg_stat_activity where wait_event_type = 'Lock')";
        while !sqlx::query_scalar::<_, bool>(waits)
            .fetch_one(&mut observer)
            .await
            .unwrap()
        {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        transaction.commit().await.unwrap();
    };
    let migration = migrate(&mut own, "us-east-1", Target::Expanded);
    let migration = async {
        timeout(Duration::from_secs(60), migration)
            .await
            .expect("it ends")
    };
    tokio::join!(migration, commit_once_it_waits).0
}

#[tokio::test]
async fn another_migration_at_the_same_time_is_waited_for_and_its_work_is_kept() {
    // A server of its own, since roles are the server's and so are locks.
    let server = sumzero_postgres::Server::start("fsync = off").unwrap_or_else(|error| panic!("{error}"));
    let superuser = PgConnectOptions::new_without_pgpass()
        .username("postgres")
        .database("postgres")
        .socket(server.socket())
        .port(server.port());
    // Of another database of the server.
    let role = migrate_beside(&superuser, "create role payments_worker login").await;
    assert_eq!(role.unwrap(), Schema::V2);
    // Of this one.
    let mut connection = PgConnection::connect_with(&superuser).await.unwrap();
    connection.execute("delete from writer_epoch").await.unwrap();
    let epoch = "insert into writer_epoch (epoch, region) values (1, 'us-west-2')";
    let epoch = migrate_beside(&superuser, epoch).await;
    assert_eq!(epoch.unwrap(), Schema::V2);
    let writers = "select epoch, region from writer_epoch";
    let writers: Vec<(i64, String)> = sqlx::query_as(writers).fetch_all(&mut connection).await.unwrap();
    assert_eq!(writers, [(1, "us-west-2".to_owned())]);
    assert_eq!(contracts_to(&mut connection).await.unwrap(), None);
}
