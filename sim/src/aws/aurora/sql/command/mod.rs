//! Statements that are parsed here, on `sqlparser`'s token stream, because `sqlparser` does not know them or drops parts
//! of them: transactions, settings, roles and rights, sequences, DROP, TRUNCATE, LOCK, prepared statements.
//!
//! A statement that PostgreSQL has and the engine lacks is recognised by its first words and becomes
//! [`Command::Lacking`]; `sqlparser` gets the rest: queries, CREATE TABLE, CREATE INDEX, ALTER TABLE, CREATE VIEW.

mod access;
mod object;
mod sequence;
mod setting;
mod transaction;

use std::sync::Arc;

use sqlparser::ast::{self, DataType, Expr, ObjectName};
use sqlparser::parser::{Parser, ParserError};
use sqlparser::tokenizer::Token;

pub(crate) use access::{Grant, GrantObject, GrantRoles, Rights, RoleChange};
pub(crate) use object::{Alter, Drop, Kind, LockTable, Truncate};
pub(crate) use sequence::{Bound, SequenceChange, SequenceOption, options};
pub(crate) use setting::{Discard, Setting, SettingValue};
pub(crate) use transaction::{TransactionCommand, TransactionMode};

use crate::aws::aurora::error::Result;

/// A parsed statement.
#[derive(Clone, Debug)]
pub(crate) enum Statement {
    /// One that `sqlparser` understands.
    Sql(Box<ast::Statement>),
    /// One of ours.
    Command(Command),
}

/// A command of ours.
#[derive(Clone, Debug)]
pub(crate) enum Command {
    /// BEGIN, COMMIT, SAVEPOINT and the like.
    Transaction(TransactionCommand),
    /// SET, RESET, SHOW.
    Setting(Setting),
    /// DISCARD.
    Discard(Discard),
    /// SET CONSTRAINTS; no names is ALL.
    SetConstraints {
        /// The constraints.
        names: Vec<ObjectName>,
        /// DEFERRED, or IMMEDIATE.
        deferred: bool,
    },
    /// PREPARE.
    Prepare {
        /// Name.
        name: String,
        /// Parameter types as far as stated.
        types: Vec<DataType>,
        /// The statement.
        statement: Arc<Statement>,
    },
    /// EXECUTE.
    Execute {
        /// Name.
        name: String,
        /// Values of the parameters.
        args: Vec<Expr>,
    },
    /// DEALLOCATE; None is ALL.
    Deallocate(Option<String>),
    /// CREATE ROLE, ALTER ROLE.
    Role(RoleChange),
    /// GRANT and REVOKE on objects.
    Grant(Grant),
    /// GRANT and REVOKE of roles.
    GrantRoles(GrantRoles),
    /// CREATE SEQUENCE, ALTER SEQUENCE.
    Sequence(SequenceChange),
    /// CREATE SCHEMA.
    CreateSchema {
        /// Name.
        name: String,
        /// IF NOT EXISTS.
        if_not_exists: bool,
        /// AUTHORIZATION.
        owner: Option<String>,
    },
    /// DROP of any kind of object.
    Drop(Drop),
    /// DROP OWNED BY.
    DropOwned(Vec<String>),
    /// RENAME, OWNER TO and SET SCHEMA of relations and schemas.
    Alter(Alter),
    /// TRUNCATE.
    Truncate(Truncate),
    /// LOCK TABLE.
    Lock(LockTable),
    /// COMMENT ON, for the objects whose comments can be read back.
    Comment {
        /// The table.
        table: ObjectName,
        /// One of its columns.
        column: Option<String>,
        /// The text; None removes it.
        text: Option<String>,
    },
    /// VACUUM (true) and ANALYZE: nothing to do here, as versions go when no snapshot sees them and there are no
    /// statistics.
    Maintain(bool, Vec<ObjectName>),
    /// What PostgreSQL has and the engine lacks: refused with its name.
    Lacking(String),
}

impl From<ParserError> for Box<crate::aws::aurora::error::Error> {
    fn from(e: ParserError) -> Self {
        super::parse::syntax_error(&e)
    }
}

/// Words in front of the next statement: consumes all of them, or none.
pub(super) fn words(p: &mut Parser<'_>, wanted: &[&str]) -> bool {
    for (n, word) in wanted.iter().enumerate() {
        match &p.peek_nth_token_ref(n).token {
            Token::Word(w) if w.quote_style.is_none() && w.value.eq_ignore_ascii_case(word) => {}
            _ => return false,
        }
    }
    for _ in wanted {
        p.next_token();
    }
    true
}

/// One of several words.
fn one_of(p: &mut Parser<'_>, wanted: &[&'static str]) -> Option<&'static str> {
    wanted.iter().copied().find(|w| words(p, &[w]))
}

/// Words that must come.
fn need(p: &mut Parser<'_>, wanted: &[&str]) -> Result<()> {
    if words(p, wanted) {
        return Ok(());
    }
    Ok(p.expected_ref(&wanted.join(" "), p.peek_token_ref())?)
}

/// Whether the statement ends here.
pub(super) fn at_end(p: &Parser<'_>) -> bool {
    matches!(p.peek_token_ref().token, Token::EOF | Token::SemiColon)
}

fn name(p: &mut Parser<'_>) -> Result<String> {
    Ok(super::bind::fold(&p.parse_identifier()?))
}

fn names(p: &mut Parser<'_>) -> Result<Vec<String>> {
    let list = p.parse_comma_separated(Parser::parse_identifier)?;
    Ok(list.iter().map(super::bind::fold).collect())
}

fn objects(p: &mut Parser<'_>) -> Result<Vec<ObjectName>> {
    Ok(p.parse_comma_separated(|p| p.parse_object_name(false))?)
}

/// A whole number with its sign.
fn integer(p: &mut Parser<'_>) -> Result<i64> {
    let minus = p.consume_token(&Token::Minus);
    let token = p.next_token();
    let Token::Number(n, _) = &token.token else {
        return Ok(p.expected("a number", token)?);
    };
    let text = format!("{}{n}", if minus { "-" } else { "" });
    match text.parse() {
        Ok(n) => Ok(n),
        Err(_) => Ok(p.expected("a whole number of 64 bits", token)?),
    }
}

/// The text of a string literal.
fn string(p: &mut Parser<'_>) -> Result<String> {
    Ok(p.parse_literal_string()?)
}

/// A role's name; the words that mean the session's own roles stay as they are.
fn role(p: &mut Parser<'_>) -> Result<String> {
    name(p)
}

/// Parses the next statement if it is one of ours.
pub(super) fn command(p: &mut Parser<'_>) -> Result<Option<Command>> {
    if let Some(found) = transaction::parse(p)? {
        return Ok(Some(Command::Transaction(found)));
    }
    if let Some(found) = setting::parse(p)? {
        return Ok(Some(found));
    }
    if let Some(found) = access::parse(p)? {
        return Ok(Some(found));
    }
    if let Some(found) = sequence::parse(p)? {
        return Ok(Some(found));
    }
    if let Some(found) = object::parse(p)? {
        return Ok(Some(found));
    }
    if words(p, &["prepare"]) {
        return prepare(p).map(Some);
    }
    let vacuum = words(p, &["vacuum"]);
    if vacuum || words(p, &["analyze"]) || words(p, &["analyse"]) {
        while one_of(p, &["full", "freeze", "verbose", "analyze"]).is_some() {}
        let tables = if at_end(p) { Vec::new() } else { objects(p)? };
        return Ok(Some(Command::Maintain(vacuum, tables)));
    }
    if words(p, &["execute"]) {
        let name = name(p)?;
        let mut args = Vec::new();
        if p.consume_token(&Token::LParen) && !p.consume_token(&Token::RParen) {
            args = p.parse_comma_separated(Parser::parse_expr)?;
            p.expect_token(&Token::RParen)?;
        }
        return Ok(Some(Command::Execute { name, args }));
    }
    if words(p, &["deallocate"]) {
        words(p, &["prepare"]);
        let all = words(p, &["all"]);
        let name = if all { None } else { Some(name(p)?) };
        return Ok(Some(Command::Deallocate(name)));
    }
    lacking(p)
}

fn prepare(p: &mut Parser<'_>) -> Result<Command> {
    if words(p, &["transaction"]) {
        return skip(p, "PREPARE TRANSACTION");
    }
    let name = name(p)?;
    let mut types = Vec::new();
    if p.consume_token(&Token::LParen) {
        types = p.parse_comma_separated(Parser::parse_data_type)?;
        p.expect_token(&Token::RParen)?;
    }
    need(p, &["as"])?;
    let statement = Arc::new(super::parse::statement(p)?);
    Ok(Command::Prepare {
        name,
        types,
        statement,
    })
}

/// Passes over a statement that will be refused.
fn skip(p: &mut Parser<'_>, construct: impl Into<String>) -> Result<Command> {
    while !at_end(p) {
        p.next_token();
    }
    Ok(Command::Lacking(construct.into()))
}

/// CREATE TABLE name (LIKE ...).
fn creates_like(p: &Parser<'_>) -> bool {
    let is = |n: usize, wanted: &str| {
        p.peek_nth_token_ref(n)
            .token
            .to_string()
            .eq_ignore_ascii_case(wanted)
    };
    is(0, "create")
        && (2..10).any(|n| {
            matches!(p.peek_nth_token_ref(n).token, Token::LParen)
                && is(n + 1, "like")
                && (1..n).any(|t| is(t, "table"))
        })
}

/// Statements known by their first words alone.
fn lacking(p: &mut Parser<'_>) -> Result<Option<Command>> {
    const FIRST: &[&[&str]] = &[
        &["listen"],
        &["unlisten"],
        &["notify"],
        &["cluster"],
        &["reindex"],
        &["checkpoint"],
        &["load"],
        &["explain"],
        &["copy"],
        &["declare"],
        &["fetch"],
        &["move"],
        &["close"],
        &["call"],
        &["do"],
        &["merge"],
        &["security", "label"],
        &["import", "foreign"],
        &["reassign", "owned"],
        &["refresh", "materialized"],
    ];
    const OBJECTS: &[&[&str]] = &[
        &["access", "method"],
        &["aggregate"],
        &["cast"],
        &["collation"],
        &["conversion"],
        &["database"],
        &["default", "privileges"],
        &["domain"],
        &["event", "trigger"],
        &["extension"],
        &["foreign"],
        &["function"],
        &["language"],
        &["large", "object"],
        &["materialized", "view"],
        &["operator"],
        &["procedure"],
        &["publication"],
        &["routine"],
        &["rule"],
        &["server"],
        &["statistics"],
        &["subscription"],
        &["system"],
        &["tablespace"],
        &["text", "search"],
        &["transform"],
        &["trigger"],
        &["trusted", "language"],
        &["type"],
        &["user", "mapping"],
    ];
    for first in FIRST {
        if words(p, first) {
            // A name at least has to follow where the grammar wants one.
            if matches!(*first, ["listen"] | ["call"] | ["declare"]) && at_end(p) {
                return Ok(p.expected_ref("a name", p.peek_token_ref())?);
            }
            return skip(p, first.join(" ").to_uppercase()).map(Some);
        }
    }
    if creates_like(p) {
        return skip(p, "CREATE TABLE LIKE").map(Some);
    }
    for verb in ["create", "alter", "drop"] {
        for object in OBJECTS {
            for between in [&[][..], &["or", "replace"], &["constraint"]] {
                let all: Vec<&str> = [verb]
                    .iter()
                    .chain(between)
                    .chain(object.iter())
                    .copied()
                    .collect();
                if words(p, &all) {
                    let construct = format!("{verb} {}", object.join(" ")).to_uppercase();
                    return skip(p, construct).map(Some);
                }
            }
        }
    }
    Ok(None)
}
