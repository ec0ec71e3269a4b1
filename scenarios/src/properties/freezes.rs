//! A frozen account takes part in nothing new.
//!
//! Reads what clients were told. Fails when a charge or a settlement that was asked for after the freeze of one of its accounts
//! had been confirmed, and answered before anybody asked to thaw it, was accepted. Operations that were under way go on; that
//! is no failure. Judges nothing while requests are unanswered, since one of them may be a thaw.

use crate::{
    history::{History, Told},
    script::Limits,
};

use super::{Finding, Property};

pub(super) const PROPERTY: Property = Property {
    name: "freezes",
    meaning: "what is asked for after an account's freeze was confirmed does not move its money",
    check,
};

/// When it was asked for first, in nanoseconds.
fn began(told: &Told) -> u64 {
    told.at_nanos
        .saturating_sub(u64::try_from(told.took.as_nanos()).unwrap_or(u64::MAX))
}

fn account<'a>(told: &'a Told, what: &str) -> Option<&'a str> {
    told.path.strip_prefix("/v1/accounts/")?.strip_suffix(what)
}

fn check(history: &History, _: &Limits) -> Vec<Finding> {
    let mut found = Vec::new();
    if !history.unanswered.is_empty() {
        return found;
    }
    let freezes = history.told.iter().filter(|told| told.status == 200);
    for (freeze, frozen) in freezes.filter_map(|told| Some((told, account(told, "/freeze")?))) {
        let thaws = history
            .told
            .iter()
            .filter(|told| account(told, "/unfreeze") == Some(frozen) && told.at_nanos >= began(freeze));
        let until = thaws.map(began).min().unwrap_or(u64::MAX);
        let moved = history.told.iter().filter(|told| {
            let within = began(told) > freeze.at_nanos && told.at_nanos < until;
            let starts = ["/v1/charges", "/v1/settlements"].contains(&&*told.path);
            let takes_part = ["payee", "payer"].map(|part| told.asked[part].as_str());
            within && starts && told.status < 300 && takes_part.contains(&Some(frozen))
        });
        found.extend(moved.map(|told| {
            let evidence = format!(
                "{} was told {} for account {frozen}, which {} had frozen before",
                told.key, told.status, freeze.key
            );
            Finding::new("moved-while-frozen", evidence, [&*told.key, &*freeze.key, frozen])
        }));
    }
    found
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn told(path: &str, began_s: u64, ended_s: u64, status: u16) -> Told {
        Told {
            key: format!("{path} {began_s}"),
            path: path.to_owned(),
            asked: serde_json::json!({"payee": "a"}),
            status,
            body: "{}".to_owned(),
            took: Duration::from_secs(ended_s - began_s),
            attempts: 1,
            at_nanos: ended_s * 1_000_000_000,
        }
    }

    #[test]
    fn a_charge_between_freeze_and_thaw_is_found() {
        let found = |began_s, ended_s, status| {
            let history = History {
                told: vec![
                    told("/v1/accounts/a/freeze", 1, 2, 200),
                    told("/v1/accounts/a/unfreeze", 10, 11, 200),
                    told("/v1/charges", began_s, ended_s, status),
                ],
                ..History::default()
            };
            check(&history, &Limits::default()).len()
        };
        assert_eq!(found(3, 9, 201), 1);
        // Begun before, ended after, refused: all as it may be.
        assert_eq!(found(1, 9, 201) + found(3, 10, 201) + found(3, 9, 409), 0);
    }
}
