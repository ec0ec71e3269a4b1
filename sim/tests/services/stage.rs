//! Where a test's body runs: over real sockets on localhost, or in a world, one host a server. The body cannot tell.
//!
//! A scene reserves addresses and puts servers there; then the body runs against it. In a world each server has a host of
//! its own in its Region, a cut is a partition of the network and a kill is a kill. On localhost each server has a thread
//! with a runtime of its own, a cut is a relay that swallows what it carries, and a kill takes the runtime away.

use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener as StdListener};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sumzero_sim::fault::{FaultHandle, Service};
use sumzero_sim::{Disk, Error, Fault, Host, HostState, Link, Outcome, Plan, PlannedFault, World};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use crate::relay;

/// Where servers listen in a world, counted up from here.
const FIRST_PORT: u16 = 8000;
/// A body that has not ended by then hangs.
const LIMIT: Duration = Duration::from_secs(3_600);
/// How often a world looks whether its body asked for a fault.
const STEP: Duration = Duration::from_millis(1);
/// What a fault takes to be in force, in both places.
const SETTLE: Duration = Duration::from_millis(20);

type Serving = Pin<Box<dyn Future<Output = io::Result<()>> + Send>>;
type Serve = Arc<dyn Fn(Vec<TcpListener>) -> Serving + Send + Sync>;

struct Server {
    name: String,
    region: String,
    addresses: Vec<SocketAddr>,
    /// On localhost only: bound at once, so that everybody's port is known before anybody serves.
    listeners: Vec<StdListener>,
    serve: Option<Serve>,
}

/// A scene in the making.
pub(crate) struct Stage {
    in_world: bool,
    servers: Vec<Server>,
    relays: Vec<(StdListener, SocketAddr, relay::Way)>,
    services: Vec<(Service, String, FaultHandle)>,
    trouble: Trouble,
}

/// Makes trouble for the servers of a running scene.
#[derive(Clone, Default)]
pub(crate) struct Trouble(Arc<Mutex<Orders>>);

#[derive(Default)]
struct Orders {
    /// In a world: faults with how long they last.
    faults: Vec<(Fault, Duration)>,
    /// On localhost: the ways between servers, by their ends.
    ways: Vec<(String, String, relay::Way)>,
    /// On localhost: who tells a server to go down for a while.
    servers: BTreeMap<String, mpsc::UnboundedSender<Duration>>,
}

impl Stage {
    fn new(in_world: bool) -> Stage {
        Stage {
            in_world,
            servers: Vec::new(),
            relays: Vec::new(),
            services: Vec::new(),
            trouble: Trouble::default(),
        }
    }

    /// Reserves a host for a server, with so many addresses to listen on.
    pub(crate) fn reserve(&mut self, region: &str, name: &str, ports: u16) -> Vec<SocketAddr> {
        let mut listeners = Vec::new();
        let addresses = (0..ports).map(|port| {
            if self.in_world {
                let ip = Ipv4Addr::new(10, 0, 0, self.servers.len() as u8 + 1);
                return SocketAddr::from((ip, FIRST_PORT + port));
            }
            let listener = StdListener::bind("127.0.0.1:0").expect("a free port");
            let address = listener.local_addr().expect("address");
            listeners.push(listener);
            address
        });
        let addresses: Vec<SocketAddr> = addresses.collect();
        self.servers.push(Server {
            name: name.to_owned(),
            region: region.to_owned(),
            addresses: addresses.clone(),
            listeners,
            serve: None,
        });
        addresses
    }

    /// Says how the server on a reserved host serves; called anew whenever the host starts.
    pub(crate) fn serve<F>(
        &mut self,
        name: &str,
        serve: impl Fn(Vec<TcpListener>) -> F + Send + Sync + 'static,
    ) where
        F: Future<Output = io::Result<()>> + Send + 'static,
    {
        let server = self.servers.iter_mut().find(|server| server.name == name);
        server.expect("reserved").serve = Some(Arc::new(move |listeners| Box::pin(serve(listeners))));
    }

    /// Where the server `from` finds the server `to` that listens at `address`, so that the way between the two can be
    /// cut.
    pub(crate) fn way(&mut self, from: &str, to: &str, address: SocketAddr) -> SocketAddr {
        if self.in_world {
            return address;
        }
        let listener = StdListener::bind("127.0.0.1:0").expect("a free port");
        let here = listener.local_addr().expect("address");
        let way = relay::Way::default();
        self.relays.push((listener, address, way.clone()));
        self.trouble
            .orders()
            .ways
            .push((from.to_owned(), to.to_owned(), way));
        here
    }

    /// Lets the faults of a world's plan strike a service.
    pub(crate) fn exposes(&mut self, service: Service, region: &str, faults: &FaultHandle) {
        self.services.push((service, region.to_owned(), faults.clone()));
    }

    /// For the scene to hand to its body.
    pub(crate) fn trouble(&self) -> Trouble {
        self.trouble.clone()
    }
}

impl Trouble {
    fn orders(&self) -> MutexGuard<'_, Orders> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Cuts the ways between one server and some others for a while. Returns when they are cut.
    pub(crate) async fn cut(&self, one: &str, others: &[&str], lasting: Duration) {
        for other in others {
            let between = |from: &str, to: &str| [(one, *other), (*other, one)].contains(&(from, to));
            let mut orders = self.orders();
            orders.faults.push((Fault::partition(one, *other), lasting));
            for (_, _, way) in orders.ways.iter().filter(|(from, to, _)| between(from, to)) {
                way.cut(lasting);
            }
        }
        tokio::time::sleep(SETTLE).await;
    }

    /// Kills a server's process and starts it again after a while. Returns when it is dead.
    pub(crate) async fn kill(&self, server: &str, down: Duration) {
        self.take_down(server, Fault::kill(server), down).await;
    }

    /// Loses a server's machine, which comes back after a while. On localhost no more than [`kill`](Self::kill).
    pub(crate) async fn lose(&self, server: &str, down: Duration) {
        self.take_down(server, Fault::machine_loss(server, Disk::Kept), down)
            .await;
    }

    async fn take_down(&self, server: &str, fault: Fault, down: Duration) {
        {
            let mut orders = self.orders();
            orders.faults.push((fault, down));
            if let Some(runtime) = orders.servers.get(server) {
                runtime.send(down).expect("the server's thread lives");
            }
        }
        tokio::time::sleep(SETTLE).await;
    }
}

/// Plays a scene's body on localhost.
pub(crate) fn on_localhost<T, F>(scene: impl FnOnce(&mut Stage) -> T, body: impl FnOnce(T) -> F)
where
    F: Future<Output = ()>,
{
    let mut stage = Stage::new(false);
    let cast = scene(&mut stage);
    for server in stage.servers {
        let (orders, obey) = mpsc::unbounded_channel();
        stage.trouble.orders().servers.insert(server.name.clone(), orders);
        let name = server.name.clone();
        std::thread::Builder::new()
            .name(name)
            .spawn(|| run_server(server, obey))
            .expect("a thread");
    }
    runtime().block_on(async {
        for (listener, target, way) in stage.relays {
            tokio::spawn(relay::carry_all(listening(listener), target, way));
        }
        body(cast).await;
    });
    // The servers' threads end with their orders.
    stage.trouble.orders().servers.clear();
}

fn run_server(server: Server, mut orders: mpsc::UnboundedReceiver<Duration>) {
    let serve = server.serve.expect("every reserved host serves");
    let mut listeners = server.listeners;
    loop {
        let down = runtime().block_on(async {
            let listeners = listeners.drain(..).map(listening).collect();
            tokio::select! {
                order = orders.recv() => order,
                ended = serve(listeners) => panic!("{} ended: {ended:?}", server.name),
            }
        });
        let Some(down) = down else { return };
        std::thread::sleep(down);
        let again = server
            .addresses
            .iter()
            .map(|address| StdListener::bind(address).expect("its own port"));
        listeners = again.collect();
    }
}

fn runtime() -> tokio::runtime::Runtime {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_all().build().expect("a runtime")
}

fn listening(listener: StdListener) -> TcpListener {
    listener.set_nonblocking(true).expect("nonblocking");
    TcpListener::from_std(listener).expect("a listener")
}

/// Plays a scene's body in a world that grows from this seed, with these faults besides those that the body asks for.
pub(crate) fn in_world<T, F>(
    seed: u64,
    faults: Vec<PlannedFault>,
    scene: impl FnOnce(&mut Stage) -> T,
    body: impl Fn(T) -> F + Send + Sync + 'static,
) -> Result<Outcome, Error>
where
    T: Clone + Send + Sync + 'static,
    F: Future<Output = ()> + 'static,
{
    let mut stage = Stage::new(true);
    let cast = scene(&mut stage);
    let trouble = stage.trouble.clone();
    let mut world = World::new(seed).link("clients", "*", Link::delay(Duration::from_millis(1)));
    for server in stage.servers {
        let serve = server.serve.expect("every reserved host serves");
        let SocketAddr::V4(first) = server.addresses[0] else {
            unreachable!("worlds have IPv4 addresses")
        };
        let ports: Vec<u16> = server.addresses.iter().map(SocketAddr::port).collect();
        let host = Host::new(server.name).region(server.region).ip(*first.ip());
        world = world.host(host.run(move || {
            let (serve, ports) = (serve.clone(), ports.clone());
            async move {
                let mut listeners = Vec::new();
                for port in ports {
                    listeners.push(TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).await?);
                }
                serve(listeners).await
            }
        }));
    }
    for (service, region, handle) in &stage.services {
        world = world.service(*service, region.clone(), handle);
    }
    world = world.plan(Plan { faults });
    let body = Arc::new(body);
    let client = Host::new("client").region("clients").run(move || {
        let (body, cast) = (body.clone(), cast.clone());
        async move { body(cast).await }
    });
    let played = world.client(client).run(move |simulation| {
        while simulation.state("client")? == HostState::Running {
            simulation.run_for(STEP)?;
            let faults = std::mem::take(&mut trouble.orders().faults);
            for (fault, lasting) in faults {
                let now = simulation.now();
                simulation.inject(fault.at(now).lasting(lasting))?;
            }
            if simulation.now() > LIMIT {
                simulation.run_until_done(LIMIT)?;
            }
        }
        Ok::<_, Error>(())
    });
    played.and_then(|((), outcome)| outcome)
}

/// Plays a scene's body in worlds of one seed: the traces must be the same.
pub(crate) fn twice_in_a_world<T, F>(
    scene: impl Fn(&mut Stage) -> T,
    body: impl Fn(T) -> F + Copy + Send + Sync + 'static,
) where
    T: Clone + Send + Sync + 'static,
    F: Future<Output = ()> + 'static,
{
    let play = || {
        let outcome = in_world(1, Vec::new(), &scene, body);
        outcome.unwrap_or_else(|error| panic!("{error}")).trace_hash
    };
    // The first world finds things that a process keeps once, an SDK's tables for instance, not yet made; making them
    // there draws hash keys that later worlds do not draw. A campaign forks each world from the same process instead.
    play();
    assert_eq!(play(), play(), "one seed, two traces");
}

/// A test on localhost and one in a world for each body, all in one scene.
macro_rules! in_both_places {
    ($scene:expr => $($body:ident),+ $(,)?) => {$(
        mod $body {
            #[allow(unused_imports)]
            use super::*;

            #[test]
            fn on_localhost() {
                crate::stage::on_localhost($scene, super::$body);
            }

            #[test]
            fn in_a_world() {
                crate::stage::twice_in_a_world($scene, super::$body);
            }
        }
    )+};
}
pub(crate) use in_both_places;
