//! `payments load`.

use std::time::Duration;

use clap::Args;

use crate::load::{self, LoadConfig, Mix};

use super::Done;

#[derive(Args)]
pub(super) struct Arguments {
    /// The gateway
    #[arg(long, default_value = "http://127.0.0.1:8080")]
    url: String,
    /// A tenant's API key
    #[arg(long, env = "PAYMENTS_API_KEY", hide_env_values = true)]
    api_key: String,
    /// Requests a second, due at fixed times; without it, as fast as they are answered
    #[arg(long, value_parser = positive)]
    rate: Option<f64>,
    /// Requests under way at a time, at most
    #[arg(long, default_value_t = 64)]
    workers: u32,
    /// Seconds
    #[arg(long, default_value_t = 10)]
    duration: u64,
    /// Accounts that are paid
    #[arg(long, default_value_t = 100)]
    accounts: u32,
    /// Weight of charges that take the money at once
    #[arg(long, default_value_t = 100)]
    sales: u8,
    /// Weight of charges that hold it
    #[arg(long, default_value_t = 0)]
    authorizations: u8,
    /// Weight of marketplace settlements
    #[arg(long, default_value_t = 0)]
    settlements: u8,
    /// Requests that are asked for twice, in percent
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u8).range(0..=100))]
    duplicates: u8,
}

fn positive(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(rate) if rate > 0.0 && f64::is_finite(rate) => Ok(rate),
        _ => Err("a rate is a number above 0".to_owned()),
    }
}

pub(super) async fn run(arguments: Arguments) -> Done {
    let report = load::run(LoadConfig {
        url: arguments.url,
        api_key: arguments.api_key,
        rate: arguments.rate,
        workers: arguments.workers,
        duration: Duration::from_secs(arguments.duration),
        accounts: arguments.accounts,
        mix: Mix {
            sales: arguments.sales,
            authorizations: arguments.authorizations,
            settlements: arguments.settlements,
        },
        duplicates: arguments.duplicates,
    })
    .await?;
    print!("{report}");
    Ok(())
}
