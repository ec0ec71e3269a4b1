//! Text to syntax trees, with `sqlparser`; and the few PostgreSQL spellings that it does not know.
//!
//! `FOR NO KEY UPDATE`, `FOR KEY SHARE` and lists after `OF` are rewritten, token by token, into `FOR UPDATE OF` with a
//! marker as first name; [`lock_clause`] reads the marker back.

use sqlparser::ast::{self, LockClause, LockType};
use sqlparser::dialect::PostgreSqlDialect;
use sqlparser::keywords::Keyword;
use sqlparser::parser::{Parser, ParserError};
use sqlparser::tokenizer::{Token, Tokenizer, Word};

pub(crate) use super::command::Statement;
use super::command::{at_end, command};
use crate::aws::aurora::error::{Error, Result, code};
use crate::aws::aurora::storage::RowLock;

/// Deeper nesting of expressions and subqueries is refused (54001).
const RECURSION_LIMIT: usize = 60;
/// First name of a rewritten locking clause; no identifier can contain the control character.
const MARKER: char = '\u{1}';

/// One statement and the text it came from.
#[derive(Clone, Debug)]
pub(crate) struct Parsed {
    /// The tree.
    pub statement: Statement,
}

pub(super) fn syntax_error(e: &ParserError) -> Box<Error> {
    match e {
        ParserError::RecursionLimitExceeded => {
            Error::new(code::STATEMENT_TOO_COMPLEX, "stack depth limit exceeded")
        }
        ParserError::TokenizerError(m) | ParserError::ParserError(m) => {
            Error::new(code::SYNTAX_ERROR, format!("syntax error: {m}"))
        }
    }
}

/// Parses a string of statements.
pub(crate) fn parse(sql: &str) -> Result<Vec<Parsed>> {
    if sql.contains('\0') {
        return Err(Error::new(
            code::CHARACTER_NOT_IN_REPERTOIRE,
            "invalid byte sequence for encoding \"UTF8\": 0x00",
        ));
    }
    let dialect = PostgreSqlDialect {};
    let tokens = Tokenizer::new(&dialect, sql)
        .tokenize()
        .map_err(|e| Error::new(code::SYNTAX_ERROR, format!("syntax error: {e}")))?;
    let tokens = rewrite_locks(tokens);
    let mut parser = Parser::new(&dialect)
        .with_recursion_limit(RECURSION_LIMIT)
        .with_tokens(tokens);
    let mut out = Vec::new();
    loop {
        while parser.consume_token(&Token::SemiColon) {}
        if matches!(parser.peek_token_ref().token, Token::EOF) {
            return Ok(out);
        }
        let statement = statement(&mut parser)?;
        if !at_end(&parser) {
            parser.expected_ref::<()>("end of statement", parser.peek_token_ref())?;
        }
        out.push(Parsed { statement });
    }
}

/// The next statement.
pub(super) fn statement(parser: &mut Parser<'_>) -> Result<Statement> {
    const ROWS: [Keyword; 6] = [
        Keyword::SELECT,
        Keyword::INSERT,
        Keyword::UPDATE,
        Keyword::DELETE,
        Keyword::WITH,
        Keyword::VALUES,
    ];
    if parser.peek_one_of_keywords(&ROWS).is_none()
        && let Some(command) = command(parser)?
    {
        return Ok(Statement::Command(command));
    }
    Ok(Statement::Sql(Box::new(parser.parse_statement()?)))
}

/// An expression on its own: what the catalog keeps as text.
pub(crate) fn expression(text: &str) -> Result<ast::Expr> {
    let dialect = PostgreSqlDialect {};
    let mut parser = Parser::new(&dialect)
        .with_recursion_limit(RECURSION_LIMIT)
        .try_with_sql(text)?;
    let expr = parser.parse_expr()?;
    if !at_end(&parser) {
        parser.expected_ref::<()>("end of expression", parser.peek_token_ref())?;
    }
    Ok(expr)
}

fn word(token: &Token, wanted: &str) -> bool {
    matches!(token, Token::Word(w) if w.quote_style.is_none() && w.value.eq_ignore_ascii_case(wanted))
}

fn quoted(value: String) -> Token {
    Token::Word(Word {
        value,
        quote_style: Some('"'),
        keyword: Keyword::NoKeyword,
    })
}

fn keyword(value: &str) -> Token {
    Token::make_word(value, None)
}

/// Index of the next token that is not white space.
fn solid(tokens: &[Token], mut at: usize) -> usize {
    while matches!(tokens.get(at), Some(Token::Whitespace(_))) {
        at += 1;
    }
    at
}

fn rewrite_locks(tokens: Vec<Token>) -> Vec<Token> {
    let mut out = Vec::with_capacity(tokens.len());
    let mut at = 0;
    while at < tokens.len() {
        if word(&tokens[at], "for")
            && let Some((strength, after)) = strength_at(&tokens, at + 1)
        {
            let (tables, end) = tables_after(&tokens, after);
            if strength == "UPDATE" && tables.is_empty() || strength == "SHARE" && tables.is_empty() {
                out.extend_from_slice(&tokens[at..after]);
                at = after;
                continue;
            }
            out.extend([
                keyword("FOR"),
                keyword("UPDATE"),
                keyword("OF"),
                quoted(format!("{MARKER}{strength}")),
            ]);
            for table in tables {
                out.extend([Token::Period, quoted(table)]);
            }
            at = end;
            continue;
        }
        out.push(tokens[at].clone());
        at += 1;
    }
    out
}

/// The lock strength spelled after FOR, and where it ends.
fn strength_at(tokens: &[Token], from: usize) -> Option<(&'static str, usize)> {
    let spellings: [(&[&str], &str); 4] = [
        (&["no", "key", "update"], "NO KEY UPDATE"),
        (&["key", "share"], "KEY SHARE"),
        (&["update"], "UPDATE"),
        (&["share"], "SHARE"),
    ];
    for (words, strength) in spellings {
        let mut at = from;
        if words.iter().all(|w| {
            at = solid(tokens, at);
            let hit = tokens.get(at).is_some_and(|t| word(t, w));
            at += 1;
            hit
        }) {
            return Some((strength, at));
        }
    }
    None
}

/// The names after OF, and where they end.
fn tables_after(tokens: &[Token], from: usize) -> (Vec<String>, usize) {
    let mut tables = Vec::new();
    let mut at = solid(tokens, from);
    if !tokens.get(at).is_some_and(|t| word(t, "of")) {
        return (tables, from);
    }
    loop {
        at = solid(tokens, at + 1);
        let Some(Token::Word(w)) = tokens.get(at) else {
            return (tables, at);
        };
        tables.push(if w.quote_style.is_some() {
            w.value.clone()
        } else {
            w.value.to_lowercase()
        });
        at += 1;
        let next = solid(tokens, at);
        if !matches!(tokens.get(next), Some(Token::Comma)) {
            return (tables, at);
        }
        at = next;
    }
}

/// Strength and table names of a locking clause. No names means every table.
pub(crate) fn lock_clause(clause: &LockClause) -> (RowLock, Vec<String>) {
    let plain = match clause.lock_type {
        LockType::Share => RowLock::Share,
        LockType::Update => RowLock::Update,
    };
    let Some(of) = &clause.of else {
        return (plain, Vec::new());
    };
    let mut names: Vec<String> =
        of.0.iter()
            .filter_map(|p| p.as_ident())
            .map(|i| i.value.clone())
            .collect();
    let strength = match names.first().and_then(|n| n.strip_prefix(MARKER)) {
        Some("NO KEY UPDATE") => RowLock::NoKeyUpdate,
        Some("KEY SHARE") => RowLock::KeyShare,
        Some("SHARE") => RowLock::Share,
        Some(_) => RowLock::Update,
        None => return (plain, names),
    };
    names.remove(0);
    (strength, names)
}

/// What a marker carries: text that the parser has no place for, put aside in an identifier.
pub(crate) fn marked(ident: &str) -> Option<&str> {
    ident.strip_prefix(MARKER)
}

/// The options of an identity column's sequence.
pub(crate) fn sequence_options(text: &str) -> Result<Vec<super::command::SequenceOption>> {
    let dialect = PostgreSqlDialect {};
    let mut parser = Parser::new(&dialect).try_with_sql(text)?;
    let options = super::command::options(&mut parser)?;
    if !at_end(&parser) {
        parser.expected_ref::<()>("a sequence option", parser.peek_token_ref())?;
    }
    Ok(options)
}

/// Text with one identifier replaced wherever it stands for a column.
pub(crate) fn rename_identifier(text: &str, old: &str, new: &str) -> String {
    let dialect = PostgreSqlDialect {};
    let Ok(tokens) = Tokenizer::new(&dialect, text).tokenize() else {
        return text.to_string();
    };
    let mut out = String::new();
    for (at, token) in tokens.iter().enumerate() {
        let hit = matches!(token, Token::Word(w) if w.value == old || w.quote_style.is_none() && w.value.to_lowercase() == old);
        let call = matches!(tokens.get(solid(&tokens, at + 1)), Some(Token::LParen));
        if hit && !call {
            out.push_str(&crate::aws::aurora::types::quote_ident(new));
        } else {
            out.push_str(&token.to_string());
        }
    }
    out
}
