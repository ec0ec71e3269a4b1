//! The accelerator on real sockets: connections go to the nearest healthy Region and stay there.

#![cfg(feature = "routing")]

mod messaging;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use sumzero_sim::aws::routing::accelerator::{
    Accelerator, ControlEndpoint, EndpointGroup, HealthCheck, Options, Probe,
};
use sumzero_sim::aws::routing::{self, Configuration, Convergence, Endpoint};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use messaging::{REGION, listen};

/// Says its Region's letter for every byte it gets, and answers health checks.
struct Region {
    address: SocketAddr,
    serving: JoinHandle<()>,
}

async fn region(letter: u8, listener: TcpListener) -> Region {
    let address = listener.local_addr().unwrap();
    let serving = tokio::spawn(async move {
        while let Ok((mut tcp, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut byte = [0];
                while tcp.read_exact(&mut byte).await.is_ok() {
                    if byte == *b"G" {
                        let _ = tcp.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await;
                        return;
                    }
                    if tcp.write_all(&[letter]).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    Region { address, serving }
}

fn group(region: &str, address: SocketAddr, control: Option<String>) -> EndpointGroup {
    EndpointGroup {
        region: region.into(),
        endpoints: vec![address],
        routing_control: control,
    }
}

fn quick(probe: Probe) -> HealthCheck {
    HealthCheck {
        interval: Duration::from_millis(40),
        threshold: 3,
        timeout: Duration::from_millis(200),
        probe,
    }
}

async fn serve(accelerator: &Accelerator) -> SocketAddr {
    let (listener, _) = listen().await;
    let address = listener.local_addr().unwrap();
    tokio::spawn(accelerator.clone().serve(listener));
    address
}

/// The letter of the Region at the other end.
async fn ask(tcp: &mut TcpStream) -> std::io::Result<char> {
    tcp.write_all(b"?").await?;
    let mut letter = [0];
    tcp.read_exact(&mut letter).await?;
    Ok(char::from(letter[0]))
}

async fn until(mut done: impl FnMut() -> bool) {
    for _ in 0..500 {
        if done() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("not within 5 s");
}

#[tokio::test]
async fn new_connections_shift_and_old_ones_stay() {
    for probe in [Probe::Tcp, Probe::Http("/health".into())] {
        let (east, west) = (
            region(b'e', listen().await.0).await,
            region(b'w', listen().await.0).await,
        );
        let accelerator = Accelerator::new(Options {
            groups: vec![
                group("east", east.address, None),
                group("west", west.address, None),
            ],
            health: quick(probe),
            ..Options::default()
        });
        let address = serve(&accelerator).await;
        let mut old = TcpStream::connect(address).await.unwrap();
        assert_eq!(ask(&mut old).await.unwrap(), 'e');
        // The Region takes no new connection, but keeps those that it has.
        east.serving.abort();
        until(|| !accelerator.healthy()["east"]).await;
        let mut new = TcpStream::connect(address).await.unwrap();
        assert_eq!(ask(&mut new).await.unwrap(), 'w');
        assert_eq!(ask(&mut old).await.unwrap(), 'e');
        // With nothing healthy it fails open, to the nearest.
        west.serving.abort();
        until(|| !accelerator.healthy()["west"]).await;
        let mut open = TcpStream::connect(address).await.unwrap();
        assert!(ask(&mut open).await.is_err(), "nobody is there");
        let counts = accelerator.counts();
        assert_eq!((counts.failed_open, counts.unreachable, counts.shifts), (1, 1, 2));
        assert_eq!(
            counts.connections,
            BTreeMap::from([("east".to_owned(), 2), ("west".to_owned(), 1)])
        );
        let back = region(b'E', TcpListener::bind(east.address).await.unwrap()).await;
        until(|| accelerator.healthy()["east"]).await;
        let mut again = TcpStream::connect(address).await.unwrap();
        assert_eq!(ask(&mut again).await.unwrap(), 'E');
        drop(back);
    }
}

#[tokio::test]
async fn until_the_threshold_clients_suffer() {
    let (east, west) = (
        region(b'e', listen().await.0).await,
        region(b'w', listen().await.0).await,
    );
    let health = HealthCheck {
        interval: Duration::from_secs(60),
        ..quick(Probe::Tcp)
    };
    let groups = vec![
        group("east", east.address, None),
        group("west", west.address, None),
    ];
    let accelerator = Accelerator::new(Options {
        groups,
        health,
        ..Options::default()
    });
    let address = serve(&accelerator).await;
    east.serving.abort();
    tokio::time::sleep(Duration::from_millis(50)).await;
    let mut tcp = TcpStream::connect(address).await.unwrap();
    assert!(ask(&mut tcp).await.is_err());
    assert!(accelerator.counts().unreachable >= 1);
}

#[tokio::test]
async fn a_routing_control_moves_traffic_and_a_lost_cluster_leaves_it() {
    let (east, west) = (
        region(b'e', listen().await.0).await,
        region(b'w', listen().await.0).await,
    );
    let configuration = Configuration::of_controls(["east", "west"]);
    let arn = |name: &str| configuration.control_arn("default", name);
    // A cluster of one is enough here: who agrees is tested elsewhere.
    let (members, _) = listen().await;
    let options = routing::Options {
        convergence: Convergence {
            min: Duration::ZERO,
            max: Duration::ZERO,
        },
        ..routing::Options::new(
            REGION,
            0,
            vec![members.local_addr().unwrap()],
            configuration.clone(),
        )
    };
    let endpoint = Endpoint::new(options).unwrap();
    let (clients, url) = listen().await;
    let cluster = vec![ControlEndpoint {
        region: REGION.into(),
        address: clients.local_addr().unwrap(),
    }];
    let serving = tokio::spawn(endpoint.serve(clients, members));
    let client = messaging::routing(&url);
    let set = |name: &str, state: &str| {
        let update = client
            .update_routing_control_state()
            .routing_control_arn(arn(name));
        let update = update.routing_control_state(state.into());
        async move { update.send().await.map(drop).unwrap() }
    };
    set("east", "On").await;
    set("west", "On").await;
    let accelerator = Accelerator::new(Options {
        groups: vec![
            group("east", east.address, Some(arn("east"))),
            group("west", west.address, Some(arn("west"))),
        ],
        health: quick(Probe::Tcp),
        cluster,
        cluster_poll: Duration::from_millis(30),
        ..Options::default()
    });
    let address = serve(&accelerator).await;
    let mut tcp = TcpStream::connect(address).await.unwrap();
    assert_eq!(ask(&mut tcp).await.unwrap(), 'e');
    set("east", "Off").await;
    until(|| !accelerator.healthy()["east"]).await;
    let mut tcp = TcpStream::connect(address).await.unwrap();
    assert_eq!(ask(&mut tcp).await.unwrap(), 'w');
    serving.abort();
    tokio::time::sleep(Duration::from_millis(100)).await;
    let mut tcp = TcpStream::connect(address).await.unwrap();
    assert_eq!(ask(&mut tcp).await.unwrap(), 'w', "the last answer holds");
}
