//! Processes and machines that die, stop and come back, as their peers see it.

use std::io;
use std::time::Duration;

use sumzero_sim::{Disk, Error, Fault, Host, HostState, World};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::sleep;

use crate::support::{Log, connect, echo_server, echo_world, ping, secs, timed, told};

fn observe<P, F>(fault: sumzero_sim::PlannedFault, client: P) -> Vec<String>
where
    P: Fn(Log) -> F + Send + Sync + 'static,
    F: Future<Output = io::Result<()>> + 'static,
{
    let log = Log::default();
    let lines = log.clone();
    echo_world(move || client(lines.clone()))
        .fault(fault)
        .run_until_done(Duration::from_secs(86_400))
        .unwrap();
    log.lines()
}

#[test]
fn the_peers_of_a_killed_process_get_fin() {
    let lines = observe(Fault::kill("server").at(secs(1.0)), |log| async move {
        let mut stream = connect().await?;
        ping(&mut stream).await?;
        let (end, _) = timed(stream.read(&mut [0; 8])).await;
        log.add(told(end));
        log.add(told(connect().await.map(|_| "connected")));
        Ok(())
    });
    assert_eq!(lines, ["0", "ConnectionRefused"]);
}

#[test]
fn the_peers_of_a_process_killed_with_unread_data_get_rst() {
    let log = Log::default();
    let lines = log.clone();
    World::new(1)
        .host(Host::new("server").ip([10, 0, 0, 1]).run(|| async {
            let listener = tokio::net::TcpListener::bind("0.0.0.0:7").await?;
            let _unread = listener.accept().await?;
            std::future::pending::<io::Result<()>>().await
        }))
        .client(Host::new("client").run(move || {
            let log = lines.clone();
            async move {
                let mut stream = connect().await?;
                stream.write_all(b"never read").await?;
                log.add(told(stream.read(&mut [0; 8]).await));
                Ok::<_, io::Error>(())
            }
        }))
        .fault(Fault::kill("server").at(secs(1.0)))
        .run_until_done(secs(100.0))
        .unwrap();
    assert_eq!(log.lines(), ["ConnectionReset"]);
}

#[test]
fn a_killed_process_starts_again_when_the_fault_ends() {
    let lines = observe(
        Fault::kill("server").at(secs(1.0)).lasting(secs(5.0)),
        |log| async move {
            sleep(secs(2.0)).await;
            log.add(told(connect().await.map(|_| "connected")));
            sleep(secs(5.0)).await;
            let mut stream = connect().await?;
            log.add(told(ping(&mut stream).await.map(|()| "answered")));
            Ok(())
        },
    );
    assert_eq!(lines, ["ConnectionRefused", "answered"]);
}

#[test]
fn a_lost_machine_is_silent_and_answers_with_rst_once_it_is_back() {
    let fault = Fault::machine_loss("server", Disk::Kept)
        .at(secs(1.0))
        .lasting(secs(20.0));
    let lines = observe(fault, |log| async move {
        let mut stream = connect().await?;
        ping(&mut stream).await?;
        sleep(secs(5.0)).await;
        // Half open: nothing has told this end. The write is taken; its retransmissions find the machine back at 21 s.
        log.add(told(stream.write(b"anybody?").await));
        let (end, taken) = timed(stream.read(&mut [0; 8])).await;
        log.add(format!("{}, while it was away: {}", told(end), taken > 10.0));
        let mut stream = connect().await?;
        log.add(told(ping(&mut stream).await.map(|()| "answered")));
        Ok(())
    });
    assert_eq!(
        lines,
        ["8", "ConnectionReset, while it was away: true", "answered"]
    );
}

#[test]
fn an_idle_half_open_connection_notices_nothing() {
    let fault = Fault::machine_loss("server", Disk::Kept).at(secs(1.0));
    let lines = observe(fault, |log| async move {
        let mut stream = connect().await?;
        ping(&mut stream).await?;
        let heard = tokio::time::timeout(secs(3600.0), stream.read(&mut [0; 8])).await;
        log.add(format!("heard anything in an hour: {}", heard.is_ok()));
        Ok(())
    });
    assert_eq!(lines, ["heard anything in an hour: false"]);
}

#[test]
fn a_paused_process_keeps_its_connections_and_answers_late() {
    let lines = observe(
        Fault::pause("server").at(secs(1.0)).lasting(secs(10.0)),
        |log| async move {
            let mut old = connect().await?;
            ping(&mut old).await?;
            sleep(secs(2.0)).await;
            // Its machine still shakes hands for it.
            let (new, taken) = timed(connect()).await;
            log.add(format!(
                "{} at once: {}",
                told(
                    new.as_ref()
                        .map(|_| "connected")
                        .map_err(|_| io::ErrorKind::Other.into())
                ),
                taken < 0.1
            ));
            let (answered, taken) = timed(ping(&mut old)).await;
            log.add(format!(
                "{} late: {}",
                told(answered.map(|()| "answered")),
                (8.0..9.0).contains(&taken)
            ));
            Ok(())
        },
    );
    assert_eq!(lines, ["connected at once: true", "answered late: true"]);
}

#[test]
fn a_paused_process_sees_the_time_that_passed_without_it() {
    let log = Log::default();
    let lines = log.clone();
    World::new(1)
        .client(Host::new("sleeper").run(move || {
            let log = lines.clone();
            async move {
                let (_, taken) = timed(sleep(secs(1.5))).await;
                log.add(format!("{taken:.3}"));
            }
        }))
        .fault(Fault::pause("sleeper").at(secs(1.0)).lasting(secs(6.0)))
        .run_until_done(secs(100.0))
        .unwrap();
    assert_eq!(log.lines(), ["7.000"]);
}

#[test]
fn a_lost_region_takes_its_machines_and_gives_them_back() {
    let lines = observe(
        Fault::region_loss("east").at(secs(1.0)).lasting(secs(30.0)),
        |log| async move {
            sleep(secs(2.0)).await;
            let (connected, taken) = timed(connect()).await;
            log.add(format!(
                "{} at 33 s: {}",
                told(connected.map(|_| "connected")),
                (31.0..31.2).contains(&taken)
            ));
            Ok(())
        },
    );
    assert_eq!(lines, ["connected at 33 s: true"]);
}

#[test]
fn a_host_held_down_by_two_faults_comes_back_when_both_have_ended() {
    let (outcome, _) = echo_world(|| async { sleep(secs(100.0)).await })
        .fault(Fault::kill("server").at(secs(1.0)).lasting(secs(10.0)))
        .fault(
            Fault::machine_loss("server", Disk::Kept)
                .at(secs(5.0))
                .lasting(secs(20.0)),
        )
        .run(|simulation| {
            simulation.run_until(secs(15.0))?;
            let between = simulation.state("server")?;
            simulation.run_until(secs(30.0))?;
            Ok((between, simulation.state("server")?))
        })
        .unwrap();
    assert_eq!(outcome, (HostState::Down, HostState::Running));
}

#[test]
fn destructors_of_a_killed_process_do_not_speak() {
    struct LastWords(tokio::net::TcpStream);
    impl Drop for LastWords {
        fn drop(&mut self) {
            let _ = self.0.try_write(b"farewell");
        }
    }
    let log = Log::default();
    let lines = log.clone();
    World::new(1)
        .host(Host::new("server").ip([10, 0, 0, 1]).run(move || {
            let log = lines.clone();
            async move {
                let listener = tokio::net::TcpListener::bind("0.0.0.0:7").await?;
                let (mut stream, _) = listener.accept().await?;
                let mut heard = String::new();
                stream.read_to_string(&mut heard).await?;
                log.add(format!("heard {heard:?}"));
                Ok::<_, io::Error>(())
            }
        }))
        .host(Host::new("client").run(|| async {
            let _words = LastWords(connect().await?);
            std::future::pending::<io::Result<()>>().await
        }))
        .fault(Fault::kill("client").at(secs(1.0)))
        .run_until(secs(10.0))
        .unwrap();
    assert_eq!(log.lines(), ["heard \"\""]);
}

#[test]
fn a_service_manager_starts_an_ended_program_again() {
    let (_, outcome) = World::new(1)
        .host(Host::new("flaky").restarts_after(secs(1.0)).run(|| async {
            sleep(secs(2.0)).await;
            Err::<(), _>("gave up")
        }))
        .host(Host::new("server").run(echo_server))
        .run(|simulation| simulation.run_until(secs(10.0)))
        .unwrap();
    assert_eq!(outcome.unwrap().host("flaky").unwrap().starts, 4);
}

#[test]
fn a_program_that_fails_or_panics_ends_the_run_by_name() {
    let failing = World::new(1).host(Host::new("bank").run(|| async {
        sleep(secs(3.0)).await;
        Err::<(), _>(io::Error::other("the vault is empty"))
    }));
    let error = failing.run_until(secs(10.0)).unwrap_err();
    assert!(
        matches!(&error, Error::Program { host, message, .. } if host == "bank" && message == "the vault is empty")
    );

    let panicking = World::new(1).host(Host::new("bank").run(|| async {
        let answer: u8 = "7".parse().unwrap();
        assert_ne!(answer, 7, "on purpose: {answer}");
    }));
    let error = panicking.run_until(secs(10.0)).unwrap_err();
    assert!(
        matches!(&error, Error::Panicked { host, message, .. } if host == "bank" && message.contains("on purpose: 7"))
    );
}

#[test]
fn clients_that_do_not_finish_are_named() {
    let error = echo_world(std::future::pending::<()>)
        .run_until_done(secs(10.0))
        .unwrap_err();
    assert!(matches!(error, Error::Unfinished { unfinished, .. } if unfinished == ["client"]));
}
