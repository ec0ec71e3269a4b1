//! A simulated Aurora Global Database inside a world, through sqlx.

mod api;
mod faults;
mod global;
mod instance;
mod proxy;
mod stage;
mod storm;
