//! CREATE ROLE, ALTER ROLE, GRANT, REVOKE.

use sqlparser::ast::ObjectName;
use sqlparser::parser::Parser;
use sqlparser::tokenizer::Token;

use super::{Command, at_end, integer, name, names, need, objects, one_of, role, skip, string, words};
use crate::aws::aurora::catalog::Privilege;
use crate::aws::aurora::error::{Error, Result, code};

/// CREATE ROLE or ALTER ROLE.
#[derive(Clone, Debug, Default)]
pub(crate) struct RoleChange {
    /// CREATE.
    pub create: bool,
    /// Name.
    pub name: String,
    /// SUPERUSER.
    pub superuser: Option<bool>,
    /// CREATEDB.
    pub create_db: Option<bool>,
    /// CREATEROLE.
    pub create_role: Option<bool>,
    /// INHERIT.
    pub inherit: Option<bool>,
    /// LOGIN.
    pub login: Option<bool>,
    /// BYPASSRLS.
    pub bypass_rls: Option<bool>,
    /// PASSWORD; the inner None is PASSWORD NULL.
    pub password: Option<Option<String>>,
    /// IN ROLE.
    pub member_of: Vec<String>,
    /// ROLE: who becomes a member.
    pub members: Vec<String>,
    /// RENAME TO.
    pub rename: Option<String>,
}

/// Rights by name, each with the columns it is about.
#[derive(Clone, Debug)]
pub(crate) enum Rights {
    /// ALL, of columns if named.
    All(Vec<String>),
    /// A list.
    These(Vec<(Privilege, Vec<String>)>),
}

/// What rights are about.
#[derive(Clone, Debug)]
pub(crate) enum GrantObject {
    /// Tables, views, and sequences named as tables.
    Tables(Vec<ObjectName>),
    /// Sequences.
    Sequences(Vec<ObjectName>),
    /// Schemas.
    Schemas(Vec<String>),
    /// ALL TABLES IN SCHEMA.
    AllTables(Vec<String>),
    /// ALL SEQUENCES IN SCHEMA.
    AllSequences(Vec<String>),
}

/// GRANT or REVOKE on objects.
#[derive(Clone, Debug)]
pub(crate) struct Grant {
    /// GRANT.
    pub give: bool,
    /// Which rights.
    pub rights: Rights,
    /// On what.
    pub object: GrantObject,
    /// To whom; the empty name is PUBLIC.
    pub grantees: Vec<String>,
}

/// GRANT or REVOKE of roles.
#[derive(Clone, Debug)]
pub(crate) struct GrantRoles {
    /// GRANT.
    pub give: bool,
    /// Which roles.
    pub roles: Vec<String>,
    /// To whom.
    pub members: Vec<String>,
}

pub(super) fn parse(p: &mut Parser<'_>) -> Result<Option<Command>> {
    for word in ["role", "user", "group"] {
        if words(p, &["create", word]) {
            let name = role(p)?;
            return role_options(p, true, name, word == "user").map(Some);
        }
        if words(p, &["alter", word]) {
            if words(p, &["all"]) {
                return skip(p, "ALTER ROLE ALL").map(Some);
            }
            let name = role(p)?;
            if words(p, &["in", "database"]) || words(p, &["set"]) || words(p, &["reset"]) {
                return skip(p, "ALTER ROLE SET").map(Some);
            }
            return role_options(p, false, name, false).map(Some);
        }
    }
    if words(p, &["grant"]) {
        return grant(p, true).map(Some);
    }
    if words(p, &["revoke"]) {
        return grant(p, false).map(Some);
    }
    Ok(None)
}

fn role_options(p: &mut Parser<'_>, create: bool, name: String, login: bool) -> Result<Command> {
    let mut change = RoleChange {
        create,
        name,
        login: login.then_some(true),
        ..RoleChange::default()
    };
    if !create && words(p, &["rename", "to"]) {
        change.rename = Some(role(p)?);
        return Ok(Command::Role(change));
    }
    words(p, &["with"]);
    while !at_end(p) {
        let flags: [(&str, &str, &mut Option<bool>); 6] = [
            ("superuser", "nosuperuser", &mut change.superuser),
            ("createdb", "nocreatedb", &mut change.create_db),
            ("createrole", "nocreaterole", &mut change.create_role),
            ("inherit", "noinherit", &mut change.inherit),
            ("login", "nologin", &mut change.login),
            ("bypassrls", "nobypassrls", &mut change.bypass_rls),
        ];
        let mut hit = false;
        for (yes, no, flag) in flags {
            if words(p, &[yes]) {
                *flag = Some(true);
                hit = true;
            } else if words(p, &[no]) {
                *flag = Some(false);
                hit = true;
            }
        }
        if hit {
            continue;
        }
        if words(p, &["encrypted", "password"]) || words(p, &["password"]) {
            change.password = Some(if words(p, &["null"]) {
                None
            } else {
                Some(string(p)?)
            });
        } else if words(p, &["in", "role"]) || words(p, &["in", "group"]) {
            change.member_of = names(p)?;
        } else if words(p, &["role"]) || words(p, &["user"]) {
            change.members = names(p)?;
        } else if words(p, &["noreplication"]) {
        } else if words(p, &["connection", "limit"]) {
            if integer(p)? != -1 {
                return skip(p, "CONNECTION LIMIT");
            }
        } else if let Some(lacking) = one_of(p, &["replication", "valid", "admin", "sysid"]) {
            return skip(p, format!("role option {}", lacking.to_uppercase()));
        } else {
            return Ok(p.expected_ref("a role option", p.peek_token_ref())?);
        }
    }
    Ok(Command::Role(change))
}

fn columns(p: &mut Parser<'_>) -> Result<Vec<String>> {
    if !p.consume_token(&Token::LParen) {
        return Ok(Vec::new());
    }
    let list = names(p)?;
    p.expect_token(&Token::RParen)?;
    Ok(list)
}

/// One entry before ON or TO: a right, or a role.
enum Entry {
    Right(Privilege, Vec<String>),
    Role(String),
}

fn entry(p: &mut Parser<'_>) -> Result<Entry> {
    const RIGHTS: [(&str, Privilege); 12] = [
        ("select", Privilege::SELECT),
        ("insert", Privilege::INSERT),
        ("update", Privilege::UPDATE),
        ("delete", Privilege::DELETE),
        ("truncate", Privilege::TRUNCATE),
        ("references", Privilege::REFERENCES),
        ("trigger", Privilege::TRIGGER),
        ("usage", Privilege::USAGE),
        ("create", Privilege::CREATE),
        ("connect", Privilege::CONNECT),
        ("temporary", Privilege::TEMPORARY),
        ("temp", Privilege::TEMPORARY),
    ];
    for (word, right) in RIGHTS {
        if words(p, &[word]) {
            return Ok(Entry::Right(right, columns(p)?));
        }
    }
    Ok(Entry::Role(name(p)?))
}

fn grant(p: &mut Parser<'_>, give: bool) -> Result<Command> {
    if words(p, &["grant", "option", "for"]) || words(p, &["admin", "option", "for"]) {
        return skip(p, "REVOKE GRANT OPTION FOR");
    }
    let (mut list, mut roles) = (Vec::new(), Vec::new());
    let all = words(p, &["all"]);
    let mut all_columns = Vec::new();
    if all {
        words(p, &["privileges"]);
        all_columns = columns(p)?;
    } else {
        loop {
            match entry(p)? {
                Entry::Right(right, columns) => list.push((right, columns)),
                Entry::Role(name) => roles.push(name),
            }
            if !p.consume_token(&Token::Comma) {
                break;
            }
        }
    }
    if !all && list.is_empty() && !words(p, &["on"]) {
        need(p, &[if give { "to" } else { "from" }])?;
        let members = names(p)?;
        if words(p, &["with", "admin", "option"]) || words(p, &["granted", "by"]) {
            return skip(p, "GRANT role WITH ADMIN OPTION");
        }
        one_of(p, &["cascade", "restrict"]);
        return Ok(Command::GrantRoles(GrantRoles { give, roles, members }));
    }
    if let Some(unknown) = roles.first() {
        return Err(Error::new(
            code::SYNTAX_ERROR,
            format!("unrecognized privilege type \"{unknown}\""),
        ));
    }
    if all || !list.is_empty() {
        need(p, &["on"])?;
    }
    let object = match object(p)? {
        Ok(object) => object,
        Err(lacking) => return skip(p, lacking),
    };
    need(p, &[if give { "to" } else { "from" }])?;
    let mut grantees = Vec::new();
    loop {
        words(p, &["group"]);
        let quoted = matches!(&p.peek_token_ref().token, Token::Word(w) if w.quote_style.is_some());
        let who = name(p)?;
        grantees.push(if who == "public" && !quoted {
            String::new()
        } else {
            who
        });
        if !p.consume_token(&Token::Comma) {
            break;
        }
    }
    if words(p, &["with", "grant", "option"]) {
        return skip(p, "GRANT WITH GRANT OPTION");
    }
    if words(p, &["granted", "by"]) {
        return skip(p, "GRANTED BY");
    }
    one_of(p, &["cascade", "restrict"]);
    let rights = if all {
        Rights::All(all_columns)
    } else {
        Rights::These(list)
    };
    Ok(Command::Grant(Grant {
        give,
        rights,
        object,
        grantees,
    }))
}

/// What follows ON; the inner error names what is lacking.
fn object(p: &mut Parser<'_>) -> Result<std::result::Result<GrantObject, String>> {
    Ok(Ok(if words(p, &["all", "tables", "in", "schema"]) {
        GrantObject::AllTables(names(p)?)
    } else if words(p, &["all", "sequences", "in", "schema"]) {
        GrantObject::AllSequences(names(p)?)
    } else if words(p, &["sequence"]) {
        GrantObject::Sequences(objects(p)?)
    } else if words(p, &["schema"]) {
        GrantObject::Schemas(names(p)?)
    } else if let Some(lacking) = one_of(
        p,
        &[
            "all",
            "database",
            "domain",
            "foreign",
            "function",
            "language",
            "large",
            "parameter",
            "procedure",
            "routine",
            "tablespace",
            "type",
        ],
    ) {
        return Ok(Err(format!("GRANT or REVOKE on {}", lacking.to_uppercase())));
    } else {
        words(p, &["table"]);
        GrantObject::Tables(objects(p)?)
    }))
}
