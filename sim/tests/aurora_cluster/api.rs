//! The RDS API inside a world, through an ordinary HTTP client: a failover controller in another Region.

use std::time::Duration;

use sumzero_sim::aws::wire::basic_iso8601;
use sumzero_sim::fault::{ServiceFault, Target};
use sumzero_sim::{Fault, Host};
use tokio::time::sleep;

use crate::stage::*;

/// Calls an action in a Region; the status and the body, or nothing.
async fn call(region: usize, form: &str) -> Option<(u16, String)> {
    let date = basic_iso8601(std::time::SystemTime::now());
    let scope = format!("{}/{}/rds/aws4_request", &date[..8], REGIONS[region]);
    let client = reqwest::Client::new();
    let request = client
        .post(format!("http://{}:{API}/", cluster(region).ip()))
        .header("content-type", "application/x-www-form-urlencoded")
        .header("x-amz-date", &date)
        .header(
            "authorization",
            format!("AWS4-HMAC-SHA256 Credential=KEY/{scope}, SignedHeaders=host;x-amz-date, Signature=0"),
        )
        .timeout(seconds(5))
        .body(format!("{form}&Version=2014-10-31"));
    let answer = request.send().await.ok()?;
    Some((answer.status().as_u16(), answer.text().await.ok()?))
}

fn failover_to(region: usize) -> String {
    let region = REGIONS[region];
    let target = format!("arn%3Aaws%3Ards%3A{region}%3A123456789012%3Acluster%3Aledger-{region}");
    format!(
        "Action=FailoverGlobalCluster&GlobalClusterIdentifier=ledger&TargetDbClusterIdentifier={target}&AllowDataLoss=true"
    )
}

#[test]
fn a_controller_fails_over_when_the_writers_region_is_gone() {
    let notes = Notes::default();
    let (world, database) = world(1, config(1, 3));
    let controller = client("controller", 1, &notes, |notes| async move {
        let mut old = open_ledger(0).await?;
        post(&mut old, 1).await?;
        sleep(seconds(30)).await;
        assert_eq!(call(0, "Action=DescribeGlobalClusters").await, None, "it is gone");
        let (status, body) = call(1, &failover_to(1)).await.expect("an answer");
        assert_eq!(
            (status, body.contains("<Status>failing-over</Status>")),
            (200, true),
            "{body}"
        );
        let (status, body) = call(2, &failover_to(1)).await.expect("an answer");
        assert_eq!(
            (status, body.contains("InvalidGlobalClusterStateFault")),
            (400, true),
            "{body}"
        );
        let mut waited = 0;
        loop {
            let (_, body) = call(1, "Action=DescribeGlobalClusters").await.expect("an answer");
            if body.contains("<Status>available</Status>") {
                break;
            }
            waited += 1;
            sleep(seconds(1)).await;
        }
        post(&mut connect(cluster(1)).await?, 2).await?;
        notes.lock().unwrap().push(waited);
        Ok(())
    });
    let loss = Fault::region_loss(REGIONS[0])
        .at(seconds(20))
        .lasting(seconds(200));
    world
        .client(controller)
        .fault(loss)
        .run_until_done(seconds(300))
        .unwrap();
    let waited = notes.lock().unwrap().pop().unwrap();
    assert!((58..92).contains(&waited), "{waited} s");
    assert_eq!(database.writer(), REGIONS[1]);
}

#[test]
fn a_target_out_of_reach_is_refused_and_nothing_changes() {
    let (world, database) = world(2, config(2, 3));
    let controller = Host::new("controller").region(REGIONS[0]).run(|| async {
        sleep(seconds(10)).await;
        let (status, body) = call(0, &failover_to(1)).await.expect("an answer");
        assert_eq!((status, body.contains("does not answer")), (400, true), "{body}");
        let (_, body) = call(0, "Action=DescribeGlobalClusters").await.expect("an answer");
        assert!(body.contains("<Status>available</Status>"), "{body}");
    });
    let cut = Fault::partition(REGIONS[0], REGIONS[1])
        .at(seconds(5))
        .lasting(seconds(60));
    world
        .client(controller)
        .fault(cut)
        .run_until_done(seconds(100))
        .unwrap();
    assert_eq!(database.writer(), REGIONS[0]);
}

#[test]
fn faults_strike_the_api_and_a_lost_answer_is_a_failover_all_the_same() {
    let (mut world, database) = world(3, config(3, 2));
    let controller = Host::new("controller").region(REGIONS[1]).run(|| async {
        sleep(seconds(10)).await;
        let (status, body) = call(1, "Action=DescribeDBClusters").await.expect("an answer");
        assert_eq!(
            (status, body.contains("<Code>Throttling</Code>")),
            (400, true),
            "{body}"
        );
        assert_eq!(call(1, &failover_to(1)).await, None);
        sleep(seconds(120)).await;
    });
    for fault in [
        ServiceFault::Throttle {
            target: Target::operation("DescribeDBClusters"),
        },
        ServiceFault::LoseAnswer {
            target: Target::operation("FailoverGlobalCluster"),
        },
    ] {
        world = world.fault(aurora(1, fault).at(Duration::from_secs(1)));
    }
    let outcome = world.client(controller).run_until_done(seconds(200)).unwrap();
    assert!(
        outcome.faults.iter().all(|fault| fault.bites == 1),
        "{:?}",
        outcome.faults
    );
    assert_eq!(database.writer(), REGIONS[1]);
}

#[test]
fn bad_requests_are_refused_by_name() {
    let (world, database) = world(4, config(4, 2));
    let client = Host::new("client").region(REGIONS[0]).run(|| async {
        for (form, status, code) in [
            ("Action=FailoverGlobalCluster", 400, "MissingParameter"),
            ("Action=Nonsense", 400, "InvalidAction"),
            ("Nothing=here", 400, "MissingAction"),
            ("Action=%zz", 400, "MalformedQueryString"),
            (
                "Action=FailoverGlobalCluster&GlobalClusterIdentifier=ledger&TargetDbClusterIdentifier=x&AllowDataLoss=yes",
                400,
                "InvalidParameterValue",
            ),
        ] {
            let (told, body) = call(0, form).await.expect("an answer");
            assert_eq!((told, body.contains(&format!("<Code>{code}</Code>"))), (status, true), "{form}: {body}");
        }
        let url = format!("http://{}:{API}/", cluster(0).ip());
        let unsigned = reqwest::Client::new().post(url).body("Action=DescribeDBClusters&Version=2014-10-31");
        let answer = unsigned.send().await.expect("an answer");
        assert_eq!(answer.status().as_u16(), 403);
    });
    world.client(client).run_until_done(seconds(60)).unwrap();
    assert_eq!(database.writer(), REGIONS[0]);
}
