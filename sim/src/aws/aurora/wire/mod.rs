//! The frontend/backend protocol, version 3.
//!
//! `pgwire` encodes what the server says. What a client says is read here with checked lengths, because `pgwire`'s own
//! decoders trust the counts inside a message and panic on garbage. No TLS, trust authentication, no COPY.

mod connection;
mod frame;

use std::collections::BTreeMap;

use bytes::{BufMut, BytesMut};
use pgwire::messages::Message;
use pgwire::messages::data::{FieldDescription, RowDescription};
use pgwire::messages::response::{CommandComplete, ErrorResponse};
use pgwire::messages::startup::ParameterStatus;
use tokio::net::TcpStream;

pub(super) use self::connection::Connection;
pub(super) use self::frame::Frame;
use super::engine::Engine;
use super::error::{Error, Result, Severity, code, fail};
use super::session::prepared::Prepared;
use super::session::signal::Signal;
use super::session::{Answer, Block, Session};
use super::sql::plan::Output;
use super::state::Backend;
use super::types::{Type, Value, decode_binary, decode_text, encode_binary, encode_text};
use crate::fault::Outage;

/// A startup packet longer than this is garbage.
pub(super) const STARTUP_MAX: usize = 10_000;
/// The protocol spoken: 3.0.
const PROTOCOL: u32 = 3 << 16;

struct Portal {
    prepared: Prepared,
    params: Vec<Value>,
    formats: Vec<i16>,
    answer: Option<Answer>,
    sent: usize,
}

pub(super) fn put(out: &mut BytesMut, kind: u8, body: impl FnOnce(&mut BytesMut)) {
    out.put_u8(kind);
    let at = out.len();
    out.put_i32(0);
    body(out);
    let len = (out.len() - at) as i32;
    out[at..at + 4].copy_from_slice(&len.to_be_bytes());
}

/// Says which protocol and which of its options the server speaks instead of those asked for.
fn negotiate(out: &mut BytesMut, unknown: &[String]) {
    put(out, b'v', |o| {
        o.put_u32(PROTOCOL);
        o.put_u32(unknown.len() as u32);
        for name in unknown {
            o.put_slice(name.as_bytes());
            o.put_u8(0);
        }
    });
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

/// Serves one client until it leaves.
pub(super) async fn connection(engine: Engine, socket: TcpStream) -> std::io::Result<()> {
    _ = socket.set_nodelay(true);
    let mut c = Connection::new(socket);
    let parameters = loop {
        if !c.want(4).await? {
            return Ok(());
        }
        let len = u32::from_be_bytes([c.input[0], c.input[1], c.input[2], c.input[3]]) as usize;
        if !(8..=STARTUP_MAX).contains(&len) || !c.want(len).await? {
            return Ok(());
        }
        let request = u32::from_be_bytes([c.input[4], c.input[5], c.input[6], c.input[7]]);
        let body = c.input.split_to(len).split_off(8);
        match request {
            80_877_103 | 80_877_104 => {
                c.output.put_u8(b'N');
                c.flush().await?;
            }
            80_877_102 => {
                let mut f = Frame(&body);
                if let (Ok(pid), Ok(secret)) = (f.i32(), f.i32())
                    && let Some(backend) = engine.state().backends.get(&pid)
                    && backend.secret == secret
                {
                    backend.signal.cancel();
                }
                return Ok(());
            }
            v if v >> 16 == 3 => {
                let mut f = Frame(&body);
                let mut parameters = BTreeMap::new();
                let mut terminated = false;
                while let Ok(name) = f.string() {
                    if name.is_empty() {
                        terminated = f.end().is_ok();
                        break;
                    }
                    let Ok(value) = f.string() else { break };
                    parameters.insert(name, value);
                }
                if !terminated {
                    let e = Error::fatal(
                        code::PROTOCOL_VIOLATION,
                        "invalid startup packet layout: expected terminator as last byte",
                    );
                    put_error(&mut c.output, &e);
                    return c.flush().await;
                }
                let unknown: Vec<String> = parameters
                    .keys()
                    .filter(|name| name.starts_with("_pq_."))
                    .cloned()
                    .collect();
                if v > PROTOCOL || !unknown.is_empty() {
                    negotiate(&mut c.output, &unknown);
                }
                parameters.retain(|name, _| !name.starts_with("_pq_."));
                break parameters;
            }
            _ => {
                put_error(
                    &mut c.output,
                    &Error::fatal("0A000", "unsupported frontend protocol"),
                );
                return c.flush().await;
            }
        }
    };
    let user = parameters.get("user").cloned().unwrap_or_default();
    let database = parameters
        .get("database")
        .cloned()
        .unwrap_or_else(|| user.clone());
    match engine.gate().and_then(|gate| gate.outage()) {
        None => {}
        Some(Outage::Silence) => std::future::pending().await,
        Some(Outage::Hangup) => return Ok(()),
        Some(Outage::Refuse) => {
            put_error(&mut c.output, &starting_up());
            return c.flush().await;
        }
    }
    let (pid, secret, signal) = match admit(&engine, &user) {
        Ok(backend) => backend,
        Err(e) => {
            put_error(&mut c.output, &e);
            return c.flush().await;
        }
    };
    let exists = engine.options().databases.contains(&database);
    let mut session = Session::new(engine, pid, &user, &database, signal);
    if !exists {
        // Found out after the password, as in PostgreSQL.
        put(&mut c.output, b'R', |o| o.put_i32(0));
        let message = format!("database \"{database}\" does not exist");
        put_error(&mut c.output, &Error::fatal(code::INVALID_CATALOG_NAME, message));
        return c.flush().await;
    }
    for (name, value) in &parameters {
        if !matches!(name.as_str(), "user" | "database" | "options" | "replication") {
            let set = session.local().settings.borrow_mut().set(name, value, false);
            if let Err(e) = set {
                put_error(&mut c.output, &e);
                return c.flush().await;
            }
        }
    }
    put(&mut c.output, b'R', |o| o.put_i32(0));
    for name in [
        "server_version",
        "server_encoding",
        "client_encoding",
        "DateStyle",
        "TimeZone",
        "integer_datetimes",
        "standard_conforming_strings",
        "application_name",
        "is_superuser",
        "IntervalStyle",
    ] {
        let value = session
            .local()
            .settings
            .borrow()
            .get(&name.to_lowercase())
            .unwrap_or_default();
        _ = ParameterStatus::new(name.into(), value).encode(&mut c.output);
    }
    put(&mut c.output, b'K', |o| {
        o.put_i32(pid);
        o.put_i32(secret);
    });
    ready(&mut c, &session);
    c.flush().await?;
    let signal = session.signal();
    tokio::select! {
        biased;
        () = signal.hung_up() => Ok(()),
        ended = talk(&mut c, &mut session) => ended,
    }
}

fn starting_up() -> Box<Error> {
    Error::fatal(code::CANNOT_CONNECT_NOW, "the database system is starting up")
}

fn admit(engine: &Engine, user: &str) -> Result<(i32, i32, std::sync::Arc<Signal>)> {
    let secret = i32::from_be_bytes(super::func::os_random::<4>()?);
    let mut state = engine.state();
    if state.down {
        return Err(starting_up());
    }
    let free = engine
        .options()
        .connections_max
        .saturating_sub(state.backends.len());
    if free == 0 || engine.gate().is_some_and(|gate| gate.crowded(free)) {
        return Err(Error::fatal(
            code::TOO_MANY_CONNECTIONS,
            "sorry, too many clients already",
        ));
    }
    match state.catalog.roles.get(user) {
        None => {
            return Err(Error::fatal(
                code::INVALID_AUTHORIZATION,
                format!("role \"{user}\" does not exist"),
            ));
        }
        Some(r) if !r.login => {
            return Err(Error::fatal(
                code::INVALID_AUTHORIZATION,
                format!("role \"{user}\" is not permitted to log in"),
            ));
        }
        Some(_) => {}
    }
    let pid = state.new_pid();
    let signal = std::sync::Arc::new(Signal::default());
    let backend = Backend {
        secret,
        user: user.into(),
        application: String::new(),
        signal: signal.clone(),
        oldest: None,
        activity: ("idle", String::new()),
    };
    state.backends.insert(pid, backend);
    Ok((pid, secret, signal))
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
    let mut portals: BTreeMap<String, Portal> = BTreeMap::new();
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
                if let Err(e) = extended(c, session, &mut portals, kind, &body).await {
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

async fn extended(
    c: &mut Connection,
    session: &mut Session,
    portals: &mut BTreeMap<String, Portal>,
    kind: u8,
    body: &[u8],
) -> Result<()> {
    let mut f = Frame(body);
    match kind {
        b'P' => {
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
        }
        b'B' => {
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
                        Ok(text) => decode_text(text, ty, -1, super::session::now())?,
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
            portals.insert(
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
        }
        b'D' => {
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
                let Some(portal) = portals.get_mut(&name) else {
                    return fail(
                        code::INVALID_CURSOR_NAME,
                        format!("portal \"{name}\" does not exist"),
                    );
                };
                let (_, columns) = session.describe(&mut portal.prepared)?;
                describe_result(&mut c.output, columns.as_deref(), &portal.formats);
            }
        }
        b'E' => {
            let name = f.string()?;
            let limit = usize::try_from(f.i32()?).unwrap_or(0);
            let Some(portal) = portals.get_mut(&name) else {
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
        }
        _ => {
            let what = f.u8()?;
            let name = f.string()?;
            if what == b'S' {
                session.prepared.remove(&name);
            } else if what != b'P' {
                return unknown_target("CLOSE", what);
            } else {
                portals.remove(&name);
            }
            put(&mut c.output, b'3', |_| {});
        }
    }
    Ok(())
}

fn unknown_target<T>(message: &str, what: u8) -> Result<T> {
    fail(
        code::PROTOCOL_VIOLATION,
        format!("invalid {message} message subtype {what}"),
    )
}

/// Text is 0, binary is 1.
fn check_format(format: i16) -> Result<()> {
    match format {
        0 | 1 => Ok(()),
        other => fail(
            code::INVALID_PARAMETER_VALUE,
            format!("unsupported format code: {other}"),
        ),
    }
}

fn format(formats: &[i16], at: usize) -> i16 {
    match formats {
        [] => 0,
        [one] => *one,
        many => many.get(at).copied().unwrap_or(0),
    }
}

fn describe_result(out: &mut BytesMut, columns: Option<&[Output]>, formats: &[i16]) {
    match columns {
        Some(columns) => describe_row(out, columns, formats),
        None => put(out, b'n', |_| {}),
    }
}

fn describe_row(out: &mut BytesMut, columns: &[Output], formats: &[i16]) {
    let fields = columns
        .iter()
        .enumerate()
        .map(|(i, c)| {
            FieldDescription::new(
                c.name.clone(),
                c.origin.0 as i32,
                c.origin.1,
                c.ty.oid(),
                c.ty.len(),
                c.typmod,
                format(formats, i),
            )
        })
        .collect();
    _ = RowDescription::new(fields).encode(out);
}

fn data_row(out: &mut BytesMut, columns: &[Output], row: &[Value], formats: &[i16]) -> Result<()> {
    let start = out.len();
    out.put_u8(b'D');
    out.put_i32(0);
    out.put_u16(columns.len() as u16);
    let mut text = String::new();
    for (i, column) in columns.iter().enumerate() {
        let value = row.get(i).unwrap_or(&Value::Null);
        if value.is_null() {
            out.put_i32(-1);
            continue;
        }
        let at = out.len();
        out.put_i32(0);
        if format(formats, i) == 1 {
            if let Err(e) = encode_binary(value, column.ty, out) {
                out.truncate(start);
                return Err(e);
            }
        } else {
            text.clear();
            encode_text(value, &mut text);
            out.put_slice(text.as_bytes());
        }
        let len = (out.len() - at - 4) as i32;
        out[at..at + 4].copy_from_slice(&len.to_be_bytes());
    }
    let len = (out.len() - start - 1) as i32;
    out[start + 1..start + 5].copy_from_slice(&len.to_be_bytes());
    Ok(())
}
