//! BEGIN, COMMIT, ROLLBACK, SAVEPOINT, SET TRANSACTION.

use sqlparser::parser::Parser;
use sqlparser::tokenizer::Token;

use super::{at_end, name, need, one_of, skip, words};
use crate::aws::aurora::error::Result;
use crate::aws::aurora::session::transaction::Isolation;

/// One mode of BEGIN or SET TRANSACTION.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub(crate) enum TransactionMode {
    /// The level, and the words that asked for it.
    Isolation(Isolation, &'static str),
    ReadOnly(bool),
    Deferrable(bool),
}

/// A transaction statement.
#[derive(Clone, Debug)]
pub(crate) enum TransactionCommand {
    /// BEGIN (true) or START TRANSACTION.
    Begin(bool, Vec<TransactionMode>),
    /// COMMIT, and AND CHAIN.
    Commit(bool),
    /// ROLLBACK, and AND CHAIN.
    Rollback(bool),
    /// SAVEPOINT.
    Savepoint(String),
    /// RELEASE.
    Release(String),
    /// ROLLBACK TO.
    RollbackTo(String),
    /// SET TRANSACTION.
    Set(Vec<TransactionMode>),
    /// Two-phase commit or an imported snapshot: refused.
    Lacking(&'static str),
}

/// The modes here, separated by commas or by nothing.
pub(super) fn modes(p: &mut Parser<'_>) -> Result<Vec<TransactionMode>> {
    let mut out = Vec::new();
    while !at_end(p) {
        out.push(if words(p, &["isolation", "level"]) {
            let levels = [
                "serializable",
                "repeatable read",
                "read committed",
                "read uncommitted",
            ];
            let said = levels.into_iter().find(|level| {
                let spelled: Vec<&str> = level.split(' ').collect();
                words(p, &spelled)
            });
            match said {
                Some(level) => TransactionMode::Isolation(Isolation::from_words(level), level),
                None => return Ok(p.expected_ref("an isolation level", p.peek_token_ref())?),
            }
        } else if words(p, &["read", "only"]) {
            TransactionMode::ReadOnly(true)
        } else if words(p, &["read", "write"]) {
            TransactionMode::ReadOnly(false)
        } else if words(p, &["not", "deferrable"]) {
            TransactionMode::Deferrable(false)
        } else if words(p, &["deferrable"]) {
            TransactionMode::Deferrable(true)
        } else {
            return Ok(p.expected_ref("a transaction mode", p.peek_token_ref())?);
        });
        _ = p.consume_token(&Token::Comma);
    }
    Ok(out)
}

fn chain(p: &mut Parser<'_>) -> Result<bool> {
    if words(p, &["and", "no", "chain"]) || !words(p, &["and"]) {
        return Ok(false);
    }
    need(p, &["chain"])?;
    Ok(true)
}

pub(super) fn parse(p: &mut Parser<'_>) -> Result<Option<TransactionCommand>> {
    use TransactionCommand as T;
    let noise = |p: &mut Parser<'_>| one_of(p, &["work", "transaction"]);
    if words(p, &["begin"]) {
        noise(p);
        return Ok(Some(T::Begin(true, modes(p)?)));
    }
    if words(p, &["start", "transaction"]) {
        return Ok(Some(T::Begin(false, modes(p)?)));
    }
    for (verb, construct) in [("commit", "COMMIT PREPARED"), ("rollback", "ROLLBACK PREPARED")] {
        if words(p, &[verb, "prepared"]) {
            skip(p, construct)?;
            return Ok(Some(T::Lacking(construct)));
        }
    }
    if one_of(p, &["commit", "end"]).is_some() {
        noise(p);
        return Ok(Some(T::Commit(chain(p)?)));
    }
    if one_of(p, &["rollback", "abort"]).is_some() {
        noise(p);
        if words(p, &["to"]) {
            words(p, &["savepoint"]);
            return Ok(Some(T::RollbackTo(name(p)?)));
        }
        return Ok(Some(T::Rollback(chain(p)?)));
    }
    if words(p, &["savepoint"]) {
        return Ok(Some(T::Savepoint(name(p)?)));
    }
    if words(p, &["release"]) {
        words(p, &["savepoint"]);
        return Ok(Some(T::Release(name(p)?)));
    }
    if words(p, &["set", "transaction", "snapshot"]) {
        skip(p, "SET TRANSACTION SNAPSHOT")?;
        return Ok(Some(T::Lacking("SET TRANSACTION SNAPSHOT")));
    }
    if words(p, &["set", "transaction"]) || words(p, &["set", "local", "transaction"]) {
        let modes = modes(p)?;
        if modes.is_empty() {
            return Ok(p.expected_ref("a transaction mode", p.peek_token_ref())?);
        }
        return Ok(Some(T::Set(modes)));
    }
    Ok(None)
}
