//! What operators and load balancers ask, and what is counted.

use std::sync::Arc;

use axum::{
    extract::{MatchedPath, Request, State},
    http::{StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use tokio::time::Instant;

use crate::metrics::Metrics;

use super::{Api, problem::Problem};

/// The process is alive.
#[utoipa::path(get, path = "/healthz", responses((status = 200)))]
pub(super) async fn healthz() -> StatusCode {
    StatusCode::OK
}

/// The process can serve: its ledger answers.
#[utoipa::path(get, path = "/readyz",
    responses((status = 200), (status = "default", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn readyz(State(api): State<Arc<Api>>) -> Result<StatusCode, Problem> {
    api.service.engine().ledger().ping().await?;
    Ok(StatusCode::OK)
}

/// Counters in Prometheus' text format.
#[utoipa::path(get, path = "/metrics", responses((status = 200, body = String, content_type = "text/plain")))]
pub(super) async fn metrics(State(api): State<Arc<Api>>) -> Response {
    text(&api.metrics)
}

pub(super) fn text(metrics: &Metrics) -> Response {
    let media = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(header::CONTENT_TYPE, media)], metrics.text()).into_response()
}

pub(super) async fn openapi() -> Response {
    ([(header::CONTENT_TYPE, "application/json")], super::openapi()).into_response()
}

/// Counts every request by its route and status.
pub(super) async fn observe(State(api): State<Arc<Api>>, request: Request, next: Next) -> Response {
    let route = request
        .extensions()
        .get::<MatchedPath>()
        .map_or("unmatched", MatchedPath::as_str)
        .to_owned();
    let started = Instant::now();
    let response = next.run(request).await;
    api.metrics
        .request(route, response.status().as_u16(), started.elapsed());
    response
}
