//! Session, sequences, advisory locks and randomness.

use super::Builtin;
use crate::aws::aurora::error::{Error, Result, code, fail};
use crate::aws::aurora::exec::{Ctx, Pending};
use crate::aws::aurora::lock::{Mode, Tag};
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

fn nextval(ctx: &Ctx<'_>, a: &[Value]) -> Result<Value> {
    let db = ctx.db()?;
    let oid = a[0].as_i64() as u32;
    let Some(def) = db.catalog.sequence(oid) else {
        return fail(code::WRONG_OBJECT_TYPE, "not a sequence");
    };
    let mut positions = db.state.sequences.borrow_mut();
    let slot = positions.entry(oid).or_insert((def.start, false));
    if slot.1 {
        match slot
            .0
            .checked_add(def.increment)
            .filter(|n| (def.min..=def.max).contains(n))
        {
            Some(next) => slot.0 = next,
            None if def.cycle => slot.0 = if def.increment > 0 { def.min } else { def.max },
            None => {
                return fail(
                    code::SEQUENCE_LIMIT,
                    format!(
                        "nextval: reached maximum value of sequence \"{}\" ({})",
                        def.name, def.max
                    ),
                );
            }
        }
    }
    slot.1 = true;
    db.state.advanced.borrow_mut().insert(oid, *slot);
    db.local.current_values.borrow_mut().insert(oid, slot.0);
    db.local.last_sequence.set(Some(oid));
    Ok(Value::Int8(slot.0))
}

fn tag(a: &[Value]) -> Tag {
    match a {
        [Value::Int8(k)] => Tag::Advisory((*k >> 32) as i32, *k as i32, true),
        [x, y] => Tag::Advisory(x.as_i64() as i32, y.as_i64() as i32, false),
        _ => Tag::Advisory(0, 0, true),
    }
}

fn advisory(ctx: &Ctx<'_>, a: &[Value], session: bool) -> Result<Value> {
    let db = ctx.db()?;
    let mut waits = db.waits.borrow_mut();
    if waits.pass() {
        return Ok(Value::text(""));
    }
    if !db
        .state
        .locks
        .borrow_mut()
        .try_acquire(db.local.pid, tag(a), Mode::Exclusive)
    {
        return waits.wait(Pending::Advisory(tag(a), Mode::Exclusive, session));
    }
    waits.done();
    let held = if session {
        &db.local.session_locks
    } else {
        &db.local.transaction_locks
    };
    held.borrow_mut().push((tag(a), Mode::Exclusive));
    Ok(Value::text(""))
}

fn try_advisory(ctx: &Ctx<'_>, a: &[Value], session: bool) -> Result<Value> {
    let db = ctx.db()?;
    let got = db
        .state
        .locks
        .borrow_mut()
        .try_acquire(db.local.pid, tag(a), Mode::Exclusive);
    if got {
        let held = if session {
            &db.local.session_locks
        } else {
            &db.local.transaction_locks
        };
        held.borrow_mut().push((tag(a), Mode::Exclusive));
    }
    Ok(Value::Bool(got))
}

fn unlock(ctx: &Ctx<'_>, a: &[Value]) -> Result<Value> {
    let db = ctx.db()?;
    let mut held = db.local.session_locks.borrow_mut();
    let Some(at) = held.iter().rposition(|h| *h == (tag(a), Mode::Exclusive)) else {
        return Ok(Value::Bool(false));
    };
    held.remove(at);
    Ok(Value::Bool(db.state.locks.borrow_mut().release(
        db.local.pid,
        tag(a),
        Mode::Exclusive,
    )))
}

fn current_setting(ctx: &Ctx<'_>, a: &[Value]) -> Result<Value> {
    let name = a[0].as_str().to_lowercase();
    match ctx.db()?.local.settings.borrow().get(&name) {
        Some(v) => Ok(Value::text(v)),
        None if a.get(1).is_some_and(Value::is_true) => Ok(Value::Null),
        None => fail(
            code::UNDEFINED_OBJECT,
            format!("unrecognized configuration parameter \"{name}\""),
        ),
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

pub(super) const TABLE: &[Builtin] = &[
    Builtin::new("gen_random_uuid", &[], Type::Uuid, uuid),
    Builtin::new("nextval", &[Type::Regclass], I8, nextval),
    Builtin::new("pg_advisory_lock", &[I8], Type::Void, |c, a| advisory(c, a, true)),
    Builtin::new("pg_advisory_lock", &[I4, I4], Type::Void, |c, a| {
        advisory(c, a, true)
    }),
    Builtin::new("pg_advisory_xact_lock", &[I8], Type::Void, |c, a| {
        advisory(c, a, false)
    }),
    Builtin::new("pg_advisory_xact_lock", &[I4, I4], Type::Void, |c, a| {
        advisory(c, a, false)
    }),
    Builtin::new("pg_try_advisory_lock", &[I8], Type::Bool, |c, a| {
        try_advisory(c, a, true)
    }),
    Builtin::new("pg_try_advisory_xact_lock", &[I8], Type::Bool, |c, a| {
        try_advisory(c, a, false)
    }),
    Builtin::new("pg_advisory_unlock", &[I8], Type::Bool, unlock),
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

pub(super) const CATALOG: &[Builtin] = &[
    Builtin::new("current_database", &[], Type::Name, |c, _| {
        Ok(Value::text(&c.db()?.local.database))
    }),
    Builtin::new("current_schema", &[], Type::Name, |_, _| {
        Ok(Value::text("public"))
    }),
    Builtin::new("current_user", &[], Type::Name, |c, _| {
        Ok(Value::text(c.db()?.local.role()))
    }),
    Builtin::new("session_user", &[], Type::Name, |c, _| {
        Ok(Value::text(c.db()?.local.session_user()))
    }),
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
