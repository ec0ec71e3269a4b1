//! The payment system in simulated worlds: what holds without faults holds with them, and the same seed is the same story.
//!
//! Each world is forked from the same memory, so these tests run one after the other in a process with a single thread, and
//! not under the standard harness. The same executable is also the program that the self-check starts: `program SEED TRACE`.

mod faults;
mod messages;
mod regions;
mod rest;
mod rollout;
mod shrink;
mod traffic;

use std::panic::catch_unwind;

type Test = (&'static str, fn());

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    if let Some(("program", rest)) = words.split_first().map(|(first, rest)| (first.as_str(), rest)) {
        return faults::program(rest);
    }
    let wanted: Vec<&String> = words.iter().filter(|word| !word.starts_with('-')).collect();
    let chosen: Vec<&Test> = [
        faults::TESTS,
        messages::TESTS,
        regions::TESTS,
        rest::TESTS,
        rollout::TESTS,
        shrink::TESTS,
        traffic::TESTS,
    ]
    .into_iter()
    .flatten()
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
