//! A PostgreSQL server small enough to read: it speaks as much of the protocol (version 3) as sqlx needs for a statement
//! with one bigint in and one bigint out.
//!
//! Modelled: the start-up without a password, the extended query protocol with prepared statements.
//! Not modelled: SQL (whatever the statement says, the answer comes from a function), transactions, errors, TLS.

use std::future::Future;
use std::io;
use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

/// PostgreSQL's number for the type `bigint`.
const BIGINT: u32 = 20;

/// Serves on port 5432 and answers each statement with what `answer` makes of its one parameter.
pub(crate) async fn serve<A, F>(answer: A) -> io::Result<()>
where
    A: Fn(i64) -> F + Send + Sync + 'static,
    F: Future<Output = i64> + Send + 'static,
{
    let answer = Arc::new(answer);
    let listener = TcpListener::bind("0.0.0.0:5432").await?;
    loop {
        let (stream, _) = listener.accept().await?;
        let answer = answer.clone();
        tokio::spawn(async move { session(stream, &*answer).await });
    }
}

/// One message: its type, its length, its content.
fn say(out: &mut Vec<u8>, kind: u8, content: &[u8]) {
    out.push(kind);
    out.extend((content.len() as u32 + 4).to_be_bytes());
    out.extend(content);
}

async fn session<A, F>(stream: TcpStream, answer: &A) -> io::Result<()>
where
    A: Fn(i64) -> F,
    F: Future<Output = i64>,
{
    let mut stream = BufReader::new(stream);
    let mut content = vec![0; stream.read_u32().await? as usize - 4];
    stream.read_exact(&mut content).await?;
    let mut out = Vec::new();
    say(&mut out, b'R', &0u32.to_be_bytes());
    say(&mut out, b'S', b"server_version\x0017.0\0");
    say(&mut out, b'Z', b"I");
    stream.write_all(&out).await?;
    out.clear();
    let mut parameter = 0;
    loop {
        let kind = stream.read_u8().await?;
        content.resize(stream.read_u32().await? as usize - 4, 0);
        stream.read_exact(&mut content).await?;
        match kind {
            b'P' => say(&mut out, b'1', &[]),
            b'D' => {
                if content[0] == b'S' {
                    say(&mut out, b't', &[&[0, 1][..], &BIGINT.to_be_bytes()].concat());
                }
                // One column: its name, no table, the type, its size, no modifier, binary.
                let column = [
                    b"value\0".as_slice(),
                    &[0; 6],
                    &BIGINT.to_be_bytes(),
                    &[0, 8],
                    &[0xff; 4],
                    &[0, 1],
                ];
                say(&mut out, b'T', &[&[0, 1][..], &column.concat()].concat());
            }
            b'B' => {
                // The parameter comes before the formats of the columns: how many (two bytes), and one of two bytes.
                parameter = content.len().checked_sub(12).map_or(0, |at| {
                    i64::from_be_bytes(content[at..at + 8].try_into().expect("eight bytes were cut out"))
                });
                say(&mut out, b'2', &[]);
            }
            b'E' => {
                let value = answer(parameter).await;
                say(
                    &mut out,
                    b'D',
                    &[&[0, 1][..], &8u32.to_be_bytes(), &value.to_be_bytes()].concat(),
                );
                say(&mut out, b'C', b"SELECT 1\0");
            }
            b'C' => say(&mut out, b'3', &[]),
            b'S' | b'H' => {
                if kind == b'S' {
                    say(&mut out, b'Z', b"I");
                }
                stream.write_all(&out).await?;
                out.clear();
            }
            b'X' => return Ok(()),
            _ => {
                return Err(io::Error::new(
                    io::ErrorKind::Unsupported,
                    format!("message {:?}", char::from(kind)),
                ));
            }
        }
    }
}
