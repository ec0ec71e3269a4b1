//! What cannot be deterministic fails loudly, with the host, the call and what to do instead.

use std::io;
use std::time::Duration;

use sumzero_sim::{Breach, Error, Host, Violation, World};

use crate::support::secs;

/// The violation that a program commits.
fn violation<P, F>(program: P) -> Violation
where
    P: Fn() -> F + Send + Sync + 'static,
    F: Future + 'static,
    F::Output: sumzero_sim::Answer,
{
    let world = World::new(1)
        .host(Host::new("honest").run(|| async {}))
        .host(Host::new("culprit").run(program));
    match world.run_until(secs(10.0)) {
        Err(Error::Nondeterministic(violation)) => {
            assert_eq!(violation.host, "culprit");
            violation
        }
        other => panic!("not caught: {other:?}"),
    }
}

#[test]
fn a_thread() {
    let caught = violation(|| async {
        let _ = std::thread::Builder::new().spawn(|| ());
    });
    assert_eq!((caught.breach, &*caught.call), (Breach::Thread, "pthread_create"));
    assert!(caught.to_string().contains("tokio::spawn"), "{caught}");
}

#[test]
fn a_blocking_task() {
    let caught = violation(|| async {
        let _ = tokio::task::spawn_blocking(|| ()).await;
    });
    assert_eq!(caught.breach, Breach::Thread);
}

#[test]
fn a_sleeping_thread() {
    let caught = violation(|| async { std::thread::sleep(Duration::from_millis(1)) });
    assert_eq!(caught.breach, Breach::Blocking);
    assert!(caught.to_string().contains("tokio::time::sleep"), "{caught}");
}

#[test]
fn a_parked_thread() {
    let caught = violation(|| async { std::thread::park_timeout(Duration::from_millis(1)) });
    assert_eq!(caught.breach, Breach::Blocking);
    let caught = violation(|| async {
        let (_keep, never) = std::sync::mpsc::channel::<()>();
        let _ = never.recv_timeout(Duration::from_secs(1));
    });
    assert_eq!(caught.breach, Breach::Blocking);
}

#[test]
fn a_name_look_up() {
    let caught = violation(|| async {
        let _ = std::net::ToSocketAddrs::to_socket_addrs("example.com:80");
    });
    assert_eq!(
        (caught.breach, &*caught.call),
        (Breach::NameLookUp, "getaddrinfo(\"example.com\")")
    );
    // tokio looks names up on a thread.
    let caught = violation(|| async {
        let _ = tokio::net::TcpStream::connect("example.com:80").await;
    });
    assert_eq!(caught.breach, Breach::Thread);
}

#[test]
fn udp_and_unix_sockets() {
    let caught = violation(|| async {
        let _ = tokio::net::UdpSocket::bind("0.0.0.0:0").await;
    });
    assert_eq!((caught.breach, &*caught.call), (Breach::Socket, "socket(UDP)"));
    let caught = violation(|| async {
        let _ = tokio::net::UnixStream::pair();
    });
    assert_eq!(caught.breach, Breach::Socket);
}

#[test]
fn a_real_address() {
    let caught = violation(|| async {
        let _ = tokio::net::TcpStream::connect("192.0.2.7:443").await;
    });
    assert_eq!(
        (caught.breach, &*caught.call),
        (Breach::RealAddress, "connect to 192.0.2.7:443")
    );
}

#[test]
fn a_blocking_socket() {
    let caught = violation(|| async {
        let _ = std::net::TcpStream::connect("10.0.0.1:80");
    });
    assert_eq!(caught.breach, Breach::Blocking);
}

#[test]
fn a_change_to_a_real_file() {
    let caught = violation(|| async {
        let _ = std::fs::OpenOptions::new().write(true).open("/etc/passwd");
    });
    assert_eq!(caught.breach, Breach::RealFile);
    let caught = violation(|| async {
        let _ = std::fs::remove_file("/etc/passwd");
    });
    assert_eq!(caught.breach, Breach::RealFile);
    assert!(std::fs::metadata("/etc/passwd").is_ok());
}

#[test]
fn a_task_that_yields_for_ever() {
    let world = World::new(1).host(Host::new("spinner").run(|| async {
        tokio::time::sleep(secs(2.0)).await;
        loop {
            tokio::task::yield_now().await;
        }
        #[allow(unreachable_code)]
        Ok::<_, io::Error>(())
    }));
    let error = world.run_until(secs(10.0)).unwrap_err();
    assert!(
        matches!(&error, Error::Livelock { host, at, .. } if host == "spinner" && at.since_start() >= secs(2.0)),
        "{error}"
    );
}

#[test]
fn a_program_that_waits_for_the_clock_by_looking_at_it() {
    let world = World::new(1).host(Host::new("spinner").run(|| async {
        let begun = std::time::Instant::now();
        while begun.elapsed() < Duration::from_secs(1) {}
    }));
    let error = world.run_until(secs(10.0)).unwrap_err();
    assert!(
        matches!(&error, Error::Livelock { host, .. } if host == "spinner"),
        "{error}"
    );
}

#[test]
fn a_seed_that_takes_too_long() {
    let busy = || async {
        loop {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        #[allow(unreachable_code)]
        Ok::<_, io::Error>(())
    };
    let world = World::new(1).host(Host::new("busy").run(busy)).budget(secs(0.2));
    let error = world.run_until(Duration::from_secs(u64::MAX / 2)).unwrap_err();
    assert!(
        matches!(&error, Error::OverBudget { host, at, .. } if host == "busy" && at.since_start() > secs(1.0)),
        "{error}"
    );
}

#[test]
fn a_program_that_never_lets_go_of_the_thread() {
    let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let stopped = stop.clone();
    let world = World::new(1)
        .host(Host::new("greedy").run(move || {
            let stopped = stopped.clone();
            async move {
                tokio::time::sleep(secs(1.0)).await;
                while !stopped.load(std::sync::atomic::Ordering::Relaxed) {
                    std::hint::spin_loop();
                }
            }
        }))
        .budget(secs(0.2));
    let error = world.run_until(secs(10.0)).unwrap_err();
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    assert!(
        matches!(&error, Error::OverBudget { host, .. } if host == "greedy"),
        "{error}"
    );
}
