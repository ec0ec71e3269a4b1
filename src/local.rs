//! `sumzero local`: the simulated services on real ports.

use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr};

use clap::Args;
use sumzero_sim::aws::local::{self, Local, Options, Variables};
use tokio::signal::unix::{SignalKind, signal};

/// Serve the simulated AWS services on ports of this machine
///
/// Serves DynamoDB with global tables, SQS, EventBridge, ARC routing control and
/// Aurora PostgreSQL for three Regions, speaking the protocols of the real ones.
/// Prints the environment variables that point an AWS SDK, the AWS CLI or a
/// PostgreSQL client at them, and serves until Ctrl-C or SIGTERM. Global tables
/// replicate between the Regions. Aurora is one Global Database: its writer is
/// in the first Region, and the RDS API fails it over.
///
/// All data is in memory and gone when it stops.
#[derive(Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Arguments {
    /// The Regions, with commas between
    #[arg(
        long,
        value_name = "NAMES",
        value_delimiter = ',',
        default_value = "us-east-1,us-east-2,us-west-2"
    )]
    regions: Vec<String>,

    /// The address to listen on
    #[arg(long, value_name = "IP", default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
    host: IpAddr,

    /// The first of the consecutive ports; 0 takes whatever is free
    #[arg(long, value_name = "NUMBER", default_value_t = 4500)]
    port: u16,

    /// Decides ids, replication lags and request times
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    seed: u64,
}

/// Serves until told to stop.
pub(crate) fn run(arguments: Arguments) -> Result<(), Box<dyn std::error::Error>> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        // Before anything is printed, so that whoever reads it may end us at once.
        let mut interrupted = signal(SignalKind::interrupt())?;
        let mut terminated = signal(SignalKind::terminate())?;
        let mut local = local::serve(Options {
            regions: arguments.regions,
            host: arguments.host,
            first_port: arguments.port,
            seed: arguments.seed,
        })
        .await?;
        print(&local, &mut io::stdout().lock())?;
        tokio::select! {
            _ = interrupted.recv() => {}
            _ = terminated.recv() => {}
            ended = local.ended() => ended?,
        }
        local.stop().await;
        Ok(())
    })
}

/// As a shell reads it: paste the first block and that of one Region.
fn print(local: &Local, out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "# Serving. Ctrl-C stops it. For clients in every Region:")?;
    export(local.shared(), out)?;
    for (region, variables) in local.regions() {
        writeln!(out, "\n# For clients in {region}:")?;
        export(variables, out)?;
    }
    out.flush()
}

fn export(variables: &Variables, out: &mut impl Write) -> io::Result<()> {
    for (name, value) in variables {
        // A list is broken into lines, which the shell joins again.
        let value = match value.contains(',') {
            true => format!("\"\\\n{}\"", value.replace(',', ",\\\n")),
            false => format!("'{value}'"),
        };
        writeln!(out, "export {name}={value}")?;
    }
    Ok(())
}
