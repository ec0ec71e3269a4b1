//! What two Regions of a Global Database say to each other.
//!
//! A frame is two lengths of four bytes each, big-endian, then that much JSON, then that much payload: as many bytes as the
//! log records or the copy take. The asking side sends a request and waits for its answer. AWS does not publish its own
//! format.

use std::io;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::aws::aurora::storage::log::Lsn;
use crate::aws::aurora::storage::volume::Epoch;

/// Longer than any message.
const MESSAGE_BYTES_MAX: usize = 64 * 1024;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// An answer that is overdue this long will not come: after a cut, TCP's own retransmission would find out much later that
/// the way is free again.
const STALL_LIMIT: Duration = Duration::from_secs(10);

/// A payload that comes more slowly is given up too.
const SLOWEST_BYTES_PER_SECOND: u64 = 100_000;
/// A payload is written and read in pieces of this size.
const PIECE_BYTES: usize = 64 * 1024;

/// What one Region asks of another.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) enum Request {
    /// The writer is here, with this history.
    Follow {
        region: String,
        timeline: Vec<(Epoch, Lsn)>,
    },
    /// The log between two positions; every Region has what comes before `keep`.
    Log {
        region: String,
        epoch: Epoch,
        from: Lsn,
        to: Lsn,
        keep: Lsn,
    },
    /// A copy of the volume, to begin anew with.
    Copy { number: u64 },
    /// Stop writing: a failover is under way.
    Fence { epoch: Epoch },
    /// Stop writing until this switchover is done or given up.
    Quiesce { operation: u64 },
    /// The switchover was given up.
    Resume { operation: u64 },
    /// Carry out the operation that the control plane has begun.
    Operate,
}

/// What it answers.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) enum Reply {
    Done,
    /// Ready for the log from here on.
    At {
        lsn: Lsn,
    },
    /// Ready for a copy.
    NeedsCopy,
    /// A later writer is known.
    Superseded {
        epoch: Epoch,
    },
    Refused,
}

/// A connection to another Region.
#[derive(Debug)]
pub(super) struct Peer(TcpStream);

impl Peer {
    pub(super) async fn connect(address: std::net::SocketAddr) -> io::Result<Peer> {
        let tcp = timeout(CONNECT_TIMEOUT, TcpStream::connect(address)).await??;
        tcp.set_nodelay(true)?;
        Ok(Peer(tcp))
    }

    pub(super) async fn ask(&mut self, request: &Request, payload: u64) -> io::Result<Reply> {
        let transfer = Duration::from_secs(payload / SLOWEST_BYTES_PER_SECOND);
        timeout(STALL_LIMIT + transfer, async {
            write_frame(&mut self.0, request, payload).await?;
            read_frame(&mut self.0).await
        })
        .await?
    }

    /// Asks once, on a connection of its own.
    pub(super) async fn once(address: std::net::SocketAddr, request: &Request) -> io::Result<Reply> {
        Peer::connect(address).await?.ask(request, 0).await
    }
}

pub(super) async fn write_frame<T: Serialize>(
    io: &mut TcpStream,
    message: &T,
    payload: u64,
) -> io::Result<()> {
    let body = serde_json::to_vec(message)?;
    let mut rest = u32::try_from(payload).unwrap_or(u32::MAX);
    let mut frame = Vec::with_capacity(body.len() + 8);
    frame.extend_from_slice(&(body.len() as u32).to_be_bytes());
    frame.extend_from_slice(&rest.to_be_bytes());
    frame.extend_from_slice(&body);
    while rest > 0 {
        let piece = PIECE_BYTES.min(rest as usize);
        frame.resize(frame.len() + piece, 0);
        rest -= piece as u32;
        io.write_all(&frame).await?;
        frame.clear();
    }
    io.write_all(&frame).await
}

pub(super) async fn read_frame<T: DeserializeOwned>(io: &mut TcpStream) -> io::Result<T> {
    let (length, mut payload) = (io.read_u32().await? as usize, io.read_u32().await? as usize);
    if length > MESSAGE_BYTES_MAX {
        let message = format!("a message of {length} bytes is none of a Global Database");
        return Err(io::Error::new(io::ErrorKind::InvalidData, message));
    }
    let mut body = vec![0; length];
    io.read_exact(&mut body).await?;
    let mut scratch = vec![0; payload.min(PIECE_BYTES)];
    while payload > 0 {
        let part = payload.min(scratch.len());
        io.read_exact(&mut scratch[..part]).await?;
        payload -= part;
    }
    Ok(serde_json::from_slice(&body)?)
}
