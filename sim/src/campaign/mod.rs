//! Many seeds: each in a process of its own, forked from a warm parent with a single thread.
//!
//! So every seed begins with the same memory, the same statics and the same ids, and whatever becomes of it (a panic, an
//! abort, a full stack, an endless loop, too much memory) is that seed's result and nobody else's. Results come in the
//! order of the seeds, whichever ended first; so they are the same with any number of jobs, and a campaign that was
//! interrupted can go on from its journal. What fails is made as small as it will go by [`shrink`].
//!
//! What a program keeps once for all its worlds (a parsed scenario, tables, a connection pool's types) is made
//! before [`Campaign::run`] and shared by all seeds without a copy.

mod child;
mod fate;
mod journal;
mod selfcheck;
mod shard;
pub mod shrink;

pub use fate::Fate;
pub use selfcheck::{SelfCheck, self_check};
pub use shard::Shard;

use std::collections::{BTreeMap, VecDeque};
use std::num::NonZeroUsize;
use std::ops::{ControlFlow, Range};
use std::path::PathBuf;
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::Error;
use crate::kernel::warm_up;
use child::Child;
use journal::{Header, Journal, Line};

/// What one seed may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Real time. Default: 60 s.
    pub real_time: Duration,
    /// Memory beyond what its parent had, in bytes: writable private memory, its 8 MiB of stack among it. Default: 1 GiB.
    pub memory_bytes: u64,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            real_time: Duration::from_secs(60),
            memory_bytes: 1 << 30,
        }
    }
}

/// One seed's result.
#[derive(Clone, Debug)]
pub struct SeedResult<T> {
    /// The seed.
    pub seed: u64,
    /// What became of it.
    pub fate: Fate<T>,
    /// The end of what it printed, for people. It is no part of the result: a panic's text, for one, names a thread by a
    /// number that the operating system gave it. Empty if the result is from the journal.
    pub output: String,
    /// The real time it took; none if the result is from the journal.
    pub took: Option<Duration>,
}

/// A description of a campaign. Nothing happens until it is run.
#[derive(Clone, Debug)]
pub struct Campaign {
    seeds: Range<u64>,
    jobs: NonZeroUsize,
    shard: Shard,
    limits: Limits,
    journal: Option<(PathBuf, String)>,
}

impl Campaign {
    /// All these seeds, one a core at a time. For an open end, let the caller of [`run`](Campaign::run) break off.
    pub fn new(seeds: Range<u64>) -> Campaign {
        Campaign {
            seeds,
            jobs: std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN),
            shard: Shard::WHOLE,
            limits: Limits::default(),
            journal: None,
        }
    }

    /// So many seeds at a time.
    pub fn jobs(self, jobs: NonZeroUsize) -> Campaign {
        Campaign { jobs, ..self }
    }

    /// Only the seeds of one shard.
    pub fn shard(self, shard: Shard) -> Campaign {
        Campaign { shard, ..self }
    }

    /// What each seed may use.
    pub fn limits(self, limits: Limits) -> Campaign {
        Campaign { limits, ..self }
    }

    /// Writes the results to a file, and goes on from those it holds. `title` says what is being run, with all that
    /// decides a result besides the seed; the journal of another title, shard, first seed or program is refused.
    pub fn journal(self, path: impl Into<PathBuf>, title: impl Into<String>) -> Campaign {
        Campaign {
            journal: Some((path.into(), title.into())),
            ..self
        }
    }

    /// Runs the seeds and hands each result to `each`, in the order of the seeds, until there are no more or `each` breaks
    /// off. Answers how many results were handed over.
    ///
    /// # Errors
    /// [`Error::NotSingleThreaded`] if this process has another thread; [`Error::Journal`]; the operating system's.
    pub fn run<T: Serialize + DeserializeOwned>(
        self,
        run: impl Fn(u64) -> T,
        mut each: impl FnMut(SeedResult<T>) -> ControlFlow<()>,
    ) -> Result<u64, Error> {
        let mut seeds = self.shard.seeds(self.seeds.clone());
        let mut handed_over = 0;
        let mut journal = None;
        if let Some((path, title)) = &self.journal {
            let header = Header::new(title, self.seeds.start, self.shard.to_string())?;
            let (opened, known) = Journal::open(path, &header)?;
            journal = Some(opened);
            for Line { seed, fate } in known {
                let Some(expected) = seeds.next() else {
                    return Ok(handed_over);
                };
                if seed != expected {
                    return Err(Error::Journal {
                        path: path.clone(),
                        problem: format!("it has seed {seed} where seed {expected} should be; delete it"),
                    });
                }
                handed_over += 1;
                let (output, took) = (String::new(), None);
                if each(SeedResult {
                    seed,
                    fate,
                    output,
                    took,
                })
                .is_break()
                {
                    return Ok(handed_over);
                }
            }
        }
        warm_up();
        let mut running: Vec<Child> = Vec::new();
        let mut order = InOrder::new();
        loop {
            while running.len() < self.jobs.get() {
                let Some(seed) = seeds.next() else { break };
                order.expect(seed);
                running.push(Child::start(seed, self.limits, &run)?);
            }
            if running.is_empty() {
                return Ok(handed_over);
            }
            for ended in wait(&mut running)? {
                order.add(ended.into_result()?);
            }
            while let Some(result) = order.next() {
                if let Some(journal) = &mut journal {
                    journal.add(result.seed, &result.fate)?;
                }
                handed_over += 1;
                if each(result).is_break() {
                    return Ok(handed_over);
                }
            }
        }
    }
}

/// Waits until something has happened to the children; takes out those that ended.
fn wait(running: &mut Vec<Child>) -> Result<Vec<Child>, Error> {
    let time_left = running.iter().map(Child::time_left).min().unwrap_or_default();
    // Rounded up: a time-out that came too early would only come again.
    let millis = time_left.as_millis() as u64 + 1;
    let timeout = PollTimeout::try_from(millis).unwrap_or(PollTimeout::MAX);
    let mut pipes: Vec<PollFd<'_>> = running
        .iter()
        .flat_map(Child::pipes)
        .map(|pipe| PollFd::new(pipe, PollFlags::POLLIN))
        .collect();
    match poll(&mut pipes, timeout) {
        Ok(_) | Err(Errno::EINTR) => {}
        Err(error) => {
            return Err(Error::System {
                doing: "waiting for the seeds' processes",
                source: error.into(),
            });
        }
    }
    let ready: Vec<bool> = pipes.iter().map(|pipe| pipe.any().unwrap_or(false)).collect();
    let mut ended = Vec::new();
    for index in (0..running.len()).rev() {
        if running[index].read([ready[2 * index], ready[2 * index + 1]])? {
            ended.push(running.remove(index));
        } else {
            running[index].kill_if_late();
        }
    }
    Ok(ended)
}

/// Puts results into the order in which their seeds were started.
struct InOrder<T> {
    started: VecDeque<u64>,
    ended: BTreeMap<u64, SeedResult<T>>,
}

impl<T> InOrder<T> {
    fn new() -> InOrder<T> {
        InOrder {
            started: VecDeque::new(),
            ended: BTreeMap::new(),
        }
    }

    fn expect(&mut self, seed: u64) {
        self.started.push_back(seed);
    }

    fn add(&mut self, result: SeedResult<T>) {
        self.ended.insert(result.seed, result);
    }

    fn next(&mut self) -> Option<SeedResult<T>> {
        let result = self.ended.remove(self.started.front()?)?;
        self.started.pop_front();
        Some(result)
    }
}
