//! A world in motion: the discrete-event loop.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::{FaultReport, Host, HostReport, HostState, Outcome, Progress, Services};
use crate::error::Error;
use crate::fault::{Plan, PlannedFault};
use crate::kernel::{Action, Ended, Kernel, Process, Seed, Stream, with};
use crate::net::HostId;
use crate::time::Time;
use crate::trace::{Kind, TraceHash};

/// So many rounds of the loop without time passing mean that hosts keep waking each other for ever.
const ROUNDS_AT_AN_INSTANT_MAX: u32 = 1_000_000;

/// Looking at the real clock costs about as much as running an idle host; so not every time.
const STEPS_BETWEEN_BUDGET_CHECKS: u32 = 64;

/// A running world, in the hands of [`World::run`](super::World::run).
pub struct Simulation {
    seed: Seed,
    hosts: Vec<Host>,
    processes: Vec<Option<Process>>,
    states: Vec<HostState>,
    /// When each host's own next timer is due.
    deadlines: Vec<Time>,
    pub(crate) plan: Plan,
    pub(crate) services: Services,
    /// By fault: bites that are not the network's.
    pub(crate) bites: Vec<u64>,
    /// By fault: how often the clocks it touches had been read when it set in.
    pub(crate) clock_reads_before: Vec<u64>,
    started: Instant,
    budget: Option<Duration>,
    progress: Arc<Progress>,
    steps: u32,
}

impl Simulation {
    pub(super) fn start(
        seed: Seed,
        hosts: Vec<Host>,
        plan: Plan,
        services: Services,
        budget: Option<Duration>,
        progress: Arc<Progress>,
    ) -> Result<Simulation, Error> {
        let count = hosts.len();
        let mut simulation = Simulation {
            seed,
            processes: hosts.iter().map(|_| None).collect(),
            states: vec![HostState::Running; count],
            deadlines: vec![Time::NEVER; count],
            hosts,
            plan: Plan::default(),
            services,
            bites: Vec::new(),
            clock_reads_before: Vec::new(),
            started: Instant::now(),
            budget,
            progress,
            steps: 0,
        };
        for fault in plan.faults {
            simulation.plan_fault(fault);
        }
        for host in (0..count).map(HostId::new) {
            simulation.boot(host)?;
        }
        Ok(simulation)
    }

    /// The seed.
    pub fn seed(&self) -> u64 {
        self.seed.0
    }

    /// True time since the world began.
    pub fn now(&self) -> Duration {
        with(|kernel| kernel.now.since_start())
    }

    /// A stream of random numbers of its own, by name.
    pub fn stream(&self, purpose: &str) -> Stream {
        self.seed.stream(purpose)
    }

    /// The rolling hash over all events so far.
    pub fn trace_hash(&self) -> TraceHash {
        with(|kernel| kernel.trace.hash())
    }

    /// The address of a host.
    pub fn ip(&self, host: &str) -> Result<std::net::Ipv4Addr, Error> {
        with(|kernel| kernel.topology.host(host).map(|host| kernel.topology.ip(host)))
    }

    /// How a host stands.
    pub fn state(&self, host: &str) -> Result<HostState, Error> {
        let id = with(|kernel| kernel.topology.host(host))?;
        Ok(self.state_of(id))
    }

    fn state_of(&self, host: HostId) -> HostState {
        if with(|kernel| !kernel.machine(host).down_by.is_empty()) {
            return HostState::Down;
        }
        self.states[host.index()].clone()
    }

    /// Adds a fault to the plan; its time counts from the world's beginning, and is now if that has passed.
    pub fn inject(&mut self, fault: PlannedFault) -> Result<(), Error> {
        with(|kernel| fault.check(&kernel.topology, &self.services)).map_err(|source| Error::Fault {
            index: self.plan.faults.len(),
            source: Box::new(source),
        })?;
        self.plan_fault(fault);
        Ok(())
    }

    fn plan_fault(&mut self, fault: PlannedFault) {
        let index = self.plan.faults.len() as u32;
        with(|kernel| {
            let starts = Time::from(fault.at).max(kernel.now);
            kernel.queue.push(starts, 0, Action::FaultStarts { index });
            if let Some(lasting) = fault.lasting {
                kernel
                    .queue
                    .push(starts + lasting, 0, Action::FaultEnds { index });
            }
        });
        self.plan.faults.push(fault);
        self.bites.push(0);
        self.clock_reads_before.push(0);
    }

    /// Runs until this much true time has passed since the world began.
    pub fn run_until(&mut self, end: Duration) -> Result<(), Error> {
        self.advance(Time::from(end), |_| false)
    }

    /// Runs for this much more true time.
    pub fn run_for(&mut self, more: Duration) -> Result<(), Error> {
        let end = with(|kernel| kernel.now) + more;
        self.advance(end, |_| false)
    }

    /// Runs until every client's program has ended.
    pub fn run_until_done(&mut self, limit: Duration) -> Result<(), Error> {
        let done = |simulation: &Simulation| simulation.unfinished().next().is_none();
        self.advance(Time::from(limit), done)?;
        let unfinished: Vec<String> = self.unfinished().map(str::to_owned).collect();
        if unfinished.is_empty() {
            return Ok(());
        }
        Err(Error::Unfinished {
            unfinished,
            at: with(|kernel| kernel.now),
        })
    }

    fn unfinished(&self) -> impl Iterator<Item = &str> {
        let clients = self
            .hosts
            .iter()
            .zip(&self.states)
            .filter(|(host, _)| host.is_client);
        clients
            .filter(|(_, state)| **state == HostState::Running)
            .map(|(host, _)| &*host.name)
    }

    /// The loop: run whoever can run, then jump to the next thing that happens.
    fn advance(&mut self, end: Time, done: impl Fn(&Simulation) -> bool) -> Result<(), Error> {
        let mut rounds = 0;
        loop {
            self.run_hosts()?;
            if done(self) {
                return Ok(());
            }
            self.check_budget()?;
            let (now, next_action) = with(|kernel| (kernel.now, kernel.queue.next_at()));
            let next_timer = self.deadlines.iter().copied().min().unwrap_or(Time::NEVER);
            let next = next_action.min(next_timer).max(now);
            if next > end {
                with(|kernel| kernel.now = kernel.now.max(end));
                return Ok(());
            }
            rounds = if next > now { 0 } else { rounds + 1 };
            if rounds > ROUNDS_AT_AN_INSTANT_MAX {
                return Err(self.livelock(HostId::new(0), "hosts keep waking each other"));
            }
            with(|kernel| kernel.now = next);
            self.progress.now_nanos.store(next.as_nanos(), Ordering::Relaxed);
            while let Some(scheduled) = with(|kernel| kernel.queue.pop_due(next)) {
                match scheduled.action {
                    Action::FaultStarts { index } => self.start_fault(index),
                    Action::FaultEnds { index } => self.end_fault(index)?,
                    Action::Boot { host } => self.boot_if_possible(host)?,
                    action => with(|kernel| {
                        kernel.caused_by(scheduled.cause, |kernel| kernel.apply(action));
                    }),
                }
            }
            for index in 0..self.deadlines.len() {
                if self.deadlines[index] <= next {
                    self.deadlines[index] = Time::NEVER;
                    with(|kernel| kernel.timer_due(HostId::new(index)));
                }
            }
        }
    }

    fn run_hosts(&mut self) -> Result<(), Error> {
        let runnable = with(Kernel::take_runnable);
        for host in runnable {
            let Some(process) = &mut self.processes[host.index()] else {
                with(|kernel| kernel.machine_mut(host).woken_by = None);
                continue;
            };
            let paused = with(|kernel| kernel.machine(host).pauses > 0);
            if paused {
                // What woke it stays noted, and so does a timer that ran out: it runs when it is resumed.
                continue;
            }
            self.progress.host.store(host.index() as u32, Ordering::Relaxed);
            with(|kernel| kernel.begin_activation(host));
            let deadline = process.run();
            self.deadlines[host.index()] = deadline;
            let ended = process.ended();
            let (violation, stuck) = with(|kernel| (kernel.violation.take(), kernel.is_stuck()));
            if let Some(violation) = violation {
                return Err(violation.into());
            }
            if stuck {
                return Err(self.livelock(host, "the program keeps polling or reading its clock"));
            }
            if let Some(ended) = ended {
                self.process_ended(host, ended)?;
            }
        }
        Ok(())
    }

    fn livelock(&self, host: HostId, what: &str) -> Error {
        with(|kernel| Error::Livelock {
            host: kernel.topology.name(host).to_string(),
            at: kernel.now,
            what: what.to_owned(),
        })
    }

    fn check_budget(&mut self) -> Result<(), Error> {
        self.steps = self.steps.wrapping_add(1);
        let Some(budget) = self.budget else { return Ok(()) };
        if self.steps.is_multiple_of(STEPS_BETWEEN_BUDGET_CHECKS) && self.started.elapsed() > budget {
            let host = self.progress.host.load(Ordering::Relaxed) as usize;
            let host = self.hosts[host].name.to_string();
            return Err(Error::OverBudget {
                host,
                at: with(|kernel| kernel.now),
                budget,
            });
        }
        Ok(())
    }

    fn process_ended(&mut self, host: HostId, ended: Ended) -> Result<(), Error> {
        let spec = &self.hosts[host.index()];
        let (name, restarts_after) = (spec.name.to_string(), spec.restarts_after);
        let at = with(|kernel| {
            kernel.record(
                Some(host),
                None,
                &Kind::Exit {
                    ok: matches!(ended, Ended::Well),
                },
            );
            kernel.now
        });
        self.end_process(host);
        self.states[host.index()] = match &ended {
            Ended::Well => HostState::Ended,
            Ended::Failed(message) | Ended::Panicked(message) => HostState::Failed {
                message: message.clone(),
            },
        };
        match (restarts_after, ended) {
            (Some(pause), _) => {
                self.states[host.index()] = HostState::Running;
                with(|kernel| kernel.schedule(at + pause, Action::Boot { host }));
                Ok(())
            }
            (None, Ended::Well) => Ok(()),
            (None, Ended::Failed(message)) => Err(Error::Program {
                host: name,
                at,
                message,
            }),
            (None, Ended::Panicked(message)) => Err(Error::Panicked {
                host: name,
                at,
                message,
            }),
        }
    }

    pub(crate) fn is_running(&self, host: HostId) -> bool {
        self.processes[host.index()].is_some()
    }

    /// Starts a host's program, which runs before time moves on.
    fn boot(&mut self, host: HostId) -> Result<(), Error> {
        let program = self.hosts[host.index()]
            .program
            .as_ref()
            .expect("World::run checked it");
        with(|kernel| {
            let machine = kernel.machine_mut(host);
            machine.incarnation += 1;
            let incarnation = machine.incarnation;
            let cause = kernel.record(Some(host), None, &Kind::Boot { incarnation });
            kernel.caused_by(cause, |kernel| kernel.wake(host));
        });
        let process = Process::boot(host, program).map_err(|source| Error::System {
            doing: "starting a host's runtime",
            source,
        })?;
        self.processes[host.index()] = Some(process);
        self.states[host.index()] = HostState::Running;
        Ok(())
    }

    pub(crate) fn boot_if_possible(&mut self, host: HostId) -> Result<(), Error> {
        let free = with(|kernel| kernel.machine(host).down_by.is_empty());
        if free && !self.is_running(host) {
            self.boot(host)
        } else {
            Ok(())
        }
    }

    /// Ends a host's process: its files are closed as the operating system would close them, then its memory goes.
    pub(crate) fn end_process(&mut self, host: HostId) {
        if let Some(process) = self.processes[host.index()].take() {
            with(|kernel| kernel.close_all(host));
            process.end();
        }
        self.deadlines[host.index()] = Time::NEVER;
    }

    /// Stops everything and says how it went.
    pub(super) fn finish(mut self) -> Result<Outcome, Error> {
        let hosts = self.hosts.iter().enumerate().map(|(index, host)| HostReport {
            name: host.name.to_string(),
            region: host.region.to_string(),
            starts: with(|kernel| kernel.machine(HostId::new(index)).incarnation),
            state: self.state_of(HostId::new(index)),
        });
        let hosts = hosts.collect();
        let faults = (0..self.plan.faults.len() as u32).map(|index| FaultReport {
            what: self.plan.faults[index as usize].fault.to_string(),
            bites: self.bites_of(index),
        });
        let faults = faults.collect();
        let (finished_at, trace_hash, events, stats) = with(|kernel| {
            (
                kernel.now,
                kernel.trace.hash(),
                kernel.trace.count(),
                kernel.stats,
            )
        });
        let trace = with(|kernel| kernel.trace.finish());
        for index in 0..self.processes.len() {
            self.end_process(HostId::new(index));
        }
        let trace = trace.map_err(|source| Error::System {
            doing: "writing the trace",
            source,
        })?;
        Ok(Outcome {
            seed: self.seed.0,
            finished_at,
            trace_hash,
            events,
            stats,
            faults,
            hosts,
            trace,
        })
    }
}

impl Drop for Simulation {
    /// A process may not outlive its world: its destructors need the host's identity.
    fn drop(&mut self) {
        for index in 0..self.processes.len() {
            self.end_process(HostId::new(index));
        }
    }
}

impl std::fmt::Debug for Simulation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Simulation")
            .field("seed", &self.seed)
            .field("now", &self.now())
            .finish_non_exhaustive()
    }
}

impl Kernel {
    /// A host's own timer is due.
    fn timer_due(&mut self, host: HostId) {
        let cause = self.machine(host).last_wake;
        self.machine_mut(host).timer_fired = true;
        self.caused_by(cause, |kernel| kernel.wake(host));
    }

    /// A host is about to run: from here on, it is what brings things about.
    fn begin_activation(&mut self, host: HostId) {
        self.stats.activations += 1;
        let machine = self.machine_mut(host);
        let cause = machine.woken_by.take().unwrap_or(0);
        let timer = std::mem::take(&mut machine.timer_fired);
        let wake = self.caused_by(cause, |kernel| {
            kernel.record(Some(host), None, &Kind::Wake { timer })
        });
        self.machine_mut(host).last_wake = wake;
        self.set_cause(wake);
    }

    /// Does what was scheduled.
    fn apply(&mut self, action: Action) {
        match action {
            Action::Syn { connection, attempt } => self.send_syn(connection, attempt),
            Action::SynArrives { connection } => self.syn_arrives(connection),
            Action::SynAckArrives { connection } => self.syn_ack_arrives(connection),
            Action::RefusalArrives { connection } => self.refusal_arrives(connection),
            Action::Arrives {
                connection,
                from,
                upto,
                fin,
                epoch,
            } => {
                self.arrives(connection, from, upto, fin, epoch);
            }
            Action::Retransmit {
                connection,
                side,
                epoch,
            } => self.retransmit(connection, side, epoch),
            Action::Acknowledged { connection, side } => self.acknowledged(connection, side),
            Action::WindowOpens {
                connection,
                side,
                attempt,
            } => {
                self.announce_window(connection, side, attempt);
            }
            Action::ResetArrives { connection, side } => self.reset_arrives(connection, side),
            Action::Keepalive {
                connection,
                side,
                epoch,
            } => self.keepalive(connection, side, epoch),
            Action::Boot { .. } | Action::FaultStarts { .. } | Action::FaultEnds { .. } => {
                unreachable!("the loop does these itself: they need the processes")
            }
        }
    }
}
