//! `sumzero score`: whether the properties notice what is wrong.

#[cfg(feature = "as-written")]
use std::process::ExitCode;
use std::{num::NonZeroUsize, path::PathBuf};

use clap::Args;

use crate::Done;

/// Try unsound variants of the payment system, and say which are noticed
///
/// A variant is the payment system with one of its rules taken back: to what a
/// design document says instead (C02, C03, ...), or to a mistake that reviewers
/// miss. Each is put through worlds of the scenarios that are most likely to show
/// it, and then of all, until a property does not hold. Then the sound system is
/// put through the same worlds and must show nothing.
///
/// Exit status: 0 all variants were caught and the sound system showed nothing,
/// 1 otherwise. Needs a build with variants, which no deployment is:
///
///   cargo build --features as-written
#[derive(Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Arguments {
    /// Names of variants, or claims such as C11; none: all of them
    #[cfg_attr(not(feature = "as-written"), allow(dead_code))]
    variants: Vec<String>,

    /// Seeds to try for each variant
    #[arg(long, value_name = "COUNT", default_value_t = 100)]
    #[cfg_attr(not(feature = "as-written"), allow(dead_code))]
    seeds: u64,

    /// Seeds at a time [default: one a core]
    #[arg(long, value_name = "COUNT")]
    #[cfg_attr(not(feature = "as-written"), allow(dead_code))]
    jobs: Option<NonZeroUsize>,

    /// Leave the sound system out
    #[arg(long)]
    #[cfg_attr(not(feature = "as-written"), allow(dead_code))]
    variants_only: bool,

    /// Draw how many seeds each variant took until it was caught, as SVG
    #[arg(long, value_name = "FILE")]
    #[cfg_attr(not(feature = "as-written"), allow(dead_code))]
    plot: Option<PathBuf>,
}

#[cfg(not(feature = "as-written"))]
pub(crate) fn run(_: &Arguments) -> Done {
    Err("this build has no variants: build it with `cargo build --features as-written`".into())
}

#[cfg(feature = "as-written")]
pub(crate) fn run(arguments: &Arguments) -> Done {
    let variants = chosen(&arguments.variants)?;
    scenarios::stage::listen();
    let mut score = scenarios::score::Score::new(arguments.jobs);
    println!("{:<26}{:<7}{:<39}{:>7}", "variant", "claim", "caught by", "seeds");
    let (mut missed, mut caught) = (0, Vec::new());
    for variant in variants {
        let tried = score.try_variant(variant, arguments.seeds)?;
        match tried.caught {
            Some(_) => caught.push((variant.name().to_owned(), tried.seeds)),
            None => missed += 1,
        }
        row(&tried);
    }
    if let Some(path) = &arguments.plot {
        let plot = reports::plots::seeds_to_detection(&caught).file();
        std::fs::write(path, plot).map_err(|error| format!("{}: {error}", path.display()))?;
    }
    let mut shown = false;
    if !arguments.variants_only {
        let tried = score.try_sound()?;
        shown = tried.caught.is_some();
        row(&tried);
        if let Some(catch) = &tried.caught {
            println!("  {}", catch.evidence);
        }
    }
    println!(
        "\n{}, {}",
        match missed {
            0 => "all variants were caught".to_owned(),
            missed => format!("{missed} variants were not caught"),
        },
        match (arguments.variants_only, shown) {
            (true, _) => "the sound system was left out",
            (false, true) => "and the sound system showed something",
            (false, false) => "the sound system showed nothing",
        }
    );
    Ok(ExitCode::from(u8::from(missed > 0 || shown)))
}

/// The variants of these names and claims; all if there are none.
#[cfg(feature = "as-written")]
fn chosen(wanted: &[String]) -> Result<Vec<scenarios::score::Variant>, Box<dyn std::error::Error>> {
    use scenarios::score::Variant;

    if wanted.is_empty() {
        return Ok(Variant::ALL.to_vec());
    }
    let mut chosen = Vec::new();
    for wanted in wanted {
        let before = chosen.len();
        let is = |variant: &&Variant| variant.name() == wanted || variant.claim() == Some(wanted.as_str());
        chosen.extend(Variant::ALL.iter().filter(is));
        if chosen.len() == before {
            return Err(unknown(wanted).into());
        }
    }
    Ok(chosen)
}

/// The variant of this name.
#[cfg(feature = "as-written")]
pub(crate) fn variant(name: &str) -> Result<scenarios::score::Variant, String> {
    scenarios::score::Variant::named(name).ok_or_else(|| unknown(name))
}

#[cfg(feature = "as-written")]
fn unknown(wanted: &str) -> String {
    let names = scenarios::score::Variant::ALL
        .iter()
        .map(|variant| variant.name());
    let near = scenarios::scenario::nearest(wanted, names);
    let near = near.map(|near| format!("; did you mean {near}?"));
    let near = near.unwrap_or_default();
    format!("there is no variant {wanted}{near} (`sumzero list variants` shows all)")
}

#[cfg(feature = "as-written")]
fn row(tried: &scenarios::score::Tried) {
    let name = tried.variant.map_or("sound", |variant| variant.name());
    let claim = tried
        .variant
        .and_then(|variant| variant.claim())
        .unwrap_or_default();
    let by = match (&tried.caught, tried.variant) {
        (Some(catch), _) => &*catch.fingerprint,
        (None, Some(_)) => "not caught",
        (None, None) => "nothing",
    };
    println!("{name:<26}{claim:<7}{by:<39}{:>7}", tried.seeds);
    if let Some(catch) = &tried.caught {
        let (scenario, seed) = &catch.world;
        let variant = tried
            .variant
            .map(|variant| format!(" --variant {}", variant.name()));
        let replay = scenarios::survey::replay(scenario, *seed);
        println!("  {replay}{}", variant.unwrap_or_default());
    }
}
