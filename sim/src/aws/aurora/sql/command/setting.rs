//! SET, RESET, SHOW, DISCARD, SET CONSTRAINTS.

use sqlparser::parser::Parser;
use sqlparser::tokenizer::Token;

use super::{Command, at_end, need, objects, one_of, skip, string, transaction, words};
use crate::aws::aurora::error::Result;

/// What a setting is set to.
#[derive(Clone, Debug)]
pub(crate) enum SettingValue {
    /// DEFAULT.
    Default,
    /// A value, or a list of them joined.
    Text(String),
}

/// SET, RESET, SHOW.
#[derive(Clone, Debug)]
pub(crate) enum Setting {
    /// SET.
    Set {
        /// Name.
        name: String,
        /// Value.
        value: SettingValue,
        /// LOCAL.
        local: bool,
    },
    /// SET SESSION CHARACTERISTICS AS TRANSACTION.
    Characteristics(Vec<super::TransactionMode>),
    /// RESET.
    Reset(String),
    /// RESET ALL.
    ResetAll,
    /// SHOW.
    Show(String),
    /// SHOW ALL.
    ShowAll,
}

/// DISCARD.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub(crate) enum Discard {
    All,
    Plans,
    Sequences,
    Temp,
}

/// A setting's name, dots included.
fn setting_name(p: &mut Parser<'_>) -> Result<String> {
    for (spelled, name) in [
        (&["time", "zone"][..], "timezone"),
        (&["session", "authorization"], "session_authorization"),
        (&["transaction", "isolation", "level"], "transaction_isolation"),
    ] {
        if words(p, spelled) {
            return Ok(name.into());
        }
    }
    let name = p.parse_object_name(false)?;
    let parts: Vec<String> = name
        .0
        .iter()
        .filter_map(|part| part.as_ident().map(|i| i.value.to_lowercase()))
        .collect();
    Ok(parts.join("."))
}

fn item(p: &mut Parser<'_>) -> Result<String> {
    let minus = p.consume_token(&Token::Minus);
    let token = p.next_token();
    Ok(match &token.token {
        Token::Number(n, _) => format!("{}{n}", if minus { "-" } else { "" }),
        _ if minus => return Ok(p.expected("a number", token)?),
        Token::SingleQuotedString(s) | Token::EscapedStringLiteral(s) => s.clone(),
        Token::Word(w) if w.quote_style.is_some() => w.value.clone(),
        Token::Word(w) => w.value.to_lowercase(),
        _ => return Ok(p.expected("a value", token)?),
    })
}

fn value(p: &mut Parser<'_>, quote: bool) -> Result<SettingValue> {
    if words(p, &["default"]) {
        return Ok(SettingValue::Default);
    }
    let mut items = Vec::new();
    loop {
        let one = item(p)?;
        // A list of names is kept as identifiers, so that a comma inside one stays inside.
        items.push(if quote {
            crate::aws::aurora::types::quote_ident(&one)
        } else {
            one
        });
        if !p.consume_token(&Token::Comma) {
            return Ok(SettingValue::Text(items.join(", ")));
        }
    }
}

pub(super) fn parse(p: &mut Parser<'_>) -> Result<Option<Command>> {
    let setting = if words(p, &["set", "constraints"]) {
        let names = if words(p, &["all"]) {
            Vec::new()
        } else {
            objects(p)?
        };
        let deferred = words(p, &["deferred"]);
        if !deferred {
            need(p, &["immediate"])?;
        }
        return Ok(Some(Command::SetConstraints { names, deferred }));
    } else if words(p, &["discard"]) {
        return Ok(Some(Command::Discard(
            match one_of(p, &["all", "plans", "sequences", "temporary", "temp"]) {
                Some("all") => Discard::All,
                Some("plans") => Discard::Plans,
                Some("sequences") => Discard::Sequences,
                Some(_) => Discard::Temp,
                None => return Ok(p.expected_ref("ALL", p.peek_token_ref())?),
            },
        )));
    } else if words(p, &["reset"]) {
        if words(p, &["all"]) {
            Setting::ResetAll
        } else {
            Setting::Reset(setting_name(p)?)
        }
    } else if words(p, &["show"]) {
        if words(p, &["all"]) {
            Setting::ShowAll
        } else {
            Setting::Show(setting_name(p)?)
        }
    } else if words(p, &["set"]) {
        if words(p, &["session", "characteristics", "as", "transaction"]) {
            Setting::Characteristics(transaction::modes(p)?)
        } else {
            return set(p).map(Some);
        }
    } else {
        return Ok(None);
    };
    Ok(Some(Command::Setting(setting)))
}

fn set(p: &mut Parser<'_>) -> Result<Command> {
    let local = words(p, &["local"]);
    // SESSION AUTHORIZATION is a setting of its own; a bare SESSION is noise.
    let authorization = words(p, &["session", "authorization"]);
    if !authorization && !local {
        words(p, &["session"]);
    }
    let made = |name: &str, value| {
        Command::Setting(Setting::Set {
            name: name.into(),
            value,
            local,
        })
    };
    if authorization || words(p, &["session", "authorization"]) {
        return Ok(made("session_authorization", value(p, false)?));
    }
    if words(p, &["role"]) && !matches!(p.peek_token_ref().token, Token::Eq) {
        words(p, &["to"]);
        return Ok(made("role", value(p, false)?));
    }
    if words(p, &["time", "zone"]) {
        if words(p, &["local"]) {
            return Ok(made("timezone", SettingValue::Default));
        }
        if words(p, &["interval"]) {
            return skip(p, "SET TIME ZONE INTERVAL");
        }
        return Ok(made("timezone", value(p, false)?));
    }
    if words(p, &["names"]) {
        return Ok(made(
            "client_encoding",
            if at_end(p) {
                SettingValue::Default
            } else {
                value(p, false)?
            },
        ));
    }
    if words(p, &["schema"]) {
        let schema = string(p)?;
        return Ok(made(
            "search_path",
            SettingValue::Text(crate::aws::aurora::types::quote_ident(&schema)),
        ));
    }
    if words(p, &["xml"]) {
        return skip(p, "SET XML OPTION");
    }
    let name = setting_name(p)?;
    if !p.consume_token(&Token::Eq) {
        need(p, &["to"])?;
    }
    if words(p, &["from", "current"]) {
        return skip(p, "SET FROM CURRENT");
    }
    let value = value(p, name == "search_path")?;
    Ok(made(&name, value))
}
