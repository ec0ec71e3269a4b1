//! A simulated Aurora PostgreSQL.

mod catalog;
mod engine;
mod error;
mod exec;
mod func;
mod lock;
mod session;
mod sql;
mod state;
mod storage;
mod txn;
mod types;
mod wire;

pub use engine::{Engine, Options};
