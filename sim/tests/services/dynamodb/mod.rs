//! DynamoDB in one Region and as global tables.

mod claims;
mod cluster;
mod faults;
mod global;
mod histories;
mod plans;
mod suite;
mod wire;
