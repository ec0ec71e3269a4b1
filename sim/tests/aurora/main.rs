//! The Aurora engine by itself: over real sockets and sqlx, and inside a world.

mod basics;
mod security;
mod support;
mod world;
