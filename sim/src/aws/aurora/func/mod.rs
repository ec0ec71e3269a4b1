//! Functions and operators by name. To add one, add a row to the table of its family.

mod advisory;
mod array;
mod catalog;
mod datetime;
pub(super) use datetime::add_interval;
pub(super) use json::to_json;
mod json;
mod math;
mod regex;
mod sequence;
mod string;
mod system;
pub(super) use system::os_random;

use super::error::Result;
use super::exec::Ctx;
use super::types::{Type, Value};

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

/// Whether PostgreSQL has a function of this name that is missing here: the difference between 0A000 and 42883.
pub(super) fn known_to_postgres(name: &str) -> bool {
    const MISSING: &[&str] = &[
        "age",
        "cbrt",
        "crypt",
        "cume_dist",
        "date_bin",
        "json_build_object",
        "json_populate_record",
        "jsonb_insert",
        "jsonb_path_query",
        "jsonb_populate_record",
        "jsonb_pretty",
        "jsonb_to_record",
        "jsonb_to_recordset",
        "justify_days",
        "justify_hours",
        "lo_get",
        "md5",
        "sha256",
        "make_date",
        "make_timestamp",
        "mode",
        "normalize",
        "ntile",
        "nth_value",
        "percent_rank",
        "percentile_cont",
        "percentile_disc",
        "pg_notify",
        "pg_stat_get_activity",
        "regexp_matches",
        "regexp_split_to_array",
        "row_to_json",
        "setseed",
        "sha224",
        "sha384",
        "sha512",
        "to_char",
        "to_date",
        "to_number",
        "to_tsquery",
        "to_tsvector",
        "txid_status",
        "width_bucket",
        "xmlparse",
    ];
    MISSING.contains(&name) || !find(name).is_empty()
}
