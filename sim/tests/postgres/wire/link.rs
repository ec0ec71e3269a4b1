//! One socket to a server, and whole messages out of it.

use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
    os::{
        fd::{AsFd, BorrowedFd},
        unix::net::UnixStream,
    },
    path::PathBuf,
    time::{Duration, Instant},
};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use thiserror::Error as ThisError;

use super::frame::{Answer, decode};

/// A longer message than this is taken for garbage.
const MESSAGE_BYTES_MAX: usize = 64 << 20;

/// Where a server listens.
#[derive(Clone, Debug)]
pub(crate) enum Address {
    /// The directory that holds the socket, which PostgreSQL names after its port.
    Unix {
        directory: PathBuf,
        port: u16,
    },
    Tcp(SocketAddr),
}

/// Why a conversation ended.
#[derive(Debug, ThisError)]
pub(crate) enum Error {
    #[error("the server closed the connection")]
    Closed,
    #[error("connection: {0}")]
    Io(#[from] io::Error),
    #[error("the server sent what is not protocol 3.0: {0}")]
    Malformed(String),
    #[error("the server refused the connection: {0}")]
    Refused(String),
    #[error("no answer within {0:?}")]
    Silent(Duration),
}

enum Stream {
    Unix(UnixStream),
    Tcp(TcpStream),
}

/// A connection below the level of sessions.
pub(crate) struct Link {
    stream: Stream,
    inbox: Vec<u8>,
    read: usize,
}

impl Link {
    pub(crate) fn open(address: &Address) -> Result<Self, Error> {
        let stream = match address {
            Address::Unix { directory, port } => {
                Stream::Unix(UnixStream::connect(directory.join(format!(".s.PGSQL.{port}")))?)
            }
            Address::Tcp(address) => {
                let stream = TcpStream::connect(address)?;
                stream.set_nodelay(true)?;
                // A server that reads nothing any more must fail a test, not hang it.
                stream.set_write_timeout(Some(Duration::from_secs(10)))?;
                Stream::Tcp(stream)
            }
        };
        Ok(Self {
            stream,
            inbox: Vec::new(),
            read: 0,
        })
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) -> Result<(), Error> {
        match &mut self.stream {
            Stream::Unix(stream) => stream.write_all(bytes)?,
            Stream::Tcp(stream) => stream.write_all(bytes)?,
        }
        Ok(())
    }

    /// The descriptor to wait on for more bytes.
    pub(crate) fn descriptor(&self) -> BorrowedFd<'_> {
        match &self.stream {
            Stream::Unix(stream) => stream.as_fd(),
            Stream::Tcp(stream) => stream.as_fd(),
        }
    }

    /// The next message, or `None` when none is whole within the time.
    pub(crate) fn receive(&mut self, within: Duration) -> Result<Option<Answer>, Error> {
        let deadline = Instant::now() + within;
        loop {
            if let Some(answer) = self.parse()? {
                return Ok(Some(answer));
            }
            if !self.fill(deadline)? {
                return Ok(None);
            }
        }
    }

    /// One byte outside of any message: the answer to a request for encryption.
    pub(crate) fn receive_byte(&mut self, within: Duration) -> Result<Option<char>, Error> {
        let deadline = Instant::now() + within;
        while self.inbox.is_empty() {
            if !self.fill(deadline)? {
                return Ok(None);
            }
        }
        Ok(Some(char::from(self.inbox.remove(0))))
    }

    /// Reads what has come; whether anything has by then.
    fn fill(&mut self, deadline: Instant) -> Result<bool, Error> {
        let left = deadline.saturating_duration_since(Instant::now());
        if !readable(&[self.descriptor()], left)? {
            return Ok(false);
        }
        let mut chunk = [0; 16 << 10];
        let count = match &mut self.stream {
            Stream::Unix(stream) => stream.read(&mut chunk)?,
            Stream::Tcp(stream) => stream.read(&mut chunk)?,
        };
        if count == 0 {
            return Err(Error::Closed);
        }
        self.inbox.extend(&chunk[..count]);
        Ok(true)
    }

    fn parse(&mut self) -> Result<Option<Answer>, Error> {
        let bytes = &self.inbox[self.read..];
        let Some((head, _)) = bytes.split_at_checked(5) else {
            return Ok(None);
        };
        let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize;
        if !(4..MESSAGE_BYTES_MAX).contains(&length) {
            return Err(Error::Malformed(format!("a message of {length} bytes")));
        }
        let Some(body) = bytes.get(5..length + 1) else {
            return Ok(None);
        };
        let answer = decode(head[0], body)?;
        self.read += length + 1;
        if self.read == self.inbox.len() {
            self.inbox.clear();
            self.read = 0;
        }
        Ok(Some(answer))
    }
}

/// Waits until one of the descriptors can be read (or is closed).
pub(crate) fn readable(descriptors: &[BorrowedFd<'_>], within: Duration) -> Result<bool, Error> {
    let mut set: Vec<PollFd<'_>> = descriptors
        .iter()
        .map(|fd| PollFd::new(*fd, PollFlags::POLLIN))
        .collect();
    let milliseconds = within.as_micros().div_ceil(1000).min(60_000) as u16;
    match poll(&mut set, PollTimeout::from(milliseconds)) {
        Ok(count) => Ok(count > 0),
        Err(nix::errno::Errno::EINTR) => Ok(false),
        Err(error) => Err(Error::Io(error.into())),
    }
}
