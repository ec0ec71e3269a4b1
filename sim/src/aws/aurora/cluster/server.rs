//! Serving one Region: its endpoints, the other Regions, and the RDS API.

use std::io;
use std::sync::Arc;

use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::api;
use super::message::{Reply, Request, read_frame, write_frame};
use super::region::Region;
use super::shipping::Counters;
use crate::aws::aurora::engine::Engine;
use crate::fault::FaultHandle;

/// Where one Region is served.
#[derive(Debug)]
pub struct Listeners {
    /// The cluster endpoint.
    pub cluster: TcpListener,
    /// The reader endpoint.
    pub reader: TcpListener,
    /// For the other Regions.
    pub replication: TcpListener,
    /// The RDS API.
    pub api: TcpListener,
}

/// One Region's cluster. Clones are handles to the same one; what it holds outlives a server.
#[derive(Clone, Debug)]
pub struct Cluster {
    region: Arc<Region>,
}

impl Cluster {
    pub(super) fn new(region: Arc<Region>) -> Cluster {
        Cluster { region }
    }

    /// The Region.
    pub fn region(&self) -> &str {
        self.region.name()
    }

    /// The faults of this Region's cluster and of its RDS API.
    pub fn faults(&self) -> &FaultHandle {
        &self.region.faults
    }

    /// This Region's account of replication.
    pub fn counters(&self) -> Counters {
        self.region.shipping.counters()
    }

    /// How far each other Region lags behind this one, if this one is the writer's: the age of the oldest commit that it
    /// has not acknowledged, by the monotonic clock of whoever asks.
    pub fn lags(&self) -> std::collections::BTreeMap<String, std::time::Duration> {
        self.region.shipping.lags()
    }

    /// Whether its cluster endpoint takes writes.
    pub fn is_writer(&self) -> bool {
        let state = self.region.state();
        state.writer && state.quiesced.is_none()
    }

    pub(super) fn wrote_last(&self) -> bool {
        self.region.state().wrote_last
    }

    /// Serves until dropped. Run again after its host died, it recovers.
    ///
    /// # Errors
    /// None once listening: accept errors are waited out.
    pub async fn run(self, listeners: Listeners) -> io::Result<()> {
        let region = self.region;
        let mut tasks = JoinSet::new();
        for other in region.others() {
            let (region, other) = (region.clone(), other.to_owned());
            tasks.spawn(async move { region.ship(&other).await });
        }
        region.await_switchover_again();
        tasks.spawn(region.clone().follow_writer());
        for task in [Task::Supervise, Task::Operate, Task::WatchFaults] {
            let region = region.clone();
            tasks.spawn(async move {
                match task {
                    Task::Supervise => region.supervise().await,
                    Task::Operate => region.operate().await,
                    Task::WatchFaults => region.watch_faults().await,
                }
            });
        }
        let head = region.clone();
        tasks.spawn(accept(listeners.cluster, move |socket| {
            serve(head.head(), socket)
        }));
        let reader = region.clone();
        tasks.spawn(accept(listeners.reader, move |socket| {
            serve(reader.reader(), socket)
        }));
        let other = region.clone();
        tasks.spawn(accept(listeners.replication, move |socket| {
            let region = other.clone();
            async move {
                // A connection that breaks is made again from the other side.
                let _ = answer(&region, socket).await;
            }
        }));
        api::serve(listeners.api, &region).await
    }
}

#[derive(Clone, Copy)]
enum Task {
    Supervise,
    Operate,
    WatchFaults,
}

/// Gives each connection a task; all end with this.
async fn accept<F>(listener: TcpListener, handle: impl Fn(TcpStream) -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            // Unbiased selection would draw from a generator that no seed controls.
            biased;
            accepted = listener.accept() => match accepted {
                Ok((socket, _)) => _ = connections.spawn(handle(socket)),
                // Out of descriptors, or a connection that died early: the next may do better.
                Err(_) => tokio::time::sleep(std::time::Duration::from_millis(100)).await,
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

/// Serves a client on an instance. Where there is none at the moment, the connection closes.
async fn serve(instance: Option<Engine>, socket: TcpStream) {
    if let Some(instance) = instance {
        instance.connect(socket).await;
    }
}

/// Answers another Region.
async fn answer(region: &Arc<Region>, mut socket: TcpStream) -> io::Result<()> {
    socket.set_nodelay(true)?;
    loop {
        let reply = match read_frame(&mut socket).await? {
            Request::Follow { timeline, .. } => region.follow(&timeline),
            Request::Log {
                region: writer,
                epoch,
                from,
                to,
                keep,
            } => at(region.receive(&writer, epoch, from, to, keep)),
            Request::Copy { number } => at(region.rejoin(number)),
            Request::Fence { epoch } => {
                let mut state = region.state();
                if state.writer && state.volume.epoch() <= epoch {
                    region.demote(&mut state);
                }
                Reply::Done
            }
            Request::Quiesce { operation } => at(region.quiesce(operation)),
            Request::Resume { operation } => {
                region.resume(operation);
                Reply::Done
            }
            Request::Operate => {
                region.take_operation_up();
                Reply::Done
            }
        };
        write_frame(&mut socket, &reply, 0).await?;
    }
}

fn at(lsn: Option<u64>) -> Reply {
    lsn.map_or(Reply::Refused, |lsn| Reply::At { lsn })
}
