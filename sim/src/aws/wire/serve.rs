//! Serving one AWS JSON service on one listener.

use super::connection::{self, Cutter};
use super::{Error, Signing, imf_fixdate};
use crate::{Seed, Stream};
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::future::Future;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;
use tokio::net::TcpListener;

/// Bodies above this are refused with 413, as AWS does for every JSON service.
const BODY_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Where a service's own controls are, if it offers any. No AWS service has such a path.
pub const ADMIN_PREFIX: &str = "/_sumzero/";

/// What an AWS service answers when nothing names an operation.
const NOT_FOUND_BODY: &str = "<UnknownOperationException/>\n";

/// The JSON protocol's version, which only shows in the content type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JsonVersion {
    /// `application/x-amz-json-1.0`: DynamoDB, SQS, ARC routing control.
    V1_0,
    /// `application/x-amz-json-1.1`: EventBridge.
    V1_1,
}

impl JsonVersion {
    fn content_type(self) -> &'static str {
        match self {
            Self::V1_0 => "application/x-amz-json-1.0",
            Self::V1_1 => "application/x-amz-json-1.1",
        }
    }
}

/// The shape of `x-amzn-RequestId`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RequestIdStyle {
    /// 52 upper-case letters and digits: DynamoDB.
    Opaque,
    /// A version 4 UUID: most others.
    Uuid,
}

/// How a service is addressed on the wire.
#[derive(Debug, Clone)]
pub struct Protocol {
    /// The content type's version.
    pub json: JsonVersion,
    /// The accepted prefixes of `x-amz-target`, without the dot: `DynamoDB_20120810`.
    pub targets: &'static [&'static str],
    /// What each request's signature is held to.
    pub signing: Signing,
    /// The shape of request ids.
    pub request_ids: RequestIdStyle,
    /// Whether answers carry `x-amz-crc32`: DynamoDB's do.
    pub checksums: bool,
    /// The body of `GET /`, which load balancers and waiting scripts poll.
    pub health: String,
    /// Seeds the request ids.
    pub seed: u64,
}

/// One well-formed, signed request.
#[derive(Debug)]
pub struct Call {
    /// Which of [`Protocol::targets`] the request named.
    pub target: &'static str,
    /// The operation: `PutItem`.
    pub operation: String,
    /// The request's JSON, always an object.
    pub body: Value,
    /// The length of the body on the wire, in bytes.
    pub body_bytes: usize,
    /// The request's headers.
    pub headers: HeaderMap,
}

impl Call {
    /// The id that the SDK keeps through all attempts of one call (`amz-sdk-invocation-id`).
    pub fn invocation_id(&self) -> Option<&str> {
        self.headers.get("amz-sdk-invocation-id")?.to_str().ok()
    }

    /// The SDK's attempt number, from 1 (`amz-sdk-request: attempt=N; max=M`).
    pub fn attempt(&self) -> Option<u32> {
        let text = self.headers.get("amz-sdk-request")?.to_str().ok()?;
        text.split(';')
            .find_map(|part| part.trim().strip_prefix("attempt=")?.parse().ok())
    }
}

/// The members of a call's body.
///
/// # Errors
/// [`Error::serialization`].
pub fn parse<T: DeserializeOwned>(body: Value) -> Result<T, Error> {
    serde_json::from_value(body).map_err(|_| Error::serialization())
}

/// What a service does with a call.
#[derive(Debug)]
pub enum Answer {
    /// 200 with this JSON body.
    Ok(String),
    /// An AWS error.
    Error(Error),
    /// The connection closes without a byte of answer: what the caller sees when a load balancer dies after the
    /// request was applied.
    Hangup,
}

impl From<Result<Value, Error>> for Answer {
    fn from(result: Result<Value, Error>) -> Self {
        match result {
            Ok(body) => Self::Ok(body.to_string()),
            Err(error) => Self::Error(error),
        }
    }
}

/// A simulated AWS service behind the JSON protocol.
pub trait Service: Send + Sync + 'static {
    /// Performs one call. It may wait (simulated latency, a lock, a peer) but must not block.
    fn call(&self, call: Call) -> impl Future<Output = Answer> + Send;

    /// The protocol, fixed for the service's life.
    fn protocol(&self) -> &Protocol;

    /// The queues, buses or routing controls that a call names, for faults that strike only some.
    fn resources(&self, call: &Call) -> Vec<String> {
        let _ = call;
        Vec::new()
    }

    /// Answers `POST` on a path below [`ADMIN_PREFIX`], unsigned: the simulation's own controls for programs that hold
    /// no handle. `None`, the default, makes such a path look as it does on AWS: not there.
    fn admin(&self, path: &str, body: &[u8]) -> Option<Result<String, Error>> {
        let _ = (path, body);
        None
    }
}

/// Accepts and serves connections until the future is dropped. Each connection is a tokio task on the current runtime.
///
/// # Errors
/// None once listening: accept errors are waited out.
pub async fn serve<S: Service>(listener: TcpListener, service: Arc<S>) -> io::Result<()> {
    let protocol = service.protocol();
    let ids = Arc::new(RequestIds::new(
        protocol.request_ids,
        &protocol.signing,
        protocol.seed,
    ));
    connection::serve(listener, move |cutter, request| {
        let (service, ids) = (Arc::clone(&service), Arc::clone(&ids));
        async move { handle(&*service, &cutter, &ids, request).await }
    })
    .await
}

async fn handle<S: Service>(
    service: &S,
    cutter: &Cutter,
    ids: &RequestIds,
    request: Request<Incoming>,
) -> Response<Full<Bytes>> {
    let protocol = service.protocol();
    let (parts, body) = request.into_parts();
    let content_type = protocol.json.content_type();
    let respond = |status, content_type, body: String| {
        let checksum = protocol.checksums.then(|| crc32(body.as_bytes()));
        let mut response = response(status, content_type, body, ids.next());
        if let Some(checksum) = checksum {
            response
                .headers_mut()
                .insert("x-amz-crc32", HeaderValue::from(checksum));
        }
        response
    };
    if parts.method == Method::GET && parts.uri.path() == "/" {
        return respond(200, "text/plain", protocol.health.clone());
    }
    if parts.method == Method::POST && parts.uri.path().starts_with(ADMIN_PREFIX) {
        let bytes = whole(body).await.unwrap_or_default();
        return match service.admin(parts.uri.path(), &bytes) {
            Some(Ok(body)) => respond(200, "application/json", body),
            Some(Err(error)) => respond(error.status(), "application/json", error.body()),
            None => respond(404, "text/plain", NOT_FOUND_BODY.to_owned()),
        };
    }
    if parts.method != Method::POST || parts.uri.path() != "/" || !is_json(&parts.headers, content_type) {
        return respond(404, "text/plain", NOT_FOUND_BODY.to_owned());
    }
    let Some(bytes) = whole(body).await else {
        return respond(
            413,
            content_type,
            Error::coral_bare("RequestEntityTooLargeException").body(),
        );
    };
    let answer = match admit(protocol, parts.headers, &bytes, SystemTime::now()) {
        Ok(call) => service.call(call).await,
        Err(error) => Answer::Error(error),
    };
    match answer {
        Answer::Ok(body) => respond(200, content_type, body),
        Answer::Error(error) => {
            let mut response = respond(error.status(), content_type, error.body());
            for (name, value) in error.headers() {
                if let Ok(value) = HeaderValue::from_str(value) {
                    response.headers_mut().insert(*name, value);
                }
            }
            response
        }
        Answer::Hangup => {
            cutter.sever();
            respond(500, content_type, String::new())
        }
    }
}

/// The body; `None` if it is too long or did not arrive whole.
pub(super) async fn whole(body: Incoming) -> Option<Bytes> {
    let body = Limited::new(body, BODY_BYTES_MAX).collect().await.ok()?;
    Some(body.to_bytes())
}

/// The checks of the request layer, in AWS's order: a body that is JSON, an operation that exists, a signature, and
/// only then a body at all.
fn admit(protocol: &Protocol, headers: HeaderMap, bytes: &Bytes, now: SystemTime) -> Result<Call, Error> {
    let body = match serde_json::from_slice(bytes) {
        Ok(body @ Value::Object(_)) => Some(body),
        _ if bytes.is_empty() => None,
        _ => return Err(Error::serialization()),
    };
    let named = headers
        .get("x-amz-target")
        .and_then(|value| value.to_str().ok())
        .and_then(|t| t.split_once('.'));
    let known = named.and_then(|(prefix, operation)| {
        let target = protocol.targets.iter().find(|target| **target == prefix)?;
        Some((*target, operation.to_owned()))
    });
    let Some((target, operation)) = known else {
        return Err(Error::unknown_operation());
    };
    protocol.signing.check(&headers, now)?;
    let body = body.ok_or_else(Error::serialization)?;
    Ok(Call {
        target,
        operation,
        body,
        body_bytes: bytes.len(),
        headers,
    })
}

fn is_json(headers: &HeaderMap, content_type: &str) -> bool {
    let text = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or("application/json");
    let base = text.split(';').next().unwrap_or_default().trim();
    base.eq_ignore_ascii_case(content_type) || base.eq_ignore_ascii_case("application/json")
}

pub(super) fn response(
    status: u16,
    content_type: &'static str,
    body: String,
    request_id: String,
) -> Response<Full<Bytes>> {
    let date = HeaderValue::from_str(&imf_fixdate(SystemTime::now())).unwrap_or(HeaderValue::from_static(""));
    let id = HeaderValue::from_str(&request_id).unwrap_or(HeaderValue::from_static(""));
    let mut response = Response::new(Full::from(body));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert(header::SERVER, HeaderValue::from_static("Server"));
    headers.insert(header::DATE, date);
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert("x-amzn-requestid", id);
    response
}

/// CRC-32 as zlib, Ethernet and `x-amz-crc32` have it, four bits at a time.
fn crc32(bytes: &[u8]) -> u32 {
    const TABLE: [u32; 16] = {
        let mut table = [0; 16];
        let mut index = 0;
        while index < 16 {
            let mut crc = index as u32;
            let mut bit = 0;
            while bit < 4 {
                crc = if crc & 1 == 1 {
                    crc >> 1 ^ 0xedb8_8320
                } else {
                    crc >> 1
                };
                bit += 1;
            }
            table[index] = crc;
            index += 1;
        }
        table
    };
    let half = |crc: u32, bits: u32| crc >> 4 ^ TABLE[((crc ^ bits) & 15) as usize];
    !bytes.iter().fold(!0, |crc, byte| {
        half(half(crc, u32::from(*byte)), u32::from(*byte >> 4))
    })
}

pub(super) struct RequestIds {
    style: RequestIdStyle,
    stream: Mutex<Stream>,
}

impl RequestIds {
    pub(super) fn new(style: RequestIdStyle, signing: &Signing, seed: u64) -> RequestIds {
        let region = signing.region.as_deref().unwrap_or("any-region");
        let purpose = format!("{}/{region}/request-id", signing.service);
        RequestIds {
            style,
            stream: Mutex::new(Seed(seed).stream(&purpose)),
        }
    }

    pub(super) fn next(&self) -> String {
        let mut stream = self.stream.lock().unwrap_or_else(PoisonError::into_inner);
        match self.style {
            RequestIdStyle::Opaque => {
                const ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
                let mut id = String::with_capacity(52);
                while id.len() < 52 {
                    let bits = stream.next_u64();
                    id.extend((0..12).map(|n| char::from(ALPHABET[(bits >> (5 * n)) as usize & 31])));
                }
                id.truncate(52);
                id
            }
            RequestIdStyle::Uuid => stream.uuid(),
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn checksums_are_those_of_the_standard() {
        assert_eq!(super::crc32(b"123456789"), 0xcbf4_3926);
        assert_eq!(super::crc32(b""), 0);
    }
}
