//! The extended query protocol: statements by name, and portals.

use std::collections::BTreeMap;

use bytes::BufMut;
use pgwire::messages::Message;
use pgwire::messages::response::CommandComplete;

use super::rows::{check_format, data_row, describe_result, format};
use super::{Connection, Frame, put};
use crate::aws::aurora::error::{Result, code, fail};
use crate::aws::aurora::session::prepared::Prepared;
use crate::aws::aurora::session::{Answer, Session, now};
use crate::aws::aurora::types::{Type, Value, decode_binary, decode_text};

struct Portal {
    prepared: Prepared,
    params: Vec<Value>,
    formats: Vec<i16>,
    answer: Option<Answer>,
    sent: usize,
}

/// A connection's portals, by name.
#[derive(Default)]
pub(super) struct Portals(BTreeMap<String, Portal>);

impl Portals {
    /// They end with the transaction.
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// Performs one message of the extended protocol.
    pub(super) async fn perform(
        &mut self,
        c: &mut Connection,
        session: &mut Session,
        kind: u8,
        body: &[u8],
    ) -> Result<()> {
        let f = Frame(body);
        match kind {
            b'P' => Self::parse(c, session, f),
            b'B' => self.bind(c, session, f),
            b'D' => self.describe(c, session, f),
            b'E' => self.execute(c, session, f).await,
            _ => self.close(c, session, f),
        }
    }

    /// Parse: names a statement.
    fn parse(c: &mut Connection, session: &mut Session, mut f: Frame<'_>) -> Result<()> {
        let (name, sql) = (f.string()?, f.string()?);
        let mut types = Vec::new();
        for _ in 0..f.u16()? {
            types.push(match f.u32()? {
                0 | 705 => None,
                oid => match Type::from_oid(oid) {
                    Some(ty) => Some(ty),
                    None => {
                        return fail(
                            code::INTERNAL_ERROR,
                            format!("cache lookup failed for type {oid}"),
                        );
                    }
                },
            });
        }
        let mut statements = session.engine.parse(&sql)?;
        if statements.len() > 1 {
            return fail(
                code::SYNTAX_ERROR,
                "cannot insert multiple commands into a prepared statement",
            );
        }
        if !name.is_empty() && session.prepared.contains_key(&name) {
            return fail(
                code::DUPLICATE_PREPARED_STATEMENT,
                format!("prepared statement \"{name}\" already exists"),
            );
        }
        let mut prepared = Prepared::new(&sql, statements.pop().map(|p| p.statement), types);
        session.prepare(&mut prepared)?;
        session.prepared.insert(name, prepared);
        put(&mut c.output, b'1', |_| {});
        Ok(())
    }

    /// Bind: a statement with its parameters becomes a portal.
    fn bind(&mut self, c: &mut Connection, session: &mut Session, mut f: Frame<'_>) -> Result<()> {
        let (portal, name) = (f.string()?, f.string()?);
        let Some(mut prepared) = session.prepared.get(&name).cloned() else {
            return fail(
                code::INVALID_SQL_STATEMENT_NAME,
                format!("prepared statement \"{name}\" does not exist"),
            );
        };
        let formats = f.formats()?;
        let count = usize::from(f.u16()?);
        if formats.len() > 1 && formats.len() != count {
            return fail(
                code::PROTOCOL_VIOLATION,
                format!(
                    "bind message has {} parameter formats but {count} parameters",
                    formats.len()
                ),
            );
        }
        if count != prepared.params.len() {
            return fail(
                code::PROTOCOL_VIOLATION,
                format!(
                    "bind message supplies {count} parameters, but prepared statement \"{name}\" requires {}",
                    prepared.params.len()
                ),
            );
        }
        session.admit(&prepared)?;
        let mut params = Vec::with_capacity(count);
        for i in 0..count {
            check_format(format(&formats, i))?;
            let ty = prepared.params[i].unwrap_or(Type::Text);
            params.push(match f.sized()? {
                None => Value::Null,
                Some(bytes) if format(&formats, i) == 1 => decode_binary(bytes, ty)?,
                Some(bytes) => match std::str::from_utf8(bytes) {
                    Ok(text) => decode_text(text, ty, -1, now())?,
                    Err(_) => {
                        return fail(
                            code::CHARACTER_NOT_IN_REPERTOIRE,
                            "invalid byte sequence for encoding \"UTF8\"",
                        );
                    }
                },
            });
        }
        let results = f.formats()?;
        f.end()?;
        session.bind(&mut prepared)?;
        if results.len() > 1 {
            let (_, columns) = session.describe(&mut prepared)?;
            let width = columns.map_or(0, |c| c.len());
            if results.len() != width {
                return fail(
                    code::PROTOCOL_VIOLATION,
                    format!(
                        "bind message has {} result formats but query has {width} columns",
                        results.len()
                    ),
                );
            }
        }
        self.0.insert(
            portal,
            Portal {
                prepared,
                params,
                formats: results,
                answer: None,
                sent: 0,
            },
        );
        put(&mut c.output, b'2', |_| {});
        Ok(())
    }

    /// Describe: what a statement or a portal takes and gives.
    fn describe(&mut self, c: &mut Connection, session: &mut Session, mut f: Frame<'_>) -> Result<()> {
        let what = f.u8()?;
        let name = f.string()?;
        if what == b'S' {
            let Some(mut prepared) = session.prepared.get(&name).cloned() else {
                return fail(
                    code::INVALID_SQL_STATEMENT_NAME,
                    format!("prepared statement \"{name}\" does not exist"),
                );
            };
            let (params, columns) = session.describe(&mut prepared)?;
            session.prepared.insert(name, prepared);
            put(&mut c.output, b't', |o| {
                o.put_u16(params.len() as u16);
                params.iter().for_each(|p| o.put_u32(p.oid()));
            });
            describe_result(&mut c.output, columns.as_deref(), &[]);
        } else if what != b'P' {
            return unknown_target("DESCRIBE", what);
        } else {
            let Some(portal) = self.0.get_mut(&name) else {
                return fail(
                    code::INVALID_CURSOR_NAME,
                    format!("portal \"{name}\" does not exist"),
                );
            };
            let (_, columns) = session.describe(&mut portal.prepared)?;
            describe_result(&mut c.output, columns.as_deref(), &portal.formats);
        }
        Ok(())
    }

    /// Execute: the rows of a portal, or some of them.
    async fn execute(&mut self, c: &mut Connection, session: &mut Session, mut f: Frame<'_>) -> Result<()> {
        let name = f.string()?;
        let limit = usize::try_from(f.i32()?).unwrap_or(0);
        let Some(portal) = self.0.get_mut(&name) else {
            return fail(
                code::INVALID_CURSOR_NAME,
                format!("portal \"{name}\" does not exist"),
            );
        };
        if portal.prepared.statement.is_none() {
            put(&mut c.output, b'I', |_| {});
            return Ok(());
        }
        for wanted in &portal.formats {
            check_format(*wanted)?;
        }
        if portal.answer.is_none() {
            portal.answer = Some(session.run(&mut portal.prepared, &portal.params).await?);
        }
        let Some(answer) = &portal.answer else {
            return Ok(());
        };
        let rest = &answer.rows[portal.sent..];
        let take = if limit == 0 {
            rest.len()
        } else {
            limit.min(rest.len())
        };
        if let Some(columns) = &answer.columns {
            for row in &rest[..take] {
                let row = session.spelled(columns, row, |i| format(&portal.formats, i) == 0);
                data_row(&mut c.output, columns, &row, &portal.formats)?;
            }
        }
        portal.sent += take;
        if limit > 0 && take == limit {
            put(&mut c.output, b's', |_| {});
        } else {
            // A query in pieces counts the rows of its last piece only.
            let tag = if answer.columns.is_some() && answer.tag.starts_with("SELECT ") {
                format!("SELECT {take}")
            } else {
                answer.tag.clone()
            };
            _ = CommandComplete::new(tag).encode(&mut c.output);
        }
        Ok(())
    }

    /// Close: forgets a statement or a portal.
    fn close(&mut self, c: &mut Connection, session: &mut Session, mut f: Frame<'_>) -> Result<()> {
        let what = f.u8()?;
        let name = f.string()?;
        if what == b'S' {
            session.prepared.remove(&name);
        } else if what != b'P' {
            return unknown_target("CLOSE", what);
        } else {
            self.0.remove(&name);
        }
        put(&mut c.output, b'3', |_| {});
        Ok(())
    }
}

fn unknown_target<T>(message: &str, what: u8) -> Result<T> {
    fail(
        code::PROTOCOL_VIOLATION,
        format!("invalid {message} message subtype {what}"),
    )
}
