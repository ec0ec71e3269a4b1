//! A client for one service that calls another: one request, one connection, no retries of its own.

use super::basic_iso8601;
use serde_json::Value;
use std::io;
use std::net::SocketAddr;
use std::time::SystemTime;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Where and as whom to call.
#[derive(Debug, Clone)]
pub struct Peer {
    /// The service's endpoint. An address, not a name: looking one up would take a thread.
    pub address: SocketAddr,
    /// The Region of the credential scope.
    pub region: String,
    /// The signing name of the credential scope: `sqs`.
    pub service: &'static str,
    /// The prefix of `x-amz-target`, without the dot: `AmazonSQS`.
    pub target: &'static str,
}

impl Peer {
    /// Sends a JSON 1.0 request and reads the whole answer: its status and its body, null if that is not JSON. The caller
    /// bounds the time.
    ///
    /// # Errors
    /// No connection, or one that ended before a whole answer; the request may have been applied.
    pub async fn call(&self, operation: &str, body: &Value) -> io::Result<(u16, Value)> {
        let mut tcp = TcpStream::connect(self.address).await?;
        tcp.write_all(self.request(operation, &body.to_string()).as_bytes())
            .await?;
        let mut answer = Vec::new();
        tcp.read_to_end(&mut answer).await?;
        parse(&answer).ok_or_else(|| io::Error::new(io::ErrorKind::UnexpectedEof, "no whole answer"))
    }

    fn request(&self, operation: &str, body: &str) -> String {
        let Self {
            address,
            region,
            service,
            target,
        } = self;
        let date = basic_iso8601(SystemTime::now());
        let day = date.get(..8).unwrap_or_default();
        format!(
            "POST / HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\ncontent-length: {length}\r\n\
             content-type: application/x-amz-json-1.0\r\nx-amz-target: {target}.{operation}\r\nx-amz-date: {date}\r\n\
             authorization: AWS4-HMAC-SHA256 Credential=SERVICE/{day}/{region}/{service}/aws4_request, \
             SignedHeaders=host;x-amz-date;x-amz-target, Signature=0\r\n\r\n{body}",
            length = body.len(),
        )
    }
}

/// The status and the body, if the answer is whole by its content length.
fn parse(answer: &[u8]) -> Option<(u16, Value)> {
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&answer[..end]).ok()?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    let header = |line: &str| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length")
            .then(|| value.trim().parse::<usize>().ok())?
    };
    let length = head.lines().find_map(header)?;
    let body = answer.get(end + 4..)?;
    (body.len() == length).then(|| (status, serde_json::from_slice(body).unwrap_or(Value::Null)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_answers_count() {
        let answer = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 7\r\n\r\n{\"a\":1}";
        assert_eq!(parse(answer), Some((400, serde_json::json!({"a": 1}))));
        assert_eq!(parse(&answer[..answer.len() - 1]), None);
        assert_eq!(parse(b""), None);
        assert_eq!(parse(b"HTTP/1.1 200 OK\r\n\r\n"), None);
    }
}
