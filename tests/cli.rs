//! The command line as a person or a script meets it.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use quick_junit::TestCaseStatus;

struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("cli-{name}"));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn path(&self, name: &str) -> String {
        self.0.join(name).to_str().unwrap().to_owned()
    }
}

fn sumzero(words: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_sumzero"))
        .args(words)
        .output()
        .unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn last_line(output: &Output) -> String {
    stdout(output).lines().last().unwrap_or_default().to_owned()
}

/// A provider that forgets what it was asked for, and loses answers: somebody is charged twice.
const FORGETFUL: &str = r#"
about = "A provider that forgets its keys at once"
[[psp]]
at = "0s"
lasting = "60s"
behaviour = { key_window_s = 0, answer_lost_ppm = 400000 }
"#;

#[test]
fn without_arguments_it_says_what_to_try_in_ten_lines() {
    let output = sumzero(&[]);
    assert_eq!(output.status.code(), Some(0));
    let said = stdout(&output);
    assert!(said.lines().count() <= 10, "{said}");
    assert!(said.lines().all(|line| line.len() <= 80), "{said}");
    assert!(said.contains("sumzero explore"), "{said}");
}

#[test]
fn help_and_lists_fit_a_terminal() {
    for words in [
        &["--help"][..],
        &["explore", "--help"],
        &["run", "--help"],
        &["verify", "--help"],
        &["check", "--help"],
        &["merge", "--help"],
        &["shrink", "--help"],
        &["report", "--help"],
        &["bisect", "--help"],
        &["corpus", "--help"],
        &["score", "--help"],
        &["list", "--help"],
        &["list"],
    ] {
        let said = stdout(&sumzero(words));
        let wide: Vec<_> = said.lines().filter(|line| line.chars().count() > 80).collect();
        assert!(wide.is_empty(), "{words:?}: {wide:?}");
        assert!(said.len() > 200, "{words:?}: {said}");
    }
}

#[test]
fn a_seed_is_the_same_again_and_its_record_can_be_judged_and_replayed() {
    let folder = Folder::new("record");
    let out = folder.path("out");
    let first = sumzero(&["run", "crash", "--seed", "3"]);
    assert_eq!(
        first.status.code(),
        Some(0),
        "{}{}",
        stdout(&first),
        stderr(&first)
    );
    let hash = last_line(&first);
    assert!(hash.starts_with("trace-hash: "), "{hash}");
    assert_eq!(
        last_line(&sumzero(&["run", "crash", "--seed", "3", "--out", &out])),
        hash
    );
    let plan = folder.path("out/plan.json");
    assert_eq!(last_line(&sumzero(&["run", "--plan", &plan])), hash);
    assert_ne!(last_line(&sumzero(&["run", "crash", "--seed", "4"])), hash);

    let checked = sumzero(&["check", "--from", &out]);
    assert_eq!(
        (checked.status.code(), stdout(&checked).trim()),
        (Some(0), "held: all properties")
    );
    // A payment that the provider made twice, in the history alone.
    let path = folder.path("out/history.json");
    let mut history: serde_json::Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
    let effects = history["effects"].as_array_mut().unwrap();
    effects.push(effects[0].clone());
    fs::write(&path, history.to_string()).unwrap();
    let checked = sumzero(&["check", "--from", &out]);
    assert_eq!(checked.status.code(), Some(1));
    assert!(
        stdout(&checked).contains("captures/done-twice"),
        "{}",
        stdout(&checked)
    );
    // Cut off.
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, &text[..text.len() / 2]).unwrap();
    let checked = sumzero(&["check", "--from", &out]);
    assert_eq!(checked.status.code(), Some(2));
    assert!(
        stderr(&checked).contains("history.json is not a history"),
        "{}",
        stderr(&checked)
    );
}

#[test]
fn a_failure_is_found_grouped_and_left_in_a_folder() {
    let folder = Folder::new("failure");
    let scenario = folder.path("forgetful.toml");
    fs::write(&scenario, FORGETFUL).unwrap();
    let out = folder.path("out");
    let output = sumzero(&["explore", &scenario, "--seeds", "3", "--out", &out]);
    assert_eq!(
        output.status.code(),
        Some(1),
        "{}{}",
        stdout(&output),
        stderr(&output)
    );
    let said = stdout(&output);
    assert!(said.contains("captures/done-twice"), "{said}");
    assert!(said.contains("sumzero run"), "{said}");
    let lines = fs::read_to_string(folder.path("out/results.jsonl")).unwrap();
    assert_eq!(lines.lines().count(), 3);
    // For services that run tests: what failed, what shows it, and the command that runs it again.
    let junit = fs::read_to_string(folder.path("out/junit.xml")).unwrap();
    let junit = quick_junit::Report::deserialize_from_str(&junit).unwrap();
    let [suite] = junit.test_suites.as_slice() else {
        panic!("{junit:?}")
    };
    assert_eq!((suite.name.as_str(), suite.tests), (scenario.as_str(), 3));
    assert!(suite.failures > 0 && suite.errors == 0, "{suite:?}");
    let failed = suite.test_cases.iter().find_map(|case| match &case.status {
        TestCaseStatus::NonSuccess {
            message, description, ..
        } => Some((case.name.as_str(), message.as_ref()?, description.as_ref()?)),
        _ => None,
    });
    let (name, message, text) = failed.unwrap();
    assert!(message.as_str().contains("captures/done-twice"), "{message:?}");
    assert!(text.as_str().contains("the provider"), "{text:?}");
    let replay = format!("sumzero run {scenario} --{name}");
    assert_eq!(text.as_str().lines().last(), Some(replay.as_str()));
    let words: Vec<&str> = replay.split(' ').skip(1).collect();
    assert_eq!(sumzero(&words).status.code(), Some(1), "{replay}");
    let bundle = folder.path("out/failures/captures-done-twice");
    assert_eq!(sumzero(&["check", "--from", &bundle]).status.code(), Some(1));
    let replayed = sumzero(&["run", "--plan", &format!("{bundle}/plan.json")]);
    assert_eq!(replayed.status.code(), Some(1));
}

#[test]
fn two_processes_agree() {
    let output = sumzero(&["verify", "everything", "--seeds", "1"]);
    assert_eq!(output.status.code(), Some(0), "{}", stdout(&output));
    assert!(
        stdout(&output).contains("1 seeds are the same"),
        "{}",
        stdout(&output)
    );
}

#[test]
fn bad_input_is_refused_in_words() {
    let folder = Folder::new("bad");
    let scenario = folder.path("bad.toml");
    fs::write(&scenario, FORGETFUL.replace("lasting", "lastign")).unwrap();
    let plan = folder.path("plan.json");
    fs::write(&plan, r#"{"format": 99}"#).unwrap();
    let bugs = folder.path("bugs.toml");
    fs::write(&bugs, "[[bug]]\nwhat = \"gone\"\nscenario = \"calm\"\n").unwrap();
    for (words, expected) in [
        (
            &["run", "everythin", "--seed", "1"][..],
            "did you mean everything?",
        ),
        (
            &["run", &scenario, "--seed", "1"],
            "bad.toml:5:1: unknown field `lastign`",
        ),
        (&["run", "--plan", &plan], "a plan of format 99"),
        (&["run", "--plan", "/no/such/plan.json"], "/no/such/plan.json"),
        (&["run", "calm"], "--seed"),
        (&["explore", "calm", "--range", "9..3"], "no seed in it"),
        (&["explore", "calm", "--shard", "3/2"], "3/2"),
        (&["explore", "no.toml"], "no.toml"),
        (&["check", "--from", "/no/such"], "/no/such/plan.json"),
        (&["merge", "/no/such"], "/no/such/results.jsonl"),
        (&["corpus", &bugs], "give either a scenario and a seed"),
        (&["shrink", "calm"], "--seed"),
        (&["bisect", "calm", "--good", "HEAD"], "--seed"),
    ] {
        let output = sumzero(words);
        assert_eq!(output.status.code(), Some(2), "{words:?}");
        let said = stderr(&output);
        assert!(said.contains(expected), "{words:?}: {said}");
        assert!(stdout(&output).is_empty(), "{words:?}");
    }
}
