//! The properties notice unsound variants of the system within few seeds, and show nothing of the sound one in the same worlds.
//!
//! `sumzero score` tries all variants; these are the quickest. Worlds are forked, so this is not under the standard harness.

use scenarios::{
    score::{Score, Variant},
    stage,
};

const SEEDS: u64 = 16;

/// Quickly shown, by a property each.
const QUICK: &[(Variant, &str)] = &[
    (Variant::KeyWithoutNumber, "captures"),
    (Variant::GrossPaidOut, "captures"),
    (Variant::FeeLost, "books"),
];

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    if words.iter().any(|word| word == "--list") {
        println!("quick_variants_are_caught_and_the_sound_system_shows_nothing: test");
        return;
    }
    stage::listen();
    let mut score = Score::new(None);
    for (variant, by) in QUICK {
        let tried = score.try_variant(*variant, SEEDS).expect("worlds can be started");
        let name = variant.name();
        let catch = tried
            .caught
            .unwrap_or_else(|| panic!("{name}: not caught in {SEEDS} seeds"));
        println!("{name}: {} in {} seeds", catch.fingerprint, tried.seeds);
        let property = catch.fingerprint.split('/').next();
        assert_eq!(property, Some(*by), "{name}: {}", catch.evidence);
    }
    let sound = score.try_sound().expect("worlds can be started");
    assert!(sound.caught.is_none(), "the sound system: {:?}", sound.caught);
    println!("sound: nothing in {} seeds", sound.seeds);
}
