//! Inside a world: what a seed finds there, it finds again.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions, PgSslMode};
use sumzero_sim::aws::aurora::{Engine, Options};
use sumzero_sim::{Fault, Host, Link, Outcome, Plan, World};
use tokio::net::TcpListener;
use tokio::time::{sleep, timeout};

const DATABASE: [u8; 4] = [10, 0, 0, 1];

/// Answers of hosts, read by the test.
type Heard<T> = Arc<Mutex<Vec<T>>>;

fn database() -> Host {
    Host::new("database")
        .region("us-east-1")
        .ip(DATABASE)
        .run(|| async {
            let listener = TcpListener::bind("0.0.0.0:5432").await?;
            Engine::new(Options::default()).serve(listener).await
        })
}

async fn pool() -> Result<PgPool, sqlx::Error> {
    let address = PgConnectOptions::new_without_pgpass()
        .host("10.0.0.1")
        .username("postgres")
        .database("postgres")
        .ssl_mode(PgSslMode::Disable);
    PgPoolOptions::new()
        .max_connections(2)
        .connect_with(address)
        .await
}

/// An account of 1,000, made by whoever comes first.
async fn open_account(pool: &PgPool) -> Result<(), sqlx::Error> {
    for statement in [
        "CREATE TABLE account (id int PRIMARY KEY, balance bigint NOT NULL)",
        "INSERT INTO account VALUES (1, 1000)",
    ] {
        sqlx::query(statement).execute(pool).await?;
    }
    Ok(())
}

/// Puts 800 on hold if they are there; answers whether it did.
async fn hold(pool: &PgPool, select: &'static str) -> Result<bool, sqlx::Error> {
    let mut transaction = pool.begin().await?;
    let balance: i64 = sqlx::query_scalar(select).fetch_one(&mut *transaction).await?;
    if balance < 800 {
        return Ok(false);
    }
    sqlx::query("UPDATE account SET balance = balance - 800 WHERE id = 1")
        .execute(&mut *transaction)
        .await?;
    transaction.commit().await?;
    Ok(true)
}

/// Two tellers hold 800 of 1,000 within so many milliseconds of each other; answers how many succeeded.
fn two_tellers(seed: u64, select: &'static str) -> (usize, Outcome) {
    let held: Heard<bool> = Heard::default();
    let mut world = World::new(seed).host(database());
    for number in 0..2 {
        let held = held.clone();
        let teller = Host::new(format!("teller-{number}"))
            .region("us-east-1")
            .run(move || {
                let held = held.clone();
                async move {
                    let pool = pool().await?;
                    if number == 0 {
                        open_account(&pool).await?;
                    }
                    sleep(Duration::from_secs(1) + Duration::from_micros(fastrand::u64(..10_000))).await;
                    let success = hold(&pool, select).await?;
                    held.lock().unwrap().push(success);
                    Ok::<_, sqlx::Error>(())
                }
            });
        world = world.client(teller);
    }
    let outcome = world.run_until_done(Duration::from_secs(60)).unwrap();
    let held = held.lock().unwrap().iter().filter(|held| **held).count();
    (held, outcome)
}

#[test]
fn a_missing_for_update_is_found_from_a_seed_and_again_from_the_same_seed() {
    let without = "SELECT balance FROM account WHERE id = 1";
    let (seed, hash) = (0..50)
        .find_map(|seed| {
            let (held, outcome) = two_tellers(seed, without);
            (held == 2).then_some((seed, outcome.trace_hash))
        })
        .expect("two holds overlap in one of 50 seeds");
    let (held, outcome) = two_tellers(seed, without);
    assert_eq!((held, outcome.trace_hash), (2, hash), "seed {seed}");
    // The seeds do differ: in some of them the holds do not meet.
    assert!((0..50).any(|seed| two_tellers(seed, without).0 == 1));
    for seed in 0..50 {
        let (held, _) = two_tellers(seed, "SELECT balance FROM account WHERE id = 1 FOR UPDATE");
        assert_eq!(held, 1, "seed {seed}");
    }
}

/// A teller's COMMIT with the network cut 57 ms away; answers what it heard and what the account then holds.
fn commit_across_a_cut(seed: u64, cut: Option<Fault>) -> (String, i64, Outcome) {
    let heard: Heard<(String, i64)> = Heard::default();
    let told = heard.clone();
    let teller = Host::new("teller").region("sa-east-1").run(move || {
        let told = told.clone();
        async move {
            let pool = pool().await?;
            open_account(&pool).await?;
            let mut transaction = pool.begin().await?;
            sqlx::query("UPDATE account SET balance = balance - 800 WHERE id = 1")
                .execute(&mut *transaction)
                .await?;
            // Until 10 s sharp: the cut comes 80 ms later, when COMMIT has arrived and its answer has not.
            let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
            sleep(Duration::from_secs(1_767_225_610) - now).await;
            let commit = match timeout(Duration::from_secs(5), transaction.commit()).await {
                Ok(Ok(())) => "committed".to_owned(),
                Ok(Err(error)) => error.to_string(),
                Err(_) => "unknown".to_owned(),
            };
            sleep(Duration::from_secs(30)).await;
            let balance = sqlx::query_scalar("SELECT balance FROM account WHERE id = 1");
            let balance: i64 = balance.fetch_one(&self::pool().await?).await?;
            told.lock().unwrap().push((commit, balance));
            Ok::<_, sqlx::Error>(())
        }
    });
    let link = Link::delay(Duration::from_millis(57));
    let world = World::new(seed)
        .host(database())
        .client(teller)
        .link("us-east-1", "sa-east-1", link);
    let cut = cut.map(|cut| {
        cut.at(Duration::from_millis(10_080))
            .lasting(Duration::from_secs(20))
    });
    let faults = cut.into_iter().collect();
    let outcome = world
        .plan(Plan { faults })
        .run_until_done(Duration::from_secs(120))
        .unwrap();
    let (commit, balance) = heard.lock().unwrap().pop().unwrap();
    (commit, balance, outcome)
}

#[test]
fn an_answer_to_commit_that_is_cut_off_leaves_the_outcome_unknown_and_the_money_gone() {
    let cut = || Some(Fault::partition("us-east-1", "sa-east-1"));
    let (commit, balance, first) = commit_across_a_cut(7, cut());
    assert_eq!((commit.as_str(), balance), ("unknown", 200));
    assert!(first.faults[0].bites > 0);
    let (.., second) = commit_across_a_cut(7, cut());
    assert_eq!(first.trace_hash, second.trace_hash);
    // Without the cut the answer comes.
    let (commit, balance, _) = commit_across_a_cut(7, None);
    assert_eq!((commit.as_str(), balance), ("committed", 200));
}
