//! Whatever becomes of a seed is that seed's result, and nobody else's.

use std::io::{BufRead, BufReader};
use std::num::NonZeroUsize;
use std::ops::ControlFlow;
use std::process::Stdio;
use std::time::{Duration, Instant};

use sumzero_sim::campaign::{Campaign, Fate, Limits};
use sumzero_sim::{Error, Host, World};

super::tests![
    every_way_to_end_is_one_seeds_result,
    a_world_that_goes_wrong_is_one_seeds_result,
    every_seed_begins_with_the_same_memory,
    what_a_seed_prints_comes_with_its_result,
    breaking_off_leaves_no_process_behind,
    a_campaign_that_is_killed_takes_its_seeds_along,
    an_answer_that_json_cannot_carry_is_an_error,
    a_process_with_two_threads_is_refused,
];

const LIMITS: Limits = Limits {
    // Long enough for a panic to print a backtrace, which on a busy machine takes seconds.
    real_time: Duration::from_secs(8),
    memory_bytes: 64 << 20,
};

fn jobs(count: usize) -> NonZeroUsize {
    NonZeroUsize::new(count).unwrap()
}

/// All results of the seeds `0..count`.
fn results<T>(count: u64, at_once: usize, run: impl Fn(u64) -> T) -> Vec<(u64, Fate<T>, String)>
where
    T: serde::Serialize + serde::de::DeserializeOwned,
{
    let mut results = Vec::new();
    let campaign = Campaign::new(0..count).jobs(jobs(at_once)).limits(LIMITS);
    let handed_over = campaign.run(run, |result| {
        results.push((result.seed, result.fate, result.output));
        ControlFlow::Continue(())
    });
    assert_eq!(handed_over.unwrap(), count);
    results
}

#[expect(unconditional_recursion, reason = "it is to overflow the stack")]
fn deeper(depth: u64) -> u64 {
    std::hint::black_box([depth; 100])[7] + deeper(depth + 1)
}

fn go_wrong(seed: u64) -> u64 {
    match seed {
        1 => panic!("seed one's own words"),
        2 => std::process::abort(),
        3 => deeper(0),
        4 => loop {
            std::hint::spin_loop();
        },
        5 => std::hint::black_box(vec![1u8; 200 << 20]).len() as u64,
        6 => std::process::exit(3),
        seed => seed * 100,
    }
}

fn every_way_to_end_is_one_seeds_result() {
    for at_once in [1, 3] {
        let fates: Vec<(u64, Fate<u64>)> = results(8, at_once, go_wrong)
            .into_iter()
            .map(|(seed, fate, _)| (seed, fate))
            .collect();
        let Fate::Panicked { message } = &fates[1].1 else {
            panic!("{:?}", fates[1]);
        };
        assert!(
            message.starts_with("seed one's own words (sim/tests/campaign/fates.rs:"),
            "{message}"
        );
        let expected = [
            (0, Fate::Finished(0)),
            fates[1].clone(),
            (
                2,
                Fate::Signalled {
                    signal: "SIGABRT".to_owned(),
                },
            ),
            (3, Fate::StackOverflow),
            (
                4,
                Fate::Hung {
                    limit: LIMITS.real_time,
                },
            ),
            (
                5,
                Fate::OutOfMemory {
                    limit_bytes: LIMITS.memory_bytes,
                },
            ),
            (6, Fate::Exited { code: 3 }),
            (7, Fate::Finished(700)),
        ];
        assert_eq!(fates, expected);
    }
    // The limit is what ended seed 5: with room enough it finishes.
    let roomy = Limits {
        memory_bytes: 1 << 30,
        ..LIMITS
    };
    let run = |_| std::hint::black_box(vec![1u8; 200 << 20]).len() as u64;
    let mut fate = None;
    let campaign = Campaign::new(5..6).limits(roomy);
    campaign
        .run(run, |result| {
            fate = Some(result.fate);
            ControlFlow::Continue(())
        })
        .unwrap();
    assert_eq!(fate, Some(Fate::Finished(200 << 20)));
}

fn a_world_that_goes_wrong_is_one_seeds_result() {
    let run = |seed| {
        let host = Host::new("culprit").run(move || async move {
            tokio::time::sleep(Duration::from_secs(seed)).await;
            go_wrong(seed);
        });
        let world = World::new(seed)
            .client(host)
            .run_until_done(Duration::from_secs(60));
        world
            .map(|outcome| outcome.trace_hash)
            .map_err(|error| error.to_string())
    };
    let fates: Vec<Fate<_>> = results(8, 2, run).into_iter().map(|(_, fate, _)| fate).collect();
    assert!(matches!(fates[0], Fate::Finished(Ok(_))), "{:?}", fates[0]);
    let Fate::Finished(Err(message)) = &fates[1] else {
        panic!("{:?}", fates[1]);
    };
    assert_eq!(
        message,
        "the program of host \"culprit\" panicked at 1.000000000 s: seed one's own words"
    );
    assert_eq!(
        fates[2],
        Fate::Signalled {
            signal: "SIGABRT".to_owned()
        }
    );
    assert_eq!(fates[3], Fate::StackOverflow);
    assert_eq!(
        fates[4],
        Fate::Hung {
            limit: LIMITS.real_time
        }
    );
    assert_eq!(
        fates[5],
        Fate::OutOfMemory {
            limit_bytes: LIMITS.memory_bytes
        }
    );
    assert_eq!(fates[6], Fate::Exited { code: 3 });
    assert!(matches!(fates[7], Fate::Finished(Ok(_))), "{:?}", fates[7]);
}

fn every_seed_begins_with_the_same_memory() {
    use std::sync::atomic::{AtomicU64, Ordering};
    static RUNS: AtomicU64 = AtomicU64::new(0);
    let run = |_seed| {
        let address = &raw const *Box::new([0u8; 100]) as u64;
        (RUNS.fetch_add(1, Ordering::Relaxed), address)
    };
    let mut beginnings: Vec<_> = results(20, 2, run)
        .into_iter()
        .map(|(_, fate, _)| *fate.answer().unwrap())
        .collect();
    beginnings.dedup();
    assert_eq!(beginnings.len(), 1, "{beginnings:x?}");
    assert_eq!(beginnings[0].0, 0);
}

fn what_a_seed_prints_comes_with_its_result() {
    print!("half a line of the campaign's own, ");
    let results = results(2, 2, |seed| {
        print!("seed {seed} says ");
        if seed == 1 {
            eprint!("{}", "x".repeat(100_000));
        }
        print!("goodbye");
    });
    assert_eq!(results[0].2, "seed 0 says goodbye");
    assert_eq!(results[1].2.len(), 16 << 10, "the end of it is kept");
    assert!(
        results[1].2.ends_with("seed 1 says goodbye"),
        "stdout is flushed at the end"
    );
}

fn children() -> String {
    std::fs::read_to_string("/proc/thread-self/children").unwrap()
}

fn breaking_off_leaves_no_process_behind() {
    let campaign = Campaign::new(0..100).jobs(jobs(4));
    let started = Instant::now();
    let handed_over = campaign.run(
        |seed| {
            if seed > 0 {
                std::thread::sleep(Duration::from_secs(30));
            }
        },
        |_| ControlFlow::Break(()),
    );
    assert_eq!(handed_over.unwrap(), 1);
    assert_eq!(children(), "");
    assert!(started.elapsed() < Duration::from_secs(10));
}

/// Seeds that never end, each of which tells its process id.
pub(crate) fn spinning_campaign() {
    // The seeds' own output goes to the campaign: they answer through a file instead.
    let folder = std::env::args().nth(3).unwrap();
    let run = |seed| {
        std::fs::write(format!("{folder}/{seed}"), std::process::id().to_string()).unwrap();
        println!("{seed}");
        loop {
            std::thread::sleep(Duration::from_secs(1));
        }
    };
    println!("started");
    let each = |_| ControlFlow::Continue(());
    let _ = Campaign::new(0..2).jobs(jobs(2)).run::<()>(run, each);
}

fn a_campaign_that_is_killed_takes_its_seeds_along() {
    let folder = std::env::temp_dir().join(format!("sumzero-campaign-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let mut campaign = super::program("spinning-campaign")
        .arg(&folder)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(campaign.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    let pid_of = |seed: u64| {
        std::fs::read_to_string(folder.join(seed.to_string()))
            .ok()
            .filter(|text| !text.is_empty())
    };
    let wait = |what: &str, done: &dyn Fn() -> bool| {
        let started = Instant::now();
        while !done() {
            assert!(started.elapsed() < Duration::from_secs(20), "{what}");
            std::thread::sleep(Duration::from_millis(10));
        }
    };
    wait("the seeds have started", &|| {
        (0..2).all(|seed| pid_of(seed).is_some())
    });
    campaign.kill().unwrap();
    campaign.wait().unwrap();
    // Gone, or dead and not yet collected by whoever inherits orphans.
    let dead = |seed| {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid_of(seed).unwrap()));
        stat.map_or(true, |stat| stat.contains(") Z "))
    };
    wait("the seeds end with their campaign", &|| (0..2).all(dead));
    std::fs::remove_dir_all(&folder).unwrap();
}

fn an_answer_that_json_cannot_carry_is_an_error() {
    let answer = |seed| if seed == 3 { f64::NAN } else { 0.5 };
    let error = Campaign::new(0..5)
        .run(answer, |_| ControlFlow::Continue(()))
        .unwrap_err();
    assert!(
        matches!(error, Error::UnreadableAnswer { seed: 3, .. }),
        "{error}"
    );
}

fn a_process_with_two_threads_is_refused() {
    let (stop, stopped) = std::sync::mpsc::channel::<()>();
    let second = std::thread::spawn(move || stopped.recv());
    let refused = Campaign::new(0..1).run(|seed| seed, |_| ControlFlow::Continue(()));
    assert!(
        matches!(refused, Err(Error::NotSingleThreaded { threads: 2 })),
        "{refused:?}"
    );
    drop(stop);
    let _ = second.join();
}
