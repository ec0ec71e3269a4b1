//! A member of the cluster: its acceptor, and its talk with the others over plain TCP. One request a connection, a line of
//! JSON each way; so a partition of the network partitions the cluster, and an idle cluster sends nothing.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::consensus::{Acceptor, Ballot, Learned, Read, Reply, Request, Round, Step};
use crate::{Seed, Stream};

/// The longest line that a member reads.
const LINE_BYTES_MAX: u64 = 1 << 20;
/// Rounds that a change tries before it gives up.
const ROUNDS_MAX: u32 = 16;

/// No majority in time. A change under way may have been made all the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NoQuorum;

/// One member. What it promised must outlive its server: keep it and serve it again.
#[derive(Debug)]
pub(super) struct Member<V> {
    id: u8,
    peers: Vec<SocketAddr>,
    timeout: Duration,
    state: Mutex<State<V>>,
    /// One change at a time: two of one member would only outbid each other.
    turn: tokio::sync::Mutex<()>,
}

#[derive(Debug)]
struct State<V> {
    acceptor: Acceptor<V>,
    round: u64,
    jitter: Stream,
}

impl<V> Member<V>
where
    V: Clone + Default + Serialize + DeserializeOwned + Send + Sync + 'static,
{
    /// The member `id` of the cluster whose members listen at `peers`, its own place among them included.
    pub(super) fn new(id: u8, peers: Vec<SocketAddr>, timeout: Duration, seed: u64) -> Self {
        let acceptor = Acceptor::default();
        let jitter = Seed(seed).stream(&format!("routing/member/{id}/jitter"));
        Self {
            id,
            peers,
            timeout,
            state: Mutex::new(State {
                acceptor,
                round: 0,
                jitter,
            }),
            turn: tokio::sync::Mutex::new(()),
        }
    }

    /// Answers the others, until the future is dropped.
    pub(super) async fn serve(self: Arc<Self>, listener: TcpListener) {
        let mut answers = JoinSet::new();
        loop {
            tokio::select! {
                // Unbiased selection would draw from a generator that no seed controls.
                biased;
                accepted = listener.accept() => match accepted {
                    Ok((tcp, _)) => {
                        answers.spawn(Arc::clone(&self).answer(tcp));
                    }
                    // Out of descriptors, or a connection that died early: the next may do better.
                    Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
                },
                Some(_) = answers.join_next() => {}
            }
        }
    }

    async fn answer(self: Arc<Self>, mut tcp: TcpStream) {
        let exchange = async {
            let request = read_line(&mut tcp).await?;
            let request = serde_json::from_str(&request).map_err(io::Error::from)?;
            let reply = serde_json::to_string(&self.vote(request)).map_err(io::Error::from)?;
            write_line(&mut tcp, &reply).await
        };
        // Whoever asked has its own time-out; a broken exchange is theirs to repeat.
        let _ = tokio::time::timeout(self.timeout, exchange).await;
    }

    fn lock(&self) -> MutexGuard<'_, State<V>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn vote(&self, request: Request<V>) -> Reply<V> {
        self.lock().acceptor.answer(request)
    }

    /// The value as a majority knows it; the default if there never was one.
    pub(super) async fn read(&self) -> Result<V, NoQuorum> {
        let mut read = Read::new(self.peers.len());
        let mut replies = self.ask_all(&Request::Read);
        while let Some((from, reply)) = replies.recv().await {
            match read.reply(from, reply) {
                None => {}
                Some(Learned::Chosen(value)) => return Ok(value.unwrap_or_default()),
                // A change was cut short, or is under way: finishing it tells.
                Some(Learned::Unsettled) => {
                    return self.change(|value| Ok::<V, NoQuorum>(value.clone())).await?;
                }
            }
        }
        Err(NoQuorum)
    }

    /// Changes the value, or refuses to: the change may be asked several times, each time with the value it would change.
    pub(super) async fn change<E>(
        &self,
        mut change: impl FnMut(&V) -> Result<V, E>,
    ) -> Result<Result<V, E>, NoQuorum> {
        let _turn = self.turn.lock().await;
        for attempt in 0..ROUNDS_MAX {
            let ballot = {
                let mut state = self.lock();
                state.round += 1;
                Ballot {
                    round: state.round,
                    member: self.id,
                }
            };
            match self.round(ballot, &mut change).await? {
                Ok(outcome) => return Ok(outcome),
                Err(higher) => {
                    let wait = {
                        let mut state = self.lock();
                        state.round = state.round.max(higher.round);
                        // Up to what rivals an ocean apart need for a round.
                        let most = Duration::from_millis(10 << attempt.min(6));
                        state.jitter.between(Duration::from_millis(1), most)
                    };
                    tokio::time::sleep(wait).await;
                }
            }
        }
        Err(NoQuorum)
    }

    /// One round; a higher ballot if it was outbid.
    async fn round<E>(
        &self,
        ballot: Ballot,
        change: &mut impl FnMut(&V) -> Result<V, E>,
    ) -> Result<Result<Result<V, E>, Ballot>, NoQuorum> {
        let mut round = Round::new(ballot, self.peers.len());
        let mut replies = self.ask_all(&round.prepare());
        let mut refused = None;
        while let Some((from, reply)) = replies.recv().await {
            match round.reply(from, reply) {
                None => {}
                Some(Step::Outbid(higher)) => return Ok(Err(higher)),
                Some(Step::Change(value)) => {
                    let value = value.unwrap_or_default();
                    // A refusal too must rest on a value that is chosen, so that is written back as it is.
                    let next = change(&value).unwrap_or_else(|error| {
                        refused = Some(error);
                        value
                    });
                    replies = self.ask_all(&round.accept(next));
                }
                Some(Step::Chosen(value)) => return Ok(Ok(refused.map_or(Ok(value), Err))),
            }
        }
        Err(NoQuorum)
    }

    /// Asks every member. The replies end when all have answered or had their time; a request goes on after its asker has
    /// enough, so that the slow members hear of it too.
    fn ask_all(&self, request: &Request<V>) -> mpsc::UnboundedReceiver<(u8, Reply<V>)> {
        let (answer, replies) = mpsc::unbounded_channel();
        let line = serde_json::to_string(request).unwrap_or_default();
        for (id, address) in (0_u8..).zip(self.peers.iter().copied()) {
            if id == self.id {
                let _ = answer.send((id, self.vote(request.clone())));
                continue;
            }
            let (answer, line, timeout) = (answer.clone(), line.clone(), self.timeout);
            tokio::spawn(async move {
                let exchange = async {
                    let mut tcp = TcpStream::connect(address).await?;
                    write_line(&mut tcp, &line).await?;
                    let reply = read_line(&mut tcp).await?;
                    serde_json::from_str(&reply).map_err(io::Error::from)
                };
                if let Ok(Ok(reply)) = tokio::time::timeout(timeout, exchange).await {
                    let _ = answer.send((id, reply));
                }
            });
        }
        replies
    }
}

async fn write_line(tcp: &mut TcpStream, line: &str) -> io::Result<()> {
    tcp.write_all(format!("{line}\n").as_bytes()).await
}

async fn read_line(tcp: &mut TcpStream) -> io::Result<String> {
    let mut line = String::new();
    BufReader::new(tcp.take(LINE_BYTES_MAX))
        .read_line(&mut line)
        .await?;
    match line.pop() {
        Some('\n') => Ok(line),
        _ => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}
