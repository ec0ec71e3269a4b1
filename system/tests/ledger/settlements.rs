//! Marketplace settlements: hold, verify, release with the fee, pay out; and back again.

use payments::{
    id::AccountId,
    ledger::{Command, Mutation, Operation, OperationKind, Outcome, Refusal, Reply, State},
};
use time::Duration;

use crate::books::{Books, amount, answer, done, refused};

struct Market {
    books: Books,
    buyer: AccountId,
    seller: AccountId,
}

impl Market {
    /// A buyer with 1,000 and a seller with nothing.
    async fn open() -> Self {
        let books = Books::open().await;
        let (buyer, seller) = (books.wallet("EUR").await, books.wallet("EUR").await);
        books.fund(buyer, 1_000, "EUR").await;
        Self { books, buyer, seller }
    }

    fn purchase(&self, units: i64, fee: i64) -> Mutation {
        let (payer, payee) = (self.buyer, self.seller);
        Mutation::Settle {
            payer,
            payee,
            amount: amount(units),
            currency: "EUR".parse().unwrap(),
            fee,
        }
    }

    async fn settle(&self, units: i64, fee: i64) -> Operation {
        next(
            self.books.ask(self.purchase(units, fee)).await.unwrap(),
            OperationKind::Verify,
        )
    }

    async fn balances(&self) -> (i64, i64) {
        (
            self.books.balance(self.buyer).await,
            self.books.balance(self.seller).await,
        )
    }
}

fn next(reply: Reply, kind: OperationKind) -> Operation {
    match reply {
        Reply::Resolved {
            next: Some(operation),
            ..
        } if operation.id.kind == kind => operation,
        other => panic!("{kind:?} does not follow: {other:?}"),
    }
}

#[tokio::test]
async fn the_seller_is_paid_out_the_amount_less_the_fee() {
    let market = Market::open().await;
    let verify = market.settle(800, 24).await;
    assert_eq!(market.balances().await, (200, 0));
    let payout = next(market.books.resolve(&verify, done()).await, OperationKind::Payout);
    assert_eq!(payout.amount, amount(776));
    // The seller's already, but set aside: it cannot be spent before it is paid out.
    assert_eq!(market.books.account(market.seller).await.available(), Some(0));
    market.books.resolve(&payout, done()).await;
    assert_eq!(market.balances().await, (200, 0));
    assert_eq!(
        market.books.payment(verify.id.payment).await.state,
        State::Settled
    );
    market.books.audit().await;
}

#[tokio::test]
async fn a_seller_who_fails_verification_costs_the_buyer_nothing() {
    let market = Market::open().await;
    let verify = market.settle(800, 24).await;
    market.books.resolve(&verify, refused()).await;
    assert_eq!(market.balances().await, (1_000, 0));
    assert_eq!(
        market.books.payment(verify.id.payment).await.state,
        State::Reversed
    );
    market.books.audit().await;
}

#[tokio::test]
async fn a_payout_that_fails_undoes_release_and_hold_fee_included() {
    let market = Market::open().await;
    let verify = market.settle(800, 24).await;
    let payout = next(market.books.resolve(&verify, done()).await, OperationKind::Payout);
    market.books.resolve(&payout, refused()).await;
    assert_eq!(market.balances().await, (1_000, 0));
    assert_eq!(
        market.books.payment(verify.id.payment).await.state,
        State::Reversed
    );
    market.books.audit().await;
}

#[tokio::test]
async fn what_cannot_be_found_out_waits_frozen_for_an_operator() {
    let market = Market::open().await;
    let books = &market.books;
    let verify = market.settle(800, 24).await;
    let payout = next(books.resolve(&verify, done()).await, OperationKind::Payout);
    let give_up = Command::GiveUp {
        operation: payout.id,
        fence: payout.fence,
        reason: "no answer for 25 h".to_owned(),
        at: payout.created_at + Duration::hours(25),
    };
    books.ledger.submit(give_up).await.unwrap();
    assert_eq!(books.payment(payout.id.payment).await.state, State::Limbo);
    assert!(books.account(market.seller).await.frozen && books.account(market.buyer).await.frozen);
    let frozen = books.ask(market.purchase(10, 0)).await.unwrap();
    assert_eq!(frozen, Reply::Refused(Refusal::AccountFrozen(market.buyer)));
    // It never ends by itself: not even the true answer, come late, settles it.
    assert_eq!(books.resolve(&payout, done()).await, Reply::Stale);
    // The operator found that the seller was not paid.
    let outcome = Outcome::Declined {
        reason: "the bank has no such payment".to_owned(),
    };
    let decide = Mutation::Decide {
        payment: payout.id.payment,
        outcome,
    };
    assert_eq!(answer(books.ask(decide.clone()).await.unwrap()).status, 200);
    assert_eq!(market.balances().await, (1_000, 0));
    assert_eq!(books.payment(payout.id.payment).await.state, State::Reversed);
    // Once.
    assert!(matches!(
        books.ask(decide).await.unwrap(),
        Reply::Refused(Refusal::WrongState { .. })
    ));
    books.audit().await;
}

#[tokio::test]
async fn what_has_happened_outside_is_booked_on_a_frozen_account_too() {
    let market = Market::open().await;
    let verify = market.settle(800, 0).await;
    for account in [market.buyer, market.seller] {
        market
            .books
            .ask(Mutation::SetFrozen {
                account,
                frozen: true,
            })
            .await
            .unwrap();
    }
    market.books.resolve(&verify, refused()).await;
    assert_eq!(market.balances().await, (1_000, 0));
    market.books.audit().await;
}

#[tokio::test]
async fn two_purchases_of_800_on_1000_at_two_gateways_are_one_purchase() {
    for _ in 0..10 {
        let market = Market::open().await;
        let books = &market.books;
        let other = books.second_process();
        let (one, two) = (books.request("one"), books.request("two"));
        let (one, two) = tokio::join!(
            books.ledger.submit(Command::Mutate(one, market.purchase(800, 0))),
            other.submit(Command::Mutate(two, market.purchase(800, 0))),
        );
        let replies = [one.unwrap(), two.unwrap()];
        let refused = Reply::Refused(Refusal::InsufficientFunds(market.buyer));
        assert_eq!(
            replies.iter().filter(|reply| **reply == refused).count(),
            1,
            "{replies:?}"
        );
        books.audit().await;
    }
}

#[tokio::test]
async fn wrong_parties_are_refused() {
    let market = Market::open().await;
    let books = &market.books;
    let yen = books.wallet("JPY").await;
    let pay = |payer, payee| Mutation::Settle {
        payer,
        payee,
        amount: amount(10),
        currency: "EUR".parse().unwrap(),
        fee: 0,
    };
    let nobody = AccountId(uuid::Uuid::nil());
    for (mutation, refusal) in [
        (
            pay(market.buyer, market.buyer),
            Refusal::SameAccount(market.buyer),
        ),
        (pay(market.buyer, nobody), Refusal::UnknownAccount(nobody)),
        (pay(nobody, market.seller), Refusal::UnknownAccount(nobody)),
        (
            pay(market.buyer, yen),
            Refusal::WrongCurrency {
                account: yen,
                kept: "JPY".parse().unwrap(),
                asked: "EUR".parse().unwrap(),
            },
        ),
    ] {
        assert_eq!(books.ask(mutation).await.unwrap(), Reply::Refused(refusal));
    }
    // Another tenant's account does not exist.
    let neighbour = books.neighbour().await;
    let theirs = neighbour.wallet("EUR").await;
    let reply = books.ask(pay(market.buyer, theirs)).await.unwrap();
    assert_eq!(reply, Reply::Refused(Refusal::UnknownAccount(theirs)));
    assert_eq!(market.balances().await, (1_000, 0));
}

/// The control of the audit's line that compares escrow with the settlements under way: everything else about these books is
/// right, the legs' fold too.
#[tokio::test]
async fn the_auditor_finds_money_in_escrow_that_no_settlement_accounts_for() {
    let market = Market::open().await;
    let verify = market.settle(800, 24).await;
    market.settle(100, 0).await;
    market.books.audit().await;
    let mut superuser = market.books.superuser().await;
    for (payment, amount, found) in [(801, 900, true), (800, 900, false)] {
        let update = sqlx::query("update payment set amount = $1 where payment_id = $2");
        let update = update.bind(i64::from(payment)).bind(verify.id.payment.0);
        update.execute(&mut superuser).await.unwrap();
        let faults = market.books.faults().await;
        let escrow = format!(
            "holds {amount} in escrow, settlements under way {}",
            payment + 100
        );
        let named = |fault: &String| fault.starts_with("account") && fault.contains(&escrow);
        assert_eq!(faults.iter().any(named), found, "{faults:?}");
        assert_eq!(faults.len(), usize::from(found), "{faults:?}");
    }
}
