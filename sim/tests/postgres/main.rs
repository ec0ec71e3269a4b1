//! Does the simulated PostgreSQL behave as PostgreSQL does? Everything here runs on a private real server and on the
//! simulated engine, and compares.
//!
//! - `statements`: a corpus of statements, each over the simple and the extended protocol: columns, types, rows, tags,
//!   SQLSTATEs, constraint names.
//! - `isolation`: the anomalies of the Hermitage table at every isolation level, as scripted interleavings.
//! - `histories`: generated concurrent histories, driven one statement at a time, shrunk when the two sides differ.
//! - `clients`: what the real driver does: a posting under contention (claim C21), `sqlx migrate`, typed rows.
//! - `abuse`: protocol garbage, oversized messages, clients that vanish.
//! - `controls`: each comparison is shown to fail on a target that is wrong on purpose.
//!
//! Not covered: message texts, notices, plans and costs, physical row order where no ORDER BY asks for one, locales other
//! than C, TLS and passwords, replication and failover (they have no counterpart on one real server).
//!
//! A real PostgreSQL (15 or newer) is required. Where none is found every suite fails with the command that installs it.

mod abuse;
mod clients;
mod controls;
mod histories;
mod interleave;
mod isolation;
mod outcome;
mod servers;
mod statements;
mod wire;
