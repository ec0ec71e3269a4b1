//! A payment system for several Regions.
pub mod id;
pub mod ledger;
pub mod money;
