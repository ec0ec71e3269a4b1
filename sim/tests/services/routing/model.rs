//! The cluster's agreement, checked over generated schedules: messages between five acceptors and three proposers are
//! delivered in any order, twice, or never. Each change appends to a list; whatever is chosen must be a prefix of whatever
//! is chosen later, and a read must see every change that was confirmed before it began.

use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use sumzero_sim::aws::routing::consensus::{Acceptor, Ballot, Learned, Read, Reply, Request, Round, Step};

const MEMBERS: usize = 5;

type Log = Vec<u32>;

#[derive(Debug, Clone)]
enum Action {
    /// A proposer begins a round, leaving whatever it was at.
    Propose(u8),
    /// One message in the network arrives.
    Deliver(prop::sample::Index),
    /// The same, and it will arrive again.
    Duplicate(prop::sample::Index),
    /// One is lost.
    Lose(prop::sample::Index),
    /// Someone reads from these members at once.
    Read([bool; MEMBERS]),
}

fn actions() -> impl Strategy<Value = Vec<Action>> {
    let index = any::<prop::sample::Index>;
    let action = prop_oneof![
        2 => (0..3_u8).prop_map(Action::Propose),
        20 => index().prop_map(Action::Deliver),
        2 => index().prop_map(Action::Duplicate),
        2 => index().prop_map(Action::Lose),
        2 => any::<[bool; MEMBERS]>().prop_map(Action::Read),
    ];
    prop::collection::vec(action, 1..250)
}

#[derive(Clone)]
enum Message {
    Request {
        ballot: Ballot,
        to: usize,
        request: Request<Log>,
    },
    Reply {
        ballot: Ballot,
        from: usize,
        reply: Reply<Log>,
    },
}

/// Runs a schedule. Proposers believe in a cluster of `believed` members, of which there are five. Gives how many changes
/// were chosen.
fn run(actions: &[Action], believed: usize) -> Result<usize, String> {
    let mut acceptors: Vec<Acceptor<Log>> = vec![Acceptor::default(); MEMBERS];
    let mut rounds: BTreeMap<Ballot, Round<Log>> = BTreeMap::new();
    let mut network: Vec<Message> = Vec::new();
    let mut chosen: BTreeMap<Ballot, Log> = BTreeMap::new();
    let (mut next_round, mut next_change) = (0, 0);
    for action in actions {
        let message = match action {
            Action::Propose(member) => {
                next_round += 1;
                let ballot = Ballot {
                    round: next_round,
                    member: *member,
                };
                let round = Round::new(ballot, believed);
                let request = round.prepare();
                rounds.insert(ballot, round);
                network.extend((0..MEMBERS).map(|to| Message::Request {
                    ballot,
                    to,
                    request: request.clone(),
                }));
                continue;
            }
            Action::Read(members) => {
                let before = chosen.values().map(Vec::len).max().unwrap_or(0);
                let mut read = Read::new(believed);
                for (member, acceptor) in acceptors.iter_mut().enumerate().filter(|(n, _)| members[*n]) {
                    if let Some(Learned::Chosen(value)) =
                        read.reply(member as u8, acceptor.answer(Request::Read))
                    {
                        let value = value.unwrap_or_default();
                        if value.len() < before {
                            return Err(format!("read {value:?} after {before} changes were confirmed"));
                        }
                    }
                }
                continue;
            }
            _ if network.is_empty() => continue,
            Action::Deliver(which) => network.swap_remove(which.index(network.len())),
            Action::Duplicate(which) => network[which.index(network.len())].clone(),
            Action::Lose(which) => {
                network.swap_remove(which.index(network.len()));
                continue;
            }
        };
        match message {
            Message::Request { ballot, to, request } => {
                let reply = acceptors[to].answer(request);
                network.push(Message::Reply {
                    ballot,
                    from: to,
                    reply,
                });
            }
            Message::Reply { ballot, from, reply } => {
                let Some(round) = rounds.get_mut(&ballot) else {
                    continue;
                };
                match round.reply(from as u8, reply) {
                    None => {}
                    Some(Step::Outbid(_)) => {
                        rounds.remove(&ballot);
                    }
                    Some(Step::Change(value)) => {
                        next_change += 1;
                        let mut value = value.unwrap_or_default();
                        value.push(next_change);
                        let request = round.accept(value);
                        let requests = (0..MEMBERS).map(|to| Message::Request {
                            ballot,
                            to,
                            request: request.clone(),
                        });
                        network.extend(requests);
                    }
                    Some(Step::Chosen(value)) => {
                        rounds.remove(&ballot);
                        chosen.insert(ballot, value);
                    }
                }
            }
        }
    }
    let logs: Vec<_> = chosen.values().collect();
    for pair in logs.windows(2) {
        if !pair[1].starts_with(pair[0]) || pair[1].len() == pair[0].len() {
            return Err(format!("{:?} then {:?}", pair[0], pair[1]));
        }
    }
    Ok(logs.len())
}

fn runner() -> TestRunner {
    TestRunner::new(Config {
        cases: 400,
        failure_persistence: None,
        ..Config::default()
    })
}

#[test]
fn whatever_the_network_does_the_members_agree() {
    let most = std::cell::Cell::new(0);
    let result = runner().run(&actions(), |actions| {
        let chosen = run(&actions, MEMBERS).map_err(TestCaseError::fail)?;
        most.set(most.get().max(chosen));
        Ok(())
    });
    if let Err(error) = result {
        panic!("{error}");
    }
    assert!(
        most.get() >= 3,
        "schedules in which nothing is chosen prove nothing"
    );
}

#[test]
fn two_of_five_are_no_majority_and_the_check_sees_it() {
    let result = runner().run(&actions(), |actions| {
        run(&actions, 3).map(drop).map_err(TestCaseError::fail)
    });
    assert!(result.is_err());
}
