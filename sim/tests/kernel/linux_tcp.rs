//! The same bodies on a real loopback and in a world: programs must not be able to tell them apart.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use sumzero_sim::{Host, World};
use tokio::io::{AsyncReadExt, AsyncWriteExt, Interest};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::time::{sleep, timeout};

use crate::support::{Log, SERVER, told};

/// Runs `body` on a loopback and in a world, on one host and between two, and holds the logs against each other.
fn everywhere<P, F>(body: P)
where
    P: Fn(Log, Site) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = io::Result<()>> + 'static,
{
    let real = Log::default();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let both = [Site::new(true, "127.0.0.1", 0), Site::new(false, "127.0.0.1", 0)];
    let (server, client) = (
        body(real.clone(), both[0].clone()),
        body(real.clone(), both[1].clone()),
    );
    runtime
        .block_on(async { tokio::try_join!(server, client) })
        .unwrap();
    assert!(!real.lines().is_empty(), "a body that says nothing tests nothing");

    for apart in [true, false] {
        let simulated = Log::default();
        let ip = if apart { SERVER } else { "127.0.0.1" };
        let site = |serves| Site::new(serves, ip, 900);
        let program = |serves: bool| {
            let (body, log, site) = (body.clone(), simulated.clone(), site(serves));
            move || body(log.clone(), site.clone())
        };
        let world = World::new(7);
        let world = if apart {
            world
                .client(Host::new("server").ip([10, 0, 0, 1]).run(program(true)))
                .client(Host::new("client").ip([10, 0, 0, 2]).run(program(false)))
        } else {
            let (server, client) = (program(true), program(false));
            world.client(Host::new("only").run(move || {
                let (server, client) = (server(), client());
                async { tokio::try_join!(server, client).map(|_| ()) }
            }))
        };
        world.run_until_done(Duration::from_secs(60)).unwrap();
        assert_eq!(simulated.lines(), real.lines(), "apart: {apart}");
    }
}

/// Which part of a body to play, and where the server is.
#[derive(Clone)]
struct Site {
    serves: bool,
    ip: &'static str,
    port: u16,
}

thread_local! {
    /// On a real loopback the system picks the port; the client finds it here.
    static PICKED: std::cell::Cell<u16> = const { std::cell::Cell::new(0) };
}

impl Site {
    fn new(serves: bool, ip: &'static str, port: u16) -> Site {
        Site { serves, ip, port }
    }

    async fn listen(&self, backlog: u32) -> io::Result<TcpListener> {
        let socket = TcpSocket::new_v4()?;
        socket.set_reuseaddr(true)?;
        let any = if self.port == 0 { self.ip } else { "0.0.0.0" };
        socket.bind(SocketAddr::new(any.parse().unwrap(), self.port))?;
        let listener = socket.listen(backlog)?;
        PICKED.set(listener.local_addr()?.port());
        Ok(listener)
    }

    async fn accept(&self) -> io::Result<TcpStream> {
        Ok(self.listen(16).await?.accept().await?.0)
    }

    fn address(&self) -> SocketAddr {
        let port = if self.port == 0 { PICKED.get() } else { self.port };
        SocketAddr::new(self.ip.parse().unwrap(), port)
    }

    /// Connects once the server has had time to listen.
    async fn connect(&self) -> io::Result<TcpStream> {
        sleep(Duration::from_millis(20)).await;
        TcpStream::connect(self.address()).await
    }
}

/// Long enough for anything on a loopback or between two hosts of a zone to have happened.
async fn settle() {
    sleep(Duration::from_millis(60)).await;
}

async fn read_once(stream: &mut TcpStream) -> String {
    let mut buffer = [0; 64];
    match stream.read(&mut buffer).await {
        Ok(length) => format!("read {:?}", String::from_utf8_lossy(&buffer[..length])),
        Err(error) => format!("read {:?}", error.kind()),
    }
}

#[test]
fn bytes_go_both_ways_and_end_with_fin() {
    everywhere(|log, site| async move {
        if site.serves {
            let mut stream = site.accept().await?;
            let mut all = String::new();
            stream.read_to_string(&mut all).await?;
            stream.write_all(all.to_uppercase().as_bytes()).await?;
        } else {
            let mut stream = site.connect().await?;
            stream.write_all(b"half closed, ").await?;
            stream.write_all(b"still heard").await?;
            stream.shutdown().await?;
            let mut all = String::new();
            stream.read_to_string(&mut all).await?;
            log.add(all);
            log.add(told(stream.write(b"more").await));
        }
        Ok(())
    });
}

#[test]
fn a_port_that_nobody_listens_on_refuses() {
    everywhere(|log, site| async move {
        if site.serves {
            drop(site.listen(16).await?);
        } else {
            log.add(told(site.connect().await.map(|_| "connected")));
        }
        Ok(())
    });
}

#[test]
fn writing_to_a_peer_that_closed_is_reset_and_then_a_broken_pipe() {
    everywhere(|log, site| async move {
        if site.serves {
            drop(site.accept().await?);
        } else {
            let mut stream = site.connect().await?;
            settle().await;
            log.add(format!("first {}", told(stream.write(b"one").await)));
            settle().await;
            log.add(format!("second {}", told(stream.write(b"two").await)));
            log.add(format!("third {}", told(stream.write(b"three").await)));
            log.add(read_once(&mut stream).await);
        }
        Ok(())
    });
}

#[test]
fn a_peer_that_closes_with_unread_data_resets() {
    everywhere(|log, site| async move {
        if site.serves {
            let stream = site.accept().await?;
            settle().await;
            drop(stream);
        } else {
            let mut stream = site.connect().await?;
            stream.write_all(b"never read").await?;
            log.add(read_once(&mut stream).await);
            log.add(read_once(&mut stream).await);
            log.add(told(stream.write(b"more").await));
        }
        Ok(())
    });
}

#[test]
fn what_arrived_before_a_reset_is_still_there_to_be_read() {
    everywhere(|log, site| async move {
        if site.serves {
            let mut stream = site.accept().await?;
            settle().await;
            stream.write_all(b"last words").await?;
            stream.set_zero_linger()?;
            settle().await;
            drop(stream);
        } else {
            let mut stream = site.connect().await?;
            sleep(Duration::from_millis(250)).await;
            log.add(read_once(&mut stream).await);
            log.add(read_once(&mut stream).await);
            log.add(read_once(&mut stream).await);
        }
        Ok(())
    });
}

#[test]
fn a_lingering_time_of_zero_resets_on_close() {
    everywhere(|log, site| async move {
        if site.serves {
            let stream = site.accept().await?;
            stream.set_zero_linger()?;
            settle().await;
        } else {
            let mut stream = site.connect().await?;
            log.add(read_once(&mut stream).await);
            log.add(read_once(&mut stream).await);
        }
        Ok(())
    });
}

#[test]
fn a_writer_is_held_back_by_a_reader_that_does_not_read() {
    const WHOLE: usize = 32 << 20;
    everywhere(|log, site| async move {
        if site.serves {
            let listener = site.listen(16).await?;
            // Buffers of a fixed size: by itself Linux would let them grow.
            socket2::SockRef::from(&listener).set_recv_buffer_size(256 * 1024)?;
            let (mut stream, _) = listener.accept().await?;
            sleep(Duration::from_millis(300)).await;
            let mut total = 0;
            let mut sum = 0u64;
            let mut buffer = vec![0; 100_000];
            loop {
                let length = stream.read(&mut buffer).await?;
                if length == 0 {
                    break;
                }
                sum += buffer[..length].iter().map(|byte| u64::from(*byte)).sum::<u64>();
                total += length;
            }
            log.add(format!("read {total} bytes, sum {sum}"));
        } else {
            let bytes: Vec<u8> = (0..WHOLE).map(|index| (index % 251) as u8).collect();
            let mut stream = site.connect().await?;
            socket2::SockRef::from(&stream).set_send_buffer_size(256 * 1024)?;
            let mut sent = 0;
            while sent < WHOLE {
                match timeout(Duration::from_millis(100), stream.write(&bytes[sent..])).await {
                    Ok(length) => sent += length?,
                    Err(_) => break,
                }
            }
            log.add(format!("held back before the end: {}", sent < WHOLE));
            stream.write_all(&bytes[sent..]).await?;
            stream.shutdown().await?;
            log.add(read_once(&mut stream).await);
        }
        Ok(())
    });
}

#[test]
fn connections_stand_before_the_program_accepts_them() {
    everywhere(|log, site| async move {
        if site.serves {
            let listener = site.listen(16).await?;
            sleep(Duration::from_millis(150)).await;
            let (mut stream, _) = listener.accept().await?;
            log.add(read_once(&mut stream).await);
        } else {
            let mut stream = site.connect().await?;
            log.add(told(stream.write(b"early").await));
            sleep(Duration::from_millis(200)).await;
        }
        Ok(())
    });
}

#[test]
fn a_full_backlog_drops_the_syn_which_comes_again_after_a_second() {
    everywhere(|log, site| async move {
        if site.serves {
            let listener = site.listen(1).await?;
            sleep(Duration::from_millis(500)).await;
            let mut accepted = Vec::new();
            while let Ok(next) = timeout(Duration::from_millis(1500), listener.accept()).await {
                accepted.push(next?);
            }
            log.add(format!("accepted {}", accepted.len()));
        } else {
            let first = site.connect().await?;
            let second = site.connect().await?;
            let begun = tokio::time::Instant::now();
            let third = site.connect().await?;
            let waited = begun.elapsed().as_secs_f64();
            log.add(format!(
                "the third waited a second: {}",
                (0.9..1.5).contains(&waited)
            ));
            sleep(Duration::from_secs(2)).await;
            drop((first, second, third));
        }
        Ok(())
    });
}

#[test]
fn a_port_is_taken_while_somebody_listens_and_free_afterwards() {
    everywhere(|log, site| async move {
        if site.serves {
            let listener = site.listen(16).await?;
            let taken = SocketAddr::new(listener.local_addr()?.ip(), listener.local_addr()?.port());
            log.add(told(TcpListener::bind(taken).await.map(|_| "bound")));
            drop(listener);
            log.add(told(TcpListener::bind(taken).await.map(|_| "bound")));
            log.add(told(TcpListener::bind("192.0.2.1:0").await.map(|_| "bound")));
        }
        Ok(())
    });
}

#[test]
fn both_ends_agree_on_their_addresses() {
    everywhere(|log, site| async move {
        if site.serves {
            let listener = site.listen(16).await?;
            let (mut stream, peer) = listener.accept().await?;
            log.add(format!(
                "server's peer is its accepted peer: {}",
                stream.peer_addr()? == peer
            ));
            stream.write_all(peer.to_string().as_bytes()).await?;
        } else {
            let mut stream = site.connect().await?;
            let mut seen = String::new();
            stream.read_to_string(&mut seen).await?;
            log.add(format!(
                "the server saw my address: {}",
                seen == stream.local_addr()?.to_string()
            ));
            log.add(format!(
                "my peer is the server: {}",
                stream.peer_addr()? == site.address()
            ));
            log.add(format!("ephemeral: {}", stream.local_addr()?.port() >= 32768));
        }
        Ok(())
    });
}

#[test]
fn peeking_leaves_the_bytes_and_readiness_tells_of_the_end() {
    everywhere(|log, site| async move {
        if site.serves {
            let mut stream = site.accept().await?;
            stream.write_all(b"peek").await?;
            stream.shutdown().await?;
            settle().await;
        } else {
            let mut stream = site.connect().await?;
            settle().await;
            let mut buffer = [0; 2];
            log.add(told(stream.peek(&mut buffer).await));
            log.add(read_once(&mut stream).await);
            let ready = stream.ready(Interest::READABLE | Interest::WRITABLE).await?;
            log.add(format!(
                "readable {} writable {} ended {} hung up {}",
                ready.is_readable(),
                ready.is_writable(),
                ready.is_read_closed(),
                ready.is_write_closed()
            ));
            log.add(read_once(&mut stream).await);
        }
        Ok(())
    });
}

#[test]
fn options_are_remembered() {
    everywhere(|log, site| async move {
        if site.serves {
            let stream = site.accept().await?;
            settle().await;
            drop(stream);
        } else {
            let stream = site.connect().await?;
            log.add(format!("nodelay {}", stream.nodelay()?));
            stream.set_nodelay(true)?;
            log.add(format!("nodelay {}", stream.nodelay()?));
            log.add(format!("error {:?}", stream.take_error()?));
        }
        Ok(())
    });
}

#[test]
fn many_connections_at_once_are_all_served() {
    everywhere(|log, site| async move {
        if site.serves {
            let listener = site.listen(256).await?;
            let mut total = 0;
            for _ in 0..100 {
                let (mut stream, _) = listener.accept().await?;
                total += u32::from(stream.read_u8().await?);
                stream.write_u8(1).await?;
            }
            log.add(format!("total {total}"));
        } else {
            sleep(Duration::from_millis(20)).await;
            let calls = (0..100u8).map(|number| {
                let address = site.address();
                async move {
                    let mut stream = TcpStream::connect(address).await?;
                    stream.write_u8(number).await?;
                    stream.read_u8().await
                }
            });
            let mut answers = Vec::new();
            for call in calls.map(Box::pin) {
                answers.push(call.await?);
            }
            settle().await;
        }
        Ok(())
    });
}
