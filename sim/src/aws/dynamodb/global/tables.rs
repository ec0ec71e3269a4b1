//! Which tables are global, in which mode, and with which Regions.

use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// A global table's consistency mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Mode {
    /// `EVENTUAL`.
    Mrec,
    /// `STRONG`.
    Mrsc,
}

impl Mode {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Mrec => "EVENTUAL",
            Self::Mrsc => "STRONG",
        }
    }
}

/// One global table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct GlobalTable {
    pub(crate) table: String,
    pub(crate) mode: Mode,
    /// All Regions with a replica.
    pub(crate) regions: BTreeSet<String>,
    /// The Region that votes on changes of a strongly consistent table and holds no replica, if there is one.
    #[serde(default)]
    pub(crate) witness: Option<String>,
}

impl GlobalTable {
    /// All Regions that vote.
    pub(crate) fn members(&self) -> BTreeSet<String> {
        self.regions.iter().chain(&self.witness).cloned().collect()
    }
}

/// The global tables of one Region. A table that is not listed has no replicas.
#[derive(Debug, Default)]
pub(crate) struct Globals(BTreeMap<String, GlobalTable>);

impl Globals {
    pub(crate) fn get(&self, table: &str) -> Option<&GlobalTable> {
        self.0.get(table)
    }

    pub(crate) fn set(&mut self, global: GlobalTable) {
        self.0.insert(global.table.clone(), global);
    }

    pub(crate) fn remove(&mut self, table: &str) {
        self.0.remove(table);
    }
}
