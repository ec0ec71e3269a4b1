//! What every handler takes from a request: who calls, under which key, with which body.

use std::sync::Arc;

use axum::{
    body::Bytes,
    extract::{FromRequest, FromRequestParts, Request},
    http::{Method, StatusCode, header, request::Parts},
};
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};
use time::OffsetDateTime;

use crate::{
    gate::Call,
    id::{Fingerprint, IdempotencyKey, TenantId},
    ledger::Mutation,
};

use super::{Api, problem::Problem};

/// Largest body of a request, in bytes.
pub(super) const BODY_MAX: usize = 64 * 1024;

/// An authenticated caller.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tenant(pub TenantId);

/// An authenticated caller who may decide about operations in limbo.
#[derive(Clone, Copy, Debug)]
pub(super) struct Operator(pub TenantId);

fn unauthorized(detail: &str) -> Problem {
    Problem::new(
        StatusCode::UNAUTHORIZED,
        "/problems/unauthorized",
        "Unauthorized",
        detail,
    )
}

async fn caller(parts: &Parts, api: &Api) -> Result<crate::ledger::Caller, Problem> {
    let header = parts.headers.get(header::AUTHORIZATION);
    let token = header.and_then(|header| header.to_str().ok()?.strip_prefix("Bearer "));
    let token = token.ok_or_else(|| unauthorized("send `Authorization: Bearer` with an API key"))?;
    let hash: [u8; 32] = Sha256::digest(token).into();
    let now = OffsetDateTime::now_utc();
    if let Some(caller) = api.callers.get(&hash, now) {
        api.limits.admit_tenant(caller.tenant)?;
        return Ok(caller);
    }
    let found = api.reader().caller(&hash, now).await?;
    let caller = found.ok_or_else(|| unauthorized("the API key is unknown or has expired"))?;
    api.callers.put(hash, caller, now);
    api.limits.admit_tenant(caller.tenant)?;
    Ok(caller)
}

impl FromRequestParts<Arc<Api>> for Tenant {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &Arc<Api>) -> Result<Self, Problem> {
        Ok(Self(caller(parts, api).await?.tenant))
    }
}

impl FromRequestParts<Arc<Api>> for Operator {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &Arc<Api>) -> Result<Self, Problem> {
        let caller = caller(parts, api).await?;
        if caller.operator {
            Ok(Self(caller.tenant))
        } else {
            let detail = "this API key is not an operator's";
            Err(Problem::new(
                StatusCode::FORBIDDEN,
                "/problems/forbidden",
                "Forbidden",
                detail,
            ))
        }
    }
}

/// A request that changes something: its tenant, its key and its body.
#[derive(Debug)]
pub(super) struct Asked<T> {
    tenant: TenantId,
    key: IdempotencyKey,
    fingerprint: Fingerprint,
    pub body: T,
}

impl<T> Asked<T> {
    /// Whose request it is.
    pub(super) fn tenant(&self) -> TenantId {
        self.tenant
    }

    /// The call that asks for a mutation.
    pub(super) fn call(self, mutation: Mutation) -> Call {
        Call {
            tenant: self.tenant,
            key: self.key,
            fingerprint: self.fingerprint,
            mutation,
        }
    }
}

/// What every mutation is asked for under.
#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "the description of a header that `Asked` reads")]
pub(super) struct Key {
    /// The client's own name for the request: visible ASCII.
    #[param(
        rename = "Idempotency-Key",
        min_length = 1,
        max_length = 255,
        pattern = "^[!-~]+$"
    )]
    key: String,
}

fn key(parts: &Parts) -> Result<IdempotencyKey, Problem> {
    let wrong = |detail: &str| {
        let status = StatusCode::BAD_REQUEST;
        Problem::new(status, "/problems/invalid-key", "Invalid Idempotency-Key", detail)
    };
    let mut headers = parts.headers.get_all("idempotency-key").iter();
    let header = headers
        .next()
        .ok_or_else(|| wrong("send an Idempotency-Key with every mutation"))?;
    if headers.next().is_some() {
        return Err(wrong("send one Idempotency-Key"));
    }
    let text = header
        .to_str()
        .map_err(|_| wrong("an Idempotency-Key is visible ASCII"))?;
    IdempotencyKey::new(text).map_err(|error| wrong(&error.to_string()))
}

impl<T: DeserializeOwned> FromRequest<Arc<Api>> for Asked<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, api: &Arc<Api>) -> Result<Self, Problem> {
        let (parts, body) = request.into_parts();
        let caller = caller(&parts, api).await?;
        let key = key(&parts)?;
        let body = read(&parts, body).await?;
        let fingerprint = Fingerprint::of(Method::as_str(&parts.method), parts.uri.path(), &body);
        // No body is an empty one: operations whose members are all optional.
        let text = if body.is_empty() { b"{}".as_slice() } else { &body };
        let body =
            serde_json::from_slice(text).map_err(|error| Problem::invalid(format!("the body: {error}")))?;
        Ok(Self {
            tenant: caller.tenant,
            key,
            fingerprint,
            body,
        })
    }
}

/// The whole body, if it is small enough and JSON.
pub(super) async fn read(parts: &Parts, body: axum::body::Body) -> Result<Bytes, Problem> {
    let media = parts
        .headers
        .get(header::CONTENT_TYPE)
        .and_then(|media| media.to_str().ok());
    if media.is_some_and(|media| !media.starts_with("application/json")) {
        let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
        let detail = "send application/json";
        return Err(Problem::new(
            status,
            "/problems/unsupported-media-type",
            "Unsupported media type",
            detail,
        ));
    }
    axum::body::to_bytes(body, BODY_MAX)
        .await
        .map_err(|_| Problem::too_large(BODY_MAX))
}
