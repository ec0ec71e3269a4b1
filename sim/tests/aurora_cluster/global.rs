//! Several Regions: replication and its lag, changes of writer, split brain, what is lost and how the old writer rejoins.

use std::time::Duration;

use sqlx::Connection;
use sumzero_sim::aws::aurora::cluster::{GlobalCluster, RowChange, WriterEndpoint};
use sumzero_sim::fault::ServiceFault;
use sumzero_sim::{Fault, Host, Link, TraceHash, World};
use tokio::net::TcpListener;
use tokio::time::{Instant, sleep};

use crate::stage::*;

/// Three Regions, 32 ms apart.
fn three(seed: u64) -> (World, GlobalCluster) {
    world(seed, config(seed, 3))
}

fn isolated() -> Fault {
    Fault::RegionIsolated {
        region: REGIONS[0].to_owned(),
    }
}

fn global_failover(allow_data_loss: bool) -> ServiceFault {
    ServiceFault::FailOverGlobalCluster { allow_data_loss }
}

#[test]
fn every_kind_of_write_is_refused_on_a_secondary() {
    let notes = Notes::default();
    let (world, _) = three(11);
    let teller = client("teller", 0, &notes, |notes| async move {
        let mut writer = open_ledger(0).await?;
        sqlx::raw_sql("CREATE SEQUENCE number")
            .execute(&mut writer)
            .await?;
        sleep(seconds(10)).await;
        let mut secondary = connect(cluster(1)).await?;
        for statement in [
            "INSERT INTO entry VALUES (1, 1)",
            "UPDATE entry SET amount = 0",
            "DELETE FROM entry",
            "WITH gone AS (DELETE FROM entry RETURNING id) SELECT * FROM gone",
            "SELECT * FROM entry FOR SHARE",
            "SELECT nextval('number')",
            "SELECT setval('number', 7)",
            "SELECT txid_current()",
            "TRUNCATE entry",
            "CREATE TABLE t (a int)",
            "CREATE TEMP TABLE t (a int)",
            "ALTER TABLE entry ADD COLUMN a int",
            "CREATE INDEX ON entry (id)",
            "CREATE ROLE teller",
            "GRANT SELECT ON entry TO PUBLIC",
            "DROP TABLE entry",
        ] {
            let refused = sqlx::query(statement).execute(&mut secondary).await;
            let code = refused.map_or_else(|error| sqlstate(&error), |_| "accepted".to_owned());
            notes.lock().unwrap().push((statement, code));
        }
        for statement in ["BEGIN READ WRITE", "BEGIN ISOLATION LEVEL SERIALIZABLE"] {
            let refused = sqlx::raw_sql(statement)
                .execute(&mut secondary)
                .await
                .unwrap_err();
            assert_eq!(sqlstate(&refused), "0A000");
        }
        Ok(())
    });
    world.client(teller).run_until_done(seconds(60)).unwrap();
    for (statement, code) in notes.lock().unwrap().iter() {
        assert_eq!(code, "25006", "{statement}");
    }
}

#[test]
fn secondaries_follow_with_a_lag_and_refuse_writes() {
    let notes = Notes::default();
    let (world, database) = three(1);
    let teller = client("teller", 0, &notes, |notes| async move {
        let mut writer = open_ledger(0).await?;
        for id in 0..50 {
            post(&mut writer, id).await?;
        }
        let mut secondary = connect(cluster(1)).await?;
        sleep(seconds(10)).await;
        post(&mut writer, 50).await?;
        let at_once = entries(&mut secondary).await?.len();
        sleep(seconds(10)).await;
        let later = entries(&mut secondary).await?.len();
        let third = entries(&mut connect(reader(2)).await?).await?.len();
        let refused = post(&mut secondary, 99).await.unwrap_err();
        let mut block = secondary.begin().await?;
        let select = sqlx::query("SELECT * FROM entry WHERE id = 1 FOR UPDATE")
            .execute(&mut *block)
            .await;
        drop(block);
        notes.lock().unwrap().push((at_once, later, third));
        assert_eq!(sqlstate(&refused), "25006");
        assert_eq!(sqlstate(&select.unwrap_err()), "25006");
        Ok(())
    });
    world.client(teller).run_until_done(seconds(60)).unwrap();
    assert_eq!(notes.lock().unwrap().pop(), Some((50, 51, 51)));
    let counters = database.cluster(REGIONS[0]).unwrap().counters();
    assert!(
        counters.batches > 0 && counters.lag_max > Duration::from_millis(100),
        "{counters:?}"
    );
    assert_eq!(counters.copies, 0);
    assert_eq!(database.writers(), [REGIONS[0]]);
}

/// How far the second Region lags 20 s after a steady stream of entries began, and what it has in the end.
fn lag_under(fault: Option<ServiceFault>) -> (Duration, usize) {
    let notes = Notes::default();
    let (mut world, database) = three(2);
    let writer = database.cluster(REGIONS[0]).unwrap();
    let teller = client("teller", 0, &notes, move |notes| {
        let writer = writer.clone();
        async move {
            let mut connection = open_ledger(0).await?;
            let (began, mut lag) = (Instant::now(), Duration::ZERO);
            for id in 0..400 {
                post(&mut connection, id).await?;
                sleep(Duration::from_millis(100)).await;
                if lag.is_zero() && began.elapsed() > seconds(20) {
                    lag = writer.lags()[REGIONS[1]];
                }
            }
            sleep(seconds(60)).await;
            let there = entries(&mut connect(cluster(1)).await?).await?.len();
            notes.lock().unwrap().push((lag, there));
            Ok(())
        }
    });
    if let Some(fault) = fault {
        world = world.fault(aurora(0, fault).at(seconds(1)).lasting(seconds(30)));
    }
    world.client(teller).run_until_done(seconds(300)).unwrap();
    notes.lock().unwrap().pop().unwrap()
}

#[test]
fn lag_and_pause_are_faults_and_the_log_catches_up() {
    let region = || Some(REGIONS[1].to_owned());
    let (usual, there) = lag_under(None);
    assert!(usual < seconds(6), "{usual:?}");
    assert_eq!(there, 400);
    let delay = ServiceFault::DelayReplication {
        region: region(),
        min: seconds(8),
        max: seconds(9),
    };
    let (delayed, there) = lag_under(Some(delay));
    assert!((8..13).contains(&delayed.as_secs()), "{delayed:?}");
    assert_eq!(there, 400);
    let pause = ServiceFault::PauseReplication {
        region: region(),
        table: None,
    };
    let (paused, there) = lag_under(Some(pause));
    assert!(paused > seconds(17), "{paused:?}");
    assert_eq!(there, 400);
}

/// Posts through the global writer endpoint on this host until it ends, each time on a new connection.
async fn post_through(endpoint: WriterEndpoint, until: Duration) -> Vec<(i64, Duration)> {
    let listener = TcpListener::bind("127.0.0.1:6000").await.unwrap();
    let serving = tokio::spawn(endpoint.serve(listener));
    let (began, mut told, mut id) = (Instant::now(), Vec::new(), 1000);
    while began.elapsed() < until {
        id += 1;
        if let Ok(mut connection) = connect(([127, 0, 0, 1], 6000).into()).await
            && post(&mut connection, id).await.is_ok()
        {
            told.push((id, began.elapsed()));
        }
        sleep(Duration::from_millis(500)).await;
    }
    serving.abort();
    told
}

type Seen = (Vec<(i64, Duration)>, Vec<Vec<i64>>);

/// A client in the third Region posts through the global writer endpoint for 3 minutes, while at 30 s the second Region
/// becomes the writer. Answers what it was told of and what each Region then has.
fn change_writer(seed: u64, allow_data_loss: bool, cut: Option<Fault>) -> (Seen, GlobalCluster) {
    let notes = Notes::default();
    let (mut world, database) = three(seed);
    let handle = database.clone();
    let teller = client("teller", 2, &notes, move |notes: Notes<Seen>| {
        let endpoint = WriterEndpoint::new(&handle);
        async move {
            open_ledger(0).await?;
            let told = post_through(endpoint, seconds(180)).await;
            sleep(seconds(60)).await;
            let mut there = Vec::new();
            for region in 0..3 {
                there.push(entries_when_up(cluster(region)).await);
            }
            notes.lock().unwrap().push((told, there));
            Ok(())
        }
    });
    world = world.fault(aurora(1, global_failover(allow_data_loss)).at(seconds(30)));
    if let Some(cut) = cut {
        world = world.fault(cut.at(seconds(25)).lasting(seconds(140)));
    }
    world.client(teller).run_until_done(seconds(600)).unwrap();
    (notes.lock().unwrap().pop().unwrap(), database)
}

fn longest_gap(told: &[(i64, Duration)]) -> Duration {
    let gaps = told.windows(2).map(|pair| pair[1].1 - pair[0].1);
    gaps.max().unwrap_or_default()
}

#[test]
fn a_switchover_loses_nothing_and_the_global_writer_endpoint_follows() {
    for seed in 0..5 {
        let ((told, there), database) = change_writer(seed, false, None);
        assert_eq!(database.writers(), [REGIONS[1]], "seed {seed}");
        let gap = longest_gap(&told);
        assert!((10..45).contains(&gap.as_secs()), "seed {seed}: {gap:?}");
        for region in &there {
            assert_eq!(*region, there[1], "seed {seed}");
            assert!(told.iter().all(|(id, _)| region.contains(id)), "seed {seed}");
        }
        assert_eq!((database.lost(), database.snapshots()), (vec![], vec![]));
        assert_eq!(
            database.cluster(REGIONS[1]).unwrap().counters().copies,
            0,
            "the same volumes"
        );
    }
}

#[test]
fn a_switchover_that_cannot_synchronise_is_given_up() {
    let cut = Fault::partition(REGIONS[0], REGIONS[1]);
    let ((told, there), database) = change_writer(3, false, Some(cut));
    assert_eq!(database.writers(), [REGIONS[0]]);
    assert!(told.last().unwrap().1 > seconds(170), "writes go on");
    assert!(told.iter().all(|(id, _)| there[1].contains(id)));
}

#[test]
fn a_failover_with_the_old_writer_in_reach_fences_it_and_takes_60_to_90_s() {
    for seed in 0..5 {
        let ((told, there), database) = change_writer(seed, true, None);
        assert_eq!(database.writers(), [REGIONS[1]], "seed {seed}");
        let gap = longest_gap(&told);
        assert!((60..97).contains(&gap.as_secs()), "seed {seed}: {gap:?}");
        let lost: Vec<i64> = lost_entries(&database);
        for (id, _) in &told {
            assert_ne!(
                there[1].contains(id),
                lost.contains(id),
                "seed {seed}: entry {id}"
            );
        }
        assert_eq!((&there[0], &there[2]), (&there[1], &there[1]), "seed {seed}");
        // It rejoined on a new volume.
        assert!(database.cluster(REGIONS[1]).unwrap().counters().copies >= 1);
        assert_eq!(database.snapshots().len(), 1);
    }
}

fn lost_entries(database: &GlobalCluster) -> Vec<i64> {
    let rows = database
        .lost()
        .into_iter()
        .flat_map(|transaction| transaction.rows);
    let inserted = rows.filter(|row| row.table == "public.entry" && row.change == RowChange::Inserted);
    let ids = inserted.filter_map(|row| row.values.get("id")?.clone()?.parse().ok());
    ids.collect()
}

/// What the client beside the old writer was told of, how much of it after the change, and what each Region has in the end.
type Split = (Vec<i64>, usize, Vec<Vec<i64>>);

/// The writer's Region is cut off and the second becomes the writer; a client beside the old writer goes on.
fn split_brain(seed: u64) -> (Split, GlobalCluster, TraceHash) {
    let notes = Notes::default();
    let (world, database) = three(seed);
    let (handle, probe) = (database.clone(), database.clone());
    let beside = client("beside", 0, &notes, move |notes| {
        let handle = handle.clone();
        async move {
            let mut connection = open_ledger(0).await?;
            let (mut told, mut split, mut id) = (Vec::new(), 0, 0);
            let end = Instant::now() + seconds(170);
            while Instant::now() < end {
                id += 1;
                match post(&mut connection, id).await {
                    Ok(()) => {
                        told.push(id);
                        split += usize::from(handle.writer() == REGIONS[1]);
                    }
                    // Fenced; then, as it begins anew on a copy, the connection ends.
                    Err(error) if error.as_database_error().is_none() => {
                        connection = connect(cluster(0)).await?
                    }
                    Err(error) => assert_eq!(sqlstate(&error), "25006"),
                }
                sleep(Duration::from_millis(500)).await;
            }
            sleep(seconds(60)).await;
            let mut there = Vec::new();
            for region in 0..3 {
                there.push(entries_when_up(cluster(region)).await);
            }
            notes.lock().unwrap().push((told, split, there));
            Ok(())
        }
    });
    let two_writers = Host::new("observer").region(REGIONS[2]).run(move || {
        let probe = probe.clone();
        async move {
            sleep(seconds(140)).await;
            // Known to an omniscient observer before the old writer can be reached.
            assert_eq!(probe.writers(), [REGIONS[0], REGIONS[1]]);
            assert!(!probe.lost().is_empty() && probe.snapshots().is_empty());
        }
    });
    let outcome = world
        .client(beside)
        .client(two_writers)
        .fault(isolated().at(seconds(30)).lasting(seconds(120)))
        .fault(aurora(1, global_failover(true)).at(seconds(40)))
        .run_until_done(seconds(600))
        .unwrap();
    let seen = notes.lock().unwrap().pop().unwrap();
    (seen, database, outcome.trace_hash)
}

#[test]
fn a_cut_off_writer_goes_on_writing_and_what_it_wrote_is_lost_and_kept_aside() {
    let ((told, split, there), database, hash) = split_brain(5);
    assert!(
        split > 20,
        "{split} entries were accepted although there was a new writer"
    );
    assert_eq!(database.writers(), [REGIONS[1]]);
    let lost = lost_entries(&database);
    for id in &told {
        assert_ne!(there[1].contains(id), lost.contains(id), "entry {id}");
    }
    assert!(lost.len() >= split, "{} {split}", lost.len());
    assert_eq!((&there[0], &there[2]), (&there[1], &there[1]));
    let snapshots = database.snapshots();
    assert_eq!(snapshots.len(), 1);
    assert!(
        snapshots[0]
            .identifier
            .starts_with("rds:unplanned-global-failover-ledger-us-east-1-")
    );
    assert_eq!(snapshots[0].transactions, database.lost());
    let (again, _, hash_again) = split_brain(5);
    assert_eq!((again, hash_again), ((told, split, there), hash));
}

/// How many entries a writer that is cut off for a minute is told of between 25 s and 55 s into the cut.
fn under_rpo(rpo: Option<Duration>) -> (usize, usize) {
    let notes = Notes::default();
    let mut config = config(6, 3);
    config.rpo = rpo;
    let (world, _) = world(6, config);
    let teller = client("teller", 0, &notes, |notes| async move {
        let mut connection = open_ledger(0).await?;
        let began = Instant::now();
        let (mut told, mut id) = (Vec::new(), 0);
        while began.elapsed() < seconds(120) {
            id += 1;
            let insert = sqlx::query("INSERT INTO entry VALUES ($1, 1)").bind(id);
            insert.execute(&mut connection).await?;
            told.push(began.elapsed());
            sleep(Duration::from_millis(500)).await;
        }
        let blocked = told.iter().filter(|at| (36..68).contains(&at.as_secs())).count();
        notes.lock().unwrap().push((blocked, told.len()));
        Ok(())
    });
    let cut = isolated().at(seconds(10)).lasting(seconds(60));
    world
        .client(teller)
        .fault(cut)
        .run_until_done(seconds(200))
        .unwrap();
    notes.lock().unwrap().pop().unwrap()
}

#[test]
fn commits_wait_while_every_secondary_lags_more_than_the_rpo() {
    let (blocked, all) = under_rpo(Some(seconds(20)));
    assert_eq!(blocked, 0);
    assert!(all > 100, "they go on afterwards: {all}");
    let (free, _) = under_rpo(None);
    assert!(free > 50, "{free}");
    let mut too_small = config(1, 2);
    too_small.rpo = Some(seconds(19));
    assert!(GlobalCluster::new(too_small).is_err());
}

#[test]
fn idle_sessions_on_the_old_writer_are_told_25006_and_busy_ones_57p01() {
    let notes = Notes::default();
    let (world, _) = three(8);
    let teller = client("teller", 0, &notes, |notes| async move {
        let mut idle = open_ledger(0).await?;
        let mut busy = connect(cluster(0)).await?;
        let mut open = busy.begin().await?;
        sqlx::query("INSERT INTO entry VALUES (1, 1)")
            .execute(&mut *open)
            .await?;
        sleep(seconds(60)).await;
        let (busy, idle) = (
            open.commit().await.unwrap_err(),
            post(&mut idle, 2).await.unwrap_err(),
        );
        notes.lock().unwrap().push((sqlstate(&busy), sqlstate(&idle)));
        Ok(())
    });
    world
        .client(teller)
        .link("*", "*", Link::delay(Duration::from_millis(1)))
        .fault(aurora(1, global_failover(false)).at(seconds(20)))
        .run_until_done(seconds(100))
        .unwrap();
    let told = notes.lock().unwrap().pop().unwrap();
    assert_eq!(told, ("57P01".to_owned(), "25006".to_owned()));
}

#[test]
fn what_the_old_writer_undid_stays_undone_under_the_new_one() {
    let notes = Notes::default();
    let (world, _) = three(10);
    let teller = client("teller", 0, &notes, |notes| async move {
        let mut old = open_ledger(0).await?;
        post(&mut old, 1).await?;
        for _ in 0..5 {
            let mut undone = old.begin().await?;
            sqlx::raw_sql("UPDATE entry SET amount = 0 WHERE id = 1; INSERT INTO entry VALUES (2, 2)")
                .execute(&mut *undone)
                .await?;
            undone.rollback().await?;
        }
        sleep(seconds(60)).await;
        // The new writer's transactions have the ids of those that were undone.
        let mut new = connect(cluster(1)).await?;
        for id in 3..10 {
            post(&mut new, id).await?;
        }
        sleep(seconds(10)).await;
        let stayed = entries(&mut old).await?;
        let there = entries(&mut new).await?;
        notes.lock().unwrap().push((stayed, there));
        Ok(())
    });
    world
        .client(teller)
        .fault(aurora(1, global_failover(false)).at(seconds(20)))
        .run_until_done(seconds(100))
        .unwrap();
    let there = vec![1, 3, 4, 5, 6, 7, 8, 9];
    assert_eq!(notes.lock().unwrap().pop(), Some((there.clone(), there)));
}

#[test]
fn an_old_writer_that_was_down_rejoins_on_a_new_volume() {
    let notes = Notes::default();
    let (world, database) = three(9);
    let teller = client("teller", 2, &notes, |notes| async move {
        let mut old = open_ledger(0).await?;
        for id in 0..20 {
            post(&mut old, id).await?;
        }
        sleep(seconds(130)).await;
        let mut new = connect(cluster(1)).await?;
        post(&mut new, 100).await?;
        sleep(seconds(120)).await;
        post(&mut new, 101).await?;
        sleep(seconds(10)).await;
        let mut there = Vec::new();
        for region in 0..3 {
            there.push(entries_when_up(cluster(region)).await);
        }
        notes.lock().unwrap().push(there);
        Ok(())
    });
    world
        .client(teller)
        .fault(
            Fault::region_loss(REGIONS[0])
                .at(seconds(20))
                .lasting(seconds(150)),
        )
        .fault(aurora(1, global_failover(true)).at(seconds(25)))
        .run_until_done(seconds(400))
        .unwrap();
    let there = notes.lock().unwrap().pop().unwrap();
    assert_eq!(there[1].len(), 22);
    assert_eq!((&there[0], &there[2]), (&there[1], &there[1]));
    assert_eq!(database.writers(), [REGIONS[1]]);
}
