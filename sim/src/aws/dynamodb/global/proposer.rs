//! Multi-Region strong consistency, as the Region that serves a request drives it.
//!
//! A write takes a promise from this Region and one other (unless the last write here left one standing), evaluates
//! its condition against the latest accepted value, and has the new value accepted by this Region and one other. A read
//! asks until two Regions tell the same: one other Region, and the second if the first keeps it waiting or tells something
//! else. Requests of one Region for one item queue; only those of different Regions meet, and then one of them is told so.
//!
//! A write that was outbid half-way is not abandoned: whether it took effect is found out by looking for it in the
//! history of the value that won, so that a caller is told "conflict" only if nothing happened.

use super::super::config::{Mrsc, Span};
use super::super::key::ItemKey;
use super::link::Sink;
use super::message::{Reply, Request};
use super::mrsc::{Accepted, Acceptors, Ballot, HISTORY_LEN, Proposed};
use crate::Stream;
use serde_json::Value;
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{OwnedMutexGuard, mpsc};
use tokio::time::{Instant, sleep, timeout_at};

/// A backoff grows to this power of two of its longest.
const BACKOFF_DOUBLINGS_MAX: u32 = 4;

/// The two other Regions of a strongly consistent table.
pub(crate) trait Peers: Send + Sync {
    /// Sends the request to each other Region of the table, a read to the second only if the first keeps it waiting; each
    /// answer arrives at `sink`.
    fn ask_all(&self, table: &str, request: &Request, sink: &Sink);
}

/// What a step makes of the latest version of an item.
pub(crate) enum Step<T> {
    /// It changes nothing: a read, or a condition that does not hold.
    Keep(T),
    /// The item becomes this.
    Write(T, Option<Value>),
}

/// Why a strongly consistent request was not performed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Failure {
    /// Another Region writes the item. Nothing happened.
    Conflict,
    /// No other Region could be reached. Nothing happened.
    Alone,
    /// The second Region was lost half-way. The write may yet take effect.
    Unknown,
}

enum Prepared {
    Promised {
        ballot: Ballot,
        current: Option<Accepted>,
        chosen: bool,
    },
    Outbid,
    Alone,
}

enum Offered {
    Chosen,
    /// This Region itself had promised more: the value was accepted nowhere.
    Nowhere,
    Unclear,
}

#[derive(Debug, Clone)]
struct Standing {
    ballot: Ballot,
    /// Known to be chosen.
    current: Option<Accepted>,
}

/// Drives agreement for one Region.
pub(crate) struct Proposer<P> {
    region: String,
    knobs: Mrsc,
    acceptors: Arc<Mutex<Acceptors>>,
    peers: P,
    draws: Mutex<Stream>,
    queues: Mutex<BTreeMap<ItemKey, Arc<tokio::sync::Mutex<()>>>>,
    standing: Mutex<BTreeMap<ItemKey, Standing>>,
}

impl<P: Peers> Proposer<P> {
    pub(crate) fn new(
        region: &str,
        knobs: Mrsc,
        acceptors: Arc<Mutex<Acceptors>>,
        peers: P,
        draws: Stream,
    ) -> Self {
        Self {
            region: region.to_owned(),
            knobs,
            acceptors,
            peers,
            draws: Mutex::new(draws),
            queues: Mutex::default(),
            standing: Mutex::default(),
        }
    }

    /// Performs one step on the latest version of the item. `step` may run several times; only its last result counts.
    /// The value that is chosen in the end is returned with it.
    ///
    /// # Errors
    /// See [`Failure`].
    pub(crate) async fn change<T>(
        &self,
        key: &ItemKey,
        step: impl Fn(Option<&Value>) -> Step<T>,
    ) -> Result<(T, Option<Accepted>), Failure> {
        let _turn = self.turn(key).await;
        for attempt in 0..self.knobs.attempts.max(1) {
            if attempt > 0 {
                self.pause(attempt).await;
            }
            let (ballot, current, chosen) = match self.promised(key).await {
                Prepared::Promised {
                    ballot,
                    current,
                    chosen,
                } => (ballot, current, chosen),
                Prepared::Outbid => continue,
                Prepared::Alone => return Err(Failure::Alone),
            };
            let image = current
                .as_ref()
                .and_then(|accepted| accepted.value.image.as_ref());
            match step(image) {
                // What a refusal is based on must itself be agreed, or it could vanish after the caller saw it.
                Step::Keep(result) if chosen => {
                    let current_too = current.clone();
                    lock(&self.standing).insert(key.clone(), Standing { ballot, current });
                    return Ok((result, current_too));
                }
                Step::Keep(result) => {
                    let value = current.map(|accepted| accepted.value).unwrap_or_default();
                    let again = Accepted { ballot, value };
                    if let Offered::Chosen = self.offer(key, again.clone()).await {
                        return Ok((result, Some(again)));
                    }
                }
                Step::Write(result, image) => {
                    let mut history = vec![ballot.clone()];
                    let before = current.as_ref().map(|accepted| accepted.value.history.iter());
                    history.extend(before.into_iter().flatten().cloned());
                    history.truncate(HISTORY_LEN);
                    let write = ballot.clone();
                    let proposal = Accepted {
                        ballot,
                        value: Arc::new(Proposed { image, history }),
                    };
                    match self.offer(key, proposal.clone()).await {
                        Offered::Chosen => return Ok((result, Some(proposal))),
                        Offered::Nowhere => {}
                        Offered::Unclear => {
                            if let Some(chosen) = self.find_out(key, &write).await? {
                                return Ok((result, Some(chosen)));
                            }
                        }
                    }
                }
            }
        }
        Err(Failure::Conflict)
    }

    /// The latest version of the item.
    ///
    /// # Errors
    /// [`Failure::Alone`], or [`Failure::Conflict`] if other Regions keep writing it.
    pub(crate) async fn read(&self, key: &ItemKey) -> Result<Option<Accepted>, Failure> {
        for attempt in 0..self.knobs.attempts.max(1) {
            if attempt > 0 {
                // A write is on its way through; it needs about as long as a backoff to arrive everywhere.
                self.pause(attempt).await;
            }
            let here = self.acceptors().accepted(key);
            let question = Request::Read {
                key: key.clone(),
                known: here.as_ref().map(|accepted| accepted.ballot.clone()),
            };
            let mut told = vec![here];
            let mut answered = false;
            let agreed = self
                .gather(key, &question, |reply| {
                    let accepted = match reply {
                        Reply::Same => told[0].clone(),
                        Reply::State { accepted } => accepted,
                        _ => return ControlFlow::Continue(()),
                    };
                    answered = true;
                    let ballot = |accepted: &Option<Accepted>| accepted.as_ref().map(|a| a.ballot.clone());
                    if told.iter().any(|other| ballot(other) == ballot(&accepted)) {
                        return ControlFlow::Break(accepted);
                    }
                    told.push(accepted);
                    ControlFlow::Continue(())
                })
                .await;
            match agreed {
                Some(accepted) => return Ok(accepted),
                None if !answered => return Err(Failure::Alone),
                None => {}
            }
        }
        // Nobody seems to finish that write: finish it here.
        let (_, chosen) = self.change(key, |_| Step::Keep(())).await?;
        Ok(chosen)
    }

    /// Forgets what it knew about a table.
    pub(crate) fn forget(&self, table: &str) {
        lock(&self.standing).retain(|key, _| key.table != table);
        lock(&self.queues).retain(|key, queue| key.table != table || Arc::strong_count(queue) > 1);
    }

    async fn promised(&self, key: &ItemKey) -> Prepared {
        let standing = lock(&self.standing).remove(key);
        if let Some(Standing { ballot, current }) = standing
            && self.acceptors().promised(key) == ballot
        {
            return Prepared::Promised {
                ballot,
                current,
                chosen: true,
            };
        }
        // Being outbid once may only mean that this Region has not heard of the latest write; then the second, higher
        // ballot passes. Being outbid again means company.
        let mut floor = 0;
        for _ in 0..2 {
            match self.prepare(key, floor).await {
                Ok(prepared) => return prepared,
                Err(promised) => floor = promised.round,
            }
        }
        Prepared::Outbid
    }

    async fn prepare(&self, key: &ItemKey, floor: u64) -> Result<Prepared, Ballot> {
        let (ballot, here) = {
            let mut acceptors = self.acceptors();
            let round = acceptors.promised(key).round.max(floor) + 1;
            let ballot = Ballot {
                round,
                region: self.region.clone(),
            };
            let here = acceptors.prepare(key, &ballot)?;
            (ballot, here)
        };
        let mut outbid = None;
        let request = Request::Prepare {
            key: key.clone(),
            ballot: ballot.clone(),
        };
        let promised = self
            .gather(key, &request, |reply| match reply {
                Reply::Promise { accepted } => ControlFlow::Break(accepted),
                Reply::Outbid { promised } => {
                    outbid = Some(promised).max(outbid.take());
                    ControlFlow::Continue(())
                }
                _ => ControlFlow::Continue(()),
            })
            .await;
        match (promised, outbid) {
            (Some(there), _) => {
                let ballot_of = |accepted: &Option<Accepted>| accepted.as_ref().map(|a| a.ballot.clone());
                let chosen = ballot_of(&here) == ballot_of(&there);
                let current = if ballot_of(&there) > ballot_of(&here) {
                    there
                } else {
                    here
                };
                Ok(Prepared::Promised {
                    ballot,
                    current,
                    chosen,
                })
            }
            (None, Some(promised)) => Err(promised),
            (None, None) => Ok(Prepared::Alone),
        }
    }

    async fn offer(&self, key: &ItemKey, proposal: Accepted) -> Offered {
        let next = Ballot {
            round: proposal.ballot.round + 1,
            region: self.region.clone(),
        };
        if self.acceptors().accept(key, proposal.clone(), &next).is_err() {
            return Offered::Nowhere;
        }
        let request = Request::Accept {
            key: key.clone(),
            proposal: proposal.clone(),
            next: next.clone(),
        };
        let accepted = self
            .gather(key, &request, |reply| match reply {
                Reply::Accepted => ControlFlow::Break(()),
                _ => ControlFlow::Continue(()),
            })
            .await;
        if accepted.is_none() {
            return Offered::Unclear;
        }
        lock(&self.standing).insert(
            key.clone(),
            Standing {
                ballot: next,
                current: Some(proposal),
            },
        );
        Offered::Chosen
    }

    /// After an unclear offer: has a value that contains the write chosen, or one that shuts it out.
    async fn find_out(&self, key: &ItemKey, write: &Ballot) -> Result<Option<Accepted>, Failure> {
        let deadline = Instant::now() + self.knobs.quorum_timeout;
        // However long the others keep at it, the caller is better served by an answer than by "perhaps".
        for attempt in 1.. {
            if Instant::now() >= deadline {
                break;
            }
            self.pause(attempt).await;
            let (ballot, current) = match self.promised(key).await {
                Prepared::Promised { ballot, current, .. } => (ballot, current),
                Prepared::Outbid => continue,
                Prepared::Alone => return Err(Failure::Unknown),
            };
            let value = current.map(|accepted| accepted.value).unwrap_or_default();
            let happened = value.history.contains(write);
            // The history is kept newest first, by rising ballots: one that reaches back beyond the write would show it.
            let forgotten = !happened
                && value.history.len() >= HISTORY_LEN
                && value.history.last().is_some_and(|oldest| oldest >= write);
            let again = Accepted { ballot, value };
            match self.offer(key, again.clone()).await {
                Offered::Chosen if happened => return Ok(Some(again)),
                Offered::Chosen if forgotten => return Err(Failure::Unknown),
                Offered::Chosen => return Ok(None),
                Offered::Nowhere | Offered::Unclear => {}
            }
        }
        Err(Failure::Unknown)
    }

    /// Asks the other Regions and judges their answers as they come, until one decides or time is up.
    async fn gather<T>(
        &self,
        key: &ItemKey,
        request: &Request,
        mut judge: impl FnMut(Reply) -> ControlFlow<T>,
    ) -> Option<T> {
        let (sink, mut answers) = mpsc::unbounded_channel();
        self.peers.ask_all(&key.table, request, &sink);
        drop(sink);
        let deadline = Instant::now() + self.knobs.quorum_timeout;
        while let Ok(Some((_, reply))) = timeout_at(deadline, answers.recv()).await {
            if let Some(reply) = reply
                && let ControlFlow::Break(decided) = judge(reply)
            {
                return Some(decided);
            }
        }
        None
    }

    async fn turn(&self, key: &ItemKey) -> OwnedMutexGuard<()> {
        let queue = {
            let mut queues = lock(&self.queues);
            // Items at rest need no queue; a sweep now and then keeps the map as small as the traffic.
            if queues.len() > 1_024 {
                queues.retain(|_, queue| Arc::strong_count(queue) > 1);
            }
            Arc::clone(queues.entry(key.clone()).or_default())
        };
        queue.lock_owned().await
    }

    /// Grows from attempt to attempt: Regions far apart outbid each other for ever if they are quicker than the way.
    async fn pause(&self, attempt: u32) {
        let Span { min, max } = self.knobs.backoff;
        let grown = max * (1 << attempt.min(BACKOFF_DOUBLINGS_MAX));
        let pause = lock(&self.draws).between(min, grown);
        sleep(pause).await;
    }

    fn acceptors(&self) -> MutexGuard<'_, Acceptors> {
        lock(&self.acceptors)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
