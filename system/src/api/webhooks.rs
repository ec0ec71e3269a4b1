//! What the payment service provider tells on its own account.
//!
//! A webhook is a hint and nothing more: it makes a worker ask the provider now instead of later. A forged one costs a
//! question, a replayed one nothing; a lost one is not missed. It is checked all the same: signature, then age.

use std::{sync::Arc, time::Duration};

use axum::{
    extract::{Request, State},
    http::StatusCode,
};
use hmac::{Hmac, KeyInit, Mac};
use serde::Deserialize;
use sha2::Sha256;
use time::OffsetDateTime;
use utoipa::ToSchema;

use crate::{clock::now, ledger::hasten};

use super::{Api, extract::read, problem::Problem};

/// How far a webhook's time may be from ours.
const WINDOW: Duration = Duration::from_secs(300);

/// What a webhook says.
#[derive(Debug, Deserialize, ToSchema)]
pub(super) struct Notice {
    /// The key of the operation that has an outcome.
    key: String,
}

/// The signature of a webhook: `t=SECONDS,v1=HEX`, HMAC-SHA256 over `SECONDS.BODY`.
pub(super) fn verify(
    secret: &[u8],
    header: &str,
    body: &[u8],
    now: OffsetDateTime,
) -> Result<(), &'static str> {
    let mut parts = header.split(',').filter_map(|part| part.split_once('='));
    let mut part = |name| parts.find(|(known, _)| *known == name).map(|(_, value)| value);
    let (time, signature) = part("t")
        .zip(part("v1"))
        .ok_or("the signature is not `t=SECONDS,v1=HEX`")?;
    let signature = unhex(signature).ok_or("the signature is not hexadecimal")?;
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).map_err(|_| "no secret is set")?;
    mac.update(time.as_bytes());
    mac.update(b".");
    mac.update(body);
    mac.verify_slice(&signature)
        .map_err(|_| "the signature is not ours")?;
    let time: i64 = time.parse().map_err(|_| "the time is not a number")?;
    let age = now.unix_timestamp().abs_diff(time);
    if age > WINDOW.as_secs() {
        return Err("the webhook is too old or from the future");
    }
    Ok(())
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes().chunks(2);
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    digits.map(byte).collect()
}

/// Takes a hint from the payment service provider.
#[utoipa::path(post, path = "/v1/webhooks/psp", request_body = Notice,
    params(("Psp-Signature" = String, Header, description = "t=SECONDS,v1=HEX")),
    responses((status = 204), (status = "default", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn psp(State(api): State<Arc<Api>>, request: Request) -> Result<StatusCode, Problem> {
    let forged = |detail: &str| {
        Problem::new(
            StatusCode::UNAUTHORIZED,
            "/problems/invalid-signature",
            "Invalid signature",
            detail,
        )
    };
    let (parts, body) = request.into_parts();
    let body = read(&parts, body).await?;
    let header = parts
        .headers
        .get("psp-signature")
        .and_then(|header| header.to_str().ok());
    let header = header.ok_or_else(|| forged("send a Psp-Signature"))?;
    verify(&api.webhook_secret, header, &body, OffsetDateTime::now_utc()).map_err(forged)?;
    let notice: Notice =
        serde_json::from_slice(&body).map_err(|error| Problem::invalid(error.to_string()))?;
    hasten(&api.work, &notice.key, now()).await?;
    Ok(StatusCode::NO_CONTENT)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sign(secret: &[u8], time: i64, body: &[u8]) -> String {
        let mut mac = Hmac::<Sha256>::new_from_slice(secret).unwrap();
        mac.update(format!("{time}.").as_bytes());
        mac.update(body);
        let hex: String = mac
            .finalize()
            .into_bytes()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        format!("t={time},v1={hex}")
    }

    #[test]
    fn a_webhook_is_ours_and_fresh_or_refused() {
        let now = OffsetDateTime::from_unix_timestamp(1_767_225_600).unwrap();
        let time = now.unix_timestamp();
        let body = br#"{"key":"k"}"#;
        let good = sign(b"secret", time, body);
        assert_eq!(verify(b"secret", &good, body, now), Ok(()));
        for (secret, header, body) in [
            (&b"other"[..], good.as_str(), &body[..]),
            (b"secret", &good, br#"{"key":"x"}"#),
            (b"secret", &good.replace("t=1", "t=2"), body),
            (b"secret", "v1=00", body),
            (b"secret", "", body),
            (b"secret", "t=1,v1=zz", body),
            (b"secret", &sign(b"secret", time - 301, body), body),
            (b"secret", &sign(b"secret", time + 301, body), body),
        ] {
            assert!(verify(secret, header, body, now).is_err(), "{header}");
        }
    }
}
