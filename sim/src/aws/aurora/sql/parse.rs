//! Text to syntax trees, with `sqlparser` and, for what it does not know, `command` and `rewrite`.

use std::collections::BTreeMap;
use std::sync::Arc;

use sqlparser::ast;
use sqlparser::dialect::PostgreSqlDialect;
use sqlparser::keywords::Keyword;
use sqlparser::parser::{Parser, ParserError};
use sqlparser::tokenizer::{Token, Tokenizer};

pub(crate) use super::command::Statement;
use super::command::{Command, at_end, command};
use super::rewrite::{rewrite, solid};
use crate::aws::aurora::error::{Error, Result, code};

/// Deeper nesting of expressions and subqueries is refused (54001).
const RECURSION_LIMIT: usize = 60;

/// One statement and the text it came from.
#[derive(Clone, Debug)]
pub(crate) struct Parsed {
    /// The tree.
    pub statement: Arc<Statement>,
}

/// What was parsed before, by its text: clients say the same few things again and again, each over each of its connections.
#[derive(Debug, Default)]
pub(crate) struct Cache(BTreeMap<String, Vec<Parsed>>);

impl Cache {
    /// Texts that are kept at a time.
    const TEXTS_MAX: usize = 1_024;
    /// A longer one has its values in it, and will not come again.
    const TEXT_BYTES_MAX: usize = 16_384;

    /// As [`parse`].
    pub(crate) fn parse(&mut self, sql: &str) -> Result<Vec<Parsed>> {
        if let Some(parsed) = self.0.get(sql) {
            return Ok(parsed.clone());
        }
        let parsed = parse(sql)?;
        if self.0.len() == Self::TEXTS_MAX {
            self.0.clear();
        }
        if sql.len() <= Self::TEXT_BYTES_MAX {
            self.0.insert(sql.to_owned(), parsed.clone());
        }
        Ok(parsed)
    }
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
fn parse(sql: &str) -> Result<Vec<Parsed>> {
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
    let tokens = rewrite(tokens);
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
        out.push(Parsed {
            statement: Arc::new(statement),
        });
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
    if parser.peek_keyword(Keyword::SELECT)
        && matches!(parser.peek_nth_token_ref(1).token, Token::EOF | Token::SemiColon)
    {
        parser.next_token();
        return Ok(Statement::Command(Command::Lacking(
            "SELECT without a select list".into(),
        )));
    }
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
