//! From something large that fails to the smallest that still fails in the same way: delta debugging.
//!
//! What is shrunk says how it can be made smaller: edits, in passes, the most rewarding first. A pass tries its edits all at
//! once, then by halves, quarters and so on down to single ones, and keeps whatever leaves the failure as it was; a pass is
//! repeated while it gains, and all passes are, until none does. Then no single edit is left that keeps the failure.
//!
//! Each candidate runs in a process of its own, as a [`Campaign`]'s seeds do. Of the candidates that run at once the first in
//! order is taken, not the first to end, and nothing is learned from those behind it: so the way and its end are the same
//! with any number of jobs. Only a limit of real time ends the search at a place that depends on the machine.
//!
//! A failure is known by its fingerprint. A candidate that fails otherwise has failed to be smaller; what it showed is
//! counted, since it may be another bug.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::num::NonZeroUsize;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::{Campaign, Fate, Limits};
use crate::error::Error;

/// What tells one failure from another.
pub type Fingerprint = String;

/// Something that can be made smaller.
///
/// Edits of one pass are taken together in any combination. An edit that changes nothing (any more) is no harm.
pub trait Shrink: Clone + Serialize {
    /// One way to make it smaller. Prints as what it does: `without client-3`.
    type Edit: Clone + Display;

    /// The names of the passes, in order.
    const PASSES: &'static [&'static str];

    /// All edits of one pass, by its place in [`PASSES`](Shrink::PASSES).
    fn edits(&self, pass: usize) -> Vec<Self::Edit>;

    /// The same with these edits made.
    fn with(&self, edits: &[Self::Edit]) -> Self;
}

/// When to stop although there may be something smaller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// So many candidates judged. Default: 2,000.
    pub candidates: u64,
    /// So much real time. Default: an hour.
    pub real_time: Duration,
}

impl Default for Budget {
    fn default() -> Budget {
        Budget {
            candidates: 2_000,
            real_time: Duration::from_secs(3_600),
        }
    }
}

/// How a search is run.
#[derive(Clone, Copy, Debug)]
pub struct Shrinker {
    jobs: NonZeroUsize,
    limits: Limits,
    budget: Budget,
}

/// Why it stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stopped {
    /// No single edit is left that keeps the failure.
    Minimal,
    /// The budget of candidates was spent.
    Candidates,
    /// The budget of real time was spent.
    RealTime,
}

impl Stopped {
    /// A sentence for people.
    pub fn reason(self) -> &'static str {
        match self {
            Stopped::Minimal => "nothing more can be taken away without losing the failure",
            Stopped::Candidates => "as many candidates were tried as the budget allows",
            Stopped::RealTime => "the time was up",
        }
    }
}

/// An edit that was kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// Of which pass.
    pub pass: String,
    /// What it did.
    pub edit: String,
}

/// What a search came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shrunk<T> {
    /// The smallest that still fails in the same way.
    pub smallest: T,
    /// The failure's fingerprint.
    pub fingerprint: Fingerprint,
    /// What was taken away, in order.
    pub kept: Vec<Kept>,
    /// How many candidates were judged.
    pub tried: u64,
    /// Other failures that candidates showed, with how many did.
    pub others: BTreeMap<Fingerprint, u64>,
    /// Why it stopped.
    pub stopped: Stopped,
}

/// Where a search stands, for whoever waits.
#[derive(Clone, Copy, Debug)]
pub struct Progress<'a> {
    /// The pass.
    pub pass: &'a str,
    /// Candidates judged so far.
    pub tried: u64,
    /// Edits kept so far.
    pub kept: usize,
}

impl Default for Shrinker {
    fn default() -> Shrinker {
        Shrinker {
            jobs: std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN),
            // A machine that runs candidates on all cores is slower at each.
            limits: Limits {
                real_time: Duration::from_secs(300),
                ..Limits::default()
            },
            budget: Budget::default(),
        }
    }
}

impl Shrinker {
    /// So many candidates at a time. Default: one a core.
    pub fn jobs(self, jobs: NonZeroUsize) -> Shrinker {
        Shrinker { jobs, ..self }
    }

    /// What each candidate may use.
    pub fn limits(self, limits: Limits) -> Shrinker {
        Shrinker { limits, ..self }
    }

    /// When to stop.
    pub fn budget(self, budget: Budget) -> Shrinker {
        Shrinker { budget, ..self }
    }

    /// Makes `start` as small as it will go. `run` runs in a process of its own; `fingerprints` names all failures in what
    /// became of it, the gravest first. `wanted` is the failure to keep; without it, the gravest one that `start` shows.
    ///
    /// # Errors
    /// [`Error::NothingToShrink`] if `start` does not fail, or not in the wanted way; those of [`Campaign::run`].
    pub fn shrink<T: Shrink, A: Serialize + DeserializeOwned>(
        self,
        start: T,
        wanted: Option<&str>,
        run: impl Fn(&T) -> A,
        fingerprints: impl Fn(&Fate<A>) -> Vec<Fingerprint>,
        watch: impl FnMut(Progress<'_>),
    ) -> Result<Shrunk<T>, Error> {
        let mut found = Vec::new();
        self.campaign(0..1).run(
            |_| run(&start),
            |result| {
                found = fingerprints(&result.fate);
                ControlFlow::Continue(())
            },
        )?;
        let fingerprint = match wanted {
            Some(wanted) => found.iter().find(|found| *found == wanted).cloned(),
            None => found.first().cloned(),
        };
        let Some(fingerprint) = fingerprint else {
            return Err(Error::NothingToShrink {
                wanted: wanted.map(str::to_owned),
                found,
            });
        };
        let search = Search {
            shrinker: self,
            started: Instant::now(),
            run,
            fingerprints,
            watch,
            rejected: BTreeSet::from([written(&start)]),
            shrunk: Shrunk {
                smallest: start,
                fingerprint,
                kept: Vec::new(),
                tried: 0,
                others: BTreeMap::new(),
                stopped: Stopped::Minimal,
            },
        };
        search.finish()
    }

    fn campaign(self, candidates: std::ops::Range<u64>) -> Campaign {
        Campaign::new(candidates).jobs(self.jobs).limits(self.limits)
    }
}

/// How a candidate is remembered.
fn written<T: Serialize>(candidate: &T) -> String {
    serde_json::to_string(candidate).expect("what is shrunk is data that JSON can hold")
}

/// Strikes out edits that do nothing beside the others, as halving does beside taking all away.
fn strike_idle<T: Shrink>(base: &T, kept: &mut Vec<T::Edit>, result: &str) {
    let mut place = 0;
    while place < kept.len() {
        let edit = kept.remove(place);
        if written(&base.with(kept)) != result {
            kept.insert(place, edit);
            place += 1;
        }
    }
}

struct Search<T, R, P, W> {
    shrinker: Shrinker,
    started: Instant,
    run: R,
    fingerprints: P,
    watch: W,
    /// What need not be tried again: candidates that lost the failure, and those that were the smallest once.
    rejected: BTreeSet<String>,
    shrunk: Shrunk<T>,
}

impl<T, A, R, P, W> Search<T, R, P, W>
where
    T: Shrink,
    A: Serialize + DeserializeOwned,
    R: Fn(&T) -> A,
    P: Fn(&Fate<A>) -> Vec<Fingerprint>,
    W: FnMut(Progress<'_>),
{
    fn finish(mut self) -> Result<Shrunk<T>, Error> {
        loop {
            let before = self.shrunk.kept.len();
            for pass in 0..T::PASSES.len() {
                while self.sweep(pass)? {}
            }
            if self.shrunk.kept.len() == before || self.is_over() {
                return Ok(self.shrunk);
            }
        }
    }

    fn is_over(&mut self) -> bool {
        let budget = self.shrinker.budget;
        if self.shrunk.tried >= budget.candidates {
            self.shrunk.stopped = Stopped::Candidates;
        } else if self.started.elapsed() >= budget.real_time {
            self.shrunk.stopped = Stopped::RealTime;
        }
        self.shrunk.stopped != Stopped::Minimal
    }

    /// The edits of a pass, all at once first and one by one in the end. Whether any was kept.
    fn sweep(&mut self, pass: usize) -> Result<bool, Error> {
        let base = self.shrunk.smallest.clone();
        let mut left = base.edits(pass);
        let mut kept = Vec::new();
        let mut size = left.len();
        while !left.is_empty() {
            self.chunks(pass, &base, &mut kept, &mut left, size)?;
            if self.is_over() {
                return Ok(false);
            }
            if size == 1 {
                break;
            }
            size = size.min(left.len()).div_ceil(2);
        }
        Ok(!kept.is_empty())
    }

    /// Tries the edits that are left in chunks of one size, and moves those that keep the failure to `kept`.
    fn chunks(
        &mut self,
        pass: usize,
        base: &T,
        kept: &mut Vec<T::Edit>,
        left: &mut Vec<T::Edit>,
        size: usize,
    ) -> Result<(), Error> {
        let mut from = 0;
        while from < left.len() && !self.is_over() {
            let chunks: Vec<&[T::Edit]> = left[from..].chunks(size).collect();
            let candidates = chunks.iter().map(|chunk| base.with(&[kept, *chunk].concat()));
            let candidates: Vec<T> = candidates.collect();
            let (judged, failed) = self.first_that_fails(pass, &candidates)?;
            from += judged * size;
            if failed {
                let chunk = from - size..from.min(left.len());
                from = chunk.start;
                self.shrunk.kept.truncate(self.shrunk.kept.len() - kept.len());
                kept.extend(left.drain(chunk));
                self.shrunk.smallest = base.with(kept);
                let smallest = written(&self.shrunk.smallest);
                strike_idle(base, kept, &smallest);
                self.rejected.insert(smallest);
                self.shrunk.kept.extend(kept.iter().map(|edit| Kept {
                    pass: T::PASSES[pass].to_owned(),
                    edit: edit.to_string(),
                }));
            }
        }
        Ok(())
    }

    /// Tries one candidate after the other until one keeps the failure. How many were looked at, and whether the last of them
    /// kept it.
    fn first_that_fails(&mut self, pass: usize, candidates: &[T]) -> Result<(usize, bool), Error> {
        // What was tried already is known to be of no use.
        let known = &self.rejected;
        let new = candidates.iter().map(written).enumerate();
        let new: Vec<(usize, String)> = new.filter(|(_, text)| !known.contains(text)).collect();
        let left = self.shrinker.budget.candidates - self.shrunk.tried;
        let count = left.min(new.len() as u64);
        let (run, fingerprints) = (&self.run, &self.fingerprints);
        let (deadline, shrunk) = (self.started + self.shrinker.budget.real_time, &mut self.shrunk);
        let (rejected, watch) = (&mut self.rejected, &mut self.watch);
        let (mut judged, mut failed) = (0, false);
        self.shrinker.campaign(0..count).run(
            |number| run(&candidates[new[number as usize].0]),
            |result| {
                let (place, text) = &new[result.seed as usize];
                let found = fingerprints(&result.fate);
                judged = place + 1;
                failed = found.contains(&shrunk.fingerprint);
                shrunk.tried += 1;
                watch(Progress {
                    pass: T::PASSES[pass],
                    tried: shrunk.tried,
                    kept: shrunk.kept.len(),
                });
                if failed {
                    return ControlFlow::Break(());
                }
                for other in found {
                    *shrunk.others.entry(other).or_default() += 1;
                }
                rejected.insert(text.clone());
                match Instant::now() < deadline {
                    true => ControlFlow::Continue(()),
                    false => ControlFlow::Break(()),
                }
            },
        )?;
        // Behind the last new one there are only known ones.
        let all_judged = !failed && judged == new.last().map_or(0, |(place, _)| place + 1);
        Ok((if all_judged { candidates.len() } else { judged }, failed))
    }
}
