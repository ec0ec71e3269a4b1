//! `payments tenant`.

use std::time::Duration;

use clap::Args;
use sqlx::{Connection, PgConnection};

use crate::tenant;

use super::Done;

#[derive(Args)]
pub(super) struct Arguments {
    /// The database, as its owner
    #[arg(long, env = "PAYMENTS_OWNER_DATABASE_URL", hide_env_values = true)]
    database_url: String,
    /// What the tenant is called
    #[arg(long)]
    name: String,
    /// Days until its API keys expire
    #[arg(long, default_value_t = 365)]
    days: u32,
}

pub(super) async fn run(arguments: Arguments) -> Done {
    let mut connection = PgConnection::connect(&arguments.database_url).await?;
    let keys_for = Duration::from_secs(u64::from(arguments.days) * 86_400);
    let new = tenant::add(&mut connection, &arguments.name, keys_for).await?;
    println!(
        "tenant: {}\napi-key: {}\noperator-key: {}",
        new.tenant, new.api_key, new.operator_key
    );
    connection.close().await?;
    Ok(())
}
