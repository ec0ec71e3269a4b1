//! Access control lists.

use std::collections::{BTreeMap, BTreeSet};

/// Rights as a set of bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Privilege(pub u16);

#[allow(missing_docs)]
impl Privilege {
    pub(crate) const SELECT: Privilege = Privilege(1);
    pub(crate) const INSERT: Privilege = Privilege(2);
    pub(crate) const UPDATE: Privilege = Privilege(4);
    pub(crate) const DELETE: Privilege = Privilege(8);
    pub(crate) const TRUNCATE: Privilege = Privilege(16);
    pub(crate) const REFERENCES: Privilege = Privilege(32);
    pub(crate) const TRIGGER: Privilege = Privilege(64);
    pub(crate) const USAGE: Privilege = Privilege(128);
    pub(crate) const CREATE: Privilege = Privilege(256);
    pub(crate) const CONNECT: Privilege = Privilege(512);
    pub(crate) const TEMPORARY: Privilege = Privilege(1024);
    /// All rights on a table.
    pub(crate) const TABLE: Privilege = Privilege(127);
    /// All rights on a sequence.
    pub(crate) const SEQUENCE: Privilege = Privilege(1 | 4 | 128);
    /// All rights on a schema.
    pub(crate) const SCHEMA: Privilege = Privilege(128 | 256);

    /// Whether every right of `other` is in this set.
    pub(crate) fn contains(self, other: Privilege) -> bool {
        self.0 & other.0 == other.0
    }
}

impl std::ops::BitOr for Privilege {
    type Output = Privilege;

    fn bitor(self, other: Privilege) -> Privilege {
        Privilege(self.0 | other.0)
    }
}

/// Rights of one grantee on one object.
#[derive(Clone, Debug, Default)]
struct Grant {
    rights: Privilege,
    columns: BTreeMap<String, Privilege>,
}

/// Grants by role name; the empty name is PUBLIC.
#[derive(Clone, Debug, Default)]
pub(crate) struct Acl {
    grants: BTreeMap<String, Grant>,
}

impl Acl {
    /// Adds rights.
    pub(crate) fn grant(&mut self, role: &str, rights: Privilege) {
        let grant = self.grants.entry(role.to_string()).or_default();
        grant.rights = grant.rights | rights;
    }

    /// Adds rights on a column.
    pub(crate) fn grant_column(&mut self, role: &str, column: &str, rights: Privilege) {
        let held = self
            .grants
            .entry(role.to_string())
            .or_default()
            .columns
            .entry(column.to_string())
            .or_default();
        *held = *held | rights;
    }

    /// Takes rights away, from the columns too.
    pub(crate) fn revoke(&mut self, role: &str, rights: Privilege) {
        if let Some(grant) = self.grants.get_mut(role) {
            grant.rights = Privilege(grant.rights.0 & !rights.0);
            grant.columns.values_mut().for_each(|held| held.0 &= !rights.0);
        }
    }

    /// Takes rights on a column away.
    pub(crate) fn revoke_column(&mut self, role: &str, column: &str, rights: Privilege) {
        if let Some(held) = self.grants.get_mut(role).and_then(|g| g.columns.get_mut(column)) {
            held.0 &= !rights.0;
        }
    }

    /// Forgets a role.
    pub(crate) fn forget(&mut self, role: &str) {
        self.grants.remove(role);
    }

    /// Whether a role has any entry.
    pub(crate) fn mentions(&self, role: &str) -> bool {
        self.grants
            .get(role)
            .is_some_and(|g| g.rights.0 != 0 || g.columns.values().any(|c| c.0 != 0))
    }

    /// Whether one of these roles, or PUBLIC, has all of `rights`.
    pub(crate) fn allows(&self, roles: &BTreeSet<String>, rights: Privilege) -> bool {
        let mut have = Privilege::default();
        for (name, grant) in &self.grants {
            if name.is_empty() || roles.contains(name) {
                have = have | grant.rights;
            }
        }
        have.contains(rights)
    }

    /// Whether one of these roles, or PUBLIC, has `rights` on a column.
    pub(crate) fn allows_column(&self, roles: &BTreeSet<String>, column: &str, rights: Privilege) -> bool {
        self.grants
            .iter()
            .filter(|(name, _)| name.is_empty() || roles.contains(*name))
            .any(|(_, grant)| {
                grant.rights.contains(rights) || grant.columns.get(column).is_some_and(|c| c.contains(rights))
            })
    }

    /// Whether one of these roles, or PUBLIC, has any right at all.
    pub(crate) fn allows_any(&self, roles: &BTreeSet<String>) -> bool {
        self.grants
            .iter()
            .filter(|(name, _)| name.is_empty() || roles.contains(*name))
            .any(|(_, grant)| grant.rights.0 != 0 || grant.columns.values().any(|c| c.0 != 0))
    }

    /// Whether one of these roles has `rights` on at least one column.
    pub(crate) fn allows_any_column(&self, roles: &BTreeSet<String>, rights: Privilege) -> bool {
        self.grants
            .iter()
            .filter(|(name, _)| name.is_empty() || roles.contains(*name))
            .any(|(_, grant)| {
                grant.rights.contains(rights) || grant.columns.values().any(|c| c.contains(rights))
            })
    }
}
