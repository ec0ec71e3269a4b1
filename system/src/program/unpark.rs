//! `payments unpark`.

use clap::Args;
use sqlx::PgPool;

use crate::{id::PaymentId, messages::outbox};

use super::Done;

#[derive(Args)]
pub(super) struct Arguments {
    /// The ledger's database, as payments_worker
    #[arg(long, env = "PAYMENTS_WORKER_DATABASE_URL", hide_env_values = true)]
    database_url: String,
    /// Whose events
    #[arg(long)]
    payment: PaymentId,
}

pub(super) async fn run(arguments: Arguments) -> Done {
    let pool = PgPool::connect(&arguments.database_url).await?;
    let unparked = outbox::unpark(&pool, arguments.payment).await?;
    println!("unparked: {unparked}");
    Ok(())
}
