//! The frontend/backend protocol, version 3.
//!
//! `pgwire` encodes what the server says. What a client says is read here with checked lengths, because `pgwire`'s own
//! decoders trust the counts inside a message and panic on garbage. No TLS, trust authentication, no COPY.

mod connection;
mod extended;
mod frame;
mod rows;
mod startup;

use bytes::{BufMut, BytesMut};
use pgwire::messages::Message;
use pgwire::messages::response::{CommandComplete, ErrorResponse};

pub(super) use self::connection::Connection;
use self::extended::Portals;
pub(super) use self::frame::Frame;
use self::rows::{data_row, describe_row};
pub(super) use self::startup::{STARTUP_MAX, connection};
use super::error::{Error, Result, Severity, code};
use super::session::prepared::Prepared;
use super::session::{Block, Session};

pub(super) fn put(out: &mut BytesMut, kind: u8, body: impl FnOnce(&mut BytesMut)) {
    out.put_u8(kind);
    let at = out.len();
    out.put_i32(0);
    body(out);
    let len = (out.len() - at) as i32;
    out[at..at + 4].copy_from_slice(&len.to_be_bytes());
}

pub(super) fn put_error(out: &mut BytesMut, e: &Error) {
    let mut fields = vec![
        (b'S', e.severity.as_str().to_string()),
        (b'V', e.severity.as_str().to_string()),
        (b'C', e.code.to_string()),
        (b'M', e.message.clone()),
    ];
    let optional = [
        (b'D', &e.detail),
        (b'H', &e.hint),
        (b's', &e.schema),
        (b't', &e.table),
        (b'c', &e.column),
        (b'n', &e.constraint),
    ];
    for (kind, value) in optional {
        if let Some(value) = value {
            fields.push((kind, value.clone()));
        }
    }
    let notice = matches!(e.severity, Severity::Notice | Severity::Warning);
    let at = out.len();
    if ErrorResponse::new(fields).encode(out).is_ok() && notice {
        out[at] = b'N';
    }
}

fn ready(c: &mut Connection, session: &Session) {
    for notice in session.local().notices.borrow_mut().drain(..) {
        put_error(&mut c.output, &notice);
    }
    session.idle();
    let status = session.status();
    put(&mut c.output, b'Z', |o| o.put_u8(status));
}

async fn talk(c: &mut Connection, session: &mut Session) -> std::io::Result<()> {
    let mut portals = Portals::default();
    let mut skipping = false;
    loop {
        let signal = session.signal();
        let idle_limit = session.idle_limit();
        let next = tokio::select! {
            biased;
            next = c.request() => next?,
            () = signal.asked() => {
                match signal.check() {
                    Err(e) if e.severity == Severity::Fatal => {
                        put_error(&mut c.output, &e);
                        return c.flush().await;
                    }
                    _ => continue,
                }
            }
            () = idle(idle_limit) => {
                let e = Error::fatal(
                    code::IDLE_IN_TRANSACTION_SESSION_TIMEOUT,
                    "terminating connection due to idle-in-transaction timeout",
                );
                put_error(&mut c.output, &e);
                return c.flush().await;
            }
        };
        let Some((kind, body)) = next else { return Ok(()) };
        match kind {
            b'X' => return Ok(()),
            b'S' => {
                skipping = false;
                let finished = match Frame(&body).end() {
                    Ok(()) => session.finish_implicit().await,
                    Err(e) => {
                        session.fail(&e);
                        Err(e)
                    }
                };
                if let Err(e) = finished {
                    put_error(&mut c.output, &e);
                    if e.severity == Severity::Fatal {
                        return c.flush().await;
                    }
                }
                if session.block == Block::Idle {
                    portals.clear();
                }
                ready(c, session);
                c.flush().await?;
            }
            b'H' => c.flush().await?,
            b'Q' => {
                let mut f = Frame(&body);
                let sql = f.string().and_then(|sql| f.end().map(|()| sql));
                let done = match sql {
                    Ok(sql) => simple(c, session, &sql).await,
                    Err(e) => Err(e),
                };
                if let Err(e) = done {
                    session.fail(&e);
                    put_error(&mut c.output, &e);
                    if e.severity == Severity::Fatal {
                        return c.flush().await;
                    }
                }
                ready(c, session);
                c.flush().await?;
            }
            _ if skipping => {}
            b'P' | b'B' | b'D' | b'E' | b'C' => {
                if let Err(e) = portals.perform(c, session, kind, &body).await {
                    session.fail(&e);
                    put_error(&mut c.output, &e);
                    if e.severity == Severity::Fatal {
                        return c.flush().await;
                    }
                    skipping = true;
                }
            }
            b'd' | b'c' | b'f' => {}
            other => {
                let e = Error::fatal(
                    code::PROTOCOL_VIOLATION,
                    format!("invalid frontend message type {other}"),
                );
                put_error(&mut c.output, &e);
                return c.flush().await;
            }
        }
    }
}

async fn idle(limit: Option<std::time::Duration>) {
    match limit {
        Some(limit) => tokio::time::sleep(limit).await,
        None => std::future::pending().await,
    }
}

async fn simple(c: &mut Connection, session: &mut Session, sql: &str) -> Result<()> {
    session.prepared.remove("");
    let statements = session.engine.parse(sql)?;
    if statements.is_empty() {
        put(&mut c.output, b'I', |_| {});
        return Ok(());
    }
    for parsed in statements {
        let mut prepared = Prepared::new(sql, Some(parsed.statement), Vec::new());
        let answer = session.run(&mut prepared, &[]).await?;
        if let Some(columns) = &answer.columns {
            describe_row(&mut c.output, columns, &[]);
            for row in &answer.rows {
                let row = session.spelled(columns, row, |_| true);
                data_row(&mut c.output, columns, &row, &[])?;
            }
        }
        _ = CommandComplete::new(answer.tag).encode(&mut c.output);
    }
    session.finish_implicit().await
}
