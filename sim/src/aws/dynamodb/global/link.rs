//! The connection to one other Region.
//!
//! Plain TCP on the world's network, so whatever cuts the network cuts replication. One link carries requests one way;
//! the other Region has a link of its own for the other way. A request that is under way when the connection breaks gets
//! no answer, and whether it was performed is then unknown. The link connects when there is something to say, again and
//! again while the other Region cannot be reached.

use super::message::{Envelope, Reply, Request, read_frame, write_frame};
use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{Notify, mpsc};
use tokio::time::{Instant, sleep, timeout, timeout_at};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// A connection on which an answer is overdue this long is given up: after a long cut, TCP's own retransmission would
/// find out much later that the way is free again.
const STALL_LIMIT: Duration = Duration::from_secs(5);
const RECONNECT_PAUSE: Duration = Duration::from_millis(200);

/// Where the answer goes: the asker's tag, and the answer, or `None` if there will be none.
pub(crate) type Sink = mpsc::UnboundedSender<(usize, Option<Reply>)>;

#[derive(Debug)]
struct Asked {
    tag: usize,
    sink: Sink,
    at: Instant,
}

#[derive(Debug, Default)]
struct State {
    next_id: u64,
    unsent: Vec<(u64, Request, Asked)>,
    asked: BTreeMap<u64, Asked>,
}

impl State {
    /// Every request that waits gets no answer.
    fn fail_all(&mut self) {
        let unsent = self.unsent.drain(..).map(|(_, _, asked)| asked);
        for asked in unsent.chain(std::mem::take(&mut self.asked).into_values()) {
            // A receiver that is gone has stopped caring.
            let _ = asked.sink.send((asked.tag, None));
        }
    }
}

/// The way from this Region to one other.
#[derive(Debug)]
pub(crate) struct Link {
    from: String,
    address: SocketAddr,
    state: Mutex<State>,
    news: Notify,
}

impl Link {
    pub(crate) fn new(from: &str, address: SocketAddr) -> Arc<Self> {
        Arc::new(Self {
            from: from.to_owned(),
            address,
            state: Mutex::default(),
            news: Notify::new(),
        })
    }

    /// Queues a request. The answer arrives at `sink` with `tag`.
    pub(crate) fn ask(&self, request: Request, tag: usize, sink: Sink) {
        let mut state = self.state();
        let id = state.next_id;
        state.next_id += 1;
        state.unsent.push((
            id,
            request,
            Asked {
                tag,
                sink,
                at: Instant::now(),
            },
        ));
        drop(state);
        self.news.notify_one();
    }

    /// Queues a request and waits for its answer, at most this long.
    pub(crate) async fn call(&self, request: Request, limit: Duration) -> Option<Reply> {
        let (sink, mut answers) = mpsc::unbounded_channel();
        self.ask(request, 0, sink);
        timeout(limit, answers.recv()).await.ok().flatten()?.1
    }

    /// Every request that waits gets no answer.
    pub(crate) fn give_up(&self) {
        self.state().fail_all();
    }

    /// Keeps the link going until dropped.
    pub(crate) async fn run(&self) {
        loop {
            while self.state().unsent.is_empty() {
                self.news.notified().await;
            }
            if let Ok(Ok(tcp)) = timeout(CONNECT_TIMEOUT, TcpStream::connect(self.address)).await {
                let _ = tcp.set_nodelay(true);
                let (mut incoming, mut outgoing) = tcp.into_split();
                tokio::select! {
                    // Unbiased selection would draw from a generator that no seed controls.
                    biased;
                    _ = self.receive(&mut incoming) => {}
                    _ = self.send(&mut outgoing) => {}
                    () = self.stalled() => {}
                }
            }
            self.state().fail_all();
            sleep(RECONNECT_PAUSE).await;
        }
    }

    async fn send(&self, outgoing: &mut OwnedWriteHalf) -> io::Result<()> {
        loop {
            let unsent: Vec<_> = {
                let mut state = self.state();
                let unsent = std::mem::take(&mut state.unsent);
                unsent
                    .into_iter()
                    .map(|(id, request, asked)| {
                        state.asked.insert(id, asked);
                        (id, request)
                    })
                    .collect()
            };
            for (id, content) in unsent {
                write_frame(
                    outgoing,
                    &Envelope {
                        id,
                        from: self.from.clone(),
                        content,
                    },
                )
                .await?;
            }
            if self.state().unsent.is_empty() {
                self.news.notified().await;
            }
        }
    }

    async fn receive(&self, incoming: &mut OwnedReadHalf) -> io::Result<()> {
        loop {
            let envelope: Envelope<Reply> = read_frame(incoming).await?;
            let asked = self.state().asked.remove(&envelope.id);
            if let Some(asked) = asked {
                let _ = asked.sink.send((asked.tag, Some(envelope.content)));
            }
        }
    }

    /// Returns when the oldest unanswered request has waited too long.
    async fn stalled(&self) {
        loop {
            let oldest = self.state().asked.values().map(|asked| asked.at).min();
            match oldest {
                Some(at) if at.elapsed() >= STALL_LIMIT => return,
                Some(at) => {
                    // Wakes at the deadline and looks again: by then another request may be the oldest.
                    let _ = timeout_at(at + STALL_LIMIT, std::future::pending::<()>()).await;
                }
                None => self.idle().await,
            }
        }
    }

    /// An idle link sets no timer: it looks again when `send` has something new under way.
    async fn idle(&self) {
        std::future::poll_fn(|_| {
            // Polled whenever `run` is, which is whenever something was asked or answered.
            if self.state().asked.is_empty() {
                std::task::Poll::Pending
            } else {
                std::task::Poll::Ready(())
            }
        })
        .await;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
