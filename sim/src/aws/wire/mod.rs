//! What every simulated AWS service shares: the part of a request and its answer that is the same whatever the
//! service does.
//!
//! Modelled: `POST /` with `x-amz-target`, JSON 1.0 and 1.1 content types, AWS error bodies, SigV4 presence, scope and
//! date with a skew limit, a `Date` from the server's own clock, request ids, the health page, and a connection that
//! closes without an answer (the fault behind most duplicate effects).
//! Not modelled: the signature's value (no secret is known here, so any signature is taken as genuine), REST protocols,
//! CORS, compression, TLS. The Query protocol has a front of its own ([`serve_query`]).
//!
//! A service implements [`Service`] and is served by [`serve`] on any tokio listener: a host inside a world, or a real
//! localhost port. Nothing here starts a thread, keeps a process-wide static, or reads a clock other than `std::time`.

mod client;
mod connection;
mod error;
mod fault;
#[cfg(feature = "aurora")]
mod query;
mod serve;
mod signature;
#[cfg(test)]
mod tests;
mod time;

pub use client::Peer;
pub use error::Error;
pub use fault::{Faulty, Refusals};
#[cfg(feature = "aurora")]
pub use query::{
    QueryAnswer, QueryCall, QueryError, QueryProtocol, QueryService, element, serve_query, text_element,
};
pub use serve::{ADMIN_PREFIX, Answer, Call, JsonVersion, Protocol, RequestIdStyle, Service, parse, serve};
pub use signature::Signing;
pub use time::{basic_iso8601, imf_fixdate, parse_basic_iso8601};
