//! Fifteen hosts in a ring, each sending its neighbour a message every 15 ms on one TCP connection: 1,000 a second.

use std::io;
use std::time::Duration;

use sumzero_sim::{Host, World};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// Hosts in the ring.
pub const HOSTS: usize = 15;

/// Messages a second, of all hosts together.
pub const MESSAGES_PER_SECOND: u64 = 1_000;

const MESSAGE: [u8; 64] = [7; 64];

async fn read_all(mut stream: impl AsyncRead + Unpin) -> io::Result<()> {
    let mut message = [0; MESSAGE.len()];
    loop {
        stream.read_exact(&mut message).await?;
    }
}

async fn write_all(mut stream: impl AsyncWrite + Unpin) -> io::Result<()> {
    let pause = Duration::from_micros(HOSTS as u64 * 1_000_000 / MESSAGES_PER_SECOND);
    loop {
        tokio::time::sleep(pause).await;
        stream.write_all(&MESSAGE).await?;
    }
}

/// The world.
pub fn world() -> World {
    (0..HOSTS).fold(World::new(1), |world, index| {
        let next = format!("10.0.1.{}:80", (index + 1) % HOSTS + 1);
        let program = move || {
            let next = next.clone();
            async move {
                let listener = tokio::net::TcpListener::bind("0.0.0.0:80").await?;
                let out = tokio::net::TcpStream::connect(next).await?;
                tokio::spawn(write_all(out));
                read_all(listener.accept().await?.0).await
            }
        };
        world.host(
            Host::new(format!("host-{index}"))
                .ip([10, 0, 1, index as u8 + 1])
                .run(program),
        )
    })
}

/// The same under turmoil.
pub fn turmoil() -> turmoil::Sim<'static> {
    let mut simulation = crate::turmoil();
    for index in 0..HOSTS {
        simulation.host(format!("host-{index}"), move || async move {
            let listener = turmoil::net::TcpListener::bind("0.0.0.0:80").await?;
            // Each listens before any connects: turmoil may deliver within the tick.
            tokio::time::sleep(Duration::from_millis(10)).await;
            let out = turmoil::net::TcpStream::connect(format!("host-{}:80", (index + 1) % HOSTS)).await?;
            tokio::spawn(write_all(out));
            read_all(listener.accept().await?.0).await?;
            Ok(())
        });
    }
    simulation
}
