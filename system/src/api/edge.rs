//! What comes before the handlers: who may answer a request, here or in another Region.
//!
//! Changes are the writer's: elsewhere they are forwarded to it, once. Questions are answered from the local replica as long as
//! it is not further behind than the bound, and say how far it is; otherwise they are forwarded too.

use std::{sync::Arc, time::Duration};

use axum::{
    body::to_bytes,
    extract::{Request, State},
    http::{HeaderName, HeaderValue, Method, StatusCode},
    middleware::Next,
    response::{IntoResponse, Response},
};
use time::OffsetDateTime;

use crate::region::{self, ForwardError, HOP, Routing, VERSION};

use super::{Api, extract::BODY_MAX, problem::Problem};

/// How far behind a replica may be whose books are shown.
pub const STALENESS_MAX: Duration = Duration::from_secs(5);

/// On an answer from a replica: how far that is behind at most, in milliseconds, by the clocks of two machines.
const STALENESS: HeaderName = HeaderName::from_static("payments-staleness-ms");

fn moving(routing: Option<&Routing>) -> Problem {
    Problem::unavailable(match routing {
        None => "which Region writes is not known yet; nothing was written".to_owned(),
        Some(routing) => format!("the ledger is {}; nothing was written", routing.state.name()),
    })
}

/// A request that another Region's gateway forwarded here, where it cannot be answered either.
fn misdirected() -> Problem {
    let detail = "this Region does not write the ledger: ask again by a newer routing";
    Problem::new(
        StatusCode::MISDIRECTED_REQUEST,
        "/problems/misdirected",
        "Misdirected",
        detail,
    )
}

/// How far the local replica is behind, if it can be asked.
async fn behind(api: &Api) -> Option<Duration> {
    let beat = api.replica.last_beat().await.ok()?;
    // A clock behind the writer's makes a replica look too fresh, never older than it is by more than that.
    Some(
        (OffsetDateTime::now_utc() - beat)
            .max(time::Duration::ZERO)
            .unsigned_abs(),
    )
}

/// Answers here, or has the writer's Region answer.
pub(super) async fn route(State(api): State<Arc<Api>>, request: Request, next: Next) -> Response {
    if !request.uri().path().starts_with("/v1/") {
        return next.run(request).await;
    }
    let hop: Option<i64> = request.headers().get(HOP).map(|version| {
        version
            .to_str()
            .ok()
            .and_then(|version| version.parse().ok())
            .unwrap_or_default()
    });
    let mut routing = api.keeper.known();
    // The asker may know more than this process.
    if hop.is_some_and(|version| routing.as_ref().is_none_or(|known| known.version < version)) {
        routing = api.keeper.refresh().await.ok().or(routing);
    }
    let mut response = answer(&api, routing.as_ref(), hop, request, next).await;
    if let Some(routing) = routing {
        response
            .headers_mut()
            .insert(VERSION, HeaderValue::from(routing.version));
    }
    response
}

async fn answer(
    api: &Arc<Api>,
    routing: Option<&Routing>,
    hop: Option<i64>,
    request: Request,
    next: Next,
) -> Response {
    let open = routing.filter(|routing| routing.state == region::State::Open);
    let here = open.is_some_and(|routing| routing.writer == api.keeper.region());
    // Without the right to write it may have been replaced since: then its books are a replica's at best.
    if here && (request.method() != Method::GET || api.service.engine().ledger().epoch().is_ok()) {
        return next.run(request).await;
    }
    if hop.is_some() {
        return misdirected().into_response();
    }
    if request.method() == Method::GET
        && let Some(behind) = behind(api).await
        && behind <= STALENESS_MAX
    {
        let mut response = next.run(request).await;
        let milliseconds = u64::try_from(behind.as_millis()).unwrap_or(u64::MAX);
        response
            .headers_mut()
            .insert(STALENESS, HeaderValue::from(milliseconds));
        return response;
    }
    match open {
        Some(routing) if !here => forward(api, routing, request).await,
        _ => moving(routing).into_response(),
    }
}

async fn forward(api: &Arc<Api>, routing: &Routing, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let Ok(body) = to_bytes(body, BODY_MAX).await else {
        return Problem::too_large(BODY_MAX).into_response();
    };
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    let asked = (parts.method, path);
    let forwarded = api
        .forwarder
        .forward(&routing.writer, routing.version, asked, &parts.headers, body)
        .await;
    let response = match forwarded {
        Ok(response) => response,
        Err(error) => {
            tracing::warn!(%error, region = api.keeper.region(), "forwarding");
            return match error {
                ForwardError::NotSent { .. } => {
                    Problem::unavailable("the Region that writes cannot be reached; nothing was written")
                }
                ForwardError::Unknown { .. } => Problem::unknown(
                    "the Region that writes did not answer: the same request under the same key finds out",
                ),
            }
            .into_response();
        }
    };
    let version = response
        .headers()
        .get(VERSION)
        .and_then(|version| version.to_str().ok()?.parse().ok());
    if version.is_some_and(|version: i64| version > routing.version) {
        let keeper = api.keeper.clone();
        tokio::spawn(async move { keeper.refresh().await });
    }
    if response.status() == StatusCode::MISDIRECTED_REQUEST {
        return Problem::unavailable("the ledger is being moved; nothing was written").into_response();
    }
    response
}
