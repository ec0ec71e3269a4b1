//! What the network does when something is wrong with it. The times are Linux's own defaults; a loopback cannot show them.

use std::io;
use std::time::Duration;

use sumzero_sim::net::Traffic;
use sumzero_sim::{Fault, Host, Link, World};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::sleep;

use crate::support::{Log, SERVER, connect, echo_world, ping, secs, timed, told};

const DAY: Duration = Duration::from_secs(86_400);

/// Runs `client` against an echo server over a link of exactly 50 ms each way, with these faults; answers its log.
fn with_faults<P, F>(faults: Vec<sumzero_sim::PlannedFault>, client: P) -> Vec<String>
where
    P: Fn(Log) -> F + Send + Sync + 'static,
    F: Future<Output = io::Result<()>> + 'static,
{
    let log = Log::default();
    let lines = log.clone();
    let mut world = echo_world(move || client(lines.clone())).link("east", "west", Link::delay(secs(0.05)));
    for fault in faults {
        world = world.fault(fault);
    }
    world.run_until_done(DAY).unwrap();
    log.lines()
}

fn partition() -> Fault {
    Fault::partition("east", "west")
}

#[test]
fn a_handshake_takes_one_round_trip_and_a_question_another() {
    let lines = with_faults(vec![], |log| async move {
        let (stream, taken) = timed(connect()).await;
        log.add(format!("connected in {taken:.3}"));
        let mut stream = stream?;
        log.add(format!("answered in {:.3}", timed(ping(&mut stream)).await.1));
        Ok(())
    });
    assert_eq!(lines, ["connected in 0.100", "answered in 0.100"]);
}

#[test]
fn a_refusal_takes_one_round_trip() {
    let lines = with_faults(vec![], |log| async move {
        let (refused, taken) = timed(TcpStream::connect((SERVER, 9))).await;
        log.add(format!("{} in {taken:.3}", told(refused.map(|_| "connected"))));
        Ok(())
    });
    assert_eq!(lines, ["ConnectionRefused in 0.100"]);
}

#[test]
fn a_syn_into_the_dark_is_sent_again_and_given_up_after_127_seconds() {
    let lines = with_faults(vec![partition().at(Duration::ZERO)], |log| async move {
        let (lost, taken) = timed(connect()).await;
        log.add(format!("{} in {taken:.3}", told(lost.map(|_| "connected"))));
        Ok(())
    });
    assert_eq!(lines, ["TimedOut in 127.000"]);
}

#[test]
fn syn_retries_come_at_1_3_and_7_seconds() {
    for (healed_at, connected_after) in [(0.5, 1.1), (1.5, 3.1), (3.5, 7.1)] {
        let lines = with_faults(
            vec![partition().at(Duration::ZERO).lasting(secs(healed_at))],
            |log| async move {
                log.add(format!("{:.3}", timed(connect()).await.1));
                Ok(())
            },
        );
        assert_eq!(lines, [format!("{connected_after:.3}")], "healed at {healed_at}");
    }
}

#[test]
fn a_partition_holds_data_back_until_the_retransmission_after_it_heals() {
    // Round trip 100 ms, so the time-out starts at 300 ms: sent again 0.3, 0.9, 2.1, 4.5 s after 1.0.
    let lines = with_faults(
        vec![partition().at(secs(0.5)).lasting(secs(3.0))],
        |log| async move {
            let mut stream = connect().await?;
            sleep(secs(0.9)).await;
            log.add(format!("{:.3}", timed(ping(&mut stream)).await.1));
            log.add(format!("{:.3}", timed(ping(&mut stream)).await.1));
            Ok(())
        },
    );
    assert_eq!(lines, ["4.600", "0.100"]);
}

#[test]
fn a_connection_whose_data_is_never_acknowledged_times_out_after_924_seconds() {
    let lines = with_faults(vec![partition().at(secs(0.5))], |log| async move {
        let mut stream = connect().await?;
        sleep(secs(0.9)).await;
        let (lost, taken) = timed(ping(&mut stream)).await;
        log.add(format!("{} in {taken:.1}", told(lost.map(|()| "answered"))));
        log.add(told(stream.write(b"more").await));
        Ok(())
    });
    assert_eq!(lines, ["TimedOut in 924.6", "BrokenPipe"]);
}

#[test]
fn data_that_arrives_but_is_never_acknowledged_times_out_at_the_sender() {
    // Cut only on the way back: the server gets the byte, its echo and its acknowledgements are lost.
    let back = Fault::partition_one_way("east", "west");
    let lines = with_faults(vec![back.at(secs(0.5))], |log| async move {
        let mut stream = connect().await?;
        sleep(secs(0.9)).await;
        let (lost, taken) = timed(ping(&mut stream)).await;
        log.add(format!("{} in {taken:.2}", told(lost.map(|()| "answered"))));
        Ok(())
    });
    assert_eq!(lines, ["TimedOut in 924.65"]);
}

#[test]
fn a_one_way_partition_lets_the_other_way_through() {
    let log = Log::default();
    let lines = log.clone();
    let world = World::new(1)
        .host(Host::new("server").region("east").ip([10, 0, 0, 1]).run(move || {
            let log = lines.clone();
            async move {
                let listener = TcpListener::bind("0.0.0.0:7").await?;
                let (mut stream, _) = listener.accept().await?;
                loop {
                    let byte = stream.read_u8().await?;
                    log.add(format!("{byte} at {:.3}", tokio_now()));
                }
                #[allow(unreachable_code)]
                Ok::<_, io::Error>(())
            }
        }))
        .client(Host::new("client").region("west").run(|| async {
            let mut stream = connect().await?;
            for byte in 0..3 {
                sleep(secs(1.0)).await;
                stream.write_u8(byte).await?;
            }
            sleep(secs(10.0)).await;
            Ok::<_, io::Error>(())
        }))
        .link("east", "west", Link::delay(secs(0.05)))
        .fault(
            Fault::partition_one_way("east", "west")
                .at(secs(0.5))
                .lasting(secs(9.0)),
        );
    world.run_until_done(DAY).unwrap();
    // Without acknowledgements the first byte is sent again and again, and what comes after it goes along: 0.3, 0.9 and 2.1 s
    // after its loss was noticed, at 1.15 s.
    assert_eq!(log.lines(), ["0 at 1.150", "1 at 3.300", "2 at 3.300"]);
}

/// Seconds of this host's monotonic clock since the world began.
fn tokio_now() -> f64 {
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap();
    now.as_secs_f64() - 1_767_225_600.0
}

#[test]
fn a_black_holed_port_swallows_its_packets_and_no_others() {
    let hole = |traffic, port| Fault::NetworkBlackholePort {
        place: "server".into(),
        port,
        traffic,
    };
    for (fault, expected) in [
        (hole(Traffic::Ingress, 7), "TimedOut"),
        (hole(Traffic::Ingress, 8), "connected"),
        (hole(Traffic::Egress, 7), "connected"),
    ] {
        let lines = with_faults(vec![fault.at(Duration::ZERO)], |log| async move {
            log.add(told(connect().await.map(|_| "connected")));
            Ok(())
        });
        assert_eq!(lines, [expected]);
    }
}

#[test]
fn an_egress_black_hole_keeps_its_host_from_reaching_that_port() {
    let fault = Fault::NetworkBlackholePort {
        place: "client".into(),
        port: 7,
        traffic: Traffic::Egress,
    };
    let lines = with_faults(
        vec![fault.at(Duration::ZERO).lasting(secs(2.0))],
        |log| async move {
            log.add(format!("{:.3}", timed(connect()).await.1));
            Ok(())
        },
    );
    assert_eq!(lines, ["3.100"]);
}

#[test]
fn connections_reset_on_demand_fail_at_both_ends() {
    let fault = Fault::ConnectionReset {
        from: "east".into(),
        to: "west".into(),
    };
    let lines = with_faults(vec![fault.at(secs(1.0))], |log| async move {
        let mut stream = connect().await?;
        ping(&mut stream).await?;
        let (lost, taken) = timed(stream.read_u8()).await;
        log.add(format!("{} after {taken:.1}", told(lost)));
        log.add(told(connect().await.map(|_| "connected anew")));
        Ok(())
    });
    assert_eq!(lines, ["ConnectionReset after 0.8", "connected anew"]);
}

#[test]
fn latency_and_jitter_add_up() {
    let slow = Fault::NetworkLatency {
        from: "west".into(),
        to: "east".into(),
        delay: secs(0.2),
        jitter: secs(0.1),
        one_way: true,
    };
    let lines = with_faults(vec![slow.at(secs(1.0)).lasting(secs(10.0))], |log| async move {
        let mut stream = connect().await?;
        log.add(format!("{:.3}", timed(ping(&mut stream)).await.1));
        sleep(secs(2.0)).await;
        for _ in 0..5 {
            let taken = timed(ping(&mut stream)).await.1;
            log.add((0.3..0.402).contains(&taken));
        }
        sleep(secs(10.0)).await;
        log.add(format!("{:.3}", timed(ping(&mut stream)).await.1));
        Ok(())
    });
    assert_eq!(lines, ["0.100", "true", "true", "true", "true", "true", "0.100"]);
}

#[test]
fn loss_shows_as_retransmission_delay_and_nothing_is_lost() {
    let loss = Fault::NetworkPacketLoss {
        from: "*".into(),
        to: "*".into(),
        loss_percent: 20.0,
        one_way: false,
    };
    let lines = with_faults(vec![loss.at(Duration::ZERO)], |log| async move {
        let mut stream = connect().await?;
        let mut delayed = 0;
        for _ in 0..200 {
            let taken = timed(ping(&mut stream)).await.1;
            // On time, or later by one time-out of 300 ms or more of them.
            assert!(!(0.102..0.399).contains(&taken), "{taken}");
            delayed += u32::from(taken > 0.3);
        }
        log.add(format!(
            "about a third was late: {}",
            (50..110).contains(&delayed)
        ));
        Ok(())
    });
    assert_eq!(lines, ["about a third was late: true"]);
}

#[test]
fn bandwidth_limits_a_large_transfer() {
    let narrow = Fault::NetworkBandwidth {
        from: "west".into(),
        to: "east".into(),
        bytes_per_second: 100_000,
        one_way: true,
    };
    let lines = with_faults(vec![narrow.at(Duration::ZERO)], |log| async move {
        let stream = connect().await?;
        let (mut from, mut to) = stream.into_split();
        let sending = async {
            to.write_all(&[7; 500_000]).await?;
            to.shutdown().await
        };
        let mut all = Vec::new();
        let (outcome, taken) = timed(async { tokio::try_join!(sending, from.read_to_end(&mut all)) }).await;
        outcome?;
        log.add(format!(
            "{} bytes, 5 s: {}",
            all.len(),
            (5.0..5.5).contains(&taken)
        ));
        Ok(())
    });
    assert_eq!(lines, ["500000 bytes, 5 s: true"]);
}

#[test]
fn a_large_transfer_moves_a_window_a_round_trip() {
    // 256 KiB in flight at most, 100 ms there and back: 2.5 MiB take about ten round trips.
    let lines = with_faults(vec![], |log| async move {
        let stream = connect().await?;
        let (mut from, mut to) = stream.into_split();
        let bytes = vec![3; 10 * 256 * 1024];
        let sending = async {
            to.write_all(&bytes).await?;
            to.shutdown().await
        };
        let mut all = Vec::new();
        let (outcome, taken) = timed(async { tokio::try_join!(sending, from.read_to_end(&mut all)) }).await;
        outcome?;
        log.add(format!(
            "{} bytes in ten or so round trips: {}",
            all.len(),
            (0.9..1.4).contains(&taken)
        ));
        Ok(())
    });
    assert_eq!(
        lines,
        [format!(
            "{} bytes in ten or so round trips: true",
            10 * 256 * 1024
        )]
    );
}

#[test]
fn overlapping_partitions_heal_one_by_one() {
    let faults = vec![
        partition().at(secs(1.0)).lasting(secs(2.0)),
        Fault::partition("server", "client")
            .at(secs(2.0))
            .lasting(secs(3.0)),
    ];
    let lines = with_faults(faults, |log| async move {
        sleep(secs(1.5)).await;
        // SYNs at 1.5, 2.5, 4.5 and 8.5 s: the last is the first after both have healed, at 5 s.
        log.add(format!("{:.3}", timed(connect()).await.1));
        Ok(())
    });
    assert_eq!(lines, ["7.100"]);
}

#[test]
fn an_isolated_region_still_talks_to_itself() {
    let log = Log::default();
    let lines = log.clone();
    let client = |log: Log| {
        move || {
            let log = log.clone();
            async move {
                sleep(secs(1.0)).await;
                let connected = tokio::time::timeout(secs(20.0), connect()).await.is_ok();
                log.add(connected);
            }
        }
    };
    World::new(1)
        .host(
            Host::new("server")
                .region("east")
                .ip([10, 0, 0, 1])
                .run(crate::support::echo_server),
        )
        .client(Host::new("near").region("east").run(client(lines.clone())))
        .client(Host::new("far").region("west").run(client(lines)))
        .fault(
            Fault::RegionIsolated {
                region: "east".into(),
            }
            .at(secs(0.5)),
        )
        .run_until_done(DAY)
        .unwrap();
    assert_eq!(log.lines(), ["true", "false"]);
}

#[test]
fn keepalive_finds_a_dead_way_where_silence_would_not() {
    let lines = with_faults(vec![partition().at(secs(1.0))], |log| async move {
        let stream = connect().await?;
        let keepalive = socket2::TcpKeepalive::new()
            .with_time(secs(10.0))
            .with_interval(secs(5.0))
            .with_retries(3);
        socket2::SockRef::from(&stream).set_tcp_keepalive(&keepalive)?;
        let mut stream = stream;
        let (lost, taken) = timed(stream.read_u8()).await;
        log.add(format!("{} in {taken:.1}", told(lost)));
        Ok(())
    });
    assert_eq!(lines, ["TimedOut in 25.0"]);
}

#[test]
fn a_user_timeout_gives_up_earlier() {
    let lines = with_faults(vec![partition().at(secs(0.5))], |log| async move {
        let mut stream = connect().await?;
        socket2::SockRef::from(&stream).set_tcp_user_timeout(Some(secs(30.0)))?;
        sleep(secs(0.9)).await;
        let (lost, taken) = timed(ping(&mut stream)).await;
        log.add(format!("{} in {taken:.1}", told(lost.map(|()| "answered"))));
        Ok(())
    });
    assert_eq!(lines, ["TimedOut in 30.0"]);
}

#[test]
fn faults_that_bit_are_told_from_those_that_did_not() {
    let world = echo_world(|| async {
        let mut stream = connect().await?;
        ping(&mut stream).await
    });
    let outcome = world
        .fault(
            Fault::partition("east", "west")
                .at(Duration::ZERO)
                .lasting(secs(2.0)),
        )
        .fault(Fault::partition("east", "west").at(secs(50.0)).lasting(secs(2.0)))
        .run_until(secs(100.0))
        .unwrap();
    assert!(outcome.faults[0].bites > 0);
    assert_eq!(outcome.faults[1].bites, 0);
}
