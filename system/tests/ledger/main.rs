//! The ledger on a real PostgreSQL: what clients, operators and auditors rely on.

mod books;
mod charges;
mod groups;
mod messages;
mod model;
mod restore;
mod schema;
mod settlements;
mod walls;
