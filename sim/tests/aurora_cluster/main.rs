//! A simulated Aurora Global Database inside a world, through sqlx.

mod global;
mod instance;
mod stage;
