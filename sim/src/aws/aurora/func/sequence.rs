//! nextval, currval, lastval, setval.

use super::Builtin;
use crate::aws::aurora::catalog::{Oid, Privilege, Sequence};
use crate::aws::aurora::error::{Error, Result, code, fail};
use crate::aws::aurora::exec::{Ctx, Db};
use crate::aws::aurora::types::{Type, Value};

const I8: Type = Type::Int8;
const SEQUENCE: Type = Type::Regclass;

/// The sequence, if the role has one of these rights on it.
fn allowed<'d>(db: &Db<'d>, oid: Oid, rights: &[Privilege]) -> Result<&'d Sequence> {
    let Some(def) = db.catalog.sequence(oid) else {
        return fail(
            code::WRONG_OBJECT_TYPE,
            format!("\"{}\" is not a sequence", db.catalog.relation_name(oid)),
        );
    };
    let role = db.local.role();
    let roles = db.catalog.member_of(&role);
    let may = db.catalog.is_superuser(&role)
        || roles.contains(&def.owner)
        || rights.iter().any(|r| def.acl.allows(&roles, *r));
    if may {
        return Ok(def);
    }
    fail(
        code::INSUFFICIENT_PRIVILEGE,
        format!("permission denied for sequence {}", def.name),
    )
}

/// A sequence moves on the writer alone.
fn on_writer(db: &Db<'_>, function: &str) -> Result<()> {
    if db.state.read_only {
        return fail(
            code::READ_ONLY_SQL_TRANSACTION,
            format!("cannot execute {function}() in a read-only transaction"),
        );
    }
    Ok(())
}

/// Moves a sequence; positions are outside transactions, as a value once given is never given again.
fn put(db: &Db<'_>, oid: Oid, position: (i64, bool)) {
    db.state.sequences.borrow_mut().insert(oid, position);
    db.state.advanced.borrow_mut().insert(oid, position);
}

fn remember(db: &Db<'_>, oid: Oid, value: i64) {
    db.local.current_values.borrow_mut().insert(oid, value);
    db.local.last_sequence.set(Some(oid));
}

fn identity(db: &Db<'_>, def: &Sequence) -> bool {
    let Some((table, at)) = def.owned_by else {
        return false;
    };
    let column = db.catalog.table(table).and_then(|t| t.columns.get(at));
    column.is_some_and(|c| c.identity.is_some())
}

fn nextval(ctx: &Ctx<'_>, a: &[Value]) -> Result<Value> {
    let db = ctx.db()?;
    on_writer(db, "nextval")?;
    let oid = a[0].as_i64() as Oid;
    let def = match db.catalog.sequence(oid) {
        // An identity column draws with the right to insert into its table.
        Some(def) if identity(db, def) => def,
        _ => allowed(db, oid, &[Privilege::USAGE, Privilege::UPDATE])?,
    };
    let (mut at, called) = db
        .state
        .sequences
        .borrow()
        .get(&oid)
        .copied()
        .unwrap_or((def.start, false));
    if called {
        let next = at
            .checked_add(def.increment)
            .filter(|n| (def.min..=def.max).contains(n));
        at = match next {
            Some(next) => next,
            None if def.cycle && def.increment > 0 => def.min,
            None if def.cycle => def.max,
            None => {
                let (word, bound) = if def.increment > 0 {
                    ("maximum", def.max)
                } else {
                    ("minimum", def.min)
                };
                return fail(
                    code::SEQUENCE_LIMIT,
                    format!(
                        "nextval: reached {word} value of sequence \"{}\" ({bound})",
                        def.name
                    ),
                );
            }
        };
    }
    put(db, oid, (at, true));
    remember(db, oid, at);
    Ok(Value::Int8(at))
}

fn currval(ctx: &Ctx<'_>, a: &[Value]) -> Result<Value> {
    let db = ctx.db()?;
    let oid = a[0].as_i64() as Oid;
    let def = allowed(db, oid, &[Privilege::USAGE, Privilege::SELECT])?;
    match db.local.current_values.borrow().get(&oid) {
        Some(value) => Ok(Value::Int8(*value)),
        None => fail(
            code::NOT_IN_PREREQUISITE_STATE,
            format!(
                "currval of sequence \"{}\" is not yet defined in this session",
                def.name
            ),
        ),
    }
}

fn lastval(ctx: &Ctx<'_>, _: &[Value]) -> Result<Value> {
    let db = ctx.db()?;
    let last = db
        .local
        .last_sequence
        .get()
        .filter(|oid| db.catalog.sequence(*oid).is_some());
    match last.and_then(|oid| db.local.current_values.borrow().get(&oid).copied()) {
        Some(value) => Ok(Value::Int8(value)),
        None => Err(Error::new(
            code::NOT_IN_PREREQUISITE_STATE,
            "lastval is not yet defined in this session",
        )),
    }
}

fn setval(ctx: &Ctx<'_>, a: &[Value]) -> Result<Value> {
    let db = ctx.db()?;
    on_writer(db, "setval")?;
    let oid = a[0].as_i64() as Oid;
    let def = allowed(db, oid, &[Privilege::UPDATE])?;
    let at = a[1].as_i64();
    if !(def.min..=def.max).contains(&at) {
        return fail(
            code::NUMERIC_VALUE_OUT_OF_RANGE,
            format!(
                "setval: value {at} is out of bounds for sequence \"{}\" ({}..{})",
                def.name, def.min, def.max
            ),
        );
    }
    let called = a.get(2).is_none_or(Value::is_true);
    put(db, oid, (at, called));
    if called {
        db.local.current_values.borrow_mut().insert(oid, at);
    }
    Ok(Value::Int8(at))
}

pub(super) const TABLE: &[Builtin] = &[
    Builtin::new("nextval", &[SEQUENCE], I8, nextval),
    Builtin::new("currval", &[SEQUENCE], I8, currval),
    Builtin::new("lastval", &[], I8, lastval),
    Builtin::new("setval", &[SEQUENCE, I8], I8, setval),
    Builtin::new("setval", &[SEQUENCE, I8, Type::Bool], I8, setval),
];
