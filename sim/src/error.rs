//! What can go wrong with a world, each with the name of the thing and what to do about it.

use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::time::Duration;

use crate::fault::Service;
use crate::kernel::Violation;
use crate::time::Time;

/// Why a world could not be built, or did not come to its end.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The world has no host.
    #[error("the world is empty; add a host with World::host")]
    EmptyWorld,
    /// More hosts than a world can hold.
    #[error("{hosts} hosts are too many; a world holds 10,000")]
    TooManyHosts {
        /// How many were asked for.
        hosts: usize,
    },
    /// Hosts, zones and Regions share one space of names, so that a fault can speak of each by its name alone.
    #[error("the name {name:?} is given twice, to hosts, zones or Regions; each needs a name of its own")]
    DuplicateName {
        /// The name.
        name: String,
    },
    /// Two hosts with one address.
    #[error("the hosts {first:?} and {second:?} both have the address {ip}; give one of them another")]
    DuplicateAddress {
        /// The address.
        ip: Ipv4Addr,
        /// The host that was added first.
        first: String,
        /// The host that was added later.
        second: String,
    },
    /// A loopback, unspecified, multicast or broadcast address.
    #[error(
        "the host {host:?} cannot have the address {ip}; give it one that a machine can have, such as 10.0.0.1"
    )]
    UnusableAddress {
        /// The host.
        host: String,
        /// The address.
        ip: Ipv4Addr,
    },
    /// A host without anything to run.
    #[error("the host {host:?} has no program; give it one with Host::run")]
    NoProgram {
        /// The host.
        host: String,
    },
    /// No host of this name.
    #[error("no host is named {name:?}; did you mean {nearest:?}?")]
    UnknownHost {
        /// The name asked for.
        name: String,
        /// The known name that looks most like it.
        nearest: String,
    },
    /// No Region of this name.
    #[error("no Region is named {name:?}; did you mean {nearest:?}?")]
    UnknownRegion {
        /// The name asked for.
        name: String,
        /// The known name that looks most like it.
        nearest: String,
    },
    /// No host, zone or Region of this name.
    #[error("no host, zone or Region is named {name:?}; did you mean {nearest:?}?")]
    UnknownPlace {
        /// The name asked for.
        name: String,
        /// The known name that looks most like it.
        nearest: String,
    },
    /// No such simulated service.
    #[error(
        "no {service} in {region} is known to this world; add it with World::service (known: {})",
        known.join(", ")
    )]
    UnknownService {
        /// The service asked for.
        service: Service,
        /// Where.
        region: String,
        /// What there is.
        known: Vec<String>,
    },
    /// A value that the thing cannot have.
    #[error("{what}: {field} is {value}, but must be {range}")]
    OutOfRange {
        /// The fault or the link, in words.
        what: String,
        /// Which of its values.
        field: &'static str,
        /// The value given.
        value: String,
        /// What it may be.
        range: &'static str,
    },
    /// A fault in a plan, with what is wrong with it.
    #[error("fault {index} of the plan: {source}")]
    Fault {
        /// Its place in the plan, from 0.
        index: usize,
        /// What is wrong.
        source: Box<Error>,
    },
    /// A plan that cannot be read.
    #[error("the plan cannot be read: {0}")]
    Plan(String),
    /// A host's program ended with an error.
    #[error("the program of host {host:?} failed at {at} s: {message}")]
    Program {
        /// The host.
        host: String,
        /// When, in true time.
        at: Time,
        /// Its error, with its causes.
        message: String,
    },
    /// A host's program panicked.
    #[error("the program of host {host:?} panicked at {at} s: {message}")]
    Panicked {
        /// The host.
        host: String,
        /// When, in true time.
        at: Time,
        /// The panic's message.
        message: String,
    },
    /// A host did something whose outcome no seed decides.
    #[error(transparent)]
    Nondeterministic(#[from] Violation),
    /// The world computed and computed while no time passed.
    #[error(
        "the world stopped moving in time at {at} s: {what} on host {host:?} without a nanosecond passing; look \
         there for a loop that polls or retries without waiting"
    )]
    Livelock {
        /// The host that was running.
        host: String,
        /// Where it stands, in true time.
        at: Time,
        /// What was counted.
        what: String,
    },
    /// The seed took longer than it may.
    #[error("the seed took more than {budget:?} of real time; it stood at {at} s on host {host:?}")]
    OverBudget {
        /// The host that was running.
        host: String,
        /// How far the world had come, in true time.
        at: Time,
        /// What it was allowed.
        budget: Duration,
    },
    /// The clients did not finish in time.
    #[error("at {at} s these clients had not finished: {}", unfinished.join(", "))]
    Unfinished {
        /// The clients.
        unfinished: Vec<String>,
        /// When the world was stopped, in true time.
        at: Time,
    },
    /// A campaign was to be run in a process with several threads.
    #[error(
        "this process has {threads} threads, and a copy of it would have only one of them; run a campaign before any \
         thread is started, from main and not from a test of the standard harness"
    )]
    NotSingleThreaded {
        /// How many there are.
        threads: usize,
    },
    /// A shard that is none.
    #[error("{0:?} is not a shard; write it as 2/8, the second of eight")]
    Shard(String),
    /// A campaign's journal cannot be used.
    #[error("the journal {}: {problem}", path.display())]
    Journal {
        /// The file.
        path: PathBuf,
        /// Why, and what to do.
        problem: String,
    },
    /// What a seed answered does not read as what was written.
    #[error(
        "the answer of seed {seed} cannot be read back ({problem}); give it a type that comes through JSON unchanged, \
         which a float that is not a number does not"
    )]
    UnreadableAnswer {
        /// The seed.
        seed: u64,
        /// What is wrong with it.
        problem: String,
    },
    /// What was to be shrunk does not fail, or not in the wanted way.
    #[error("{}", nothing_to_shrink(wanted.as_deref(), found))]
    NothingToShrink {
        /// The fingerprint of the failure that was asked for, if one was.
        wanted: Option<String>,
        /// The failures that there are.
        found: Vec<String>,
    },
    /// A program that was to be checked against itself gave nothing to compare.
    #[error("`{command}` {problem}")]
    SelfCheck {
        /// The command.
        command: String,
        /// What is missing, and what to do.
        problem: String,
    },
    /// The stand-ins for libc's calls are not in this program.
    #[error(
        "libc's {call} is not answered by the simulation: something was linked before sumzero-sim that defines it, \
         or the program links libc statically; link sumzero-sim into a dynamically linked executable"
    )]
    NotInterposed {
        /// The call that was tried.
        call: &'static str,
    },
    /// The operating system would not do what a world needs.
    #[error("{doing}: {source}")]
    System {
        /// What was being done.
        doing: &'static str,
        /// The operating system's answer.
        source: std::io::Error,
    },
}

fn nothing_to_shrink(wanted: Option<&str>, found: &[String]) -> String {
    match wanted {
        _ if found.is_empty() => {
            "there is nothing to shrink: the run does not fail with this build".to_owned()
        }
        Some(wanted) => format!(
            "there is nothing to shrink: the run does not fail as {wanted} with this build, but as {}; ask for that",
            found.join(", ")
        ),
        None => format!("there is nothing to shrink among {}", found.join(", ")),
    }
}
