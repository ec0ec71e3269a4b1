//! CREATE SCHEMA, DROP, the ALTERs that all relations share, TRUNCATE, LOCK TABLE, COMMENT.

use sqlparser::ast::ObjectName;
use sqlparser::parser::Parser;
use sqlparser::tokenizer::Token;

use super::{Command, name, names, need, objects, one_of, role, skip, string, words};
use crate::aws::aurora::error::Result;
use crate::aws::aurora::lock::Mode;

/// Kinds of object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub(crate) enum Kind {
    Table,
    Index,
    Sequence,
    View,
    Schema,
    Role,
    Policy,
}

impl Kind {
    const RELATIONS: [(&'static str, Kind); 4] = [
        ("table", Kind::Table),
        ("index", Kind::Index),
        ("sequence", Kind::Sequence),
        ("view", Kind::View),
    ];

    /// As messages say it.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Kind::Table => "table",
            Kind::Index => "index",
            Kind::Sequence => "sequence",
            Kind::View => "view",
            Kind::Schema => "schema",
            Kind::Role => "role",
            Kind::Policy => "policy",
        }
    }
}

/// DROP.
#[derive(Clone, Debug)]
pub(crate) struct Drop {
    /// What.
    pub kind: Kind,
    /// IF EXISTS.
    pub if_exists: bool,
    /// Which.
    pub names: Vec<ObjectName>,
    /// The table of a policy.
    pub table: Option<ObjectName>,
    /// CASCADE.
    pub cascade: bool,
}

/// What all relations can be told.
#[derive(Clone, Debug)]
pub(crate) enum Alter {
    /// RENAME TO.
    Rename {
        /// What.
        kind: Kind,
        /// IF EXISTS.
        if_exists: bool,
        /// Which.
        name: ObjectName,
        /// To what.
        to: String,
    },
    /// OWNER TO.
    Owner {
        /// What.
        kind: Kind,
        /// IF EXISTS.
        if_exists: bool,
        /// Which.
        name: ObjectName,
        /// Whose.
        to: String,
    },
    /// SET SCHEMA.
    Schema {
        /// What.
        kind: Kind,
        /// IF EXISTS.
        if_exists: bool,
        /// Which.
        name: ObjectName,
        /// Where.
        to: String,
    },
}

/// TRUNCATE.
#[derive(Clone, Debug)]
pub(crate) struct Truncate {
    /// Which tables.
    pub tables: Vec<ObjectName>,
    /// RESTART IDENTITY.
    pub restart: bool,
    /// CASCADE.
    pub cascade: bool,
}

/// LOCK TABLE.
#[derive(Clone, Debug)]
pub(crate) struct LockTable {
    /// Which tables.
    pub tables: Vec<ObjectName>,
    /// IN mode MODE.
    pub mode: Mode,
    /// NOWAIT.
    pub nowait: bool,
}

pub(super) fn parse(p: &mut Parser<'_>) -> Result<Option<Command>> {
    if words(p, &["create", "schema"]) {
        return create_schema(p).map(Some);
    }
    if words(p, &["truncate"]) {
        return truncate(p).map(Some);
    }
    if words(p, &["lock"]) {
        return lock(p).map(Some);
    }
    if words(p, &["comment", "on"]) {
        return comment(p).map(Some);
    }
    if words(p, &["drop", "owned", "by"]) {
        let owners = names(p)?;
        one_of(p, &["cascade", "restrict"]);
        return Ok(Some(Command::DropOwned(owners)));
    }
    for (word, kind) in Kind::RELATIONS.into_iter().chain([("schema", Kind::Schema)]) {
        if words(p, &["drop", word]) {
            return drop(p, kind).map(Some);
        }
        if let Some(found) = alter(p, word, kind)? {
            return Ok(Some(found));
        }
    }
    if words(p, &["drop", "policy"]) {
        let if_exists = words(p, &["if", "exists"]);
        let policy = p.parse_object_name(false)?;
        need(p, &["on"])?;
        let table = Some(p.parse_object_name(false)?);
        one_of(p, &["cascade", "restrict"]);
        return Ok(Some(Command::Drop(Drop {
            kind: Kind::Policy,
            if_exists,
            names: vec![policy],
            table,
            cascade: false,
        })));
    }
    for word in ["role", "user", "group"] {
        if words(p, &["drop", word]) {
            let if_exists = words(p, &["if", "exists"]);
            let names = objects(p)?;
            return Ok(Some(Command::Drop(Drop {
                kind: Kind::Role,
                if_exists,
                names,
                table: None,
                cascade: false,
            })));
        }
    }
    Ok(None)
}

fn create_schema(p: &mut Parser<'_>) -> Result<Command> {
    let if_not_exists = words(p, &["if", "not", "exists"]);
    let authorization = words(p, &["authorization"]);
    let schema = name(p)?;
    let owner = if authorization {
        Some(schema.clone())
    } else if words(p, &["authorization"]) {
        Some(role(p)?)
    } else {
        None
    };
    if words(p, &["create"]) || words(p, &["grant"]) {
        return skip(p, "CREATE SCHEMA with elements");
    }
    Ok(Command::CreateSchema {
        name: schema,
        if_not_exists,
        owner,
    })
}

fn drop(p: &mut Parser<'_>, kind: Kind) -> Result<Command> {
    if kind == Kind::Index {
        words(p, &["concurrently"]);
    }
    let if_exists = words(p, &["if", "exists"]);
    let names = objects(p)?;
    let cascade = one_of(p, &["cascade", "restrict"]) == Some("cascade");
    Ok(Command::Drop(Drop {
        kind,
        if_exists,
        names,
        table: None,
        cascade,
    }))
}

/// ALTER kind name RENAME TO, OWNER TO or SET SCHEMA; anything else is left where it stands.
fn alter(p: &mut Parser<'_>, word: &str, kind: Kind) -> Result<Option<Command>> {
    // Looking ahead over the name: IF EXISTS, ONLY, dots.
    let at = |p: &Parser<'_>, n: usize, wanted: &str| {
        p.peek_nth_token_ref(n)
            .token
            .to_string()
            .eq_ignore_ascii_case(wanted)
    };
    if !(at(p, 0, "alter") && at(p, 1, word)) {
        return Ok(None);
    }
    let mut n = 2;
    let if_exists = at(p, n, "if") && at(p, n + 1, "exists");
    n += if if_exists { 2 } else { 0 };
    n += 1;
    while matches!(p.peek_nth_token_ref(n).token, Token::Period) {
        n += 2;
    }
    let rename = at(p, n, "rename") && at(p, n + 1, "to");
    let owner = at(p, n, "owner") && at(p, n + 1, "to");
    let schema = at(p, n, "set") && at(p, n + 1, "schema");
    if !(rename || owner || schema) {
        return if kind == Kind::Table {
            Ok(None)
        } else {
            skip(p, format!("this form of ALTER {}", word.to_uppercase())).map(Some)
        };
    }
    words(p, &["alter", word]);
    words(p, &["if", "exists"]);
    let name = p.parse_object_name(false)?;
    p.next_token();
    p.next_token();
    let to = super::name(p)?;
    Ok(Some(Command::Alter(if rename {
        Alter::Rename {
            kind,
            if_exists,
            name,
            to,
        }
    } else if owner {
        Alter::Owner {
            kind,
            if_exists,
            name,
            to,
        }
    } else {
        Alter::Schema {
            kind,
            if_exists,
            name,
            to,
        }
    })))
}

fn tables(p: &mut Parser<'_>) -> Result<Vec<ObjectName>> {
    Ok(p.parse_comma_separated(|p| {
        words(p, &["only"]);
        let name = p.parse_object_name(false)?;
        _ = p.consume_token(&Token::Mul);
        Ok(name)
    })?)
}

fn truncate(p: &mut Parser<'_>) -> Result<Command> {
    words(p, &["table"]);
    let tables = tables(p)?;
    let restart = words(p, &["restart", "identity"]);
    words(p, &["continue", "identity"]);
    let cascade = one_of(p, &["cascade", "restrict"]) == Some("cascade");
    Ok(Command::Truncate(Truncate {
        tables,
        restart,
        cascade,
    }))
}

fn lock(p: &mut Parser<'_>) -> Result<Command> {
    const MODES: [(&[&str], Mode); 8] = [
        (&["access", "share"], Mode::AccessShare),
        (&["row", "share"], Mode::RowShare),
        (&["row", "exclusive"], Mode::RowExclusive),
        (&["share", "update", "exclusive"], Mode::ShareUpdateExclusive),
        (&["share", "row", "exclusive"], Mode::ShareRowExclusive),
        (&["share"], Mode::Share),
        (&["exclusive"], Mode::Exclusive),
        (&["access", "exclusive"], Mode::AccessExclusive),
    ];
    words(p, &["table"]);
    let tables = tables(p)?;
    let mut mode = Mode::AccessExclusive;
    if words(p, &["in"]) {
        let Some((_, chosen)) = MODES.iter().find(|(spelled, _)| words(p, spelled)) else {
            return Ok(p.expected_ref("a lock mode", p.peek_token_ref())?);
        };
        mode = *chosen;
        need(p, &["mode"])?;
    }
    let nowait = words(p, &["nowait"]);
    Ok(Command::Lock(LockTable { tables, mode, nowait }))
}

fn comment(p: &mut Parser<'_>) -> Result<Command> {
    let column = match one_of(p, &["table", "column"]) {
        Some("column") => true,
        Some(_) => false,
        None => return skip(p, "COMMENT ON anything but tables and columns"),
    };
    let mut table = p.parse_object_name(false)?;
    let mut of = None;
    if column && let Some(part) = table.0.pop() {
        of = part.as_ident().map(crate::aws::aurora::sql::bind::fold);
    }
    need(p, &["is"])?;
    let text = if words(p, &["null"]) {
        None
    } else {
        Some(string(p)?)
    };
    Ok(Command::Comment {
        table,
        column: of,
        text,
    })
}
