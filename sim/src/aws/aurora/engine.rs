//! The engine: one PostgreSQL instance and the sockets it serves.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::net::{TcpListener, TcpStream};

use super::catalog::Catalog;
use super::cluster::gate::Gate;
use super::error::Result;
use super::sql::parse::{Cache, Parsed};
use super::state::State;
use super::storage::Volume;
use super::storage::log::{Log, Lsn, Record};

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
    gate: Option<Arc<Gate>>,
    texts: Arc<Mutex<Cache>>,
}

impl Engine {
    /// An empty instance that stands alone.
    pub fn new(options: Options) -> Engine {
        let state = State::new(Catalog::new(&options.superuser), Log::new(Log::START, None));
        Engine {
            state: Arc::new(Mutex::new(state)),
            options: Arc::new(options),
            gate: None,
            texts: Arc::default(),
        }
    }

    /// An instance of a cluster, started on its volume.
    ///
    /// # Errors
    /// The volume holds a row that its own index refuses.
    pub(super) fn on(
        volume: &Volume,
        options: &Arc<Options>,
        gate: &Arc<Gate>,
        read_only: bool,
    ) -> Result<Engine> {
        let mut state = State::recovered(volume)?;
        state.read_only = read_only;
        Ok(Engine {
            state: Arc::new(Mutex::new(state)),
            options: options.clone(),
            gate: Some(gate.clone()),
            texts: Arc::default(),
        })
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The statements of a text.
    ///
    /// # Errors
    /// It is not understood.
    pub(super) fn parse(&self, sql: &str) -> Result<Vec<Parsed>> {
        let mut texts = self.texts.lock().unwrap_or_else(PoisonError::into_inner);
        texts.parse(sql)
    }

    pub(super) fn options(&self) -> &Options {
        &self.options
    }

    /// What the cluster makes its statements and commits wait for, or suffer.
    pub(super) fn gate(&self) -> Option<&Arc<Gate>> {
        self.gate.as_ref()
    }

    /// Accepts connections until the listener fails.
    ///
    /// # Errors
    /// What `accept` answers.
    pub async fn serve(&self, listener: TcpListener) -> std::io::Result<()> {
        loop {
            let (socket, _) = listener.accept().await?;
            let engine = self.clone();
            tokio::spawn(async move { engine.connect(socket).await });
        }
    }

    /// Serves one client until either side ends it.
    pub(super) async fn connect(&self, socket: TcpStream) {
        // A client that vanishes is no fault of the server.
        let _ = super::wire::connection(self.clone(), socket).await;
    }

    /// The end of the log as far as this instance has come.
    pub(super) fn position(&self) -> Lsn {
        self.state().log.end()
    }

    /// Makes transactions of the writer visible here.
    ///
    /// # Errors
    /// As [`Engine::on`].
    pub(super) fn follow(&self, records: &[Arc<Record>]) -> Result<()> {
        let mut state = self.state();
        records.iter().try_for_each(|record| state.apply(record))
    }

    /// Reads everything anew from a volume that goes on differently from here: what was undone here must not come back when
    /// the other writer uses the same transaction ids. Idle sessions stay.
    ///
    /// # Errors
    /// As [`Engine::on`]; then nothing has changed.
    pub(super) fn reload(&self, volume: &Volume) -> Result<()> {
        let mut anew = State::recovered(volume)?;
        let mut state = self.state();
        anew.succeed(&mut state);
        *state = anew;
        Ok(())
    }

    /// Ends every connection without a word and lets nothing happen here any more.
    pub(super) fn crash(&self) {
        let mut state = self.state();
        state.down = true;
        for backend in state.backends.values() {
            backend.signal.hang_up();
        }
    }

    /// Crashes by itself: the cluster is yet to notice.
    pub(super) fn die(&self) {
        self.crash();
        if let Some(gate) = &self.gate {
            gate.crashed();
        }
    }

    /// Stops writes: sessions inside a transaction are terminated, the others may go on reading.
    pub(super) fn fence(&self) {
        let mut state = self.state();
        state.read_only = true;
        for backend in state.backends.values() {
            if backend.in_transaction() {
                backend.signal.terminate();
            }
        }
    }

    /// Takes writes again.
    pub(super) fn unfence(&self) {
        self.state().read_only = false;
    }
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine").finish_non_exhaustive()
    }
}
