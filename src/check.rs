//! `sumzero check`: a recorded run, judged again.

use std::{path::PathBuf, process::ExitCode};

use clap::Args;
use scenarios::{record::Record, verdict::Conclusion};

use crate::{Done, show};

/// Judge a recorded run again, without running it
///
/// Reads plan.json and history.json as `sumzero run --out DIR` wrote them.
#[derive(Args)]
pub(crate) struct Arguments {
    /// The folder of the record
    #[arg(long, value_name = "DIR")]
    from: PathBuf,
}

pub(crate) fn run(arguments: &Arguments) -> Done {
    let record = Record::new(&arguments.from);
    let conclusion = Conclusion::of(&record.script()?, &record.history()?);
    println!("{conclusion}");
    if let Conclusion::Violated(violations) = &conclusion {
        for violation in violations {
            println!("  {}: {}", violation.fingerprint(), violation.evidence);
        }
    }
    let then = record.verdict()?.conclusion;
    if then != conclusion {
        println!("It was judged otherwise then: {then}");
    }
    Ok(ExitCode::from(show::exit_code(&conclusion)))
}
