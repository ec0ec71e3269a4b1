//! Accounts: open, look at, freeze.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Path, Query, State},
};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::{
    id::{AccountId, TenantId},
    ledger::{AccountView, Answer, Mutation, PAGE_MAX, StatementEntry},
    money::{Amount, Currency},
};

use super::{
    Api,
    extract::{Asked, Key, Tenant},
    problem::Problem,
};

/// An account to be opened.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct OpenAccount {
    /// Of all its amounts.
    currency: Currency,
    /// How far below zero its balance may go, in minor units.
    overdraft_limit: Option<Amount>,
}

/// Nothing.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Empty {}

/// A path's account.
pub(super) fn account_id(text: &str) -> Result<AccountId, Problem> {
    text.parse()
        .map_err(|_| Problem::not_found("there is no such account"))
}

/// Opens an account.
#[utoipa::path(post, path = "/v1/accounts", request_body = OpenAccount, security(("api_key" = [])),
    params(Key),
    responses((status = 201, body = AccountView), (status = "default", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn open(State(api): State<Arc<Api>>, asked: Asked<OpenAccount>) -> Result<Answer, Problem> {
    let mutation = Mutation::OpenAccount {
        currency: asked.body.currency,
        overdraft_limit: asked.body.overdraft_limit.map_or(0, Amount::get),
    };
    Ok(api.service.call(asked.call(mutation)).await?)
}

/// Shows an account and its balance.
#[utoipa::path(get, path = "/v1/accounts/{account_id}", security(("api_key" = [])),
    params(("account_id" = uuid::Uuid, Path)),
    responses((status = 200, body = AccountView), (status = "default", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn show(
    State(api): State<Arc<Api>>,
    Tenant(tenant): Tenant,
    Path(id): Path<String>,
) -> Result<Json<AccountView>, Problem> {
    let account = find(&api, tenant, account_id(&id)?).await?;
    Ok(Json(account))
}

async fn find(api: &Api, tenant: TenantId, id: AccountId) -> Result<AccountView, Problem> {
    let account = api.reader().account(tenant, id).await?;
    let account = account.ok_or_else(|| Problem::not_found("there is no such account"))?;
    Ok(AccountView::from(&account))
}

/// Which page of a statement.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Page {
    /// Entries before this one; the `next` of the page before. The latest page if missing.
    #[param(minimum = 1)]
    before: Option<i64>,
    /// How many; 50 if missing.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<i64>,
}

/// A page of a statement, the latest entry first.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Statement {
    entries: Vec<StatementEntry>,
    /// The next page's `before`; none on the last page.
    next: Option<i64>,
}

/// Lists what was booked on an account.
#[utoipa::path(get, path = "/v1/accounts/{account_id}/statement", security(("api_key" = [])),
    params(("account_id" = uuid::Uuid, Path), Page),
    responses((status = 200, body = Statement), (status = "default", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn statement(
    State(api): State<Arc<Api>>,
    Tenant(tenant): Tenant,
    Path(id): Path<String>,
    page: Result<Query<Page>, axum::extract::rejection::QueryRejection>,
) -> Result<Json<Statement>, Problem> {
    let Query(page) = page.map_err(|error| Problem::invalid(error.body_text()))?;
    let limit = page.limit.unwrap_or(50);
    let before = page.before.unwrap_or(i64::MAX);
    if !(1..=PAGE_MAX).contains(&limit) || before < 1 {
        return Err(Problem::invalid(format!(
            "`limit` is 1 to {PAGE_MAX}, `before` at least 1"
        )));
    }
    let id = account_id(&id)?;
    find(&api, tenant, id).await?;
    let entries = api.reader().statement(tenant, id, before, limit).await?;
    let next = entries
        .last()
        .map(|entry| entry.version)
        .filter(|version| *version > 1);
    Ok(Json(Statement { entries, next }))
}

/// Stops an account's movements.
#[utoipa::path(post, path = "/v1/accounts/{account_id}/freeze", security(("api_key" = [])),
    params(("account_id" = uuid::Uuid, Path), Key),
    responses((status = 200, body = AccountView), (status = "default", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn freeze(
    State(api): State<Arc<Api>>,
    Path(id): Path<String>,
    asked: Asked<Empty>,
) -> Result<Answer, Problem> {
    let account = account_id(&id)?;
    let mutation = Mutation::SetFrozen {
        account,
        frozen: true,
    };
    Ok(api.service.call(asked.call(mutation)).await?)
}

/// Lets an account's movements go on.
#[utoipa::path(post, path = "/v1/accounts/{account_id}/unfreeze", security(("api_key" = [])),
    params(("account_id" = uuid::Uuid, Path), Key),
    responses((status = 200, body = AccountView), (status = "default", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn unfreeze(
    State(api): State<Arc<Api>>,
    Path(id): Path<String>,
    asked: Asked<Empty>,
) -> Result<Answer, Problem> {
    let account = account_id(&id)?;
    let mutation = Mutation::SetFrozen {
        account,
        frozen: false,
    };
    Ok(api.service.call(asked.call(mutation)).await?)
}
