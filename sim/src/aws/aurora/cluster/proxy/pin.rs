//! What pins a session: a statement that leaves something behind which a later transaction would need.

use serde::Serialize;
use sqlparser::dialect::PostgreSqlDialect;
use sqlparser::tokenizer::{Token, Tokenizer};

/// A statement longer than this pins.
const STATEMENT_BYTES_MAX: usize = 16 * 1024;

/// Why a session was pinned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Pin {
    /// A setting of the session: SET, RESET, DISCARD, `set_config`. SET LOCAL and SET TRANSACTION do not.
    Setting,
    /// PREPARE, EXECUTE, DEALLOCATE.
    PreparedStatement,
    /// A temporary table, view or sequence.
    Temporary,
    /// An advisory lock of the session. Those of a transaction do not.
    AdvisoryLock,
    /// LISTEN.
    Listen,
    /// A cursor.
    Cursor,
    /// A sequence used by function: `nextval`, `setval`, `currval`, `lastval`.
    Sequence,
    /// A loaded library.
    Library,
    /// A statement of more than 16 KB.
    Long,
    /// A statement that the proxy cannot read.
    Unreadable,
}

/// Whether statements pin the session that they run in.
pub(super) fn pins(sql: &str) -> Option<Pin> {
    if sql.len() > STATEMENT_BYTES_MAX {
        return Some(Pin::Long);
    }
    let Ok(tokens) = Tokenizer::new(&PostgreSqlDialect {}, sql).tokenize() else {
        return Some(Pin::Unreadable);
    };
    let tokens: Vec<Token> = tokens
        .into_iter()
        .filter(|token| !matches!(token, Token::Whitespace(_)))
        .collect();
    tokens
        .split(|token| *token == Token::SemiColon)
        .find_map(statement_pins)
}

fn statement_pins(tokens: &[Token]) -> Option<Pin> {
    let word = |at: usize| match tokens.get(at) {
        Some(Token::Word(word)) => word.value.to_ascii_uppercase(),
        _ => String::new(),
    };
    match word(0).as_str() {
        "SET" if !matches!(word(1).as_str(), "LOCAL" | "TRANSACTION" | "CONSTRAINTS") => {
            return Some(Pin::Setting);
        }
        "RESET" | "DISCARD" => return Some(Pin::Setting),
        "PREPARE" | "EXECUTE" | "DEALLOCATE" => return Some(Pin::PreparedStatement),
        "LISTEN" => return Some(Pin::Listen),
        "DECLARE" => return Some(Pin::Cursor),
        "LOAD" => return Some(Pin::Library),
        _ => {}
    }
    let creates = word(0) == "CREATE";
    (0..tokens.len()).find_map(|at| match word(at).as_str() {
        "TEMP" | "TEMPORARY" if creates || (at > 0 && word(at - 1) == "INTO") => Some(Pin::Temporary),
        name if tokens.get(at + 1) == Some(&Token::LParen) => function_pins(&name.to_ascii_lowercase()),
        _ => None,
    })
}

fn function_pins(name: &str) -> Option<Pin> {
    match name {
        "set_config" => Some(Pin::Setting),
        "nextval" | "setval" | "currval" | "lastval" => Some(Pin::Sequence),
        _ if name.starts_with("pg_") && name.contains("advisory") && !name.contains("xact") => {
            Some(Pin::AdvisoryLock)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stays_behind_pins_and_what_ends_with_the_transaction_does_not() {
        for (sql, expected) in [
            ("SET statement_timeout = 1", Some(Pin::Setting)),
            ("/* a */ set search_path to x", Some(Pin::Setting)),
            ("SELECT 1; RESET ALL", Some(Pin::Setting)),
            ("SELECT set_config('a.b', '1', true)", Some(Pin::Setting)),
            ("SET LOCAL statement_timeout = 1", None),
            ("SET TRANSACTION ISOLATION LEVEL SERIALIZABLE", None),
            ("UPDATE t SET a = 1", None),
            ("SELECT 'SET x = 1'", None),
            ("PREPARE p AS SELECT 1", Some(Pin::PreparedStatement)),
            ("CREATE TEMP TABLE t (a int)", Some(Pin::Temporary)),
            ("SELECT 1 INTO TEMPORARY t", Some(Pin::Temporary)),
            ("CREATE TABLE temperature (a int)", None),
            ("SELECT pg_advisory_lock(1)", Some(Pin::AdvisoryLock)),
            ("SELECT pg_try_advisory_lock(1)", Some(Pin::AdvisoryLock)),
            ("SELECT pg_advisory_xact_lock(1)", None),
            ("LISTEN c", Some(Pin::Listen)),
            ("DECLARE c CURSOR FOR SELECT 1", Some(Pin::Cursor)),
            ("SELECT nextval('s')", Some(Pin::Sequence)),
            ("SELECT 'unfinished", Some(Pin::Unreadable)),
            ("BEGIN", None),
            ("", None),
        ] {
            assert_eq!(pins(sql), expected, "{sql}");
        }
        assert_eq!(
            pins(&format!("SELECT '{}'", "x".repeat(16 * 1024))),
            Some(Pin::Long)
        );
    }
}
