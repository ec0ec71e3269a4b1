//! The schema between two versions of the system.

use payments::ledger::{Command, Grouping, LedgerError, Operation, Schema, Target, contracts_to, migrate};
use sqlx::{Connection, PgConnection, postgres::PgConnectOptions};

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
    let at = operation.created_at + std::time::Duration::from_secs(1);
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

/// Another migration of the same server, of another database, has made a role and has not committed it yet.
#[tokio::test]
async fn two_databases_of_one_server_are_migrated_at_the_same_time() {
    let server = sumzero_postgres::Server::start("fsync = off").unwrap_or_else(|error| panic!("{error}"));
    let options = PgConnectOptions::new_without_pgpass()
        .username("postgres")
        .database("postgres")
        .socket(server.socket())
        .port(server.port());
    let connect = || async { PgConnection::connect_with(&options).await.unwrap() };
    let (mut other, mut own, mut observer) = (connect().await, connect().await, connect().await);
    let mut transaction = other.begin().await.unwrap();
    sqlx::query("create role payments_worker login")
        .execute(&mut *transaction)
        .await
        .unwrap();
    let commit_once_it_waits = async {
        let waits = "select exists (select from pg_stat_activity where wait_event_type = 'Lock')";
        while !sqlx::query_scalar::<_, bool>(waits)
            .fetch_one(&mut observer)
            .await
            .unwrap()
        {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        transaction.commit().await.unwrap();
    };
    let migration = migrate(&mut own, "us-east-1", Target::Expanded);
    let (migrated, ()) = tokio::join!(migration, commit_once_it_waits);
    assert_eq!(migrated.unwrap(), Schema::V2);
    assert_eq!(contracts_to(&mut own).await.unwrap(), None);
}
