//! Results come in the order of the seeds and are the same however they were come by.

use std::fs;
use std::num::NonZeroUsize;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sumzero_sim::campaign::{Campaign, Fate, Shard};
use sumzero_sim::{Error, campaign::SeedResult};

super::tests![
    the_order_of_completion_changes_nothing,
    an_interrupted_campaign_goes_on_where_it_stopped,
    a_line_that_was_cut_off_is_done_again,
    the_journal_of_something_else_is_refused_and_kept,
    the_shards_together_are_the_whole,
];

struct Folder(PathBuf);

impl Folder {
    fn new() -> Folder {
        let path = std::env::temp_dir().join(format!("sumzero-journal-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        Folder(path)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn campaign(jobs: usize, journal: &Path) -> Campaign {
    Campaign::new(0..12)
        .jobs(NonZeroUsize::new(jobs).unwrap())
        .journal(journal, "squares")
}

/// Earlier seeds take longer.
fn square(seed: u64) -> u64 {
    std::thread::sleep(Duration::from_millis(60u64.saturating_sub(10 * seed)));
    if seed == 3 {
        panic!("three");
    }
    seed * seed
}

fn go_on<T>(_: SeedResult<T>) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

fn the_order_of_completion_changes_nothing() {
    let folder = Folder::new();
    let files = [1, 2, 5].map(|jobs| {
        let file = folder.file(&format!("{jobs}.jsonl"));
        let mut seeds = Vec::new();
        let each = |result: SeedResult<u64>| {
            seeds.push(result.seed);
            ControlFlow::Continue(())
        };
        campaign(jobs, &file).run(square, each).unwrap();
        assert_eq!(seeds, (0..12).collect::<Vec<u64>>());
        fs::read_to_string(file).unwrap()
    });
    assert_eq!(files[0].lines().count(), 13, "{}", files[0]);
    assert!(
        files[0].contains(r#"{"seed":4,"fate":{"finished":16}}"#),
        "{}",
        files[0]
    );
    assert_eq!(files[0], files[1]);
    assert_eq!(files[0], files[2]);
}

fn an_interrupted_campaign_goes_on_where_it_stopped() {
    let folder = Folder::new();
    let (whole, parts) = (folder.file("whole"), folder.file("parts"));
    campaign(2, &whole).run(square, go_on).unwrap();
    let stop_after_five = |result: SeedResult<u64>| match result.seed {
        4 => ControlFlow::Break(()),
        _ => ControlFlow::Continue(()),
    };
    assert_eq!(campaign(2, &parts).run(square, stop_after_five).unwrap(), 5);
    let mut from_journal = Vec::new();
    let mut fates = Vec::new();
    let each = |result: SeedResult<u64>| {
        if result.took.is_none() {
            from_journal.push(result.seed);
        }
        fates.push(result.fate);
        ControlFlow::Continue(())
    };
    let run = |seed| {
        assert!(seed > 4, "seed {seed} was done already");
        square(seed)
    };
    assert_eq!(campaign(2, &parts).run(run, each).unwrap(), 12);
    assert_eq!(from_journal, [0, 1, 2, 3, 4]);
    assert!(
        matches!(&fates[3], Fate::Panicked { message } if message.starts_with("three")),
        "{:?}",
        fates[3]
    );
    assert_eq!(fs::read(whole).unwrap(), fs::read(parts).unwrap());
}

fn a_line_that_was_cut_off_is_done_again() {
    let folder = Folder::new();
    let file = folder.file("journal");
    campaign(2, &file).run(square, go_on).unwrap();
    let whole = fs::read(&file).unwrap();
    for lost_bytes in [1, 10, 40, whole.len() - 1, whole.len()] {
        fs::write(&file, &whole[..whole.len() - lost_bytes]).unwrap();
        campaign(2, &file).run(square, go_on).unwrap();
        assert_eq!(fs::read(&file).unwrap(), whole, "{lost_bytes} bytes lost");
    }
}

fn the_journal_of_something_else_is_refused_and_kept() {
    let folder = Folder::new();
    let file = folder.file("journal");
    campaign(2, &file).run(square, go_on).unwrap();
    let before = fs::read_to_string(&file).unwrap();
    let refused = |campaign: Campaign, part: &str| {
        let error = campaign.run(square, go_on).unwrap_err();
        assert!(matches!(error, Error::Journal { .. }));
        let text = error.to_string();
        assert!(text.contains("journal") && text.contains(part), "{text}");
    };
    refused(Campaign::new(0..12).journal(&file, "cubes"), "\"cubes\"");
    refused(campaign(1, &file).shard("1/2".parse().unwrap()), "shard 1/2");
    refused(Campaign::new(1..12).journal(&file, "squares"), "from seed 1");
    refused(
        Campaign::new(0..12).journal(folder.file("none/such"), "squares"),
        "No such file",
    );
    assert_eq!(fs::read_to_string(&file).unwrap(), before);

    let other_program = before.replacen("program\":\"", "program\":\"0", 1);
    fs::write(&file, &other_program).unwrap();
    refused(campaign(1, &file), "program");
    assert_eq!(fs::read_to_string(&file).unwrap(), other_program);

    let garbled = before.replacen("\"seed\":3", "\"seed\":\"3", 1);
    fs::write(&file, &garbled).unwrap();
    refused(campaign(1, &file), "line 5");
    assert_eq!(fs::read_to_string(&file).unwrap(), garbled);
}

fn the_shards_together_are_the_whole() {
    let mut seeds = Vec::new();
    for index in 1..=5 {
        let shard = Shard::new(index, 5).unwrap();
        let campaign = Campaign::new(100..117).shard(shard);
        campaign
            .run(
                |seed| seed,
                |result| {
                    seeds.push(result.fate.answer().copied().unwrap());
                    ControlFlow::Continue(())
                },
            )
            .unwrap();
    }
    seeds.sort_unstable();
    assert_eq!(seeds, (100..117).collect::<Vec<u64>>());
}
