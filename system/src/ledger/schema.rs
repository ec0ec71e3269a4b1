//! The schema: plain SQL, one file a step, each compatible with the version of the program before it (expand, then
//! contract). Applied by the owner of the database, not by the service.

use std::borrow::Cow;

use sqlx::{
    PgConnection, SqlSafeStr,
    migrate::{Migration, MigrationType, Migrator},
};

use crate::variant::{Variant, as_written};

/// The steps, in their order. A step that has been released is never changed.
const STEPS: [(i64, &str, &str); 1] = [(1, "ledger", include_str!("../../migrations/0001_ledger.sql"))];

/// The roles that the steps grant to. Roles belong to the server, not to the database.
const ROLES: [&str; 4] = [
    "payments_service",
    "payments_worker",
    "payments_consumer",
    "payments_controller",
];

/// The schema could not be brought up to date.
#[derive(Debug, thiserror::Error)]
pub enum SchemaError {
    /// A role is missing and could not be made.
    #[error(
        "making the role {role}: {source}. The migration needs a role that may create roles, or the roles made before"
    )]
    Role {
        /// Which.
        role: &'static str,
        /// Why.
        source: sqlx::Error,
    },
    /// A step failed.
    #[error("{0}")]
    Step(#[from] sqlx::migrate::MigrateError),
    /// The epoch could not be set.
    #[error("setting the first writer epoch: {0}")]
    Epoch(sqlx::Error),
}

/// Brings the database up to date and makes `region` its writer if it has none yet.
///
/// # Errors
/// When a role cannot be made or a step fails. Steps before it stay.
pub async fn migrate(connection: &mut PgConnection, region: &str) -> Result<(), SchemaError> {
    for role in ROLES {
        let failed = |source| SchemaError::Role { role, source };
        let found: Option<i32> = sqlx::query_scalar("select 1 from pg_roles where rolname = $1")
            .bind(role)
            .fetch_optional(&mut *connection)
            .await
            .map_err(failed)?;
        if found.is_none() {
            let create = format!("create role {role} login");
            let created = sqlx::query(sqlx::AssertSqlSafe(create))
                .execute(&mut *connection)
                .await;
            if let Err(error) = created {
                // Another migration of the same server may have come first.
                let code = error.as_database_error().and_then(|error| error.code());
                if code.as_deref() != Some("42710") {
                    return Err(failed(error));
                }
            }
        }
    }
    let steps = STEPS.map(|(version, name, sql)| {
        let sql = match () {
            () if as_written(Variant::OneSumForAll) => {
                let own = "currency) references account (tenant_id, account_id, currency)";
                let any = sql.replace(
                    &format!(", {own}"),
                    ") references account (tenant_id, account_id)",
                );
                sqlx::AssertSqlSafe(any).into_sql_str()
            }
            () if as_written(Variant::OneEntryAKey) => {
                let entry = "create table entry (idempotency_key uuid, account_id uuid, entry_type text, \
                             primary key (idempotency_key, account_id, entry_type)); \
                             grant insert on entry to payments_service;";
                sqlx::AssertSqlSafe(format!("{sql}\n{entry}")).into_sql_str()
            }
            () => sqlx::SqlStr::from_static(sql),
        };
        Migration::new(version, Cow::Borrowed(name), MigrationType::Simple, sql, false)
    });
    let migrator = Migrator::with_migrations(steps.to_vec());
    migrator.run(&mut *connection).await?;
    sqlx::query(
        "insert into writer_epoch (epoch, region) select 1, $1 where not exists (select from writer_epoch)",
    )
    .bind(region)
    .execute(&mut *connection)
    .await
    .map_err(SchemaError::Epoch)?;
    sqlx::query("insert into heartbeat (at) select now() where not exists (select from heartbeat)")
        .execute(connection)
        .await
        .map_err(SchemaError::Epoch)?;
    Ok(())
}
