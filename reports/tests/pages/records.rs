//! Folders of runs, as `sumzero run --out` leaves them.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::OnceLock,
    time::Duration,
};

use reports::Run;
use scenarios::{
    externals::Behaviour,
    record::Record,
    script::{Script, Spell},
};
use sumzero_sim::{Fault, Plan, Skew};

pub(crate) fn folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}", std::process::id()));
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap();
    folder
}

/// A provider that forgets keys at once and often fails after it acted; a clock that is behind, a cut, a kill.
pub(crate) fn script() -> Script {
    let seconds = Duration::from_secs;
    let behaviour = Behaviour {
        key_window_s: 0,
        jitter_ms: 800,
        failed_after_ppm: 300_000,
        answer_lost_ppm: 200_000,
        ..Behaviour::default()
    };
    Script {
        scenario: "forgetful-psp".to_owned(),
        psp: vec![Spell {
            at: seconds(5),
            lasting: seconds(50),
            behaviour,
        }],
        plan: Plan {
            faults: vec![
                Fault::clock_offset("gateway-us-east-1-1", Skew::behind(seconds(6)))
                    .at(seconds(8))
                    .lasting(seconds(30)),
                Fault::partition("us-east-1", "us-west-2")
                    .at(seconds(12))
                    .lasting(seconds(9)),
                Fault::kill("gateway-us-east-1-0")
                    .at(seconds(20))
                    .lasting(seconds(4)),
                Fault::pause("dynamodb-us-east-1")
                    .at(seconds(31))
                    .lasting(seconds(2)),
            ],
        },
        ..Script::calm(4)
    }
}

/// The folder of a run in which somebody was charged twice.
pub(crate) fn violated() -> &'static Record {
    static RECORD: OnceLock<Record> = OnceLock::new();
    RECORD.get_or_init(|| {
        let record = Record::new(folder("violated"));
        let verdict = record.perform(&script()).unwrap();
        assert!(
            verdict
                .fingerprints()
                .iter()
                .any(|print| print == "captures/done-twice"),
            "{:?}",
            verdict.conclusion
        );
        record
    })
}

pub(crate) fn run() -> Run {
    Run::read(violated()).unwrap()
}
