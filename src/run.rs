//! `sumzero run`: one world.

use std::{fs::File, io::BufWriter, path::PathBuf, process::ExitCode};

use clap::Args;
use scenarios::{
    history::{History, Told},
    record::Record,
    stage::perform,
    verdict::Verdict,
};
use sumzero_sim::{
    Outcome,
    trace::{Event, Kind, Sink},
};

use crate::{Done, selection::World, show};

/// Run one world, and tell its story
///
/// Prints what went wrong when, what became of the requests, and the verdict. The
/// same program, scenario and seed give the same events, byte for byte, and the
/// same hash in the last line.
///
/// With --out, DIR gets plan.json (every value that the seed picked; edit it and
/// run it with --plan), history.json, trace.jsonl and verdict.json.
#[derive(Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Arguments {
    #[command(flatten)]
    world: World,

    /// Print every event of the world as well
    #[arg(long)]
    trace: bool,

    /// Write every event of the world to a file, as text
    #[arg(long, value_name = "FILE", hide = true, conflicts_with_all = ["trace", "out"])]
    trace_file: Option<PathBuf>,

    /// Where to leave plan, history, trace and verdict
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

pub(crate) fn run(arguments: Arguments) -> Done {
    let script = arguments.world.script()?;
    if let Some(out) = &arguments.out {
        let verdict = Record::new(out).perform(&script)?;
        show::verdict(&verdict);
        return Ok(ExitCode::from(show::exit_code(&verdict.conclusion)));
    }
    let sink = match &arguments.trace_file {
        Some(path) => Sink::Text(Box::new(BufWriter::new(File::create(path)?))),
        None => Sink::Memory,
    };
    println!("{} --seed {}", script.scenario, script.seed);
    for line in reports::needed(&script) {
        println!("  {line}");
    }
    let performed = perform(&script, sink);
    if let Ok(performance) = &performed {
        println!();
        tell(&performance.history, &performance.outcome, arguments.trace);
        println!();
    }
    let verdict = Verdict::of(&script, &performed);
    show::verdict(&verdict);
    Ok(ExitCode::from(show::exit_code(&verdict.conclusion)))
}

/// The story: faults, hosts that come and go, what the system says, what clients are told; in the order of true time.
fn tell(history: &History, outcome: &Outcome, everything: bool) {
    let mut lines: Vec<(u64, String, String)> = Vec::new();
    for event in outcome.trace.iter().filter(|event| everything || is_story(event)) {
        let host = event.host.as_deref().unwrap_or("(world)").to_owned();
        lines.push((event.at.as_nanos(), host, event.kind.to_string()));
    }
    for said in &history.telemetry {
        let payment = said.text("payment_id");
        let payment = payment.map(|id| format!("{} ", short(id))).unwrap_or_default();
        let more = [
            "state",
            "operation",
            "outcome",
            "dependency",
            "reason",
            "refusal",
            "error",
        ];
        let more = more.iter().filter_map(|name| said.text(name));
        let more: Vec<_> = more
            .map(|text| text.chars().take(60).collect::<String>())
            .collect();
        let text = format!("{payment}{} {}", said.message, more.join(", "));
        lines.push((said.at_nanos, said.host.clone(), text.trim_end().to_owned()));
    }
    for told in &history.told {
        lines.push((told.at_nanos, client(told), was_told(told)));
    }
    lines.sort_by_key(|(at, ..)| *at);
    for (at, host, text) in lines {
        println!("{:>9.3} s  {host:<16}  {text}", at as f64 / 1e9);
    }
}

fn is_story(event: &Event) -> bool {
    matches!(
        event.kind,
        Kind::Fault { .. }
            | Kind::Heal { .. }
            | Kind::Kill
            | Kind::Lose { .. }
            | Kind::Pause
            | Kind::Resume
            | Kind::Exit { ok: false }
            | Kind::Note { .. }
    ) || matches!(event.kind, Kind::Boot { incarnation } if incarnation > 1)
}

fn client(told: &Told) -> String {
    told.key
        .rsplit_once('-')
        .map_or(&*told.key, |(client, _)| client)
        .to_owned()
}

fn was_told(told: &Told) -> String {
    let answer: serde_json::Value = serde_json::from_str(&told.body).unwrap_or_default();
    let payment = answer["payment_id"]
        .as_str()
        .or(answer["payment"]["payment_id"].as_str());
    let payment = payment.map(|id| format!("{} ", short(id))).unwrap_or_default();
    let what = answer["state"]
        .as_str()
        .or(answer["title"].as_str())
        .unwrap_or_default();
    let path: Vec<_> = told.path.split('/').filter(|part| part.len() < 36).collect();
    format!(
        "{payment}told {} {what} for POST {} after {} attempts, {}",
        told.status,
        path.join("/"),
        told.attempts,
        show::time(told.took.as_nanos() as u64)
    )
}

/// The beginning of an id, as much as people compare.
fn short(id: &str) -> &str {
    id.get(..8).unwrap_or(id)
}
