//! What AWS refuses of a change to a table's replicas.

use super::super::wire::Error;
use super::error;
use super::global::tables::{GlobalTable, Mode};
use super::region::{Region, lock};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// A change that nothing speaks against.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) mode: Mode,
    pub(super) create: BTreeSet<String>,
    pub(super) delete: BTreeSet<String>,
    /// Where the table has its witness afterwards.
    pub(super) witness: Option<String>,
}

impl Region {
    /// Checks a change of the replica set against everything AWS refuses.
    pub(super) fn plan(&self, table: &str, body: &Value, description: &Value) -> Result<Plan, Error> {
        let refuse = |message: String| Err(error::validation(message));
        let updates = body["ReplicaUpdates"]
            .as_array()
            .map(Vec::as_slice)
            .unwrap_or_default();
        let named = |action: &str| -> BTreeSet<String> {
            updates
                .iter()
                .filter_map(|update| update[action]["RegionName"].as_str())
                .map(str::to_owned)
                .collect()
        };
        let (create, delete) = (named("Create"), named("Delete"));
        if create.len() + delete.len() != updates.len() || updates.is_empty() {
            return refuse(
                "Each ReplicaUpdate must create or delete one replica, each in a Region of its own"
                    .to_owned(),
            );
        }
        let existing = lock(&self.globals).get(table).cloned();
        let members = existing
            .as_ref()
            .map(|global| global.regions.clone())
            .unwrap_or_default();
        let (witness, unwitness) = match body["GlobalTableWitnessUpdates"].as_array().map(Vec::as_slice) {
            None | Some([]) => (None, None),
            Some([update]) => {
                let of = |action: &str| update[action]["RegionName"].as_str().map(str::to_owned);
                (of("Create"), of("Delete"))
            }
            Some(_) => return refuse("A global table has at most one witness".to_owned()),
        };
        let standing = existing.as_ref().and_then(|global| global.witness.clone());
        if unwitness.is_some() && unwitness != standing {
            return refuse("The table has no witness in that Region".to_owned());
        }
        if let Some(region) = witness.iter().find(|region| create.contains(*region)) {
            return refuse(format!("'{region}' cannot be both a replica and the witness"));
        }
        for region in create.iter().chain(&delete).chain(&witness) {
            if *region == self.config.region {
                return refuse(
                    "Cannot add, delete, or update the local region through ReplicaUpdates. Use CreateTable, \
                     DeleteTable, or UpdateTable as required."
                        .to_owned(),
                );
            }
            if !self.outbound.contains_key(region) {
                return refuse(format!("Unsupported Region '{region}'"));
            }
        }
        if let Some(region) = create.iter().find(|region| members.contains(*region)) {
            return refuse(format!("Replica already exists in Region '{region}'"));
        }
        if let Some(region) = delete.iter().find(|region| !members.contains(*region)) {
            return refuse(format!("Replica not found in Region '{region}'"));
        }
        let mode = match (body["MultiRegionConsistency"].as_str(), &existing) {
            (Some("STRONG"), None) => Mode::Mrsc,
            (Some("EVENTUAL") | None, None) => Mode::Mrec,
            (None, Some(global)) => global.mode,
            (Some(name), Some(global)) if name == global.mode.name() => global.mode,
            (Some("STRONG" | "EVENTUAL"), Some(_)) => {
                return refuse("The consistency mode of a global table cannot be changed".to_owned());
            }
            (Some(other), _) => {
                return refuse(format!(
                    "1 validation error detected: Value '{other}' at 'multiRegionConsistency' failed to satisfy \
                     constraint: Member must satisfy enum value set: [EVENTUAL, STRONG]"
                ));
            }
        };
        let plan = Plan {
            mode,
            create,
            delete,
            witness: witness.or_else(|| standing.filter(|_| unwitness.is_none())),
        };
        match mode {
            Mode::Mrsc => self.plan_strong(table, &plan, existing.as_ref(), description)?,
            Mode::Mrec if plan.witness.is_some() => {
                return refuse("Only multi-Region strong consistency has witnesses".to_owned());
            }
            Mode::Mrec => {}
        }
        Ok(plan)
    }

    fn plan_strong(
        &self,
        table: &str,
        plan: &Plan,
        existing: Option<&GlobalTable>,
        description: &Value,
    ) -> Result<(), Error> {
        let refuse = |message: &str| Err(error::validation(message));
        const MEMBERS: &str = "A global table with multi-Region strong consistency must have three replicas, or two and \
                               a witness";
        let added = plan.create.len() + plan.witness.iter().len();
        if let Some(existing) = existing {
            let alone = plan.delete.len() + 1 == existing.regions.len() && added == 0;
            return if alone { Ok(()) } else { refuse(MEMBERS) };
        }
        if added != 2 || plan.create.is_empty() || !plan.delete.is_empty() {
            return refuse(MEMBERS);
        }
        let in_set = |set: &Vec<String>| {
            let mut others = plan.create.iter().chain(&plan.witness);
            set.contains(&self.config.region) && others.all(|region| set.contains(region))
        };
        if !self.config.mrsc.region_sets.iter().any(in_set) {
            return refuse(
                "The Regions of a global table with multi-Region strong consistency must be of one Region set",
            );
        }
        if description["LocalSecondaryIndexes"].is_array() {
            return refuse("Local secondary indexes are not supported with multi-Region strong consistency");
        }
        if self.engine.expires(table) {
            return refuse("Time to Live is not supported with multi-Region strong consistency");
        }
        self.check_empty(table)
    }

    /// A table can become strongly consistent only while it is empty.
    pub(super) fn check_empty(&self, table: &str) -> Result<(), Error> {
        let page = self
            .engine
            .perform("Scan", json!({"TableName": table, "Limit": 1}))?;
        if page["Count"] != 0 {
            return Err(error::validation(
                "The table must be empty to become a global table with multi-Region strong consistency",
            ));
        }
        Ok(())
    }
}
