//! The global writer endpoint: an address that leads to the present writer.
//!
//! Modelled: AWS's endpoint is a DNS name with a TTL of 5 s that the control plane points at the writer's cluster endpoint. A
//! world has no names, so this is an address that forwards connections, on a host of the one who asks: it looks the writer
//! up at most every 5 s, so that for so long after a change new connections still go to the old writer. A connection that
//! stands stays where it is.
//! Not modelled: that the resolver itself fails, and clients that keep an address longer than its TTL.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::control::GlobalCluster;

/// How long an answer of the DNS is kept.
const TTL: Duration = Duration::from_secs(5);

/// A resolver's view of the global writer endpoint.
#[derive(Clone, Debug)]
pub struct WriterEndpoint {
    cluster: GlobalCluster,
}

impl WriterEndpoint {
    /// The endpoint of this database.
    pub fn new(cluster: &GlobalCluster) -> WriterEndpoint {
        WriterEndpoint {
            cluster: cluster.clone(),
        }
    }

    /// Forwards connections until dropped; then every one ends.
    ///
    /// # Errors
    /// None once listening: accept errors are waited out.
    pub async fn serve(self, listener: TcpListener) -> io::Result<()> {
        let mut connections = JoinSet::new();
        let mut known: Option<(Instant, SocketAddr)> = None;
        loop {
            tokio::select! {
                // Unbiased selection would draw from a generator that no seed controls.
                biased;
                accepted = listener.accept() => match accepted {
                    Ok((client, _)) => {
                        let fresh = known.filter(|(since, _)| since.elapsed() < TTL);
                        known = fresh.or_else(|| self.look_up());
                        if let Some((_, writer)) = known {
                            connections.spawn(forward(client, writer));
                        }
                    }
                    // Out of descriptors, or a connection that died early: the next may do better.
                    Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
                },
                Some(_) = connections.join_next() => {}
            }
        }
    }

    fn look_up(&self) -> Option<(Instant, SocketAddr)> {
        let writer = self.cluster.writer();
        let member = self.cluster.global.member(&writer)?;
        Some((Instant::now(), member.endpoint))
    }
}

async fn forward(mut client: TcpStream, writer: SocketAddr) {
    if let Ok(mut endpoint) = TcpStream::connect(writer).await {
        let _ = (client.set_nodelay(true), endpoint.set_nodelay(true));
        // However it ends, both sides are closed by dropping them.
        let _ = tokio::io::copy_bidirectional(&mut client, &mut endpoint).await;
    }
}
