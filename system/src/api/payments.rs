//! Payments: charges, settlements, their state and their story; and what an operator has to decide.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Path, State},
};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use utoipa::ToSchema;

use crate::{
    id::{AccountId, PaymentId, TenantId},
    ledger::{
        Answer, Mutation, Operation, OperationKind, Outcome, PAGE_MAX, PaymentView, Progress, TraceStep,
    },
    money::{Amount, Currency},
};

use super::{
    Api,
    accounts::Empty,
    extract::{Asked, Key, Operator, Tenant},
    problem::Problem,
};

/// Most characters of a vault's token.
const INSTRUMENT_MAX: usize = 64;

/// A charge to be made.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Charge {
    /// Who is credited.
    payee: AccountId,
    /// How much.
    amount: Amount,
    /// Of what.
    currency: Currency,
    /// The vault's token of what is charged. Never a card number.
    #[schema(pattern = "^tok_[A-Za-z0-9_]{1,60}$")]
    instrument: String,
    /// Takes the amount at once; otherwise it is held until it is captured.
    #[serde(default)]
    capture: bool,
}

/// All of an amount, or a part.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Part {
    /// How much; all that is left if missing.
    amount: Option<Amount>,
}

/// A settlement to be made.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Settlement {
    /// Who pays.
    payer: AccountId,
    /// Who is paid, once verified.
    payee: AccountId,
    /// How much.
    amount: Amount,
    /// Of what.
    currency: Currency,
    /// What the platform keeps of it, in minor units; less than the amount.
    #[serde(default)]
    #[schema(minimum = 0)]
    fee: i64,
}

/// What an operator found out.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(tag = "outcome", rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum Decision {
    /// It was done.
    Succeeded {
        /// The dependency's name for it.
        reference: String,
    },
    /// It was not done, and will not be.
    Declined {
        /// Why.
        reason: String,
    },
}

fn payment_id(text: &str) -> Result<PaymentId, Problem> {
    text.parse()
        .map_err(|_| Problem::not_found("there is no such payment"))
}

/// Charges through the payment service provider.
#[utoipa::path(post, path = "/v1/charges", request_body = Charge, security(("api_key" = [])),
    params(Key),
    responses((status = 201, body = PaymentView), (status = 402, description = "The provider declined"),
        (status = "default", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn charge(State(api): State<Arc<Api>>, asked: Asked<Charge>) -> Result<Answer, Problem> {
    let body = &asked.body;
    let token = body.instrument.strip_prefix("tok_").unwrap_or_default();
    let letters = token
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    // A card number is not repeated, not even in an error.
    if token.is_empty() || !letters || body.instrument.len() > INSTRUMENT_MAX {
        return Err(Problem::invalid(
            "`instrument` is a token of the vault: `tok_` and up to 60 letters, digits or _",
        ));
    }
    api.limits.admit_account(asked.tenant(), body.payee)?;
    let mutation = Mutation::Charge {
        payee: body.payee,
        amount: body.amount,
        currency: body.currency,
        instrument: body.instrument.clone(),
        capture: body.capture,
    };
    Ok(api.service.call(asked.call(mutation)).await?)
}

/// Takes what a charge holds, or a part.
#[utoipa::path(post, path = "/v1/charges/{payment_id}/capture", request_body = Part, security(("api_key" = [])),
    params(("payment_id" = uuid::Uuid, Path), Key),
    responses((status = 200, body = PaymentView), (status = "default", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn capture(
    State(api): State<Arc<Api>>,
    Path(id): Path<String>,
    asked: Asked<Part>,
) -> Result<Answer, Problem> {
    let (payment, amount) = (payment_id(&id)?, asked.body.amount);
    Ok(api
        .service
        .call(asked.call(Mutation::Capture { payment, amount }))
        .await?)
}

/// Gives up what a charge still holds.
#[utoipa::path(post, path = "/v1/charges/{payment_id}/void", security(("api_key" = [])),
    params(("payment_id" = uuid::Uuid, Path), Key),
    responses((status = 200, body = PaymentView), (status = "default", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn void(
    State(api): State<Arc<Api>>,
    Path(id): Path<String>,
    asked: Asked<Empty>,
) -> Result<Answer, Problem> {
    let payment = payment_id(&id)?;
    Ok(api.service.call(asked.call(Mutation::Void { payment })).await?)
}

/// Gives back what a charge took, or a part.
#[utoipa::path(post, path = "/v1/charges/{payment_id}/refund", request_body = Part, security(("api_key" = [])),
    params(("payment_id" = uuid::Uuid, Path), Key),
    responses((status = 200, body = PaymentView), (status = "default", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn refund(
    State(api): State<Arc<Api>>,
    Path(id): Path<String>,
    asked: Asked<Part>,
) -> Result<Answer, Problem> {
    let (payment, amount) = (payment_id(&id)?, asked.body.amount);
    Ok(api
        .service
        .call(asked.call(Mutation::Refund { payment, amount }))
        .await?)
}

/// Starts a marketplace settlement: hold, verify the payee, release less the fee, pay out.
#[utoipa::path(post, path = "/v1/settlements", request_body = Settlement, security(("api_key" = [])),
    params(Key),
    responses((status = 202, body = PaymentView), (status = "default", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn settle(State(api): State<Arc<Api>>, asked: Asked<Settlement>) -> Result<Answer, Problem> {
    let body = &asked.body;
    if !(0..body.amount.get()).contains(&body.fee) {
        return Err(Problem::invalid("`fee` is at least 0 and less than `amount`"));
    }
    api.limits.admit_account(asked.tenant(), body.payer)?;
    let mutation = Mutation::Settle {
        payer: body.payer,
        payee: body.payee,
        amount: body.amount,
        currency: body.currency,
        fee: body.fee,
    };
    Ok(api.service.call(asked.call(mutation)).await?)
}

/// An operation on a payment.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct OperationView {
    payment_id: PaymentId,
    kind: OperationKind,
    /// Which one of its kind on the payment.
    seq: i32,
    state: Progress,
    amount: Amount,
    /// The key that the dependency knows it by.
    key: String,
    /// The dependency's name for it, or its reason for not doing it.
    reference: Option<String>,
    /// How often it was taken up.
    attempts: i32,
    #[serde(with = "time::serde::rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    created_at: OffsetDateTime,
}

impl From<Operation> for OperationView {
    fn from(operation: Operation) -> Self {
        Self {
            payment_id: operation.id.payment,
            kind: operation.id.kind,
            seq: operation.id.seq,
            state: operation.state,
            amount: operation.amount,
            key: operation.key(),
            reference: operation.reference,
            attempts: operation.attempts,
            created_at: operation.created_at,
        }
    }
}

/// Shows a payment.
#[utoipa::path(get, path = "/v1/payments/{payment_id}", security(("api_key" = [])),
    params(("payment_id" = uuid::Uuid, Path)),
    responses((status = 200, body = PaymentView), (status = "default", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn show(
    State(api): State<Arc<Api>>,
    Tenant(tenant): Tenant,
    Path(id): Path<String>,
) -> Result<Json<PaymentView>, Problem> {
    let (payment, _) = find(&api, tenant, payment_id(&id)?).await?;
    Ok(Json(payment))
}

async fn find(
    api: &Api,
    tenant: TenantId,
    id: PaymentId,
) -> Result<(PaymentView, Vec<OperationView>), Problem> {
    let found = api.reader().payment(tenant, id).await?;
    let (payment, operations) = found.ok_or_else(|| Problem::not_found("there is no such payment"))?;
    Ok((
        PaymentView::from(&payment),
        operations.into_iter().map(OperationView::from).collect(),
    ))
}

/// A payment's story.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Trace {
    payment: PaymentView,
    /// What was asked of others.
    operations: Vec<OperationView>,
    /// Which Region did each step, on which version of the payment, when.
    steps: Vec<TraceStep>,
}

/// Tells which Region did each step of a payment, with which version of the data, when.
#[utoipa::path(get, path = "/v1/payments/{payment_id}/trace", security(("api_key" = [])),
    params(("payment_id" = uuid::Uuid, Path)),
    responses((status = 200, body = Trace), (status = "default", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn trace(
    State(api): State<Arc<Api>>,
    Tenant(tenant): Tenant,
    Path(id): Path<String>,
) -> Result<Json<Trace>, Problem> {
    let id = payment_id(&id)?;
    let (payment, operations) = find(&api, tenant, id).await?;
    let steps = api.reader().trace(tenant, id).await?;
    Ok(Json(Trace {
        payment,
        operations,
        steps,
    }))
}

/// Lists the operations whose outcome an operator has to find out, the oldest first.
#[utoipa::path(get, path = "/v1/limbo", security(("api_key" = [])),
    responses((status = 200, body = Vec<OperationView>), (status = "default", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn limbo(
    State(api): State<Arc<Api>>,
    Operator(tenant): Operator,
) -> Result<Json<Vec<OperationView>>, Problem> {
    let operations = api.reader().limbo(tenant, PAGE_MAX).await?;
    Ok(Json(operations.into_iter().map(OperationView::from).collect()))
}

/// Ends a limbo with what an operator found out.
#[utoipa::path(post, path = "/v1/limbo/{payment_id}/decision", request_body = Decision, security(("api_key" = [])),
    params(("payment_id" = uuid::Uuid, Path), Key),
    responses((status = 200, body = PaymentView), (status = "default", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn decide(
    State(api): State<Arc<Api>>,
    _: Operator,
    Path(id): Path<String>,
    asked: Asked<Decision>,
) -> Result<Answer, Problem> {
    let payment = payment_id(&id)?;
    let outcome = match &asked.body {
        Decision::Succeeded { reference } => Outcome::Succeeded {
            reference: reference.clone(),
        },
        Decision::Declined { reason } => Outcome::Declined {
            reason: reason.clone(),
        },
    };
    Ok(api
        .service
        .call(asked.call(Mutation::Decide { payment, outcome }))
        .await?)
}
