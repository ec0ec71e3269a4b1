//! One Region: what survives a crash, what a failover costs, and what becomes of a commit under way.

use std::time::Duration;

use sqlx::Connection;
use sumzero_sim::Fault;
use sumzero_sim::fault::ServiceFault;
use sumzero_sim::units::Span;
use tokio::time::{Instant, sleep};

use crate::stage::*;

#[test]
fn a_crash_loses_what_was_not_committed_and_nothing_else() {
    let notes = Notes::default();
    let (world, _) = world(1, config(1, 1));
    let teller = client("teller", 0, &notes, |notes| async move {
        let mut first = open_ledger(0).await?;
        sqlx::raw_sql(
            "CREATE SEQUENCE number; CREATE TEMPORARY TABLE scratch (id int); INSERT INTO scratch VALUES (1)",
        )
        .execute(&mut first)
        .await?;
        for id in 0..20 {
            post(&mut first, id).await?;
        }
        sqlx::raw_sql("DELETE FROM entry WHERE id = 3; UPDATE entry SET amount = 7 WHERE id = 4")
            .execute(&mut first)
            .await?;
        let before: i64 = sqlx::query_scalar("SELECT nextval('number')")
            .fetch_one(&mut first)
            .await?;
        sqlx::query("INSERT INTO entry VALUES (50, $1)")
            .bind(before)
            .execute(&mut first)
            .await?;
        let mut open = connect(cluster(0)).await?;
        let mut unfinished = open.begin().await?;
        sqlx::query("INSERT INTO entry VALUES (60, 1)")
            .execute(&mut *unfinished)
            .await?;
        sqlx::query("UPDATE entry SET amount = 0 WHERE id = 5")
            .execute(&mut *unfinished)
            .await?;
        sleep(seconds(20)).await;
        assert_eq!(sqlstate(&unfinished.commit().await.unwrap_err()), "no answer");
        let there = entries_when_up(cluster(0)).await;
        let mut second = connect(cluster(0)).await?;
        let by_index: Vec<i64> = sqlx::query_scalar("SELECT id FROM entry WHERE amount = 7")
            .fetch_all(&mut second)
            .await?;
        let fifth: i64 = sqlx::query_scalar("SELECT amount FROM entry WHERE id = 5")
            .fetch_one(&mut second)
            .await?;
        let after: i64 = sqlx::query_scalar("SELECT nextval('number')")
            .fetch_one(&mut second)
            .await?;
        let scratch = sqlx::query("SELECT * FROM scratch").execute(&mut second).await;
        post(&mut second, 70).await?;
        let twice = post(&mut second, 70).await.unwrap_err();
        notes
            .lock()
            .unwrap()
            .push((there, by_index, fifth, after > before));
        assert_eq!(sqlstate(&scratch.unwrap_err()), "42P01");
        assert_eq!(sqlstate(&twice), "23505");
        Ok(())
    });
    let kill = Fault::kill("aurora-us-east-1")
        .at(seconds(10))
        .lasting(seconds(2));
    world
        .client(teller)
        .fault(kill)
        .run_until_done(seconds(120))
        .unwrap();
    let mut expected: Vec<i64> = (0..20).filter(|id| *id != 3).collect();
    expected.push(50);
    assert_eq!(notes.lock().unwrap().pop(), Some((expected, vec![4], 10, true)));
}

/// A teller posts entries, one after the other, and tries again on a new connection. Answers the longest time without a
/// success, the entries that it was told of, and those that are there.
fn teller_through_failover(seed: u64, fail: bool) -> (Duration, Vec<i64>, Vec<i64>) {
    let notes = Notes::default();
    let (mut world, database) = world(seed, config(seed, 1));
    let teller = client("teller", 0, &notes, |notes| async move {
        let mut connection = Some(open_ledger(0).await?);
        let (mut told, mut outage, mut last) = (Vec::new(), Duration::ZERO, Instant::now());
        let end = Instant::now() + seconds(120);
        let mut id = 0;
        while Instant::now() < end {
            id += 1;
            if connection.is_none() {
                connection = connect(cluster(0)).await.ok();
            }
            let posted = match &mut connection {
                Some(open) => post(open, id).await.is_ok(),
                None => false,
            };
            if posted {
                told.push(id);
                outage = outage.max(last.elapsed());
                last = Instant::now();
            } else {
                connection = None;
            }
            sleep(Duration::from_millis(100)).await;
        }
        let there = entries_when_up(cluster(0)).await;
        notes.lock().unwrap().push((outage, told, there));
        Ok(())
    });
    if fail {
        world = world.fault(aurora(0, ServiceFault::FailOverCluster {}).at(seconds(20)));
    }
    let outcome = world.client(teller).run_until_done(seconds(200)).unwrap();
    let failovers = database.cluster(REGIONS[0]).unwrap().counters().failovers;
    assert_eq!(failovers, u64::from(fail));
    assert!(!fail || outcome.faults[0].bites == 1);
    notes.lock().unwrap().pop().unwrap()
}

#[test]
fn an_in_region_failover_takes_30_to_60_s_and_loses_nothing() {
    let mut outages = Vec::new();
    for seed in 0..5 {
        let (outage, told, there) = teller_through_failover(seed, true);
        assert!(
            (29.9..62.0).contains(&outage.as_secs_f64()),
            "seed {seed}: {outage:?}"
        );
        assert!(told.iter().all(|id| there.contains(id)), "seed {seed}");
        outages.push(outage);
    }
    outages.dedup();
    assert_eq!(outages.len(), 5, "the seed decides");
    // Without the failover there is no outage.
    let (outage, told, there) = teller_through_failover(0, false);
    assert!(outage < seconds(1), "{outage:?}");
    assert_eq!(told, there);
}

/// What a commit under way heard, and whether it was applied, when the instance fails over in the middle of it.
fn commit_into_failover(seed: u64, fault: Option<ServiceFault>) -> (String, bool) {
    let notes = Notes::default();
    let mut config = config(seed, 1);
    config.commit = Span::millis(20, 20);
    let (mut world, _) = world(seed, config);
    let teller = client("teller", 0, &notes, |notes| async move {
        let mut connection = open_ledger(0).await?;
        let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
        sleep(Duration::from_millis(1_767_225_610_000) - now).await;
        let heard = match post(&mut connection, 1).await {
            Ok(()) => "committed".to_owned(),
            Err(error) => sqlstate(&error),
        };
        let there = entries_when_up(cluster(0)).await;
        notes.lock().unwrap().push((heard, there == [1]));
        Ok(())
    });
    if let Some(fault) = fault {
        world = world.fault(aurora(0, fault).at(Duration::from_millis(10_012)));
    }
    world.client(teller).run_until_done(seconds(200)).unwrap();
    notes.lock().unwrap().pop().unwrap()
}

#[test]
fn a_commit_under_way_in_a_failover_is_unknown_and_both_outcomes_happen() {
    let outcomes: Vec<(String, bool)> = (0..20)
        .map(|seed| commit_into_failover(seed, Some(ServiceFault::FailOverCluster {})))
        .collect();
    assert!(
        outcomes.iter().all(|(heard, _)| heard == "no answer"),
        "{outcomes:?}"
    );
    assert!(outcomes.iter().any(|(_, applied)| *applied), "{outcomes:?}");
    assert!(outcomes.iter().any(|(_, applied)| !applied), "{outcomes:?}");
    assert_eq!(
        commit_into_failover(3, Some(ServiceFault::FailOverCluster {})),
        outcomes[3],
        "the same again"
    );
    assert_eq!(commit_into_failover(0, None), ("committed".to_owned(), true));
}

#[test]
fn the_reader_endpoint_follows_the_writer_and_refuses_writes() {
    let notes = Notes::default();
    let (world, _) = world(4, config(4, 1));
    let teller = client("teller", 0, &notes, |notes| async move {
        let mut writer = open_ledger(0).await?;
        post(&mut writer, 1).await?;
        let mut replica = connect(reader(0)).await?;
        sleep(Duration::from_millis(100)).await;
        post(&mut writer, 2).await?;
        let at_once = entries(&mut replica).await?;
        sleep(Duration::from_millis(100)).await;
        let later = entries(&mut replica).await?;
        let refused = post(&mut replica, 3).await.unwrap_err();
        let message = refused
            .as_database_error()
            .map(|error| error.message().to_owned());
        let in_recovery: bool = sqlx::query_scalar("SELECT pg_is_in_recovery()")
            .fetch_one(&mut replica)
            .await?;
        // A column, an index and a table that the reader has not seen before.
        sqlx::raw_sql(
            "ALTER TABLE entry ADD COLUMN memo text DEFAULT 'none'; CREATE UNIQUE INDEX ON entry (memo, id); \
             CREATE TABLE account (id int PRIMARY KEY); INSERT INTO account VALUES (7); DROP TABLE account; \
             CREATE TABLE account (id int PRIMARY KEY); INSERT INTO account VALUES (8)",
        )
        .execute(&mut writer)
        .await?;
        sleep(Duration::from_millis(100)).await;
        let memo: String = sqlx::query_scalar("SELECT memo FROM entry WHERE memo = 'none' AND id = 2")
            .fetch_one(&mut replica)
            .await?;
        let account: Vec<i32> = sqlx::query_scalar("SELECT id FROM account")
            .fetch_all(&mut replica)
            .await?;
        notes.lock().unwrap().push((at_once, later, message, in_recovery));
        assert_eq!(
            (memo.as_str(), account.as_slice(), sqlstate(&refused).as_str()),
            ("none", &[8][..], "25006")
        );
        Ok(())
    });
    world.client(teller).run_until_done(seconds(60)).unwrap();
    let refusal = "cannot execute INSERT in a read-only transaction".to_owned();
    assert_eq!(
        notes.lock().unwrap().pop(),
        Some((vec![1], vec![1, 2], Some(refusal), true))
    );
}
