//! The proxy's connections to the cluster.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::{BufMut, BytesMut};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout_at};

use super::Front;
use crate::aws::aurora::cluster::bell::Bell;
use crate::aws::aurora::error::{Error, code};
use crate::aws::aurora::wire::Connection;

/// Between two attempts to reach a cluster that fails over.
const RETRY_PAUSE: Duration = Duration::from_millis(500);
const PROTOCOL: u32 = 3 << 16;

/// What a client asked for when it connected: user, database, settings. Those who asked for the same share connections.
pub(super) type Parameters = BTreeMap<String, String>;

/// A connection to the cluster.
pub(super) struct Server {
    pub(super) connection: Connection,
    /// The messages with which the server described itself.
    pub(super) greeting: BytesMut,
    /// Numbers of the statements prepared on it.
    pub(super) prepared: BTreeSet<u64>,
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server").finish_non_exhaustive()
    }
}

impl Server {
    /// Whether the other side is there and silent, as it should be between transactions.
    fn is_fit(&self) -> bool {
        let waiting = self.connection.socket.try_read(&mut [0]);
        self.connection.input.is_empty()
            && waiting.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
    }
}

/// Why a client gets no connection.
#[derive(Debug)]
pub(super) enum Failed {
    /// What the cluster said: the body of its ErrorResponse.
    Refused(BytesMut),
    /// The borrow time-out.
    TimedOut,
}

impl Failed {
    /// The message for the client.
    pub(super) fn put(&self, out: &mut BytesMut) {
        match self {
            Failed::Refused(body) => {
                crate::aws::aurora::wire::put(out, b'E', |out| out.put_slice(body));
            }
            Failed::TimedOut => crate::aws::aurora::wire::put_error(
                out,
                &Error::fatal(
                    code::TOO_MANY_CONNECTIONS,
                    "timed-out waiting to acquire database connection",
                ),
            ),
        }
    }
}

#[derive(Debug, Default)]
struct Places {
    idle: BTreeMap<Parameters, VecDeque<Server>>,
    /// Connections that exist or are being made.
    taken: usize,
}

#[derive(Debug, Default)]
pub(super) struct Pool {
    places: Mutex<Places>,
    /// Rings when a connection or a place is free.
    free: Bell,
}

enum Found {
    Idle(Server),
    Place,
}

impl Pool {
    fn places(&self) -> MutexGuard<'_, Places> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A fit connection with these parameters, or the place for one; it may have to take that of an idle one with others.
    fn find(&self, parameters: &Parameters, max: usize) -> Option<Found> {
        let mut places = self.places();
        while let Some(server) = places.idle.get_mut(parameters).and_then(VecDeque::pop_back) {
            if server.is_fit() {
                return Some(Found::Idle(server));
            }
            places.taken -= 1;
        }
        if places.taken >= max {
            let other = places.idle.values_mut().find_map(VecDeque::pop_front);
            other.is_some().then_some(Found::Place)
        } else {
            places.taken += 1;
            Some(Found::Place)
        }
    }

    fn vacate(&self) {
        let mut places = self.places();
        places.taken = places.taken.saturating_sub(1);
        drop(places);
        self.free.ring();
    }
}

/// A connection lent to a client. Dropped, it is closed, unless it was given back.
#[derive(Debug)]
pub(super) struct Loan {
    front: Arc<Front>,
    parameters: Parameters,
    server: Option<Server>,
}

impl Loan {
    pub(super) fn server(&mut self) -> &mut Server {
        match &mut self.server {
            Some(server) => server,
            None => unreachable!("only giving it back takes it"),
        }
    }

    /// Makes it available to others.
    pub(super) fn give_back(mut self) {
        if let Some(server) = self.server.take() {
            let pool = &self.front.pool;
            let mut places = pool.places();
            places
                .idle
                .entry(self.parameters.clone())
                .or_default()
                .push_back(server);
            drop(places);
            pool.free.ring();
        }
    }
}

impl Drop for Loan {
    fn drop(&mut self) {
        if self.server.take().is_some() {
            self.front.pool.vacate();
            self.front.recount();
        }
    }
}

/// A place in the pool, free again unless a connection comes to stand there.
struct Place<'p>(Option<&'p Pool>);

impl Drop for Place<'_> {
    fn drop(&mut self) {
        if let Some(pool) = self.0 {
            pool.vacate();
        }
    }
}

impl Front {
    /// Lends a connection, waiting for one if need be.
    pub(super) async fn borrow(self: &Arc<Self>, parameters: &Parameters) -> Result<Loan, Failed> {
        let options = &self.proxy.0.options;
        let deadline = Instant::now() + options.borrow_timeout;
        let lent = timeout_at(deadline, async {
            loop {
                let find = || self.pool.find(parameters, options.connections_max);
                match self.pool.free.until(find).await {
                    Found::Idle(server) => return Ok(server),
                    Found::Place => {
                        let mut place = Place(Some(&self.pool));
                        match self.open(parameters).await {
                            Ok(Ok(server)) => {
                                place.0 = None;
                                return Ok(server);
                            }
                            Ok(Err(refusal)) => return Err(Failed::Refused(refusal)),
                            // It fails over, or is out of reach: later, perhaps.
                            Err(_) => {}
                        }
                        drop(place);
                        sleep(RETRY_PAUSE).await;
                    }
                }
            }
        });
        let lent = lent.await.unwrap_or(Err(Failed::TimedOut));
        self.recount();
        match lent {
            Ok(server) => {
                self.proxy.count(|counters| counters.borrowed += 1);
                Ok(Loan {
                    front: self.clone(),
                    parameters: parameters.clone(),
                    server: Some(server),
                })
            }
            Err(failed) => {
                if matches!(failed, Failed::TimedOut) {
                    self.proxy.count(|counters| counters.timeouts += 1);
                }
                Err(failed)
            }
        }
    }

    fn recount(&self) {
        let taken = self.pool.places().taken as u64;
        self.proxy.count(|counters| {
            counters.connections = taken;
            counters.connections_max = counters.connections_max.max(taken);
        });
    }

    /// Connects to the cluster. The inner error is what it said; a cluster that is starting up counts as out of reach.
    async fn open(&self, parameters: &Parameters) -> io::Result<Result<Server, BytesMut>> {
        let socket = TcpStream::connect(self.proxy.0.options.target).await?;
        socket.set_nodelay(true)?;
        let mut connection = Connection::new(socket);
        let mut startup = BytesMut::new();
        startup.put_u32(PROTOCOL);
        for (name, value) in parameters {
            for text in [name, value] {
                startup.put_slice(text.as_bytes());
                startup.put_u8(0);
            }
        }
        startup.put_u8(0);
        connection.output.put_u32(startup.len() as u32 + 4);
        connection.output.put_slice(&startup);
        connection.flush().await?;
        let mut greeting = BytesMut::new();
        loop {
            match connection.answer().await? {
                Some((b'Z', _)) => {
                    return Ok(Ok(Server {
                        connection,
                        greeting,
                        prepared: BTreeSet::new(),
                    }));
                }
                Some((b'E', body)) if mentions(&body, code::CANNOT_CONNECT_NOW) => {
                    return Err(io::Error::other("the cluster is starting up"));
                }
                Some((b'E', body)) => return Ok(Err(body)),
                Some((b'S', body)) => {
                    crate::aws::aurora::wire::put(&mut greeting, b'S', |out| out.put_slice(&body));
                }
                Some(_) => {}
                None => return Err(io::ErrorKind::UnexpectedEof.into()),
            }
        }
    }
}

/// Whether an ErrorResponse has this SQLSTATE.
fn mentions(body: &[u8], code: &str) -> bool {
    body.split(|byte| *byte == 0)
        .any(|field| field.first() == Some(&b'C') && &field[1..] == code.as_bytes())
}
