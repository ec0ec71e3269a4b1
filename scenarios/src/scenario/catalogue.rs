//! The scenarios that this program brings along, so that a name and a seed are all it takes to run one again.

use super::Scenario;

/// Reads them, in the order in which `list` shows them. Every end of every range of theirs is tried by a test, and not again
/// whenever the program starts: that takes longer than a world.
///
/// # Panics
/// If one of them is wrong, which the test would have shown.
pub fn catalogue() -> Vec<Scenario> {
    let read = |(name, text): &(&str, &str)| {
        let file = format!("scenarios/{name}.toml");
        Scenario::parse(name, &file, text).unwrap_or_else(|problem| panic!("{problem}"))
    };
    FILES.iter().map(read).collect()
}

const FILES: &[(&str, &str)] = &[
    ("calm", include_str!("../../calm.toml")),
    ("duplicates", include_str!("../../duplicates.toml")),
    ("crash", include_str!("../../crash.toml")),
    ("lost-answers", include_str!("../../lost-answers.toml")),
    ("pause", include_str!("../../pause.toml")),
    ("takeover", include_str!("../../takeover.toml")),
    ("clocks", include_str!("../../clocks.toml")),
    ("partitions", include_str!("../../partitions.toml")),
    ("dynamodb", include_str!("../../dynamodb.toml")),
    ("aurora-failover", include_str!("../../aurora-failover.toml")),
    ("psp-gray", include_str!("../../psp-gray.toml")),
    ("forgetful-psp", include_str!("../../forgetful-psp.toml")),
    ("kyc-gray", include_str!("../../kyc-gray.toml")),
    ("hot-account", include_str!("../../hot-account.toml")),
    ("thundering-herd", include_str!("../../thundering-herd.toml")),
    ("limbo", include_str!("../../limbo.toml")),
    ("broker-outage", include_str!("../../broker-outage.toml")),
    ("region-loss", include_str!("../../region-loss.toml")),
    ("lost-tail", include_str!("../../lost-tail.toml")),
    ("split-brain", include_str!("../../split-brain.toml")),
    ("evacuation", include_str!("../../evacuation.toml")),
    ("regions", include_str!("../../regions.toml")),
    ("rolling-upgrade", include_str!("../../rolling-upgrade.toml")),
    ("everything", include_str!("../../everything.toml")),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        externals::Behaviour,
        script::{Handover, Limits, Script},
    };

    #[test]
    fn the_schema_page_names_every_key() {
        let page = include_str!("../../SCHEMA.md");
        let limits = Limits {
            rto: Some(std::time::Duration::ZERO),
            p99: Some(std::time::Duration::ZERO),
            conflict_ppm: Some(0),
            attempts: Some(0.0),
            ..Limits::default()
        };
        let script = Script::calm(0);
        let tables = [
            serde_json::to_value(&script.workload),
            serde_json::to_value(script.workload.mix),
            serde_json::to_value(&script.tuning),
            serde_json::to_value(limits),
            serde_json::to_value(Behaviour::default()),
            serde_json::to_value(Handover {
                at: std::time::Duration::ZERO,
                to: String::new(),
            }),
        ];
        for table in tables {
            for key in table.unwrap().as_object().unwrap().keys() {
                assert!(
                    page.contains(&format!("`{key}`")),
                    "SCHEMA.md does not say what {key} is"
                );
            }
        }
    }

    #[test]
    fn every_scenario_file_is_right_and_in_the_catalogue() {
        let read = FILES.iter().map(|(name, text)| {
            let file = format!("scenarios/{name}.toml");
            Scenario::read(name, &file, text).unwrap_or_else(|problem| panic!("{problem}"))
        });
        let read: Vec<_> = read.map(|scenario| scenario.name).collect();
        let folder = std::fs::read_dir(env!("CARGO_MANIFEST_DIR")).unwrap();
        let files = folder.filter_map(|entry| {
            let name = entry.unwrap().file_name().into_string().unwrap();
            name.strip_suffix(".toml")
                .filter(|name| *name != "Cargo")
                .map(str::to_owned)
        });
        for file in files {
            assert!(
                read.contains(&file),
                "scenarios/{file}.toml is not in the catalogue"
            );
        }
    }
}
