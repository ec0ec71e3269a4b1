//! Aurora's faults, each as data in a plan, with what a client sees and how often it bit.

use std::time::Duration;

use sqlx::Connection;
use sumzero_sim::fault::{Outage, ServiceFault, Target};
use tokio::time::{Instant, sleep, timeout};

use crate::stage::*;

/// What 20 entries' clients heard, the entries there afterwards, the longest time that one took, and the fault's bites. Each
/// entry is posted on its own connection, in a block, while the fault is in force.
fn posted_under(seed: u64, fault: Option<ServiceFault>) -> (Vec<String>, Vec<i64>, Duration, u64) {
    let notes = Notes::default();
    let (mut world, _) = world(seed, config(seed, 1));
    let teller = client("teller", 0, &notes, |notes| async move {
        open_ledger(0).await?;
        sleep(seconds(10)).await;
        let (mut heard, mut longest) = (Vec::new(), Duration::ZERO);
        for id in 0..20 {
            let began = Instant::now();
            let posted = timeout(seconds(30), post_in_block(id)).await;
            heard.push(match posted {
                Ok(Ok(())) => "committed".to_owned(),
                Ok(Err(error)) => sqlstate(&error),
                Err(_) => "silence".to_owned(),
            });
            longest = longest.max(began.elapsed());
            sleep(Duration::from_millis(200)).await;
        }
        sleep(seconds(700)).await;
        let there = entries_when_up(cluster(0)).await;
        notes.lock().unwrap().push((heard, there, longest));
        Ok(())
    });
    if let Some(fault) = fault {
        world = world.fault(aurora(0, fault).at(seconds(5)).lasting(seconds(650)));
    }
    let outcome = world.client(teller).run_until_done(seconds(2_000)).unwrap();
    let bites = outcome.faults.first().map_or(0, |fault| fault.bites);
    let (heard, there, longest) = notes.lock().unwrap().pop().unwrap();
    (heard, there, longest, bites)
}

async fn post_in_block(id: i64) -> Result<(), sqlx::Error> {
    let mut connection = connect(cluster(0)).await?;
    let mut block = connection.begin().await?;
    sqlx::query("INSERT INTO entry VALUES ($1, 10)")
        .bind(id)
        .execute(&mut *block)
        .await?;
    block.commit().await
}

/// The entries whose client heard this.
fn heard(of: &[String], what: &str) -> Vec<i64> {
    let entries = (0..).zip(of).filter(|(_, heard)| *heard == what);
    entries.map(|(id, _)| id).collect()
}

#[test]
fn without_a_fault_every_entry_is_there() {
    let (told, there, longest, _) = posted_under(1, None);
    assert_eq!(heard(&told, "committed"), there);
    assert_eq!(there.len(), 20);
    assert!(longest < seconds(1), "{longest:?}");
}

#[test]
fn a_crash_during_commit_tells_nobody_whether_it_was_applied() {
    let crash = |applied| ServiceFault::CrashDuringCommit {
        probability: 1.0,
        applied,
        times: Some(1),
    };
    for (applied, expected) in [(1.0, vec![0]), (0.0, vec![])] {
        let (told, there, _, bites) = posted_under(2, Some(crash(applied)));
        assert_eq!((told[0].as_str(), bites), ("no answer", 1));
        let mut committed = heard(&told, "committed");
        committed.extend(&expected);
        committed.sort_unstable();
        assert_eq!(there, committed);
    }
    let applied: Vec<bool> = (0..10)
        .map(|seed| posted_under(seed, Some(crash(0.5))).1.contains(&0))
        .collect();
    assert!(applied.contains(&true) && applied.contains(&false), "{applied:?}");
}

#[test]
fn a_lost_answer_to_commit_leaves_the_entry_and_the_instance() {
    let target = Target::operation("COMMIT").probability(0.5);
    let (told, there, _, bites) = posted_under(3, Some(ServiceFault::LoseAnswer { target }));
    let lost = heard(&told, "no answer").len() as u64;
    assert!(lost > 0 && lost < 20 && lost == bites, "{told:?}, {bites} bites");
    assert_eq!(there.len(), 20);
}

#[test]
fn a_lost_answer_to_a_statement_outside_a_block_leaves_its_work() {
    let notes = Notes::default();
    let (world, _) = world(4, config(4, 1));
    let teller = client("teller", 0, &notes, |notes| async move {
        let mut connection = open_ledger(0).await?;
        sleep(seconds(10)).await;
        let heard = sqlstate(&post(&mut connection, 1).await.unwrap_err());
        let there = entries_when_up(cluster(0)).await;
        notes.lock().unwrap().push((heard, there));
        Ok(())
    });
    let target = Target::operation("INSERT");
    let lost = aurora(0, ServiceFault::LoseAnswer { target }).at(seconds(5));
    world
        .client(teller)
        .fault(lost)
        .run_until_done(seconds(60))
        .unwrap();
    assert_eq!(
        notes.lock().unwrap().pop(),
        Some(("no answer".to_owned(), vec![1]))
    );
}

#[test]
fn a_connection_storm_refuses_with_53300() {
    let (told, there, _, bites) = posted_under(5, Some(ServiceFault::ConnectionStorm { connections: 100 }));
    assert_eq!((heard(&told, "53300").len(), there.len(), bites), (20, 0, 20));
    let (told, ..) = posted_under(5, Some(ServiceFault::ConnectionStorm { connections: 50 }));
    assert_eq!(heard(&told, "committed").len(), 20, "there is room for one more");
}

#[test]
fn a_slow_disk_makes_commits_late_and_nothing_else() {
    let slow = ServiceFault::SlowDisk {
        min: seconds(2),
        max: seconds(3),
    };
    let (told, there, longest, bites) = posted_under(6, Some(slow));
    assert_eq!(
        (heard(&told, "committed").len(), there.len(), bites),
        (20, 20, 20)
    );
    assert!((2..4).contains(&longest.as_secs()), "{longest:?}");
}

#[test]
fn a_full_disk_refuses_writes_with_53100_and_reads_go_on() {
    let (told, there, _, bites) = posted_under(7, Some(ServiceFault::DiskFull {}));
    assert_eq!((heard(&told, "53100").len(), there), (20, vec![]));
    assert!(bites >= 20);
}

#[test]
fn a_statement_is_killed_alone_or_with_its_session() {
    for (session, code) in [(false, "57014"), (true, "57P01")] {
        let fault = ServiceFault::KillStatement {
            target: Target::operation("INSERT").times(5),
            session,
        };
        let (told, there, _, bites) = posted_under(8, Some(fault));
        assert_eq!((heard(&told, code), bites), (vec![0, 1, 2, 3, 4], 5), "{told:?}");
        assert_eq!(there, (5..20).collect::<Vec<_>>());
    }
    // A commit can be killed too, and then it has not happened.
    let fault = ServiceFault::KillStatement {
        target: Target::operation("COMMIT").times(1),
        session: true,
    };
    let (told, there, ..) = posted_under(8, Some(fault));
    assert_eq!((told[0].as_str(), there), ("57P01", (1..20).collect()));
}

#[test]
fn an_outage_refuses_hangs_up_or_says_nothing() {
    for (outage, expected) in [
        (Outage::Refuse, "57P03"),
        (Outage::Hangup, "no answer"),
        (Outage::Silence, "no answer"),
    ] {
        let (told, there, longest, _) = posted_under(9, Some(ServiceFault::Unavailable { outage }));
        assert_eq!((heard(&told, expected).len(), there.len()), (20, 0), "{told:?}");
        assert_eq!(longest >= seconds(3), outage == Outage::Silence);
    }
}

#[test]
fn what_aurora_cannot_suffer_is_refused_by_name() {
    let (world, _) = world(10, config(10, 1));
    let fault = aurora(0, ServiceFault::MissMessages { probability: 0.5 }).at(seconds(1));
    let refused = world.fault(fault).run_until(seconds(2)).unwrap_err().to_string();
    assert!(
        refused.contains("miss-messages") && refused.contains("Aurora"),
        "{refused}"
    );
    let json = r#"{"crash-during-commit":{"probability":0.5,"applied":0.5}}"#;
    let fault: ServiceFault = serde_json::from_str(json).unwrap();
    assert_eq!(serde_json::to_string(&fault).unwrap(), json);
}
