//! `payments region`: what an operator asks for by plan, and what gateways say of it. The test speaks for the controllers.

use std::{sync::Arc, time::Duration};

use payments::{
    gate::GateConfig,
    ledger::raise_epoch,
    region::{Change, HealthTable, Routing, RoutingTable, State},
};
use sqlx::PgPool;
use time::OffsetDateTime;
use tokio::time::{Instant, sleep};

use crate::system::{Client, Surroundings};

const HOME: &str = "us-east-1";
const OTHER: &str = "us-west-2";
const NEVER_SEEN: &str = "us-east-2";

/// The other Region's gateway answers 200 with this writer, or 503 while there is none.
async fn await_ready(client: &Client, writer: Option<&str>) {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let told = client.get("/readyz").await;
        let is_so = match writer {
            Some(writer) => {
                told.status == 200 && told.json()["region"] == OTHER && told.json()["writer"] == writer
            }
            None => told.status == 503 && told.problem().ends_with("unavailable"),
        };
        if is_so {
            return;
        }
        assert!(Instant::now() < deadline, "{writer:?}: {told:?}");
        sleep(Duration::from_millis(100)).await;
    }
}

/// Waits for a decision that the controllers are to carry out.
async fn await_decision(table: &RoutingTable) -> Routing {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let routing = table.read().await.unwrap();
        if routing.state != State::Open {
            return routing;
        }
        assert!(Instant::now() < deadline, "nothing is decided");
        sleep(Duration::from_millis(50)).await;
    }
}

/// The controllers' last step: somebody writes.
async fn open(table: &RoutingTable, decided: Routing, writer: &str) {
    let opened = Routing {
        version: decided.version + 1,
        writer: writer.to_owned(),
        state: State::Open,
        decided_at: OffsetDateTime::now_utc(),
        ..decided
    };
    let changed = table.change(opened).await.unwrap();
    assert!(matches!(changed, Change::Won(_)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_region_is_left_and_returned_to_by_plan_and_only_where_another_can_serve() {
    let set_up = || Surroundings::start("fsync = off");
    let surroundings = Arc::new(tokio::task::spawn_blocking(set_up).await.unwrap());
    let does = |words: &[&str]| {
        let words = [&["region"], words].concat();
        tokio::task::block_in_place(|| surroundings.program(&words))
    };
    let refuses = |words: &[&str]| {
        let words = [&["region"], words].concat();
        tokio::task::block_in_place(|| surroundings.program_fails(&words))
    };
    let table = RoutingTable::new(
        surroundings.dynamodb(),
        &GateConfig::default().table,
        RoutingTable::LEDGER,
    );
    let health = HealthTable::new(table.clone());
    let first = table.read().await.unwrap();
    assert!(does(&["status"]).contains("is open in us-east-1, epoch 1, version 1"));

    // Nobody is sent to where nobody says that it is well, and nothing is left that nobody knows.
    health.report(HOME, true, None).await.unwrap();
    health.report(OTHER, false, None).await.unwrap();
    for (words, why) in [
        (["evacuate", NEVER_SEEN, "--to", HOME], "has ever reported"),
        (["evacuate", HOME, "--to", OTHER], "says that it is well"),
        (["evacuate", HOME, "--to", NEVER_SEEN], "says that it is well"),
        (["evacuate", HOME, "--to", HOME], "name another Region"),
    ] {
        let refused = refuses(&words);
        assert!(refused.contains(why), "{words:?}: {refused}");
    }
    assert_eq!(table.read().await.unwrap(), first);

    // A Region that does not write: only clients leave it.
    let away = format!("clients are not sent to {OTHER}: evacuated");
    assert!(does(&["evacuate", OTHER, "--to", HOME]).contains(&away));
    assert!(does(&["evacuate", OTHER, "--to", HOME]).contains("is out of service already"));
    let status = does(&["status"]);
    assert!(
        status.contains(&away) && status.contains("us-west-2: ill, 1 reports"),
        "{status}"
    );
    assert!(refuses(&["return", OTHER, "--standby"]).contains("says that it is well"));
    health.report(OTHER, true, None).await.unwrap();
    assert!(!does(&["return", OTHER, "--standby"]).contains("not sent to"));
    assert!(does(&["return", OTHER, "--standby"]).contains("are sent to us-west-2 already"));
    assert!(does(&["return", HOME]).contains("writes the ledger already"));

    // The one that writes: the command lasts until the other one does, and nobody is ready meanwhile.
    let gateway = surroundings.process(&["--roles", "gateway", "--region", OTHER]);
    let client = Client::new(gateway.address, &surroundings.api_key);
    await_ready(&client, Some(HOME)).await;
    let pool = PgPool::connect_lazy(&surroundings.postgres.url("postgres", "ledger")).unwrap();
    let beside = Arc::clone(&surroundings);
    let evacuation =
        tokio::task::spawn_blocking(move || beside.program(&["region", "evacuate", HOME, "--to", OTHER]));
    let decided = await_decision(&table).await;
    let (writer, before) = (decided.writer.as_str(), decided.before.as_deref());
    assert_eq!((writer, before, decided.epoch), (OTHER, Some(HOME), 2));
    assert!(decided.planned);
    assert!(refuses(&["return", HOME]).contains("the ledger is not open"));
    await_ready(&client, None).await;
    raise_epoch(&pool, 2, OTHER).await.unwrap();
    open(&table, decided, OTHER).await;
    await_ready(&client, Some(OTHER)).await;
    let printed = evacuation.await.unwrap();
    for line in [
        "is failing-over in us-west-2",
        "is open in us-west-2",
        "clients are not sent to us-east-1: evacuated",
    ] {
        assert!(printed.contains(line), "{printed}");
    }

    // Back again; but the controllers give it up. A gateway whose database is is still of the epoch before is not ready.
    let beside = Arc::clone(&surroundings);
    let returned = tokio::task::spawn_blocking(move || beside.program_fails(&["region", "return", HOME]));
    let decided = await_decision(&table).await;
    open(&table, decided, OTHER).await;
    await_ready(&client, None).await;
    raise_epoch(&pool, 3, OTHER).await.unwrap();
    await_ready(&client, Some(OTHER)).await;
    let gave_up = returned.await.unwrap();
    assert!(
        gave_up.contains("us-east-1 did not become the writer"),
        "{gave_up}"
    );
    assert!(gateway.terminate());
}
