//! `payments tenant`.

use std::time::Duration;

use crate::id::TenantId;
use clap::Args;
use sha2::{Digest, Sha256};
use sqlx::{Connection, PgConnection};
use time::OffsetDateTime;
use uuid::Uuid;

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
    let mut transaction = connection.begin().await?;
    let tenant = TenantId(Uuid::new_v4());
    sqlx::query("insert into tenant (tenant_id, name) values ($1, $2)")
        .bind(tenant.0)
        .bind(&arguments.name)
        .execute(&mut *transaction)
        .await?;
    let expires_at = OffsetDateTime::now_utc() + Duration::from_secs(u64::from(arguments.days) * 86_400);
    let mut keys = Vec::new();
    for operator in [false, true] {
        // 244 random bits.
        let key = format!("{}{}", Uuid::new_v4().simple(), Uuid::new_v4().simple());
        sqlx::query(
            "insert into api_key (key_hash, tenant_id, operator, expires_at) values ($1, $2, $3, $4)",
        )
        .bind(Sha256::digest(&key).to_vec())
        .bind(tenant.0)
        .bind(operator)
        .bind(expires_at)
        .execute(&mut *transaction)
        .await?;
        keys.push(key);
    }
    transaction.commit().await?;
    println!(
        "tenant: {tenant}\napi-key: {}\noperator-key: {}",
        keys[0], keys[1]
    );
    connection.close().await?;
    Ok(())
}
