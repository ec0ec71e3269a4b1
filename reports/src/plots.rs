//! The drawings: what a person would rather look at than read.

use std::collections::BTreeMap;

use scenarios::{history::History, script::Script, survey::SurveyLine};

use crate::{
    Run,
    money::{self, Sums},
    plot::{Plot, Series, Style},
    timeline::Timeline,
};

/// Availability is counted by the second.
const SECOND: u64 = 1_000_000_000;

fn zones(script: &Script) -> Vec<(f64, f64, String)> {
    let faults = script.plan.faults.iter().map(|planned| {
        let from = planned.at.as_secs_f64();
        let to = planned
            .lasting
            .map_or(f64::MAX, |lasting| from + lasting.as_secs_f64());
        (from, to, planned.fault.to_string())
    });
    faults.collect()
}

/// Of what clients asked in each second, how much was answered by a decision and how much was not.
pub fn availability(run: &Run) -> Plot {
    let mut seconds: BTreeMap<u64, (f64, f64)> = BTreeMap::new();
    for attempt in &run.history.attempts {
        let second = seconds.entry(attempt.at_nanos / SECOND).or_default();
        match attempt.status {
            Some(status) if status < 500 => second.0 += 1.0,
            _ => second.1 += 1.0,
        }
    }
    let last = seconds.keys().max().copied().unwrap_or(0);
    let counted = |count: fn(&(f64, f64)) -> f64| -> Vec<(f64, f64)> {
        let of = |second: u64| (second as f64, seconds.get(&second).map_or(0.0, count));
        (0..=last).map(of).collect()
    };
    Plot {
        title: "Attempts answered, and not".to_owned(),
        x: "true time, s".to_owned(),
        y: "attempts a second".to_owned(),
        series: vec![
            series("answered", Style::Steps, counted(|(good, _)| *good)),
            series("failed or unanswered", Style::Steps, counted(|(_, bad)| *bad)),
        ],
        zones: zones(&run.script),
        ..Plot::default()
    }
}

/// How long each attempt took, by when it began.
pub fn latency(run: &Run) -> Plot {
    let of = |answered: bool| {
        let attempts = run.history.attempts.iter();
        let chosen = attempts.filter(|attempt| attempt.status.is_some_and(|status| status < 500) == answered);
        chosen
            .map(|attempt| (attempt.at_nanos as f64 / 1e9, attempt.took.as_secs_f64()))
            .collect()
    };
    Plot {
        title: "How long attempts took".to_owned(),
        x: "true time, s".to_owned(),
        y: "s".to_owned(),
        series: vec![
            series("answered", Style::Dots, of(true)),
            series("failed or unanswered", Style::Dots, of(false)),
        ],
        zones: zones(&run.script),
        limit: run
            .script
            .limits
            .p99
            .map(|limit| (limit.as_secs_f64(), "p99 that is promised".to_owned())),
        ..Plot::default()
    }
}

/// How long messages of one service were on their way from one Region to another, by when they were sent: what replication
/// waits for at least. A message that a cut held up is as late as it was.
pub fn replication_lag(run: &Run) -> Plot {
    lag(&run.script, &Timeline::new(&run.verdict, &run.trace))
}

pub(crate) fn lag(script: &Script, timeline: &Timeline) -> Plot {
    let mut by_service: BTreeMap<String, Vec<(f64, f64)>> = BTreeMap::new();
    for message in &timeline.messages {
        let (from, to) = (&timeline.hosts[message.from], &timeline.hosts[message.to]);
        let service = |name: &str, region: &str| name.strip_suffix(&format!("-{region}")).map(str::to_owned);
        let (sends, receives) = (service(&from.name, &from.region), service(&to.name, &to.region));
        if let (Some(sends), Some(receives), Some(took)) = (sends, receives, message.took)
            && sends == receives
            && from.region != to.region
        {
            by_service
                .entry(sends)
                .or_default()
                .push((message.at as f64 / 1e9, took as f64 / 1e9));
        }
    }
    let all = by_service
        .into_iter()
        .map(|(service, points)| series(&service, Style::Dots, thinned(points)));
    Plot {
        title: "Replication between Regions: how long messages were on their way".to_owned(),
        x: "true time, s".to_owned(),
        y: "s".to_owned(),
        series: all.collect(),
        zones: zones(script),
        ..Plot::default()
    }
}

/// At most 2,000 dots, with the latest of each group: what is thinned out is what lies under others.
fn thinned(points: Vec<(f64, f64)>) -> Vec<(f64, f64)> {
    let group = points.len().div_ceil(2_000).max(1);
    let latest = |group: &[(f64, f64)]| group.iter().copied().max_by(|a, b| a.1.total_cmp(&b.1));
    points.chunks(group).filter_map(latest).collect()
}

/// What was taken through the provider, as the ledger and as the provider has it: a drawing for each currency.
pub fn taken(history: &History) -> Vec<Plot> {
    let seconds = |sums: Sums, unit: f64| sums.into_iter().map(|(at, sum)| (at / 1e6, sum / unit)).collect();
    let plots = money::taken(history)
        .into_iter()
        .map(|(currency, (ledger, provider))| {
            let unit = money::unit(&currency);
            Plot {
                title: format!("Taken less given back, {currency}"),
                x: "time, s (the ledger's by the clocks of gateways)".to_owned(),
                y: currency,
                series: vec![
                    series("ledger", Style::Steps, seconds(ledger, unit)),
                    series("provider", Style::Steps, seconds(provider, unit)),
                ],
                ..Plot::default()
            }
        });
    plots.collect()
}

/// How far each host's clock was ahead of the true time, of those that ever were off.
pub fn clocks(run: &Run) -> Option<Plot> {
    clocks_of(&run.script, &Timeline::new(&run.verdict, &run.trace))
}

pub(crate) fn clocks_of(script: &Script, timeline: &Timeline) -> Option<Plot> {
    let off = timeline
        .hosts
        .iter()
        .filter(|host| host.clock.iter().any(|(_, skew)| *skew != 0));
    let all = off.map(|host| {
        let points = host
            .clock
            .iter()
            .map(|(at, skew)| (*at as f64 / 1e9, *skew as f64 / 1e9));
        series(&host.name, Style::Line, points.collect())
    });
    let all: Vec<Series> = all.collect();
    (!all.is_empty()).then(|| Plot {
        title: "Clocks against the true time".to_owned(),
        x: "true time, s".to_owned(),
        y: "s ahead".to_owned(),
        series: all,
        zones: zones(script),
        ..Plot::default()
    })
}

/// How many seeds fall into each of a dozen ranges of a measure that grow by the same factor.
pub fn distribution(title: &str, unit: &str, mut values: Vec<f64>) -> Plot {
    const RANGES: usize = 12;
    values.retain(|value| *value > 0.0);
    values.sort_by(f64::total_cmp);
    let mut labels = Vec::new();
    let mut points = Vec::new();
    if let (Some(least), Some(most)) = (values.first(), values.last()) {
        let factor = (most / least).max(1.001).powf(1.0 / RANGES as f64);
        for range in 0..RANGES {
            let from = least * factor.powi(range as i32);
            let to = if range + 1 == RANGES {
                f64::INFINITY
            } else {
                from * factor
            };
            let count = values
                .iter()
                .filter(|value| **value >= from && **value < to)
                .count();
            labels.push(format!("{from:.*}", if from < 10.0 { 2 } else { 0 }));
            points.push((range as f64, count as f64));
        }
    }
    Plot {
        title: title.to_owned(),
        x: format!("{unit}, from"),
        y: "seeds".to_owned(),
        labels,
        series: vec![series("seeds", Style::Bars, points)],
        ..Plot::default()
    }
}

/// How many seeds each variant took until it was caught first. `caught` are names with that number.
pub fn seeds_to_detection(caught: &[(String, u64)]) -> Plot {
    Plot {
        title: "Seeds until a variant was caught first".to_owned(),
        x: "variant".to_owned(),
        y: "seeds".to_owned(),
        labels: caught.iter().map(|(name, _)| name.clone()).collect(),
        series: vec![series(
            "seeds",
            Style::Bars,
            caught
                .iter()
                .enumerate()
                .map(|(place, (_, seeds))| (place as f64, *seeds as f64))
                .collect(),
        )],
        ..Plot::default()
    }
}

/// The distributions of a campaign: the 99th percentile of each seed, and its longest outage.
pub fn campaign(lines: &[SurveyLine]) -> [Plot; 2] {
    let measures = |of: fn(&scenarios::verdict::Measures) -> u64, unit: f64| -> Vec<f64> {
        let answers = lines.iter().filter_map(|line| line.fate.answer());
        answers
            .map(|verdict| of(&verdict.measures) as f64 / unit)
            .collect()
    };
    [
        distribution(
            "99th percentile of confirmed attempts",
            "ms",
            measures(|of| of.p99_nanos, 1e6),
        ),
        distribution(
            "Longest time without an answer (recovery time)",
            "s",
            measures(|of| of.longest_outage_nanos, 1e9),
        ),
    ]
}

/// All drawings of a run, with names for files.
pub fn all(run: &Run) -> Vec<(String, Plot)> {
    let mut all = vec![
        ("availability".to_owned(), availability(run)),
        ("latency".to_owned(), latency(run)),
        ("replication-lag".to_owned(), replication_lag(run)),
    ];
    all.extend(clocks(run).map(|plot| ("clocks".to_owned(), plot)));
    all.extend(
        taken(&run.history)
            .into_iter()
            .map(|plot| (format!("taken-{}", plot.y), plot)),
    );
    all
}

fn series(name: &str, style: Style, points: Vec<(f64, f64)>) -> Series {
    Series {
        name: name.to_owned(),
        style,
        points,
    }
}
