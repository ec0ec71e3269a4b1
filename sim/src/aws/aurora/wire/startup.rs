//! From the first byte of a connection to the first query: what a client asks to speak, who it is, whether there is room.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::{BufMut, BytesMut};
use pgwire::messages::Message;
use pgwire::messages::startup::ParameterStatus;
use tokio::net::TcpStream;

use super::{Connection, Frame, put, put_error, ready, talk};
use crate::aws::aurora::engine::Engine;
use crate::aws::aurora::error::{Error, Result, code};
use crate::aws::aurora::func::os_random;
use crate::aws::aurora::session::Session;
use crate::aws::aurora::session::signal::Signal;
use crate::aws::aurora::state::Backend;
use crate::fault::Outage;

/// A startup packet longer than this is garbage.
pub(in crate::aws::aurora) const STARTUP_MAX: usize = 10_000;
/// The protocol spoken: 3.0.
const PROTOCOL: u32 = 3 << 16;

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

/// Serves one client until it leaves.
pub(in crate::aws::aurora) async fn connection(engine: Engine, socket: TcpStream) -> std::io::Result<()> {
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

fn admit(engine: &Engine, user: &str) -> Result<(i32, i32, Arc<Signal>)> {
    let secret = i32::from_be_bytes(os_random::<4>()?);
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
    let signal = Arc::new(Signal::default());
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
