//! The engine: one PostgreSQL instance and the sockets it serves.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::net::TcpListener;

use super::catalog::Catalog;
use super::state::State;

/// How an instance is set up.
#[derive(Clone, Debug)]
pub struct Options {
    /// Name of the first superuser. Default `postgres`.
    pub superuser: String,
    /// The databases to connect to. They are one and the same by several names. Default `postgres`.
    pub databases: Vec<String>,
    /// Most sessions at once; more are refused with 53300. Default 100.
    pub connections_max: usize,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            superuser: "postgres".into(),
            databases: vec!["postgres".into()],
            connections_max: 100,
        }
    }
}

/// A handle to an instance; clones share it.
#[derive(Clone)]
pub struct Engine {
    state: Arc<Mutex<State>>,
    options: Arc<Options>,
}

impl Engine {
    /// An empty instance.
    pub fn new(options: Options) -> Engine {
        let state = State::new(Catalog::new(&options.superuser), false);
        Engine {
            state: Arc::new(Mutex::new(state)),
            options: Arc::new(options),
        }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn options(&self) -> &Options {
        &self.options
    }

    /// Accepts connections until the listener fails.
    ///
    /// # Errors
    /// What `accept` answers.
    pub async fn serve(&self, listener: TcpListener) -> std::io::Result<()> {
        loop {
            let (socket, _) = listener.accept().await?;
            let engine = self.clone();
            tokio::spawn(async move {
                // A client that vanishes is no fault of the server.
                let _ = super::wire::connection(engine, socket).await;
            });
        }
    }
}
