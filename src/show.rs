//! Results as text for a terminal of 80 columns.

use std::time::Duration;

use scenarios::{
    reach::REACH_POINTS,
    survey::{Survey, replay},
    verdict::{Conclusion, Verdict},
};

/// A duration for people: two or three digits.
pub(crate) fn time(nanos: u64) -> String {
    let duration = Duration::from_nanos(nanos);
    match duration.as_secs_f64() {
        seconds if seconds >= 100.0 => format!("{seconds:.0} s"),
        seconds if seconds >= 1.0 => format!("{seconds:.1} s"),
        seconds => format!("{:.0} ms", seconds * 1e3),
    }
}

/// What one run came to.
pub(crate) fn verdict(verdict: &Verdict) {
    let measures = &verdict.measures;
    println!(
        "{} confirmed, {} refused; {} attempts, {:.1} % of them 409",
        measures.confirmed,
        measures.refused,
        measures.attempts,
        f64::from(measures.conflict_ppm) / 1e4
    );
    println!(
        "answers within {} (median), {} (99th percentile); longest outage {}",
        time(measures.p50_nanos),
        time(measures.p99_nanos),
        time(measures.longest_outage_nanos)
    );
    for fault in verdict.faults.iter().filter(|fault| fault.bites == 0) {
        println!("never bit: {}", fault.what);
    }
    for host in &verdict.hosts {
        if let sumzero_sim::HostState::Failed { message } = &host.state {
            println!("{} ended with an error: {message}", host.name);
        }
    }
    println!("\n{}", verdict.conclusion);
    for violation in verdict.violations() {
        println!("  {}: {}", violation.fingerprint(), violation.evidence);
    }
    if let Some(hash) = &verdict.trace_hash {
        println!("trace-hash: {hash}");
    }
}

/// What many seeds came to.
pub(crate) fn survey(survey: &Survey) {
    println!(
        "{:<18}{:>7}{:>7}{:>9}{:>8}{:>11}{:>9}{:>9}",
        "scenario", "seeds", "held", "violated", "unknown", "confirmed", "p99", "outage"
    );
    for (name, tally) in &survey.scenarios {
        println!(
            "{name:<18}{:>7}{:>7}{:>9}{:>8}{:>11}{:>9}{:>9}",
            tally.held + tally.violated + tally.unknown,
            tally.held,
            tally.violated,
            tally.unknown,
            tally.confirmed,
            time(tally.p99_nanos),
            time(tally.longest_outage_nanos)
        );
    }
    let (reached, all) = (survey.reached.len(), REACH_POINTS.len());
    println!("\n{reached} of {all} reach points reached");
    list("never reached", survey.never_reached());
    let idle = survey.faults.iter().filter(|(_, (_, bit))| *bit == 0);
    list("planned and never bit", idle.map(|(kind, _)| &**kind).collect());
    for (fingerprint, failures) in &survey.failures {
        let (scenario, seed, _) = &failures.fastest;
        println!("\n{fingerprint}: {} seeds", failures.seeds);
        for line in failures.evidence.lines().take(3) {
            println!("  {line}");
        }
        println!("  {}", replay(scenario, *seed));
    }
}

fn list(what: &str, names: Vec<&str>) {
    if names.is_empty() {
        return;
    }
    let mut line = format!("{what}:");
    for name in names {
        if line.len() + name.len() + 2 > 80 {
            println!("{line}");
            line = " ".repeat(what.len() + 1);
        }
        line = format!("{line} {name}");
    }
    println!("{line}");
}

/// Whether the conclusion is one, for the exit code.
pub(crate) fn exit_code(conclusion: &Conclusion) -> u8 {
    match conclusion {
        Conclusion::Held => 0,
        Conclusion::Violated(_) => 1,
        Conclusion::Unknown(_) => 2,
    }
}
