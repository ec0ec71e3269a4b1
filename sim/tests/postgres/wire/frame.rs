//! The messages of protocol 3.0 that the suites need: encoding of requests, decoding of answers.

use std::fmt;

use super::link::Error;

/// One value of a row as it came over the wire; `None` is NULL.
pub(crate) type Value = Option<Vec<u8>>;

/// One column of a row description.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Column {
    pub(crate) name: String,
    pub(crate) type_oid: u32,
    /// Length and the like, -1 where the type has none.
    pub(crate) type_modifier: i32,
}

/// The comparable part of an error report.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) severity: String,
    pub(crate) sqlstate: String,
    pub(crate) constraint: Option<String>,
    pub(crate) table: Option<String>,
    pub(crate) column: Option<String>,
    /// For people only: never compared.
    pub(crate) message: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.severity, self.sqlstate)?;
        for (what, name) in [
            ("constraint", &self.constraint),
            ("table", &self.table),
            ("column", &self.column),
        ] {
            if let Some(name) = name {
                write!(f, " {what}={name}")?;
            }
        }
        write!(f, " ({})", self.message)
    }
}

/// One answer of the server.
#[derive(Debug)]
pub(crate) enum Answer {
    Authentication(u32),
    KeyData {
        pid: i32,
    },
    Ready(u8),
    Columns(Vec<Column>),
    Parameters(Vec<u32>),
    Row(Vec<Value>),
    Complete(String),
    EmptyQuery,
    Failed(Failure),
    /// Everything that carries nothing to compare, by its tag: ParseComplete, NoData, ParameterStatus, NoticeResponse...
    Other(u8),
}

/// What a session is asked to run.
#[derive(Clone, Debug)]
pub(crate) enum Request {
    /// The simple protocol: one or several statements, text answers.
    Simple(String),
    /// The extended protocol: one statement, parameters as text of a type that the server infers, binary answers.
    Extended(String, Vec<Option<String>>),
}

impl Request {
    pub(crate) fn sql_mut(&mut self) -> &mut String {
        match self {
            Self::Simple(sql) | Self::Extended(sql, _) => sql,
        }
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        match self {
            Self::Simple(sql) => frame(b'Q', &text(sql)),
            Self::Extended(sql, parameters) => {
                let mut parse = text("");
                parse.extend(text(sql));
                parse.extend(0i16.to_be_bytes());
                let mut bytes = frame(b'P', &parse);
                bytes.extend(frame(b'D', b"S\0"));
                let mut bind = text("");
                bind.extend(text(""));
                bind.extend(0i16.to_be_bytes());
                bind.extend((parameters.len() as i16).to_be_bytes());
                for parameter in parameters {
                    match parameter {
                        None => bind.extend((-1i32).to_be_bytes()),
                        Some(value) => {
                            bind.extend((value.len() as i32).to_be_bytes());
                            bind.extend(value.as_bytes());
                        }
                    }
                }
                bind.extend(1i16.to_be_bytes());
                bind.extend(1i16.to_be_bytes());
                bytes.extend(frame(b'B', &bind));
                bytes.extend(frame(b'E', b"\0\0\0\0\0"));
                bytes.extend(frame(b'S', b""));
                bytes
            }
        }
    }
}

/// The first message of a connection.
pub(crate) fn startup(user: &str, database: &str) -> Vec<u8> {
    let mut body = 196_608u32.to_be_bytes().to_vec();
    for word in ["user", user, "database", database, "client_encoding", "UTF8"] {
        body.extend(text(word));
    }
    body.push(0);
    let mut bytes = (body.len() as u32 + 4).to_be_bytes().to_vec();
    bytes.extend(body);
    bytes
}

/// A tagged message.
pub(crate) fn frame(tag: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![tag];
    bytes.extend((body.len() as u32 + 4).to_be_bytes());
    bytes.extend(body);
    bytes
}

fn text(value: &str) -> Vec<u8> {
    let mut bytes = value.as_bytes().to_vec();
    bytes.push(0);
    bytes
}

/// Decodes one answer from its tag and body.
pub(crate) fn decode(tag: u8, body: &[u8]) -> Result<Answer, Error> {
    let mut reader = Reader(body);
    Ok(match tag {
        b'R' => Answer::Authentication(reader.u32()?),
        b'K' => Answer::KeyData {
            pid: reader.u32()? as i32,
        },
        b'Z' => Answer::Ready(reader.take(1)?[0]),
        b'T' => {
            let count = reader.u16()?;
            let mut columns = Vec::new();
            for _ in 0..count {
                let name = reader.text()?;
                reader.take(6)?;
                let type_oid = reader.u32()?;
                reader.take(2)?;
                let type_modifier = reader.u32()? as i32;
                reader.take(2)?;
                columns.push(Column {
                    name,
                    type_oid,
                    type_modifier,
                });
            }
            Answer::Columns(columns)
        }
        b't' => {
            let count = reader.u16()?;
            Answer::Parameters((0..count).map(|_| reader.u32()).collect::<Result<_, _>>()?)
        }
        b'D' => {
            let count = reader.u16()?;
            let mut row = Vec::new();
            for _ in 0..count {
                let length = reader.u32()? as i32;
                row.push(match usize::try_from(length) {
                    Ok(length) => Some(reader.take(length)?.to_vec()),
                    Err(_) => None,
                });
            }
            Answer::Row(row)
        }
        b'C' => Answer::Complete(reader.text()?),
        b'I' => Answer::EmptyQuery,
        b'E' => Answer::Failed(failure(&mut reader)?),
        b'1' | b'2' | b'3' | b'n' | b's' | b'S' | b'N' | b'A' | b'G' | b'V' | b'c' | b'v' => {
            Answer::Other(tag)
        }
        other => {
            return Err(Error::Malformed(format!(
                "unknown message {:?}",
                char::from(other)
            )));
        }
    })
}

fn failure(reader: &mut Reader<'_>) -> Result<Failure, Error> {
    let mut failure = Failure::default();
    loop {
        let field = reader.take(1)?[0];
        if field == 0 {
            return Ok(failure);
        }
        let value = reader.text()?;
        match field {
            b'V' => failure.severity = value,
            b'S' if failure.severity.is_empty() => failure.severity = value,
            b'C' => failure.sqlstate = value,
            b'n' => failure.constraint = Some(value),
            b't' => failure.table = Some(value),
            b'c' => failure.column = Some(value),
            b'M' => failure.message = value,
            _ => {}
        }
    }
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], Error> {
        let (head, tail) = self
            .0
            .split_at_checked(count)
            .ok_or_else(|| Error::Malformed("a message ends too early".into()))?;
        self.0 = tail;
        Ok(head)
    }

    fn u16(&mut self) -> Result<u16, Error> {
        let bytes = self.take(2)?;
        Ok(u16::from_be_bytes([bytes[0], bytes[1]]))
    }

    fn u32(&mut self) -> Result<u32, Error> {
        let bytes = self.take(4)?;
        Ok(u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
    }

    fn text(&mut self) -> Result<String, Error> {
        let end = self.0.iter().position(|byte| *byte == 0);
        let end = end.ok_or_else(|| Error::Malformed("a text without its end".into()))?;
        let text = String::from_utf8_lossy(self.take(end)?).into_owned();
        self.take(1)?;
        Ok(text)
    }
}
