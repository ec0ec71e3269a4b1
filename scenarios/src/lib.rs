//! The payment system on trial: scenarios with their ranges of failures, the scripts drawn from them, the stage that boots the
//! system in a simulated world, those it deals with, what its clients do, and what must be true of it whatever happens.

pub mod bisect;
pub mod corpus;
pub mod deliveries;
pub mod ending;
pub mod externals;
pub mod history;
pub mod properties;
pub mod reach;
pub mod record;
pub mod scenario;
#[cfg(feature = "as-written")]
pub mod score;
pub mod script;
pub mod shrink;
pub mod stage;
pub mod survey;
pub mod verdict;
