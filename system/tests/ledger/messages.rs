//! The outbox as relays find it, and the inbox as subscribers fill it.

use std::time::Duration;

use payments::{
    id::PaymentId,
    messages::{
        Event, Subscriber, Taken,
        outbox::{self, Fate, Unpublished},
        take_in,
    },
};
use sqlx::PgPool;
use time::OffsetDateTime;

use crate::books::Books;

const LEASE: Duration = Duration::from_secs(30);

fn now() -> OffsetDateTime {
    OffsetDateTime::now_utc()
}

async fn claim(pool: &PgPool, at: OffsetDateTime) -> Vec<Unpublished> {
    outbox::claim(pool, at, at + LEASE, 100).await.unwrap()
}

fn seqs(rows: &[Unpublished], payment: PaymentId) -> Vec<i32> {
    let ours = rows.iter().filter(|row| row.payment == payment);
    ours.map(|row| row.seq).collect()
}

async fn settle(pool: &PgPool, rows: Vec<Unpublished>, fate: impl Fn(&Unpublished) -> Fate) {
    let fates = rows.into_iter().map(|row| {
        let fate = fate(&row);
        (row, fate)
    });
    outbox::settle(pool, fates.collect(), now()).await.unwrap();
}

#[tokio::test]
async fn the_next_event_of_a_payment_waits_for_the_acknowledgement_of_the_one_before() {
    let books = Books::open().await;
    let shop = books.wallet("EUR").await;
    let one = books.fund(shop, 100, "EUR").await;
    let two = books.fund(shop, 200, "EUR").await;
    let pool = books.pool("payments_worker");
    let at = now();
    let rows = claim(&pool, at).await;
    assert_eq!((seqs(&rows, one), seqs(&rows, two)), (vec![1], vec![1]));
    // Leased, to one relay only; nothing follows yet.
    assert_eq!(claim(&pool, at).await, []);
    // One is acknowledged, the other one is not.
    settle(&pool, rows, |row| match row.payment == one {
        true => Fate::Published,
        false => Fate::PutBack(at),
    })
    .await;
    let rows = claim(&pool, at + Duration::from_secs(1)).await;
    assert_eq!((seqs(&rows, one), seqs(&rows, two)), (vec![2], vec![1]));
    // A relay died with them: when the lease is over, another has them.
    assert_eq!(claim(&pool, at + Duration::from_secs(2)).await, []);
    let again = claim(&pool, at + 2 * LEASE).await;
    assert_eq!(again.len(), 2);
    // The dead one was only slow: what it says late takes no stamp away.
    settle(&pool, again, |_| Fate::Published).await;
    settle(&pool, rows, |_| Fate::PutBack(at)).await;
    let rows = claim(&pool, at + 4 * LEASE).await;
    assert_eq!((seqs(&rows, one), seqs(&rows, two)), (vec![], vec![2]));
}

#[tokio::test]
async fn a_parked_event_stops_its_own_payment_until_an_operator_lets_it_go() {
    let books = Books::open().await;
    let shop = books.wallet("EUR").await;
    let poison = books.fund(shop, 100, "EUR").await;
    let good = books.fund(shop, 200, "EUR").await;
    let pool = books.pool("payments_worker");
    let at = now();
    let rows = claim(&pool, at).await;
    settle(&pool, rows, |row| match row.payment == poison {
        true => Fate::Parked,
        false => Fate::Published,
    })
    .await;
    let rows = claim(&pool, at + LEASE).await;
    assert_eq!((seqs(&rows, poison), seqs(&rows, good)), (vec![], vec![2]));
    assert_eq!(outbox::unpark(&pool, good).await.unwrap(), 0);
    assert_eq!(outbox::unpark(&pool, poison).await.unwrap(), 1);
    let rows = claim(&pool, at + LEASE).await;
    assert_eq!(seqs(&rows, poison), [1]);
    assert_eq!(rows[0].refusals, 0);
}

#[tokio::test]
async fn relays_at_the_same_time_never_have_the_same_row() {
    let books = Books::open().await;
    let shop = books.wallet("EUR").await;
    for _ in 0..40 {
        books.fund(shop, 1, "EUR").await;
    }
    let pool = books.pool("payments_worker");
    let at = now();
    let relays = (0..8).map(|_| outbox::claim(&pool, at, at + LEASE, 7));
    let mut rows: Vec<_> = futures::future::join_all(relays)
        .await
        .into_iter()
        .flat_map(Result::unwrap)
        .map(|row| (row.payment, row.seq))
        .collect();
    let count = rows.len();
    rows.sort();
    rows.dedup();
    assert_eq!(rows.len(), count);
    assert!(count >= 7, "{count}");
}

/// The events of all payments, in their order.
async fn events(books: &Books) -> Vec<Event> {
    let query = "select event_type, body from outbox order by payment_id, seq";
    let rows: Vec<(String, String)> = sqlx::query_as(query)
        .fetch_all(&mut books.superuser().await)
        .await
        .unwrap();
    let parse = |(kind, body): (String, String)| {
        Event::parse(&format!(r#"{{"detail-type":"{kind}","detail":{body}}}"#)).unwrap()
    };
    rows.into_iter().map(parse).collect()
}

async fn volume(books: &Books) -> (i64, i64) {
    let query = "select coalesce(sum(captured), 0)::int8, coalesce(sum(events), 0)::int8 from volume";
    sqlx::query_as(query)
        .fetch_one(&mut books.superuser().await)
        .await
        .unwrap()
}

#[tokio::test]
async fn an_event_has_its_effect_once_and_only_after_its_predecessor() {
    let books = Books::open().await;
    let shop = books.wallet("EUR").await;
    books.fund(shop, 100, "EUR").await;
    let [first, second] = events(&books).await.try_into().unwrap();
    let pool = books.pool("payments_consumer");
    let take = async |events: &[&Event]| {
        let events = events.iter().map(|event| (*event).clone()).collect();
        take_in(&pool, Subscriber::Volume, events, now()).await.unwrap()
    };
    assert_eq!(take(&[&second]).await, [Taken::Gap]);
    assert_eq!(volume(&books).await, (0, 0));
    // Together, in any order and twice over.
    let both = take(&[&second, &first, &second]).await;
    assert_eq!(both, [Taken::Applied, Taken::Applied, Taken::Known]);
    assert_eq!(take(&[&first, &second]).await, [Taken::Known, Taken::Known]);
    assert_eq!(volume(&books).await, (100, 2));
    // Each subscriber has an inbox of its own.
    for subscriber in [Subscriber::Notification, Subscriber::Receipts] {
        let taken = take_in(&pool, subscriber, vec![first.clone(), second.clone()], now()).await;
        assert_eq!(taken.unwrap(), [Taken::Applied, Taken::Applied]);
    }
    let query = "select kind, amount from receipt";
    let receipts: Vec<(String, i64)> = sqlx::query_as(query)
        .fetch_all(&mut books.superuser().await)
        .await
        .unwrap();
    assert_eq!(receipts, [("captured".to_owned(), 100)]);
}

#[tokio::test]
async fn consumers_at_the_same_time_add_up_to_one() {
    let books = Books::open().await;
    let shop = books.wallet("EUR").await;
    for _ in 0..10 {
        books.fund(shop, 10, "EUR").await;
    }
    let events = events(&books).await;
    let pool = books.pool("payments_consumer");
    let takes = (0..8).map(|number| {
        let mut events = events.clone();
        events.rotate_left(number * 2);
        take_in(&pool, Subscriber::Volume, events, now())
    });
    let taken: Vec<Taken> = futures::future::join_all(takes)
        .await
        .into_iter()
        .flat_map(Result::unwrap)
        .collect();
    let applied = taken.iter().filter(|taken| **taken == Taken::Applied);
    assert_eq!(applied.count(), 20);
    assert_eq!(volume(&books).await, (100, 20));
}
