//! What operators and load balancers ask, and what is counted.

use std::sync::Arc;

use axum::{
    Json,
    extract::{MatchedPath, Request, State},
    http::{StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use serde::Serialize;
use tokio::time::Instant;
use utoipa::ToSchema;

use crate::region;

use crate::metrics::Metrics;

use super::{Api, problem::Problem};

/// The process is alive.
#[utoipa::path(get, path = "/healthz", responses((status = 200)))]
pub(super) async fn healthz() -> StatusCode {
    StatusCode::OK
}

/// What a process is ready for.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Ready {
    /// Where it runs.
    region: String,
    /// The Region that writes the ledger.
    writer: String,
    /// Whether that is open.
    state: region::State,
    /// The writer epoch.
    epoch: i64,
    /// The version of the routing that this process knows.
    version: i64,
}

/// The process can serve: in the writer's Region, the ledger takes its writes; elsewhere, it knows an open ledger's writer to
/// forward to.
#[utoipa::path(get, path = "/readyz",
    responses((status = 200, body = Ready), (status = "default", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn readyz(State(api): State<Arc<Api>>) -> Result<Json<Ready>, Problem> {
    let routing = api.keeper.known();
    let routing = routing.ok_or_else(|| Problem::unavailable("which Region writes is not known yet"))?;
    let region = api.keeper.region();
    if routing.state != region::State::Open {
        return Err(Problem::unavailable(format!(
            "the ledger is {}",
            routing.state.name()
        )));
    }
    if routing.writer == region {
        api.service.engine().ledger().ping().await?;
    }
    Ok(Json(Ready {
        region: region.to_owned(),
        writer: routing.writer,
        state: routing.state,
        epoch: routing.epoch,
        version: routing.version,
    }))
}

/// Counters in the text format of OpenMetrics, which Prometheus reads.
#[utoipa::path(get, path = "/metrics", responses((status = 200, body = String, content_type = "application/openmetrics-text")))]
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
