//! What the database itself refuses, whatever the program does.

use payments::ledger::{Command, Grant, LedgerError};
use sqlx::{AssertSqlSafe, Connection, PgConnection};

use crate::books::{Books, charge};

async fn refused(connection: &mut PgConnection, statement: &str) -> String {
    let error = sqlx::query(AssertSqlSafe(statement.to_owned()))
        .execute(connection)
        .await;
    let error = error.expect_err(statement);
    error
        .as_database_error()
        .and_then(|error| error.code())
        .expect(statement)
        .into_owned()
}

const INSUFFICIENT_PRIVILEGE: &str = "42501";

#[tokio::test]
async fn the_service_can_neither_change_nor_remove_what_was_booked() {
    let books = Books::open().await;
    let shop = books.wallet("EUR").await;
    books.fund(shop, 1_000, "EUR").await;
    let mut service = books.service().await;
    for statement in [
        "update transfer set step = 'x'",
        "update leg set amount = 1",
        "update request set fingerprint = ''",
        "update account set currency = 'USD'",
        "update payment set amount = 1",
        "delete from transfer",
        "delete from leg",
        "delete from request",
        "delete from account",
        "delete from payment",
        "delete from operation",
        "delete from outbox",
        "truncate leg",
        "drop table leg",
        "update writer_epoch set epoch = epoch + 1",
        "insert into tenant (tenant_id, name) values (gen_random_uuid(), 'x')",
    ] {
        assert_eq!(
            refused(&mut service, statement).await,
            INSUFFICIENT_PRIVILEGE,
            "{statement}"
        );
    }
}

#[tokio::test]
async fn subscribers_know_nothing_of_the_ledger_and_take_nothing_back() {
    let books = Books::open().await;
    let mut subscriber = books.pool("payments_consumer").acquire().await.unwrap().detach();
    for statement in [
        "select * from account",
        "select * from outbox",
        "update outbox set state = 'published'",
        "insert into transfer select * from transfer",
        "update inbox set seq = 1",
        "delete from inbox",
        "delete from receipt",
        "update notification set body = ''",
        "delete from volume",
    ] {
        assert_eq!(
            refused(&mut subscriber, statement).await,
            INSUFFICIENT_PRIVILEGE,
            "{statement}"
        );
    }
    let mut relay = books.pool("payments_worker").acquire().await.unwrap().detach();
    for statement in [
        "update outbox set body = ''",
        "delete from outbox",
        "insert into inbox (subscriber, tenant_id, payment_id, seq, taken_in_at) values ('volume', \
         gen_random_uuid(), gen_random_uuid(), 1, now())",
    ] {
        assert_eq!(
            refused(&mut relay, statement).await,
            INSUFFICIENT_PRIVILEGE,
            "{statement}"
        );
    }
}

#[tokio::test]
async fn a_session_sees_no_tenant_that_it_does_not_name() {
    let books = Books::open().await;
    let neighbour = books.neighbour().await;
    let ours = books.wallet("EUR").await;
    books.fund(ours, 1_000, "EUR").await;
    let theirs = neighbour.wallet("EUR").await;
    neighbour.fund(theirs, 500, "EUR").await;
    let mut service = books.service().await;
    for table in [
        "account",
        "payment",
        "operation",
        "transfer",
        "leg",
        "request",
        "outbox",
    ] {
        let count = async |connection: &mut PgConnection| -> i64 {
            let query = format!("select count(*) from {table}");
            sqlx::query_scalar(AssertSqlSafe(query))
                .fetch_one(connection)
                .await
                .unwrap()
        };
        assert_eq!(count(&mut service).await, 0, "{table}");
        let mut transaction = service.begin().await.unwrap();
        let name =
            sqlx::query("select set_config('app.tenants', $1, true)").bind(neighbour.tenant.to_string());
        name.execute(&mut *transaction).await.unwrap();
        let seen = count(&mut transaction).await;
        transaction.rollback().await.unwrap();
        assert!(
            seen > 0 && seen < count(&mut books.superuser().await).await,
            "{table}: {seen}"
        );
        assert_eq!(
            count(&mut service).await,
            0,
            "{table}: the name outlived its transaction"
        );
    }
    assert!(
        books
            .ledger
            .account(books.tenant, theirs)
            .await
            .unwrap()
            .is_none()
    );
    assert!(
        books
            .ledger
            .statement(books.tenant, theirs, i64::MAX, 10)
            .await
            .unwrap()
            .is_empty()
    );
}

#[tokio::test]
async fn a_process_of_an_old_epoch_writes_nothing() {
    let books = Books::open().await;
    let shop = books.wallet("EUR").await;
    let raise = sqlx::query("update writer_epoch set epoch = epoch + 1, region = 'us-west-2'");
    raise.execute(&mut books.superuser().await).await.unwrap();
    let stale = books.ask(charge(shop, 10, "EUR", true)).await;
    assert!(
        matches!(
            stale,
            Err(LedgerError::WrongEpoch {
                believed: 1,
                actual: 2
            })
        ),
        "{stale:?}"
    );
    books.grants.send(Some(Grant::lasting(2))).unwrap();
    books.fund(shop, 10, "EUR").await;
    let epochs: Vec<i64> = sqlx::query_scalar("select distinct epoch from transfer")
        .fetch_all(&mut books.superuser().await)
        .await
        .unwrap();
    assert_eq!(epochs, [2]);
}

#[tokio::test]
async fn raising_the_epoch_waits_for_the_writers_of_the_old_one() {
    let books = Books::open().await;
    let mut writer = books.service().await;
    let mut transaction = writer.begin().await.unwrap();
    sqlx::query("select epoch from writer_epoch for key share")
        .execute(&mut *transaction)
        .await
        .unwrap();
    let mut raiser = books.superuser().await;
    sqlx::query("set lock_timeout = '200ms'")
        .execute(&mut raiser)
        .await
        .unwrap();
    assert_eq!(
        refused(&mut raiser, "update writer_epoch set epoch = epoch + 1").await,
        "55P03"
    );
    transaction.commit().await.unwrap();
    sqlx::query("update writer_epoch set epoch = epoch + 1")
        .execute(&mut raiser)
        .await
        .unwrap();
}

#[tokio::test]
async fn the_auditor_does_find_what_is_wrong() {
    let books = Books::open().await;
    let shop = books.wallet("EUR").await;
    books.fund(shop, 1_000, "EUR").await;
    books.audit().await;
    for (tamper, restore) in [
        (
            "credits_posted = credits_posted + 1",
            "credits_posted = credits_posted - 1",
        ),
        ("debits_pending = 2000", "debits_pending = 0"),
        ("version = version + 1", "version = version - 1"),
    ] {
        let mut superuser = books.superuser().await;
        let mut set = async |what: &str| {
            let statement = format!("update account set {what} where role = 'wallet'");
            sqlx::query(AssertSqlSafe(statement))
                .execute(&mut superuser)
                .await
                .unwrap();
        };
        set(tamper).await;
        assert!(!books.faults().await.is_empty(), "{tamper}");
        set(restore).await;
        books.audit().await;
    }
}

#[tokio::test]
async fn legs_are_of_one_currency_and_tenant_or_not_written() {
    let books = Books::open().await;
    let (euro, yen) = (books.wallet("EUR").await, books.wallet("JPY").await);
    books.fund(euro, 1_000, "EUR").await;
    let neighbour = books.neighbour().await;
    let theirs = neighbour.wallet("EUR").await;
    let mut superuser = books.superuser().await;
    for (credit, amount, code) in [
        (yen, 1, "23503"),
        (theirs, 1, "23503"),
        (euro, 1, "23514"),
        (yen, 0, "23514"),
    ] {
        let insert = format!(
            "insert into leg select tenant_id, transfer_id, 9, 'posted', '{euro}', '{credit}', 'EUR', {amount}, 99, 99 \
             from transfer limit 1"
        );
        assert_eq!(refused(&mut superuser, &insert).await, code, "{insert}");
    }
}

#[tokio::test]
async fn a_command_is_told_what_became_of_it_when_the_database_is_gone() {
    let books = Books::open().await;
    let shop = books.wallet("EUR").await;
    let terminate = "select pg_terminate_backend(pid) from pg_stat_activity where usename = 'payments_service' \
                     and datname = current_database()";
    sqlx::query(terminate)
        .execute(&mut books.superuser().await)
        .await
        .unwrap();
    // The pool's connections are dead. Either it notices, or the client is told that nothing was written.
    let request = books.request("charge");
    let command = Command::Mutate(request, charge(shop, 10, "EUR", true));
    if let Err(error) = books.ledger.submit(command.clone()).await {
        assert!(matches!(error, LedgerError::Unavailable(_)), "{error}");
        assert!(books.ledger.submit(command).await.is_ok());
    }
}
