//! CREATE SEQUENCE, ALTER SEQUENCE, and the options in IDENTITY's parentheses.

use sqlparser::ast::{DataType, ObjectName};
use sqlparser::parser::Parser;

use super::{Command, at_end, integer, need, skip, words};
use crate::aws::aurora::error::Result;

/// MINVALUE or MAXVALUE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bound {
    /// The type's own.
    No,
    /// A value.
    At(i64),
}

/// One option.
#[derive(Clone, Debug)]
pub(crate) enum SequenceOption {
    /// AS type.
    As(DataType),
    /// INCREMENT BY.
    Increment(i64),
    /// MINVALUE.
    Min(Bound),
    /// MAXVALUE.
    Max(Bound),
    /// START WITH.
    Start(i64),
    /// RESTART, WITH a value or with the start.
    Restart(Option<i64>),
    /// CYCLE.
    Cycle(bool),
    /// CACHE: every session here caches one.
    Cache(i64),
    /// OWNED BY a column, or by nothing.
    OwnedBy(Option<ObjectName>),
}

/// CREATE or ALTER.
#[derive(Clone, Debug)]
pub(crate) struct SequenceChange {
    /// CREATE.
    pub create: bool,
    /// IF NOT EXISTS, or IF EXISTS.
    pub if_exists: bool,
    /// Name.
    pub name: ObjectName,
    /// Options.
    pub options: Vec<SequenceOption>,
}

/// The options here, in any order.
pub(crate) fn options(p: &mut Parser<'_>) -> Result<Vec<SequenceOption>> {
    let mut out = Vec::new();
    loop {
        out.push(if words(p, &["as"]) {
            SequenceOption::As(p.parse_data_type()?)
        } else if words(p, &["increment"]) {
            words(p, &["by"]);
            SequenceOption::Increment(integer(p)?)
        } else if words(p, &["no", "minvalue"]) {
            SequenceOption::Min(Bound::No)
        } else if words(p, &["no", "maxvalue"]) {
            SequenceOption::Max(Bound::No)
        } else if words(p, &["no", "cycle"]) {
            SequenceOption::Cycle(false)
        } else if words(p, &["minvalue"]) {
            SequenceOption::Min(Bound::At(integer(p)?))
        } else if words(p, &["maxvalue"]) {
            SequenceOption::Max(Bound::At(integer(p)?))
        } else if words(p, &["start"]) {
            words(p, &["with"]);
            SequenceOption::Start(integer(p)?)
        } else if words(p, &["restart"]) {
            let with = words(p, &["with"]);
            let bare = !with && !matches!(p.peek_token_ref().token, sqlparser::tokenizer::Token::Number(..));
            SequenceOption::Restart(if bare { None } else { Some(integer(p)?) })
        } else if words(p, &["cycle"]) {
            SequenceOption::Cycle(true)
        } else if words(p, &["cache"]) {
            SequenceOption::Cache(integer(p)?)
        } else if words(p, &["owned", "by"]) {
            SequenceOption::OwnedBy(if words(p, &["none"]) {
                None
            } else {
                Some(p.parse_object_name(false)?)
            })
        } else {
            return Ok(out);
        });
    }
}

pub(super) fn parse(p: &mut Parser<'_>) -> Result<Option<Command>> {
    if let Some(kind) = [
        ["create", "temporary", "sequence"],
        ["create", "temp", "sequence"],
    ]
    .iter()
    .find(|kind| words(p, &kind[..]))
    {
        return skip(p, kind.join(" ").to_uppercase()).map(Some);
    }
    let create = words(p, &["create", "sequence"]);
    // ALTER SEQUENCE with RENAME, OWNER TO or SET SCHEMA is like any relation's: see `object`.
    if !create && !alters_options(p) {
        return Ok(None);
    }
    let if_exists = if create {
        words(p, &["if", "not", "exists"])
    } else {
        words(p, &["alter", "sequence"]);
        words(p, &["if", "exists"])
    };
    let name = p.parse_object_name(false)?;
    let options = options(p)?;
    if !create && options.is_empty() {
        return Ok(p.expected_ref("a sequence option", p.peek_token_ref())?);
    }
    if !at_end(p) {
        need(p, &["the end of the statement"])?;
    }
    Ok(Some(Command::Sequence(SequenceChange {
        create,
        if_exists,
        name,
        options,
    })))
}

fn alters_options(p: &mut Parser<'_>) -> bool {
    let word = |n: usize, wanted: &str| {
        p.peek_nth_token_ref(n)
            .token
            .to_string()
            .eq_ignore_ascii_case(wanted)
    };
    if !(word(0, "alter") && word(1, "sequence")) {
        return false;
    }
    let mut at = 2;
    while !matches!(p.peek_nth_token_ref(at).token, sqlparser::tokenizer::Token::EOF) && at < 12 {
        if word(at, "rename") || word(at, "owner") || word(at, "schema") {
            return false;
        }
        at += 1;
    }
    true
}
