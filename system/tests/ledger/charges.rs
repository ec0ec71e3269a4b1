//! Charges: what is held, taken and given back, and what every retry is told.

use std::time::Duration;

use payments::ledger::{Command, Mutation, Refusal, Reply, State, due_operations};
use sqlx::Connection;

use crate::books::{Books, amount, answer, charge, done, refused};

#[tokio::test]
async fn a_charge_is_authorized_captured_in_parts_voided_and_refunded() {
    let books = Books::open().await;
    let shop = books.wallet("EUR").await;
    let payment = books.carry_out(charge(shop, 1_000, "EUR", false)).await;
    let held = books.account(shop).await;
    assert_eq!((held.balance(), held.pending.credits), (0, 1_000));

    books
        .carry_out(Mutation::Capture {
            payment,
            amount: Some(amount(300)),
        })
        .await;
    books
        .carry_out(Mutation::Capture {
            payment,
            amount: Some(amount(200)),
        })
        .await;
    assert_eq!(books.payment(payment).await.state, State::Authorized);
    books.carry_out(Mutation::Void { payment }).await;
    let voided = books.payment(payment).await;
    assert_eq!(
        (voided.state, voided.authorized, voided.captured),
        (State::Captured, 500, 500)
    );
    let account = books.account(shop).await;
    assert_eq!((account.balance(), account.pending.credits), (500, 0));

    books
        .carry_out(Mutation::Refund {
            payment,
            amount: Some(amount(120)),
        })
        .await;
    books
        .carry_out(Mutation::Refund {
            payment,
            amount: None,
        })
        .await;
    assert_eq!(books.payment(payment).await.refunded, 500);
    assert_eq!(books.balance(shop).await, 0);
    books.audit().await;

    let statement = books
        .ledger
        .statement(books.tenant, shop, i64::MAX, 4)
        .await
        .unwrap();
    let places: Vec<_> = statement.iter().map(|entry| entry.version).collect();
    let latest = books.account(shop).await.version;
    assert_eq!(places, [latest, latest - 1, latest - 2, latest - 3]);
    let rest = books
        .ledger
        .statement(books.tenant, shop, latest - 3, 200)
        .await
        .unwrap();
    assert_eq!(rest.len() as i64, latest - 4);
}

#[tokio::test]
async fn what_the_provider_declines_changes_nothing_and_is_the_answer_to_every_retry() {
    let books = Books::open().await;
    let shop = books.wallet("EUR").await;
    let request = books.request("charge");
    let command = Command::Mutate(request, charge(shop, 1_000, "EUR", true));
    let Reply::Started(operation, _) = books.ledger.submit(command.clone()).await.unwrap() else {
        panic!("not started");
    };
    // While nobody knows, a retry learns that it is under way.
    assert_eq!(
        books.ledger.submit(command.clone()).await.unwrap(),
        Reply::InFlight(operation.clone())
    );
    let first = answer(books.resolve(&operation, refused()).await);
    assert_eq!(first.status, 402);
    for _ in 0..2 {
        assert_eq!(
            books.ledger.submit(command.clone()).await.unwrap(),
            Reply::Replayed(first.clone())
        );
    }
    assert_eq!(books.balance(shop).await, 0);
    assert_eq!(books.payment(operation.id.payment).await.state, State::Declined);
    books.audit().await;
}

#[tokio::test]
async fn a_key_belongs_to_one_request() {
    let books = Books::open().await;
    let shop = books.wallet("EUR").await;
    let one = books.request_named("same", "charge of 10");
    let two = books.request_named("same", "charge of 20");
    books
        .ledger
        .submit(Command::Mutate(one, charge(shop, 10, "EUR", true)))
        .await
        .unwrap();
    let reply = books
        .ledger
        .submit(Command::Mutate(two, charge(shop, 20, "EUR", true)))
        .await
        .unwrap();
    assert_eq!(reply, Reply::Mismatch);
}

#[tokio::test]
async fn one_key_at_two_gateways_at_once_starts_one_payment() {
    let books = Books::open().await;
    let shop = books.wallet("EUR").await;
    let other = books.second_process();
    for round in 0..20 {
        let request = books.request_named(&format!("race-{round}"), "charge");
        let command = Command::Mutate(request, charge(shop, 10, "EUR", true));
        let (one, two) = tokio::join!(books.ledger.submit(command.clone()), other.submit(command));
        let replies = [one.unwrap(), two.unwrap()];
        let started = replies
            .iter()
            .filter(|reply| matches!(reply, Reply::Started(..)))
            .count();
        let waiting = replies
            .iter()
            .filter(|reply| matches!(reply, Reply::InFlight(_)))
            .count();
        assert_eq!((started, waiting), (1, 1), "{replies:?}");
    }
}

#[tokio::test]
async fn an_outcome_is_settled_once() {
    let books = Books::open().await;
    let shop = books.wallet("EUR").await;
    let operation = books.start(charge(shop, 1_000, "EUR", true)).await;
    assert!(matches!(
        books.resolve(&operation, done()).await,
        Reply::Resolved { .. }
    ));
    assert_eq!(books.resolve(&operation, refused()).await, Reply::Stale);
    assert_eq!(books.resolve(&operation, done()).await, Reply::Stale);
    assert_eq!(books.balance(shop).await, 1_000);
    books.audit().await;
}

#[tokio::test]
async fn a_worker_that_was_taken_over_settles_nothing() {
    let books = Books::open().await;
    let shop = books.wallet("EUR").await;
    let stale = books.start(charge(shop, 1_000, "EUR", true)).await;
    let take_over = sqlx::query("update operation set fence = fence + 1, attempts = attempts + 1");
    take_over.execute(&mut books.superuser().await).await.unwrap();
    assert_eq!(books.resolve(&stale, refused()).await, Reply::Stale);
    let mut current = stale.clone();
    current.fence = 2;
    assert_eq!(answer(books.resolve(&current, done()).await).status, 201);
    assert_eq!(books.balance(shop).await, 1_000);
}

/// The outcome's transaction has seen that the fence is its own, and waits for an account.
#[tokio::test]
async fn what_is_being_settled_cannot_be_taken_up() {
    let books = Books::open().await;
    let shop = books.wallet("EUR").await;
    let operation = books.start(charge(shop, 1_000, "EUR", true)).await;
    let worker = books.pool("payments_worker");
    let late = operation.lease_until + Duration::from_secs(1);
    let take_up = || due_operations(&worker, late, late + Duration::from_secs(30), 10);
    let mut superuser = books.superuser().await;
    let mut account = superuser.begin().await.unwrap();
    let lock = sqlx::query("select from account where account_id = $1 for update");
    lock.bind(shop.0).execute(&mut *account).await.unwrap();
    let settle = books.resolve(&operation, done());
    let meanwhile = async {
        let waits = "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'";
        let mut watcher = books.superuser().await;
        while sqlx::query_scalar::<_, i64>(waits)
            .fetch_one(&mut watcher)
            .await
            .unwrap()
            == 0
        {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let taken = take_up().await.unwrap();
        account.rollback().await.unwrap();
        taken
    };
    let (settled, taken) = tokio::join!(settle, meanwhile);
    assert_eq!(taken, []);
    assert_eq!(answer(settled).status, 201);
    assert_eq!(take_up().await.unwrap(), []);
    // What nobody is at can be.
    books.start(charge(shop, 500, "EUR", true)).await;
    assert_eq!(take_up().await.unwrap().len(), 1);
}

#[tokio::test]
async fn more_than_is_left_and_what_the_state_forbids_is_refused_and_writes_nothing() {
    let books = Books::open().await;
    let shop = books.wallet("EUR").await;
    let payment = books.carry_out(charge(shop, 1_000, "EUR", false)).await;
    let before = books.payment(payment).await;
    let refused = async |mutation| match books.ask(mutation).await.unwrap() {
        Reply::Refused(refusal) => refusal,
        other => panic!("not refused: {other:?}"),
    };
    let too_much = refused(Mutation::Capture {
        payment,
        amount: Some(amount(1_001)),
    })
    .await;
    assert_eq!(
        too_much,
        Refusal::AmountTooLarge {
            payment,
            left: 1_000,
            asked: amount(1_001)
        }
    );
    let nothing_taken = refused(Mutation::Refund {
        payment,
        amount: None,
    })
    .await;
    assert!(matches!(
        nothing_taken,
        Refusal::WrongState {
            state: "authorized",
            ..
        }
    ));
    let unknown = payments::id::PaymentId(uuid::Uuid::nil());
    assert_eq!(
        refused(Mutation::Void { payment: unknown }).await,
        Refusal::UnknownPayment(unknown)
    );
    assert_eq!(books.payment(payment).await, before);

    books
        .start(Mutation::Capture {
            payment,
            amount: Some(amount(1)),
        })
        .await;
    assert_eq!(
        refused(Mutation::Void { payment }).await,
        Refusal::PaymentBusy(payment)
    );
}

#[tokio::test]
async fn a_refund_takes_only_what_the_merchant_still_has() {
    let books = Books::open().await;
    let (shop, other) = (books.wallet("EUR").await, books.wallet("EUR").await);
    let payment = books.fund(shop, 1_000, "EUR").await;
    // The merchant spends 800 of it.
    let spend = Mutation::Settle {
        payer: shop,
        payee: other,
        amount: amount(800),
        currency: "EUR".parse().unwrap(),
        fee: 0,
    };
    assert!(matches!(books.ask(spend).await.unwrap(), Reply::Resolved { .. }));
    let refund = books
        .ask(Mutation::Refund {
            payment,
            amount: None,
        })
        .await
        .unwrap();
    assert_eq!(refund, Reply::Refused(Refusal::InsufficientFunds(shop)));
    // Set aside at the intent: a second refund cannot promise the same 200 again.
    let first = books
        .start(Mutation::Refund {
            payment,
            amount: Some(amount(200)),
        })
        .await;
    assert_eq!(books.account(shop).await.available(), Some(0));
    books.resolve(&first, refused()).await;
    assert_eq!(books.account(shop).await.available(), Some(200));
    books.audit().await;
}
