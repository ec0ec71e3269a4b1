//! Problem details (RFC 9457): each thing that can go wrong has a type of its own, and says what to do.

use std::time::Duration;

use axum::{
    body::Body,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;

use crate::{
    ledger::{LedgerError, Refusal},
    service::Failure,
};

/// A problem.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Problem {
    /// Which kind of problem: a path that names it for good.
    pub r#type: &'static str,
    /// The kind in words.
    pub title: &'static str,
    /// HTTP status.
    pub status: u16,
    /// What is wrong with this request.
    pub detail: String,
    /// Seconds until it is worth trying again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_after: Option<u64>,
}

impl Problem {
    /// A problem of a kind.
    pub(super) fn new(
        status: StatusCode,
        r#type: &'static str,
        title: &'static str,
        detail: impl Into<String>,
    ) -> Self {
        Self {
            r#type,
            title,
            status: status.as_u16(),
            detail: detail.into(),
            retry_after: None,
        }
    }

    pub(super) fn not_found(what: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "/problems/not-found", "Not found", what)
    }

    pub(super) fn invalid(detail: impl Into<String>) -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            "/problems/invalid-request",
            "Invalid request",
            detail,
        )
    }

    /// Worth trying again after so long: rounded up, because earlier is in vain.
    pub(super) fn after(mut self, pause: Duration) -> Self {
        self.retry_after = Some(
            pause
                .as_millis()
                .div_ceil(1_000)
                .max(1)
                .try_into()
                .unwrap_or(u64::MAX),
        );
        self
    }

    /// Down, for an unknown time. Clients that were told together come back apart.
    pub(super) fn unavailable(detail: impl Into<String>) -> Self {
        let problem = Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "/problems/unavailable",
            "Unavailable",
            detail,
        );
        problem.after(Duration::from_secs(1) + Duration::from_secs(4).mul_f64(fastrand::f64()))
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = serde_json::to_vec(&self).unwrap_or_default();
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(JSON));
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

/// The media type of problems.
pub(super) const JSON: &str = "application/problem+json";

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let (status, r#type, title) = match &refusal {
            Refusal::UnknownAccount(_) => (
                StatusCode::NOT_FOUND,
                "/problems/unknown-account",
                "Unknown account",
            ),
            Refusal::UnknownPayment(_) => (
                StatusCode::NOT_FOUND,
                "/problems/unknown-payment",
                "Unknown payment",
            ),
            Refusal::AccountFrozen(_) => (StatusCode::CONFLICT, "/problems/account-frozen", "Account frozen"),
            Refusal::InsufficientFunds(_) => (
                StatusCode::UNPROCESSABLE_ENTITY,
                "/problems/insufficient-funds",
                "Insufficient funds",
            ),
            Refusal::WrongCurrency { .. } => (
                StatusCode::UNPROCESSABLE_ENTITY,
                "/problems/wrong-currency",
                "Wrong currency",
            ),
            Refusal::SameAccount(_) => (
                StatusCode::UNPROCESSABLE_ENTITY,
                "/problems/same-account",
                "Same account",
            ),
            Refusal::WrongState { .. } => (StatusCode::CONFLICT, "/problems/wrong-state", "Wrong state"),
            Refusal::AmountTooLarge { .. } => (
                StatusCode::UNPROCESSABLE_ENTITY,
                "/problems/amount-too-large",
                "Amount too large",
            ),
            Refusal::PaymentBusy(_) => (StatusCode::CONFLICT, "/problems/payment-busy", "Payment busy"),
            Refusal::TotalsExceeded(_) => (
                StatusCode::UNPROCESSABLE_ENTITY,
                "/problems/totals-exceeded",
                "Totals exceeded",
            ),
        };
        let problem = Self::new(status, r#type, title, refusal.to_string());
        match refusal {
            Refusal::PaymentBusy(_) => problem.after(Duration::from_secs(1)),
            _ => problem,
        }
    }
}

impl From<LedgerError> for Problem {
    fn from(error: LedgerError) -> Self {
        tracing::error!(%error, "ledger");
        match error {
            LedgerError::Rejected(_) | LedgerError::Corrupt(_) => Self::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                "/problems/internal",
                "Internal error",
                "the ledger refuses what it should accept; nothing was written",
            ),
            // What exactly is down is for the log.
            _ => Self::unavailable("the ledger cannot be asked"),
        }
    }
}

impl From<Failure> for Problem {
    fn from(failure: Failure) -> Self {
        let detail = failure.to_string();
        match failure {
            Failure::KeyReused => Self::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                "/problems/key-reused",
                "Idempotency-Key reused",
                detail,
            ),
            Failure::InFlight { retry_after } => {
                Self::new(StatusCode::CONFLICT, "/problems/in-flight", "In flight", detail).after(retry_after)
            }
            Failure::Refused(refusal) => refusal.into(),
            Failure::Unsettled { retry_after, .. } => Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "/problems/outcome-unknown",
                "Outcome unknown",
                detail,
            )
            .after(retry_after),
            Failure::Unconfirmed(reason) => {
                tracing::error!(reason, "unconfirmed");
                let detail =
                    "the answer could not be confirmed: the same request under the same key finds out";
                Self::new(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "/problems/outcome-unknown",
                    "Outcome unknown",
                    detail,
                )
                .after(Duration::from_secs(2))
            }
            Failure::LeftAlone(open) => Self::unavailable(detail).after(open.for_another),
            Failure::Gate(error) => {
                tracing::error!(%error, "gate");
                Self::unavailable("the idempotency gate cannot be asked; no money moved")
            }
            Failure::Ledger(error) => error.into(),
        }
    }
}
