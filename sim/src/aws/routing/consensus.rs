//! How the members of a cluster agree on one value that changes: single-decree consensus repeated on a register
//! (CASPaxos). A change reads the value in the same round in which it writes it, so a decision such as a safety rule's is
//! made on the value that it changes.
//!
//! Pure state: who talks to whom, and when, is the caller's. An acceptor must keep what it promised: one that forgets may
//! break the agreement.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

/// The number of a round; unique, since it names the member that began it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
pub struct Ballot {
    /// Counts up.
    pub round: u64,
    /// Who began it.
    pub member: u8,
}

/// What a member asks an acceptor.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Request<V> {
    /// To take no part in lower ballots.
    Prepare(Ballot),
    /// To take this value.
    Accept(Ballot, V),
    /// Which value it holds.
    Read,
}

/// What an acceptor answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Reply<V> {
    /// It will; and this is what it holds.
    Promised(Option<(Ballot, V)>),
    /// It has taken the value.
    Accepted,
    /// It has promised this higher ballot.
    Refused(Ballot),
    /// This is what it holds.
    Holds(Option<(Ballot, V)>),
}

/// The part of a member that votes.
#[derive(Debug, Clone)]
pub struct Acceptor<V> {
    promised: Ballot,
    accepted: Option<(Ballot, V)>,
}

impl<V> Default for Acceptor<V> {
    fn default() -> Self {
        Self {
            promised: Ballot::default(),
            accepted: None,
        }
    }
}

impl<V: Clone> Acceptor<V> {
    /// Answers a request.
    pub fn answer(&mut self, request: Request<V>) -> Reply<V> {
        match request {
            Request::Read => Reply::Holds(self.accepted.clone()),
            Request::Prepare(ballot) if ballot > self.promised => {
                self.promised = ballot;
                Reply::Promised(self.accepted.clone())
            }
            Request::Accept(ballot, value) if ballot >= self.promised => {
                self.promised = ballot;
                self.accepted = Some((ballot, value));
                Reply::Accepted
            }
            Request::Prepare(_) | Request::Accept(..) => Reply::Refused(self.promised),
        }
    }
}

/// What a proposer may do next.
#[derive(Debug, Clone, PartialEq)]
pub enum Step<V> {
    /// A majority promised: this is the value to change, none if there never was one. Nobody else's change comes
    /// between, or the accept will fail.
    Change(Option<V>),
    /// A majority took the value: it is chosen.
    Chosen(V),
    /// Someone promised this higher ballot: begin anew above it.
    Outbid(Ballot),
}

/// One attempt of one member to change the value.
#[derive(Debug, Clone)]
pub struct Round<V> {
    ballot: Ballot,
    majority: usize,
    promised: BTreeSet<u8>,
    highest: Option<(Ballot, V)>,
    proposed: Option<V>,
    accepted: BTreeSet<u8>,
}

impl<V: Clone> Round<V> {
    /// Begins a round with a ballot never used before, among this many members.
    pub fn new(ballot: Ballot, members: usize) -> Self {
        Self {
            ballot,
            majority: members / 2 + 1,
            promised: BTreeSet::new(),
            highest: None,
            proposed: None,
            accepted: BTreeSet::new(),
        }
    }

    /// The first request, to all members.
    pub fn prepare(&self) -> Request<V> {
        Request::Prepare(self.ballot)
    }

    /// The second request, to all members, once a majority has promised.
    pub fn accept(&mut self, value: V) -> Request<V> {
        self.proposed = Some(value.clone());
        Request::Accept(self.ballot, value)
    }

    /// Takes a reply from a member.
    pub fn reply(&mut self, from: u8, reply: Reply<V>) -> Option<Step<V>> {
        match (reply, &self.proposed) {
            (Reply::Refused(ballot), _) if ballot > self.ballot => Some(Step::Outbid(ballot)),
            (Reply::Promised(held), None) => {
                if let Some((ballot, value)) = held
                    && self.highest.as_ref().is_none_or(|(highest, _)| ballot > *highest)
                {
                    self.highest = Some((ballot, value));
                }
                let new = self.promised.insert(from);
                (new && self.promised.len() == self.majority)
                    .then(|| Step::Change(self.highest.clone().map(|(_, value)| value)))
            }
            (Reply::Accepted, Some(value)) => {
                let new = self.accepted.insert(from);
                (new && self.accepted.len() == self.majority).then(|| Step::Chosen(value.clone()))
            }
            _ => None,
        }
    }
}

/// What a read learns.
#[derive(Debug, Clone, PartialEq)]
pub enum Learned<V> {
    /// This value is chosen; none if none ever was.
    Chosen(Option<V>),
    /// A majority answered, and what it holds does not show what is chosen: only a round can tell.
    Unsettled,
}

/// One attempt to read the value without writing it.
#[derive(Debug, Clone)]
pub struct Read<V> {
    majority: usize,
    held: BTreeMap<u8, Option<(Ballot, V)>>,
}

impl<V: Clone> Read<V> {
    /// Begins a read among this many members.
    pub fn new(members: usize) -> Self {
        Self {
            majority: members / 2 + 1,
            held: BTreeMap::new(),
        }
    }

    /// Takes a reply from a member.
    pub fn reply(&mut self, from: u8, reply: Reply<V>) -> Option<Learned<V>> {
        let Reply::Holds(held) = reply else { return None };
        self.held.insert(from, held);
        if self.held.len() != self.majority {
            return None;
        }
        let highest = self.held.values().flatten().max_by_key(|(ballot, _)| *ballot);
        let Some((ballot, value)) = highest else {
            return Some(Learned::Chosen(None));
        };
        let holders = self
            .held
            .values()
            .flatten()
            .filter(|(other, _)| other == ballot)
            .count();
        match holders >= self.majority {
            true => Some(Learned::Chosen(Some(value.clone()))),
            false => Some(Learned::Unsettled),
        }
    }
}
