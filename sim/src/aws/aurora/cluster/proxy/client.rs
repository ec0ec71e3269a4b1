//! One client of the proxy: its messages go to the connection that it was lent, its answers come back.
//!
//! Statements that clients prepare get names of the proxy's own on the server, the same for all who prepare the same text.
//! Before one is used on a connection that lacks it, it is prepared there, and the answers to that are kept from the client.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};
use tokio::net::TcpStream;

use super::Front;
use super::pin::{Pin, pins};
use super::pool::{Loan, Parameters};
use crate::aws::aurora::error::{Error, code};
use crate::aws::aurora::wire::{Connection, Frame, STARTUP_MAX, put, put_error};

/// Answers do not pile up beyond this.
const OUTPUT_BYTES_MAX: usize = 64 * 1024;

/// An answer that is on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Awaited {
    /// To Parse or Close, for the client.
    Told,
    /// To Parse or Close of the proxy.
    Kept,
    /// ReadyForQuery.
    Ready,
}

struct Client<'f> {
    front: &'f Arc<Front>,
    connection: Connection,
    parameters: Parameters,
    /// By the client's name: the number and the text with its types.
    statements: BTreeMap<Vec<u8>, (u64, Bytes)>,
    loan: Option<Loan>,
    pinned: Option<Pin>,
    awaited: VecDeque<Awaited>,
    /// Messages of the client that no Sync has followed yet.
    unsynced: bool,
}

/// Serves one client until it leaves or its connection to the cluster breaks.
pub(super) async fn serve(front: &Arc<Front>, socket: TcpStream) -> io::Result<()> {
    socket.set_nodelay(true)?;
    let mut connection = Connection::new(socket);
    let Some(parameters) = startup(&mut connection).await? else {
        return Ok(());
    };
    let mut loan = match front.borrow(&parameters).await {
        Ok(loan) => loan,
        Err(failed) => {
            failed.put(&mut connection.output);
            return connection.flush().await;
        }
    };
    put(&mut connection.output, b'R', |out| out.put_i32(0));
    connection.output.put_slice(&loan.server().greeting);
    loan.give_back();
    // Cancel requests are dropped, so the key is no secret.
    put(&mut connection.output, b'K', |out| out.put_u64(0));
    put(&mut connection.output, b'Z', |out| out.put_u8(b'I'));
    connection.flush().await?;
    let mut client = Client {
        front,
        connection,
        parameters,
        statements: BTreeMap::new(),
        loan: None,
        pinned: None,
        awaited: VecDeque::new(),
        unsynced: false,
    };
    let ended = client.talk().await;
    if client.pinned.is_some() {
        front.proxy.count(|counters| counters.pinned -= 1);
    }
    ended
}

/// Reads what a client asks for when it connects; None if it wants no session.
async fn startup(connection: &mut Connection) -> io::Result<Option<Parameters>> {
    loop {
        if !connection.want(4).await? {
            return Ok(None);
        }
        let head = &connection.input;
        let length = u32::from_be_bytes([head[0], head[1], head[2], head[3]]) as usize;
        if !(8..=STARTUP_MAX).contains(&length) || !connection.want(length).await? {
            return Ok(None);
        }
        let body = connection.input.split_to(length).split_off(4);
        let mut frame = Frame(&body);
        match frame.u32().unwrap_or_default() {
            // Neither TLS nor GSSAPI.
            80_877_103 | 80_877_104 => {
                connection.output.put_u8(b'N');
                connection.flush().await?;
            }
            version if version >> 16 == 3 => {
                let mut parameters = Parameters::new();
                while let (Ok(name), value) = (frame.string(), frame.string()) {
                    let (false, Ok(value)) = (name.is_empty(), value) else {
                        break;
                    };
                    parameters.insert(name, value);
                }
                return Ok(Some(parameters));
            }
            _ => return Ok(None),
        }
    }
}

enum Event {
    Said(Option<(u8, BytesMut)>),
    Answered(Option<(u8, BytesMut)>),
}

impl Client<'_> {
    async fn talk(&mut self) -> io::Result<()> {
        loop {
            let event = match &mut self.loan {
                Some(loan) => tokio::select! {
                    // Unbiased selection would draw from a generator that no seed controls.
                    biased;
                    answered = loan.server().connection.answer() => Event::Answered(answered?),
                    said = self.connection.request() => Event::Said(said?),
                },
                None => Event::Said(self.connection.request().await?),
            };
            match event {
                Event::Said(None | Some((b'X', _))) => return Ok(()),
                Event::Said(Some((kind, body))) => {
                    if !self.say(kind, &body).await? {
                        return self.connection.flush().await;
                    }
                }
                // It broke, and with it whatever the client was doing.
                Event::Answered(None) => return Ok(()),
                Event::Answered(Some((kind, body))) => self.hear(kind, &body).await?,
            }
        }
    }

    /// Passes one message on; false if the client has to go.
    async fn say(&mut self, kind: u8, body: &[u8]) -> io::Result<bool> {
        if self.loan.is_none() {
            match self.front.borrow(&self.parameters).await {
                Ok(loan) => self.loan = Some(loan),
                Err(failed) => {
                    failed.put(&mut self.connection.output);
                    return Ok(false);
                }
            }
        }
        let said = match kind {
            b'Q' => self.query(body),
            b'P' => self.parse(body),
            b'B' => self.bind(body),
            b'D' | b'C' => self.describe_or_close(kind, body),
            _ => self.forward(kind, body),
        };
        if said.is_none() {
            let error = Error::fatal(code::PROTOCOL_VIOLATION, "insufficient data left in message");
            put_error(&mut self.connection.output, &error);
            return Ok(false);
        }
        match &mut self.loan {
            // What is not synced may wait: the server would not answer before either.
            Some(loan) if matches!(kind, b'Q' | b'S' | b'H') => loan.server().connection.flush().await?,
            _ => {}
        }
        Ok(true)
    }

    fn put(&mut self, kind: u8, body: impl FnOnce(&mut BytesMut)) -> Option<()> {
        put(&mut self.loan.as_mut()?.server().connection.output, kind, body);
        Some(())
    }

    fn forward(&mut self, kind: u8, body: &[u8]) -> Option<()> {
        if kind == b'S' {
            self.awaited.push_back(Awaited::Ready);
        }
        self.unsynced = !matches!(kind, b'S');
        self.put(kind, |out| out.put_slice(body))
    }

    fn query(&mut self, body: &[u8]) -> Option<()> {
        self.judge(std::str::from_utf8(body.strip_suffix(b"\0")?).ok());
        self.awaited.push_back(Awaited::Ready);
        self.unsynced = false;
        self.put(b'Q', |out| out.put_slice(body))
    }

    /// Pins the session if these statements do.
    fn judge(&mut self, sql: Option<&str>) {
        let pin = sql.map_or(Some(Pin::Unreadable), pins);
        let Some(pin) = pin else { return };
        if let Some(loan) = &mut self.loan {
            // DEALLOCATE and DISCARD know no difference between its statements and the proxy's.
            loan.server().prepared.clear();
        }
        if self.pinned.is_none() {
            self.pinned = Some(pin);
            self.front.proxy.count(|counters| {
                counters.pinned += 1;
                *counters.pins.entry(pin).or_default() += 1;
            });
        }
    }

    fn parse(&mut self, body: &[u8]) -> Option<()> {
        self.unsynced = true;
        let (name, rest) = split_name(body)?;
        let (sql, _) = split_name(rest)?;
        self.judge(std::str::from_utf8(sql).ok());
        let number = self.front.proxy.number(rest);
        let text = Bytes::copy_from_slice(rest);
        self.statements.insert(name.to_vec(), (number, text.clone()));
        self.prepare(number, &text, Awaited::Told)
    }

    /// Prepares a statement on the server, in the place of itself if it is there already.
    fn prepare(&mut self, number: u64, text: &Bytes, answer: Awaited) -> Option<()> {
        let name = server_name(number);
        self.put(b'C', |out| {
            out.put_u8(b'S');
            out.put_slice(&name);
        })?;
        self.put(b'P', |out| {
            out.put_slice(&name);
            out.put_slice(text);
        })?;
        self.awaited.extend([Awaited::Kept, answer]);
        self.loan.as_mut()?.server().prepared.insert(number);
        Some(())
    }

    /// The server's name of a client's statement, prepared there. A name that the client never gave stays as it is.
    fn resolve(&mut self, name: &[u8]) -> Option<Vec<u8>> {
        let Some((number, text)) = self.statements.get(name).cloned() else {
            return Some([name, b"\0"].concat());
        };
        if !self.loan.as_mut()?.server().prepared.contains(&number) {
            self.prepare(number, &text, Awaited::Kept)?;
        }
        Some(server_name(number))
    }

    fn bind(&mut self, body: &[u8]) -> Option<()> {
        self.unsynced = true;
        let (portal, rest) = split_name(body)?;
        let (name, rest) = split_name(rest)?;
        let name = self.resolve(name)?;
        self.put(b'B', |out| {
            out.put_slice(portal);
            out.put_u8(0);
            out.put_slice(&name);
            out.put_slice(rest);
        })
    }

    fn describe_or_close(&mut self, kind: u8, body: &[u8]) -> Option<()> {
        self.unsynced = true;
        let (what, rest) = body.split_first()?;
        if kind == b'C' {
            self.awaited.push_back(Awaited::Told);
        }
        if *what != b'S' {
            return self.put(kind, |out| out.put_slice(body));
        }
        let (name, _) = split_name(rest)?;
        let name = if kind == b'C' {
            // Others may use it: a statement that is not there is closed in its place.
            self.statements.remove(name);
            server_name(0)
        } else {
            self.resolve(name)?
        };
        self.put(kind, |out| {
            out.put_u8(b'S');
            out.put_slice(&name);
        })
    }

    /// Passes one answer on, and gives the connection back after the last one of a transaction.
    async fn hear(&mut self, kind: u8, body: &[u8]) -> io::Result<()> {
        match kind {
            b'1' | b'3' if self.awaited.pop_front() == Some(Awaited::Kept) => return Ok(()),
            b'E' => {
                // What comes before the next Sync is skipped, and may have been the preparation of a statement.
                if let Some(loan) = &mut self.loan {
                    loan.server().prepared.clear();
                }
            }
            b'Z' => while !matches!(self.awaited.pop_front(), Some(Awaited::Ready) | None) {},
            _ => {}
        }
        put(&mut self.connection.output, kind, |out| out.put_slice(body));
        if kind != b'Z' {
            // Nothing more has come for now, or enough for one go.
            let connection = self.loan.as_mut().map(|loan| &loan.server().connection.input);
            if connection.is_none_or(BytesMut::is_empty) || self.connection.output.len() > OUTPUT_BYTES_MAX {
                self.connection.flush().await?;
            }
            return Ok(());
        }
        let idle = body.first() == Some(&b'I') && self.awaited.is_empty() && !self.unsynced;
        if idle
            && self.pinned.is_none()
            && let Some(loan) = self.loan.take()
        {
            loan.give_back();
        }
        self.connection.flush().await
    }
}

/// With its terminator. No statement has the number 0.
fn server_name(number: u64) -> Vec<u8> {
    format!("rds_proxy_{number}\0").into_bytes()
}

/// A string and what follows its terminator.
fn split_name(body: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = body.iter().position(|byte| *byte == 0)?;
    Some((&body[..end], &body[end + 1..]))
}
