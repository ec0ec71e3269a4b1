//! A simulated Aurora Global Database inside a world, through sqlx.

mod instance;
mod stage;
