//! The kernel: what a simulated host takes for its operating system.
//!
//! A host is an ordinary tokio `current_thread` runtime. The functions of libc through which it meets the outside (`calls`)
//! are defined in this crate and so win over libc's own when the program is linked. While a host of a world runs on
//! a thread they answer from the world; at all other times, and on every other thread, they pass straight on to the
//! operating system.
//!
//! The hinge is `epoll_wait`: it never waits. With nothing ready it notes the time-out that tokio asked for, which is the
//! host's next timer, and makes the host's runtime return. The world then jumps to the next thing that happens
//! anywhere. So an idle hour costs nothing, and everything happens on one thread in one order.
//!
//! Modelled: clocks (`clock`), randomness (`random`), descriptors and epoll (`descriptor`), files (`disk`), TCP (`net`),
//! processes and machines. Not modelled: computing takes no time; processes have no other threads, no signals, no
//! child processes and no limits on memory.

#[cfg(not(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64"))))]
compile_error!(
    "sumzero-sim simulates Linux's calls by defining them: it runs on Linux, on x86-64 and aarch64, only"
);

mod calls;
mod clock;
mod descriptor;
mod disk;
mod fork;
mod machine;
mod queue;
mod random;
mod raw;
mod runtime;
mod violation;

pub use random::{Seed, Stream};
pub use violation::{Breach, Violation};

pub use clock::EPOCH;
pub(crate) use descriptor::{FileId, Object};
pub(crate) use fork::fork;
pub(crate) use machine::{Down, Machine};
pub(crate) use queue::{Action, Queue};
pub(crate) use runtime::{Ended, Failure, HostProgram, Process, warm_up};

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::time::Duration;

use calls::check_interposition;
use descriptor::Descriptors;

use crate::error::Error;
use crate::net::{Connection, HostId, Links, Topology};
use crate::time::Time;
use crate::trace::{Happening, Kind, Trace};

/// So many polls of one host without time passing mean that it will never stop.
const POLLS_AT_AN_INSTANT_MAX: u32 = 200_000;

/// So many looks at the clock without time passing mean that the program waits for it to move.
const CLOCK_READS_AT_AN_INSTANT_MAX: u32 = 20_000_000;

thread_local! {
    /// The world of this thread.
    static KERNEL: RefCell<Option<Kernel>> = const { RefCell::new(None) };
    /// Whether one of its hosts is running at this moment: whether calls are answered or passed on.
    static ON_HOST: Cell<bool> = const { Cell::new(false) };
    /// The clocks of the running host, which stand still while it runs.
    static FACE: Cell<Face> = const { Cell::new(Face { monotonic_nanos: 0, wall_nanos: 0, reads: 0 }) };
}

#[derive(Clone, Copy)]
struct Face {
    monotonic_nanos: u64,
    wall_nanos: i64,
    reads: u32,
}

/// Whether a simulated host is running on this thread.
pub(crate) fn on_host() -> bool {
    ON_HOST.get()
}

/// Looks at the world of this thread.
///
/// Not while a host's code runs inside `look`: the kernel never calls into programs.
pub(crate) fn with<R>(look: impl FnOnce(&mut Kernel) -> R) -> R {
    KERNEL.with(|kernel| look(kernel.borrow_mut().as_mut().expect("this thread has a world")))
}

/// Looks at the world of this thread, if there is one and the kernel itself is not looking at it.
pub(crate) fn try_with<R>(look: impl FnOnce(&mut Kernel) -> R) -> Option<R> {
    let try_look = |kernel: &RefCell<Option<Kernel>>| kernel.try_borrow_mut().ok()?.as_mut().map(look);
    KERNEL.try_with(try_look).ok().flatten()
}

/// Where and when the code that asks is running.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Here {
    /// The host.
    pub host: std::sync::Arc<str>,
    /// True time, which no program of a host has any business to know: for those who watch.
    pub at: Time,
    /// The host's own wall clock, in nanoseconds since 1970.
    pub clock_nanos: i64,
}

/// Which host of which world runs the code that asks; none outside of worlds. Made for recorders of what programs say about
/// themselves, such as a subscriber of `tracing`.
pub fn here() -> Option<Here> {
    if !on_host() {
        return None;
    }
    try_with(|kernel| {
        let host = kernel.running();
        Here {
            host: kernel.topology.name(host).clone(),
            at: kernel.now,
            clock_nanos: kernel.machine(host).clock.wall_nanos(kernel.now),
        }
    })
}

/// Counters of what a world did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Stats {
    /// How often a host was run.
    pub activations: u64,
    /// Messages handed to the network: one for each write, or more where the window was closed.
    pub messages: u64,
    /// Bytes handed to the network, retransmissions not counted.
    pub bytes: u64,
}

pub(crate) struct Kernel {
    pub(crate) now: Time,
    pub(crate) topology: Topology,
    machines: Vec<Machine>,
    pub(crate) descriptors: Descriptors,
    pub(crate) connections: Vec<Option<Box<Connection>>>,
    pub(crate) links: Links,
    pub(crate) queue: Queue,
    pub(crate) trace: Trace,
    pub(crate) stats: Stats,
    pub(crate) violation: Option<Violation>,
    /// The event that brings about whatever happens at this moment.
    cause: u64,
    running: Option<HostId>,
    /// Hosts for which something has arrived.
    runnable: Vec<HostId>,
    poll: PollState,
    /// Answers `getrandom` while the thread's hash keys are drawn, before any host runs.
    hash_keys: Option<Stream>,
    random_bytes_drawn: u64,
    /// The addresses of open directory listings.
    listings: BTreeSet<usize>,
}

/// How the running host's runtime stands with its `epoll_wait`.
#[derive(Default)]
struct PollState {
    idle: bool,
    deadline: Time,
    polls: u32,
    stuck: bool,
}

impl Kernel {
    pub(crate) fn new(seed: Seed, topology: Topology, links: Links, trace: Trace) -> Kernel {
        let machines = topology
            .hosts()
            .map(|host| Machine::new(seed, topology.name(host)))
            .collect();
        Kernel {
            now: Time::ZERO,
            topology,
            machines,
            descriptors: Descriptors::default(),
            connections: Vec::new(),
            links,
            queue: Queue::default(),
            trace,
            stats: Stats::default(),
            violation: None,
            cause: 0,
            running: None,
            runnable: Vec::new(),
            poll: PollState::default(),
            hash_keys: None,
            random_bytes_drawn: 0,
            listings: BTreeSet::new(),
        }
    }

    /// Gives this thread its world, and the keys of its hash maps, which must not have been drawn before.
    pub(crate) fn install(mut self, seed: Seed) -> Result<(), Error> {
        self.hash_keys = Some(seed.stream("hash-keys"));
        KERNEL.with(|kernel| *kernel.borrow_mut() = Some(self));
        let first = HostId::new(0);
        with(|kernel| kernel.switch_to(Some(first)));
        drop(std::collections::hash_map::RandomState::new());
        let interposed = check_interposition();
        with(|kernel| {
            kernel.switch_to(None);
            kernel.hash_keys = None;
        });
        interposed
    }

    /// Takes this thread's world away.
    pub(crate) fn uninstall() -> Option<Kernel> {
        KERNEL.with(|kernel| kernel.borrow_mut().take())
    }

    pub(crate) fn machine(&self, host: HostId) -> &Machine {
        &self.machines[host.index()]
    }

    pub(crate) fn machine_mut(&mut self, host: HostId) -> &mut Machine {
        &mut self.machines[host.index()]
    }

    /// The host whose program made the call that is being answered.
    pub(crate) fn running(&self) -> HostId {
        self.running.expect("stand-ins answer only while a host runs")
    }

    pub(crate) fn fill_random(&mut self, bytes: &mut [u8]) {
        self.random_bytes_drawn += bytes.len() as u64;
        match &mut self.hash_keys {
            Some(stream) => stream.fill(bytes),
            None => {
                let host = self.running();
                self.machine_mut(host).entropy.fill(bytes);
            }
        }
    }

    /// Makes `action` happen at `at`, brought about by what happens now.
    pub(crate) fn schedule(&mut self, at: Time, action: Action) {
        self.queue.push(at, self.cause, action);
    }

    pub(crate) fn caused_by<R>(&mut self, cause: u64, act: impl FnOnce(&mut Kernel) -> R) -> R {
        let outer = std::mem::replace(&mut self.cause, cause);
        let answer = act(self);
        self.cause = outer;
        answer
    }

    /// Makes `cause` what brings about everything until the next one is set.
    pub(crate) fn set_cause(&mut self, cause: u64) {
        self.cause = cause;
    }

    pub(crate) fn record(&mut self, host: Option<HostId>, peer: Option<HostId>, kind: &Kind) -> u64 {
        let host = host.map(|host| (host, self.machine(host).clock.wall_nanos(self.now)));
        self.trace.record(&Happening {
            at: self.now,
            host,
            peer,
            cause: self.cause,
            kind,
        })
    }

    /// Has a host run soon: something arrived for it.
    pub(crate) fn wake(&mut self, host: HostId) {
        // A running host finds it by itself before it goes idle.
        if self.running == Some(host) {
            return;
        }
        let cause = self.cause;
        let machine = self.machine_mut(host);
        if machine.woken_by.is_none() {
            machine.woken_by = Some(cause);
            self.runnable.push(host);
        }
    }

    pub(crate) fn take_runnable(&mut self) -> Vec<HostId> {
        let mut runnable = std::mem::take(&mut self.runnable);
        runnable.sort_unstable();
        runnable
    }

    /// Notes a breach by the running host and stops it as soon as it lets go of the thread.
    pub(crate) fn violate(&mut self, call: String, breach: Breach) {
        if self.violation.is_none() {
            let host = self.topology.name(self.running()).to_string();
            self.violation = Some(Violation {
                host,
                at: self.now,
                call,
                breach,
            });
        }
        self.poll.stuck = true;
    }

    /// Whether the world cannot go on from here.
    pub(crate) fn is_stuck(&self) -> bool {
        self.poll.stuck
    }

    /// Makes `host` the one that runs, or nobody.
    pub(crate) fn switch_to(&mut self, host: Option<HostId>) {
        if let Some(out) = self.running {
            self.machine_mut(out).fastrand = fastrand::get_seed();
        }
        self.running = host;
        if let Some(host) = host {
            let now = self.now;
            let machine = self.machine_mut(host);
            fastrand::seed(machine.fastrand);
            FACE.set(Face {
                monotonic_nanos: machine.clock.monotonic_nanos(now),
                wall_nanos: machine.clock.wall_nanos(now),
                reads: 0,
            });
            self.poll.idle = false;
            self.poll.polls = 0;
        }
        ON_HOST.set(host.is_some());
    }

    /// Answers `epoll_wait`: how many events, and whether the runtime must return to the world.
    fn poll(
        &mut self,
        epoll: i32,
        timeout_ms: i32,
        into: &mut [libc::epoll_event],
    ) -> Result<(usize, bool), i32> {
        let ready = self.epoll_collect(epoll, into)?;
        self.poll.polls += 1;
        if self.poll.polls > POLLS_AT_AN_INSTANT_MAX {
            self.poll.stuck = true;
        }
        if ready == 0 && timeout_ms != 0 {
            let host = self.running();
            self.poll.deadline = match u64::try_from(timeout_ms) {
                Ok(timeout_ms) => self
                    .machine(host)
                    .clock
                    .after(self.now, Duration::from_millis(timeout_ms)),
                Err(_) => Time::NEVER,
            };
            self.poll.idle = true;
        }
        Ok((ready, self.poll.idle || self.poll.stuck))
    }
}

/// The running host's clocks; counts the looks, and ends a wait for time that will not pass by itself.
fn look_at_clock() -> Face {
    let mut face = FACE.get();
    face.reads += 1;
    if face.reads > CLOCK_READS_AT_AN_INSTANT_MAX {
        // The program spins until some time has passed. Let it see time pass, so that it ends; the world is over.
        with(|kernel| kernel.poll.stuck = true);
        face.monotonic_nanos += 1_000_000_000;
        face.wall_nanos += 1_000_000_000;
    }
    FACE.set(face);
    face
}
