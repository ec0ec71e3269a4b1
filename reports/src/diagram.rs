//! The space-time diagram of a short story, as a drawing that stands still: for Markdown and for paper.
//!
//! Of all hosts and messages it shows those that the story's payment touched, from its first event to its last. The page of a
//! run draws for itself, since there one moves about.

use std::collections::BTreeSet;
use std::fmt::Write;

use crate::{
    Run, Story,
    html::{STYLE, escape},
    names::Names,
    plot::ticks,
    timeline::Timeline,
};

const WIDTH: f64 = 960.0;
const LEFT: f64 = 170.0;
const RIGHT: f64 = 20.0;
const LANE: f64 = 18.0;
const ROW: f64 = 30.0;

/// So many messages can be told apart in a still drawing.
const MOST_MESSAGES: usize = 400;

pub(crate) fn diagram(run: &Run, story: &Story, names: &Names, timeline: &Timeline) -> String {
    let times = story.clauses.iter().map(|clause| clause.at_nanos);
    let (first, last) = (
        times.clone().min().unwrap_or(0),
        times.max().unwrap_or(run.history.quiet_from_nanos),
    );
    let pad = ((last - first) / 12).max(5_000_000);
    let (from, to) = (first.saturating_sub(pad), last + pad);
    let x = |at: u64| {
        let at = at.clamp(from, to);
        LEFT + (at - from) as f64 / (to - from) as f64 * (WIDTH - LEFT - RIGHT)
    };

    let messages: Vec<usize> = match story.payment {
        Some(payment) => {
            let of_payment = &timeline.messages_of(&run.history, names)[payment];
            let shown = of_payment
                .iter()
                .filter(|place| (from..=to).contains(&timeline.messages[**place].at));
            shown.copied().take(MOST_MESSAGES).collect()
        }
        None => Vec::new(),
    };
    let mut hosts: BTreeSet<usize> = messages
        .iter()
        .flat_map(|place| [timeline.messages[*place].from, timeline.messages[*place].to])
        .collect();
    hosts.extend(
        story
            .clauses
            .iter()
            .filter_map(|clause| timeline.host(clause.host.as_deref()?)),
    );
    let faults: Vec<_> = run
        .script
        .plan
        .faults
        .iter()
        .filter(|planned| {
            let end = planned
                .lasting
                .map_or(u64::MAX, |lasting| (planned.at + lasting).as_nanos() as u64);
            planned.at.as_nanos() as u64 <= to && end >= from
        })
        .collect();
    for fault in &faults {
        hosts.extend(
            fault
                .fault
                .places()
                .into_iter()
                .filter_map(|place| timeline.host(place)),
        );
    }
    let top = 30.0 + LANE * faults.len() as f64;
    let rows: Vec<usize> = hosts.into_iter().collect();
    let y = |host: usize| {
        let row = rows.iter().position(|shown| *shown == host).unwrap_or_default();
        top + ROW * (row as f64 + 0.7)
    };
    let height = top + ROW * (rows.len() as f64 + 0.4);

    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" aria-label=\"{}\"><style>{STYLE}</style>",
        escape(&story.headline)
    );
    let mut put = |text: String| svg.push_str(&text);
    for tick in ticks(from as f64 / 1e9, to as f64 / 1e9, 6) {
        let across = x((tick * 1e9) as u64);
        let label = (tick * 1e6).round() / 1e6;
        put(format!(
            "<line class=\"grid\" x1=\"{across:.1}\" x2=\"{across:.1}\" y1=\"20\" y2=\"{height}\"/><text class=\"quiet\" x=\"{across:.1}\" y=\"13\" text-anchor=\"middle\">{label} s</text>"
        ));
    }
    for (lane, planned) in faults.iter().enumerate() {
        let begin = x(planned.at.as_nanos() as u64);
        let end = x(planned
            .lasting
            .map_or(to, |lasting| (planned.at + lasting).as_nanos() as u64))
        .max(begin + 3.0);
        let up = 22.0 + LANE * lane as f64;
        put(format!(
            "<rect class=\"bar\" x=\"{begin:.1}\" y=\"{up}\" width=\"{:.1}\" height=\"13\" rx=\"2\"/><text x=\"{:.1}\" y=\"{}\">{}</text>",
            end - begin,
            begin + 5.0,
            up + 10.5,
            escape(&planned.fault.to_string())
        ));
        for host in planned
            .fault
            .places()
            .into_iter()
            .filter_map(|place| timeline.host(place))
        {
            put(format!(
                "<rect class=\"band\" x=\"{begin:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{ROW}\"/>",
                y(host) - ROW / 2.0,
                end - begin
            ));
        }
    }
    for host in &rows {
        let (line, up) = (&timeline.hosts[*host], y(*host));
        put(format!(
            "<text x=\"{}\" y=\"{}\" text-anchor=\"end\">{}</text><line class=\"life\" x1=\"{LEFT}\" x2=\"{}\" y1=\"{up}\" y2=\"{up}\"/>",
            LEFT - 10.0,
            up + 4.0,
            escape(&line.name),
            WIDTH - RIGHT
        ));
        for (begin, end, down) in line
            .spells
            .iter()
            .filter(|(begin, end, _)| *begin <= to && *end >= from)
        {
            let class = if *down { "down" } else { "paused" };
            put(format!(
                "<line class=\"{class}\" x1=\"{:.1}\" x2=\"{:.1}\" y1=\"{up}\" y2=\"{up}\"/>",
                x(*begin),
                x(*end)
            ));
        }
    }
    for message in messages.iter().map(|place| &timeline.messages[*place]) {
        let (x1, y1) = (x(message.at), y(message.from));
        let line = match message.took {
            Some(took) => (x(message.at + took), y(message.to), "message mine"),
            None => (
                x1 + 8.0,
                y1 + (y(message.to) - y1).signum() * ROW * 0.6,
                "message mine lost",
            ),
        };
        put(format!(
            "<line class=\"{}\" x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{:.1}\" y2=\"{:.1}\"/>",
            line.2, line.0, line.1
        ));
    }
    let mut last = (f64::MIN, 0.0);
    for (number, clause) in story.clauses.iter().enumerate() {
        let across = x(clause.at_nanos);
        let up = clause
            .host
            .as_deref()
            .and_then(|host| timeline.host(host))
            .map_or(top, &y);
        last = if across - last.0 < 17.0 && last.1 < 24.0 {
            (across, last.1 + 6.0)
        } else {
            (across, 0.0)
        };
        let class = if clause.decisive { "" } else { " minor" };
        put(format!(
            "<circle class=\"number-back{class}\" cx=\"{across:.1}\" cy=\"{up:.1}\" r=\"4\"/><circle class=\"number-back{class}\" cx=\"{:.1}\" cy=\"{1:.1}\" r=\"8\"/><text class=\"number\" x=\"{0:.1}\" y=\"{2:.1}\">{3}</text>",
            across + 9.0,
            up - 11.0 - last.1,
            up - 7.0 - last.1,
            number + 1
        ));
    }
    let _ = write!(svg, "</svg>");
    svg
}
