//! PostgreSQL's spellings that `sqlparser` does not know, rewritten token by token into ones that it does.
//!
//! What has no place in its tree is put aside in an identifier that begins with a control character, which no written
//! identifier can contain, and is read back by whoever binds that part of the tree:
//! - `FOR NO KEY UPDATE`, `FOR KEY SHARE`, lists after `OF`: first name after `FOR UPDATE OF`; see [`lock_clause`];
//! - expressions and `WHERE` of an ON CONFLICT target: extra columns of the target; see [`Inference`];
//! - `OVERRIDING SYSTEM VALUE`: an extra column of INSERT; see [`overriding`];
//! - the options of an identity column: a DEFAULT; see [`marked`].

use sqlparser::ast::{LockClause, LockType};
use sqlparser::keywords::Keyword;
use sqlparser::tokenizer::{Token, Word};

use crate::aws::aurora::storage::RowLock;

const MARKER: char = '\u{1}';
const WHERE: &str = "where ";
const SYSTEM: &str = "overriding system";
const USER: &str = "overriding user";

/// What a marker carries.
pub(crate) fn marked(ident: &str) -> Option<&str> {
    ident.strip_prefix(MARKER)
}

/// One element of an ON CONFLICT target.
pub(crate) enum Inference<'a> {
    /// A column, by the element's own name.
    Column,
    /// An index expression's text.
    Expression(&'a str),
    /// The text of the index predicate.
    Where(&'a str),
}

/// Reads an element of an ON CONFLICT target.
pub(crate) fn inference(ident: &str) -> Inference<'_> {
    match marked(ident) {
        None => Inference::Column,
        Some(text) => text
            .strip_prefix(WHERE)
            .map_or(Inference::Expression(text), Inference::Where),
    }
}

/// What an INSERT column says about OVERRIDING: SYSTEM (true) or USER; None for a real column.
pub(crate) fn overriding(ident: &str) -> Option<bool> {
    match marked(ident) {
        Some(SYSTEM) => Some(true),
        Some(USER) => Some(false),
        _ => None,
    }
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
pub(super) fn solid(tokens: &[Token], mut at: usize) -> usize {
    while matches!(tokens.get(at), Some(Token::Whitespace(_))) {
        at += 1;
    }
    at
}

fn marker(text: impl AsRef<str>) -> Token {
    quoted(format!("{MARKER}{}", text.as_ref()))
}

/// A replacement and the index of the first token after what it replaces.
type Replaced = Option<(Vec<Token>, usize)>;

/// Rewrites a token stream.
pub(super) fn rewrite(tokens: Vec<Token>) -> Vec<Token> {
    let mut out: Vec<Token> = Vec::with_capacity(tokens.len());
    let mut at = 0;
    while at < tokens.len() {
        let replaced = match &tokens[at] {
            Token::Word(w) if w.quote_style.is_none() => match w.keyword {
                Keyword::FOR => locks(&tokens, at, &out),
                Keyword::CONFLICT => conflict(&tokens, at),
                Keyword::ONLY => only(&tokens, at, &out),
                Keyword::NoKeyword if word(&tokens[at], "overriding") => {
                    overriding_clause(&tokens, at, &mut out)
                }
                Keyword::IDENTITY => identity(&tokens, at),
                Keyword::TABLE => table(&tokens, at, &out),
                Keyword::COLLATE => collate(&tokens, at),
                Keyword::VALUES => values(&tokens, at, &out),
                Keyword::FROM => trim_from(&tokens, at, &out),
                _ if is_type(&w.value) => typed_literal(&tokens, at),
                _ => None,
            },
            _ => None,
        };
        match replaced {
            Some((tokens, next)) => {
                out.extend(tokens);
                at = next;
            }
            None => {
                out.push(tokens[at].clone());
                at += 1;
            }
        }
    }
    out
}

/// The last token written that is not white space.
fn last(out: &[Token]) -> Option<(usize, &Token)> {
    out.iter()
        .enumerate()
        .rfind(|(_, t)| !matches!(t, Token::Whitespace(_)))
}

/// Index of the parenthesis that closes the one at `open`.
fn closing(tokens: &[Token], open: usize) -> Option<usize> {
    let mut depth = 0;
    for (at, token) in tokens.iter().enumerate().skip(open) {
        match token {
            Token::LParen => depth += 1,
            Token::RParen => {
                depth -= 1;
                if depth == 0 {
                    return Some(at);
                }
            }
            _ => {}
        }
    }
    None
}

fn text(tokens: &[Token]) -> String {
    tokens
        .iter()
        .map(Token::to_string)
        .collect::<String>()
        .trim()
        .to_string()
}

/// Collations that order by bytes, as everything here does.
fn collate(tokens: &[Token], at: usize) -> Replaced {
    let mut name = solid(tokens, at + 1);
    if tokens.get(name).is_some_and(|t| word(t, "pg_catalog")) {
        name = solid(tokens, solid(tokens, name + 1) + 1);
    }
    let Some(Token::Word(w)) = tokens.get(name) else {
        return None;
    };
    let quoted =
        w.quote_style.is_some() && ["C", "POSIX", "default", "ucs_basic"].contains(&w.value.as_str());
    (quoted || w.value == "default").then(|| (Vec::new(), name + 1))
}

/// `SELECT (VALUES ...)`, which would be taken for a call of a function of that name.
fn values(tokens: &[Token], at: usize, out: &[Token]) -> Replaced {
    let (open, Token::LParen) = last(out)? else {
        return None;
    };
    let (_, before) = last(&out[..open])?;
    if !word(before, "select") {
        return None;
    }
    // The parenthesis that encloses it is the last one open.
    let mut depth = 0;
    let close = (at..tokens.len()).find(|n| {
        match tokens[*n] {
            Token::LParen => depth += 1,
            Token::RParen => depth -= 1,
            _ => {}
        }
        depth < 0
    })?;
    let mut replaced = vec![
        keyword("SELECT"),
        space(),
        Token::Mul,
        space(),
        keyword("FROM"),
        space(),
        Token::LParen,
    ];
    replaced.extend_from_slice(&tokens[at..close]);
    replaced.extend([Token::RParen, space(), keyword("AS"), space(), marker("values")]);
    Some((replaced, close))
}

/// TRIM(TRAILING FROM x).
fn trim_from(tokens: &[Token], at: usize, out: &[Token]) -> Replaced {
    let (_, before) = last(out)?;
    let bare = ["leading", "trailing", "both"].iter().any(|w| word(before, w));
    bare.then(|| (Vec::new(), at + 1)).filter(|_| tokens.len() > at)
}

/// Types whose literals `sqlparser` does not know as `type 'text'`.
fn is_type(word: &str) -> bool {
    const TYPES: [&str; 10] = [
        "bool", "bpchar", "float4", "float8", "int2", "int4", "int8", "name", "oid", "regclass",
    ];
    TYPES.iter().any(|t| word.eq_ignore_ascii_case(t))
}

fn typed_literal(tokens: &[Token], at: usize) -> Replaced {
    let literal = solid(tokens, at + 1);
    let Some(text @ Token::SingleQuotedString(_)) = tokens.get(literal) else {
        return None;
    };
    let space = Token::Whitespace(sqlparser::tokenizer::Whitespace::Space);
    let out = vec![
        keyword("CAST"),
        Token::LParen,
        text.clone(),
        space.clone(),
        keyword("AS"),
        space,
        tokens[at].clone(),
        Token::RParen,
    ];
    Some((out, literal + 1))
}

/// Whether FOR would be taken for a column's alias: no clause stands between it and the select list.
fn after_targets(out: &[Token]) -> bool {
    const CLAUSES: [&str; 7] = ["from", "where", "group", "order", "limit", "offset", "having"];
    let mut depth = 0;
    for token in out.iter().rev() {
        match token {
            Token::RParen => depth += 1,
            Token::LParen if depth == 0 => return false,
            Token::LParen => depth -= 1,
            Token::SemiColon => return false,
            t if depth == 0 && CLAUSES.iter().any(|c| word(t, c)) => return false,
            t if depth == 0 && word(t, "select") => return true,
            _ => {}
        }
    }
    false
}

fn locks(tokens: &[Token], at: usize, out: &[Token]) -> Replaced {
    let (mut tokens, end) = lock_words(tokens, at)?;
    if after_targets(out) {
        tokens.splice(
            0..0,
            [
                keyword("OFFSET"),
                space(),
                Token::Number("0".into(), false),
                space(),
            ],
        );
    }
    Some((tokens, end))
}

fn space() -> Token {
    Token::Whitespace(sqlparser::tokenizer::Whitespace::Space)
}

fn lock_words(tokens: &[Token], at: usize) -> Replaced {
    let (strength, after) = strength_at(tokens, at + 1)?;
    let (tables, end) = tables_after(tokens, after);
    if tables.is_empty() && matches!(strength, "UPDATE" | "SHARE") {
        return Some((tokens[at..after].to_vec(), after));
    }
    let mut out = vec![keyword("FOR"), keyword("UPDATE"), keyword("OF"), marker(strength)];
    for table in tables {
        out.extend([Token::Period, quoted(table)]);
    }
    Some((out, end))
}

/// CONFLICT (targets) WHERE predicate DO.
fn conflict(tokens: &[Token], at: usize) -> Replaced {
    let open = solid(tokens, at + 1);
    if !matches!(tokens.get(open), Some(Token::LParen)) {
        return None;
    }
    let close = closing(tokens, open)?;
    let mut items: Vec<Token> = Vec::new();
    let mut depth = 0;
    let mut from = open + 1;
    for at in open + 1..=close {
        match &tokens[at] {
            Token::LParen => depth += 1,
            Token::RParen if at != close => depth -= 1,
            Token::Comma | Token::RParen if depth == 0 => {
                let item: Vec<Token> = tokens[from..at]
                    .iter()
                    .filter(|t| !matches!(t, Token::Whitespace(_)))
                    .cloned()
                    .collect();
                items.push(match item.as_slice() {
                    [word @ Token::Word(_)] => word.clone(),
                    _ => marker(text(&tokens[from..at])),
                });
                from = at + 1;
            }
            _ => {}
        }
    }
    let mut end = close + 1;
    let predicate = solid(tokens, end);
    if tokens.get(predicate).is_some_and(|t| word(t, "where")) {
        let mut stop = predicate;
        while stop < tokens.len() && !word(&tokens[stop], "do") {
            stop += 1;
        }
        items.push(marker(format!("{WHERE}{}", text(&tokens[predicate + 1..stop]))));
        end = stop;
    }
    let mut out = vec![tokens[at].clone(), Token::LParen];
    for (n, item) in items.into_iter().enumerate() {
        if n > 0 {
            out.push(Token::Comma);
        }
        out.push(item);
    }
    out.extend([
        Token::RParen,
        Token::Whitespace(sqlparser::tokenizer::Whitespace::Space),
    ]);
    Some((out, end))
}

/// ONLY before a table changes nothing, as no table has children.
fn only(tokens: &[Token], at: usize, out: &[Token]) -> Replaced {
    let (_, before) = last(out)?;
    let after = tokens.get(solid(tokens, at + 1))?;
    let before = ["update", "from", "join"].iter().any(|w| word(before, w));
    (before && matches!(after, Token::Word(_))).then(|| (Vec::new(), at + 1))
}

fn overriding_clause(tokens: &[Token], at: usize, out: &mut Vec<Token>) -> Replaced {
    let which = solid(tokens, at + 1);
    let value = solid(tokens, which + 1);
    let said = match tokens.get(which)? {
        t if word(t, "system") => SYSTEM,
        t if word(t, "user") => USER,
        _ => return None,
    };
    if !word(tokens.get(value)?, "value") {
        return None;
    }
    match last(out) {
        Some((end, Token::RParen)) => {
            out.truncate(end);
            out.extend([Token::Comma, marker(said), Token::RParen]);
        }
        _ => out.extend([Token::LParen, marker(said), Token::RParen]),
    }
    Some((Vec::new(), value + 1))
}

/// IDENTITY (options).
fn identity(tokens: &[Token], at: usize) -> Replaced {
    let open = solid(tokens, at + 1);
    if !matches!(tokens.get(open), Some(Token::LParen)) {
        return None;
    }
    let close = closing(tokens, open)?;
    let space = || Token::Whitespace(sqlparser::tokenizer::Whitespace::Space);
    let out = vec![
        tokens[at].clone(),
        space(),
        keyword("DEFAULT"),
        space(),
        marker(text(&tokens[open + 1..close])),
    ];
    Some((out, close + 1))
}

/// Whether an INSERT without its rows has been written: what comes now is a query.
fn inserts(out: &[Token]) -> bool {
    let start = out
        .iter()
        .rposition(|t| matches!(t, Token::SemiColon))
        .map_or(0, |at| at + 1);
    out.get(solid(out, start)).is_some_and(|t| word(t, "insert"))
}

/// TABLE name where a query stands.
fn table(tokens: &[Token], at: usize, out: &[Token]) -> Replaced {
    let starts = match last(out) {
        None => true,
        Some((_, t)) => matches!(t, Token::SemiColon | Token::LParen) || inserts(out),
    };
    let names = matches!(tokens.get(solid(tokens, at + 1)), Some(Token::Word(_)));
    (starts && names).then(|| {
        let out = ["SELECT", "*", "FROM"];
        let space = Token::Whitespace(sqlparser::tokenizer::Whitespace::Space);
        let words = out.iter().flat_map(|w| {
            let token = if *w == "*" { Token::Mul } else { keyword(w) };
            [token, space.clone()]
        });
        (words.collect(), at + 1)
    })
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
