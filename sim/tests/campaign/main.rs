//! What a campaign makes of seeds that go wrong in every way, and what the self-check makes of programs that are not
//! deterministic.
//!
//! A campaign forks, so these tests run one after the other in a process with a single thread, and not under the standard
//! harness. The same executable is also the programs that they start: `campaign program NAME ...`.

mod fates;
mod journal;
mod selfcheck;
mod shrink;
mod storm;

use std::panic::catch_unwind;

type Test = (&'static str, fn());

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    if let Some(("program", program)) = words.split_first().map(|(first, rest)| (first.as_str(), rest)) {
        return run_program(program);
    }
    let wanted: Vec<&String> = words.iter().filter(|word| !word.starts_with('-')).collect();
    let all = [
        fates::TESTS,
        journal::TESTS,
        selfcheck::TESTS,
        shrink::TESTS,
        storm::TESTS,
    ]
    .concat();
    let chosen: Vec<&Test> = all
        .iter()
        .filter(|(name, _)| wanted.is_empty() || wanted.iter().any(|part| name.contains(part.as_str())))
        .collect();
    if words.iter().any(|word| word == "--list") {
        chosen.iter().for_each(|(name, _)| println!("{name}: test"));
        return;
    }
    println!("\nrunning {} tests", chosen.len());
    let mut failed = 0;
    for (name, test) in chosen {
        let passed = catch_unwind(test).is_ok();
        println!("test {name} ... {}", if passed { "ok" } else { "FAILED" });
        failed += usize::from(!passed);
    }
    println!();
    if failed > 0 {
        eprintln!("{failed} failed");
        std::process::exit(101);
    }
}

fn run_program(words: &[String]) {
    match words[0].as_str() {
        "storm" => storm::program(&words[1..]),
        "spinning-campaign" => fates::spinning_campaign(),
        name => selfcheck::program(name, &words[1..]),
    }
}

/// This executable, as one of its programs.
fn program(name: &str) -> std::process::Command {
    let mut command = std::process::Command::new(std::env::current_exe().unwrap());
    command.args(["program", name]);
    command
}

/// The tests of a module, with their names.
macro_rules! tests {
    ($($name:ident),* $(,)?) => {
        pub(crate) const TESTS: &[crate::Test] = &[$((concat!(module_path!(), "::", stringify!($name)), $name)),*];
    };
}
use tests;
