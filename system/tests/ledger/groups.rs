//! Posting in groups.

use payments::ledger::{Command, LedgerError, Refusal, Reply};

use crate::books::{Books, amount, charge};

#[tokio::test]
async fn one_that_is_refused_leaves_the_others_of_its_group_alone() {
    let books = Books::open().await;
    let (buyer, seller) = (books.wallet("EUR").await, books.wallet("EUR").await);
    books.fund(buyer, 1_000, "EUR").await;
    // Of forty purchases of 50 the money covers twenty.
    let purchases = (0..40).map(|_| {
        let settle = payments::ledger::Mutation::Settle {
            payer: buyer,
            payee: seller,
            amount: amount(50),
            currency: "EUR".parse().unwrap(),
            fee: 1,
        };
        books.ledger.submit(Command::Mutate(books.request("buy"), settle))
    });
    let replies = futures::future::join_all(purchases).await;
    let refused = Reply::Refused(Refusal::InsufficientFunds(buyer));
    let count = |wanted: &dyn Fn(&Reply) -> bool| {
        replies
            .iter()
            .filter(|reply| wanted(reply.as_ref().unwrap()))
            .count()
    };
    assert_eq!(count(&|reply| *reply == refused), 20);
    assert_eq!(count(&|reply| matches!(reply, Reply::Resolved { .. })), 20);
    assert_eq!(books.balance(buyer).await, 0);
    books.audit().await;
    // They did share transactions.
    let transactions: i64 = sqlx::query_scalar("select count(distinct xmin::text) from transfer")
        .fetch_one(&mut books.superuser().await)
        .await
        .unwrap();
    assert!(transactions < 10, "{transactions}");
}

#[tokio::test]
async fn a_command_that_the_database_refuses_leaves_the_others_of_its_group_alone() {
    let books = Books::open().await;
    let shop = books.wallet("EUR").await;
    // A tenant that the database does not know: the foreign key refuses its request.
    let mut stranger = books.request("charge");
    stranger.tenant = payments::id::TenantId(uuid::Uuid::new_v4());
    let open = payments::ledger::Mutation::OpenAccount {
        currency: "EUR".parse().unwrap(),
        overdraft_limit: 0,
    };
    let good = books.request("charge");
    let (bad, good) = tokio::join!(
        books.ledger.submit(Command::Mutate(stranger, open)),
        books
            .ledger
            .submit(Command::Mutate(good, charge(shop, 10, "EUR", true))),
    );
    assert!(matches!(bad, Err(LedgerError::Rejected(_))), "{bad:?}");
    assert!(matches!(good, Ok(Reply::Started(..))), "{good:?}");
}

#[tokio::test]
async fn tenants_share_a_group_and_not_their_accounts() {
    let books = Books::open().await;
    let neighbour = books.neighbour().await;
    let (ours, theirs) = (books.wallet("EUR").await, neighbour.wallet("EUR").await);
    let charges = [
        (&books, ours),
        (&neighbour, theirs),
        (&books, theirs),
        (&neighbour, ours),
    ];
    let replies = charges.map(|(books, payee)| {
        let request = books.request("charge");
        books
            .ledger
            .submit(Command::Mutate(request, charge(payee, 10, "EUR", true)))
    });
    let replies = futures::future::join_all(replies).await;
    assert!(matches!(replies[0], Ok(Reply::Started(..))) && matches!(replies[1], Ok(Reply::Started(..))));
    assert!(matches!(replies[2], Ok(Reply::Refused(Refusal::UnknownAccount(id))) if id == theirs));
    assert!(matches!(replies[3], Ok(Reply::Refused(Refusal::UnknownAccount(id))) if id == ours));
}
