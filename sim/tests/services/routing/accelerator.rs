//! The accelerator: connections go to the nearest healthy Region and stay there.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use sumzero_sim::aws::routing::accelerator::{
    Accelerator, ControlEndpoint, EndpointGroup, HealthCheck, Options, Probe,
};
use sumzero_sim::aws::routing::{self, Configuration, Convergence, Endpoint};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};

use crate::clients::{self, REGION};
use crate::stage::{Stage, Trouble, in_both_places};

in_both_places!(checked_by_connecting => a_region_that_cannot_be_reached_is_unhealthy);
in_both_places!(checked_by_http => new_connections_shift_and_old_ones_stay);
in_both_places!(checked_rarely => until_the_threshold_clients_suffer);
in_both_places!(with_controls => a_routing_control_moves_traffic_and_a_lost_cluster_leaves_it);

const LONG: Duration = Duration::from_secs(3_000);

/// Two Regions behind one accelerator, and perhaps a routing-control cluster of one: who agrees is tested elsewhere.
#[derive(Clone)]
struct Scene {
    accelerator: Accelerator,
    address: SocketAddr,
    controls: Option<SocketAddr>,
    trouble: Trouble,
}

fn checked_by_connecting(stage: &mut Stage) -> Scene {
    scene(stage, quick(Probe::Tcp), false)
}

fn checked_by_http(stage: &mut Stage) -> Scene {
    scene(stage, quick(Probe::Http("/health".into())), false)
}

fn checked_rarely(stage: &mut Stage) -> Scene {
    let health = HealthCheck {
        interval: Duration::from_secs(60),
        ..quick(Probe::Tcp)
    };
    scene(stage, health, false)
}

fn with_controls(stage: &mut Stage) -> Scene {
    scene(stage, quick(Probe::Tcp), true)
}

fn quick(probe: Probe) -> HealthCheck {
    HealthCheck {
        interval: Duration::from_millis(40),
        threshold: 3,
        timeout: Duration::from_millis(200),
        probe,
    }
}

fn server(region: &str) -> String {
    format!("server-{region}")
}

fn configuration() -> Configuration {
    Configuration::of_controls(["east", "west"])
}

fn scene(stage: &mut Stage, health: HealthCheck, controlled: bool) -> Scene {
    let configuration = configuration();
    let mut groups = Vec::new();
    for region in ["east", "west"] {
        let mut address = stage.reserve(region, &server(region), 1)[0];
        // What cuts a way on localhost takes connections all the same.
        if health.probe != Probe::Tcp {
            address = stage.way("accelerator", &server(region), address);
        }
        let letter = region.as_bytes()[0];
        stage.serve(&server(region), move |mut listeners| {
            say(letter, listeners.remove(0))
        });
        groups.push(EndpointGroup {
            region: region.into(),
            endpoints: vec![address],
            routing_control: controlled.then(|| configuration.control_arn("default", region)),
        });
    }
    let controls = controlled.then(|| {
        let addresses = stage.reserve(REGION, "routing", 2);
        let options = routing::Options {
            convergence: Convergence {
                min: Duration::ZERO,
                max: Duration::ZERO,
            },
            ..routing::Options::new(REGION, 0, vec![addresses[1]], configuration)
        };
        let endpoint = Endpoint::new(options).unwrap();
        stage.serve("routing", move |listeners| {
            let [clients, members] = listeners.try_into().unwrap();
            endpoint.clone().serve(clients, members)
        });
        addresses[0]
    });
    let address = stage.reserve("edge", "accelerator", 1)[0];
    let cluster = controls.into_iter().map(|address| ControlEndpoint {
        region: REGION.into(),
        address,
    });
    let accelerator = Accelerator::new(Options {
        groups,
        health,
        cluster: cluster.collect(),
        cluster_poll: Duration::from_millis(30),
        ..Options::default()
    });
    let served = accelerator.clone();
    stage.serve("accelerator", move |mut listeners| {
        served.clone().serve(listeners.remove(0))
    });
    Scene {
        accelerator,
        address,
        controls,
        trouble: stage.trouble(),
    }
}

/// Says its Region's letter for every byte it gets, and answers health checks.
async fn say(letter: u8, listener: TcpListener) -> io::Result<()> {
    loop {
        let (mut tcp, _) = listener.accept().await?;
        tokio::spawn(async move {
            let mut byte = [0];
            while tcp.read_exact(&mut byte).await.is_ok() {
                if byte == *b"G" {
                    // To close with something unread would reset the connection.
                    let _ = tcp.read(&mut [0; 1_024]).await;
                    let _ = tcp.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await;
                    return;
                }
                if tcp.write_all(&[letter]).await.is_err() {
                    return;
                }
            }
        });
    }
}

impl Scene {
    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    async fn until_healthy(&self, region: &str, healthy: bool) {
        for _ in 0..1_000 {
            if self.accelerator.healthy()[region] == healthy {
                return;
            }
            sleep(Duration::from_millis(10)).await;
        }
        panic!(
            "{region} did not become {}healthy within 10 s",
            if healthy { "" } else { "un" }
        );
    }
}

/// The letter of the Region at the other end.
async fn ask(tcp: &mut TcpStream) -> io::Result<char> {
    tcp.write_all(b"?").await?;
    let mut letter = [0];
    let read = tcp.read_exact(&mut letter);
    timeout(Duration::from_secs(1), read).await??;
    Ok(char::from(letter[0]))
}

async fn new_connections_shift_and_old_ones_stay(scene: Scene) {
    let mut old = scene.connect().await;
    assert_eq!(ask(&mut old).await.unwrap(), 'e');
    let mut stays = scene.connect().await;
    assert_eq!(ask(&mut stays).await.unwrap(), 'e');
    // The way to the Region is cut for a while: what is connected waits, what is new goes elsewhere.
    scene
        .trouble
        .cut("accelerator", &["server-east"], Duration::from_secs(2))
        .await;
    scene.until_healthy("east", false).await;
    let mut new = scene.connect().await;
    assert_eq!(ask(&mut new).await.unwrap(), 'w');
    scene.until_healthy("east", true).await;
    assert_eq!(ask(&mut new).await.unwrap(), 'w', "it stays where it is");
    let mut again = scene.connect().await;
    assert_eq!(ask(&mut again).await.unwrap(), 'e');
    // With nothing healthy it fails open, to the nearest.
    for region in ["east", "west"] {
        scene.trouble.kill(&server(region), LONG).await;
        scene.until_healthy(region, false).await;
    }
    let mut open = scene.connect().await;
    assert!(ask(&mut open).await.is_err(), "nobody is there");
    let counts = scene.accelerator.counts();
    assert_eq!((counts.failed_open, counts.shifts), (1, 4));
    assert_eq!(
        counts.connections,
        BTreeMap::from([("east".to_owned(), 4), ("west".to_owned(), 1)])
    );
}

async fn a_region_that_cannot_be_reached_is_unhealthy(scene: Scene) {
    let mut near = scene.connect().await;
    assert_eq!(ask(&mut near).await.unwrap(), 'e');
    scene.trouble.kill("server-east", Duration::from_secs(1)).await;
    scene.until_healthy("east", false).await;
    let mut far = scene.connect().await;
    assert_eq!(ask(&mut far).await.unwrap(), 'w');
    scene.until_healthy("east", true).await;
    let mut near = scene.connect().await;
    assert_eq!(ask(&mut near).await.unwrap(), 'e');
}

async fn until_the_threshold_clients_suffer(scene: Scene) {
    scene.trouble.kill("server-east", LONG).await;
    let mut tcp = scene.connect().await;
    assert!(ask(&mut tcp).await.is_err());
    assert!(scene.accelerator.healthy()["east"], "nobody has noticed yet");
}

async fn a_routing_control_moves_traffic_and_a_lost_cluster_leaves_it(scene: Scene) {
    let client = clients::routing(scene.controls.unwrap());
    let set = |name: &str, state: &str| {
        let update = client
            .update_routing_control_state()
            .routing_control_arn(configuration().control_arn("default", name));
        let update = update.routing_control_state(state.into());
        async move { update.send().await.map(drop).unwrap() }
    };
    set("east", "On").await;
    set("west", "On").await;
    scene.until_healthy("east", true).await;
    let mut tcp = scene.connect().await;
    assert_eq!(ask(&mut tcp).await.unwrap(), 'e');
    set("east", "Off").await;
    scene.until_healthy("east", false).await;
    let mut tcp = scene.connect().await;
    assert_eq!(ask(&mut tcp).await.unwrap(), 'w');
    scene.trouble.kill("routing", LONG).await;
    sleep(Duration::from_millis(300)).await;
    let mut tcp = scene.connect().await;
    assert_eq!(ask(&mut tcp).await.unwrap(), 'w', "the last answer holds");
}
