//! Books that lost their tail: what the gate kept of it makes them whole again.

use payments::{
    id::PaymentId,
    ledger::{Answer, Command, Mutation, Reply, Request, State},
};

use crate::books::{Books, amount, answer, charge, done, refused};

/// What the gate keeps of a request.
type Kept = (Request, Mutation, Answer);

/// Carries requests out in books that will be lost; what the gate keeps of them.
async fn carry_out(books: &Books, mutations: impl IntoIterator<Item = (&str, Mutation, bool)>) -> Vec<Kept> {
    let mut kept = Vec::new();
    for (key, mutation, agreed) in mutations {
        let request = books.request_named(key, &format!("{mutation:?}"));
        let command = Command::Mutate(request.clone(), mutation.clone());
        let told = match books.ledger.submit(command).await.unwrap() {
            Reply::Started(operation, _) => {
                let outcome = if agreed { done() } else { refused() };
                answer(books.resolve(&operation, outcome).await)
            }
            reply => answer(reply),
        };
        kept.push((request, mutation, told));
    }
    kept
}

async fn restore(books: &Books, (request, mutation, answer): &Kept) -> Reply {
    let command = Command::Restore(request.clone(), mutation.clone(), Some(answer.clone()));
    books.ledger.submit(command).await.unwrap()
}

/// Other books of the same tenant: as a replica that has received nothing yet.
async fn replica(books: &Books) -> Books {
    let mut replica = Books::open().await;
    replica.adopt(books.tenant).await;
    replica
}

#[tokio::test]
async fn what_was_confirmed_is_there_again_with_the_answer_to_the_byte() {
    let books = Books::open().await;
    let opened = carry_out(&books, [("shop", open(), true)]).await;
    let shop = payments::id::AccountId::of_request(books.tenant, &opened[0].0.key);
    let payment = PaymentId::of_request(books.tenant, &books.request_named("pay", "").key);
    let part = |units| Mutation::Capture {
        payment,
        amount: Some(amount(units)),
    };
    let all = |payment| Mutation::Capture {
        payment,
        amount: None,
    };
    let refund = Mutation::Refund {
        payment,
        amount: None,
    };
    let payments = carry_out(
        &books,
        [
            ("pay", charge(shop, 1_000, "EUR", false), true),
            ("declined", part(900), false),
            ("part", part(300), true),
            ("rest", all(payment), true),
            ("back", refund, true),
            ("no", charge(shop, 5, "EUR", true), false),
        ],
    )
    .await;
    let replica = replica(&books).await;
    for kept in opened.iter().chain(&payments) {
        assert_eq!(restore(&replica, kept).await, Reply::Answered(kept.2.clone()));
        // Once more, as another controller would: nothing happens.
        assert_eq!(restore(&replica, kept).await, Reply::Replayed(kept.2.clone()));
    }
    for (request, mutation, told) in opened.iter().chain(&payments) {
        let again = Command::Mutate(request.clone(), mutation.clone());
        assert_eq!(
            replica.ledger.submit(again).await.unwrap(),
            Reply::Replayed(told.clone())
        );
    }
    assert_eq!(replica.payment(payment).await, books.payment(payment).await);
    assert_eq!(replica.account(shop).await, books.account(shop).await);
    replica.audit().await;
}

#[tokio::test]
async fn what_builds_on_something_missing_waits_for_it() {
    let books = Books::open().await;
    let opened = carry_out(&books, [("shop", open(), true)]).await;
    let shop = payments::id::AccountId::of_request(books.tenant, &opened[0].0.key);
    let payment = PaymentId::of_request(books.tenant, &books.request_named("pay", "").key);
    let part = Mutation::Capture {
        payment,
        amount: Some(amount(300)),
    };
    let rest = Mutation::Capture {
        payment,
        amount: None,
    };
    let kept = carry_out(
        &books,
        [
            ("pay", charge(shop, 1_000, "EUR", false), true),
            ("part", part, true),
            ("rest", rest, true),
        ],
    )
    .await;
    let replica = replica(&books).await;
    let unfounded = |reply| assert!(matches!(reply, Reply::Unfounded(_)), "{reply:?}");
    unfounded(restore(&replica, &kept[0]).await);
    assert_eq!(
        restore(&replica, &opened[0]).await,
        Reply::Answered(opened[0].2.clone())
    );
    unfounded(restore(&replica, &kept[2]).await);
    restore(&replica, &kept[0]).await;
    // "The rest" would be all of it.
    unfounded(restore(&replica, &kept[2]).await);
    assert_eq!(replica.payment(payment).await.captured, 0);
    restore(&replica, &kept[1]).await;
    restore(&replica, &kept[2]).await;
    assert_eq!(replica.payment(payment).await, books.payment(payment).await);
    replica.audit().await;
}

#[tokio::test]
async fn an_intent_that_survived_is_settled_as_its_client_was_told() {
    let books = Books::open().await;
    let shop = books.wallet("EUR").await;
    let request = books.request_named("pay", "charge");
    let mutation = charge(shop, 70, "EUR", true);
    let begun = Command::Mutate(request.clone(), mutation.clone());
    assert!(matches!(
        books.ledger.submit(begun).await.unwrap(),
        Reply::Started(..)
    ));
    let payment = PaymentId::of_request(books.tenant, &request.key);
    let body = r#"{"authorized":70,"captured":70,"refunded":0}"#;
    let told = Answer {
        status: 201,
        body: body.to_owned(),
    };
    let kept = (request, mutation, told.clone());
    assert_eq!(restore(&books, &kept).await, Reply::Answered(told));
    assert_eq!(books.payment(payment).await.state, State::Captured);
    assert_eq!(books.balance(shop).await, 70);
    books.audit().await;
}

#[tokio::test]
async fn what_had_begun_is_asked_about_before_it_is_asked_for() {
    let books = Books::open().await;
    let shop = books.wallet("EUR").await;
    let (request, mutation) = (
        books.request_named("pay", "charge"),
        charge(shop, 70, "EUR", true),
    );
    let begun = Command::Restore(request.clone(), mutation.clone(), None);
    let operation = match books.ledger.submit(begun.clone()).await.unwrap() {
        Reply::Started(operation, _) => operation,
        other => panic!("{other:?}"),
    };
    assert_eq!(operation.fence, 2);
    assert_eq!(
        books.ledger.submit(begun).await.unwrap(),
        Reply::InFlight(operation.clone())
    );
    let told = answer(books.resolve(&operation, done()).await);
    let again = Command::Mutate(request, mutation);
    assert_eq!(books.ledger.submit(again).await.unwrap(), Reply::Replayed(told));
    books.audit().await;
}

#[tokio::test]
async fn neither_limits_nor_freezes_bind_what_has_happened() {
    let books = Books::open().await;
    let (buyer, shop) = (books.wallet("EUR").await, books.wallet("EUR").await);
    books.fund(buyer, 100, "EUR").await;
    let settle = Mutation::Settle {
        payer: buyer,
        payee: shop,
        amount: amount(80),
        currency: "EUR".parse().unwrap(),
        fee: 1,
    };
    let kept = carry_out(&books, [("settle", settle, true)]).await;
    let replica = replica(&books).await;
    for key in ["key-1", "key-2"] {
        let request = replica.request_named(key, "open");
        let opening = Command::Mutate(request, open());
        answer(replica.ledger.submit(opening).await.unwrap());
    }
    let freeze = Mutation::SetFrozen {
        account: buyer,
        frozen: true,
    };
    let freeze = Command::Mutate(replica.request_named("freeze", "freeze"), freeze);
    answer(replica.ledger.submit(freeze).await.unwrap());
    assert_eq!(
        restore(&replica, &kept[0]).await,
        Reply::Answered(kept[0].2.clone())
    );
    assert_eq!(replica.balance(buyer).await, -80);
}

fn open() -> Mutation {
    Mutation::OpenAccount {
        currency: "EUR".parse().unwrap(),
        overdraft_limit: 0,
    }
}

fn suspect(request: &Request, mutation: &Mutation) -> Command {
    Command::Suspect {
        request: request.clone(),
        mutation: mutation.clone(),
        reason: "the provider does not answer".to_owned(),
        at: request.at,
    }
}

async fn events(books: &Books, payment: PaymentId) -> Vec<String> {
    let query = "select event_type from outbox where payment_id = $1 order by seq";
    let query = sqlx::query_scalar(query).bind(payment.0);
    query.fetch_all(&mut books.superuser().await).await.unwrap()
}

#[tokio::test]
async fn what_nobody_can_find_out_waits_in_limbo_for_an_operator_with_its_accounts_frozen() {
    let books = Books::open().await;
    let shop = books.wallet("EUR").await;
    let (request, sale) = (
        books.request_named("sale", "sale"),
        charge(shop, 700, "EUR", true),
    );
    let payment = PaymentId::of_request(books.tenant, &request.key);
    for _ in 0..2 {
        // Two controllers come to it; the second finds it done.
        books.ledger.submit(suspect(&request, &sale)).await.unwrap();
        assert_eq!(books.payment(payment).await.state, State::Limbo);
        assert!(books.account(shop).await.frozen);
        assert_eq!(
            events(&books, payment).await,
            ["payment.pending", "payment.limbo"]
        );
    }
    let waiting = books.ledger.limbo(books.tenant, 10).await.unwrap();
    assert_eq!(waiting.len(), 1);
    let decide = Mutation::Decide {
        payment,
        outcome: done(),
    };
    assert_eq!(answer(books.ask(decide).await.unwrap()).status, 200);
    assert_eq!(books.payment(payment).await.state, State::Captured);
    assert_eq!(books.balance(shop).await, 700);
    books.audit().await;
}

#[tokio::test]
async fn what_does_not_fit_these_books_freezes_its_accounts_and_what_they_do_not_have_changes_nothing() {
    let books = Books::open().await;
    let shop = books.wallet("EUR").await;
    let hold = books.carry_out(charge(shop, 700, "EUR", false)).await;
    books.carry_out(Mutation::Void { payment: hold }).await;
    // A capture that may have been confirmed, of what these books say was given back.
    let request = books.request_named("capture", "capture");
    let capture = |payment| Mutation::Capture {
        payment,
        amount: None,
    };
    for _ in 0..2 {
        books
            .ledger
            .submit(suspect(&request, &capture(hold)))
            .await
            .unwrap();
        assert!(books.account(shop).await.frozen);
        assert_eq!(books.payment(hold).await.state, State::Voided);
        assert_eq!(events(&books, hold).await.last().unwrap(), "payment.suspect");
        assert_eq!(events(&books, hold).await.len(), 5);
    }
    let nobody = PaymentId::of_request(books.tenant, &books.request_named("nobody", "").key);
    let reply = books
        .ledger
        .submit(suspect(&request, &capture(nobody)))
        .await
        .unwrap();
    assert!(matches!(reply, Reply::Unfounded(_)), "{reply:?}");
    books.audit().await;
}
