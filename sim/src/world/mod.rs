//! Describing a world, and running it.

mod host;
mod outcome;
mod services;
mod simulation;

pub use host::{Answer, Host};
pub use outcome::{FaultReport, HostReport, HostState, Outcome};
pub(crate) use services::Services;
pub use simulation::Simulation;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use crate::error::Error;
use crate::fault::{FaultHandle, Plan, PlannedFault, Service};
use crate::kernel::{Kernel, Seed, warm_up};
use crate::net::{Link, Links, Site, Topology};
use crate::time::Time;
use crate::trace::{Sink, Trace};

/// The stack of a world's thread: what the main thread of a program has.
const STACK_BYTES: usize = 8 << 20;

/// A description of a world. Nothing happens until it is run.
#[derive(Debug)]
pub struct World {
    seed: Seed,
    hosts: Vec<Host>,
    links: Vec<(String, String, Link)>,
    plan: Plan,
    services: Services,
    sink: Sink,
    budget: Option<Duration>,
}

impl World {
    /// An empty world that grows from this seed.
    pub fn new(seed: u64) -> World {
        World {
            seed: Seed(seed),
            hosts: Vec::new(),
            links: Vec::new(),
            plan: Plan::default(),
            services: Services::default(),
            sink: Sink::Off,
            budget: None,
        }
    }

    /// Adds a host that serves: the world does not wait for its program to end.
    pub fn host(mut self, host: Host) -> World {
        self.hosts.push(host);
        self
    }

    /// Adds a host whose program [`run_until_done`](World::run_until_done) waits for.
    pub fn client(mut self, host: Host) -> World {
        self.hosts.push(Host {
            is_client: true,
            ..host
        });
        self
    }

    /// Says what the ways between two places are like, both ways. A place is the name of a host, a zone or a Region, or `*`;
    /// what is said later wins. Where nothing is said: 10 µs within a host, 150 to 250 µs within a zone, 500 to 800 µs
    /// within a Region, 30 to 33 ms between Regions, no loss, no limit on bandwidth.
    pub fn link(mut self, a: impl Into<String>, b: impl Into<String>, link: Link) -> World {
        self.links.push((a.into(), b.into(), link));
        self
    }

    /// Tells the world of a simulated service on one of its hosts, so that faults of the plan can strike it. Without this
    /// such a fault is refused.
    pub fn service(mut self, service: Service, region: impl Into<String>, faults: &FaultHandle) -> World {
        self.services.add(service, region.into(), faults.clone());
        self
    }

    /// Adds a fault to the plan.
    pub fn fault(mut self, fault: PlannedFault) -> World {
        self.plan.faults.push(fault);
        self
    }

    /// Adds all the faults of a plan.
    pub fn plan(mut self, plan: Plan) -> World {
        self.plan.faults.extend(plan.faults);
        self
    }

    /// Sends the events of the run somewhere. Without this only their hash is kept.
    pub fn trace(mut self, sink: Sink) -> World {
        self.sink = sink;
        self
    }

    /// Stops the run with [`Error::OverBudget`] once it has taken this much real time. Without this it may run for ever. A
    /// program that never lets go of the thread cannot be stopped, only left behind: its thread then spins until the
    /// process ends. In a [`campaign`](crate::campaign) that is soon.
    pub fn budget(mut self, real_time: Duration) -> World {
        self.budget = Some(real_time);
        self
    }

    /// Checks the description without running it: names, addresses, every fault of the plan.
    ///
    /// # Errors
    /// What [`run`](World::run) would refuse.
    pub fn check(&self) -> Result<(), Error> {
        self.topology().map(drop)
    }

    fn topology(&self) -> Result<(Topology, Links), Error> {
        let topology = Topology::new(self.hosts.iter().map(Host::site).collect::<Vec<Site>>())?;
        self.plan.check(&topology, &self.services)?;
        let links = Links::new(&topology, self.seed, &self.links)?;
        match self.hosts.iter().find(|host| host.program.is_none()) {
            Some(host) => Err(Error::NoProgram {
                host: host.name.to_string(),
            }),
            None => Ok((topology, links)),
        }
    }

    /// Runs for this much true time, and tells how it went.
    pub fn run_until(self, end: Duration) -> Result<Outcome, Error> {
        self.run(move |simulation| simulation.run_until(end))?.1
    }

    /// Runs until every client's program has ended; [`Error::Unfinished`] if that is not so by `limit` of true time.
    pub fn run_until_done(self, limit: Duration) -> Result<Outcome, Error> {
        self.run(move |simulation| simulation.run_until_done(limit))?.1
    }

    /// Runs step by step: `drive` gets the world at time zero, hosts started, and does with it what it likes. Answers what
    /// `drive` answered and the outcome.
    ///
    /// A world lives on a thread of its own, because a thread keeps things (the keys of its hash maps, for one) that must
    /// be the same at the beginning of every run.
    pub fn run<T, F>(self, drive: F) -> Result<(T, Result<Outcome, Error>), Error>
    where
        T: Send + 'static,
        F: FnOnce(&mut Simulation) -> Result<T, Error> + Send + 'static,
    {
        let (topology, links) = self.topology()?;
        warm_up();
        let progress = Arc::new(Progress::default());
        let (seed, budget, names) = (self.seed, self.budget, topology.names());
        let (answer_to, answer) = mpsc::sync_channel(1);
        let world = {
            let progress = progress.clone();
            move || {
                let trace = Trace::new(seed.0, topology.names(), self.sink);
                let outcome = Kernel::new(seed, topology, links, trace)
                    .install(seed)
                    .and_then(|()| {
                        Simulation::start(seed, self.hosts, self.plan, self.services, budget, progress)
                    })
                    .and_then(|mut simulation| {
                        let driven = drive(&mut simulation);
                        let outcome = simulation.finish();
                        driven.map(|driven| (driven, outcome))
                    });
                drop(Kernel::uninstall());
                // Nobody listens any more when the budget was spent.
                let _ = answer_to.send(outcome);
            }
        };
        let thread = std::thread::Builder::new()
            .name(format!("world-{}", seed.0))
            .stack_size(STACK_BYTES)
            .spawn(world)
            .map_err(|source| Error::System {
                doing: "starting the world's thread",
                source,
            })?;
        let answered = match budget {
            // The world itself looks at its budget between activations; this is for one that never comes back.
            Some(budget) => answer.recv_timeout(budget + Duration::from_secs(1)),
            None => answer.recv().map_err(|_| mpsc::RecvTimeoutError::Disconnected),
        };
        match answered {
            Ok(outcome) => {
                // The thread has nothing left to do but to end.
                let _ = thread.join();
                outcome
            }
            Err(mpsc::RecvTimeoutError::Timeout) => Err(Error::OverBudget {
                host: names[progress.host.load(Ordering::Relaxed) as usize].to_string(),
                at: Time::from_nanos(progress.now_nanos.load(Ordering::Relaxed)),
                budget: budget.unwrap_or_default(),
            }),
            Err(mpsc::RecvTimeoutError::Disconnected) => match thread.join() {
                Err(panic) => std::panic::resume_unwind(panic),
                Ok(()) => unreachable!("the world's thread answers before it ends, unless it panics"),
            },
        }
    }
}

/// How far a world has come, for whoever waits for it.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    host: AtomicU32,
    now_nanos: AtomicU64,
}
