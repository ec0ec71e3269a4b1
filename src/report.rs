//! `sumzero report`: a run or a campaign as one HTML file.

use std::{fs, path::PathBuf, process::ExitCode};

use clap::Args;
use reports::{Run, campaign_page, finding, plots, read_results, run_page};
use scenarios::record::Record;

use crate::Done;

/// Render a run or a campaign as one HTML file
///
/// DIR is what `sumzero run --out` left, or `sumzero explore --out`. The file needs
/// nothing but itself: no network, no other file.
#[derive(Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Arguments {
    /// The folder of a run, or of a campaign
    folder: PathBuf,

    /// The file to write [default: report.html in the folder]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,

    /// Write a run's drawings as SVG files into this folder as well
    #[arg(long, value_name = "DIR")]
    plots: Option<PathBuf>,

    /// Write a run as NAME.md, NAME.svg and NAME.json as well
    #[arg(long, value_name = "PATH/NAME")]
    finding: Option<PathBuf>,
}

pub(crate) fn run(arguments: &Arguments) -> Done {
    let out = arguments
        .out
        .clone()
        .unwrap_or_else(|| arguments.folder.join("report.html"));
    let results = arguments.folder.join("results.jsonl");
    if results.is_file() {
        if arguments.plots.is_some() || arguments.finding.is_some() {
            return Err("--plots and --finding are for the folder of a run".into());
        }
        fs::write(&out, campaign_page(&read_results(&results)?, None))?;
        println!("{}", out.display());
        return Ok(ExitCode::SUCCESS);
    }
    let run = Run::read(&Record::new(&arguments.folder))?;
    fs::write(&out, run_page(&run))?;
    println!("{}", out.display());
    if let Some(folder) = &arguments.plots {
        fs::create_dir_all(folder)?;
        for (name, plot) in plots::all(&run) {
            fs::write(folder.join(format!("{name}.svg")), plot.file())?;
        }
    }
    if let Some(path) = &arguments.finding {
        let name = path
            .file_name()
            .ok_or("--finding needs a name")?
            .to_string_lossy();
        let finding = finding(&run, &name);
        fs::write(path.with_extension("md"), finding.markdown)?;
        fs::write(path.with_extension("svg"), finding.drawing)?;
        fs::write(path.with_extension("json"), finding.plan)?;
    }
    Ok(ExitCode::SUCCESS)
}
