//! A stand-in for RDS Proxy: many clients share few connections to a cluster, transaction by transaction.
//!
//! Modelled: a connection is lent for one transaction, or for one statement outside of one. What would leave something of
//! the session behind pins it: the client then keeps its connection until it leaves, and the connection ends with it
//! ([`Pin`]). Prepared statements of the protocol do not pin: the proxy prepares them again where they are missing. A client
//! waits for a connection, also through a failover, up to the borrow time-out. A connection that breaks takes along the
//! client that it was lent to and no other.
//! Not modelled: authentication by IAM and secrets, TLS, the reader endpoint, read/write splitting, cancel requests (they are
//! dropped), idle client time-outs, session pinning filters.

mod client;
mod pin;
mod pool;

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::Serialize;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

pub use pin::Pin;

use self::pool::Pool;

/// How a proxy is set up.
#[derive(Clone, Debug)]
pub struct Options {
    /// The cluster endpoint.
    pub target: SocketAddr,
    /// Most connections to the cluster at once (AWS: a share of the cluster's own limit). Default 90.
    pub connections_max: usize,
    /// How long a client waits for a connection before it is told 53300 (AWS: `ConnectionBorrowTimeout`). Default 120 s.
    pub borrow_timeout: Duration,
}

impl Options {
    /// AWS's defaults, before this cluster.
    pub fn new(target: SocketAddr) -> Options {
        Options {
            target,
            connections_max: 90,
            borrow_timeout: Duration::from_secs(120),
        }
    }
}

/// What has happened so far, for a judge that knows everything.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counters {
    /// Clients connected now.
    pub clients: u64,
    /// Connections to the cluster now.
    pub connections: u64,
    /// The most there ever were.
    pub connections_max: u64,
    /// Of them, those pinned now (AWS: `DatabaseConnectionsCurrentlySessionPinned`).
    pub pinned: u64,
    /// Sessions pinned so far, by why.
    pub pins: BTreeMap<Pin, u64>,
    /// Times that a connection was lent.
    pub borrowed: u64,
    /// Times that a client waited for one in vain.
    pub timeouts: u64,
}

#[derive(Debug, Default)]
struct State {
    counters: Counters,
    /// Every statement that a client prepared, with its number.
    statements: BTreeMap<Vec<u8>, u64>,
}

#[derive(Debug)]
struct Shared {
    options: Options,
    state: Mutex<State>,
}

/// A proxy being served. Its connections end with its server, whatever becomes of the handles.
#[derive(Debug)]
struct Front {
    proxy: Proxy,
    pool: Pool,
}

/// A proxy. Clones are the same one: keep one as a handle and serve another.
#[derive(Clone, Debug)]
pub struct Proxy(Arc<Shared>);

impl Proxy {
    /// A proxy without connections.
    pub fn new(options: Options) -> Proxy {
        Proxy(Arc::new(Shared {
            options,
            state: Mutex::default(),
        }))
    }

    /// Serves clients until dropped; then every connection ends.
    ///
    /// # Errors
    /// None once listening: accept errors are waited out.
    pub async fn serve(self, listener: TcpListener) -> io::Result<()> {
        // An earlier server may have died with its clients.
        self.count(|counters| (counters.clients, counters.connections, counters.pinned) = (0, 0, 0));
        let front = Arc::new(Front {
            proxy: self,
            pool: Pool::default(),
        });
        let mut clients = JoinSet::new();
        loop {
            tokio::select! {
                // Unbiased selection would draw from a generator that no seed controls.
                biased;
                accepted = listener.accept() => match accepted {
                    Ok((socket, _)) => {
                        let front = front.clone();
                        clients.spawn(async move {
                            front.proxy.count(|counters| counters.clients += 1);
                            // A client that vanishes is no fault of the proxy.
                            let _ = client::serve(&front, socket).await;
                            front.proxy.count(|counters| counters.clients -= 1);
                        });
                    }
                    // Out of descriptors, or a connection that died early: the next may do better.
                    Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
                },
                Some(_) = clients.join_next() => {}
            }
        }
    }

    /// What has happened so far.
    pub fn counters(&self) -> Counters {
        self.state().counters.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn count(&self, count: impl FnOnce(&mut Counters)) {
        count(&mut self.state().counters);
    }

    /// The number of a statement: the same for all who prepare the same.
    fn number(&self, statement: &[u8]) -> u64 {
        let mut state = self.state();
        let next = state.statements.len() as u64 + 1;
        *state.statements.entry(statement.to_vec()).or_insert(next)
    }
}
