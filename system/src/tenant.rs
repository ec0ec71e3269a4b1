//! Tenants and their API keys.

use std::time::Duration;

use sha2::{Digest, Sha256};
use sqlx::{Connection, PgConnection};
use uuid::Uuid;

use crate::{clock::now, id::TenantId};

/// A new tenant's API keys: known here and to whoever is given them, stored nowhere.
#[derive(Clone)]
pub struct NewTenant {
    /// The tenant.
    pub tenant: TenantId,
    /// For its requests.
    pub api_key: String,
    /// For decisions about operations in limbo.
    pub operator_key: String,
}

/// Adds a tenant, as the owner of the database.
///
/// # Errors
/// When the database refuses.
pub async fn add(
    connection: &mut PgConnection,
    name: &str,
    keys_for: Duration,
) -> Result<NewTenant, sqlx::Error> {
    // 244 random bits.
    let key = || format!("{}{}", Uuid::new_v4().simple(), Uuid::new_v4().simple());
    let new = NewTenant {
        tenant: TenantId(Uuid::new_v4()),
        api_key: key(),
        operator_key: key(),
    };
    let mut transaction = connection.begin().await?;
    sqlx::query("insert into tenant (tenant_id, name) values ($1, $2)")
        .bind(new.tenant.0)
        .bind(name)
        .execute(&mut *transaction)
        .await?;
    for (key, operator) in [(&new.api_key, false), (&new.operator_key, true)] {
        sqlx::query(
            "insert into api_key (key_hash, tenant_id, operator, expires_at) values ($1, $2, $3, $4)",
        )
        .bind(Sha256::digest(key).to_vec())
        .bind(new.tenant.0)
        .bind(operator)
        .bind(now() + keys_for)
        .execute(&mut *transaction)
        .await?;
    }
    transaction.commit().await?;
    Ok(new)
}
