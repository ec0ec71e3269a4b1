//! `sumzero explore`: many seeds of many scenarios.

use std::{
    error::Error,
    fs::{self, File},
    io::{BufWriter, Write},
    num::NonZeroUsize,
    ops::{ControlFlow, Range},
    path::{Path, PathBuf},
    process::ExitCode,
    time::{Duration, Instant},
};

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use reports::{read_results, write_campaign};
use scenarios::{
    scenario::Scenario,
    shrink::shrink,
    stage,
    survey::{Survey, SurveyLine},
    verdict::Verdict,
};
use sumzero_sim::campaign::{Campaign, Limits, Shard, shrink::Shrinker};

use crate::{Done, selection::select, show};

/// Try many seeds, and say what broke
///
/// Each seed picks its own faults, timings and workload from the ranges of the
/// scenario, and runs in a process of its own. Failures are grouped by kind: the
/// property that does not hold, and how. Ends with the command that runs the
/// quickest seed of each kind again.
///
/// With --out, DIR gets results.jsonl (a verdict a line), report.html, junit.xml (a
/// suite a scenario, a case a seed) and a folder for each kind of failure with its
/// plan, history, trace, verdict and report.html; with --shrink, the shortest story
/// of each in it. A campaign that was interrupted goes on from there.
#[derive(Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Arguments {
    /// Names from `sumzero list`, or paths of .toml files; none: all
    scenarios: Vec<String>,

    /// Seeds of each scenario, from 0
    #[arg(long, value_name = "COUNT", default_value_t = 20, conflicts_with_all = ["range", "for_time"])]
    seeds: u64,

    /// These seeds of each scenario; B is not included
    #[arg(long, value_name = "A..B", value_parser = range, conflicts_with = "for_time")]
    range: Option<Range<u64>>,

    /// As many seeds as there is time for: 10m, 1h 30m
    #[arg(long = "for", id = "for_time", value_name = "TIME", value_parser = humantime::parse_duration)]
    for_time: Option<Duration>,

    /// Seeds at a time [default: one a core]
    #[arg(long, value_name = "COUNT")]
    jobs: Option<NonZeroUsize>,

    /// Only the i-th of n parts, for machines that share the work
    #[arg(long, value_name = "i/n", default_value = "1/1")]
    shard: Shard,

    /// Where to leave results
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,

    /// Find the shortest story of each kind of failure, for DIR
    #[arg(long, requires = "out")]
    shrink: bool,

    /// Stop at the first failure
    #[arg(long)]
    fail_fast: bool,
}

/// Real time that a seed may take, on however slow a machine: a world that hangs is noticed by its own clock.
const SEED_LIMIT: Duration = Duration::from_secs(300);

fn range(text: &str) -> Result<Range<u64>, String> {
    let (from, to) = text.split_once("..").ok_or("write A..B, such as 100..200")?;
    let number = |text: &str| text.parse().map_err(|error| format!("{text:?}: {error}"));
    let range = number(from)?..number(to)?;
    if range.is_empty() {
        return Err("there is no seed in it".to_owned());
    }
    Ok(range)
}

pub(crate) fn run(arguments: Arguments) -> Done {
    let scenarios = select(&arguments.scenarios)?;
    let seeds = match (&arguments.range, arguments.for_time) {
        (Some(range), _) => range.clone(),
        (None, Some(_)) => 0..u64::MAX / scenarios.len() as u64,
        (None, None) => 0..arguments.seeds,
    };
    // All scenarios in turn, so that a campaign that is cut short has tried each of them.
    let kinds = scenarios.len() as u64;
    let runs = seeds.start * kinds..seeds.end * kinds;
    let limits = Limits {
        real_time: SEED_LIMIT,
        ..Limits::default()
    };
    let mut campaign = Campaign::new(runs.clone()).shard(arguments.shard).limits(limits);
    if let Some(jobs) = arguments.jobs {
        campaign = campaign.jobs(jobs);
    }
    let mut results = None;
    if let Some(out) = &arguments.out {
        fs::create_dir_all(out).map_err(|error| format!("{}: {error}", out.display()))?;
        campaign = campaign.journal(out.join("journal.jsonl"), title(&scenarios));
        results = Some(BufWriter::new(File::create(out.join("results.jsonl"))?));
    }
    let count = arguments
        .for_time
        .is_none()
        .then(|| arguments.shard.seeds(runs).count() as u64);
    let bar = progress_bar(count);
    stage::listen();
    let (started, mut survey, mut failed) = (Instant::now(), Survey::default(), None);
    let pick = |number: u64| (&scenarios[(number % kinds) as usize], number / kinds);
    campaign.run(
        |number| {
            let (scenario, seed) = pick(number);
            Verdict::reach(&scenario.draw(seed))
        },
        |result| {
            let (scenario, seed) = pick(result.seed);
            let line = SurveyLine {
                scenario: scenario.name.clone(),
                seed,
                fate: result.fate,
                took_ms: result.took.unwrap_or_default().as_millis() as u64,
            };
            survey.add(&line);
            bar.inc(1);
            let failures: u64 = survey
                .scenarios
                .values()
                .map(|tally| tally.violated + tally.unknown)
                .sum();
            bar.set_message(format!("{failures} failed, {} reached", survey.reached.len()));
            if let Some(results) = &mut results
                && let Err(error) = write_line(results, &line)
            {
                failed = Some(error);
                return ControlFlow::Break(());
            }
            let late = arguments.for_time.is_some_and(|limit| started.elapsed() >= limit);
            if late || arguments.fail_fast && failures > 0 {
                return ControlFlow::Break(());
            }
            ControlFlow::Continue(())
        },
    )?;
    bar.finish_and_clear();
    if let Some(error) = failed {
        return Err(error);
    }
    drop(results);
    let took = started.elapsed().as_secs_f64();
    show::survey(&survey);
    if let Some(out) = &arguments.out {
        bundle(out, &scenarios, &survey, arguments.shrink)?;
        let lines = read_results(&out.join("results.jsonl"))?;
        write_campaign(out, &lines, Some(took))?;
    }
    let seeds = survey.seeds();
    println!(
        "\n{seeds} seeds in {took:.1} s ({:.0} a minute), {} requests confirmed, {}",
        seeds as f64 * 60.0 / took,
        survey.confirmed,
        match survey.exit_code() {
            0 => "all properties held",
            1 => "some properties did not hold",
            _ => "some seeds could not be told",
        }
    );
    Ok(ExitCode::from(survey.exit_code()))
}

/// What decides the results besides the seeds: the scenarios' names and contents.
fn title(scenarios: &[Scenario]) -> String {
    let each = scenarios
        .iter()
        .map(|scenario| format!("{} {}", scenario.name, scenario.digest()));
    each.collect::<Vec<_>>().join(", ")
}

fn write_line(results: &mut impl Write, line: &SurveyLine) -> Result<(), Box<dyn Error>> {
    serde_json::to_writer(&mut *results, line)?;
    writeln!(results)?;
    Ok(())
}

fn progress_bar(count: Option<u64>) -> ProgressBar {
    let (bar, template) = match count {
        Some(count) => (
            ProgressBar::new(count),
            "{bar:24} {pos}/{len} seeds, {per_sec}, {msg}, {eta} left",
        ),
        None => (ProgressBar::new_spinner(), "{pos} seeds, {per_sec}, {msg}"),
    };
    let style = ProgressStyle::with_template(template).expect("a template of known keys");
    bar.with_style(style)
}

/// Runs the quickest seed of each kind of failure again and leaves all that there is to see in a folder.
fn bundle(out: &Path, scenarios: &[Scenario], survey: &Survey, smallest: bool) -> Result<(), Box<dyn Error>> {
    for (fingerprint, failures) in &survey.failures {
        let (name, seed, _) = &failures.fastest;
        let Some(scenario) = scenarios.iter().find(|scenario| scenario.name == *name) else {
            continue;
        };
        let folder = out.join("failures").join(fingerprint.replace('/', "-"));
        let script = scenario.draw(*seed);
        reports::bundle(&folder, &script)?;
        if smallest {
            let shrunk = shrink(script, Some(fingerprint), Shrinker::default(), |_| {})?;
            reports::bundle(&folder.join("smallest"), &shrunk.smallest)?;
        }
        println!("  {}", folder.display());
    }
    Ok(())
}
