//! What the tests share: a log that survives hosts, and short words for time.

use std::fmt::Display;
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sumzero_sim::{Host, World};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

pub(crate) const SERVER: &str = "10.0.0.1";

pub(crate) fn secs(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds)
}

/// Lines written by hosts, read by the test.
#[derive(Clone, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    pub(crate) fn add(&self, line: impl Display) {
        self.0.lock().unwrap().push(line.to_string());
    }

    pub(crate) fn lines(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

/// What a call came to, without what differs from machine to machine.
pub(crate) fn told<T: Display>(result: io::Result<T>) -> String {
    match result {
        Ok(value) => value.to_string(),
        Err(error) => format!("{:?}", error.kind()),
    }
}

/// The time that a future takes, by the clock of whoever runs it.
pub(crate) async fn timed<F: Future>(future: F) -> (F::Output, f64) {
    let start = tokio::time::Instant::now();
    let output = future.await;
    (output, start.elapsed().as_secs_f64())
}

/// Echoes every connection until it ends.
pub(crate) async fn echo_server() -> io::Result<()> {
    let listener = TcpListener::bind("0.0.0.0:7").await?;
    loop {
        let (mut stream, _) = listener.accept().await?;
        tokio::spawn(async move {
            let (mut from, mut to) = stream.split();
            let _ = tokio::io::copy(&mut from, &mut to).await;
        });
    }
}

/// Sends one byte and waits for it to come back.
pub(crate) async fn ping(stream: &mut TcpStream) -> io::Result<()> {
    stream.write_all(b"x").await?;
    let mut byte = [0];
    stream.read_exact(&mut byte).await?;
    Ok(())
}

pub(crate) async fn connect() -> io::Result<TcpStream> {
    TcpStream::connect((SERVER, 7)).await
}

/// A host `server` at 10.0.0.1 in Region `east`, echoing on port 7, and a host `client` in Region `west`.
pub(crate) fn echo_world<P, F>(client: P) -> World
where
    P: Fn() -> F + Send + Sync + 'static,
    F: Future + 'static,
    F::Output: sumzero_sim::Answer,
{
    World::new(1)
        .host(
            Host::new("server")
                .region("east")
                .ip([10, 0, 0, 1])
                .run(echo_server),
        )
        .client(Host::new("client").region("west").ip([10, 1, 0, 1]).run(client))
}
