//! From a failing plan to its story, with the command alone.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

fn folder(name: &str) -> PathBuf {
    let folder =
        Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("stories-{name}-{}", std::process::id()));
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap();
    folder
}

fn sumzero(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_sumzero"))
        .args(arguments)
        .output()
        .unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// A provider that forgets keys at once and loses every second answer: somebody is charged twice.
fn failing_plan(folder: &Path) -> PathBuf {
    let out = folder.join("calm");
    let calm = sumzero(&["run", "calm", "--seed", "1", "--out", out.to_str().unwrap()]);
    assert_eq!(calm.status.code(), Some(0), "{}", said(&calm));
    let text = fs::read_to_string(out.join("plan.json")).unwrap();
    let mut plan: serde_json::Value = serde_json::from_str(&text).unwrap();
    plan["workload"]["clients"] = 1.into();
    plan["workload"]["requests"] = 4.into();
    plan["workload"]["mix"] =
        serde_json::json!({"charge": 1, "authorize": 0, "refund": 0, "settlement": 0, "freeze": 0});
    plan["psp"] = serde_json::json!([
        {"at": "0s", "lasting": "60s", "behaviour": {"key_window_s": 0, "answer_lost_ppm": 700_000}}
    ]);
    plan["plan"] = serde_json::json!([
        {"at": "9s", "lasting": "2s", "fault": {"process-pause": {"place": "kyc"}}}
    ]);
    let path = folder.join("failing.json");
    fs::write(&path, plan.to_string()).unwrap();
    path
}

#[test]
fn a_failing_plan_becomes_a_short_story() {
    let folder = folder("short");
    let at = |name: &str| folder.join(name).to_str().unwrap().to_owned();
    let plan = failing_plan(&folder);
    let plan = plan.to_str().unwrap();
    let run = sumzero(&["run", "--plan", plan, "--out", &at("run")]);
    assert_eq!(run.status.code(), Some(1), "{}", said(&run));

    let shrunk = sumzero(&[
        "shrink",
        "--plan",
        plan,
        "--failure",
        "captures/done-twice",
        "--candidates",
        "12",
        "--out",
        &at("smallest"),
    ]);
    assert_eq!(shrunk.status.code(), Some(0), "{}", said(&shrunk));
    for part in [
        "captures/done-twice",
        "without process of kyc paused at 9s",
        "1 of 2 faults are left",
        "the PSP forgets keys",
    ] {
        assert!(said(&shrunk).contains(part), "{part}: {}", said(&shrunk));
    }
    assert!(
        fs::read_to_string(at("smallest/report.html"))
            .unwrap()
            .contains("captured twice")
    );
    let again = sumzero(&["run", "--plan", &at("smallest/plan.json")]);
    assert_eq!(again.status.code(), Some(1), "{}", said(&again));

    let report = sumzero(&[
        "report",
        &at("run"),
        "--plots",
        &at("plots"),
        "--finding",
        &at("twice"),
    ]);
    assert_eq!(report.status.code(), Some(0), "{}", said(&report));
    for file in [
        "run/report.html",
        "plots/availability.svg",
        "twice.md",
        "twice.svg",
        "twice.json",
    ] {
        assert!(Path::new(&at(file)).is_file(), "{file}");
    }

    // Two runs of one plan are the same, a smaller plan's is not.
    assert_eq!(
        sumzero(&["run", "--plan", plan, "--out", &at("run-again")])
            .status
            .code(),
        Some(1)
    );
    let same = sumzero(&["diff", &at("run"), &at("run-again")]);
    assert_eq!(same.status.code(), Some(0), "{}", said(&same));
    let other = sumzero(&["diff", &at("run"), &at("smallest")]);
    assert_eq!(other.status.code(), Some(1), "{}", said(&other));
    assert!(
        said(&other).contains("the first difference is event"),
        "{}",
        said(&other)
    );

    // What failed still fails; a bundle whose verdict was held is no failure.
    let still = sumzero(&["corpus", &at("run")]);
    assert_eq!(still.status.code(), Some(1), "{}", said(&still));
    assert!(
        said(&still).contains("still  captures/done-twice"),
        "{}",
        said(&still)
    );
    // As if the bug had been fixed since: the plan no longer fails.
    fs::create_dir_all(folder.join("fixed/bundle")).unwrap();
    fs::copy(at("calm/plan.json"), at("fixed/bundle/plan.json")).unwrap();
    fs::copy(at("run/verdict.json"), at("fixed/bundle/verdict.json")).unwrap();
    let fixed = sumzero(&["corpus", &at("fixed")]);
    assert_eq!(fixed.status.code(), Some(0), "{}", said(&fixed));
    assert!(
        said(&fixed).contains("fixed  captures/done-twice"),
        "{}",
        said(&fixed)
    );
    // A bug on the list is held to be fixed.
    let list = "[[bug]]\nwhat = \"twice\"\nplan = \"smallest/plan.json\"\n";
    fs::write(folder.join("bugs.toml"), list).unwrap();
    let back = sumzero(&["corpus", &at("bugs.toml")]);
    assert_eq!(back.status.code(), Some(1), "{}", said(&back));
    for part in [
        "plan.json: twice",
        "new    captures/done-twice",
        "0 of 1 hold now",
    ] {
        assert!(said(&back).contains(part), "{part}: {}", said(&back));
    }
    fs::remove_dir_all(folder).unwrap();
}

#[test]
fn what_cannot_be_told_is_said_and_exits_with_2() {
    let folder = folder("refused");
    let at = |name: &str| folder.join(name).to_str().unwrap().to_owned();
    let calm = sumzero(&["run", "calm", "--seed", "1", "--out", &at("calm")]);
    assert_eq!(calm.status.code(), Some(0), "{}", said(&calm));
    let text = fs::read_to_string(at("calm/plan.json")).unwrap();
    fs::write(
        at("other.json"),
        text.replacen("\"format\": 1", "\"format\": 99", 1),
    )
    .unwrap();
    fs::write(at("cut.json"), &text[..text.len() / 2]).unwrap();
    for (arguments, parts) in [
        (
            vec!["shrink", "calm", "--seed", "1", "--out", "nowhere"],
            vec!["nothing to shrink", "does not fail"],
        ),
        (
            vec!["shrink", "--plan", &at("other.json")],
            vec!["other.json", "format 99"],
        ),
        (vec!["shrink", "--plan", &at("cut.json")], vec!["cut.json"]),
        (
            vec!["shrink", "no-such", "--seed", "1"],
            vec!["no scenario no-such"],
        ),
        (vec!["report", &at("missing")], vec!["missing", "sumzero run"]),
        (vec!["diff", &at("calm"), &at("missing")], vec!["missing"]),
        (vec!["corpus", &at("")], vec!["there is no plan.json"]),
        (
            vec!["bisect", "calm", "--seed", "1", "--good", "no-such-commit"],
            vec!["no-such-commit"],
        ),
    ] {
        // The folder with a calm run in it is no corpus until there is one.
        if arguments[0] == "corpus" {
            fs::remove_dir_all(at("calm")).unwrap();
        }
        let refused = sumzero(&arguments);
        assert_eq!(
            refused.status.code(),
            Some(2),
            "{arguments:?}: {}",
            said(&refused)
        );
        for part in parts {
            assert!(said(&refused).contains(part), "{part}: {}", said(&refused));
        }
    }
    assert!(!Path::new("nowhere").exists());
    fs::remove_dir_all(folder).unwrap();
}

/// A repository whose program has the command's name and fails since one commit; another does not build.
fn repository(folder: &Path) {
    let git = |words: &[&str]| {
        let author = [
            "-c",
            "user.name=Somebody",
            "-c",
            "user.email=somebody@example.org",
        ];
        let output = Command::new("git")
            .arg("-C")
            .arg(folder)
            .args(author)
            .args(words)
            .output()
            .unwrap();
        assert!(output.status.success(), "{words:?}: {}", said(&output));
    };
    git(&["init", "--quiet"]);
    fs::create_dir_all(folder.join("src")).unwrap();
    let manifest = "[package]\nname = \"sumzero\"\nversion = \"0.1.0\"\nedition = \"2024\"\n[workspace]\n";
    fs::write(folder.join("Cargo.toml"), manifest).unwrap();
    for (subject, code) in [
        ("Begin", "0"),
        ("Change nothing", "0 + 0"),
        ("Break the build", "nothing"),
        ("Mend the build", "0"),
        ("Take the money twice", "1"),
        ("Change nothing again", "1 + 0"),
    ] {
        // Told anything but what was asked for it gives no verdict.
        let program = format!(
            "fn main() {{\n    let words: Vec<String> = std::env::args().skip(1).collect();\n    let asked = words == \
             [\"run\", \"calm\", \"--seed\", \"7\"] || words.len() == 3 && words[..2] == [\"run\", \"--plan\"] && \
             std::path::Path::new(&words[2]).is_file();\n    std::process::exit(if asked {{ {code} }} else {{ 2 }})\n}}\n"
        );
        fs::write(folder.join("src/main.rs"), program).unwrap();
        git(&["add", "Cargo.toml", "src"]);
        git(&["commit", "--quiet", "-m", subject]);
    }
}

#[test]
fn the_commit_that_changed_a_verdict_is_built_run_and_named() {
    let folder = folder("bisect");
    let (tree, scratch) = (folder.join("tree"), folder.join("scratch"));
    fs::create_dir_all(&scratch).unwrap();
    fs::create_dir_all(&tree).unwrap();
    repository(&tree);
    let plan = folder.join("a plan's name.json");
    fs::write(&plan, "{}").unwrap();
    let plan = plan.to_str().unwrap();
    let bisect = |world: &[&str], good: &str, bad: &str| {
        Command::new(env!("CARGO_BIN_EXE_sumzero"))
            .arg("bisect")
            .args(world)
            .args(["--good", good, "--bad", bad, "--cargo", "--offline"])
            .current_dir(&tree)
            .env("TMPDIR", &scratch)
            .output()
            .unwrap()
    };
    for world in [&["calm", "--seed", "7"][..], &["--plan", plan]] {
        let found = bisect(world, "HEAD~5", "HEAD");
        assert_eq!(found.status.code(), Some(0), "{}", said(&found));
        let words = String::from_utf8_lossy(&found.stdout).into_owned();
        assert!(words.contains("The verdict changed with\n"), "{words}");
        assert!(words.contains("Take the money twice (Somebody"), "{words}");
    }
    // A seed that nothing changed, and a build that fails, are said.
    let same = bisect(&["calm", "--seed", "7"], "HEAD~5", "HEAD~4");
    assert_eq!(same.status.code(), Some(2));
    assert!(said(&same).contains("the seed holds"), "{}", said(&same));
    let unbuilt = bisect(&["calm", "--seed", "7"], "HEAD~3", "HEAD");
    assert_eq!(unbuilt.status.code(), Some(2));
    assert!(
        said(&unbuilt).contains("a commit that builds"),
        "{}",
        said(&unbuilt)
    );
    fs::remove_dir_all(folder).unwrap();
}
