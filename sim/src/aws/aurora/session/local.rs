//! What belongs to one session alone: settings, role, sequence values seen, advisory locks.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

use super::settings::Settings;
use crate::aws::aurora::catalog::Oid;
use crate::aws::aurora::error::Error;
use crate::aws::aurora::lock::{Mode, Pid, Tag};
use crate::aws::aurora::txn::Xid;

/// One session's own state, readable by functions while a statement runs.
#[derive(Debug)]
pub(crate) struct Local {
    /// Process id.
    pub pid: Pid,
    /// Who logged in.
    pub user: String,
    /// Database name the client asked for.
    pub database: String,
    /// Settings.
    pub settings: RefCell<Settings>,
    /// `currval` by sequence.
    pub current_values: RefCell<BTreeMap<Oid, i64>>,
    /// Sequence of the latest `nextval`.
    pub last_sequence: Cell<Option<Oid>>,
    /// Start of the transaction, microseconds since 2000.
    pub transaction_start: i64,
    /// Start of the statement.
    pub statement_start: i64,
    /// Advisory locks of the transaction.
    pub transaction_locks: RefCell<Vec<(Tag, Mode)>>,
    /// Advisory locks of the session.
    pub session_locks: RefCell<Vec<(Tag, Mode)>>,
    /// The transaction's id, once it has one.
    pub xid: Cell<Option<Xid>>,
    /// The isolation level of the transaction, in the words that asked for it.
    pub isolation: Cell<&'static str>,
    /// Notices to send.
    pub notices: RefCell<Vec<Error>>,
}

impl Local {
    /// The role whose rights count.
    pub(crate) fn role(&self) -> String {
        match self.settings.borrow().get("role") {
            Some(role) if role != "none" => role,
            _ => self.session_user(),
        }
    }

    /// The role that SET SESSION AUTHORIZATION or the login gave.
    pub(crate) fn session_user(&self) -> String {
        self.settings
            .borrow()
            .get("session_authorization")
            .unwrap_or_else(|| self.user.clone())
    }

    /// Schemas searched for a bare name.
    pub(crate) fn search_path(&self) -> Vec<String> {
        let path = self.settings.borrow().get("search_path").unwrap_or_default();
        let role = self.role();
        let mut out = vec![format!("pg_temp_{}", self.pid), "pg_catalog".to_string()];
        for item in path.split(',') {
            let item = item.trim();
            let name = match item.strip_prefix('"').and_then(|i| i.strip_suffix('"')) {
                Some("$user") => role.clone(),
                Some(quoted) => quoted.replace("\"\"", "\""),
                None if item == "$user" => role.clone(),
                None => item.to_lowercase(),
            };
            if !name.is_empty() && !out.contains(&name) {
                out.push(name);
            }
        }
        out
    }

    /// Adds a message for the client.
    pub(crate) fn notice(&self, notice: Error) {
        self.notices.borrow_mut().push(notice);
    }
}
