//! A campaign as one HTML file.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use scenarios::{
    properties::PROPERTIES,
    reach::REACH_POINTS,
    survey::{Survey, SurveyLine},
};

use crate::{
    Error,
    html::{STYLE, escape, fill, section, table},
    junit::junit,
    plots,
    story::short,
};

/// Reads a campaign's results: a line for each seed, as `sumzero explore --out` writes them to `results.jsonl`.
///
/// # Errors
/// When the file is missing, or a line of it is not a result; in words that name the line.
pub fn read_results(path: &Path) -> Result<Vec<SurveyLine>, Error> {
    let unreadable = |problem: String| Error::Results {
        path: path.to_owned(),
        problem,
    };
    let text = fs::read_to_string(path).map_err(|error| unreadable(error.to_string()))?;
    let lines = text.lines().enumerate().map(|(number, line)| {
        serde_json::from_str(line).map_err(|error| {
            let remedy = match error.is_eof() {
                true => "the campaign was interrupted while it wrote; take the line out",
                false => "another version wrote it; run the campaign again with this one",
            };
            unreadable(format!("line {}: {error}: {remedy}", number + 1))
        })
    });
    lines.collect()
}

/// Leaves in a folder what there is to see of a campaign: `report.html` for people, `junit.xml` for services that run tests.
/// `real_seconds` is how long it took with all its jobs, where that is known.
///
/// # Errors
/// When a file cannot be written.
pub fn write_campaign(folder: &Path, lines: &[SurveyLine], real_seconds: Option<f64>) -> Result<(), Error> {
    let files = [
        ("report.html", campaign_page(lines, real_seconds)),
        ("junit.xml", junit(lines)),
    ];
    for (name, text) in files {
        let path = folder.join(name);
        fs::write(&path, text).map_err(|source| Error::Unwritable { path, source })?;
    }
    Ok(())
}

/// Renders a campaign. `real_seconds` is how long it took with all its jobs, where that is known.
pub fn campaign_page(lines: &[SurveyLine], real_seconds: Option<f64>) -> String {
    let mut survey = Survey::default();
    lines.iter().for_each(|line| survey.add(line));
    let count = |of: fn(&scenarios::survey::Tally) -> u64| survey.scenarios.values().map(of).sum::<u64>();
    let (held, violated, unknown) = (
        count(|of| of.held),
        count(|of| of.violated),
        count(|of| of.unknown),
    );
    let (conclusion, words) = match survey.exit_code() {
        0 => ("held", "held"),
        1 => ("violated", "violated"),
        _ => ("unknown", "could not tell"),
    };
    let headline = match survey.failures.len() {
        0 => format!("All of {} seeds held.", survey.seeds()),
        kinds => format!(
            "{kinds} kind{} of failure in {violated} of {} seeds; {held} held, and of {unknown} it could not be told.",
            if kinds == 1 { "" } else { "s" },
            survey.seeds()
        ),
    };
    let cpu = survey.took_ms as f64 / 1e3;
    let mut figures = format!(
        "{:.1} seeds a second of one core, {} confirmed requests",
        survey.seeds() as f64 / cpu.max(1e-3),
        survey.confirmed
    );
    if let Some(seconds) = real_seconds {
        figures = format!(
            "{:.1} seeds a second, {figures}",
            survey.seeds() as f64 / seconds.max(1e-3)
        );
    }
    let plots: String = plots::campaign(lines).iter().map(|plot| plot.inline()).collect();
    fill(
        include_str!("../assets/campaign.html"),
        &[
            ("style", STYLE),
            ("conclusion", conclusion),
            ("conclusion-words", words),
            ("headline", &headline),
            ("figures", &figures),
            ("failures", &failures(&survey)),
            ("matrix", &matrix(&survey, lines)),
            ("reach", &reach(&survey)),
            ("faults", &faults(&survey)),
            (
                "plots",
                &section(
                    "plots",
                    "Latency and recovery",
                    &format!("<div class=\"two\">{plots}</div>"),
                ),
            ),
        ],
    )
}

fn failures(survey: &Survey) -> String {
    let mut failures: Vec<_> = survey.failures.iter().collect();
    failures.sort_by_key(|(fingerprint, failures)| (std::cmp::Reverse(failures.seeds), *fingerprint));
    let rows: Vec<Vec<String>> = failures
        .into_iter()
        .map(|(fingerprint, failures)| {
            let (scenario, seed, took_ms) = &failures.fastest;
            vec![
                format!("<code>{}</code>", escape(fingerprint)),
                failures.seeds.to_string(),
                escape(&failures.evidence),
                format!(
                    "<code>sumzero run {} --seed {seed}</code> <span class=\"soft\">{}</span>",
                    escape(scenario),
                    short(std::time::Duration::from_millis(*took_ms))
                ),
            ]
        })
        .collect();
    let body = match rows.is_empty() {
        true => "<p>None.</p>".to_owned(),
        false => table(&["failure", "#seeds", "what shows it", "the fastest seed"], &rows),
    };
    section("failures", "Failures", &body)
}

/// Scenarios by properties: in how many seeds each was violated.
fn matrix(survey: &Survey, lines: &[SurveyLine]) -> String {
    let mut violated: BTreeMap<(&str, &str), u64> = BTreeMap::new();
    for line in lines {
        let violations = line
            .fate
            .answer()
            .map(|verdict| verdict.violations())
            .unwrap_or_default();
        let properties: BTreeSet<&str> = violations
            .iter()
            .map(|violation| violation.property.as_str())
            .collect();
        for property in properties {
            *violated.entry((&line.scenario, property)).or_default() += 1;
        }
    }
    let mut head = vec!["scenario", "#seeds", "#could not tell"];
    let names: Vec<String> = PROPERTIES
        .iter()
        .map(|property| format!("#{}", property.name))
        .collect();
    head.extend(names.iter().map(String::as_str));
    head.extend(["#confirmed", "#worst p99", "#longest outage"]);
    let time = |nanos: u64| short(std::time::Duration::from_nanos(nanos));
    let rows: Vec<Vec<String>> = survey
        .scenarios
        .iter()
        .map(|(scenario, tally)| {
            let marked = |count: u64, class: &str| match count {
                0 => "<span class=\"good\">\u{b7}</span>".to_owned(),
                count => format!("<b class=\"{class}\">{count}</b>"),
            };
            let mut row = vec![
                format!("<b>{}</b>", escape(scenario)),
                (tally.held + tally.violated + tally.unknown).to_string(),
                marked(tally.unknown, "warn"),
            ];
            let of_property =
                |property: &str| violated.get(&(scenario.as_str(), property)).copied().unwrap_or(0);
            row.extend(
                PROPERTIES
                    .iter()
                    .map(|property| marked(of_property(property.name), "bad")),
            );
            row.extend([
                tally.confirmed.to_string(),
                time(tally.p99_nanos),
                time(tally.longest_outage_nanos),
            ]);
            row
        })
        .collect();
    let meanings = PROPERTIES
        .iter()
        .map(|property| format!("<dt><b>{}</b></dt><dd>{}</dd>", property.name, property.meaning));
    let body = format!(
        "<p class=\"soft\">In how many seeds a property was violated.</p><div class=\"scroll\" tabindex=\"0\">{}</div>\
         <details><summary>What the properties mean</summary><dl>{}</dl></details>",
        table(&head, &rows),
        meanings.collect::<String>()
    );
    section("matrix", "Scenarios and properties", &body)
}

fn reach(survey: &Survey) -> String {
    let rows: Vec<Vec<String>> = REACH_POINTS
        .iter()
        .map(|point| {
            let seeds = survey.reached.get(point.name).copied().unwrap_or(0);
            let shown = match seeds {
                0 => "<b class=\"warn\">never</b>".to_owned(),
                seeds => seeds.to_string(),
            };
            vec![
                format!("<code>{}</code>", point.name),
                shown,
                escape(point.meaning),
            ]
        })
        .collect();
    let never = survey.never_reached().len();
    let body = format!(
        "<p>{} of {} reach points were reached.</p><div class=\"scroll\" tabindex=\"0\">{}</div>",
        REACH_POINTS.len() - never,
        REACH_POINTS.len(),
        table(&["reach point", "#seeds", "what has happened"], &rows)
    );
    section("reach", "What was reached", &body)
}

fn faults(survey: &Survey) -> String {
    let rows: Vec<Vec<String>> = survey
        .faults
        .iter()
        .map(|(kind, (planned, bit))| {
            let share = 100.0 * *bit as f64 / (*planned).max(1) as f64;
            vec![
                escape(kind),
                planned.to_string(),
                bit.to_string(),
                format!("{share:.0} %"),
            ]
        })
        .collect();
    let body = match rows.is_empty() {
        true => "<p>None were planned.</p>".to_owned(),
        false => table(&["fault", "#planned", "#bit", "#"], &rows),
    };
    section("bites", "Faults that bit", &body)
}

#[cfg(test)]
mod tests {
    use scenarios::{
        properties::Violation,
        verdict::{Conclusion, Measures, Verdict},
    };
    use sumzero_sim::campaign::Fate;

    use super::*;

    fn line(seed: u64, conclusion: Conclusion) -> SurveyLine {
        let measures = Measures {
            p99_nanos: 1_000_000 * (seed + 1),
            ..Measures::default()
        };
        SurveyLine {
            scenario: "lost <answers>".to_owned(),
            seed,
            fate: Fate::Finished(Verdict {
                scenario: "lost <answers>".to_owned(),
                seed,
                conclusion,
                trace_hash: None,
                measures,
                reached: vec!["declined".to_owned()],
                faults: Vec::new(),
                hosts: Vec::new(),
            }),
            took_ms: 100,
        }
    }

    fn violated() -> Conclusion {
        Conclusion::Violated(vec![Violation {
            property: "captures".to_owned(),
            place: "done-twice".to_owned(),
            evidence: "the provider did p twice".to_owned(),
            subjects: Vec::new(),
        }])
    }

    #[test]
    fn a_campaign_says_what_failed_and_what_was_never_reached() {
        let mut lines: Vec<SurveyLine> = (0..9).map(|seed| line(seed, Conclusion::Held)).collect();
        let page = campaign_page(&lines, Some(0.5));
        assert!(
            page.contains("All of 9 seeds held.") && page.contains("18.0 seeds a second"),
            "{page}"
        );
        lines.push(line(9, violated()));
        let page = campaign_page(&lines, None);
        assert!(page.contains("1 kind of failure in 1 of 10 seeds"));
        assert!(page.contains("captures/done-twice") && page.contains("--seed 9"));
        assert!(page.contains("<b class=\"warn\">never</b>"));
        assert!(!page.contains("lost <answers>") && page.contains("lost &lt;answers&gt;"));
    }

    #[test]
    fn a_line_that_is_cut_off_is_named() {
        let folder = std::env::temp_dir().join(format!("sumzero-results-{}", std::process::id()));
        let good = serde_json::to_string(&line(1, Conclusion::Held)).unwrap();
        fs::write(&folder, format!("{good}\n{}", &good[..40])).unwrap();
        let error = read_results(&folder).unwrap_err().to_string();
        fs::remove_file(&folder).unwrap();
        assert!(
            error.contains("line 2") && error.contains("interrupted"),
            "{error}"
        );
    }
}
