//! Serving one service of the AWS Query protocol on one listener: requests are forms, answers XML.
//!
//! Modelled: `POST /` with `Action` and `Version`, the result and error documents, SigV4 as for the JSON services, a `Date`
//! from the server's own clock, request ids, a connection that closes without an answer.
//! Not modelled: requests by `GET`, and the rest as in the JSON protocol.

use super::connection::{self, Cutter};
use super::serve::{RequestIdStyle, RequestIds, response, whole};
use super::{Error, Signing};
use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::{Method, Request, Response};
use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::SystemTime;
use tokio::net::TcpListener;

const XML: &str = "text/xml";

/// How a Query service is addressed on the wire.
#[derive(Debug, Clone)]
pub struct QueryProtocol {
    /// The only `Version` served: `2014-10-31`.
    pub version: &'static str,
    /// The namespace of every answer.
    pub namespace: &'static str,
    /// What each request's signature is held to.
    pub signing: Signing,
    /// Seeds the request ids.
    pub seed: u64,
}

/// One well-formed, signed request.
#[derive(Debug)]
pub struct QueryCall {
    /// The operation: `DescribeDBClusters`.
    pub action: String,
    /// The form's other fields.
    pub parameters: BTreeMap<String, String>,
}

impl QueryCall {
    /// A parameter; an empty one counts as absent.
    pub fn get(&self, name: &str) -> Option<&str> {
        let value = self.parameters.get(name).map(String::as_str);
        value.filter(|value| !value.is_empty())
    }

    /// A parameter that must be there.
    ///
    /// # Errors
    /// `MissingParameter`.
    pub fn required(&self, name: &str) -> Result<&str, QueryError> {
        self.get(name).ok_or_else(|| {
            let message = format!("The request must contain the parameter {name}");
            QueryError::sender(400, "MissingParameter", message)
        })
    }

    /// A boolean parameter.
    ///
    /// # Errors
    /// `InvalidParameterValue`.
    pub fn flag(&self, name: &str) -> Result<Option<bool>, QueryError> {
        match self.get(name) {
            None => Ok(None),
            Some("true") => Ok(Some(true)),
            Some("false") => Ok(Some(false)),
            Some(other) => {
                let message = format!("{name} must be true or false, not {other}");
                Err(QueryError::sender(400, "InvalidParameterValue", message))
            }
        }
    }
}

/// One error answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueryError {
    /// The HTTP status.
    pub status: u16,
    /// The code: `DBClusterNotFoundFault`.
    pub code: String,
    /// The message.
    pub message: String,
}

impl QueryError {
    /// An error that is the sender's, below 500, or the service's.
    pub fn sender(status: u16, code: impl Into<String>, message: impl Into<String>) -> QueryError {
        QueryError {
            status,
            code: code.into(),
            message: message.into(),
        }
    }

    fn body(&self, namespace: &str, id: &str) -> String {
        let kind = if self.status < 500 { "Sender" } else { "Receiver" };
        format!(
            "<ErrorResponse xmlns=\"{namespace}\"><Error><Type>{kind}</Type><Code>{}</Code><Message>{}</Message></Error>\
             <RequestId>{id}</RequestId></ErrorResponse>",
            escape(&self.code),
            escape(&self.message),
        )
    }
}

/// The words of the JSON services' signature errors, as the Query services have them.
impl From<Error> for QueryError {
    fn from(error: Error) -> QueryError {
        let (status, code) = match error.name() {
            "MissingAuthenticationTokenException" => (403, "MissingAuthenticationToken"),
            "IncompleteSignatureException" => (400, "IncompleteSignature"),
            _ => (403, "SignatureDoesNotMatch"),
        };
        QueryError::sender(status, code, error.message())
    }
}

/// What a service does with a call.
#[derive(Debug)]
pub enum QueryAnswer {
    /// 200 with this XML inside the result element.
    Ok(String),
    /// An AWS error.
    Error(QueryError),
    /// The connection closes without a byte of answer.
    Hangup,
}

/// A simulated AWS service behind the Query protocol.
pub trait QueryService: Send + Sync + 'static {
    /// Performs one call. It may wait but must not block.
    fn call(&self, call: QueryCall) -> impl Future<Output = QueryAnswer> + Send;

    /// The protocol, fixed for the service's life.
    fn protocol(&self) -> &QueryProtocol;
}

/// Accepts and serves connections until the future is dropped.
///
/// # Errors
/// None once listening: accept errors are waited out.
pub async fn serve_query<S: QueryService>(listener: TcpListener, service: Arc<S>) -> io::Result<()> {
    let protocol = service.protocol();
    let ids = Arc::new(RequestIds::new(
        RequestIdStyle::Uuid,
        &protocol.signing,
        protocol.seed,
    ));
    connection::serve(listener, move |cutter, request| {
        let (service, ids) = (Arc::clone(&service), Arc::clone(&ids));
        async move { handle(&*service, &cutter, &ids, request).await }
    })
    .await
}

async fn handle<S: QueryService>(
    service: &S,
    cutter: &Cutter,
    ids: &RequestIds,
    request: Request<Incoming>,
) -> Response<Full<Bytes>> {
    let protocol = service.protocol();
    let namespace = protocol.namespace;
    let id = ids.next();
    let (action, answer) = match admit(protocol, request).await {
        Ok(call) => (call.action.clone(), service.call(call).await),
        Err(error) => (String::new(), QueryAnswer::Error(error)),
    };
    match answer {
        QueryAnswer::Ok(result) => {
            let body = format!(
                "<{action}Response xmlns=\"{namespace}\"><{action}Result>{result}</{action}Result><ResponseMetadata>\
                 <RequestId>{id}</RequestId></ResponseMetadata></{action}Response>"
            );
            response(200, XML, body, id)
        }
        QueryAnswer::Error(error) => response(error.status, XML, error.body(namespace, &id), id),
        QueryAnswer::Hangup => {
            cutter.sever();
            response(500, XML, String::new(), id)
        }
    }
}

async fn admit(protocol: &QueryProtocol, request: Request<Incoming>) -> Result<QueryCall, QueryError> {
    let (parts, body) = request.into_parts();
    if parts.method != Method::POST || parts.uri.path() != "/" {
        return Err(QueryError::sender(
            404,
            "InvalidAction",
            "There is only POST / here",
        ));
    }
    let Some(bytes) = whole(body).await else {
        return Err(QueryError::sender(
            413,
            "RequestEntityTooLarge",
            "The body is too large",
        ));
    };
    let Some(mut parameters) = form(&bytes) else {
        return Err(QueryError::sender(
            400,
            "MalformedQueryString",
            "The body is no form",
        ));
    };
    let action = parameters.remove("Action").unwrap_or_default();
    if action.is_empty() {
        return Err(QueryError::sender(
            400,
            "MissingAction",
            "The request must contain the parameter Action",
        ));
    }
    protocol.signing.check(&parts.headers, SystemTime::now())?;
    let version = parameters.remove("Version").unwrap_or_default();
    if version != protocol.version {
        let message = format!("Could not find operation {action} for version {version}");
        return Err(QueryError::sender(400, "InvalidAction", message));
    }
    Ok(QueryCall { action, parameters })
}

/// Reads `application/x-www-form-urlencoded`.
fn form(bytes: &[u8]) -> Option<BTreeMap<String, String>> {
    let pairs = bytes.split(|byte| *byte == b'&').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| {
            let mut halves = pair.splitn(2, |byte| *byte == b'=');
            let name = decoded(halves.next()?)?;
            Some((name, decoded(halves.next().unwrap_or_default())?))
        })
        .collect()
}

fn decoded(bytes: &[u8]) -> Option<String> {
    let mut text = Vec::with_capacity(bytes.len());
    let mut rest = bytes.iter();
    while let Some(byte) = rest.next() {
        text.push(match byte {
            b'+' => b' ',
            b'%' => {
                let mut digit = || char::from(*rest.next()?).to_digit(16);
                (digit()? << 4 | digit()?) as u8
            }
            other => *other,
        });
    }
    String::from_utf8(text).ok()
}

/// An XML element with this content, which is XML.
pub fn element(name: &str, content: impl AsRef<str>) -> String {
    format!("<{name}>{}</{name}>", content.as_ref())
}

/// An XML element with this text.
pub fn text_element(name: &str, text: impl std::fmt::Display) -> String {
    element(name, escape(&text.to_string()))
}

fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '&' => escaped.push_str("&amp;"),
            '"' => escaped.push_str("&quot;"),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_are_read_as_browsers_write_them() {
        let read = form(b"Action=A+b&X=%3Ca%26%C3%A9%3E&Empty=&Bare").expect("a form");
        let expected = [
            ("Action", "A b"),
            ("X", "<a&\u{e9}>"),
            ("Empty", ""),
            ("Bare", ""),
        ];
        let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(read, BTreeMap::from(expected));
        for wrong in [&b"X=%4"[..], b"X=%zz", b"X=%ff"] {
            assert_eq!(form(wrong), None);
        }
    }

    #[test]
    fn text_cannot_break_out_of_its_element() {
        assert_eq!(
            text_element("a", "<b>&\"</b>"),
            "<a>&lt;b&gt;&amp;&quot;&lt;/b&gt;</a>"
        );
    }
}
