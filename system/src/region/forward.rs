//! Handing a request to a gateway of the writer's Region: once, within a time limit, and never in a circle.

use std::{collections::BTreeMap, time::Duration};

use axum::{
    body::{Body, Bytes},
    http::{HeaderName, HeaderValue, Method, header},
    response::Response,
};

/// On a forwarded request: the routing's version by which it was forwarded. Such a request is not forwarded again.
pub const HOP: HeaderName = HeaderName::from_static("payments-forwarded");

/// On every answer: the routing's version that the answering gateway knows.
pub const VERSION: HeaderName = HeaderName::from_static("payments-routing-version");

/// What of a request goes along. What of an answer comes back.
const ALONG: [HeaderName; 4] = [
    header::AUTHORIZATION,
    header::CONTENT_TYPE,
    HeaderName::from_static("idempotency-key"),
    HeaderName::from_static("psp-signature"),
];
const BACK: [HeaderName; 3] = [header::CONTENT_TYPE, header::RETRY_AFTER, VERSION];

/// A request got no answer from the other Region.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ForwardError {
    /// Nobody there took it: nothing was done.
    #[error("no gateway of {region} can be reached")]
    NotSent {
        /// Which Region.
        region: String,
    },
    /// It may have been done. The same request under the same key finds out.
    #[error("a gateway of {region} did not answer: {reason}")]
    Unknown {
        /// Which Region.
        region: String,
        /// What was heard instead.
        reason: String,
    },
}

/// The gateways of all Regions. Clones share it.
#[derive(Clone, Debug)]
pub struct Forwarder {
    http: reqwest::Client,
    /// By Region, as in `http://10.0.0.9:8080`.
    gateways: BTreeMap<String, Vec<String>>,
    limit: Duration,
}

impl Forwarder {
    /// A way to these gateways, by Region; an answer may take so long.
    pub fn new(http: reqwest::Client, gateways: BTreeMap<String, Vec<String>>, limit: Duration) -> Self {
        Self {
            http,
            gateways,
            limit,
        }
    }

    /// The gateways of a Region, each place of the list as likely to come first as any other.
    fn of(&self, region: &str) -> Vec<&str> {
        let gateways = self.gateways.get(region).map_or(&[][..], Vec::as_slice);
        let first = fastrand::usize(..gateways.len().max(1));
        let (after, before) = gateways.split_at(first.min(gateways.len()));
        before
            .iter()
            .rev()
            .chain(after)
            .rev()
            .map(String::as_str)
            .collect()
    }

    /// The answer of a gateway in `region` to this request.
    ///
    /// # Errors
    /// See [`ForwardError`].
    pub async fn forward(
        &self,
        region: &str,
        version: i64,
        (method, path): (Method, &str),
        headers: &axum::http::HeaderMap,
        body: Bytes,
    ) -> Result<Response, ForwardError> {
        for gateway in self.of(region) {
            let mut request = self
                .http
                .request(method.clone(), format!("{gateway}{path}"))
                .timeout(self.limit)
                .header(HOP, version)
                .body(body.clone());
            for name in &ALONG {
                for value in headers.get_all(name) {
                    request = request.header(name, value);
                }
            }
            let answer = match request.send().await {
                Ok(answer) => answer,
                // The next one may be there.
                Err(error) if error.is_connect() => continue,
                Err(error) => return Err(unknown(region, &error)),
            };
            let mut response = Response::new(Body::empty());
            *response.status_mut() = answer.status();
            for name in &BACK {
                if let Some(value) = answer.headers().get(name) {
                    response.headers_mut().insert(name, HeaderValue::clone(value));
                }
            }
            let body = answer.bytes().await.map_err(|error| unknown(region, &error))?;
            *response.body_mut() = Body::from(body);
            return Ok(response);
        }
        Err(ForwardError::NotSent {
            region: region.to_owned(),
        })
    }

    /// Whether a gateway of a Region says that it is ready. One is asked after another, each for its part of the limit.
    pub async fn ready(&self, region: &str, limit: Duration) -> bool {
        let gateways = self.of(region);
        let part = limit.div_f64(gateways.len().max(1) as f64);
        for gateway in gateways {
            let ask = self.http.get(format!("{gateway}/readyz")).timeout(part).send();
            if ask.await.is_ok_and(|answer| answer.status().is_success()) {
                return true;
            }
        }
        false
    }
}

fn unknown(region: &str, error: &reqwest::Error) -> ForwardError {
    ForwardError::Unknown {
        region: region.to_owned(),
        reason: error.to_string(),
    }
}
