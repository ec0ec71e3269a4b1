//! Simulated Aurora PostgreSQL.
