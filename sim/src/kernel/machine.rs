//! One simulated machine, as the kernel sees it: clocks, randomness, sockets, disk, and whether it runs.

use super::clock::Clock;
use super::descriptor::FileId;
use super::disk::Drive;
use super::random::{Seed, Stream};
use crate::net::Ports;

pub(crate) struct Machine {
    pub(crate) clock: Clock,
    /// Answers `getrandom`.
    pub(crate) entropy: Stream,
    /// Where this host's own sequence of `fastrand` stands: the generator is one per thread, and all hosts share
    /// the thread.
    pub(crate) fastrand: u64,
    pub(crate) drive: Drive,
    pub(crate) ports: Ports,
    /// The machine has power.
    pub(crate) up: bool,
    /// The n-th process on it; 0 before the first.
    pub(crate) incarnation: u32,
    /// How many faults hold the process stopped.
    pub(crate) pauses: u32,
    /// Something arrived for the process since it last ran, brought about by this event.
    pub(crate) woken_by: Option<u64>,
    /// Its own timer ran out since it last ran.
    pub(crate) timer_fired: bool,
    /// The event of its last activation: what set its timers.
    pub(crate) last_wake: u64,
    /// How often its program read its wall clock.
    pub(crate) wall_clock_reads: u64,
    /// The faults that keep it from running, and whether each took the whole machine.
    pub(crate) down_by: Vec<(u32, Down)>,
    /// A process was running when the first of them set in.
    pub(crate) boots_again: bool,
    /// The open files of its process.
    pub(crate) open: Vec<FileId>,
}

impl Machine {
    pub(crate) fn new(seed: Seed, name: &str) -> Machine {
        let mut entropy = seed.stream(&format!("host/{name}"));
        Machine {
            clock: Clock::new(),
            fastrand: entropy.next_u64(),
            entropy,
            drive: Drive::default(),
            ports: Ports::default(),
            up: true,
            incarnation: 0,
            pauses: 0,
            woken_by: None,
            timer_fired: false,
            last_wake: 0,
            wall_clock_reads: 0,
            down_by: Vec::new(),
            boots_again: false,
            open: Vec::new(),
        }
    }
}

/// What a fault that keeps a host from running took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Down {
    Process,
    Machine,
}
