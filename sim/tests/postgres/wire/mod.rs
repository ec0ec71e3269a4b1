//! A small PostgreSQL client that hides nothing: it shows type OIDs, command tags, transaction status and error fields as
//! they came, can wait for an answer without blocking, and can send bytes that no driver would.
//!
//! Not modelled: TLS, passwords, COPY, LISTEN/NOTIFY, cancel requests.

mod frame;
mod link;
mod session;

pub(crate) use frame::{Answer, Column, Failure, Request, Value, frame, startup};
pub(crate) use link::{Address, Error, Link, readable};
pub(crate) use session::{Bend, Session};
