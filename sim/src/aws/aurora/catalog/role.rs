//! Roles.

use std::collections::BTreeSet;

use super::Oid;

/// A role. Passwords are kept as given: no client of a simulation needs them hidden.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub(crate) struct Role {
    pub oid: Oid,
    pub name: String,
    pub superuser: bool,
    pub bypass_rls: bool,
    pub login: bool,
    pub inherit: bool,
    pub create_role: bool,
    pub create_db: bool,
    pub password: Option<String>,
    /// Roles it is a direct member of.
    pub member_of: BTreeSet<String>,
}

impl Role {
    /// A role that passes every check.
    pub(crate) fn superuser(oid: Oid, name: &str) -> Role {
        Role {
            superuser: true,
            bypass_rls: true,
            login: true,
            create_role: true,
            create_db: true,
            ..Role::new(oid, name)
        }
    }

    /// A role that can do nothing yet.
    pub(crate) fn new(oid: Oid, name: &str) -> Role {
        Role {
            oid,
            name: name.to_string(),
            superuser: false,
            bypass_rls: false,
            login: false,
            inherit: true,
            create_role: false,
            create_db: false,
            password: None,
            member_of: BTreeSet::new(),
        }
    }
}
