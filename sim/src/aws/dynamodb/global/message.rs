//! What two Regions say to each other.
//!
//! A frame is a length in four bytes, big-endian, and that much MessagePack. The asking side numbers its requests; the other
//! answers each in turn. The format is private to this simulation: AWS does not publish its own.

use super::super::key::ItemKey;
use super::mrec::Change;
use super::mrsc::{Accepted, Ballot};
use super::tables::GlobalTable;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::io;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// Larger than any batch that a Region sends.
const FRAME_BYTES_MAX: usize = 64 * 1024 * 1024;

/// A numbered request of one Region.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Envelope<T> {
    pub(crate) id: u64,
    pub(crate) from: String,
    pub(crate) content: T,
}

/// A chosen value that another Region should hold.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Chosen {
    pub(crate) key: ItemKey,
    pub(crate) accepted: Accepted,
}

/// What one Region asks of another.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Request {
    /// Take these eventually consistent changes in.
    Apply { changes: Vec<Change> },
    /// Take these chosen values in.
    Learn { chosen: Vec<Chosen> },
    /// Promise a ballot.
    Prepare { key: ItemKey, ballot: Ballot },
    /// Accept a value.
    Accept {
        key: ItemKey,
        proposal: Accepted,
        next: Ballot,
    },
    /// Tell what was accepted, unless it is what the asker knows.
    Read { key: ItemKey, known: Option<Ballot> },
    /// Tell what changed in a table.
    Since { table: String, position: u64 },
    /// Become a replica.
    CreateReplica { definition: Value, global: GlobalTable },
    /// Delete the replica.
    DeleteReplica { table: String },
    /// Take note of who the replicas are.
    Members { global: GlobalTable },
    /// Perform a table operation that holds for all replicas.
    Table { operation: String, body: Value },
}

/// What the other Region answers.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Reply {
    Done,
    /// The request cannot be performed, and why.
    Refused {
        message: String,
    },
    /// It cannot be performed now: replication with the asker is paused.
    Paused,
    Promise {
        accepted: Option<Accepted>,
    },
    Accepted,
    /// A ballot as high was promised already.
    Outbid {
        promised: Ballot,
    },
    State {
        accepted: Option<Accepted>,
    },
    /// What was accepted is what the asker knows.
    Same,
    Changed {
        position: u64,
        items: Vec<(ItemKey, Ballot)>,
    },
}

pub(crate) async fn write_frame<T: Serialize>(
    io: &mut (impl AsyncWrite + Unpin),
    message: &T,
) -> io::Result<()> {
    let body = rmp_serde::to_vec(message).map_err(io::Error::other)?;
    let mut frame = Vec::with_capacity(body.len() + 4);
    frame.extend_from_slice(&(body.len() as u32).to_be_bytes());
    frame.extend_from_slice(&body);
    io.write_all(&frame).await
}

pub(crate) async fn read_frame<T: DeserializeOwned>(io: &mut (impl AsyncRead + Unpin)) -> io::Result<T> {
    let length = io.read_u32().await? as usize;
    if length > FRAME_BYTES_MAX {
        let message = format!("a frame of {length} bytes is no replication frame");
        return Err(io::Error::new(io::ErrorKind::InvalidData, message));
    }
    let mut body = vec![0; length];
    io.read_exact(&mut body).await?;
    rmp_serde::from_slice(&body).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}
