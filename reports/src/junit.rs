//! A campaign as JUnit XML, which services that run tests show: a suite for each scenario, a case for each seed.

use std::{collections::BTreeMap, time::Duration};

use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};
use scenarios::{
    survey::SurveyLine,
    verdict::{Conclusion, Verdict},
};

/// Renders a campaign. A case's failure is of the type of the first fingerprint; its text has each fingerprint with what shows it,
/// and in the last line the command that runs the seed again. What could not be told is an error and no failure.
pub fn junit(lines: &[SurveyLine]) -> String {
    let mut suites: BTreeMap<&str, Vec<&SurveyLine>> = BTreeMap::new();
    for line in lines {
        suites.entry(&line.scenario).or_default().push(line);
    }
    let mut report = Report::new("sumzero");
    report.set_time(took(lines));
    for (scenario, mut lines) in suites {
        lines.sort_by_key(|line| line.seed);
        let mut suite = TestSuite::new(scenario);
        suite.set_time(took(lines.iter().copied()));
        suite.add_test_cases(lines.into_iter().map(case));
        report.add_test_suite(suite);
    }
    report.to_string().expect("text whose characters XML can hold")
}

fn took<'a>(lines: impl IntoIterator<Item = &'a SurveyLine>) -> Duration {
    let each = lines.into_iter().map(|line| Duration::from_millis(line.took_ms));
    each.sum()
}

fn case(line: &SurveyLine) -> TestCase {
    let mut case = TestCase::new(format!("seed {}", line.seed), status(line));
    case.set_classname(line.scenario.as_str())
        .set_time(Duration::from_millis(line.took_ms));
    case
}

fn status(line: &SurveyLine) -> TestCaseStatus {
    let failures = line.failures();
    let Some(first) = failures.keys().next() else {
        return TestCaseStatus::success();
    };
    let kind = match line.fate.answer().map(|Verdict { conclusion, .. }| conclusion) {
        Some(Conclusion::Violated(_)) => NonSuccessKind::Failure,
        _ => NonSuccessKind::Error,
    };
    let mut text = String::new();
    for (fingerprint, evidence) in &failures {
        text += &format!("{fingerprint}: {evidence}\n");
    }
    text += &line.replay();
    let fingerprints: Vec<&str> = failures.keys().map(String::as_str).collect();
    let mut status = TestCaseStatus::non_success(kind);
    status
        .set_type(first.as_str())
        .set_message(fingerprints.join(", "))
        .set_description(text);
    status
}
