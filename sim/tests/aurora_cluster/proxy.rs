//! RDS Proxy before a cluster: what is shared, what pins, and what a failover does to its clients.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use sqlx::{Connection, Row};
use sumzero_sim::aws::aurora::cluster::proxy::{Options, Pin, Proxy};
use sumzero_sim::fault::ServiceFault;
use sumzero_sim::{Host, World};
use tokio::net::TcpListener;
use tokio::time::{Instant, sleep};

use crate::stage::*;

const PROXY: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::new(10, 9, 0, 1)), 5432);

/// A world with one Region and a proxy of so many connections before its cluster endpoint.
fn proxied(seed: u64, connections: usize, borrow_timeout: Duration) -> (World, Proxy) {
    let (cluster_alone, _) = world(seed, config(seed, 1));
    let proxy = Proxy::new(Options {
        connections_max: connections,
        borrow_timeout,
        ..Options::new(cluster(0))
    });
    let serving = proxy.clone();
    let host = Host::new("proxy")
        .region(REGIONS[0])
        .ip(Ipv4Addr::new(10, 9, 0, 1))
        .run(move || {
            let proxy = serving.clone();
            async move { proxy.serve(TcpListener::bind("0.0.0.0:5432").await?).await }
        });
    (cluster_alone.host(host), proxy)
}

/// Twenty clients, each with a connection of its own, post ten entries in blocks.
async fn crowd(address: SocketAddr) -> Vec<String> {
    let clients = (0..20).map(|client| async move {
        let mut heard = Vec::new();
        let mut connection = match connect(address).await {
            Ok(connection) => connection,
            Err(error) => return vec![sqlstate(&error)],
        };
        for n in 0..10 {
            let posted = async {
                let mut block = connection.begin().await?;
                let insert = sqlx::query("INSERT INTO entry VALUES ($1, $2)");
                insert
                    .bind(client * 100 + n)
                    .bind(client)
                    .execute(&mut *block)
                    .await?;
                let read = sqlx::query("SELECT amount FROM entry WHERE id = $1").bind(client * 100 + n);
                let amount: i64 = read.fetch_one(&mut *block).await?.get(0);
                assert_eq!(amount, client);
                // Every third statement fails, on a connection that others use next.
                if n % 3 == 2 {
                    let twice = sqlx::query("INSERT INTO entry VALUES ($1, $2)")
                        .bind(client * 100 + n)
                        .bind(0_i64);
                    assert_eq!(sqlstate(&twice.execute(&mut *block).await.unwrap_err()), "23505");
                    return block.rollback().await;
                }
                block.commit().await
            };
            heard.push(
                posted
                    .await
                    .map_or_else(|error| sqlstate(&error), |()| "ok".to_owned()),
            );
            sleep(Duration::from_millis(10)).await;
        }
        heard
    });
    futures::future::join_all(clients).await.concat()
}

#[test]
fn many_clients_share_few_connections() {
    let notes = Notes::default();
    let (shared, proxy) = proxied(1, 3, seconds(20));
    let clients = client("clients", 0, &notes, |notes| async move {
        open_ledger(0).await?;
        let heard = crowd(PROXY).await;
        let there = entries(&mut connect(cluster(0)).await?).await?.len();
        notes.lock().unwrap().push((heard, there));
        Ok(())
    });
    shared.client(clients).run_until_done(seconds(120)).unwrap();
    let (heard, there) = notes.lock().unwrap().pop().unwrap();
    assert!(heard.iter().all(|heard| heard == "ok"), "{heard:?}");
    assert_eq!((heard.len(), there), (200, 140));
    let counters = proxy.counters();
    assert_eq!(
        (counters.connections_max, counters.pinned, counters.timeouts),
        (3, 0, 0)
    );
    assert!(counters.pins.is_empty() && counters.clients == 0, "{counters:?}");
    // Without the proxy so many clients do not fit.
    let notes = Notes::default();
    let mut config = config(1, 1);
    config.instance.connections_max = 3;
    let (unproxied, _) = world(1, config);
    let clients = client("clients", 0, &notes, |notes| async move {
        open_ledger(0).await?;
        let heard = crowd(cluster(0)).await;
        notes.lock().unwrap().push(heard);
        Ok(())
    });
    unproxied.client(clients).run_until_done(seconds(120)).unwrap();
    assert!(notes.lock().unwrap().pop().unwrap().contains(&"53300".to_owned()));
}

/// Says these statements on one connection through a proxy with a single connection, stays, and answers what another client
/// then hears and how long that took.
fn beside(statements: &'static str) -> (String, Duration, Proxy) {
    let notes = Notes::default();
    let (world, proxy) = proxied(2, 1, seconds(20));
    let clients = client("clients", 0, &notes, move |notes| async move {
        let mut first = connect(PROXY).await?;
        sqlx::raw_sql("CREATE TABLE t (a int); CREATE SEQUENCE s")
            .execute(&mut first)
            .await?;
        sqlx::raw_sql(statements).execute(&mut first).await?;
        let began = Instant::now();
        let mut second = connect_patiently(PROXY).await;
        let heard = match &mut second {
            Ok(second) => sqlx::query("SELECT 1").execute(second).await.map(|_| ()),
            Err(error) => Err(std::mem::replace(error, sqlx::Error::PoolClosed)),
        };
        let waited = began.elapsed();
        let timeout: String = sqlx::query_scalar("SHOW statement_timeout")
            .fetch_one(&mut first)
            .await?;
        drop(first);
        // Nothing of the first session is left for the next.
        sleep(seconds(1)).await;
        let mut third = connect(PROXY).await?;
        let after: String = sqlx::query_scalar("SHOW statement_timeout")
            .fetch_one(&mut third)
            .await?;
        assert_eq!(after, "0");
        let heard = heard.map_or_else(|error| sqlstate(&error), |()| "ok".to_owned());
        notes.lock().unwrap().push((heard, waited, timeout));
        Ok(())
    });
    world.client(clients).run_until_done(seconds(120)).unwrap();
    let (heard, waited, timeout) = notes.lock().unwrap().pop().unwrap();
    let set = statements.starts_with("SET statement_timeout");
    assert_eq!(timeout == "7s", set, "{statements}: {timeout}");
    (heard, waited, proxy)
}

#[test]
fn what_stays_behind_pins_a_session_until_its_client_leaves() {
    for (statements, pin) in [
        ("SET statement_timeout = '7s'", Pin::Setting),
        ("PREPARE p AS SELECT 1", Pin::PreparedStatement),
        ("CREATE TEMP TABLE scratch (a int)", Pin::Temporary),
        ("SELECT pg_advisory_lock(7)", Pin::AdvisoryLock),
        ("SELECT nextval('s')", Pin::Sequence),
    ] {
        let (heard, waited, proxy) = beside(statements);
        assert_eq!(
            (heard.as_str(), waited >= seconds(20)),
            ("53300", true),
            "{statements}: {waited:?}"
        );
        let counters = proxy.counters();
        assert_eq!(counters.pins.get(&pin), Some(&1), "{statements}: {counters:?}");
        assert_eq!((counters.pinned, counters.timeouts), (0, 1), "{statements}");
    }
    for statements in [
        "BEGIN; SET LOCAL statement_timeout = '7s'; COMMIT",
        "BEGIN; SELECT pg_advisory_xact_lock(7); COMMIT",
        "INSERT INTO t VALUES (1)",
    ] {
        let (heard, waited, proxy) = beside(statements);
        assert_eq!(
            (heard.as_str(), waited < seconds(1)),
            ("ok", true),
            "{statements}: {waited:?}"
        );
        assert!(proxy.counters().pins.is_empty());
    }
}

#[test]
fn an_idle_client_lives_through_a_failover_and_a_busy_one_does_not() {
    let notes = Notes::default();
    let (world, proxy) = proxied(3, 5, seconds(90));
    let clients = client("clients", 0, &notes, |notes| async move {
        open_ledger(0).await?;
        let (mut idle, mut busy) = (connect(PROXY).await?, connect(PROXY).await?);
        post(&mut idle, 1).await?;
        let mut block = busy.begin().await?;
        sqlx::query("INSERT INTO entry VALUES (2, 2)")
            .execute(&mut *block)
            .await?;
        sleep(seconds(15)).await;
        let broken = sqlstate(&block.commit().await.unwrap_err());
        let began = Instant::now();
        sqlx::query("INSERT INTO entry VALUES (3, 3)")
            .execute(&mut idle)
            .await?;
        let waited = began.elapsed();
        let there = entries(&mut connect(cluster(0)).await?).await?;
        notes.lock().unwrap().push((broken, waited, there));
        Ok(())
    });
    let failover = aurora(0, ServiceFault::FailOverCluster {}).at(seconds(10));
    world
        .client(clients)
        .fault(failover)
        .run_until_done(seconds(200))
        .unwrap();
    let (broken, waited, there) = notes.lock().unwrap().pop().unwrap();
    assert_eq!((broken.as_str(), there), ("no answer", vec![1, 3]));
    assert!(waited > seconds(10), "{waited:?}");
    assert_eq!((proxy.counters().pinned, proxy.counters().timeouts), (0, 0));
}
