//! `payments migrate`.

use crate::ledger::migrate;
use clap::Args;
use sqlx::{Connection, PgConnection};

use super::Done;

#[derive(Args)]
pub(super) struct Arguments {
    /// The database, as its owner
    #[arg(long, env = "PAYMENTS_OWNER_DATABASE_URL", hide_env_values = true)]
    database_url: String,
    /// The Region that writes first, if none does yet
    #[arg(long, env = "AWS_REGION")]
    region: String,
}

pub(super) async fn run(arguments: Arguments) -> Done {
    let mut connection = PgConnection::connect(&arguments.database_url).await?;
    migrate(&mut connection, &arguments.region).await?;
    connection.close().await?;
    Ok(())
}
