//! A failure in Markdown: its shortest story, for a colleague.

use scenarios::{properties::Violation, script::Script, verdict::Conclusion};

use crate::{
    Run,
    diagram::diagram,
    names::Names,
    providers::spells,
    story::{asked, counted, seconds, short, tell},
    timeline::Timeline,
};

/// A failure in Markdown, with what it refers to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The text. It refers to `NAME.svg` and `NAME.json` beside it.
    pub markdown: String,
    /// The drawing: `NAME.svg`.
    pub drawing: String,
    /// The plan: `NAME.json`.
    pub plan: String,
}

/// So many violations are listed besides the first.
const MOST_BESIDES: usize = 5;

/// What a script puts on the stage, a line each: faults, providers that misbehave, the workload.
pub fn needed(script: &Script) -> Vec<String> {
    let mut lines = Vec::new();
    for planned in &script.plan.faults {
        let lasting = match planned.lasting {
            Some(lasting) => format!(", for {}", short(lasting)),
            None => String::new(),
        };
        lines.push(format!("{} at {}{lasting}", planned.fault, short(planned.at)));
    }
    for (provider, spell) in spells(script) {
        let (what, from) = (provider.misbehaves(&spell.behaviour), short(spell.at));
        lines.push(format!("{what}, from {from} for {}", short(spell.lasting)));
    }
    for (at, lasting, what) in asked(script) {
        let lasting = lasting.map(|lasting| format!(" for {}", short(lasting)));
        lines.push(format!(
            "{what} from {}{}",
            short(at),
            lasting.unwrap_or_default()
        ));
    }
    let workload = &script.workload;
    lines.push(format!(
        "{} with {} each, {} in each Region",
        counted(workload.clients.into(), "client"),
        counted(workload.requests.into(), "request"),
        counted(script.gateways.into(), "gateway")
    ));
    lines
}

/// Renders a failure as the finding of this name.
pub fn finding(run: &Run, name: &str) -> Finding {
    let names = Names::new(&run.history);
    let timeline = Timeline::new(&run.verdict, &run.trace);
    let story = tell(run, &names, &timeline);
    let verdict = &run.verdict;
    let fingerprints: Vec<String> = verdict
        .fingerprints()
        .into_iter()
        .map(|print| format!("`{print}`"))
        .collect();
    let what = match verdict.conclusion {
        Conclusion::Violated(_) => fingerprints.join(", "),
        _ => verdict.conclusion.to_string(),
    };
    let mut text = format!(
        "# {name}\n\n{}\n\nScenario `{}`, seed {}: {what}.\n\n![What happened, where and when]({name}.svg)\n",
        story.headline, verdict.scenario, verdict.seed
    );
    if !story.clauses.is_empty() {
        text += "\n| | at | host | what |\n|---|---|---|---|\n";
        for (place, clause) in story.clauses.iter().enumerate() {
            let strong = if clause.decisive { "**" } else { "" };
            text += &format!(
                "| {strong}{}{strong} | {} | {} | {} |\n",
                place + 1,
                seconds(clause.at_nanos),
                clause.host.as_deref().unwrap_or(""),
                clause.text.replace('|', "\\|").replace('\n', " ")
            );
        }
    }
    text += &besides(verdict.violations(), &names);
    text += "\n## What is needed for it\n\n";
    let script = &run.script;
    if let Some(variant) = script.unsound() {
        text += &format!("- {variant}\n");
    }
    for line in needed(script) {
        text += &format!("- {line}\n");
    }
    let features = match script.variant {
        Some(_) => " --features as-written",
        None => "",
    };
    text += &format!(
        "\n## See it again\n\n    cargo run --release{features} -- run --plan reports/findings/{name}.json\n"
    );
    Finding {
        markdown: text,
        drawing: diagram(run, &story, &names, &timeline),
        plan: script.to_json(),
    }
}

/// What does not hold besides the first, which is the story's.
fn besides(violations: &[Violation], names: &Names) -> String {
    let more = violations.get(1..).unwrap_or_default();
    if more.is_empty() {
        return String::new();
    }
    let mut text = "\n## What else does not hold\n\n".to_owned();
    for violation in more.iter().take(MOST_BESIDES) {
        let evidence = names.say(&violation.evidence).replace('\n', " ");
        text += &format!("- `{}`: {evidence}\n", violation.fingerprint());
    }
    if let Some(rest @ 1..) = more.len().checked_sub(MOST_BESIDES) {
        text += &format!("- and {rest} more\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use scenarios::script::{Handover, Rollout};

    use super::*;

    #[test]
    fn what_else_does_not_hold_is_listed_as_far_as_there_is_room() {
        let violation = |number: usize| Violation {
            property: "events".to_owned(),
            place: "never-delivered".to_owned(),
            evidence: format!("event {number} is pending"),
            subjects: Vec::new(),
        };
        let violations: Vec<_> = (0..9).map(violation).collect();
        let names = Names::new(&scenarios::history::History::default());
        assert_eq!(besides(&violations[..1], &names), "");
        let two = besides(&violations[..2], &names);
        assert!(
            two.ends_with("hold\n\n- `events/never-delivered`: event 1 is pending\n"),
            "{two}"
        );
        let all = besides(&violations, &names);
        assert!(all.contains("event 5 is") && !all.contains("event 6 is"), "{all}");
        assert!(all.ends_with("- and 3 more\n"), "{all}");
    }

    #[test]
    fn what_the_operator_asks_for_is_said() {
        let script = Script {
            handovers: vec![Handover {
                at: Duration::from_secs(31),
                to: "us-west-2".to_owned(),
            }],
            rollout: Some(Rollout {
                at: Duration::from_secs(40),
                over: Duration::from_secs(20),
            }),
            ..Script::calm(1)
        };
        assert_eq!(
            needed(&script)[..2],
            [
                "the operator has us-west-2 write from 31 s",
                "the operator rolls a release out from 40 s for 20 s"
            ]
        );
    }
}
