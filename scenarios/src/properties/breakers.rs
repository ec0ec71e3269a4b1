//! A dependency that keeps failing is left alone.
//!
//! Reads the telemetry: what calls came to, and which breakers opened. Fails when more calls of a process to a dependency
//! failed in a row than the limit, and its breaker did not open: then each request and each worker anew asks somebody who is
//! known not to answer.

use std::collections::BTreeMap;

use crate::{history::History, script::Limits};

use super::{Finding, Property};

pub(super) const PROPERTY: Property = Property {
    name: "breakers",
    meaning: "a dependency that keeps failing is left alone for a while",
    check,
};

fn check(history: &History, limits: &Limits) -> Vec<Finding> {
    let mut rows: BTreeMap<(&str, &str), u32> = BTreeMap::new();
    let mut found = Vec::new();
    for said in &history.telemetry {
        if said.message == "serving" {
            // A new process has counted nothing yet.
            rows.retain(|(host, _), _| *host != said.host);
        }
        let Some(dependency) = said.text("dependency") else {
            continue;
        };
        let row = rows.entry((&said.host, dependency)).or_default();
        match &*said.message {
            "outcome unknown" if said.flag("failed") == Some(true) => {
                *row += 1;
                if *row == limits.failures + 1 {
                    let host = &said.host;
                    let evidence = format!(
                        "{host} was let through to {dependency} although {} calls in a row had failed",
                        limits.failures
                    );
                    found.push(Finding::new("not-left-alone", evidence, [&**host, dependency]));
                }
            }
            "outcome unknown" | "outcome known" | "breaker opened" => *row = 0,
            _ => {}
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::Telemetry;

    fn outcome(failed: bool) -> Telemetry {
        let mut said = Telemetry::sample("outcome unknown", [("dependency", "psp")]);
        said.fields.insert("failed".to_owned(), failed.into());
        said
    }

    fn found(telemetry: Vec<Telemetry>) -> usize {
        let history = History {
            telemetry,
            ..History::default()
        };
        check(&history, &Limits::default()).len()
    }

    #[test]
    fn failures_in_a_row_without_a_breaker_are_found_once() {
        assert_eq!(found(vec![outcome(true); 9]), 0);
        assert_eq!(found(vec![outcome(true); 60]), 1);
    }

    #[test]
    fn success_an_open_breaker_and_a_new_process_begin_anew() {
        let row = || vec![outcome(true); 9];
        let opened = Telemetry::sample("breaker opened", [("dependency", "psp")]);
        let known = Telemetry::sample("outcome known", [("dependency", "psp")]);
        let serving = Telemetry::sample("serving", [("region", "us-east-1")]);
        for between in [opened, known, serving, outcome(false)] {
            assert_eq!(found([row(), vec![between], row()].concat()), 0);
        }
        let other = Telemetry::sample("breaker opened", [("dependency", "kyc")]);
        assert_eq!(found([row(), vec![other], row()].concat()), 1);
    }
}
