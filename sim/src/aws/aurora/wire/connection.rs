//! The messages of one connection, either way. Nothing is lost when a read is dropped half-way.

use bytes::BytesMut;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// As much as PostgreSQL reads at once. What stays unread when a FATAL ends a session resets the connection, and the client
/// may then never read why.
const READ_AHEAD: usize = 8192;
/// PostgreSQL's limit on one message.
const MESSAGE_MAX: usize = 0x3fff_ffff;
/// The same for messages that have no reason to be long.
const SMALL_MESSAGE_MAX: usize = 10_000;
/// A connection with what was read ahead and what is not sent yet.
pub(crate) struct Connection {
    pub(crate) socket: TcpStream,
    pub(crate) input: BytesMut,
    pub(crate) output: BytesMut,
}

impl Connection {
    /// A connection on which nothing has been said.
    pub(crate) fn new(socket: TcpStream) -> Connection {
        Connection {
            socket,
            input: BytesMut::new(),
            output: BytesMut::new(),
        }
    }

    /// Sends what was put into `output`.
    pub(crate) async fn flush(&mut self) -> std::io::Result<()> {
        if !self.output.is_empty() {
            self.socket.write_all(&self.output).await?;
            self.output.clear();
        }
        Ok(())
    }

    /// Reads until so many bytes are there; false at the end of the stream.
    pub(crate) async fn want(&mut self, count: usize) -> std::io::Result<bool> {
        while self.input.len() < count {
            self.input.reserve(READ_AHEAD);
            if self.socket.read_buf(&mut self.input).await? == 0 {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// What a client says next: the kind of the message and its body. None at the end, or when it is too long for its kind.
    pub(crate) async fn request(&mut self) -> std::io::Result<Option<(u8, BytesMut)>> {
        self.message(|kind| match kind {
            b'Q' | b'P' | b'B' | b'F' | b'd' => MESSAGE_MAX,
            _ => SMALL_MESSAGE_MAX,
        })
        .await
    }

    /// What a server says next.
    pub(crate) async fn answer(&mut self) -> std::io::Result<Option<(u8, BytesMut)>> {
        self.message(|_| MESSAGE_MAX).await
    }

    async fn message(&mut self, limit: impl Fn(u8) -> usize) -> std::io::Result<Option<(u8, BytesMut)>> {
        if !self.want(5).await? {
            return Ok(None);
        }
        let len = u32::from_be_bytes([self.input[1], self.input[2], self.input[3], self.input[4]]) as usize;
        // PostgreSQL says nothing either: the stream can no longer be trusted.
        if !(4..=limit(self.input[0])).contains(&len) {
            return Ok(None);
        }
        if !self.want(len + 1).await? {
            return Ok(None);
        }
        let mut whole = self.input.split_to(len + 1);
        let kind = whole[0];
        let body = whole.split_off(5);
        Ok(Some((kind, body)))
    }
}
