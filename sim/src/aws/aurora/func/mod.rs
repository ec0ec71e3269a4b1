//! Functions and operators by name. To add one, add a row to the table of its family.

mod advisory;
mod array;
mod calendar;
mod catalog;
mod datetime;
pub(super) use datetime::add_interval;
pub(super) use json::to_json;
mod hash;
mod json;
mod math;
mod pattern;
mod regex;
mod sequence;
mod string;
mod system;
pub(super) use system::os_random;

use super::error::Result;
use super::exec::Ctx;
use super::types::{CastContext, Type, Value, castable};

/// A function or operator of fixed argument types.
#[derive(Debug)]
pub(super) struct Builtin {
    /// Name, or the operator's symbol.
    pub name: &'static str,
    /// Argument types; the last repeats when variadic.
    pub args: &'static [Type],
    /// Takes any number of the last argument.
    pub variadic: bool,
    /// Result type.
    pub ret: Type,
    /// NULL for a NULL argument, without being called.
    pub strict: bool,
    /// Computes the result.
    pub run: fn(&Ctx<'_>, &[Value]) -> Result<Value>,
}

/// Stands for any type in an argument list.
pub(super) const ANY: Type = Type::RecordArray;
/// Stands for any array.
pub(super) const ANY_ARRAY: Type = Type::UnknownArray;

/// The pseudo-type of any argument.
pub(super) fn any() -> Type {
    ANY
}

/// The pseudo-type of any array.
pub(super) fn any_array() -> Type {
    ANY_ARRAY
}

impl Builtin {
    /// A strict function.
    pub(super) const fn new(
        name: &'static str,
        args: &'static [Type],
        ret: Type,
        run: fn(&Ctx<'_>, &[Value]) -> Result<Value>,
    ) -> Builtin {
        Builtin {
            name,
            args,
            variadic: false,
            ret,
            strict: true,
            run,
        }
    }

    /// Also called with NULLs.
    pub(super) const fn lax(mut self) -> Builtin {
        self.strict = false;
        self
    }

    /// Takes any number of the last argument, NULLs included.
    pub(super) const fn variadic(mut self) -> Builtin {
        self.variadic = true;
        self.strict = false;
        self
    }

    /// Type of the nth argument.
    pub(super) fn arg(&self, n: usize) -> Type {
        self.args
            .get(n)
            .or(self.args.last())
            .copied()
            .unwrap_or(Type::Text)
    }

    /// Whether it can be called with so many arguments.
    pub(super) fn takes(&self, count: usize) -> bool {
        if self.variadic {
            count + 1 >= self.args.len()
        } else {
            count == self.args.len()
        }
    }
}

const FAMILIES: &[&[Builtin]] = &[
    math::TABLE,
    string::TABLE,
    regex::TABLE,
    datetime::TABLE,
    calendar::TABLE,
    pattern::TABLE,
    hash::TABLE,
    json::TABLE,
    array::TABLE,
    system::TABLE,
    system::SERVER,
    catalog::TABLE,
    sequence::TABLE,
    advisory::TABLE,
];

/// All overloads of a name.
pub(super) fn find(name: &str) -> Vec<&'static Builtin> {
    FAMILIES
        .iter()
        .flat_map(|family| family.iter())
        .filter(|b| b.name == name)
        .collect()
}

/// Whether an expression may answer otherwise each time it is asked: what cannot be in an index.
pub(super) fn volatile(e: &super::sql::expr::Expr) -> bool {
    const VOLATILE: [&str; 13] = [
        "clock_timestamp",
        "currval",
        "gen_random_uuid",
        "lastval",
        "nextval",
        "pg_advisory_lock",
        "pg_advisory_xact_lock",
        "pg_sleep",
        "random",
        "set_config",
        "setval",
        "timeofday",
        "txid_current",
    ];
    e.any(&|e| matches!(e, super::sql::expr::Expr::Call(f, _) if VOLATILE.contains(&f.name)))
}

/// Every function of PostgreSQL 15 that a user may call, one name a line with the signatures of its overloads.
const POSTGRES: &str = include_str!("postgres.txt");

/// Whether PostgreSQL has a function that takes these arguments: the difference between 0A000 and 42883.
pub(super) fn known_to_postgres(name: &str, args: &[Type]) -> bool {
    let Some(line) = POSTGRES.lines().find(|l| l.split(' ').next() == Some(name)) else {
        return false;
    };
    line.split(' ').skip(1).any(|signature| {
        let signature = signature.trim_matches(['(', ')']);
        let variadic = signature.ends_with('*');
        let types: Vec<&str> = signature
            .trim_end_matches('*')
            .split(',')
            .filter(|t| !t.is_empty())
            .collect();
        let count = if variadic {
            args.len() + 1 >= types.len()
        } else {
            args.len() == types.len()
        };
        count
            && args.iter().zip(&types).all(|(arg, wanted)| {
                *arg == Type::Unknown
                    || matches!(*wanted, "any" | "anyelement" | "anycompatible")
                    || (matches!(*wanted, "anyarray" | "anycompatiblearray") && arg.elem().is_some())
                    || (matches!(*wanted, "anynonarray" | "anycompatiblenonarray") && arg.elem().is_none())
                    || variadic
                    || super::sql::bind::named(wanted).is_ok_and(|w| castable(*arg, w, CastContext::Implicit))
            })
    })
}
