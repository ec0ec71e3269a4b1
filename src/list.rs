//! `sumzero list`: what there is.

use std::process::ExitCode;

use clap::{Args, ValueEnum};
use scenarios::{properties::PROPERTIES, reach::REACH_POINTS, scenario::catalogue};
use sumzero_sim::fault;

use crate::Done;

/// List scenarios, properties, faults and reach points
///
/// Scenarios are what `explore` and `run` take; properties are what a run is judged
/// by; faults are what a scenario can have go wrong; reach points are interesting
/// things that a campaign should have seen.
#[derive(Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Arguments {
    /// Only scenarios, properties, faults or reach-points
    #[arg(value_enum, hide_possible_values = true)]
    what: Option<What>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum What {
    Scenarios,
    Properties,
    Faults,
    ReachPoints,
    /// What `sumzero score` tries
    #[cfg(feature = "as-written")]
    Variants,
}

pub(crate) fn run(arguments: &Arguments) -> Done {
    let wanted = |what| arguments.what.is_none_or(|wanted| wanted == what);
    if wanted(What::Scenarios) {
        let all = catalogue();
        section(
            "Scenarios",
            all.iter().map(|scenario| (&*scenario.name, &*scenario.about)),
        );
    }
    if wanted(What::Properties) {
        section(
            "Properties",
            PROPERTIES
                .iter()
                .map(|property| (property.name, property.meaning)),
        );
    }
    if wanted(What::Faults) {
        section("Faults", fault::KINDS.iter().copied());
        section(
            "Faults of simulated services",
            fault::SERVICE_KINDS.iter().copied(),
        );
    }
    if wanted(What::ReachPoints) {
        section(
            "Reach points",
            REACH_POINTS.iter().map(|point| (point.name, point.meaning)),
        );
    }
    #[cfg(feature = "as-written")]
    if wanted(What::Variants) {
        let variants = scenarios::score::Variant::ALL.iter();
        section(
            "Variants",
            variants.map(|variant| (variant.name(), variant.says())),
        );
    }
    Ok(ExitCode::SUCCESS)
}

/// A name and what it means, within 80 columns.
fn section<'a>(title: &str, lines: impl Iterator<Item = (&'a str, &'a str)>) {
    println!("{title}");
    for (name, meaning) in lines {
        let mut line = format!("  {name:<22}");
        for word in meaning.split_whitespace() {
            if line.len() + word.len() + 1 > 80 {
                println!("{line}");
                line = " ".repeat(24);
            }
            line = format!("{line} {word}");
        }
        println!("{line}");
    }
    println!();
}
