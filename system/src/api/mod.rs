//! The HTTP API. `GET /openapi.json` describes it; problems are RFC 9457.

mod accounts;
mod callers;
mod edge;
mod extract;
mod limits;
mod payments;
mod problem;
mod service;
mod webhooks;

use std::sync::Arc;

use axum::{
    Router,
    body::Body,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use sqlx::PgPool;
use utoipa::OpenApi;

use crate::{
    ledger::{Answer, Reader},
    metrics::Metrics,
    region::{Forwarder, Keeper},
    service::Service,
};

pub use edge::STALENESS_MAX;
pub use limits::{LimitConfig, Rate};
pub use problem::Problem;

/// What the API is served from.
#[derive(Debug)]
pub struct Api {
    service: Service,
    /// Of the role `payments_worker`: webhooks hasten work.
    work: PgPool,
    webhook_secret: Vec<u8>,
    metrics: Metrics,
    keeper: Keeper,
    forwarder: Forwarder,
    /// This Region's books, where another one writes them.
    replica: Reader,
    callers: callers::Callers,
    limits: limits::Limits,
}

/// What an API is made of.
#[derive(Debug)]
pub struct Parts {
    /// Carries mutations out, where the ledger is open.
    pub service: Service,
    /// Of the role `payments_worker`: webhooks hasten work.
    pub work: PgPool,
    /// Signs webhooks.
    pub webhook_secret: String,
    /// Who writes.
    pub keeper: Keeper,
    /// The way to the Region that does.
    pub forwarder: Forwarder,
    /// This Region's books, where another one writes them.
    pub replica: Reader,
}

impl Api {
    /// An API of these parts.
    pub fn new(parts: Parts, metrics: Metrics) -> Self {
        Self {
            service: parts.service,
            work: parts.work,
            webhook_secret: parts.webhook_secret.into_bytes(),
            metrics,
            keeper: parts.keeper,
            forwarder: parts.forwarder,
            replica: parts.replica,
            callers: callers::Callers::default(),
            limits: limits::Limits::new(LimitConfig::default()),
        }
    }

    /// The same API with other limits.
    pub fn limited(self, config: LimitConfig) -> Self {
        Self {
            limits: limits::Limits::new(config),
            ..self
        }
    }

    /// The books to be shown: the writer's own if this is its Region.
    fn reader(&self) -> &Reader {
        let routing = self.keeper.known();
        if routing.is_some_and(|routing| routing.writer == self.keeper.region()) {
            self.service.engine().ledger()
        } else {
            &self.replica
        }
    }

    /// Its routes.
    pub fn router(self) -> Router {
        let api = Arc::new(self);
        Router::new()
            .route("/v1/accounts", post(accounts::open))
            .route("/v1/accounts/{account_id}", get(accounts::show))
            .route("/v1/accounts/{account_id}/statement", get(accounts::statement))
            .route("/v1/accounts/{account_id}/freeze", post(accounts::freeze))
            .route("/v1/accounts/{account_id}/unfreeze", post(accounts::unfreeze))
            .route("/v1/charges", post(payments::charge))
            .route("/v1/charges/{payment_id}/capture", post(payments::capture))
            .route("/v1/charges/{payment_id}/void", post(payments::void))
            .route("/v1/charges/{payment_id}/refund", post(payments::refund))
            .route("/v1/settlements", post(payments::settle))
            .route("/v1/payments/{payment_id}", get(payments::show))
            .route("/v1/payments/{payment_id}/trace", get(payments::trace))
            .route("/v1/limbo", get(payments::limbo))
            .route("/v1/limbo/{payment_id}/decision", post(payments::decide))
            .route("/v1/webhooks/psp", post(webhooks::psp))
            .route("/healthz", get(service::healthz))
            .route("/readyz", get(service::readyz))
            .route("/metrics", get(service::metrics))
            .route("/openapi.json", get(service::openapi))
            .fallback(async || Problem::not_found("there is no such path"))
            .method_not_allowed_fallback(async || {
                let status = StatusCode::METHOD_NOT_ALLOWED;
                Problem::new(
                    status,
                    "/problems/method-not-allowed",
                    "Method not allowed",
                    "see /openapi.json",
                )
            })
            .layer(axum::middleware::from_fn_with_state(api.clone(), edge::route))
            .layer(axum::middleware::from_fn_with_state(api.clone(), limits::shed))
            .layer(axum::middleware::from_fn_with_state(
                api.clone(),
                service::observe,
            ))
            .with_state(api)
    }
}

/// The routes of a process that serves no clients: what operators and load balancers ask.
pub fn inside(metrics: Metrics) -> Router {
    let text = async move || service::text(&metrics);
    Router::new()
        .route("/healthz", get(service::healthz))
        .route("/readyz", get(service::healthz))
        .route("/metrics", get(text))
}

/// The API's description.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Payments",
        description = "Charges and marketplace settlements. Every mutation needs an Idempotency-Key: the same key and request \
                       give the first answer again, byte for byte."
    ),
    paths(
        accounts::open,
        accounts::show,
        accounts::statement,
        accounts::freeze,
        accounts::unfreeze,
        payments::charge,
        payments::capture,
        payments::void,
        payments::refund,
        payments::settle,
        payments::show,
        payments::trace,
        payments::limbo,
        payments::decide,
        webhooks::psp,
        service::healthz,
        service::readyz,
        service::metrics,
    ),
    modifiers(&ApiKey)
)]
struct Description;

struct ApiKey;

impl utoipa::Modify for ApiKey {
    fn modify(&self, description: &mut utoipa::openapi::OpenApi) {
        use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
        let scheme = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
        let components = description.components.get_or_insert_default();
        components.add_security_scheme("api_key", scheme);
    }
}

/// The description as it is served and checked in.
pub fn openapi() -> String {
    let mut text = Description::openapi()
        .to_pretty_json()
        .expect("a description is plain data");
    text.push('\n');
    text
}

/// An answer as the client gets it, the first time and every time after.
impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        let problem = self.status >= 400;
        let mut response = Response::new(Body::from(self.body));
        *response.status_mut() =
            StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let media = if problem {
            problem::JSON
        } else {
            "application/json"
        };
        response
            .headers_mut()
            .insert(header::CONTENT_TYPE, HeaderValue::from_static(media));
        response
    }
}
