//! Advisory locks.

use super::Builtin;
use crate::aws::aurora::error::Result;
use crate::aws::aurora::exec::{Ctx, Db, Pending};
use crate::aws::aurora::lock::{Mode, Tag};
use crate::aws::aurora::types::{Type, Value};

const I4: Type = Type::Int4;
const I8: Type = Type::Int8;

const SHARE: Mode = Mode::Share;
const EXCLUSIVE: Mode = Mode::Exclusive;

fn tag(a: &[Value]) -> Tag {
    match a {
        [x, y] => Tag::Advisory(x.as_i64() as i32, y.as_i64() as i32, false),
        [k, ..] => Tag::Advisory((k.as_i64() >> 32) as i32, k.as_i64() as i32, true),
        [] => Tag::Advisory(0, 0, true),
    }
}

fn held<'d>(db: &Db<'d>, session: bool) -> &'d std::cell::RefCell<Vec<(Tag, Mode)>> {
    if session {
        &db.local.session_locks
    } else {
        &db.local.transaction_locks
    }
}

fn lock(ctx: &Ctx<'_>, a: &[Value], mode: Mode, session: bool) -> Result<Value> {
    let db = ctx.db()?;
    let mut waits = db.waits.borrow_mut();
    if waits.pass() {
        return Ok(Value::text(""));
    }
    if !db
        .state
        .locks
        .borrow_mut()
        .try_acquire(db.local.pid, tag(a), mode)
    {
        return waits.wait(Pending::Advisory(tag(a), mode, session));
    }
    waits.done();
    held(db, session).borrow_mut().push((tag(a), mode));
    Ok(Value::text(""))
}

fn try_lock(ctx: &Ctx<'_>, a: &[Value], mode: Mode, session: bool) -> Result<Value> {
    let db = ctx.db()?;
    let got = db
        .state
        .locks
        .borrow_mut()
        .try_acquire(db.local.pid, tag(a), mode);
    if got {
        held(db, session).borrow_mut().push((tag(a), mode));
    }
    Ok(Value::Bool(got))
}

fn unlock(ctx: &Ctx<'_>, a: &[Value], mode: Mode) -> Result<Value> {
    let db = ctx.db()?;
    let mut held = db.local.session_locks.borrow_mut();
    let Some(at) = held.iter().rposition(|h| *h == (tag(a), mode)) else {
        return Ok(Value::Bool(false));
    };
    held.remove(at);
    let released = db.state.locks.borrow_mut().release(db.local.pid, tag(a), mode);
    Ok(Value::Bool(released))
}

fn unlock_all(ctx: &Ctx<'_>, _: &[Value]) -> Result<Value> {
    let db = ctx.db()?;
    for (tag, mode) in db.local.session_locks.borrow_mut().drain(..) {
        db.state.locks.borrow_mut().release(db.local.pid, tag, mode);
    }
    Ok(Value::text(""))
}

macro_rules! both_keys {
    ($($name:literal, $ret:expr, $run:expr;)*) => {
        &[
            $(Builtin::new($name, &[I8], $ret, $run), Builtin::new($name, &[I4, I4], $ret, $run),)*
            Builtin::new("pg_advisory_unlock_all", &[], Type::Void, unlock_all),
        ]
    };
}

pub(super) const TABLE: &[Builtin] = both_keys! {
    "pg_advisory_lock", Type::Void, |c, a| lock(c, a, EXCLUSIVE, true);
    "pg_advisory_lock_shared", Type::Void, |c, a| lock(c, a, SHARE, true);
    "pg_advisory_xact_lock", Type::Void, |c, a| lock(c, a, EXCLUSIVE, false);
    "pg_advisory_xact_lock_shared", Type::Void, |c, a| lock(c, a, SHARE, false);
    "pg_try_advisory_lock", Type::Bool, |c, a| try_lock(c, a, EXCLUSIVE, true);
    "pg_try_advisory_lock_shared", Type::Bool, |c, a| try_lock(c, a, SHARE, true);
    "pg_try_advisory_xact_lock", Type::Bool, |c, a| try_lock(c, a, EXCLUSIVE, false);
    "pg_try_advisory_xact_lock_shared", Type::Bool, |c, a| try_lock(c, a, SHARE, false);
    "pg_advisory_unlock", Type::Bool, |c, a| unlock(c, a, EXCLUSIVE);
    "pg_advisory_unlock_shared", Type::Bool, |c, a| unlock(c, a, SHARE);
};
