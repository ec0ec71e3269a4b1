//! The session, its settings and transaction, randomness.

use super::Builtin;
use crate::aws::aurora::error::{Error, Result, code, fail};
use crate::aws::aurora::exec::{Ctx, Pending};
use crate::aws::aurora::types::{Type, Value};

const T: Type = Type::Text;
const I4: Type = Type::Int4;
const I8: Type = Type::Int8;

/// Bytes from the operating system, which the simulation answers.
pub(crate) fn os_random<const N: usize>() -> Result<[u8; N]> {
    let mut out = [0; N];
    match getrandom::fill(&mut out) {
        Ok(()) => Ok(out),
        Err(_) => Err(Error::new(
            code::INTERNAL_ERROR,
            "could not generate random values",
        )),
    }
}

fn uuid(_: &Ctx<'_>, _: &[Value]) -> Result<Value> {
    let mut b = os_random::<16>()?;
    b[6] = b[6] & 0x0f | 0x40;
    b[8] = b[8] & 0x3f | 0x80;
    Ok(Value::Uuid(b))
}

fn current_setting(ctx: &Ctx<'_>, a: &[Value]) -> Result<Value> {
    let name = a[0].as_str().to_lowercase();
    let local = ctx.db()?.local;
    if name == "transaction_isolation" {
        return Ok(Value::text(local.isolation.get()));
    }
    match local.settings.borrow().get(&name) {
        Some(v) => Ok(Value::text(v)),
        None if a.get(1).is_some_and(Value::is_true) => Ok(Value::Null),
        None => crate::aws::aurora::session::settings::unknown(&name),
    }
}

fn sleep(ctx: &Ctx<'_>, a: &[Value]) -> Result<Value> {
    let mut waits = ctx.db()?.waits.borrow_mut();
    if waits.pass() {
        return Ok(Value::text(""));
    }
    waits.wait(Pending::Sleep(std::time::Duration::from_secs_f64(
        a[0].as_f64().clamp(0.0, 1e9),
    )))
}

/// The transaction's id, given now if it had none.
fn current_xid(ctx: &Ctx<'_>, _: &[Value]) -> Result<Value> {
    let db = ctx.db()?;
    let mut waits = db.waits.borrow_mut();
    let passed = waits.pass();
    match db.local.xid.get() {
        Some(xid) => {
            if !passed {
                waits.done();
            }
            Ok(Value::Int8(xid as i64))
        }
        None if db.state.read_only => fail(
            code::READ_ONLY_SQL_TRANSACTION,
            "cannot execute txid_current() during recovery",
        ),
        None => waits.wait(Pending::Xid),
    }
}

/// Interrupts another session.
fn interrupt(ctx: &Ctx<'_>, a: &[Value], end: bool) -> Result<Value> {
    let db = ctx.db()?;
    let Some(backend) = db.state.backends.get(&(a[0].as_i64() as i32)) else {
        return Ok(Value::Bool(false));
    };
    let role = db.local.role();
    if !db.catalog.is_superuser(&role) && !db.catalog.is_member(&role, &backend.user) {
        return fail(
            code::INSUFFICIENT_PRIVILEGE,
            "must be a member of the role whose process is being signalled",
        );
    }
    if end {
        backend.signal.terminate();
    } else {
        backend.signal.cancel();
    }
    Ok(Value::Bool(true))
}

pub(super) const TABLE: &[Builtin] = &[
    Builtin::new("txid_current", &[], I8, current_xid),
    Builtin::new("pg_current_xact_id", &[], I8, current_xid),
    Builtin::new("txid_current_if_assigned", &[], I8, |c, _| {
        Ok(c.db()?
            .local
            .xid
            .get()
            .map_or(Value::Null, |x| Value::Int8(x as i64)))
    }),
    Builtin::new("pg_current_xact_id_if_assigned", &[], I8, |c, _| {
        Ok(c.db()?
            .local
            .xid
            .get()
            .map_or(Value::Null, |x| Value::Int8(x as i64)))
    }),
    Builtin::new("pg_cancel_backend", &[I4], Type::Bool, |c, a| {
        interrupt(c, a, false)
    }),
    Builtin::new("pg_terminate_backend", &[I4], Type::Bool, |c, a| {
        interrupt(c, a, true)
    }),
    Builtin::new("pg_blocking_pids", &[I4], Type::Int4Array, |c, a| {
        let pids = c.db()?.state.locks.borrow().blockers(a[0].as_i64() as i32);
        Ok(Value::Array(std::sync::Arc::new(
            crate::aws::aurora::types::Array {
                elem: I4,
                items: pids.into_iter().map(Value::Int4).collect(),
            },
        )))
    }),
    Builtin::new("gen_random_uuid", &[], Type::Uuid, uuid),
    Builtin::new("pg_sleep", &[Type::Float8], Type::Void, sleep),
    Builtin::new("current_setting", &[T], T, current_setting),
    Builtin::new("current_setting", &[T, Type::Bool], T, current_setting),
    Builtin::new("set_config", &[T, T, Type::Bool], T, |c, a| {
        let db = c.db()?;
        db.local
            .settings
            .borrow_mut()
            .set(a[0].as_str(), a[1].as_str(), a[2].is_true())?;
        Ok(a[1].clone())
    }),
];

pub(super) const SERVER: &[Builtin] = &[
    Builtin::new("pg_backend_pid", &[], I4, |c, _| {
        Ok(Value::Int4(c.db()?.local.pid))
    }),
    Builtin::new("version", &[], T, |_, _| {
        Ok(Value::text("PostgreSQL 15.12 (simulated Aurora)"))
    }),
    Builtin::new("pg_is_in_recovery", &[], Type::Bool, |c, _| {
        Ok(Value::Bool(c.db()?.state.read_only))
    }),
];
