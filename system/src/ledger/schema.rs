//! The schema: plain SQL, one file a step, applied by the owner of the database, not by the service.
//!
//! **Expand, then contract.** A step that expands leaves everything as it is for processes that write an earlier version of the
//! schema ([`Schema`]). A step that contracts does not: it is applied only when no process writes an earlier version any more,
//! which is for the caller to see to ([`crate::region::retire`]). So a release that changes the schema is rolled out like this:
//!
//! 1. the new program everywhere, told to write the version before;
//! 2. `payments migrate`: everything up to the next step that contracts;
//! 3. every process again, one by one, writing the new version. Both versions serve side by side meanwhile, and the way back is open;
//! 4. `payments migrate --contract`: closes the way back, fills in what the version before left empty, and contracts.
//!
//! Steps take no lock for long: those that need an exclusive one give up waiting for it after 2 s and try again, indexes are
//! made concurrently, and rows are filled in some at a time.

use std::{borrow::Cow, time::Duration};

use sqlx::{
    PgConnection, SqlSafeStr,
    migrate::{MigrateError, Migration, MigrationType, Migrator},
};
use tokio::time::sleep;

use crate::variant::{Variant, as_written};

/// What a process knows of the schema: what it writes, and what it relies on to read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub enum Schema {
    /// As it was first.
    #[value(name = "1")]
    V1,
    /// With the time at which an operation got its outcome.
    #[default]
    #[value(name = "2")]
    V2,
}

impl Schema {
    /// All versions, the first one first.
    pub const ALL: [Self; 2] = [Self::V1, Self::V2];

    /// Its number.
    pub fn number(self) -> i64 {
        match self {
            Self::V1 => 1,
            Self::V2 => 2,
        }
    }
}

/// How far the schema is brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// Up to the next step that contracts; to the end if the database is empty, since nobody writes to it yet.
    Expanded,
    /// To the end. Nobody may write a version before the last one any more.
    Contracted,
    /// Up to the step of this number.
    Step(i64),
}

/// Steps that contract.
struct Contract {
    /// The oldest version of the schema that can be written from there on.
    least: Schema,
    /// Fills in what older versions left empty, some rows at a time, until it finds none.
    fill: &'static str,
}

struct Step {
    version: i64,
    name: &'static str,
    sql: &'static str,
    /// Whether it must not be in a transaction.
    concurrent: bool,
    contract: Option<Contract>,
}

impl Step {
    const fn expand(version: i64, name: &'static str, sql: &'static str) -> Self {
        Self {
            version,
            name,
            sql,
            concurrent: false,
            contract: None,
        }
    }

    const fn concurrent(self) -> Self {
        Self {
            concurrent: true,
            ..self
        }
    }

    const fn contract(self, least: Schema, fill: &'static str) -> Self {
        let contract = Some(Contract { least, fill });
        Self { contract, ..self }
    }
}

/// An operation of version 1 has its outcome at some time after it was intended. The reconciler asks the provider about what it
/// was asked for within its memory, so the earlier time leaves nothing out.
const FILL_SETTLED_AT: &str = "with due as (select tenant_id, payment_id, kind, seq from operation \
                   where settled_at is null and state in ('succeeded', 'declined') limit 1000 for no key update) \
     update operation o set settled_at = o.created_at from due \
     where o.tenant_id = due.tenant_id and o.payment_id = due.payment_id and o.kind = due.kind and o.seq = due.seq";

/// The steps, in their order. A step that has been released is never changed.
const STEPS: [Step; 6] = [
    Step::expand(1, "ledger", include_str!("../../migrations/0001_ledger.sql")),
    Step::expand(
        2,
        "settled_at",
        include_str!("../../migrations/0002_settled_at.sql"),
    ),
    Step::expand(
        3,
        "operation_settled",
        include_str!("../../migrations/0003_operation_settled.sql"),
    )
    .concurrent(),
    Step::expand(
        4,
        "operation_unstamped",
        include_str!("../../migrations/0004_operation_unstamped.sql"),
    )
    .concurrent(),
    Step::expand(
        5,
        "settled_at_kept",
        include_str!("../../migrations/0005_settled_at_kept.sql"),
    )
    .contract(Schema::V2, FILL_SETTLED_AT),
    Step::expand(
        6,
        "settled_at_valid",
        include_str!("../../migrations/0006_settled_at_valid.sql"),
    )
    .contract(Schema::V2, FILL_SETTLED_AT),
];

/// The roles that the steps grant to. Roles belong to the server, not to the database.
const ROLES: [&str; 4] = [
    "payments_service",
    "payments_worker",
    "payments_consumer",
    "payments_controller",
];

/// How often a step is tried that cannot get its lock, and the pause between.
const ATTEMPTS: u32 = 30;
const PAUSE: Duration = Duration::from_secs(1);

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
    Step(#[from] MigrateError),
    /// What older versions of the schema left empty could not be filled in.
    #[error("filling in what older versions left empty: {0}")]
    Fill(sqlx::Error),
    /// The epoch could not be set.
    #[error("setting the first writer epoch: {0}")]
    Epoch(sqlx::Error),
    /// How far the schema has come could not be read.
    #[error("reading how far the schema has come: {0}")]
    Applied(sqlx::Error),
}

/// Brings the schema to a target and makes `region` the database's writer if it has none yet. The oldest version of the schema
/// that can be written then.
///
/// # Errors
/// When a role cannot be made or a step fails. Steps before it stay.
pub async fn migrate(
    connection: &mut PgConnection,
    region: &str,
    target: Target,
) -> Result<Schema, SchemaError> {
    make_roles(connection).await?;
    let applied = applied(connection).await?;
    let steps: Vec<&Step> = STEPS
        .iter()
        .take_while(|step| {
            let wanted = match target {
                Target::Expanded => applied == 0 || step.contract.is_none(),
                Target::Contracted => true,
                Target::Step(last) => step.version <= last,
            };
            wanted || step.version <= applied
        })
        .collect();
    let due = steps.iter().filter(|step| step.version > applied);
    for contract in due.filter_map(|step| step.contract.as_ref()) {
        if applied > 0 {
            fill(connection, contract.fill).await?;
        }
    }
    run(connection, &steps).await?;
    sqlx::query(
        "insert into writer_epoch (epoch, region) select 1, $1 where not exists (select from writer_epoch) \
         on conflict do nothing",
    )
    .bind(region)
    .execute(&mut *connection)
    .await
    .map_err(SchemaError::Epoch)?;
    sqlx::query("insert into heartbeat (at) values (now()) on conflict do nothing")
        .execute(connection)
        .await
        .map_err(SchemaError::Epoch)?;
    Ok(least(&steps))
}

/// The version of the schema that must be the oldest one written before the database can be brought to the end; none if it is
/// there.
///
/// # Errors
/// When the database cannot be asked.
pub async fn contracts_to(connection: &mut PgConnection) -> Result<Option<Schema>, SchemaError> {
    let applied = applied(connection).await?;
    let due = STEPS.iter().filter(|step| step.version > applied);
    let due = due.filter_map(|step| step.contract.as_ref());
    Ok(due.map(|contract| contract.least).max())
}

fn least(steps: &[&Step]) -> Schema {
    let contracts = steps.iter().filter_map(|step| step.contract.as_ref());
    contracts
        .map(|contract| contract.least)
        .max()
        .unwrap_or(Schema::V1)
}

/// The last step that was applied; 0 if none was.
async fn applied(connection: &mut PgConnection) -> Result<i64, SchemaError> {
    let table = "select 1 from pg_class where relname = '_sqlx_migrations'";
    let table: Option<i32> = sqlx::query_scalar(table)
        .fetch_optional(&mut *connection)
        .await
        .map_err(SchemaError::Applied)?;
    if table.is_none() {
        return Ok(0);
    }
    let last: Option<i64> = sqlx::query_scalar("select max(version) from _sqlx_migrations")
        .fetch_one(connection)
        .await
        .map_err(SchemaError::Applied)?;
    Ok(last.unwrap_or_default())
}

async fn make_roles(connection: &mut PgConnection) -> Result<(), SchemaError> {
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
                // Another migration of the same server may have made it first: before the look for a duplicate that
                // `create role` begins with, or, if it had not committed by then, before the row was written.
                let code = error.as_database_error().and_then(|error| error.code());
                if !matches!(code.as_deref(), Some("42710" | "23505")) {
                    return Err(failed(error));
                }
            }
        }
    }
    Ok(())
}

async fn fill(connection: &mut PgConnection, statement: &'static str) -> Result<(), SchemaError> {
    loop {
        let filled = sqlx::query(statement).execute(&mut *connection).await;
        if filled.map_err(SchemaError::Fill)?.rows_affected() == 0 {
            return Ok(());
        }
    }
}

/// Applies what has not been applied.
async fn run(connection: &mut PgConnection, steps: &[&Step]) -> Result<(), SchemaError> {
    let migrations = steps.iter().map(|step| {
        Migration::new(
            step.version,
            Cow::Borrowed(step.name),
            MigrationType::Simple,
            sql(step),
            step.concurrent,
        )
    });
    let migrator = Migrator::with_migrations(migrations.collect());
    for attempt in 1.. {
        match migrator.run(&mut *connection).await {
            Err(error) if attempt < ATTEMPTS && is_locked_out(&error) => sleep(PAUSE).await,
            done => return Ok(done?),
        }
    }
    Ok(())
}

fn is_locked_out(error: &MigrateError) -> bool {
    let MigrateError::ExecuteMigration(error, _) = error else {
        return false;
    };
    let code = error.as_database_error().and_then(|error| error.code());
    code.as_deref() == Some("55P03")
}

fn sql(step: &Step) -> sqlx::SqlStr {
    let sql = step.sql;
    match step.version {
        1 if as_written(Variant::OneSumForAll) => {
            let own = "currency) references account (tenant_id, account_id, currency)";
            let any = sql.replace(
                &format!(", {own}"),
                ") references account (tenant_id, account_id)",
            );
            sqlx::AssertSqlSafe(any).into_sql_str()
        }
        1 if as_written(Variant::OneEntryAKey) => {
            let entry = "create table entry (idempotency_key uuid, account_id uuid, entry_type text, \
                         primary key (idempotency_key, account_id, entry_type)); \
                         grant insert on entry to payments_service;";
            sqlx::AssertSqlSafe(format!("{sql}\n{entry}")).into_sql_str()
        }
        _ => sqlx::SqlStr::from_static(sql),
    }
}
