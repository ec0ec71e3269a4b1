//! Posting in groups: what arrives while a transaction is under way goes into the next one.
//!
//! A lane is one transaction at a time. Commands of a tenant share a lane, so that two lanes seldom want the same rows; rows
//! that they share after all are locked in one order.

use std::{hash::Hasher, sync::Arc, time::Duration};

use sqlx::PgPool;
use tokio::sync::{mpsc, oneshot};

use super::{
    batch,
    command::{Command, Reply},
    epoch::Authority,
    error::LedgerError,
    schema::Schema,
};

/// How commands are grouped.
#[derive(Clone, Copy, Debug)]
pub struct Grouping {
    /// Transactions at a time.
    pub lanes: usize,
    /// Most commands of one transaction; 1 gives every command its own.
    pub commands_max: usize,
    /// Most commands that wait in a lane before further ones are refused.
    pub waiting_max: usize,
    /// How long a transaction may take.
    pub limit: Duration,
}

impl Default for Grouping {
    fn default() -> Self {
        Self {
            lanes: 2,
            commands_max: 64,
            waiting_max: 1_024,
            limit: Duration::from_secs(5),
        }
    }
}

/// Who writes.
#[derive(Clone, Debug)]
pub(super) struct Writer {
    pub pool: PgPool,
    /// The Region of this process.
    pub region: Arc<str>,
    /// The version of the schema that it writes.
    pub schema: Schema,
    /// Under which epoch it may.
    pub authority: Authority,
}

struct Posting {
    command: Command,
    reply: oneshot::Sender<Result<Reply, LedgerError>>,
}

/// The way into the ledger for all commands of a process.
#[derive(Clone, Debug)]
pub(super) struct Poster {
    lanes: Arc<[mpsc::Sender<Posting>]>,
}

impl Poster {
    /// Starts the lanes. They end when the last handle is gone.
    pub(super) fn start(writer: &Writer, grouping: Grouping) -> Self {
        let lanes = (0..grouping.lanes.max(1)).map(|_| {
            let (sender, receiver) = mpsc::channel(grouping.waiting_max.max(1));
            tokio::spawn(lane(writer.clone(), grouping, receiver));
            sender
        });
        Self {
            lanes: lanes.collect(),
        }
    }

    /// Carries a command out.
    pub(super) async fn submit(&self, command: Command) -> Result<Reply, LedgerError> {
        let (reply, answer) = oneshot::channel();
        let lane = &self.lanes[self.lane(&command)];
        // Waiting longer than the queue is long helps nobody: the client is told at once.
        lane.try_send(Posting { command, reply })
            .map_err(|_| LedgerError::Unavailable("too many postings wait".to_owned()))?;
        answer
            .await
            .unwrap_or_else(|_| Err(LedgerError::Unknown("the posting was abandoned".to_owned())))
    }

    fn lane(&self, command: &Command) -> usize {
        // Not for safety, only for spread: any fixed hash will do.
        let mut hash = std::hash::DefaultHasher::new();
        hash.write(command.tenant().0.as_bytes());
        (hash.finish() % self.lanes.len() as u64) as usize
    }
}

async fn lane(writer: Writer, grouping: Grouping, mut arrivals: mpsc::Receiver<Posting>) {
    let mut group = Vec::new();
    while arrivals.recv_many(&mut group, grouping.commands_max.max(1)).await > 0 {
        let (commands, replies): (Vec<_>, Vec<_>) = group
            .drain(..)
            .map(|posting| (posting.command, posting.reply))
            .unzip();
        for (reply, result) in replies
            .into_iter()
            .zip(post(&writer, grouping.limit, &commands).await)
        {
            // Nobody waits any more: the command is done all the same.
            let _ = reply.send(result);
        }
    }
}

/// Posts a group. If the database refuses it, a row came in between or one command is at fault: each is tried alone.
async fn post(writer: &Writer, limit: Duration, commands: &[Command]) -> Vec<Result<Reply, LedgerError>> {
    match batch::run(writer, limit, commands).await {
        Ok(replies) => replies.into_iter().map(Ok).collect(),
        Err(LedgerError::Rejected(reason)) => {
            tracing::warn!(
                commands = commands.len(),
                reason,
                "group refused: posting one by one"
            );
            let mut results = Vec::with_capacity(commands.len());
            for command in commands {
                let alone = batch::run(writer, limit, std::slice::from_ref(command)).await;
                results.push(alone.and_then(|mut replies| {
                    replies.pop().ok_or_else(|| LedgerError::Rejected(reason.clone()))
                }));
            }
            results
        }
        Err(error) => commands.iter().map(|_| Err(error.clone())).collect(),
    }
}
