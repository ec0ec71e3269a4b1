//! A simulated Aurora PostgreSQL: real drivers talk to it, its anomalies are PostgreSQL's.
//!
//! Modelled: the wire protocol (`wire`), SQL from text to plans (`sql`), execution (`exec`) over multiversion storage
//! (`storage`, `txn`) with row, table and advisory locks (`lock`), READ COMMITTED, REPEATABLE READ and SERIALIZABLE,
//! roles, rights and row level security (`catalog`, `session`). What PostgreSQL has and this lacks is refused with
//! 0A000 and the construct's name.
//!
//! Several instances over one volume, replicas, failover and the Global Database are in [`cluster`].
//!
//! Not modelled: triggers and stored procedures, enums and composite types, partitions, cursors of SQL, time zones other than UTC,
//! collations other than C, TLS, passwords, COPY.
//!
//! One `Mutex` guards the state of an instance and is never held across a wait, so an engine runs on one thread and
//! its order of events is that of the runtime. Time is `std::time` and tokio's, randomness the operating system's.

mod catalog;
pub mod cluster;
mod engine;
mod error;
mod exec;
mod func;
mod lock;
mod recovery;
mod session;
mod sql;
mod state;
mod storage;
mod txn;
mod types;
mod wire;

pub use engine::{Engine, Options};
